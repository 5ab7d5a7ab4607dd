//! The disk of one node: an ordered log and a record store, as slow and as treacherous as the plan wants them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kernel::env::{SeededRng, Ticket};
use kernel::machine::{Apply, Fetch, Fetched, Input, Room, StorageError};

use crate::model::Decoded;
use crate::reached::{Reached, Spot};
use crate::streams::Streams;

mod harm;
mod work;

pub use harm::Image;

/// How a disk behaves when nobody disturbs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskProfile {
    /// Shortest and longest time of one sync: of a group of log entries, or of one apply.
    pub sync_us: (u64, u64),
    /// Shortest and longest time of one read.
    pub read_us: (u64, u64),
    /// How many crashes of a thousand, of those that come in the middle of a sync, leave a part of an entry.
    pub torn_permille: u64,
    /// Bytes that the log holds at most.
    pub log_bytes: u64,
    /// Breaks the third rule of order on purpose, to prove that it is seen: only the first commit of a failed group
    /// fails, and those behind it are written as if nothing had been.
    pub forgets_failures: bool,
    /// Breaks the first one: a failed sync is reported as done. What of it is written is drawn.
    pub believes_failures: bool,
    /// Breaks the second one: after a crash the commits that were in flight are answered to the next boot.
    pub answers_the_dead: bool,
}

impl Default for DiskProfile {
    fn default() -> Self {
        Self {
            sync_us: (200, 2_000),
            read_us: (20, 200),
            torn_permille: 0,
            log_bytes: 64 << 20,
            forgets_failures: false,
            believes_failures: false,
            answers_the_dead: false,
        }
    }
}

/// What the disk has to say to its machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// See [`Input::Committed`].
    Committed(Ticket, Result<Room, StorageError>),
    /// See [`Input::Applied`].
    Applied(Ticket, Result<(), StorageError>),
    /// See [`Input::Fetched`].
    Fetched(Ticket, Result<Fetched, StorageError>),
}

impl Answer {
    /// As the machine is told it.
    pub fn into_input(self) -> Input<'static> {
        match self {
            Answer::Committed(ticket, result) => Input::Committed { ticket, result },
            Answer::Applied(ticket, result) => Input::Applied { ticket, result },
            Answer::Fetched(ticket, result) => Input::Fetched { ticket, result },
        }
    }
}

/// The two stores of a host, in virtual time.
///
/// Three devices work side by side: one syncs the log, one applies to the records, one reads. Each does one thing after
/// another. What was not synced when the node crashes is lost, except for a drawn prefix of the entries that were
/// just being written; an entry is half there only where the profile says that it may be.
///
/// Sans-io like the machines: [`VirtualDisk::next_at_us`] says when there is something to [`VirtualDisk::poll`].
#[derive(Debug, Clone)]
pub struct VirtualDisk {
    profile: DiskProfile,
    streams: Streams,
    log: BTreeMap<u64, Bytes>,
    /// How often what it holds has become something else.
    changes: u64,
    decoded: Decoded,
    log_used_bytes: u64,
    records: BTreeMap<Bytes, Bytes>,
    applied: u64,
    /// How to take the last apply back.
    undo: Option<Undo>,
    commits: VecDeque<(Ticket, Option<(u64, Bytes)>)>,
    /// The first so many of `commits` are in the sync that ends then.
    syncing: Option<(usize, u64)>,
    applies: VecDeque<Apply>,
    applying_until_us: Option<u64>,
    fetches: VecDeque<(Ticket, Fetch)>,
    reading_until_us: Option<u64>,
    ready: VecDeque<Answer>,
    failed: Option<StorageError>,
    fail_next_commit: bool,
    fail_next_apply: bool,
    fail_next_read: bool,
    /// It holds something else than what was written to it.
    damaged: bool,
    /// Something that was synced is missing from it, or it is damaged.
    harmed: bool,
    full: bool,
    slow: u64,
    misuse: Option<String>,
    reached: Reached,
    /// What an earlier boot had in flight, where [`DiskProfile::answers_the_dead`].
    of_the_dead: Vec<Ticket>,
}

impl VirtualDisk {
    /// An empty disk. Every draw is keyed by what is done, and when.
    pub fn new(profile: DiskProfile, seed: SeededRng) -> Self {
        Self {
            profile,
            streams: Streams::new(&seed, "disk"),
            log: BTreeMap::new(),
            changes: 0,
            decoded: Decoded::default(),
            log_used_bytes: 0,
            records: BTreeMap::new(),
            applied: 0,
            undo: None,
            commits: VecDeque::new(),
            syncing: None,
            applies: VecDeque::new(),
            applying_until_us: None,
            fetches: VecDeque::new(),
            reading_until_us: None,
            ready: VecDeque::new(),
            failed: None,
            fail_next_commit: false,
            fail_next_apply: false,
            fail_next_read: false,
            damaged: false,
            harmed: false,
            full: false,
            slow: 1,
            misuse: None,
            reached: Reached::default(),
            of_the_dead: Vec::new(),
        }
    }

    /// Queues a commit. The entry's number must be the one after the last.
    pub fn commit(&mut self, at_us: u64, ticket: Ticket, entry: Option<(u64, Bytes)>) {
        if let (Some((number, _)), None) = (&entry, self.failed) {
            let expected = self.last_given() + 1;
            if *number != expected {
                self.blame(format!("log entry {number} was appended where {expected} was due"));
            }
        }
        self.commits.push_back((ticket, entry));
        self.work_on_log(at_us);
    }

    /// Queues an apply.
    pub fn apply(&mut self, at_us: u64, apply: Apply) {
        let upto = apply.upto;
        let before = self.applies.back().map_or(self.applied, |last| last.upto);
        if self.failed.is_none() && upto > self.last_durable() {
            let last = self.last_durable();
            self.blame(format!("applied up to {upto}, and the log ends at {last}"));
        }
        if upto < before {
            self.blame(format!("applied up to {upto} after {before}"));
        }
        let puts = apply.puts.is_sorted_by(|a, b| a.0 < b.0);
        if !puts || !apply.deletes.is_sorted_by(|a, b| a < b) {
            self.blame(format!("the keys applied up to {upto} do not ascend"));
        }
        let both = |key: &Bytes| apply.puts.binary_search_by(|(put, _)| put.cmp(key)).is_ok();
        if puts && apply.deletes.iter().any(both) {
            self.blame(format!("a key applied up to {upto} is both put and deleted"));
        }
        self.applies.push_back(apply);
        self.work_on_records(at_us);
    }

    /// Drops the log's entries up to and including `number`.
    pub fn cut(&mut self, number: u64) {
        if number > self.applied {
            let applied = self.applied;
            self.blame(format!(
                "the log was cut at {number}, and the records hold only up to {applied}"
            ));
            return;
        }
        let kept = self.log.split_off(&(number + 1));
        self.log = kept;
        self.changes += 1;
        self.log_used_bytes = self.log.values().map(|entry| entry.len() as u64).sum();
    }

    /// Queues a read.
    pub fn fetch(&mut self, at_us: u64, ticket: Ticket, fetch: Fetch) {
        self.fetches.push_back((ticket, fetch));
        self.work_on_reads(at_us);
    }

    /// When there is something to poll.
    pub fn next_at_us(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        let sync = self.syncing.map(|(_, until_us)| until_us);
        [sync, self.applying_until_us, self.reading_until_us]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing that has been done by `at_us`.
    pub fn poll(&mut self, at_us: u64) -> Option<Answer> {
        if self.ready.is_empty() {
            self.finish(at_us);
        }
        self.ready.pop_front()
    }

    /// The power goes: what was in flight is gone, or as good as. What the machine was to be told is never told.
    pub fn crash(&mut self, at_us: u64) {
        let mut draw = self.streams.at(Use::Crash as u64, at_us);
        if let Some((group, _)) = self.syncing.take() {
            self.write_some(group, &mut draw);
            self.tear(group, &mut draw);
        }
        if self.profile.answers_the_dead {
            self.of_the_dead.extend(self.commits.iter().map(|(ticket, _)| *ticket));
        }
        self.commits.clear();
        if self.applying_until_us.take().is_some() && draw.chance(500) {
            self.write_apply();
        }
        self.applies.clear();
        self.fetches.clear();
        self.reading_until_us = None;
        self.ready.clear();
        self.failed = None;
        self.fail_next_commit = false;
        self.fail_next_apply = false;
        self.fail_next_read = false;
    }

    /// The next group of log entries fails. What of it will be found later is drawn.
    pub fn fail_next_commit(&mut self) {
        self.fail_next_commit = true;
    }

    /// The next apply fails.
    pub fn fail_next_apply(&mut self) {
        self.fail_next_apply = true;
    }

    /// The next read fails.
    pub fn fail_next_read(&mut self) {
        self.fail_next_read = true;
    }

    /// No room is left, or there is room again.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Everything takes `factor` times as long.
    pub fn set_slow(&mut self, factor: u64) {
        self.slow = factor.max(1);
    }

    /// As good as new. What has failed still needs a [`Fetch::Recover`].
    pub fn heal(&mut self) {
        self.fail_next_commit = false;
        self.fail_next_apply = false;
        self.fail_next_read = false;
        self.full = false;
        self.slow = 1;
    }

    /// What the machine did that no machine may do, once.
    pub fn take_misuse(&mut self) -> Option<String> {
        self.misuse.take()
    }

    /// Whether nothing is on its way to the log or the records.
    pub fn is_idle(&self) -> bool {
        self.commits.is_empty() && self.applies.is_empty() && self.ready.is_empty()
    }

    /// The last log entry that a crash would leave, 0 if there never was one.
    pub fn last_durable(&self) -> u64 {
        self.log.last_key_value().map_or(self.applied, |(number, _)| *number)
    }

    /// The last log entry that the records hold.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The log as a crash would leave it.
    pub fn log(&self) -> &BTreeMap<u64, Bytes> {
        &self.log
    }

    /// What of the log was read last, for those who follow it.
    pub fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// The records as a crash would leave them.
    pub fn records(&self) -> &BTreeMap<Bytes, Bytes> {
        &self.records
    }

    /// How often what it holds has become something else: as long as the number stays, so does all that a crash would leave.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What was in fact hit.
    pub fn reached(&self) -> &Reached {
        &self.reached
    }

    fn last_given(&self) -> u64 {
        let in_flight = self.commits.iter().rev().find_map(|(_, entry)| entry.as_ref());
        in_flight.map_or(self.last_durable(), |(number, _)| *number)
    }

    fn room(&self) -> Room {
        let bytes = match self.full {
            true => 0,
            false => self.profile.log_bytes.saturating_sub(self.log_used_bytes),
        };
        Room { bytes }
    }

    fn blame(&mut self, misuse: String) {
        self.misuse.get_or_insert(misuse);
    }

    /// How long something takes that begins now.
    fn duration_us(&mut self, what: Use, at_us: u64, range_us: (u64, u64)) -> u64 {
        if self.slow > 1 {
            self.reached.hit(Spot::DiskSlow);
        }
        self.streams.at(what as u64, at_us).between(range_us) * self.slow
    }
}

/// What the records were before an apply.
#[derive(Debug, Clone)]
struct Undo {
    /// What was applied before it.
    applied: u64,
    /// What was under each of its keys.
    replaced: Vec<(Bytes, Option<Bytes>)>,
}

/// What is drawn for.
#[derive(Debug, Clone, Copy)]
enum Use {
    Sync,
    Apply,
    Read,
    Crash,
    Failure,
    Harm,
}

fn entry_bytes(entry: &Option<(u64, Bytes)>) -> u64 {
    entry.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64)
}

#[cfg(test)]
mod tests;
