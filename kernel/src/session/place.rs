//! Where things are, for whoever is asked for them.

use crate::cluster::{ClusterState, Routes};
use crate::env::NodeId;
use crate::partition::PartitionId;
use crate::wire::server::Refusal;
use crate::wire::{Code, Consistency};

/// Where things are, in one node's eyes.
#[derive(Debug, Clone, Copy)]
pub struct Place<'n> {
    /// That node.
    pub own: NodeId,
    /// What the cluster agreed on.
    pub state: Option<&'n ClusterState>,
    /// Who is alive, and acts as owner.
    pub routes: &'n Routes,
}

/// Who sees to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinator {
    /// This node.
    Here,
    /// Another one.
    At(NodeId),
}

impl Place<'_> {
    /// Whether there is no other member.
    pub fn is_alone(&self) -> bool {
        self.state.is_none_or(|state| state.members.len() < 2)
    }

    /// Whether this node holds a partition, or is about to.
    pub fn holds(&self, partition: PartitionId) -> bool {
        self.state.is_some_and(|state| state.placement(partition).holds(self.own))
    }

    /// Who sees to what is asked about a partition. `any_replica`: this node does if it holds it, whoever acts as owner.
    ///
    /// # Errors
    /// Nobody can be reached who could.
    pub fn coordinator(&self, partition: PartitionId, any_replica: bool) -> Result<Coordinator, Refusal> {
        let refuse = |reason: &str| {
            let code = Code::NotReady;
            let reason = reason.into();
            Err(Refusal { code, reason })
        };
        match self.routes.owner(partition) {
            Some(owner) if owner == self.own => Ok(Coordinator::Here),
            _ if any_replica && self.holds(partition) => Ok(Coordinator::Here),
            _ if any_replica => refuse("the partition lies elsewhere by now: ask again"),
            Some(owner) => Ok(Coordinator::At(owner)),
            None => refuse("no replica of the partition can be reached"),
        }
    }

    /// Whether enough replicas of a partition can be reached for a write of this level. Asked before anything is merged.
    ///
    /// # Errors
    /// [`Code::NoQuorum`], with how many there are and must be.
    pub fn reaches(&self, partition: PartitionId, level: Consistency) -> Result<(), Refusal> {
        let Some(placement) = self.state.map(|state| state.placement(partition)) else {
            return Ok(());
        };
        let alive = |node| self.routes.is_alive(node);
        let tally = match level {
            Consistency::Eventual => return Ok(()),
            Consistency::Quorum => placement.majority(alive),
            Consistency::Strong => placement.all(alive),
        };
        match tally.is_enough() {
            true => Ok(()),
            false => Err(Refusal::no_quorum(tally.have, tally.of, tally.need)),
        }
    }
}
