//! Whole states that are merged: large ones, where the walk side by side has many ways to go wrong.

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
