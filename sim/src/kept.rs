//! What the disk of each node has, and what it ever had: who judges writes that several replicas must have asks here.
//!
//! Disks are followed from the moment at which the first client asks for more than one replica; before it there is nothing to judge,
//! and a run in which nobody does pays nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::wire::Consistency;

use crate::client::Said;
use crate::disk::VirtualDisk;
use crate::invariant::Seen;
use crate::model::{LogReader, State, Version, merge, state_of};
use crate::replicas::configured;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    follows: bool,
    /// How many nodes there are.
    nodes: usize,
    /// How many replicas every partition has at least, in the eyes of every node: a cluster begins with one.
    replicas: usize,
    /// The fewest since a client first asked for a write, by client and number.
    asked: BTreeMap<(usize, u64), usize>,
    disks: BTreeMap<usize, Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    reader: LogReader,
    has: State,
    /// The greatest version of each record that any disk of this node had.
    ever: State,
}

impl Kept {
    /// Takes note of what happened.
    ///
    /// # Errors
    /// If a disk holds what no kernel writes.
    pub fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => self.nodes = self.nodes.max(node + 1),
            Seen::Placed { replicas } => {
                self.replicas = *replicas;
                let replicas = self.replicas();
                self.asked.values_mut().for_each(|asked| *asked = replicas.min(*asked));
            }
            Seen::Talked { client, talk } => {
                if let Said::AsksToWrite { request, level, .. } = &talk.said
                    && *level > Consistency::Eventual
                {
                    self.follows = true;
                    let replicas = self.replicas();
                    self.asked.entry((*client, *request)).or_insert(replicas);
                }
            }
            Seen::Stepped { step, disk } if self.follows => self.follow(step.node, disk)?,
            Seen::DiskChanged { disks, .. } if self.follows => {
                for (node, disk) in disks.iter().enumerate() {
                    self.replace(node, *disk)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn follow(&mut self, node: usize, disk: &VirtualDisk) -> Result<(), String> {
        let Some(Disk { reader, has, ever }) = self.disks.get_mut(&node) else {
            return self.replace(node, Some(disk).filter(|disk| !disk.is_damaged()));
        };
        for (_, entry) in reader.new_entries(disk)? {
            for (key, version) in &entry.changes {
                merge(has, key, version);
                merge(ever, key, version);
            }
        }
        Ok(())
    }

    /// The node has this disk from now on, or none.
    fn replace(&mut self, node: usize, disk: Option<&VirtualDisk>) -> Result<(), String> {
        let known = self.disks.entry(node).or_default();
        known.has = disk.map(state_of).transpose()?.unwrap_or_default();
        known.reader = disk.map(LogReader::at_end_of).unwrap_or_default();
        let Disk { has, ever, .. } = known;
        has.iter().for_each(|(key, version)| merge(ever, key, version));
        Ok(())
    }

    fn replicas(&self) -> usize {
        self.replicas.clamp(1, configured(self.nodes).max(1))
    }

    /// The fewest replicas that there were since a client first asked for a write: whoever coordinates it knows of no fewer.
    pub fn replicas_of(&self, client: usize, request: u64) -> usize {
        let asked = self.asked.get(&(client, request));
        asked.copied().unwrap_or_else(|| self.replicas())
    }

    /// How many nodes have this version or a newer one on their disks, or had it on one that was taken from them.
    pub fn ever_had(&self, key: &Bytes, version: &Version) -> usize {
        let disks = self.disks.values();
        disks.filter(|disk| reaches(&disk.ever, key, version)).count()
    }

    /// How many nodes had it, and do not have it now: their disks were changed, and it was not brought back to them.
    pub fn lost(&self, key: &Bytes, version: &Version) -> usize {
        let lost = |disk: &&Disk| reaches(&disk.ever, key, version) && !reaches(&disk.has, key, version);
        self.disks.values().filter(lost).count()
    }
}

fn reaches(state: &State, key: &Bytes, version: &Version) -> bool {
    state.get(key).is_some_and(|held| held >= version)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use kernel::env::WriterId;
    use kernel::hlc::Stamp;

    pub(crate) const KEY: Bytes = Bytes::from_static(b"m\0k");

    pub(crate) fn version(ms: u64) -> Version {
        Version {
            stamp: Stamp::new(ms, 0, WriterId(1)).expect("a time in range"),
            ttl_ms: None,
            value: Some(Bytes::from_static(&[1])),
            writer: "w".into(),
        }
    }

    impl Kept {
        /// Three nodes; each had the record as of the first time, and has it as of the second. Zero is for nothing.
        pub(crate) fn of(disks: [(u64, u64); 3]) -> Self {
            let state = |ms| (ms > 0).then(|| (KEY, version(ms))).into_iter().collect();
            let disk = |(ever, has)| Disk {
                ever: state(ever),
                has: state(has),
                ..Disk::default()
            };
            Self {
                follows: true,
                nodes: 3,
                replicas: 3,
                asked: BTreeMap::new(),
                disks: (0..).zip(disks.map(disk)).collect(),
            }
        }
    }

    #[test]
    fn what_was_had_counts_and_what_is_not_there_any_more_is_lost() {
        let kept = Kept::of([(5, 5), (5, 3), (0, 0)]);
        let count = |ms| (kept.ever_had(&KEY, &version(ms)), kept.lost(&KEY, &version(ms)));
        assert_eq!(count(3), (2, 0), "a newer one will do");
        assert_eq!(count(5), (2, 1));
        assert_eq!(count(6), (0, 0));
    }
}
