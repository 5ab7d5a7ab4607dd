//! The laws of a lattice, for states and for deltas, whatever they hold: also dots that two writers gave to two elements.

use super::*;
use alloc::collections::{BTreeMap, BTreeSet};
use proptest::prelude::*;

type Triple = (u8, u8, Dot);

/// A state or delta as the definition has it: what is live, and what was seen.
#[derive(Debug, Clone, PartialEq)]
struct Plain {
    live: BTreeSet<Triple>,
    seen: BTreeSet<Dot>,
    floor: u64,
}

impl Plain {
    fn has_seen(&self, dot: Dot) -> bool {
        self.seen.contains(&dot) || (self.floor > 0 && dot.birth.time() <= self.floor)
    }

    fn join(&self, other: &Self) -> Self {
        let both = self.live.intersection(&other.live);
        let mine = self.live.iter().filter(|triple| !other.has_seen(triple.2));
        let theirs = other.live.iter().filter(|triple| !self.has_seen(triple.2));
        let floor = self.floor.max(other.floor);
        let seen = self.seen.union(&other.seen).copied();
        Self {
            live: both.chain(mine).chain(theirs).copied().collect(),
            seen: seen.filter(|dot| dot.birth.time() > floor || floor == 0).collect(),
            floor,
        }
    }

    fn delta(&self) -> Delta {
        let mut covered = Context::new();
        covered.fold(self.floor);
        for dot in &self.seen {
            covered.insert(*dot);
        }
        let added = self.live.iter().map(|(key, value, dot)| Added {
            key: [*key][..].into(),
            element: element(*value)[..].into(),
            dot: *dot,
        });
        Delta {
            added: added.collect(),
            covered,
        }
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let dots = proptest::collection::btree_map((1u64..5, 1u64..6), proptest::option::of((0u8..3, 0u8..3)), 0..14);
    let floor_ms = prop_oneof![4 => Just(0), 1 => 1u64..5];
    (dots, floor_ms).prop_map(|(dots, ms): (BTreeMap<_, _>, _)| {
        let floor = if ms == 0 { 0 } else { floor(ms) };
        let dots = dots.into_iter().map(|((ms, number), at)| {
            let birth = stamp(ms, 1);
            (Dot { birth, number }, at)
        });
        let (mut live, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for (dot, at) in dots {
            live.extend(at.map(|(key, element)| (key, element, dot)));
            if dot.birth.time() > floor {
                seen.insert(dot);
            }
        }
        Plain { live, seen, floor }
    })
}

fn state(of: &[&Delta]) -> OrMap {
    let mut state = empty();
    for delta in of {
        state.merge(&sent(delta));
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_merge_is_the_join_of_the_definition(a in plain(), b in plain(), c in plain()) {
        let joined = a.join(&b).join(&c).delta();
        let merged = state(&[&a.delta(), &b.delta(), &c.delta()]);
        assert_consistent(&merged);
        prop_assert_eq!(&merged.as_delta(), &joined);
        prop_assert_eq!(Delta::group([a.delta(), b.delta(), c.delta()]), joined);
    }

    #[test]
    fn order_repetition_and_grouping_make_no_difference(a in plain(), b in plain(), c in plain()) {
        let (a, b, c) = (a.delta(), b.delta(), c.delta());
        let merged = state(&[&a, &b, &c]);
        prop_assert!(same(&merged, &state(&[&c, &b, &a])));
        prop_assert!(same(&merged, &state(&[&b, &a, &b, &c, &a, &a])));
        prop_assert!(same(&merged, &state(&[&a.clone().join(b.clone()), &c])));
        prop_assert!(same(&merged, &state(&[&a, &c.clone().join(b.clone())])));
        let (mut left, right) = (state(&[&a, &b]), state(&[&c, &b]));
        left.merge_state(&right);
        prop_assert!(same(&merged, &left));
        prop_assert_eq!(left.merge_state(&right), Merged::default(), "once more changes nothing");
    }

    #[test]
    fn a_state_only_ascends_and_says_when(a in plain(), b in plain()) {
        let before = state(&[&a.delta()]);
        let mut after = before.clone();
        let merged = after.merge(&b.delta());
        prop_assert_eq!(merged.changed(), !same(&before, &after));
        prop_assert_eq!(before.held().dots + merged.added - merged.removed, after.held().dots);
        prop_assert_eq!(after.clone().merge_state(&before), Merged::default(), "it holds what it held");
        prop_assert_eq!(after.merge(&b.delta()), Merged::default(), "and what it was given");
    }

    #[test]
    fn a_delta_does_elsewhere_what_the_change_did_here(a in plain(), key in 0u8..3, value in 0u8..3, what in 0u8..4, number in 1u64..9) {
        let here = state(&[&a.delta()]);
        let mut changed = here.clone();
        let dot = Dot { birth: stamp(4, 1), number };
        let delta = match what {
            0 => changed.remove(&[key], &element(value)),
            1 => changed.remove_key(&[key]),
            _ => changed.add(&[key], &element(value), dot),
        };
        let mut elsewhere = here.clone();
        elsewhere.merge(&sent(&delta));
        prop_assert!(same(&changed, &elsewhere));
        match what {
            0 => prop_assert!(!changed.contains(&[key], &element(value))),
            1 => prop_assert_eq!(changed.get(&[key]).count(), 0),
            _ => prop_assert!(here.context().contains(dot) || changed.contains(&[key], &element(value))),
        }
        prop_assert_eq!(delta.floor(), 0);
    }

    #[test]
    fn collecting_ascends_too(a in plain(), ms in 1u64..5) {
        let before = state(&[&a.delta()]);
        let mut after = before.clone();
        after.collect(floor(ms));
        assert_consistent(&after);
        prop_assert_eq!(&after.as_delta().added, &before.as_delta().added, "what is live stays");
        prop_assert_eq!(after.clone().merge_state(&before), Merged::default());
    }
}
