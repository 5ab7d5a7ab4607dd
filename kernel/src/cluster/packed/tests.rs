use super::*;
use crate::cluster::Change;
use crate::env::SeededRng;
use crate::partition::PARTITIONS;
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

/// A cluster of so many, with moves open and one member leaving.
fn state(members: u64) -> ClusterState {
    let mut state = ClusterState::born(7, 3, member(1 << 60));
    for id in 2..=members {
        state = state.after(&Change::Join(member(id << 50)), id).unwrap();
    }
    let leaves = Change::Leave(NodeId(1 << 60));
    state.after(&leaves, members + 1).unwrap_or(state)
}

fn bytes(state: &ClusterState) -> Vec<u8> {
    postcard::to_allocvec(state).unwrap()
}

fn read(bytes: &[u8]) -> Option<ClusterState> {
    postcard::from_bytes(bytes).ok()
}

#[test]
fn a_state_comes_back_and_is_small() {
    for members in [1, 2, 3, 8, 64] {
        let state = state(members);
        let bytes = bytes(&state);
        assert_eq!(read(&bytes), Some(state));
        // Two bytes for each replica and target, and their numbers; some dozens for a member.
        let most = 271 * (2 * 6 + 4) + members as usize * 60 + 64;
        assert!(bytes.len() < most, "{members}: {}", bytes.len());
    }
}

#[test]
fn what_is_no_state_of_a_cluster_is_refused() {
    let refused = |change: fn(&mut Packed)| {
        let mut packed = Packed::from(state(4));
        change(&mut packed);
        ClusterState::try_from(packed).unwrap_err()
    };
    let unsound = "this is no state of a cluster";
    assert_eq!(refused(|packed| packed.members.clear()), unsound);
    assert_eq!(refused(|packed| packed.members.reverse()), unsound);
    assert_eq!(refused(|packed| packed.placements[3].0.clear()), unsound);
    assert_eq!(
        refused(|packed| packed.placements.truncate(usize::from(PARTITIONS) - 1)),
        unsound
    );
    assert_eq!(refused(|packed| packed.placements.push((vec![0], vec![], 1))), unsound);
    let unnamed = "a partition lies with a node that is not named";
    assert_eq!(refused(|packed| packed.placements[3].0[0] = 999), unnamed);
    assert_eq!(refused(|packed| packed.placements[3].1 = vec![4]), unnamed);
    let named = "the nodes are not named as they should be";
    assert_eq!(refused(|packed| packed.nodes.push(NodeId(u64::MAX))), named);
    assert_eq!(refused(|packed| packed.nodes.reverse()), named);
}

#[test]
fn damaged_bytes_are_refused_or_the_state_that_they_say() {
    let good = bytes(&state(5));
    let mut rng = SeededRng::from_u64(3);
    for at in 0..good.len() {
        assert_eq!(read(&good[..at]), None, "cut at {at}");
        let mut bad = good.clone();
        bad[at] = rng.next_u64() as u8;
        // A length that is as great as can be written takes no memory.
        let longest = [
            &good[..at],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &good[at + 1..],
        ]
        .concat();
        for bad in [bad, longest] {
            if let Some(state) = read(&bad) {
                assert!(state.is_sound());
                assert_eq!(read(&bytes(&state)), Some(state));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_that_nobody_wrote_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Some(state) = read(&bytes) {
            prop_assert!(state.is_sound());
        }
    }
}
