//! Two sides walk.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use proptest::prelude::*;

use crate::crdt::DigestKey;
use crate::env::SeededRng;
use crate::merkle::{Cost, Item, LEAF_ITEMS, Prefix, Sum, Summary, Trie, Walk, WalkBounds, WalkError, answer};

const BOUNDS: WalkBounds = WalkBounds {
    message_bytes: 4_096,
    prefixes: 100_000,
};

/// A list that sums up by looking at every item: the walk does not depend on how its sides are built.
struct List(Vec<Item>);

impl Summary for List {
    fn summary(&self, prefix: Prefix) -> Sum {
        self.0
            .iter()
            .copied()
            .filter(|item| prefix.contains(item.key_hash))
            .collect()
    }

    fn items(&self, prefix: Prefix, f: &mut dyn FnMut(Item)) {
        self.0
            .iter()
            .rev()
            .filter(|item| prefix.contains(item.key_hash))
            .copied()
            .for_each(f);
    }
}

fn walked(here: &impl Summary, there: &impl Summary, bounds: WalkBounds) -> Result<Walk, WalkError> {
    let mut walk = Walk::new(bounds);
    while let Some(question) = walk.ask() {
        assert!(
            question.len() <= bounds.message_bytes,
            "a question of {} bytes",
            question.len()
        );
        let answer = answer(there, &question, bounds.message_bytes)?;
        walk.take(here, &answer)?;
    }
    Ok(walk)
}

fn ascending(items: &[Item]) -> Vec<Item> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}

fn minus(a: &[Item], b: &[Item]) -> Vec<Item> {
    let b: BTreeSet<_> = b.iter().collect();
    ascending(&a.iter().copied().filter(|item| !b.contains(item)).collect::<Vec<_>>())
}

fn check(here: &[Item], there: &[Item]) -> Cost {
    let trie = |items: &[Item]| items.iter().copied().collect::<Trie>();
    let walk = walked(&trie(here), &trie(there), BOUNDS).unwrap();
    assert_eq!(ascending(walk.only_here()), minus(here, there));
    assert_eq!(ascending(walk.only_there()), minus(there, here));
    walk.cost()
}

fn random(rng: &mut SeededRng, n: u64) -> Vec<Item> {
    let mut item = |_| Item {
        key_hash: rng.next_u64(),
        digest: rng.next_u64().into(),
    };
    (0..n).map(&mut item).collect()
}

#[test]
fn random_sets_come_apart_whatever_their_sizes() {
    let mut rng = SeededRng::from_u64(1);
    for (here, there, both) in [
        (0, 0, 0),
        (0, 0, 3_000),
        (1, 0, 3_000),
        (0, 1, 0),
        (50, 50, 3_000),
        (0, 2_000, 0),
    ] {
        let common = random(&mut rng, both);
        let here = [common.clone(), random(&mut rng, here)].concat();
        let there = [common, random(&mut rng, there)].concat();
        check(&here, &there);
        check(&there, &here);
    }
}

#[test]
fn a_changed_record_differs_on_both_sides() {
    let here = random(&mut SeededRng::from_u64(2), 1_000);
    let mut there = here.clone();
    there[500].digest += 1;
    let cost = check(&here, &there);
    assert_eq!(cost.rounds, 3, "two levels of sums, then items");
    assert!(cost.bytes_answered < 2_000 && cost.bytes_asked < 20, "{cost:?}");
}

#[test]
fn equal_sets_take_one_question() {
    let here = random(&mut SeededRng::from_u64(3), 1_000);
    assert_eq!(check(&here, &here).rounds, 1);
}

#[test]
fn a_question_is_repeated_until_it_is_answered_and_what_was_left_out_is_asked_again() {
    let mut rng = SeededRng::from_u64(4);
    let here: Trie = random(&mut rng, 5_000).into_iter().collect();
    let there: Trie = random(&mut rng, 5_000).into_iter().collect();
    let mut walk = Walk::new(BOUNDS);
    while let Some(question) = walk.ask() {
        assert_eq!(walk.ask().as_ref(), Some(&question));
        let short = answer(&there, &question, 500).unwrap();
        assert!(short.len() <= 500, "{} bytes", short.len());
        walk.take(&here, &short).unwrap();
    }
    assert_eq!((walk.only_here().len(), walk.only_there().len()), (5_000, 5_000));
}

#[test]
fn items_of_one_hash_are_answered_all_together() {
    let same = |from: u128| (from..from + 100).map(|digest| Item { key_hash: 7, digest });
    assert!(same(0).count() as u64 > LEAF_ITEMS);
    check(&same(0).collect::<Vec<_>>(), &same(3).collect::<Vec<_>>());
}

#[test]
fn an_answer_to_something_else_is_refused() {
    let here: Trie = random(&mut SeededRng::from_u64(5), 100).into_iter().collect();
    let take = |walk: &mut Walk, parts: &[u8]| walk.take(&here, &[&[1], parts].concat());
    let begun = || {
        let mut walk = Walk::new(BOUNDS);
        walk.ask().unwrap();
        walk
    };
    assert_eq!(
        take(&mut Walk::new(BOUNDS), &[1, 0]),
        Err(WalkError::Stray),
        "nothing was asked"
    );
    assert_eq!(take(&mut begun(), &[]), Err(WalkError::Stray), "no part");
    assert_eq!(
        take(&mut begun(), &[1, 0, 1, 0]),
        Err(WalkError::Stray),
        "two parts for one prefix"
    );
    assert!(matches!(take(&mut begun(), &[9]), Err(WalkError::Message(_))));

    let one_child = [&[0, 0x80, 0][..], &[7; 16], &[1]].concat();
    let mut walk = begun();
    take(&mut walk, &one_child).unwrap();
    walk.ask().unwrap();
    let elsewhere = [&[1, 1][..], &[0xff; 24]].concat();
    assert_eq!(
        take(&mut walk, &elsewhere),
        Err(WalkError::Stray),
        "an item below another prefix"
    );

    let mut walk = begun();
    for _ in 0..16 {
        take(&mut walk, &one_child).unwrap();
        walk.ask().unwrap();
    }
    assert_eq!(
        take(&mut walk, &one_child),
        Err(WalkError::Stray),
        "children of a whole hash"
    );
}

#[test]
fn a_liar_is_given_up() {
    let here = Trie::new();
    let bounds = WalkBounds {
        prefixes: 1_000,
        ..BOUNDS
    };
    let mut walk = Walk::new(bounds);
    let lie = [&[0, 0xff, 0xff][..], &[&[7; 16][..], &[99]].concat().repeat(16)].concat();
    let end = loop {
        let asked = walk.ask().expect("there is ever more to ask").len();
        let parts = if asked == 2 { 1 } else { 10 };
        if let Err(end) = walk.take(&here, &[&[1], &lie.repeat(parts)[..]].concat()) {
            break end;
        }
    };
    assert_eq!(end, WalkError::TooLong(1_001));
}

/// Hashes that share long prefixes. The digests are those of real records: of others, unequal sets soon have equal sums.
fn few_items() -> impl Strategy<Value = Vec<Item>> {
    let item = (0u64..20, 0u32..60, 0u8..3).prop_map(|(n, shift, version)| {
        let key_hash = n << shift;
        let digest = DigestKey::new([1; 16]).digest_of([&key_hash.to_be_bytes(), &[version]]);
        Item { key_hash, digest }
    });
    proptest::collection::btree_set(item, 0..150).prop_map(|items| items.into_iter().collect())
}

proptest! {
    #[test]
    fn a_walk_finds_the_symmetric_difference(here in few_items(), there in few_items(), message_bytes in 50usize..2_000) {
        let bounds = WalkBounds { message_bytes, ..BOUNDS };
        let walk = walked(&here.iter().copied().collect::<Trie>(), &List(there.clone()), bounds).unwrap();
        prop_assert_eq!(ascending(walk.only_here()), minus(&here, &there));
        prop_assert_eq!(ascending(walk.only_there()), minus(&there, &here));
    }

    #[test]
    fn bytes_from_outside_never_panic_it(here in few_items(), bytes in proptest::collection::vec(0u8..4, 0..80)) {
        let here: Trie = here.into_iter().collect();
        let bytes = [&[1][..], &bytes].concat();
        let _ = answer(&here, &bytes, 1_000);
        let mut walk = Walk::new(BOUNDS);
        while walk.ask().is_some() && walk.cost().rounds < 20 {
            if walk.take(&here, &bytes).is_err() {
                break;
            }
        }
    }
}
