//! What the three devices of a disk do, one thing after another.

use bytes::Bytes;
use kernel::env::Ticket;
use kernel::machine::{Fetch, Fetched, StorageError};

use super::{Answer, Undo, Use, VirtualDisk, entry_bytes};
use crate::reached::Spot;
use crate::streams::Draw;

impl VirtualDisk {
    /// Begins the next sync, unless one is running; barriers at the front need none.
    pub(super) fn work_on_log(&mut self, at_us: u64) {
        if let Some(error) = self.failed {
            for (ticket, _) in self.commits.drain(..) {
                self.ready.push_back(Answer::Committed(ticket, Err(error)));
            }
            return;
        }
        while self.syncing.is_none() {
            match self.commits.front() {
                None => return,
                Some((_, Some(_))) => {
                    let until_us = at_us + self.duration_us(Use::Sync, at_us, self.profile.sync_us);
                    self.syncing = Some((self.commits.len(), until_us));
                }
                Some((ticket, None)) => {
                    let ticket = *ticket;
                    self.commits.pop_front();
                    let room = self.room();
                    self.ready.push_back(Answer::Committed(ticket, Ok(room)));
                }
            }
        }
    }

    pub(super) fn work_on_records(&mut self, at_us: u64) {
        if let Some(error) = self.failed {
            self.fail_applies(error);
        } else if self.applying_until_us.is_none() && !self.applies.is_empty() {
            let apply_us = self.duration_us(Use::Apply, at_us, self.profile.sync_us);
            self.applying_until_us = Some(at_us + apply_us);
        }
    }

    pub(super) fn work_on_reads(&mut self, at_us: u64) {
        if self.reading_until_us.is_none() && !self.fetches.is_empty() {
            let read_us = self.duration_us(Use::Read, at_us, self.profile.read_us);
            self.reading_until_us = Some(at_us + read_us);
        }
    }

    pub(super) fn finish(&mut self, at_us: u64) {
        if let Some((group, until_us)) = self.syncing.filter(|(_, until_us)| *until_us <= at_us) {
            self.syncing = None;
            self.finish_sync(until_us, group);
            self.work_on_log(until_us);
        } else if let Some(until_us) = self.applying_until_us.filter(|until_us| *until_us <= at_us) {
            self.applying_until_us = None;
            self.finish_apply();
            self.work_on_records(until_us);
        } else if let Some(until_us) = self.reading_until_us.filter(|until_us| *until_us <= at_us) {
            self.reading_until_us = None;
            if let Some((ticket, fetch)) = self.fetches.pop_front() {
                let found = match std::mem::take(&mut self.fail_next_read) {
                    true => {
                        self.reached.hit(Spot::ReadFailed);
                        Err(StorageError::Io)
                    }
                    false => Ok(self.read(fetch)),
                };
                self.ready.push_back(Answer::Fetched(ticket, found));
            }
            self.work_on_reads(until_us);
        }
    }

    fn finish_sync(&mut self, at_us: u64, group: usize) {
        let group_bytes: u64 = self
            .commits
            .iter()
            .take(group)
            .map(|(_, entry)| entry_bytes(entry))
            .sum();
        let full = self.full || self.log_used_bytes + group_bytes > self.profile.log_bytes;
        let io = std::mem::take(&mut self.fail_next_commit);
        if full || io {
            let (error, spot) = match io {
                true => (StorageError::Io, Spot::CommitFailed),
                false => (StorageError::Full, Spot::DiskFull),
            };
            self.reached.hit(spot);
            if self.profile.believes_failures {
                let mut draw = self.streams.at(Use::Failure as u64, at_us);
                self.write_some(group, &mut draw);
                let room = self.room();
                let answers = self.commits.drain(..group);
                self.ready
                    .extend(answers.map(|(ticket, _)| Answer::Committed(ticket, Ok(room))));
                return;
            }
            if self.profile.forgets_failures {
                if let Some((ticket, _)) = self.commits.pop_front() {
                    self.ready.push_back(Answer::Committed(ticket, Err(error)));
                }
                return;
            }
            if io {
                let mut draw = self.streams.at(Use::Failure as u64, at_us);
                self.write_some(group, &mut draw);
            }
            self.failed = Some(error);
            self.fail_applies(error);
            return;
        }
        for _ in 0..group {
            if let Some((ticket, entry)) = self.commits.pop_front() {
                self.write(entry);
                let room = self.room();
                self.ready.push_back(Answer::Committed(ticket, Ok(room)));
            }
        }
    }

    fn fail_applies(&mut self, error: StorageError) {
        self.applying_until_us = None;
        for apply in self.applies.drain(..) {
            self.ready.push_back(Answer::Applied(apply.ticket, Err(error)));
        }
    }

    fn finish_apply(&mut self) {
        if std::mem::take(&mut self.fail_next_apply) {
            self.reached.hit(Spot::ApplyFailed);
            // Those behind it would leave a hole in the records if they went through.
            self.fail_applies(StorageError::Io);
            return;
        }
        if let Some(ticket) = self.write_apply() {
            self.ready.push_back(Answer::Applied(ticket, Ok(())));
        }
    }

    pub(super) fn write_apply(&mut self) -> Option<Ticket> {
        let apply = self.applies.pop_front()?;
        self.changes += 1;
        let mut replaced = Vec::with_capacity(apply.puts.len() + apply.deletes.len());
        for (key, value) in apply.puts {
            let before = self.records.insert(key.clone(), value);
            replaced.push((key, before));
        }
        for key in apply.deletes {
            let before = self.records.remove(&key);
            replaced.push((key, before));
        }
        let applied = self.applied;
        self.undo = Some(Undo { applied, replaced });
        self.applied = apply.upto.max(self.applied);
        Some(apply.ticket)
    }

    fn write(&mut self, entry: Option<(u64, Bytes)>) {
        if let Some((number, bytes)) = entry {
            self.log_used_bytes += bytes.len() as u64;
            self.changes += 1;
            self.log.insert(number, bytes);
        }
    }

    /// Writes a drawn prefix of the group, without an answer.
    pub(super) fn write_some(&mut self, group: usize, draw: &mut Draw) {
        let survivors = draw.between((0, group as u64)) as usize;
        match survivors {
            0 => self.reached.hit(Spot::SyncLost),
            _ if survivors < group => self.reached.hit(Spot::SyncPrefix),
            _ => {}
        }
        let entries: Vec<_> = self
            .commits
            .iter()
            .take(survivors)
            .map(|(_, entry)| entry.clone())
            .collect();
        for entry in entries {
            self.write(entry);
        }
    }

    fn read(&mut self, fetch: Fetch) -> Fetched {
        match fetch {
            Fetch::Recover => {
                self.failed = None;
                let (room, dead) = (self.room(), std::mem::take(&mut self.of_the_dead));
                let answers = dead.into_iter().map(|ticket| Answer::Committed(ticket, Ok(room)));
                self.ready.extend(answers);
                let ends = (self.log.first_key_value(), self.log.last_key_value());
                Fetched::Recovered {
                    applied: self.applied,
                    log: ends.0.zip(ends.1).map(|((first, _), (last, _))| (*first, *last)),
                    room: self.room(),
                }
            }
            Fetch::Records { after, limit_bytes } => {
                use std::ops::Bound::{Excluded, Unbounded};
                let from = after.map_or(Unbounded, Excluded);
                let mut rest = self.records.range((from, Unbounded)).peekable();
                let (mut rows, mut bytes) = (Vec::new(), 0);
                while let Some((key, value)) = rest.next_if(|_| rows.is_empty() || bytes < limit_bytes) {
                    bytes += key.len() + value.len();
                    rows.push((key.clone(), value.clone()));
                }
                let done = rest.peek().is_none();
                Fetched::Records { rows, done }
            }
            Fetch::Log { from, limit_bytes } => {
                let mut rest = self.log.range(from..).peekable();
                let (mut entries, mut bytes) = (Vec::new(), 0);
                while let Some((number, entry)) = rest.next_if(|_| entries.is_empty() || bytes < limit_bytes) {
                    bytes += entry.len();
                    entries.push((*number, entry.clone()));
                }
                let done = rest.peek().is_none();
                Fetched::Log { entries, done }
            }
        }
    }
}
