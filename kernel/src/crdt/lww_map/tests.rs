mod shape;
mod states;

use super::*;
use crate::env::{SeededRng, WriterId};
use alloc::collections::BTreeMap;
use proptest::prelude::*;

fn map() -> LwwMap {
    LwwMap::new(DigestKey::new([1; 16]), Mutants::default())
}

/// A version to draw and to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    key: Vec<u8>,
    ms: u64,
    writer: u8,
    ttl_ms: Option<u64>,
    value: Option<Vec<u8>>,
}

impl Written {
    fn version(&self) -> Version<'_> {
        Version {
            stamp: Stamp::new(self.ms, 0, WriterId((self.writer / 2).into())).unwrap(),
            writer: ["a", "b", "c", "d"][usize::from(self.writer)],
            ttl_ms: self.ttl_ms.filter(|_| self.value.is_some()),
            value: self.value.as_deref(),
        }
    }
}

fn set(key: &[u8], ms: u64, value: u8) -> Written {
    Written {
        key: key.to_vec(),
        ms,
        writer: 0,
        ttl_ms: None,
        value: Some(vec![value]),
    }
}

fn delete(key: &[u8], ms: u64) -> Written {
    Written {
        value: None,
        ..set(key, ms, 0)
    }
}

fn merge(map: &mut LwwMap, written: &Written) -> Merged {
    map.merge(&written.key, &written.version())
}

fn filled<'w>(all: impl IntoIterator<Item = &'w Written>) -> LwwMap {
    let mut map = map();
    for written in all {
        merge(&mut map, written);
    }
    map
}

/// Few keys, times, writers and values, so that ties are common.
fn history(len: usize) -> impl Strategy<Value = Vec<Written>> {
    let value = proptest::option::weighted(0.7, proptest::collection::vec(0u8..3, 1..6));
    let ttl_ms = proptest::option::weighted(0.2, 1u64..4);
    let written = (0u8..6, 0u64..5, 0u8..4, ttl_ms, value).prop_map(|(key, ms, writer, ttl_ms, value)| Written {
        key: vec![b'k'; key.into()],
        ms,
        writer,
        // A deleted version has none: two that differ in it alone would be the same version.
        ttl_ms: ttl_ms.filter(|_| value.is_some()),
        value,
    });
    proptest::collection::vec(written, 0..len)
}

fn shuffled(all: &[Written], seed: u64) -> Vec<Written> {
    let mut all = all.to_vec();
    let mut rng = SeededRng::from_u64(seed);
    for i in (1..all.len()).rev() {
        all.swap(i, rng.below(i as u64 + 1) as usize);
    }
    all
}

/// What the map should hold, as a function of the history alone: of each key the greatest version, in an order that is
/// written down here once more.
fn model(all: &[Written]) -> BTreeMap<Vec<u8>, Written> {
    let rank = |written: &Written| {
        let version = written.version();
        (
            (written.ms, written.writer / 2),
            version.value.is_none(),
            version.value.map(<[u8]>::to_vec),
            version.ttl_ms.map_or(u64::MAX, |ttl_ms| ttl_ms),
            written.writer,
        )
    };
    let mut model: BTreeMap<_, Written> = BTreeMap::new();
    for written in all {
        let held = model.entry(written.key.clone()).or_insert_with(|| written.clone());
        if rank(written) > rank(held) {
            *held = written.clone();
        }
    }
    model
}

fn assert_is(map: &LwwMap, model: &BTreeMap<Vec<u8>, Written>) {
    for (key, written) in model {
        assert_eq!(map.get(key), Some(written.version()), "{key:?}");
    }
    let mut held = Held::default();
    let mut digest = 0u128;
    let mut last = None;
    for row in map.iter() {
        assert_eq!(Some(row.version), model.get(row.key).map(Written::version));
        assert_eq!(row.place, map.place(row.key));
        assert!(last < Some((row.place, row.key)), "rows ascend");
        last = Some((row.place, row.key));
        held = held.plus(Held::of(row.key, &row.version));
        digest = digest.wrapping_add(map.digest_of(row.key, &row.version));
    }
    assert_eq!(held.records, model.len() as u64);
    assert_eq!((map.held(), map.digest()), (held, digest));
    assert_eq!(map.trie.sum().1, held.records);
    assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
}

proptest! {
    #[test]
    fn a_map_is_a_function_of_its_history(all in history(40), seed: u64) {
        let map = filled(&all);
        assert_is(&map, &model(&all));
        // Commutative and associative: in another order, and everything twice.
        let twice: Vec<_> = all.iter().chain(&all).cloned().collect();
        let other = filled(&shuffled(&twice, seed));
        assert_is(&other, &model(&all));
        prop_assert_eq!(map.digest(), other.digest());
    }

    /// Replicas that merge parts of each other's states in any pattern, and then everything.
    #[test]
    fn replicas_converge(all in history(40), seed: u64) {
        let mut rng = SeededRng::from_u64(seed);
        let mut replicas = [map(), map(), map()];
        for written in &all {
            merge(&mut replicas[rng.below(3) as usize], written);
            if rng.chance(300) {
                let (from, to) = (rng.below(3) as usize, rng.below(3) as usize);
                let from = replicas[from].clone();
                replicas[to].merge_map(&from);
            }
        }
        for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 2)] {
            let from = replicas[from].clone();
            replicas[to].merge_map(&from);
        }
        for replica in &replicas {
            assert_is(replica, &model(&all));
        }
        // Idempotent.
        let [mut a, b, _] = replicas;
        a.merge_map(&b);
        assert_is(&a, &model(&all));
    }

    #[test]
    fn a_merge_changes_exactly_when_it_says_so(all in history(20), one in history(2)) {
        let Some(one) = one.first() else { return Ok(()) };
        let before = filled(&all);
        let mut after = before.clone();
        let would = before.would_change(&one.key, &one.version());
        let merged = merge(&mut after, one);
        prop_assert_eq!(merged.is_change(), would);
        prop_assert_eq!(merged.is_change(), before.get(&one.key) != after.get(&one.key));
        prop_assert_eq!(merged.is_change(), before.digest() != after.digest());
        // Monotone: what is held never loses to what was held.
        if let (Some(old), Some(new)) = (before.get(&one.key), after.get(&one.key)) {
            prop_assert!(!old.wins_over(&new));
        }
    }

    #[test]
    fn equal_digests_are_equal_maps(a in history(6), b in history(6)) {
        prop_assert_eq!(filled(&a).digest() == filled(&b).digest(), model(&a) == model(&b));
    }

    /// Below the floor the dead are forgotten, by all replicas alike, and nothing that they forgot comes back.
    #[test]
    fn what_was_collected_does_not_come_back(all in history(40), floor_ms in 0u64..8, late: u64) {
        let floor = floor_ms << 16;
        let mut map = filled(&all);
        let mut gone = vec![];
        map.collect(floor, |key| gone.push(key.to_vec()));
        let dead = |written: &Written| {
            let expires = written.version().expires_at_ms().is_some_and(|at_ms| at_ms <= floor_ms);
            floor > 0 && written.ms << 16 <= floor && (written.value.is_none() || expires)
        };
        let mut left = model(&all);
        let all_dead: Vec<_> = left.extract_if(.., |_, written| dead(written)).map(|(key, _)| key).collect();
        gone.sort();
        prop_assert_eq!(gone, all_dead);
        assert_is(&map, &left);
        // Everything once more, however late.
        for written in shuffled(&all, late) {
            let merged = merge(&mut map, &written);
            prop_assert!(!merged.is_change() || floor == 0, "{:?}", written);
        }
        assert_is(&map, &left);
        // A replica that has not collected yet, but holds what the others hold, is replaced below the floor.
        let mut lower = filled(&all);
        lower.merge_map(&map);
        assert_is(&lower, &left);
        map.merge_map(&filled(&all));
        assert_is(&map, &left);
    }
}

/// So many keys that the trie has three levels, and values of all lengths, against a map of the standard library.
#[test]
fn a_large_map_against_a_simple_one() {
    let mut rng = SeededRng::from_u64(7);
    let mut simple: BTreeMap<Vec<u8>, Written> = BTreeMap::new();
    let mut map = map();
    let count = if cfg!(miri) { 2_000 } else { 60_000 };
    for ms in 0..count {
        let key = format!("key-{}", rng.below(count / 3)).into_bytes();
        let longest = if rng.chance(10) { 9_000 } else { 60 };
        let value = rng.chance(800).then(|| vec![7; 1 + rng.below(longest) as usize]);
        let written = Written {
            ms,
            writer: rng.below(4) as u8,
            ttl_ms: rng.chance(100).then(|| 1 + rng.below(count)),
            value,
            ..set(&key, 0, 0)
        };
        assert!(merge(&mut map, &written).is_change());
        simple.insert(key, written);
    }
    assert_is(&map, &simple);
    let middle = 1 << 31;
    let places: Vec<_> = map
        .iter()
        .map(|row| row.place)
        .filter(|place| *place >= middle)
        .collect();
    let from: Vec<_> = map.iter_from(middle).map(|row| row.place).collect();
    assert_eq!(from, places);
    let last = places.last().unwrap();
    assert_eq!(map.iter_from(*last).count(), 1);
    assert_eq!(map.iter_from(last + 1).count(), 0);
    let floor = (count / 2) << 16;
    let leaves = map.trie.leaf_count();
    map.collect(floor, |_| {});
    simple.retain(|_, written| {
        let expired = written.version().is_expired(floor >> 16);
        written.ms << 16 > floor || !(written.value.is_none() || expired)
    });
    assert_is(&map, &simple);
    // All of them deleted: the memory of the trie comes back too.
    let keys: Vec<_> = simple.keys().cloned().collect();
    for (ms, key) in (count..).zip(&keys) {
        merge(&mut map, &delete(key, ms));
    }
    map.collect(u64::MAX >> 16 << 16, |_| {});
    assert_is(&map, &BTreeMap::new());
    assert!(
        map.trie.leaf_count() * 8 < leaves,
        "{} of {leaves}",
        map.trie.leaf_count()
    );
}

/// Keys whose places are alike as far as they go still find each other.
#[test]
fn places_that_never_part() {
    let map = map();
    let mut trie = Trie::default();
    let place = 0xabcd_0123;
    for number in 0..200u8 {
        let row = LeafRow {
            place,
            time: 0,
            writer: 0,
            ttl_ms: None,
            key: &[number],
            value: &[],
        };
        let path = trie.path(place);
        trie.leaf_mut(&path).push(&row);
        trie.account(&path, number.into(), 1);
        while trie.leaf(&trie.path(place)).is_full() {
            let path = trie.path(place);
            if !trie.split(&path, place, |leaf| leaf.rows().map(|row| u128::from(row.key[0])).sum()) {
                break;
            }
        }
    }
    let leaf = trie.leaf(&trie.path(place));
    assert_eq!(leaf.len(), 200);
    assert!((0..200).all(|number| leaf.find(place, &[number]).is_some()));
    assert_eq!(trie.sum(), ((0..200).sum(), 200));
    assert!(trie.leaf_count() < 40);
    assert!(map.is_empty());
}

#[test]
fn equal_times() {
    // One node, cloned: the same id, the same clock, and other contents.
    let (one, other) = (set(b"k", 5, 1), set(b"k", 5, 2));
    for order in [[&one, &other], [&other, &one]] {
        assert_eq!(filled(order).get(b"k"), Some(other.version()));
    }
    let gone = delete(b"k", 5);
    for order in [[&other, &gone], [&gone, &other]] {
        assert_eq!(filled(order).get(b"k"), Some(gone.version()));
    }
}

#[test]
fn value_older_than_the_delete() {
    let mut map = filled(&[delete(b"k", 2)]);
    assert_eq!(merge(&mut map, &set(b"k", 1, 7)), Merged::Unchanged);
    assert!(map.get(b"k").is_some_and(|version| version.is_tombstone()));
}

#[test]
fn delete_older_than_the_value() {
    let mut map = filled(&[set(b"k", 2, 7)]);
    assert_eq!(merge(&mut map, &delete(b"k", 1)), Merged::Unchanged);
    assert_eq!(map.get(b"k"), Some(set(b"k", 2, 7).version()));
}

#[test]
fn late_tombstone_against_a_re_created_key() {
    let (old, gone, new) = (set(b"k", 1, 1), delete(b"k", 2), set(b"k", 3, 2));
    for order in [[&old, &new, &gone], [&new, &gone, &old], [&gone, &old, &new]] {
        assert_eq!(filled(order).get(b"k"), Some(new.version()));
    }
    // The tombstone was collected elsewhere, and comes from a replica that has not collected yet.
    let mut map = filled([&gone]);
    map.collect(2 << 16, |_| {});
    merge(&mut map, &new);
    assert_eq!(merge(&mut map, &gone), Merged::Unchanged);
    assert_eq!(merge(&mut map, &old), Merged::Unchanged);
    assert_eq!(map.get(b"k"), Some(new.version()));
}

#[test]
fn offline_past_the_horizon() {
    let mut map = filled(&[set(b"k", 10, 1), delete(b"k", 20)]);
    map.collect(20 << 16, |_| {});
    assert_eq!(map.held(), Held::default(), "nothing is left of it");
    // A client that slept through all of it still has the value, and sends it as it was.
    assert_eq!(merge(&mut map, &set(b"k", 10, 1)), Merged::Unchanged);
    assert_eq!(map.get(b"k"), None);
    // Stamped anew it is a write like any other.
    assert!(merge(&mut map, &set(b"k", 21, 1)).is_change());
}

#[test]
fn disk_restored_from_an_older_copy() {
    let old = filled(&[set(b"k", 10, 1), set(b"other", 10, 1)]);
    let mut replica = old.clone();
    merge(&mut replica, &delete(b"k", 20));
    let mut third = replica.clone();
    third.collect(20 << 16, |_| {});
    // The old copy brings back nothing that was collected, whoever merges whom.
    let mut restored = old.clone();
    restored.merge_map(&third);
    third.merge_map(&old);
    for map in [&restored, &third] {
        assert_eq!((map.get(b"k"), map.len(), map.floor()), (None, 1, 20 << 16));
    }
    assert_eq!(restored.digest(), third.digest());
}

/// Ten thousand keys come and go: what is held does not grow with what is gone.
#[test]
fn churn_reaches_a_plateau() {
    let mut map = map();
    let mut most = 0;
    for round in 0..20u64 {
        for key in 0..500 {
            let name = format!("{round}-{key}");
            merge(&mut map, &set(name.as_bytes(), round * 10, 1));
            merge(&mut map, &delete(name.as_bytes(), round * 10 + 1));
        }
        map.collect((round * 10).saturating_sub(15) << 16, |_| {});
        if round > 3 {
            most = most.max(map.len());
        }
    }
    assert!(most <= 3 * 500, "{most}");
    assert!(map.trie.leaf_count() < 200, "{}", map.trie.leaf_count());
}

#[test]
fn the_digest_is_frozen() {
    let map = filled(&[
        set(b"k", 5, 1),
        delete(b"gone", 6),
        Written {
            ttl_ms: Some(9),
            writer: 3,
            ..set(b"brief", 7, 2)
        },
    ]);
    assert_eq!(map.digest(), 212_224_862_339_294_107_377_775_088_076_316_085_608);
}

/// The map is its own Merkle tree: of every prefix it says what a tree of its items says, whatever their shapes.
#[test]
fn its_sums_are_those_of_its_items() {
    let mut map = map();
    let count = if cfg!(miri) { 300 } else { 5_000 };
    for number in 0..count {
        merge(&mut map, &set(format!("key-{number}").as_bytes(), number, 1));
    }
    let items = |summary: &dyn Summary, prefix| {
        let mut items = vec![];
        summary.items(prefix, &mut |item| items.push(item));
        items.sort_by_key(|item| item.key_hash);
        items
    };
    let all = items(&map, Prefix::ROOT);
    assert_eq!(all.len(), count as usize);
    let tree: crate::merkle::Trie = all.iter().copied().collect();
    let mut rng = SeededRng::from_u64(3);
    for len in 0..=16 {
        for _ in 0..20 {
            let near = all[rng.below(count) as usize].key_hash;
            let hash = if rng.chance(800) { near } else { rng.next_u64() };
            let prefix = Prefix::of(hash, len);
            assert_eq!(map.summary(prefix), tree.summary(prefix), "{prefix:?}");
            assert_eq!(items(&map, prefix), items(&tree, prefix), "{prefix:?}");
        }
    }
}

/// Two maps that differ in a few rows find out in which, by the walk and by coded symbols.
#[test]
fn maps_find_what_differs() {
    use crate::merkle::{Walk, WalkBounds, answer};
    use crate::reconcile::{Decoder, Encoder};
    let ours = filled(
        &(0..2_000)
            .map(|n| set(format!("{n}").as_bytes(), n, 1))
            .collect::<Vec<_>>(),
    );
    let mut theirs = ours.clone();
    merge(&mut theirs, &set(b"7", 9_000, 2));
    merge(&mut theirs, &set(b"new", 9_001, 2));
    let differing = |map: &LwwMap, keys: &[&[u8]]| {
        let items = keys.iter().map(|key| Item {
            key_hash: map.digest_key.place(key),
            digest: map.digest_of(key, &map.get(key).unwrap()),
        });
        let mut items: Vec<_> = items.collect();
        items.sort_by_key(|item| item.key_hash);
        items
    };
    let sorted = |items: &[Item]| {
        let mut items = items.to_vec();
        items.sort_by_key(|item| item.key_hash);
        items
    };
    let bounds = WalkBounds {
        message_bytes: 4_096,
        prefixes: 10_000,
    };
    let mut walk = Walk::new(bounds);
    while let Some(question) = walk.ask() {
        walk.take(&ours, &answer(&theirs, &question, 4_096).unwrap()).unwrap();
    }
    assert_eq!(sorted(walk.only_here()), differing(&ours, &[b"7"]));
    assert_eq!(sorted(walk.only_there()), differing(&theirs, &[b"7", b"new"]));

    let key = DigestKey::new([5; 16]);
    let encoder = |map: &LwwMap| {
        let mut items = vec![];
        map.items(Prefix::ROOT, &mut |item| items.push(item));
        Encoder::new(&key, items)
    };
    let mut theirs_encoder = encoder(&theirs);
    let mut decoder = Decoder::new(encoder(&ours), 1_000);
    while let Some(question) = decoder.ask() {
        decoder
            .take(&theirs_encoder.answer(&question, 1_000, 4_096).unwrap())
            .unwrap();
    }
    let differences = decoder.differences().unwrap();
    assert_eq!(sorted(&differences.only_here), differing(&ours, &[b"7"]));
    assert_eq!(differences.only_there.len(), 2);
}
