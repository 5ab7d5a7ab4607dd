//! **Promises** that an acknowledged write is never lost: when its client hears of it, the node that said so has it on disk,
//! or a version that wins over it; and when all is quiet, every replica has. A write that one node acknowledged may be lost with that
//! node's disk, if no other disk had it by then: that is what `eventual` at `disk` says. It is not lost with the disk of a node that has left
//! as it was told to: what that held has moved.
//! **From** rule 4 of the promises, and what Jepsen's set and register tests ask of every database (jepsen.io/analyses).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Invariant, Seen, Survivor};
use crate::disk::VirtualDisk;
use crate::model::{LogReader, State, Version, merge, show, state_of};
use crate::replicas::partition_of;

/// See the module.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// The greatest version of each record that was acknowledged.
    promised: State,
    durable: BTreeMap<usize, (LogReader, State)>,
    /// Nodes whose disks are damaged or gone.
    lost: BTreeSet<usize>,
    /// What nodes had on disks that were taken from them: an answer may still be on its way.
    taken: BTreeMap<usize, State>,
    /// Deletes, and what expires, that some node has forgotten: what was older is not missing.
    collected: State,
}

/// Whether a state has a version, or one that wins over it.
fn has(state: &State, key: &Bytes, version: &Version) -> bool {
    state.get(key).is_some_and(|held| held >= version)
}

impl Acknowledged {
    fn follow(&mut self, node: usize, disk: &VirtualDisk) -> Result<&State, String> {
        let (reader, state) = self.durable.entry(node).or_default();
        if self.lost.contains(&node) {
            return Ok(state);
        }
        for (_, entry) in reader.new_entries(disk)? {
            for key in &entry.forgets {
                let dead = |held: &&Version| held.value.is_none() || held.ttl_ms.is_some();
                if let Some(held) = state.get(key).filter(dead) {
                    merge(&mut self.collected, key, held);
                }
            }
            entry.follow(state);
        }
        Ok(state)
    }
}

impl Invariant for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Stepped { step, disk } => {
                self.follow(step.node, disk)?;
            }
            Seen::Acknowledged { node, write, disk, .. } => {
                let has = |state: &State| has(state, &write.key, &write.version);
                self.follow(*node, disk)?;
                // Whoever coordinated it: the node that tells of it need not hold it.
                let on_disk = self.durable.values().any(|(_, state)| has(state));
                if on_disk {
                    merge(&mut self.promised, &write.key, &write.version);
                } else if !self.taken.values().any(has) && !has(&self.collected) {
                    let held = self.follow(*node, disk)?.get(&write.key);
                    let (written, held) = (show(&write.key, Some(&write.version)), show(&write.key, held));
                    return Err(format!(
                        "n{node} acknowledged {written}, so it is on its disk or older than what is; there is {held}"
                    ));
                }
            }
            Seen::DiskChanged { node, disks } => {
                if let Some((_, state)) = self.durable.remove(node) {
                    let taken = self.taken.entry(*node).or_default();
                    state.iter().for_each(|(key, version)| merge(taken, key, version));
                }
                let mut left = Vec::new();
                for (node, disk) in disks.iter().enumerate() {
                    self.lost.insert(node);
                    if let Some(disk) = disk {
                        self.lost.remove(&node);
                        let state = state_of(disk)?;
                        self.durable.insert(node, (LogReader::at_end_of(disk), state.clone()));
                        left.push(state);
                    }
                }
                self.promised
                    .retain(|key, version| left.iter().any(|state| has(state, key, version)));
            }
            Seen::Retired { node, others } => {
                let others = others.iter().map(|disk| state_of(disk));
                let others = others.collect::<Result<Vec<State>, String>>()?;
                for (key, version) in &self.promised {
                    let is_here = self
                        .durable
                        .get(node)
                        .is_some_and(|(_, state)| has(state, key, version));
                    let is_left =
                        others.iter().any(|state| has(state, key, version)) || has(&self.collected, key, version);
                    if is_here && !is_left {
                        let promised = show(key, Some(version));
                        return Err(format!(
                            "{promised} was acknowledged; n{node} has left, and nobody else has it"
                        ));
                    }
                }
            }
            Seen::Quiet { nodes, .. } => {
                for Survivor {
                    node, disk, replica_of, ..
                } in *nodes
                {
                    let state = state_of(disk)?;
                    let owed = |key: &Bytes| replica_of.holds(partition_of(key));
                    for (key, version) in self.promised.iter().filter(|(key, _)| owed(key)) {
                        if !has(&state, key, version) && !has(&self.collected, key, version) {
                            let held = state.get(key);
                            let (promised, held) = (show(key, Some(version)), show(key, held));
                            return Err(format!("{promised} was acknowledged; in the end n{node} has {held}"));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
