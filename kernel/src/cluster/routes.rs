//! Which replica acts as the owner of each partition, in the eyes of one node.
//!
//! The first of its replicas that this node holds for alive; while none of them is, the first living one that it moves to. Nodes
//! may differ about that, and nothing rests on their agreement: writes merge, and quorums intersect.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterState;
use crate::env::NodeId;
use crate::partition::{PARTITIONS, PartitionId};

/// The acting owner of each partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    owners: Vec<Option<NodeId>>,
    alive: Vec<NodeId>,
}

impl Routes {
    /// What `state` makes of those that are alive.
    pub fn new(state: &ClusterState, is_alive: impl Fn(NodeId) -> bool) -> Self {
        let member = |node| state.member(node).is_some() && is_alive(node);
        let owner = |id| state.placement(id).holders().find(|node| member(*node));
        let members = state.members.iter().map(|member| member.id);
        Self {
            owners: PartitionId::all().map(owner).collect(),
            alive: members.filter(|node| is_alive(*node)).collect(),
        }
    }

    /// Whether a node is a member and alive.
    pub fn is_alive(&self, node: NodeId) -> bool {
        self.alive.binary_search(&node).is_ok()
    }

    /// Who acts as owner of a partition, if anybody does.
    pub fn owner(&self, id: PartitionId) -> Option<NodeId> {
        self.owners.get(id.index()).copied().flatten()
    }

    /// How many partitions `node` acts for.
    pub fn owned(&self, node: NodeId) -> usize {
        self.owners.iter().filter(|owner| **owner == Some(node)).count()
    }

    /// How many partitions nobody acts for.
    pub fn orphans(&self) -> usize {
        usize::from(PARTITIONS) - self.owners.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Member;
    use alloc::string::String;
    use alloc::vec;

    #[test]
    fn the_first_living_replica_acts_and_one_that_is_being_filled_only_in_need() {
        let founder = Member {
            id: NodeId(1),
            name: "n1".into(),
            addr: "a:1".into(),
            weight: 1,
            zone: String::new(),
            leaving: false,
        };
        let mut state = ClusterState::born(7, 3, founder);
        for id in 2..4 {
            let id = NodeId(id);
            state.members.push(Member {
                id,
                ..state.members[0].clone()
            });
        }
        state.placements[0].replicas = vec![NodeId(1), NodeId(2)];
        state.placements[0].target = vec![NodeId(3), NodeId(1)];
        let first = PartitionId::new(0).unwrap();
        let owner = |alive: &[u64]| Routes::new(&state, |node| alive.contains(&node.0)).owner(first);
        assert_eq!(owner(&[1, 2, 3]), Some(NodeId(1)));
        assert_eq!(owner(&[2, 3]), Some(NodeId(2)));
        assert_eq!(owner(&[3]), Some(NodeId(3)));
        assert_eq!(owner(&[]), None);
        let routes = Routes::new(&state, |node| node.0 == 2);
        assert_eq!((routes.owned(NodeId(2)), routes.orphans()), (1, 270));
        assert!(routes.is_alive(NodeId(2)) && !routes.is_alive(NodeId(1)));
        assert_eq!(Routes::default().owner(first), None);
    }
}
