//! The trie and its leaves, whatever the places are.

use super::*;
use core::ptr;
use std::collections::BTreeSet;

fn row(place: u32, key: &[u8]) -> LeafRow<'_> {
    LeafRow {
        place,
        time: 1,
        writer: 0,
        ttl_ms: None,
        key,
        value: &[1],
    }
}

/// A trie of rows at these places, with a digest of 1 a row.
fn grown(places: &[u32]) -> Trie {
    let mut trie = Trie::default();
    for place in places {
        let path = trie.path(*place);
        trie.leaf_mut(&path).push(&row(*place, &place.to_be_bytes()));
        trie.account(&path, 1, 1);
        while trie.leaf(&trie.path(*place)).is_full() {
            if !trie.split(&trie.path(*place), *place, |leaf| leaf.len() as u128) {
                break;
            }
        }
    }
    trie
}

/// Places in all corners: spread evenly, and crowded behind a few long prefixes, so that ways of all lengths occur.
fn places(count: u64, rng: &mut SeededRng) -> Vec<u32> {
    let crowded = |rng: &mut SeededRng| {
        let free_bits = 4 + rng.below(24);
        0xabcd_0123 ^ rng.below(1 << free_bits) as u32
    };
    let places: BTreeSet<_> = (0..count)
        .map(|_| match rng.chance(500) {
            true => rng.next_u64() as u32,
            false => crowded(rng),
        })
        .collect();
    let mut places: Vec<_> = places.into_iter().collect();
    for i in (1..places.len()).rev() {
        places.swap(i, rng.below(i as u64 + 1) as usize);
    }
    places
}

/// For tries of several sizes: the trie, and places that are in it, near those, or anywhere.
fn for_tries(mut check: impl FnMut(&Trie, &[u32], &[u32])) {
    let mut rng = SeededRng::from_u64(5);
    for count in [0, 30, 200, 3_000] {
        let held = places(count, &mut rng);
        let mut asked = vec![0, 1, 1 << 28, u32::MAX];
        for place in held.iter().take(50) {
            asked.extend([*place, place ^ (1 << rng.below(32)), rng.next_u64() as u32]);
        }
        check(&grown(&held), &held, &asked);
    }
}

#[test]
fn a_way_leads_to_the_places_that_share_its_leaf() {
    for_tries(|trie, _, asked| {
        for from in asked {
            let path = trie.path(*from);
            assert!(ptr::eq(trie.leaf_of(*from), trie.leaf(&path)));
            for to in asked {
                let shared = ptr::eq(trie.leaf_of(*from), trie.leaf_of(*to));
                assert_eq!(trie.leads_to(&path, *to), shared, "{from:x} {to:x}");
            }
        }
    });
}

/// From a place on there is its own leaf, and then just those that lie behind it.
#[test]
fn leaves_are_passed_over_before_the_first_place() {
    for_tries(|trie, held, asked| {
        let all: Vec<_> = trie.leaves_from(0).collect();
        assert_eq!(all.len(), trie.leaf_count());
        assert_eq!(all.iter().map(|leaf| leaf.len()).sum::<usize>(), held.len());
        for first in asked {
            let own = all.iter().position(|leaf| ptr::eq(*leaf, trie.leaf_of(*first)));
            let behind = &all[own.unwrap()..];
            let from: Vec<_> = trie.leaves_from(*first).collect();
            assert_eq!(from.len(), behind.len(), "{first:x}");
            assert!(from.iter().zip(behind).all(|(a, b)| ptr::eq(*a, *b)), "{first:x}");
        }
    });
}

/// A walk comes to every row once, in order, under nodes whose sums are those of the rows below them; and it does not go
/// where it is not wanted.
#[test]
fn a_walk_shows_everything_in_order() {
    for_tries(|trie, held, _| {
        let mut places = vec![];
        let mut last = None;
        trie.walk(&mut |visit| {
            match visit {
                Visit::Node { place, digits, sum } => {
                    let below = |held: &&u32| digits == 0 || (**held ^ place) >> (32 - 4 * digits) == 0;
                    let rows = held.iter().filter(below).count() as u64;
                    assert_eq!(sum, (rows.into(), rows), "{place:x} {digits}");
                    assert_eq!(trie.prefix(place, digits).ok(), Some(sum));
                    assert!(last < Some((place, digits)), "nodes ascend");
                    last = Some((place, digits));
                }
                Visit::Leaf(leaf) => places.extend(leaf.sorted_rows().iter().map(|row| row.place)),
            }
            true
        });
        let mut sorted = held.to_vec();
        sorted.sort_unstable();
        assert_eq!(places, sorted);
        let mut nodes = 0;
        trie.walk(&mut |visit| {
            nodes += 1;
            assert!(matches!(visit, Visit::Node { digits: 0, .. }), "the top alone");
            false
        });
        assert_eq!(nodes, 1);
    });
}

/// A leaf is split into halves of its places, a node's sixteen children one by one: few leaves are nearly empty.
#[test]
fn leaves_are_well_filled() {
    let mut rng = SeededRng::from_u64(9);
    let spread: Vec<_> = (0..20_000).map(|_| rng.next_u64() as u32).collect();
    let trie = grown(&spread);
    let rows_per_leaf = spread.len() / trie.leaf_count();
    assert!((20..=40).contains(&rows_per_leaf), "{rows_per_leaf}");
    assert!(trie.leaves_from(0).all(|leaf| !leaf.is_full()));
}
