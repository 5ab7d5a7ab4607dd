//! A new beginning, where too few members are left to agree on anything: rule 9 of the promises.
//!
//! Whoever runs the cluster decides that the others are gone for good; nothing in here can know. The new generation has the members that
//! are left, and what they hold. Its versions begin above all that the generation before can have reached by counting, so that whoever
//! comes back from that one learns of it, finds that it is no member any more, and begins anew with what it holds.

use alloc::vec::Vec;

use crate::cluster::{ClusterState, Placement};
use crate::env::NodeId;

/// Versions of a generation; the first one has some fewer.
const GENERATION_VERSIONS: u64 = 1 << 40;

/// Two new beginnings of one generation begin with different versions: so many numbers can be drawn, so far apart. The higher one stays.
const DRAWN: u64 = 1 << 24;
const APART: u64 = GENERATION_VERSIONS / DRAWN;

/// What a new beginning costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Partitions of which nobody who is left holds anything: they are empty afterwards.
    pub gone: usize,
    /// Partitions of which too few replicas are left: a write that a majority acknowledged may be missing, or be with fewer of those that
    /// are left than are asked.
    pub doubtful: usize,
}

impl ClusterState {
    /// Counts the beginnings: 1 for the first, and one more for each that was forced. Two that were forced apart have one number, and
    /// began with different versions.
    pub fn generation(&self) -> u64 {
        (self.born / GENERATION_VERSIONS).max(1)
    }

    /// What would be lost if those alone were left.
    pub fn losses(&self, left: &[NodeId]) -> Losses {
        let mut losses = Losses::default();
        for placement in &self.placements {
            let (all, stay) = (placement.replicas.len(), placement.stay(left).len());
            // Any majority of those that are left must have met any majority that acknowledged.
            let meet = stay / 2 + 1 + all / 2 + 1 > all && placement.replicas.iter().any(|node| left.contains(node));
            match stay {
                0 => losses.gone += 1,
                _ => losses.doubtful += usize::from(!meet),
            }
        }
        losses
    }

    /// The next generation, of the members that are left, and the version that it begins with. `drawn` is random.
    ///
    /// # Panics
    /// If no member is left.
    pub fn forced(&self, left: &[NodeId], drawn: u64) -> (u64, Self) {
        let version = (self.generation() + 1) * GENERATION_VERSIONS + drawn % DRAWN * APART;
        let mut next = self.clone();
        next.born = version;
        // Who was given up may come back with the only copy of something, however old. What was collected may be back as well, then.
        next.floor = 0;
        next.candidate = 0;
        next.losses = 0;
        next.members.retain(|member| left.contains(&member.id));
        let heir = next.members.first().expect("somebody is left").id;
        for placement in &mut next.placements {
            let mut replicas = placement.stay(left);
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

impl Placement {
    /// Those that hold it and are left: of the replicas, who have all that a majority of them acknowledged or met it; and only where
    /// there are none, of those that were about to.
    fn stay(&self, left: &[NodeId]) -> Vec<NodeId> {
        let among =
            |set: &[NodeId]| -> Vec<NodeId> { set.iter().copied().filter(|node| left.contains(node)).collect() };
        let stay = among(&self.replicas);
        match stay.is_empty() {
            true => among(&self.target),
            false => stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Member;
    use alloc::format;
    use alloc::string::String;

    fn nodes(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    /// Seven members, and every partition lies like this.
    fn state(replicas: &[u64], target: &[u64]) -> ClusterState {
        let member = |id| Member {
            id: NodeId(id),
            name: format!("n{id}"),
            addr: format!("host-{id}:1"),
            weight: 100,
            zone: String::new(),
            leaving: false,
        };
        let mut state = ClusterState::born(7, 3, member(1));
        state.members = (1..=7).map(member).collect();
        for placement in &mut state.placements {
            (placement.replicas, placement.target) = (nodes(replicas), nodes(target));
        }
        state
    }

    #[test]
    fn what_is_lost_is_told_by_who_is_left_of_the_replicas() {
        // Who holds it, who it moves to, who is left: what is gone, and what is in doubt.
        for (replicas, target, left, gone, doubtful) in [
            (&[1, 2, 3][..], &[][..], &[1, 2][..], false, false),
            (&[1, 2, 3], &[], &[1], false, true),
            (&[1, 2, 3], &[], &[4, 5], true, false),
            // A majority of the three that are left need not have met one of the five.
            (&[1, 2, 3, 4, 5], &[], &[1, 2, 3], false, true),
            (&[1, 2, 3, 4, 5], &[], &[1, 2, 3, 4], false, false),
            // Who is about to hold it may have nothing yet.
            (&[1, 2, 3], &[1, 2, 4], &[1, 2, 4], false, false),
            (&[1, 2, 3], &[4, 5, 6], &[4, 5, 6], false, true),
        ] {
            let state = state(replicas, target);
            let losses = state.losses(&nodes(left));
            let count = |yes| if yes { 271 } else { 0 };
            assert_eq!(
                (losses.gone, losses.doubtful),
                (count(gone), count(doubtful)),
                "{replicas:?} {target:?} {left:?}"
            );
        }
    }

    #[test]
    fn a_new_generation_has_the_replicas_that_are_left_and_not_those_that_were_about_to_be() {
        let (version, next) = state(&[1, 2, 3], &[1, 2, 4]).forced(&nodes(&[1, 2, 4]), 5);
        assert_eq!((next.generation(), next.born), (2, version));
        assert_eq!(next.members.len(), 3);
        for placement in &next.placements {
            let mut replicas = placement.replicas.clone();
            replicas.sort_unstable();
            assert_eq!(replicas, nodes(&[1, 2]));
            assert!(placement.target.contains(&NodeId(4)), "it is made whole by a move");
        }
        assert!(next.is_sound());
        // Above all that can be counted up to, and apart from another that was forced.
        let (other, _) = state(&[1, 2, 3], &[]).forced(&nodes(&[3]), 6);
        assert!(version >= 2 * GENERATION_VERSIONS && other > version);
        let (third, last) = next.forced(&nodes(&[1]), u64::MAX);
        assert!(last.generation() == 3 && third > other);
    }
}
