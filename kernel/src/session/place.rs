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
        self.state
            .is_some_and(|state| state.placement(partition).holds(self.own))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Member;
    use alloc::string::String;
    use alloc::vec;

    fn state(members: u64) -> ClusterState {
        let member = |id| Member {
            id: NodeId(id),
            name: String::new(),
            addr: String::new(),
            weight: 1,
            zone: String::new(),
            leaving: false,
        };
        let mut state = ClusterState::born(7, 3, member(1));
        state.members = (1..=members).map(member).collect();
        state.placements[0].replicas = vec![NodeId(1), NodeId(2), NodeId(3)];
        state
    }

    fn first() -> PartitionId {
        PartitionId::new(0).unwrap()
    }

    /// Who sees to a write in the eyes of `own`, while `alive` are; and the code of the refusal.
    fn coordinator(state: &ClusterState, own: u64, alive: &[u64], any_replica: bool) -> Result<Coordinator, Code> {
        let routes = Routes::new(state, |node| alive.contains(&node.0));
        let place = Place {
            own: NodeId(own),
            state: Some(state),
            routes: &routes,
        };
        place.coordinator(first(), any_replica).map_err(|refusal| refusal.code)
    }

    #[test]
    fn the_acting_owner_sees_to_a_write_and_for_a_node_that_asks_any_replica_does() {
        let state = state(4);
        let at = |id| Ok(Coordinator::At(NodeId(id)));
        assert_eq!(coordinator(&state, 1, &[1, 2, 3, 4], false), Ok(Coordinator::Here));
        assert_eq!(coordinator(&state, 2, &[1, 2, 3, 4], false), at(1));
        assert_eq!(coordinator(&state, 2, &[2, 3, 4], false), Ok(Coordinator::Here));
        assert_eq!(coordinator(&state, 3, &[2, 3, 4], false), at(2));
        assert_eq!(
            coordinator(&state, 3, &[2, 3, 4], true),
            Ok(Coordinator::Here),
            "nodes may differ about who is alive"
        );
        assert_eq!(coordinator(&state, 4, &[1, 4], false), at(1));
        // It is not asked on: two that differ would send a write to and fro.
        assert_eq!(coordinator(&state, 4, &[1, 4], true), Err(Code::NotReady));
        assert_eq!(coordinator(&state, 4, &[4], false), Err(Code::NotReady));
    }

    #[test]
    fn who_is_being_filled_holds_the_partition_too() {
        let mut state = state(4);
        state.placements[0].target = vec![NodeId(2), NodeId(3), NodeId(4)];
        assert_eq!(coordinator(&state, 4, &[1, 4], true), Ok(Coordinator::Here));
        assert_eq!(
            coordinator(&state, 4, &[4], false),
            Ok(Coordinator::Here),
            "the last that is alive"
        );
    }

    #[test]
    fn whether_enough_can_be_reached_is_asked_of_both_majorities() {
        let mut state = state(6);
        let reaches = |state: &ClusterState, alive: &[u64], level| {
            let routes = Routes::new(state, |node| alive.contains(&node.0));
            let place = Place {
                own: NodeId(1),
                state: Some(state),
                routes: &routes,
            };
            place.reaches(first(), level).map_err(|refusal| refusal.code)
        };
        let too_few = Err(Code::NoQuorum);
        assert_eq!(reaches(&state, &[1, 2], Consistency::Quorum), Ok(()));
        assert_eq!(reaches(&state, &[1, 2], Consistency::Strong), too_few);
        assert_eq!(reaches(&state, &[1, 2, 3], Consistency::Strong), Ok(()));
        assert_eq!(
            reaches(&state, &[1, 5, 6], Consistency::Quorum),
            too_few,
            "of those that hold it"
        );
        assert_eq!(reaches(&state, &[], Consistency::Eventual), Ok(()));
        state.placements[0].target = [4, 5, 6].map(NodeId).into();
        assert_eq!(
            reaches(&state, &[1, 2, 3, 4], Consistency::Quorum),
            too_few,
            "one of the new ones"
        );
        assert_eq!(
            reaches(&state, &[1, 4, 5, 6], Consistency::Quorum),
            too_few,
            "one of the old ones"
        );
        assert_eq!(reaches(&state, &[1, 2, 5, 6], Consistency::Quorum), Ok(()));
        assert_eq!(reaches(&state, &[1, 2, 3, 5, 6], Consistency::Strong), too_few);
    }

    #[test]
    fn without_a_cluster_there_is_nobody_to_ask() {
        let routes = Routes::default();
        let place = Place {
            own: NodeId(1),
            state: None,
            routes: &routes,
        };
        assert!(place.is_alone() && !place.holds(first()));
        assert!(place.coordinator(first(), true).is_err() && place.coordinator(first(), false).is_err());
        let (alone, two) = (state(1), state(2));
        assert!(
            Place {
                state: Some(&alone),
                ..place
            }
            .is_alone()
        );
        assert!(
            !Place {
                state: Some(&two),
                ..place
            }
            .is_alone()
        );
    }
}
