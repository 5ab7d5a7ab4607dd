//! The two stores of a host under a fuzzer: they answer in order, when and how they are told to.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kernel::env::Ticket;
use kernel::machine::{Apply, Commit, Envelope, Fetch, Fetched, Room, StorageError};
use kernel::store::{decode_entry, decode_row};

use crate::model::{State, state_of_stores};

/// What a host has on disk, and what it was asked and has not answered.
#[derive(Default)]
pub(super) struct Stores {
    log: BTreeMap<u64, Bytes>,
    records: BTreeMap<Bytes, Bytes>,
    applied: u64,
    commits: VecDeque<Commit>,
    applies: VecDeque<Apply>,
    fetches: VecDeque<(Ticket, Fetch)>,
    failed: Option<StorageError>,
    pub room: u64,
}

/// The answer to a commit: its ticket, its result, and the envelopes that leave or that are dropped.
pub(super) type Settled = (Ticket, Result<Room, StorageError>, Vec<Envelope>);

impl Stores {
    /// Nothing is there yet, and there is room for so many bytes.
    pub fn new(room: u64) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    fn last_durable(&self) -> u64 {
        self.log.last_key_value().map_or(self.applied, |(number, _)| *number)
    }

    pub fn commit(&mut self, commit: Commit) {
        if let (Some((number, entry)), None) = (&commit.entry, self.failed) {
            let given = self.commits.iter().rev().find_map(|commit| commit.entry.as_ref());
            let last = given.map_or(self.last_durable(), |(number, _)| *number);
            assert_eq!(*number, last + 1, "log entries are numbered without gaps");
            assert!(decode_entry(entry).is_ok(), "an entry can be read again");
        }
        self.commits.push_back(commit);
    }

    pub fn apply(&mut self, apply: Apply) {
        assert!(self.applies.is_empty(), "one apply at a time");
        assert!(apply.upto <= self.last_durable(), "what is applied is in the log");
        assert!(apply.upto >= self.applied, "the records go forward");
        assert!(apply.puts.is_sorted_by(|a, b| a.0 < b.0), "rows ascend");
        assert!(apply.deletes.is_sorted_by(|a, b| a < b), "deletes ascend");
        for (key, row) in &apply.puts {
            assert!(decode_row(key, row).is_ok(), "a row can be read again");
        }
        self.applies.push_back(apply);
    }

    pub fn cut(&mut self, upto: u64) {
        assert!(upto <= self.applied, "cut at {upto}, applied {}", self.applied);
        self.log = self.log.split_off(&(upto + 1));
    }

    pub fn fetch(&mut self, ticket: Ticket, fetch: Fetch) {
        assert!(self.fetches.is_empty(), "one read at a time");
        if fetch == Fetch::Recover {
            let idle = self.commits.is_empty() && self.applies.is_empty();
            assert!(idle, "a recovery begins when everything was answered for");
        }
        self.fetches.push_back((ticket, fetch));
    }

    /// Answers the oldest commit. If it fails, all that were given fail, and `survivors` of their entries are found later.
    pub fn settle(&mut self, fail: Option<StorageError>, survivors: usize) -> Option<Settled> {
        if self.commits.is_empty() {
            return None;
        }
        if let (Some(error), None) = (fail, self.failed) {
            self.failed = Some(error);
            if error == StorageError::Io {
                self.keep(survivors);
            }
        }
        let commit = self.commits.pop_front()?;
        let result = match self.failed {
            Some(error) => Err(error),
            None => {
                self.log.extend(commit.entry);
                Ok(Room { bytes: self.room })
            }
        };
        Some((commit.ticket, result, commit.envelopes))
    }

    fn keep(&mut self, survivors: usize) {
        let entries = self.commits.iter().filter_map(|commit| commit.entry.clone());
        let entries: Vec<_> = entries.take(survivors).collect();
        self.log.extend(entries);
    }

    /// Answers the oldest apply.
    pub fn applied(&mut self, fail: Option<StorageError>) -> Option<(Ticket, Result<(), StorageError>)> {
        let apply = self.applies.pop_front()?;
        if let Some(error) = self.failed.or(fail) {
            return Some((apply.ticket, Err(error)));
        }
        let ticket = apply.ticket;
        self.perform(apply);
        Some((ticket, Ok(())))
    }

    fn perform(&mut self, apply: Apply) {
        self.records.extend(apply.puts);
        for key in &apply.deletes {
            self.records.remove(key);
        }
        self.applied = apply.upto;
    }

    /// Answers the oldest read, a few rows at a time.
    pub fn fetched(&mut self, fail: Option<StorageError>) -> Option<(Ticket, Result<Fetched, StorageError>)> {
        const ROWS: usize = 3;
        let (ticket, fetch) = self.fetches.pop_front()?;
        if let Some(error) = fail {
            return Some((ticket, Err(error)));
        }
        let found = match fetch {
            Fetch::Recover => {
                self.failed = None;
                let ends = (self.log.first_key_value(), self.log.last_key_value());
                Fetched::Recovered {
                    applied: self.applied,
                    log: ends.0.zip(ends.1).map(|((first, _), (last, _))| (*first, *last)),
                    room: Room { bytes: self.room },
                }
            }
            Fetch::Records { after, .. } => {
                let rest = self
                    .records
                    .iter()
                    .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
                let rows: Vec<_> = rest.take(ROWS).map(|(key, row)| (key.clone(), row.clone())).collect();
                Fetched::Records {
                    done: rows.len() < ROWS,
                    rows,
                }
            }
            Fetch::Log { from, .. } => {
                let rest = self.log.range(from..).take(ROWS);
                let entries: Vec<_> = rest.map(|(number, entry)| (*number, entry.clone())).collect();
                Fetched::Log {
                    done: entries.len() < ROWS,
                    entries,
                }
            }
        };
        Some((ticket, Ok(found)))
    }

    /// The power goes: what was in flight is gone, but for so many entries, and perhaps the apply.
    pub fn crash(&mut self, survivors: usize, apply: bool) {
        if self.failed.is_none() {
            self.keep(survivors);
        }
        if let Some(done) = self.applies.pop_front().filter(|_| apply && self.failed.is_none()) {
            self.perform(done);
        }
        self.commits.clear();
        self.applies.clear();
        self.fetches.clear();
        self.failed = None;
    }

    pub fn is_idle(&self) -> bool {
        self.commits.is_empty() && self.applies.is_empty() && self.fetches.is_empty()
    }

    /// What a node would come back with.
    pub fn state(&self) -> State {
        state_of_stores(&self.records, &self.log).expect("what the kernel wrote can be read")
    }
}
