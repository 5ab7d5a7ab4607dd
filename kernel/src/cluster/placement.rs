//! Where one partition lies, and what a majority of its replicas is.
//!
//! A partition moves in three steps (rule 3 of the promises). *Open*: the agreed state names the replicas that it moves to, and
//! from then on every majority is one of the old **and** one of the new ones. *Fill*: a member of the target takes over what a
//! majority of the old replicas hold, each of which has adopted the state that opened the move before it says what it holds,
//! and acknowledges nothing to who has not. *Close*: the target takes the place of the replicas. Whoever acknowledged a write with
//! a majority of the old replicas alone did so before one of any majority of them adopted the move, and so the fill finds it.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::env::NodeId;

/// Where a partition lies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Its replicas: the owner first, then the backups in the order in which they take over.
    pub replicas: Vec<NodeId>,
    /// The replicas that it moves to; empty while it does not move.
    pub target: Vec<NodeId>,
    /// The version of the cluster's state in which one of the two was last changed.
    pub since: u64,
}

/// How many of a set of replicas there are, and how many it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// As many as there are.
    pub have: usize,
    /// As many as there must be.
    pub need: usize,
    /// Out of so many.
    pub of: usize,
}

impl Tally {
    /// Whether there are enough.
    pub fn is_enough(self) -> bool {
        self.have >= self.need
    }
}

impl Placement {
    /// Whether a move is open.
    pub fn is_moving(&self) -> bool {
        !self.target.is_empty()
    }

    /// All that hold it or are about to: the replicas first, then those that it moves to.
    pub fn holders(&self) -> impl Iterator<Item = NodeId> {
        self.replicas.iter().copied().chain(self.newcomers())
    }

    /// Those that it moves to and that do not hold it yet.
    pub fn newcomers(&self) -> impl Iterator<Item = NodeId> {
        self.target.iter().copied().filter(|node| !self.replicas.contains(node))
    }

    /// Whether `node` holds it, or is about to.
    pub fn holds(&self, node: NodeId) -> bool {
        self.replicas.contains(&node) || self.target.contains(&node)
    }

    /// How many of a majority there are, where `has` says who is one: of the replicas, and during a move of the target as well.
    /// Given is the one that lacks more.
    pub fn majority(&self, has: impl Fn(NodeId) -> bool) -> Tally {
        let sets = [&self.replicas, &self.target].into_iter().filter(|set| !set.is_empty());
        let tallies = sets.map(|set| tally(set, majority_of(set.len()), &has));
        tallies
            .max_by_key(|tally| tally.need.saturating_sub(tally.have))
            .unwrap_or(Tally {
                have: 0,
                need: 1,
                of: 0,
            })
    }

    /// How many of all holders there are.
    pub fn all(&self, has: impl Fn(NodeId) -> bool) -> Tally {
        let holders: Vec<NodeId> = self.holders().collect();
        tally(&holders, holders.len().max(1), &has)
    }

    /// Whether the move can be closed, where `whole` says which members of the target have been filled: all newcomers, and a
    /// majority of the target, so that whatever a majority of the old replicas had is met by any majority of the new ones.
    pub fn can_close(&self, whole: impl Fn(NodeId) -> bool) -> bool {
        let newcomers = self.newcomers().all(&whole);
        self.is_moving() && newcomers && tally(&self.target, majority_of(self.target.len()), &whole).is_enough()
    }

    /// Whether `node` is filled once it has taken over what these hold: with itself, where it is one, a majority of the old replicas.
    pub fn fills(&self, node: NodeId, from: impl Fn(NodeId) -> bool) -> bool {
        let need = majority_of(self.replicas.len());
        tally(&self.replicas, need, |replica| replica == node || from(replica)).is_enough()
    }
}

fn majority_of(replicas: usize) -> usize {
    replicas / 2 + 1
}

fn tally(set: &[NodeId], need: usize, has: impl Fn(NodeId) -> bool) -> Tally {
    let have = set.iter().filter(|node| has(**node)).count();
    let of = set.len();
    Tally { have, need, of }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn placement(replicas: &[u64], target: &[u64]) -> Placement {
        Placement {
            replicas: nodes(replicas),
            target: nodes(target),
            since: 7,
        }
    }

    fn of(ids: &[u64]) -> impl Fn(NodeId) -> bool {
        move |node| ids.contains(&node.0)
    }

    #[test]
    fn a_majority_is_of_the_configured_replicas_dead_ones_included() {
        let at_rest = placement(&[1, 2, 3], &[]);
        assert!(!at_rest.majority(of(&[2])).is_enough());
        assert!(at_rest.majority(of(&[2, 3])).is_enough());
        assert_eq!(
            at_rest.majority(of(&[9])),
            Tally {
                have: 0,
                need: 2,
                of: 3
            }
        );
        assert!(!at_rest.all(of(&[1, 2])).is_enough() && at_rest.all(of(&[1, 2, 3])).is_enough());
        assert!(
            !placement(&[1, 2], &[]).majority(of(&[1])).is_enough(),
            "half is no majority"
        );
        assert!(!placement(&[], &[]).majority(of(&[1])).is_enough(), "nor is nobody");
    }

    #[test]
    fn during_a_move_it_takes_a_majority_of_both() {
        let moving = placement(&[1, 2, 3], &[3, 4, 5]);
        assert!(!moving.majority(of(&[1, 2])).is_enough(), "none of the new");
        assert!(!moving.majority(of(&[4, 5])).is_enough(), "none of the old");
        assert!(moving.majority(of(&[2, 3, 4])).is_enough(), "one of them counts twice");
        assert_eq!(
            moving.majority(of(&[1, 2, 4])),
            Tally {
                have: 1,
                need: 2,
                of: 3
            }
        );
        assert_eq!(moving.holders().collect::<Vec<_>>(), nodes(&[1, 2, 3, 4, 5]));
        assert_eq!(moving.newcomers().collect::<Vec<_>>(), nodes(&[4, 5]));
        assert!(!moving.all(of(&[1, 2, 3, 4])).is_enough());
    }

    #[test]
    fn a_move_closes_when_the_newcomers_and_a_majority_of_the_target_are_filled() {
        let moving = placement(&[1, 2, 3], &[1, 2, 4]);
        assert!(!moving.can_close(of(&[1, 2])));
        assert!(!moving.can_close(of(&[4])));
        assert!(moving.can_close(of(&[4, 2])));
        assert!(!placement(&[1, 2, 3], &[]).can_close(of(&[1, 2, 3])), "there is none");
        let shrinks = placement(&[1, 2, 3], &[1, 2]);
        assert!(!shrinks.can_close(of(&[1])) && shrinks.can_close(of(&[1, 2])));
    }

    #[test]
    fn a_member_is_filled_from_a_majority_of_the_old_itself_included() {
        let moving = placement(&[1, 2, 3], &[1, 2, 4]);
        assert!(!moving.fills(NodeId(4), of(&[1])) && moving.fills(NodeId(4), of(&[1, 3])));
        assert!(!moving.fills(NodeId(1), of(&[])) && moving.fills(NodeId(1), of(&[3])));
        assert!(placement(&[1], &[1, 4]).fills(NodeId(4), of(&[1])));
        assert!(placement(&[1], &[1, 4]).fills(NodeId(1), of(&[])));
    }

    /// Whatever a majority of the old replicas had is met by any majority of the target once the move is closed: tried for
    /// every pair of sets out of six nodes, every majority that has a write, and every set of members that are filled.
    #[test]
    fn no_majority_of_the_new_misses_what_a_majority_of_the_old_had() {
        let subsets = |mask: u64| (0..6).filter(move |bit| mask >> bit & 1 == 1).collect::<Vec<u64>>();
        for (old, new) in (1..64).flat_map(|old| (1..64).map(move |new| (old, new))) {
            let (old_set, new_set) = (subsets(old), subsets(new));
            if old_set.len() > 3 || new_set.len() > 3 || old == new {
                continue;
            }
            let moving = placement(&old_set, &new_set);
            let write_sets =
                (0..64).filter(|has| has & old == *has && has.count_ones() as usize == majority_of(old_set.len()));
            for has in write_sets {
                for whole in (0..64).filter(|whole| whole & new == *whole) {
                    if !moving.can_close(of(&subsets(whole))) {
                        continue;
                    }
                    let reads = (0..64u64).filter(|read| read & new == *read);
                    let reads = reads.filter(|read| read.count_ones() as usize == majority_of(new_set.len()));
                    for read in reads {
                        // Who is filled has met a majority of the old, and so the write.
                        assert!(read & (has | whole) != 0, "{moving:?}: {has:b} {whole:b} {read:b}");
                    }
                }
            }
        }
    }
}
