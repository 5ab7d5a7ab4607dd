//! Whole states: what they hold, and merges of large ones, where the walk side by side has many ways to go wrong.

use super::*;

/// A few thousand keys, each written by some of five writers under two names at some of a few times.
fn written(count: u64, seed: u64) -> Vec<Written> {
    let mut rng = SeededRng::from_u64(seed);
    let mut all = vec![];
    for _ in 0..count {
        let key = format!("key-{}", rng.below(count)).into_bytes();
        let value = rng.chance(700).then(|| vec![7; 1 + rng.below(40) as usize]);
        all.push(Written {
            ms: rng.below(20),
            writer: rng.below(4) as u8,
            ttl_ms: value.as_ref().filter(|_| rng.chance(200)).map(|_| 1 + rng.below(5)),
            value,
            ..set(&key, 0, 0)
        });
    }
    all
}

/// What is held is counted as it is written: the key, and the record of its version.
#[test]
fn bytes_are_counted_as_they_are_written() {
    let brief = Written {
        ttl_ms: Some(9),
        ..set(b"brief", 7, 2)
    };
    let all = [set(b"key", 5, 1), delete(b"gone!!", 6), brief];
    let bytes = all.iter().map(|written| {
        let record = crate::crdt::Record::new(&written.version());
        written.key.len() + record.as_bytes().len()
    });
    let held = Held {
        records: 3,
        tombstones: 1,
        expiring: 1,
        bytes: bytes.sum::<usize>() as u64,
    };
    assert_eq!(filled(&all).held(), held);
}

/// Two large states that share a part and differ in the rest become what their whole history makes.
#[test]
fn large_states_merge_as_their_histories_do() {
    let (shared, ours, theirs) = (written(2_000, 1), written(900, 2), written(900, 3));
    let ours: Vec<_> = shared.iter().chain(&ours).cloned().collect();
    let theirs: Vec<_> = shared.iter().chain(&theirs).cloned().collect();
    let both: Vec<_> = ours.iter().chain(&theirs).cloned().collect();
    for (one, other) in [(&ours, &theirs), (&theirs, &ours), (&ours, &vec![]), (&vec![], &ours)] {
        let mut merged = filled(one);
        merged.merge_map(&filled(&shuffled(other, 4)));
        assert_is(&merged, &model(&one.iter().chain(other).cloned().collect::<Vec<_>>()));
    }
    // And a state that has it all already is as it was, whatever order its rows came in.
    let mut merged = filled(&both);
    merged.merge_map(&filled(&ours));
    assert_is(&merged, &model(&both));
}

/// Equal bytes of a row can be two writers' whose numbers in their maps are alike: the greater name wins all the same.
#[test]
fn numbers_of_writers_mean_nothing_in_another_map() {
    let by = |writer: u8, key: &[u8]| Written {
        writer,
        ..set(key, 5, 1)
    };
    for order in [["k", "l"], ["l", "k"]] {
        let [first, second] = order.map(str::as_bytes);
        // In one map 0 stands for a and 1 for c, in the other 0 for b and 1 for a.
        let (mut one, other) = (
            filled(&[by(0, first), by(2, second)]),
            filled(&[by(1, first), by(0, second)]),
        );
        one.merge_map(&other);
        assert_eq!(one.get(first), Some(by(1, first).version()));
        assert_eq!(one.get(second), Some(by(2, second).version()));
    }
}

/// Of two states the lower is replaced below the floor of the other, no further, and nothing else is lost or comes back.
#[test]
fn a_large_state_is_replaced_below_the_floor() {
    const FLOOR_MS: u64 = 10;
    let all = written(3_000, 6);
    let mut collected = filled(&all);
    collected.collect(FLOOR_MS << 16, |_| {});
    let mut lower = filled(&all);
    let late: Vec<_> = written(100, 7).into_iter().filter(|w| w.ms > FLOOR_MS).collect();
    late.iter().for_each(|written| {
        merge(&mut lower, written);
    });
    let mut left = model(&all);
    left.retain(|_, written| {
        let version = written.version();
        written.ms > FLOOR_MS || !(version.is_tombstone() || version.is_expired(FLOOR_MS))
    });
    let mut history: Vec<_> = left.into_values().collect();
    history.extend(late);
    lower.merge_map(&collected);
    assert_is(&lower, &model(&history));
    assert_eq!(lower.floor(), FLOOR_MS << 16);
}

/// What is foreseen is what a look-up reads.
#[test]
fn the_leaf_that_is_foreseen_holds_the_key() {
    let all = written(1_000, 8);
    let map = filled(&all);
    for written in &all {
        let place = map.place(&written.key);
        let foreseen = map.foresee(&written.key);
        assert!(foreseen.leaf.find(place, &written.key).is_some());
        foreseen.touch();
    }
}

#[test]
#[should_panic(expected = "the digests of one map have one key")]
fn maps_under_different_keys_have_different_places() {
    map().merge_map(&LwwMap::new(DigestKey::new([2; 16]), Mutants::default()));
}

/// A replica that lost something, and is at the same floor, takes nothing away from those that have it.
#[test]
fn a_state_at_the_same_floor_replaces_nothing() {
    let mut whole = filled(&[set(b"k", 5, 1)]);
    let mut lost = map();
    whole.collect(10 << 16, |_| {});
    lost.collect(10 << 16, |_| {});
    whole.merge_map(&lost);
    assert_eq!(whole.get(b"k"), Some(set(b"k", 5, 1).version()));
}

/// A map is packed anew once what is left would fit a quarter of its leaves, and not before; a small one never is.
#[test]
fn a_large_map_is_packed_anew_when_little_is_left() {
    let leaves = |count: u64, left: u64| {
        let key = |number: u64| format!("{number}").into_bytes();
        let mut map = filled(&(0..count).map(|number| set(&key(number), 1, 1)).collect::<Vec<_>>());
        let before = map.trie.leaf_count();
        let deleted: Vec<_> = (left..count).map(|number| delete(&key(number), 2)).collect();
        deleted.iter().for_each(|written| {
            merge(&mut map, written);
        });
        merge(&mut map, &delete(&key(0), 3));
        map.collect(2 << 16, |_| {});
        assert_eq!((map.len() as u64, map.floor()), (left, 2 << 16));
        assert_eq!(
            map.get(&key(0)),
            Some(delete(&key(0), 3).version()),
            "deleted above the floor"
        );
        assert_eq!(map.held().tombstones, 1);
        (before, map.trie.leaf_count())
    };
    let (before, after) = leaves(5_000, 500);
    assert!(before > 130 && after * 4 < before, "{after} of {before}");
    let (before, after) = leaves(5_000, 1_500);
    assert_eq!(after, before, "too much is left");
    let (before, after) = leaves(1_000, 10);
    assert!(before < 64 && after == before, "{after} of {before}");
}

/// A key that many wrote, one after the other, and that is gone at last: the map remembers none of them.
#[test]
fn writers_are_forgotten_with_their_last_version() {
    let mut map = map();
    for ms in 1..100u64 {
        let stamp = Stamp::new(ms, 0, WriterId(ms)).unwrap();
        let value = (ms < 99).then_some(&[1][..]);
        map.merge(b"k", &Version::new(stamp, "one of many", value));
    }
    let mut kept = map.clone();
    assert!(
        kept.writers.hold(WriterId(1_000), "new") < 2,
        "only the last one's is taken"
    );
    map.collect(99 << 16, |_| {});
    assert_eq!(map.len(), 0);
    let numbers = [1_000, 1_001].map(|id| map.writers.hold(WriterId(id), "new"));
    assert!(numbers.iter().all(|number| *number < 2), "{numbers:?}");
}

/// A map that has just been filled is never worth packing anew, however large its values are: `collect` would copy all of it,
/// each time.
#[test]
fn a_full_map_is_not_packed_anew() {
    for value_bytes in [1, 64, 700, 2_000, 5_000, 20_000] {
        let mut map = map();
        for key in 0..3_000u64 {
            let written = Written {
                value: Some(vec![7; value_bytes]),
                ..set(&key.to_be_bytes(), key, 0)
            };
            merge(&mut map, &written);
        }
        assert!(
            !map.is_sparse(),
            "{} leaves for values of {value_bytes} bytes",
            map.trie.leaf_count()
        );
        for key in 0..2_990u64 {
            merge(&mut map, &delete(&key.to_be_bytes(), 5_000));
        }
        map.collect(5_000 << 16, |_| {});
        assert!(!map.is_sparse() && map.len() == 10, "and a sparse one is");
    }
}

/// Three replicas, with floors that rise one replica after the other, while states are merged in any direction: once each
/// has everything, all are equal, hold what the history says, and nothing of what was deleted below the floor.
#[test]
fn replicas_with_floors_converge() {
    for seed in 0..if cfg!(miri) { 5 } else { 300 } {
        let mut rng = SeededRng::from_u64(seed);
        let mut replicas = [map(), map(), map()];
        let mut history: Vec<Written> = vec![];
        let mut floor_ms = 0;
        for round in 0..4u64 {
            // Nothing is written at or below what is promised.
            for _ in 0..12 {
                let key = [b'a' + rng.below(5) as u8];
                let value = rng.chance(600).then(|| vec![rng.below(3) as u8 + 1]);
                let one = Written {
                    ms: round * 10 + 1 + rng.below(10),
                    writer: rng.below(4) as u8,
                    ttl_ms: rng.chance(300).then(|| 1 + rng.below(8)),
                    value,
                    ..set(&key, 0, 0)
                };
                merge(&mut replicas[rng.below(3) as usize], &one);
                history.push(one);
                random_merge(&mut replicas, &mut rng);
            }
            // Everybody has everything: the floor may rise, to be known here sooner and there later.
            exchange(&mut replicas);
            floor_ms = round * 10 + 1 + rng.below(10);
            let late = rng.below(4) as usize;
            for (at, replica) in replicas.iter_mut().enumerate() {
                if at != late {
                    replica.collect(floor_ms << 16 | 0xffff, |_| {});
                }
            }
        }
        exchange(&mut replicas);
        let dead = |written: &Written| {
            let expired = written.version().is_expired(floor_ms);
            written.ms <= floor_ms && (written.value.is_none() || expired)
        };
        let mut left = model(&history);
        left.retain(|_, written| !dead(written));
        for replica in &mut replicas {
            replica.collect(floor_ms << 16 | 0xffff, |_| {});
            assert_is(replica, &left);
        }
    }
}

fn random_merge(replicas: &mut [LwwMap; 3], rng: &mut SeededRng) {
    if rng.chance(300) {
        let from = replicas[rng.below(3) as usize].clone();
        replicas[rng.below(3) as usize].merge_map(&from);
    }
}

fn exchange(replicas: &mut [LwwMap; 3]) {
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
        let from = replicas[from].clone();
        replicas[to].merge_map(&from);
    }
}
