//! The laws of a semilattice, over states whatever they hold: no promise of the floor's is needed for them.

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

/// Few births and floors, so that they meet; amounts that saturate now and then.
fn slots() -> impl Strategy<Value = BTreeMap<Stamp, Slot>> {
    let slot =
        (0u64..3, prop_oneof![0u64..3, Just(u64::MAX)]).prop_map(|(positive, negative)| Slot { positive, negative });
    proptest::collection::btree_map((1u64..6).prop_map(born), slot, 0..5)
        .prop_map(|slots| slots.into_iter().filter(|(_, slot)| !slot.is_empty()).collect())
}

fn states() -> impl Strategy<Value = PnCounter> {
    let amount = || prop_oneof![0u128..3, Just(u128::MAX)];
    (slots(), 0u64..4, amount(), amount()).prop_map(|(slots, floor, positive, negative)| {
        let mut counter = PnCounter::new();
        if floor > 0 {
            counter.base.floor = up_to(floor);
            counter.base.sum = Sum { positive, negative };
        }
        counter.merge(&Delta::from_slots(slots));
        counter
    })
}

fn folded(counter: &PnCounter, floor: u64) -> PnCounter {
    let mut folded = counter.clone();
    folded.collect(up_to(floor));
    folded
}

proptest! {
    #[test]
    fn merging_states_is_a_join(a in states(), b in states(), c in states()) {
        let ab = joined(&a, &b);
        prop_assert_eq!(&ab, &joined(&b, &a));
        prop_assert_eq!(joined(&ab, &c), joined(&a, &joined(&b, &c)));
        prop_assert_eq!(&joined(&a, &a), &a);
        // Monotone: both are below what they make, and what is below stays below.
        prop_assert_eq!(&joined(&ab, &a), &ab);
        prop_assert_eq!(&joined(&ab, &b), &ab);
        let (ac, abc) = (joined(&a, &c), joined(&ab, &c));
        prop_assert_eq!(joined(&ac, &abc), abc);
        prop_assert_eq!(sent(&a), a);
    }

    #[test]
    fn a_fold_is_a_step_up(a in states(), floor in 1u64..5) {
        let up = folded(&a, floor);
        prop_assert_eq!(&joined(&a, &up), &up);
        prop_assert_eq!(&joined(&up, &a), &up);
        prop_assert_eq!(up.value(), a.value());
    }

    #[test]
    fn a_merge_says_whether_it_changed_anything(a in states(), b in states(), slots in slots()) {
        let mut merged = a.clone();
        let said = merged.merge_state(&b);
        prop_assert_eq!(said == Merged::Changed, merged != a);
        let mut merged = a.clone();
        let said = merged.merge(&Delta::from_slots(slots));
        prop_assert_eq!(said == Merged::Changed, merged != a);
    }

    #[test]
    fn deltas_merge_in_any_order_twice_and_as_a_group(
        state in states(),
        deltas in proptest::collection::vec(slots().prop_map(Delta::from_slots), 0..5),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut one_by_one = state.clone();
        let mut group = Delta::default();
        for delta in &deltas {
            one_by_one.merge(&sent_delta(delta));
            group.join(delta);
        }
        let mut as_a_group = state.clone();
        as_a_group.merge(&sent_delta(&group));
        prop_assert_eq!(&as_a_group, &one_by_one);
        let mut shuffled = state.clone();
        let picks: Vec<&Delta> = order.iter().filter(|_| !deltas.is_empty()).map(|i| i.get(&deltas)).collect();
        for delta in picks.into_iter().chain(deltas.iter().rev()) {
            shuffled.merge(delta);
        }
        prop_assert_eq!(&shuffled, &one_by_one);
        prop_assert_eq!(&joined(&state, &one_by_one), &one_by_one);
        let mut grouped = group.clone();
        grouped.join(&group);
        prop_assert_eq!(grouped, group);
    }

    /// What the floor promises: all hold what lies at or below it. Then it makes no difference when each folds.
    #[test]
    fn under_the_floor_folding_and_merging_commute(a in states(), b in states(), floor in 1u64..5) {
        let settled = joined(&a, &b);
        let below = |counter: &PnCounter| {
            let mut all = counter.clone();
            for (&birth, slot) in settled.slots.iter().filter(|(birth, _)| is_at_or_below(**birth, up_to(floor))) {
                all.raise(birth, *slot);
            }
            all.drop_slots_below(settled.base.floor);
            all.base = settled.base;
            all
        };
        let (a, b) = (below(&a), below(&b));
        let expected = folded(&joined(&a, &b), floor);
        for (one, two) in [
            (folded(&a, floor), b.clone()),
            (a.clone(), folded(&b, floor)),
            (folded(&a, floor), folded(&b, floor)),
        ] {
            prop_assert_eq!(&folded(&joined(&one, &two), floor), &expected);
            prop_assert_eq!(&joined(&one, &two), &folded(&joined(&one, &two), floor));
            prop_assert_eq!(joined(&one, &two).value(), joined(&a, &b).value());
        }
    }
}
