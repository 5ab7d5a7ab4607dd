//! The cluster's state as it is kept and sent: every node is named once, and meant by its place in the list from then on.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::{ClusterState, Member, Placement};
use crate::env::NodeId;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Packed {
    cluster: u64,
    born: u64,
    replicas: u32,
    members: Vec<Member>,
    /// All that hold anything, members or not, ascending.
    nodes: Vec<NodeId>,
    /// The places of replicas and target among them, and since when.
    placements: Vec<(Vec<u16>, Vec<u16>, u64)>,
    floor: u64,
    settled_at: u64,
    losses: u64,
    candidate: u64,
}

impl From<ClusterState> for Packed {
    fn from(state: ClusterState) -> Self {
        let mut nodes: Vec<NodeId> = state.placements.iter().flat_map(Placement::holders).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let place = |node: &NodeId| nodes.partition_point(|known| known < node) as u16;
        let places = |set: &[NodeId]| set.iter().map(place).collect();
        let row = |placement: &Placement| (places(&placement.replicas), places(&placement.target), placement.since);
        let placements = state.placements.iter().map(row).collect();
        Self {
            cluster: state.cluster,
            born: state.born,
            replicas: state.replicas,
            members: state.members,
            nodes,
            placements,
            floor: state.floor,
            settled_at: state.settled_at,
            losses: state.losses,
            candidate: state.candidate,
        }
    }
}

impl TryFrom<Packed> for ClusterState {
    type Error = String;

    /// Whatever the bytes were: what comes out is a state ([`ClusterState::is_sound`]), in its only form.
    fn try_from(packed: Packed) -> Result<Self, String> {
        let nodes = |places: Vec<u16>| -> Option<Vec<NodeId>> {
            places
                .into_iter()
                .map(|place| packed.nodes.get(usize::from(place)).copied())
                .collect()
        };
        let placement = |(replicas, target, since)| {
            Some(Placement {
                replicas: nodes(replicas)?,
                target: nodes(target)?,
                since,
            })
        };
        let placements: Option<Vec<Placement>> = packed.placements.iter().cloned().map(placement).collect();
        let state = Self {
            cluster: packed.cluster,
            born: packed.born,
            replicas: packed.replicas,
            placements: placements.ok_or("a partition lies with a node that is not named")?,
            members: packed.members.clone(),
            floor: packed.floor,
            settled_at: packed.settled_at,
            losses: packed.losses,
            candidate: packed.candidate,
        };
        if !state.is_sound() {
            return Err("this is no state of a cluster".into());
        }
        let nodes = Packed::from(state.clone()).nodes;
        if nodes != packed.nodes {
            return Err("the nodes are not named as they should be".into());
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests;
