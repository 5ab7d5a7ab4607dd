use super::*;
use crate::env::WriterId;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use proptest::prelude::*;

fn birth(ms: u64, writer: u64) -> Stamp {
    Stamp::new(ms, 0, WriterId(writer)).unwrap()
}

fn dot(ms: u64, number: u64) -> Dot {
    Dot {
        birth: birth(ms, 1),
        number,
    }
}

fn floor(ms: u64) -> u64 {
    birth(ms, 0).time()
}

fn ranges(context: &Context) -> Vec<(u64, u64, u64)> {
    let ranges = context.ranges();
    ranges
        .map(|(birth, first, last)| (birth.millis(), first, last))
        .collect()
}

#[test]
fn ranges_that_touch_become_one() {
    let mut context = Context::new();
    for number in [1, 3, 7, 9] {
        assert!(context.insert(dot(1, number)));
        assert!(!context.insert(dot(1, number)));
    }
    assert_eq!(ranges(&context), [(1, 1, 1), (1, 3, 3), (1, 7, 7), (1, 9, 9)]);
    assert!(context.insert(dot(1, 2)));
    assert_eq!(ranges(&context), [(1, 1, 3), (1, 7, 7), (1, 9, 9)]);
    assert!(
        context.insert_range(birth(1, 1), 4..=8),
        "a bridge over all that lies between"
    );
    assert_eq!(ranges(&context), [(1, 1, 9)]);
    assert!(!context.insert_range(birth(1, 1), 2..=8));
    assert!(context.insert_range(birth(1, 1), 5..=10));
    assert_eq!(ranges(&context), [(1, 1, 10)]);
    assert_eq!((context.len(), context.dots_beyond()), (1, 10));
}

#[test]
fn births_do_not_touch_and_order_by_time() {
    let mut context = Context::new();
    context.insert(dot(2, 1));
    context.insert(dot(1, 2));
    context.insert(Dot {
        birth: birth(1, 2),
        number: 1,
    });
    context.insert(dot(1, 1));
    assert_eq!(ranges(&context), [(1, 1, 2), (1, 1, 1), (2, 1, 1)]);
    assert!(!context.contains(dot(2, 2)) && !context.contains(dot(3, 1)));
}

#[test]
fn the_last_number_has_nothing_behind_it() {
    let mut context = Context::new();
    assert!(context.insert(dot(1, u64::MAX)));
    assert!(!context.insert(dot(1, u64::MAX)));
    assert!(context.insert_range(birth(1, 1), 1..=u64::MAX));
    assert!(context.insert_range(birth(2, 1), 1..=u64::MAX));
    assert!(!context.insert(dot(1, 5)));
    assert_eq!((context.len(), context.dots_beyond()), (2, u64::MAX));
    let mut other = Context::new();
    other.insert_range(birth(1, 1), 3..=u64::MAX);
    assert!(!context.union(&other));
    assert!(other.union(&context));
    assert_eq!(other, context);
}

#[test]
fn below_the_floor_everything_is_in_the_set_and_costs_nothing() {
    let mut context = Context::new();
    for ms in 1..=9 {
        context.insert(dot(ms, ms));
    }
    assert!(context.fold(floor(5)));
    assert!(!context.fold(floor(5)) && !context.fold(floor(4)));
    assert_eq!((context.len(), context.floor()), (4, floor(5)));
    assert!(context.contains(dot(5, 77)), "seen or not");
    assert!(!context.contains(dot(6, 77)));
    assert!(!context.insert(dot(5, 78)));
    assert_eq!(context.len(), 4);
    context.fold(u64::MAX);
    assert_eq!(context.len(), 0);
    assert!(!context.is_empty() && Context::new().is_empty());
}

#[test]
#[should_panic(expected = "numbers 0 to 0")]
fn zero_is_no_number() {
    Context::new().insert(dot(1, 0));
}

/// A context, and what is in it among the dots born in the first five milliseconds with numbers up to 23.
fn contexts() -> impl Strategy<Value = (Context, BTreeSet<Dot>)> {
    let ranges = proptest::collection::vec((1u64..6, 1u64..20, 0u64..4), 0..40);
    (ranges, prop_oneof![3 => Just(0), 1 => 1u64..5]).prop_map(|(ranges, floor_ms)| {
        let (mut context, mut dots) = (Context::new(), BTreeSet::new());
        let floor = if floor_ms == 0 { 0 } else { floor(floor_ms) };
        for (n, (ms, first, more)) in ranges.iter().enumerate() {
            if n == ranges.len() / 2 {
                context.fold(floor);
            }
            let new = (*first..=first + more).filter(|number| !context.contains(dot(*ms, *number)));
            let grows = new.count() > 0;
            assert_eq!(context.insert_range(birth(*ms, 1), *first..=first + more), grows);
            dots.extend((*first..=first + more).map(|number| dot(*ms, number)));
        }
        context.fold(floor);
        dots.extend((1..=floor_ms).flat_map(|ms| (1..24).map(move |number| dot(ms, number))));
        (context, dots)
    })
}

fn dots(context: &Context) -> BTreeSet<Dot> {
    let all = (1..6).flat_map(|ms| (1..24).map(move |number| dot(ms, number)));
    all.filter(|dot| context.contains(*dot)).collect()
}

fn assert_canonical(context: &Context) {
    let ranges: Vec<_> = context.ranges().collect();
    for pair in ranges.windows(2) {
        assert!(pair[0] < pair[1]);
        assert!(
            pair[0].0 < pair[1].0 || pair[0].2 + 1 < pair[1].1,
            "{pair:?} overlap or touch"
        );
    }
    assert!(ranges.iter().all(|range| !is_at_or_below(range.0, context.floor())));
}

proptest! {
    #[test]
    fn a_context_is_the_set_of_its_dots((a, in_a) in contexts(), (b, in_b) in contexts()) {
        assert_canonical(&a);
        prop_assert_eq!(&dots(&a), &in_a);
        let mut union = a.clone();
        let grown = union.union(&b);
        assert_canonical(&union);
        prop_assert_eq!(dots(&union), &in_a | &in_b);
        prop_assert_eq!(grown, union != a);
        let mut other_way = b;
        other_way.union(&a);
        prop_assert_eq!(other_way, union);
    }

    #[test]
    fn a_few_are_put_in_as_many_are(many in proptest::collection::btree_set((1u64..200, 1u64..9), 100..200), few in proptest::collection::vec((1u64..200, 1u64..9), 0..9)) {
        let collect = |of: &mut dyn Iterator<Item = (u64, u64)>| {
            let mut context = Context::new();
            of.for_each(|(ms, number)| { context.insert(dot(ms, number)); });
            context
        };
        let (large, small) = (collect(&mut many.iter().copied()), collect(&mut few.iter().copied()));
        let mut union = large.clone();
        prop_assert_eq!(union.union(&small), union != large);
        prop_assert_eq!(&union, &collect(&mut many.into_iter().chain(few)));
        let mut other_way = small;
        other_way.union(&large);
        prop_assert_eq!(other_way, union);
    }
}
