//! How old what a backup shows may be.
//!
//! A read of `any` is answered by whichever replica the client is connected to, and says for how long it may have missed what the
//! acting owner had: everything that was durable there that long ago is here. What tells:
//!
//! - A comparison ([`crate::node::reconcile`]) ended with all taken that the other side held at its beginning or later: digests were equal, or
//!   this side asked for what differed. From then on this side *follows*: whatever the other side changes comes on the same link, in order.
//! - Each heartbeat is answered by a word that leaves after all that was changed before it
//!   ([`Word::Level`](crate::wire::cluster::Word::Level)). So what was there when the heartbeat left is here when the word comes.
//! - The word counts what was ever skipped on the link, as it is where too much is unsent. When it is more than before, or this side could
//!   not take something, nothing is followed any more until the next comparison.
//!
//! Bounded staleness as in Terry et al., "Replicated Data Consistency Explained Through Baseball", CACM 56(12), 2013, with a bound that is
//! told and not asked for.

use alloc::collections::BTreeMap;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, Mutant, Now};
use crate::node::Node;
use crate::partition::PartitionId;
use crate::session::Shows;
use crate::wire::cluster::Word;

/// How far this side of a link is level with the other. Times are this node's.
#[derive(Debug, Serialize, Deserialize)]
pub struct Level {
    /// When the last heartbeat left that was answered, or the link began.
    answered_us: u64,
    /// When something may have been missed last, or the other side's version of the cluster's state became a later one: a comparison that
    /// began before proves nothing.
    doubted_us: Option<u64>,
    /// What the other side has skipped, as far as it said.
    skipped: u64,
    partitions: BTreeMap<PartitionId, Held>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Held {
    /// The version of the cluster's state since which the partition lies where it does.
    since: u64,
    /// All that the other side had then is here.
    level_us: u64,
    /// And all that it has changed since comes as it is changed.
    follows: bool,
}

impl Level {
    /// Of a link that begins.
    pub fn new(now_us: u64) -> Self {
        Self {
            answered_us: now_us,
            doubted_us: None,
            skipped: 0,
            partitions: BTreeMap::new(),
        }
    }

    /// All that the other side held of a partition at some time since `begun_us`, when a comparison began, is here.
    pub fn compared(&mut self, partition: PartitionId, since: u64, begun_us: u64) {
        if self.doubted_us.is_some_and(|doubted| begun_us <= doubted) {
            return;
        }
        let held = Held {
            since,
            level_us: self.answered_us,
            follows: true,
        };
        self.partitions.insert(partition, held);
    }

    /// The other side acts by a later version of the cluster's state than it did.
    pub fn turned(&mut self, now_us: u64) {
        self.doubted_us = Some(now_us);
    }

    /// Something may have been missed.
    pub fn doubt(&mut self, now_us: u64) {
        self.doubted_us = Some(now_us);
        for held in self.partitions.values_mut().filter(|held| held.follows) {
            held.level_us = self.answered_us;
            held.follows = false;
        }
    }

    /// The other side had sent all that it had changed, but for so much that was skipped, after it heard what left at `asked_us`.
    fn answered(&mut self, asked_us: u64, skipped: u64, now_us: u64) {
        if skipped != self.skipped {
            self.doubt(now_us);
            self.skipped = skipped;
        }
        self.answered_us = asked_us.min(now_us).max(self.answered_us);
    }

    /// All that the other side had of a partition at the time that this says is here; `None` if nobody knows.
    fn of(&self, partition: PartitionId, since: u64) -> Option<u64> {
        let held = self.partitions.get(&partition).filter(|held| held.since == since)?;
        Some(if held.follows { self.answered_us } else { held.level_us })
    }
}

impl Node {
    /// Says how far the other side is level once all that was sent before has come.
    pub(super) fn tell_level(&mut self, conn: ConnId, asked_us: u64) {
        let epoch = self.membership.epoch();
        let Some(link) = self.peers.link(conn).filter(|link| link.ordered) else {
            return;
        };
        let skipped = link.skipped;
        let word = Word::Level {
            asked_us,
            skipped,
            epoch,
        };
        self.outbox.push(conn, word.to_frame(), Shows::State);
    }

    /// The other side says so. Who acts by another version of the cluster's state may send what it changes elsewhere.
    pub(super) fn level_told(&mut self, conn: ConnId, asked_us: u64, skipped: u64, epoch: u64, now: Now) {
        let is_same = epoch == self.membership.epoch();
        let skipped = if self.config.mutants.is(Mutant::SkippedUnsaid) {
            0
        } else {
            skipped
        };
        if let Some(link) = self.peers.link(conn) {
            let asked_us = match is_same {
                true if self.config.mutants.is(Mutant::LevelWhenAnswered) => now.mono_us,
                true => asked_us,
                false => 0,
            };
            link.level.answered(asked_us, skipped, now.mono_us);
        }
    }

    /// A comparison of partitions with the other side, which began at `begun_us`, ended with all taken that it held at some time since then.
    pub(super) fn is_level(&mut self, conn: ConnId, partitions: impl Iterator<Item = PartitionId>, begun_us: u64) {
        let Some(state) = self.membership.state() else {
            return;
        };
        let Some(link) = self.peers.link(conn).filter(|link| link.ordered) else {
            return;
        };
        // What the other side changes comes from when it knows of this replica.
        let known = link.remote().map_or(0, |remote| remote.epoch);
        for partition in partitions {
            let since = state.placement(partition).since;
            if since <= known {
                link.level.compared(partition, since, begun_us);
            }
        }
    }

    /// For how long what is here of a partition may have missed what its acting owner had, in milliseconds; `None` if nobody knows.
    pub(super) fn stale_ms(&self, partition: PartitionId, now: Now) -> Option<u64> {
        let place = self.membership.place();
        let owner = place.routes.owner(partition)?;
        if owner == place.own {
            return Some(0);
        }
        let since = place.state?.placement(partition).since;
        let level_us = self.peers.link_of(self.peers.to(owner)?)?.level.of(partition, since)?;
        Some(now.mono_us.saturating_sub(level_us).div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> PartitionId {
        PartitionId::all().next().expect("there are some")
    }

    #[test]
    fn what_is_followed_is_as_old_as_the_last_answered_heartbeat() {
        let mut level = Level::new(10);
        assert_eq!(level.of(partition(), 3), None);
        level.compared(partition(), 3, 20);
        assert_eq!(level.of(partition(), 3), Some(10));
        level.answered(30, 0, 35);
        assert_eq!(level.of(partition(), 3), Some(30));
        assert_eq!(level.of(partition(), 4), None, "it has moved");
    }

    #[test]
    fn what_was_skipped_ages_until_a_comparison_that_began_later() {
        let mut level = Level::new(10);
        level.compared(partition(), 3, 20);
        level.answered(30, 0, 35);
        level.answered(40, 1, 45);
        level.answered(50, 1, 55);
        assert_eq!(level.of(partition(), 3), Some(30));
        level.compared(partition(), 3, 45);
        level.answered(60, 1, 65);
        assert_eq!(level.of(partition(), 3), Some(30), "it began before");
        level.compared(partition(), 3, 46);
        assert_eq!(level.of(partition(), 3), Some(60));
        level.answered(70, 2, 75);
        level.answered(80, 2, 85);
        assert_eq!(level.of(partition(), 3), Some(60), "skipped once more");
    }

    #[test]
    fn what_began_before_the_other_side_knew_of_this_replica_proves_nothing() {
        let mut level = Level::new(10);
        level.compared(partition(), 3, 20);
        level.answered(30, 0, 35);
        level.turned(40);
        level.compared(partition(), 4, 39);
        assert_eq!(level.of(partition(), 4), None);
        level.answered(50, 0, 55);
        assert_eq!(level.of(partition(), 3), Some(50), "what is followed is followed on");
        level.compared(partition(), 4, 41);
        assert_eq!(level.of(partition(), 4), Some(50));
    }

    #[test]
    fn nobody_can_answer_from_the_future_or_take_time_back() {
        let mut level = Level::new(10);
        level.compared(partition(), 3, 20);
        level.answered(1_000, 0, 35);
        assert_eq!(level.of(partition(), 3), Some(35));
        level.answered(30, 0, 40);
        assert_eq!(level.of(partition(), 3), Some(35));
    }
}
