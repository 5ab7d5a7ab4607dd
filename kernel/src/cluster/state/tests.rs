//! Histories of members, and what they do to the placements.

use super::*;
use alloc::format;
use alloc::vec;
use proptest::prelude::*;

fn member(id: u64) -> Member {
    Member {
        id: NodeId(id),
        name: format!("n{id}"),
        addr: format!("host-{id}:7878"),
        weight: 100,
        zone: String::new(),
        leaving: false,
    }
}

/// Closes all moves that are open.
fn closed(state: &ClusterState, version: u64) -> ClusterState {
    let moves = PartitionId::all().map(|id| (id, state.placement(id).since)).collect();
    state
        .after(&Change::Close(moves), version)
        .unwrap_or_else(|_| state.clone())
}

fn grown(members: u64) -> (ClusterState, u64) {
    let mut state = ClusterState::born(7, 3, member(1));
    let mut version = 1;
    for id in 2..=members {
        version += 1;
        state = state.after(&Change::Join(member(id)), version).unwrap();
        version += 1;
        state = closed(&state, version);
    }
    (state, version)
}

#[test]
fn a_cluster_is_born_with_one_member_that_holds_everything() {
    let state = ClusterState::born(7, 3, member(1));
    assert!(state.is_sound() && state.moves() == 0);
    assert!(
        state
            .placements
            .iter()
            .all(|placement| placement.replicas == [NodeId(1)])
    );
    assert_eq!(state.voters(), [NodeId(1)]);
}

#[test]
fn who_joins_is_given_partitions_by_moves() {
    let (state, version) = grown(3);
    assert!(state.placements.iter().all(|placement| placement.replicas.len() == 3));
    let state = state.after(&Change::Join(member(4)), version + 1).unwrap();
    let moving = state.placements.iter().filter(|placement| placement.is_moving());
    assert!(
        moving
            .clone()
            .all(|placement| placement.since == version + 1 && placement.replicas.len() == 3)
    );
    let newcomers = moving.flat_map(Placement::newcomers).collect::<Vec<_>>();
    assert!(newcomers.iter().all(|node| *node == NodeId(4)) && newcomers.len() <= 271 * 3 / 4 + 4);
    assert!(closed(&state, version + 2).moves() == 0);
}

#[test]
fn who_leaves_gives_away_first_and_who_is_removed_does_not() {
    let (state, version) = grown(4);
    let leaving = state.after(&Change::Leave(NodeId(2)), version + 1).unwrap();
    assert!(leaving.member(NodeId(2)).is_some_and(|member| member.leaving) && leaving.is_used(NodeId(2)));
    assert_eq!(
        leaving.after(&Change::Leave(NodeId(2)), version + 2),
        Err(BadChange::Nothing)
    );
    let gone = closed(&leaving, version + 2);
    assert!(!gone.is_used(NodeId(2)));
    assert!(
        gone.after(&Change::Remove(NodeId(2)), version + 3)
            .unwrap()
            .member(NodeId(2))
            .is_none()
    );

    let removed = state.after(&Change::Remove(NodeId(2)), version + 1).unwrap();
    assert!(removed.member(NodeId(2)).is_none());
    assert!(
        removed.is_used(NodeId(2)),
        "a majority of the old replicas still counts it"
    );
    assert!(!closed(&removed, version + 2).is_used(NodeId(2)));
}

#[test]
fn what_cannot_be_done_is_said() {
    let (state, version) = grown(2);
    let refused = |state: &ClusterState, change| state.after(&change, version + 1).unwrap_err();
    assert_eq!(refused(&state, Change::Join(member(2))), BadChange::Nothing);
    assert_eq!(
        refused(&state, Change::Remove(NodeId(9))),
        BadChange::NoMember(NodeId(9))
    );
    assert_eq!(
        refused(&state, Change::Leave(NodeId(9))),
        BadChange::NoMember(NodeId(9))
    );
    assert_eq!(refused(&state, Change::Close(vec![])), BadChange::Nothing);
    let same_place = Member {
        addr: "host-1:7878".into(),
        ..member(3)
    };
    let taken = BadChange::AddrTaken {
        id: NodeId(1),
        addr: "host-1:7878".into(),
    };
    assert_eq!(refused(&state, Change::Join(same_place)), taken);
    let alone = ClusterState::born(7, 3, member(1));
    assert_eq!(refused(&alone, Change::Leave(NodeId(1))), BadChange::Last);
    assert_eq!(refused(&alone, Change::Remove(NodeId(1))), BadChange::Last);
    let (mut full, _) = grown(2);
    full.members = (1..=MEMBERS_MAX as u64).map(member).collect();
    assert_eq!(refused(&full, Change::Join(member(99))), BadChange::Full);
}

#[test]
fn a_member_moves_house_and_goes_on_leaving() {
    let (state, version) = grown(3);
    let state = state.after(&Change::Leave(NodeId(3)), version + 1).unwrap();
    let moved = Member {
        addr: "elsewhere:1".into(),
        ..member(3)
    };
    let state = state.after(&Change::Join(moved), version + 2).unwrap();
    let known = state.member(NodeId(3)).unwrap();
    assert!(known.leaving && known.addr == "elsewhere:1");
}

#[test]
fn a_move_that_got_another_target_is_not_closed_by_the_old_name() {
    let (state, version) = grown(3);
    let first = state.after(&Change::Join(member(4)), version + 1).unwrap();
    let id = PartitionId::all().find(|id| first.placement(*id).is_moving()).unwrap();
    let again = first.after(&Change::Remove(NodeId(4)), version + 2).unwrap();
    assert!(!again.placement(id).is_moving(), "back to where it was");
    let stale = Change::Close(vec![(id, version + 1)]);
    assert_eq!(again.after(&stale, version + 3), Err(BadChange::Nothing));
    assert_eq!(
        again.placement(id).since,
        version + 2,
        "who counted before does no longer"
    );
}

#[test]
fn a_state_is_small_and_comes_back() {
    let (state, version) = grown(5);
    let state = state.after(&Change::Remove(NodeId(2)), version + 1).unwrap();
    let bytes = postcard::to_allocvec(&state).unwrap();
    assert!(bytes.len() < 4_000, "{} bytes", bytes.len());
    assert_eq!(postcard::from_bytes::<ClusterState>(&bytes), Ok(state));
    for len in 0..bytes.len() {
        assert!(postcard::from_bytes::<ClusterState>(&bytes[..len]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever happens, in whatever order: a state stays sound, equal histories give equal bytes, and once all moves are closed
    /// the partitions lie with the members that stay and with nobody else.
    #[test]
    fn histories_of_members(changes in proptest::collection::vec((0u8..4, 1u64..9), 1..40)) {
        let mut state = ClusterState::born(7, 3, member(1));
        let mut version = 1;
        for (kind, id) in changes {
            let change = match kind {
                0 | 1 => Change::Join(member(id)),
                2 => Change::Leave(NodeId(id)),
                _ => Change::Remove(NodeId(id)),
            };
            version += 1;
            let next = state.after(&change, version);
            prop_assert_eq!(&next, &state.after(&change, version));
            state = next.unwrap_or(state);
            prop_assert!(state.is_sound());
            if id % 3 == 0 {
                version += 1;
                state = closed(&state, version);
            }
        }
        let state = closed(&state, version + 1);
        let stays: Vec<NodeId> = state.members.iter().filter(|member| !member.leaving).map(|member| member.id).collect();
        let right = |placement: &Placement| {
            let replicas = &placement.replicas;
            replicas.len() == stays.len().min(3) && replicas.iter().all(|node| stays.contains(node))
        };
        prop_assert!(stays.is_empty() || state.placements.iter().all(right));
    }
}

#[test]
fn who_is_removed_counts_until_too_few_are_left_without() {
    let nodes = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    // The replicas, who is left of them, and whom is counted on.
    for (replicas, left, counted) in [
        (&[1, 2][..], &[1][..], &[1][..]),
        (&[1, 2, 3], &[1, 2], &[1, 2, 3]),
        (&[1, 2, 3], &[1], &[1]),
        (&[1, 2, 3, 4, 5], &[1, 2, 3], &[1, 2, 3, 4, 5]),
        (&[1, 2, 3, 4, 5], &[1, 2], &[1, 2, 3]),
        (&[1], &[], &[9]),
    ] {
        let mut placement = Placement {
            replicas: nodes(replicas),
            target: vec![],
            since: 1,
        };
        let members: Vec<Member> = left.iter().chain(&[9]).copied().map(member).collect();
        placement.without(&members, NodeId(9));
        assert_eq!(placement.replicas, nodes(counted), "{replicas:?} {left:?}");
    }
}
