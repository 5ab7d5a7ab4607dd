//! The ways in which others lost data, each told once.

use super::*;
use crate::crdt::NoDot;

const KEY: &[u8] = b"basket";
const EGGS: [u8; 1] = [1];
const MILK: [u8; 1] = [2];

fn writer(ms: u64, id: u64) -> DotSource {
    DotSource::new(stamp(ms, id))
}

#[test]
fn resent_add() {
    let (mut here, mut there) = (empty(), empty());
    let mut phone = writer(1, 1);
    let dot = phone.next(0).unwrap();
    let first = here.add(KEY, &EGGS, dot);
    assert_eq!(
        here.add(KEY, &EGGS, dot),
        first,
        "the answer got lost, and it comes again"
    );
    there.merge(&first);
    let later = there.add(KEY, &EGGS, writer(1, 2).next(0).unwrap());
    here.merge(&later);
    let gone = here.clone().remove(KEY, &EGGS);

    // Again, now that another add has taken its place: it neither comes back nor takes the other's place.
    let again = here.add(KEY, &EGGS, dot);
    assert_eq!(here.held().dots, 1);
    there.merge(&again);
    assert!(same(&here, &there) && here.contains(KEY, &EGGS));

    here.merge(&gone);
    here.add(KEY, &EGGS, dot);
    assert!(here.is_empty(), "and what was removed stays so");
}

#[test]
fn remove_of_an_unseen_add() {
    // A client removes by tag, and the removal overtakes the add.
    let tag = Dot::of_tag(stamp(5, 1));
    let add = empty().add(KEY, &EGGS, tag);
    let mut covered = Context::new();
    covered.insert(tag);
    let removal = Delta::removing(covered);
    let mut here = empty();
    assert!(here.merge(&sent(&removal)).changed());
    assert!(!here.merge(&sent(&add)).changed());
    assert!(here.is_empty());
    // The tag is kept until the floor has passed it, and not longer.
    assert_eq!(here.held().ranges, 1);
    here.collect(floor(5));
    assert_eq!(here.held(), Held::default());
    assert!(!here.merge(&add).changed());
}

#[test]
fn add_concurrent_with_remove() {
    let (mut here, mut there) = (empty(), empty());
    there.merge(&here.add(KEY, &EGGS, writer(1, 1).next(0).unwrap()));
    let removal = here.remove(KEY, &EGGS);
    let add = there.add(KEY, &EGGS, writer(1, 2).next(0).unwrap());
    here.merge(&add);
    there.merge(&removal);
    assert!(same(&here, &there));
    assert_eq!(elements(&here, KEY), EGGS, "the add wins: the remove never saw it");
    assert_eq!(
        here.remove(KEY, &MILK),
        Delta::default(),
        "nothing seen, nothing removed"
    );
}

#[test]
fn duplicate_delta() {
    let mut here = empty();
    let mut phone = writer(1, 1);
    let add = here.add(KEY, &EGGS, phone.next(0).unwrap());
    let removal = here.remove(KEY, &EGGS);
    let milk = here.add(KEY, &MILK, phone.next(0).unwrap());
    let mut there = empty();
    for delta in [&removal, &add, &milk, &add, &milk, &removal, &add] {
        there.merge(delta);
    }
    assert!(same(&here, &there));
    assert_eq!(there.merge(&milk), Merged::default());
}

#[test]
fn delta_across_a_gap() {
    // Three adds of one writer; the second is lost on the way to a replica.
    let mut here = empty();
    let mut phone = writer(1, 1);
    let deltas = [1, 2, 3].map(|value| here.add(KEY, &element(value), phone.next(0).unwrap()));
    let mut there = empty();
    there.merge(&deltas[2]);
    there.merge(&deltas[0]);
    assert_eq!(there.held().ranges, 2, "1 and 3, and nothing is said about 2");
    let removal = there.remove_key(KEY);
    here.merge(&removal);
    assert_eq!(elements(&here, KEY), [2], "what the gap hides is not deleted");
    there.merge(&deltas[1]);
    assert!(same(&here, &there));
    assert_eq!(there.held().ranges, 1, "and the gap is closed");
}

#[test]
fn dots_reused_after_a_lost_disk() {
    let (mut node, mut peer) = (empty(), empty());
    peer.merge(&node.add(KEY, &EGGS, writer(1, 1).next(0).unwrap()));
    peer.remove(KEY, &EGGS);

    // The disk is gone, and the node counts from 1 again under its old birth: its peer takes the add for the one removed.
    let reused = empty().add(KEY, &MILK, writer(1, 1).next(0).unwrap());
    assert!(!peer.clone().merge(&reused).changed(), "an acknowledged add, lost");

    // A boot draws a birth of its own, and never gives a dot that was given.
    let mut node = empty();
    let fresh = node.add(KEY, &MILK, writer(2, 9).next(0).unwrap());
    peer.merge(&fresh);
    node.merge_state(&peer);
    assert!(same(&node, &peer));
    assert_eq!(elements(&node, KEY), MILK);
}

#[test]
fn node_id_cloned() {
    // Two boots from one disk draw two births: both adds live.
    let (mut left, mut right) = (empty(), empty());
    let eggs = left.add(KEY, &EGGS, writer(2, 1).next(0).unwrap());
    let milk = right.add(KEY, &MILK, writer(2, 2).next(0).unwrap());
    left.merge(&milk);
    right.merge(&eggs);
    assert!(same(&left, &right));
    assert_eq!(elements(&left, KEY), [EGGS[0], MILK[0]]);

    // Who gives one dot to two elements all the same loses both wherever they meet, and no replica differs for long.
    let dot = writer(3, 3).next(0).unwrap();
    let (eggs, milk) = (empty().add(b"a", &EGGS, dot), empty().add(b"b", &MILK, dot));
    let late = left.clone();
    assert_eq!(left.merge(&eggs).added, 1);
    assert_eq!(right.merge(&milk).added, 1);
    let lie = left.merge(&milk);
    assert_eq!((lie.added, lie.removed), (0, 1));
    assert!(lie.changed() && !lie.grown);
    right.merge(&eggs);
    assert!(same(&left, &right));
    let mut late = late;
    late.merge(&eggs.join(milk));
    assert!(same(&left, &late));
    // The same through the one who is told first-hand.
    let mut told = empty();
    told.add(b"a", &EGGS, dot);
    told.add(b"b", &MILK, dot);
    assert!(told.is_empty());
}

#[test]
fn disk_restored_from_an_older_copy() {
    let (mut node, mut peer) = (empty(), empty());
    let mut phone = writer(1, 1);
    peer.merge(&node.add(KEY, &EGGS, phone.next(0).unwrap()));
    let backup = node.clone();
    node.merge(&peer.add(KEY, &MILK, phone.next(0).unwrap()));
    peer.merge(&node.remove(KEY, &EGGS));
    for map in [&mut node, &mut peer] {
        map.collect(floor(1));
    }
    assert_eq!(peer.held().ranges, 0);

    let mut node = backup;
    let mut undisturbed = peer.clone();
    undisturbed.merge_state(&node);
    assert!(same(&undisturbed, &peer), "what the older disk holds is not news");
    node.merge_state(&peer);
    assert!(same(&node, &peer), "and it takes the place of what it held");
    assert_eq!(elements(&node, KEY), MILK);
}

#[test]
fn offline_past_the_horizon() {
    let mut node = empty();
    let mut phone = writer(1, 1);
    let mut offline = empty();
    let queued = offline.add(KEY, &EGGS, phone.next(0).unwrap());
    node.collect(floor(9));
    assert!(!node.merge(&queued).changed(), "from below the floor: taken as deleted");
    assert!(node.is_empty());
    let refused = phone.next(node.context().floor());
    assert!(matches!(refused, Err(NoDot::BelowFloor { .. })));
    // The client writes it anew, as someone born since.
    let anew = offline.add(KEY, &EGGS, writer(10, 1).next(node.context().floor()).unwrap());
    assert!(node.merge(&anew).changed());
    offline.merge_state(&node);
    assert!(same(&node, &offline));
    assert_eq!(node.held().dots, 1);
}

#[test]
fn laggard_after_the_fold() {
    let (mut ahead, mut laggard) = (empty(), empty());
    let mut phone = writer(1, 1);
    let deltas = [1, 2, 3, 4].map(|value| ahead.add(KEY, &element(value), phone.next(0).unwrap()));
    laggard.merge(&deltas[0]);
    laggard.merge(&deltas[1]);
    laggard.merge(&deltas[3]);
    ahead.remove(KEY, &element(2));
    ahead.collect(floor(1));
    // The laggard removes, while it lags, an element that is older than the floor it does not know of; and adds.
    let removal = laggard.remove(KEY, &element(1));
    let add = laggard.add(KEY, &element(5), writer(2, 2).next(0).unwrap());
    let before = laggard.clone();
    laggard.merge_state(&ahead);
    assert_eq!(
        elements(&laggard, KEY),
        [3, 4, 5],
        "2 was deleted, 3 it never saw, 1 stays removed"
    );
    ahead.merge(&removal);
    ahead.merge(&add);
    assert!(same(&ahead, &laggard));
    // Nothing that the laggard once held, and says again, undoes it.
    ahead.merge_state(&before);
    ahead.merge(&deltas[1]);
    assert!(same(&ahead, &laggard));
    // A change's delta knows the removed dot by name, and nothing by floor: it deletes nothing else.
    assert_eq!((removal.floor(), removal.covered().dots_beyond()), (0, 1));
}

#[test]
fn a_removed_element_leaves_no_trace_below_the_floor() {
    let mut maps = [empty(), empty(), empty()];
    let mut plateau = Vec::new();
    for round in 1..=20u64 {
        let mut writers = [1, 2, 3].map(|id| writer(round, id));
        for number in 0..300u64 {
            let at = (number % 3) as usize;
            let key = number.to_be_bytes();
            let add = maps[at].add(&key, &EGGS, writers[at].next(floor(round - 1)).unwrap());
            let tagged = maps[at].add(&key, &MILK, Dot::of_tag(stamp(round, 100 + number)));
            maps[(at + 1) % 3].merge(&add.join(tagged));
        }
        for from in 0..3 {
            let state = maps[from].clone();
            maps.iter_mut().for_each(|map| {
                map.merge_state(&state);
            });
        }
        assert_eq!(maps[0].held().elements, 600);
        let removals: Vec<_> = (0..300u64)
            .map(|number| maps[1].remove_key(&number.to_be_bytes()))
            .collect();
        let removals = Delta::group(removals);
        assert!(
            removals.encode().len() < 300 * 40,
            "a removal names dots and nothing else"
        );
        maps.iter_mut().for_each(|map| {
            map.merge(&removals);
        });
        plateau.push(maps[2].held());
        maps.iter_mut().for_each(|map| map.collect(floor(round)));
        assert!(
            maps.iter()
                .all(|map| map.held() == Held::default() && same(map, &maps[0]))
        );
    }
    assert!(plateau.iter().all(|held| *held == plateau[0]), "{plateau:?}");
    assert_eq!(plateau[0].ranges, 303, "three writers and the tags of one horizon");
}

#[test]
fn a_new_add_takes_the_place_of_those_it_saw() {
    let (mut here, mut there) = (empty(), empty());
    let one = here.add(KEY, &EGGS, writer(1, 1).next(0).unwrap());
    let two = there.add(KEY, &EGGS, writer(1, 2).next(0).unwrap());
    here.merge(&two);
    there.merge(&one);
    assert_eq!(
        (here.held().elements, here.held().dots),
        (1, 2),
        "neither saw the other"
    );
    let three = here.add(KEY, &EGGS, writer(1, 3).next(0).unwrap());
    assert_eq!((three.added().len(), three.covered().dots_beyond()), (1, 3));
    there.merge(&three);
    assert!(same(&here, &there));
    assert_eq!((here.held().elements, here.held().dots), (1, 1));
}

#[test]
fn keys_and_elements_come_in_order() {
    let mut map = empty();
    let mut phone = writer(1, 1);
    for (key, value) in [(b"b", 3), (b"a", 2), (b"c", 1), (b"a", 7), (b"a", 1)] {
        map.add(key, &element(value), phone.next(0).unwrap());
    }
    map.merge(&empty().add(b"a", &element(2), writer(1, 2).next(0).unwrap()));
    assert_eq!(elements(&map, b"a"), [1, 2, 7]);
    assert_eq!(elements(&map, b"aa"), []);
    let after = |after: Option<&[u8]>| {
        map.iter_after(after)
            .map(|(key, of)| (key[0], of.count()))
            .collect::<Vec<_>>()
    };
    assert_eq!(after(None), [(b'a', 3), (b'b', 1), (b'c', 1)]);
    assert_eq!(after(Some(b"a")), [(b'b', 1), (b'c', 1)]);
    assert_eq!(after(Some(b"aa")), [(b'b', 1), (b'c', 1)]);
    assert_eq!(after(Some(b"c")), []);
    assert_eq!(after(Some(b"")).len(), 3);
}

#[test]
fn digests_tell_apart_what_looks_alike_end_to_end() {
    let dot = writer(1, 1).next(0).unwrap();
    let of = |key: &[u8], element: &[u8]| {
        let mut map = empty();
        map.add(key, element, dot);
        map.digest()
    };
    assert_ne!(of(&[1, 2], &[3]), of(&[1], &[2, 3]));
    assert_ne!(of(&[], &[3]), of(&[3], &[]));
    // The floor is part of the state, and so are dots that keep nothing.
    let mut folded = empty();
    folded.collect(1);
    let mut removed = empty();
    removed.add(KEY, &EGGS, dot);
    removed.remove(KEY, &EGGS);
    assert!(!same(&folded, &empty()) && !same(&removed, &empty()) && !same(&folded, &removed));
    let other_key = OrMap::new(&DigestKey::new([8; 16]));
    assert_ne!(
        other_key.digest(),
        empty().digest(),
        "and all is under the cluster's key"
    );
}

#[test]
fn one_key_with_a_hundred_thousand_elements() {
    const MANY: u64 = 100_000;
    // All in no order of theirs: the numbers are multiplied by one that is prime to 2^64.
    let text = |number: u64| {
        [
            &[0xc4, 8][..],
            &number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(),
        ]
        .concat()
    };
    let (mut here, mut there) = (empty(), empty());
    let (mut phone, mut laptop) = (writer(1, 1), writer(1, 2));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for number in 0..MANY {
        first.push(here.add(KEY, &text(number), phone.next(0).unwrap()));
        second.push(there.add(KEY, &text(number + MANY / 2), laptop.next(0).unwrap()));
    }
    let mut grouped = empty();
    grouped.merge(&sent(&Delta::group(first)));
    grouped.merge(&sent(&Delta::group(second)));
    here.merge_state(&there);
    assert!(same(&here, &grouped));
    assert_eq!((here.held().elements, here.held().dots), (MANY * 3 / 2, MANY * 2));
    assert!(here.get(KEY).is_sorted_by(|a, b| a < b));
    // Each add again, by another writer who has seen them all, takes the place of one or two.
    let (mut tablet, mut third) = (writer(2, 3), Vec::new());
    for number in 0..MANY {
        assert!(here.contains(KEY, &text(number)));
        third.push(here.add(KEY, &text(number), tablet.next(0).unwrap()));
    }
    assert_eq!((here.held().elements, here.held().dots), (MANY * 3 / 2, MANY * 3 / 2));
    there.merge(&sent(&Delta::group(third)));
    let mut removals = Vec::new();
    for number in 0..MANY {
        removals.push(here.remove(KEY, &text(number)));
    }
    there.merge(&sent(&here.remove_key(KEY)));
    there.merge(&sent(&Delta::group(removals)));
    here.merge_state(&there);
    assert!(same(&here, &there));
    assert_eq!((here.len(), here.held().ranges), (0, 3));
}
