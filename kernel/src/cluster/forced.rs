//! A new beginning, where too few members are left to agree on anything: rule 9 of the promises.
//!
//! Whoever runs the cluster decides that the others are gone for good; nothing in here can know. The new generation has the members that
//! are left, and what they hold. Its versions begin above all that the generation before can have reached by counting, so that whoever
//! comes back from that one learns of it, finds that it is no member any more, and begins anew with what it holds.

use alloc::vec::Vec;

use crate::cluster::{ClusterState, Placement};
use crate::env::NodeId;

/// Versions of a generation; the first one has some fewer.
const GENERATION_VERSIONS: u64 = 1 << 32;

/// Two new beginnings of one generation differ in their first version, mostly: it is this much below the next, times a number that is
/// drawn. The higher one stays.
const SPREAD: u64 = 1 << 16;

/// What a new beginning costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Members that are given up.
    pub members: usize,
    /// Partitions of which nobody who is left holds anything: they are empty afterwards.
    pub gone: usize,
    /// Partitions of which fewer than a majority of the replicas are left: writes that the others acknowledged may be missing.
    pub doubtful: usize,
}

impl ClusterState {
    /// What would be lost if those alone were left.
    pub fn losses(&self, left: &[NodeId]) -> Losses {
        let mut losses = Losses {
            members: self.members.iter().filter(|member| !left.contains(&member.id)).count(),
            ..Losses::default()
        };
        for placement in &self.placements {
            if !placement.holders().any(|node| left.contains(&node)) {
                losses.gone += 1;
            } else if !placement.majority(|node| left.contains(&node)).is_enough() {
                losses.doubtful += 1;
            }
        }
        losses
    }

    /// The next generation, of the members that are left, and the version that it begins with. `drawn` is random.
    ///
    /// # Panics
    /// If no member is left.
    pub fn forced(&self, left: &[NodeId], drawn: u64) -> (u64, Self) {
        let generation = self.generation + 1;
        let version = generation * GENERATION_VERSIONS + drawn % SPREAD * SPREAD;
        let mut next = self.clone();
        next.generation = generation;
        next.born = version;
        next.members.retain(|member| left.contains(&member.id));
        let heir = next.members.first().expect("somebody is left").id;
        for placement in &mut next.placements {
            let mut replicas: Vec<NodeId> = placement.holders().filter(|node| left.contains(node)).collect();
            if replicas.is_empty() {
                replicas.push(heir);
            }
            *placement = Placement {
                replicas,
                target: Vec::new(),
                since: version,
            };
        }
        next.place(version);
        (version, next)
    }
}
