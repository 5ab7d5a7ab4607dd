//! **Promises** that when all is quiet all replicas of a partition hold the same, record by record and byte by byte, that no other node
//! holds anything of it, and nobody anything that nobody wrote. Compared is the full state, on disk and in memory, never a digest.
//! **From** strong eventual consistency (Shapiro et al., "Conflict-free Replicated Data Types", 2011).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kernel::partition::PartitionId;

use super::{Invariant, Seen, Survivor};
use crate::disk::VirtualDisk;
use crate::model::{State, Version, show, state_of};
use crate::replicas::partition_of;

/// See the module.
#[derive(Debug, Default)]
pub struct Convergence {
    written: BTreeMap<Bytes, Vec<Version>>,
}

/// The first record in which two states differ, if any does.
fn difference<'s>(a: &'s State, b: &'s State) -> Option<&'s Bytes> {
    let differs = |key: &&Bytes| a.get(*key) != b.get(*key);
    a.keys().chain(b.keys()).find(differs)
}

/// Where two nodes differ, in words; or that they do not. Those that are replicas of a partition hold the same of it, and nobody else
/// holds any of it.
///
/// `holds` says whether a node is a replica of a partition in the end.
///
/// # Errors
/// The difference, or a disk that cannot be read.
pub fn agree(disks: &[(usize, &VirtualDisk)], holds: impl Fn(usize, PartitionId) -> bool) -> Result<(), String> {
    let mut states = Vec::with_capacity(disks.len());
    for (node, disk) in disks {
        states.push((*node, state_of(disk)?));
    }
    compare(&states, holds)
}

fn compare(states: &[(usize, State)], holds: impl Fn(usize, PartitionId) -> bool) -> Result<(), String> {
    let keys: BTreeSet<&Bytes> = states.iter().flat_map(|(_, state)| state.keys()).collect();
    for key in keys {
        let partition = partition_of(key);
        let held = states.iter().map(|(node, state)| (*node, state.get(key)));
        let (replicas, others): (Vec<_>, Vec<_>) = held.partition(|(node, _)| holds(*node, partition));
        let Some(((first, ours), rest)) = replicas.split_first() else {
            continue;
        };
        let shown = |version| show(key, version);
        if let Some((node, theirs)) = rest.iter().find(|(_, theirs)| theirs != ours) {
            let (ours, theirs) = (shown(*ours), shown(*theirs));
            return Err(format!(
                "n{first} and n{node} hold the same; n{first} has {ours}, n{node} has {theirs}"
            ));
        }
        if let Some((node, theirs)) = others.iter().find(|(_, theirs)| theirs.is_some()) {
            let (ours, theirs) = (shown(*ours), shown(*theirs));
            return Err(format!(
                "n{node} is no replica and has nothing left; n{first}, which is, has {ours}, n{node} has {theirs}"
            ));
        }
    }
    Ok(())
}

impl Invariant for Convergence {
    fn name(&self) -> &'static str {
        "convergence"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Wrote(write) => {
                self.written
                    .entry(write.key.clone())
                    .or_default()
                    .push(write.version.clone());
            }
            Seen::Quiet { nodes, .. } => {
                let disks: Vec<_> = nodes.iter().map(|left| (left.node, left.disk)).collect();
                let replica = |node| nodes.iter().find(|left| left.node == node);
                agree(&disks, |node, partition| {
                    replica(node).is_some_and(|left| left.replica_of.holds(partition))
                })?;
                for Survivor { node, disk, memory, .. } in *nodes {
                    let state = state_of(disk)?;
                    if let Some(key) = difference(memory, &state) {
                        let (held, stored) = (show(key, memory.get(key)), show(key, state.get(key)));
                        return Err(format!(
                            "n{node} has on disk what it has in memory; there is {stored}, not {held}"
                        ));
                    }
                    // What replicas keep of named registers no client wrote.
                    for (key, version) in state.iter().filter(|(key, _)| !key.starts_with(b"$sys/")) {
                        let known = self.written.get(key).is_some_and(|written| written.contains(version));
                        if !known {
                            let invented = show(key, Some(version));
                            return Err(format!("somebody wrote all that is there; nobody wrote {invented}"));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::tests::{KEY, version};

    /// What is said of three nodes that have the record as of these times (zero: not at all), of which the first two are replicas.
    fn said(times: [u64; 3]) -> Result<(), String> {
        let state = |ms| (ms > 0).then(|| (KEY, version(ms))).into_iter().collect();
        let states: Vec<(usize, State)> = (0..).zip(times.map(state)).collect();
        compare(&states, |node, partition| node < 2 && partition == partition_of(&KEY))
    }

    #[test]
    fn replicas_hold_the_same_and_others_nothing() {
        for agreed in [[5, 5, 0], [0, 0, 0]] {
            assert_eq!(said(agreed), Ok(()), "{agreed:?}");
        }
        for (differs, words) in [
            ([5, 4, 5], "n0 and n1 hold the same"),
            ([5, 0, 5], "n1 has m/k = nothing"),
            ([5, 5, 6], "n2 is no replica"),
            ([5, 5, 5], "n2 is no replica"),
            ([5, 5, 4], "n2 is no replica"),
            ([0, 0, 5], "n0, which is, has m/k = nothing"),
        ] {
            let wrong = said(differs).expect_err("they differ");
            assert!(wrong.contains(words), "{differs:?}: {wrong}");
        }
    }

    #[test]
    fn what_no_replica_is_left_of_is_compared_with_nothing() {
        let states = [(0, [(KEY, version(5))].into()), (1, State::new())];
        assert_eq!(compare(&states, |_, _| false), Ok(()));
    }
}
