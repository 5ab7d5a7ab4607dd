//! **Promises** that an answer of any replica is as old as it says at most: everything that was durable at the acting owner so many
//! milliseconds before the replica looked is in it, or what wins over that.
//! **From** bounded staleness (Terry et al., "Replicated Data Consistency Explained Through Baseball", 2013); the counterexample is a
//! backup that counts from when it last heard of the owner, while what was skipped on the way is missing.
//!
//! The acting owner is who acts as owner in the eyes of the replica: on the other side of a split there may be another.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{Invariant, Seen};
use crate::disk::VirtualDisk;
use crate::model::{LogReader, State, Version, merge, show, state_of};
use crate::written::Written;

/// Drift of the clock by which a replica counts, at most: a tenth.
const DRIFT: (u64, u64) = (10, 9);

/// What counts as long ago: by then every replica has it, or says that it does not know.
const LONG_US: u64 = 600_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct BoundedStaleness {
    written: Written,
    disks: BTreeMap<usize, Disk>,
}

/// What the disk of a node has.
#[derive(Debug, Default)]
struct Disk {
    reader: LogReader,
    /// What it had long ago.
    had: State,
    /// What came since, with the time at which it was seen there.
    came: BTreeMap<Bytes, VecDeque<(u64, Version)>>,
}

impl Disk {
    /// One that is as it is from now on.
    fn of(disk: Option<&VirtualDisk>, at_us: u64) -> Result<Self, String> {
        let has = disk.map(state_of).transpose()?.unwrap_or_default();
        let came = has.into_iter().map(|(key, version)| (key, [(at_us, version)].into()));
        Ok(Self {
            reader: disk.map(LogReader::at_end_of).unwrap_or_default(),
            had: State::default(),
            came: came.collect(),
        })
    }

    fn follow(&mut self, disk: &VirtualDisk, at_us: u64) -> Result<(), String> {
        for (_, entry) in self.reader.new_entries(disk)? {
            for (key, version) in &entry.changes {
                let came = self.came.entry(key.clone()).or_default();
                came.push_back((at_us, version.clone()));
                while let Some((_, version)) = came.pop_front_if(|(at, _)| *at + LONG_US < at_us) {
                    merge(&mut self.had, key, &version);
                }
            }
        }
        Ok(())
    }

    /// The greatest version of a record that it had at a time.
    fn at(&self, key: &Bytes, at_us: u64) -> Option<&Version> {
        let came = self.came.get(key).into_iter().flatten();
        let came = came.filter(|(at, _)| *at <= at_us).map(|(_, version)| version);
        came.chain(self.had.get(key)).max()
    }
}

impl Invariant for BoundedStaleness {
    fn name(&self) -> &'static str {
        "bounded-staleness"
    }

    fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match *seen {
            Seen::Wrote(write) => self.written.add(write),
            Seen::Stepped { step, disk } => self.disks.entry(step.node).or_default().follow(disk, at_us)?,
            Seen::DiskChanged { node, disks } => {
                let disk = disks.get(node).copied().flatten();
                self.disks.insert(node, Disk::of(disk, at_us)?);
            }
            Seen::Aged {
                node,
                owner,
                key,
                found,
                stale_ms,
            } => {
                let stale_us = (stale_ms * 1_000).saturating_mul(DRIFT.0) / DRIFT.1;
                let upto_us = at_us.saturating_sub(stale_us);
                let Some(had) = self.disks.get(&owner).and_then(|disk| disk.at(key, upto_us)) else {
                    return Ok(());
                };
                let shown = found.and_then(|found| self.written.find(key, found));
                let sees = match (found, shown) {
                    (None, _) => self.written.can_vanish(key, had),
                    (Some(_), Some(shown)) => shown >= had,
                    // Nobody wrote it: another promise is broken.
                    (Some(_), None) => true,
                };
                if !sees {
                    let (shown, had) = (show(key, shown), show(key, Some(had)));
                    return Err(format!(
                        "n{node} shows what is {stale_ms} ms old at most; n{owner} had {had} before that, and it showed {shown}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
