//! What is left here of partitions that lie elsewhere by now: it is given to those that hold them, and then dropped.
//!
//! A write that was acknowledged here alone, by a node that still took itself for a replica, is met by nobody else before that.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, Mutant, Now};
use crate::node::Node;
use crate::partition::PartitionId;
use crate::store::DROP_BYTES;

/// Partitions of which something is left.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Leftovers {
    /// Whether there was something when it was looked last.
    any: bool,
    /// Those of which another node has everything that had this digest. What was written here since is not meant by that.
    covered: BTreeMap<PartitionId, u128>,
    look: bool,
}

impl Leftovers {
    /// Whether there is something to give away.
    pub fn any(&self) -> bool {
        self.any
    }

    /// It is to be looked again whether there is.
    pub fn look_again(&mut self) {
        self.look = true;
    }
}

impl Node {
    /// A replica has all that this node holds of these partitions, on disk.
    pub(super) fn covered(&mut self, conn: ConnId, partitions: &[(PartitionId, u128)]) {
        let own = self.membership.id();
        let Some(peer) = self.peers.node_at(conn) else {
            return;
        };
        let elsewhere = |(id, _): &&(PartitionId, u128)| !self.holds(own, *id) && self.holds(peer, *id);
        let covered: Vec<_> = partitions.iter().filter(elsewhere).copied().collect();
        self.leftovers.covered.extend(covered);
    }

    /// Whether this node holds anything that lies elsewhere. Looks at every partition.
    pub(super) fn has_leftovers(&self) -> bool {
        let own = self.membership.id();
        let left = |id: PartitionId| self.store.partition(id).iter().next().is_some();
        PartitionId::all().any(|id| !self.holds(own, id) && left(id))
    }

    /// Drops what others have, in a step that changes nothing else of it; and sees whether there is more to give away.
    pub(super) fn drop_leftovers(&mut self, now: Now) {
        let own = self.membership.id();
        if core::mem::take(&mut self.leftovers.look) {
            self.leftovers.any = self.has_leftovers();
            if self.leftovers.any {
                self.offer_rounds(now);
            }
        }
        // The state by which it lies elsewhere must be on disk first.
        if self.membership.durable() < self.membership.epoch() || self.config.mutants.is(Mutant::LeftoversKept) {
            return;
        }
        for (id, digest) in core::mem::take(&mut self.leftovers.covered) {
            let staged = self
                .store
                .staged()
                .iter()
                .any(|change| self.store.partition_of(&change.key) == id);
            let grown = self.store.partition(id).digest() != digest;
            if self.holds(own, id) || staged || grown || self.store.room_for(DROP_BYTES).is_err() {
                continue;
            }
            if self.store.drop_partition(id) > 0 {
                self.tally.dropped += 1;
                self.subscriptions.all_stale();
                self.leftovers.look = true;
            }
        }
    }
}
