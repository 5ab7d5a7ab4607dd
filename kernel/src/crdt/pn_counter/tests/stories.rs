//! What went wrong elsewhere, and the edges, one by one.

use super::*;
use crate::crdt::floor::candidate;
use crate::hlc::{Hlc, MAX_MILLIS};

fn count(counter: &mut PnCounter, birth: Stamp, by: i64) -> Delta {
    sent_delta(&counter.increment(birth, by).unwrap())
}

#[test]
fn it_counts_up_and_down() {
    let mut counter = PnCounter::new();
    count(&mut counter, born(1), 7);
    count(&mut counter, born(2), -10);
    count(&mut counter, born(1), -1);
    assert_eq!(counter.value(), Ok(-4));
    assert_eq!(counter.slot_count(), 2);
    let nothing = counter.increment(born(3), 0).unwrap();
    assert!(nothing.is_empty() && !count(&mut counter, born(3), 1).is_empty());
}

#[test]
fn duplicate_delta() {
    let (mut a, mut b) = (PnCounter::new(), PnCounter::new());
    let delta = count(&mut a, born(1), 5);
    assert_eq!(b.merge(&delta), Merged::Changed);
    assert_eq!(b.merge(&delta), Merged::Unchanged);
    assert_eq!(a.merge(&delta), Merged::Unchanged);
    assert_eq!((a.value(), b.value()), (Ok(5), Ok(5)));
    assert_eq!(b.merge_state(&a), Merged::Unchanged);
}

#[test]
fn delta_across_a_gap() {
    let (mut a, mut b) = (PnCounter::new(), PnCounter::new());
    let lost = count(&mut a, born(1), 5);
    let arrives = count(&mut a, born(1), -2);
    assert_eq!(b.merge(&arrives), Merged::Changed);
    assert_eq!(b, a);
    // And if it was only late:
    assert_eq!(b.merge(&lost), Merged::Unchanged);
    assert_eq!(b.value(), Ok(3));
}

#[test]
fn late_delta_of_a_folded_slot() {
    let (mut a, mut b) = (PnCounter::new(), PnCounter::new());
    let late = count(&mut a, born(1), 5);
    b.merge(&late);
    a.collect(up_to(1));
    b.collect(up_to(1));
    assert_eq!((a.value(), a.slot_count(), a.floor()), (Ok(5), 0, up_to(1)));
    assert_eq!(a.merge(&late), Merged::Unchanged, "it is in the base already");
    assert_eq!(a, b);
    assert_eq!(
        a.increment(born(1), 1),
        Err(IncrementError::BornBelowFloor { floor: up_to(1) })
    );
    assert_eq!(
        a.increment(born(1), 0),
        Err(IncrementError::BornBelowFloor { floor: up_to(1) })
    );
    count(&mut a, born(2), 1);
    assert_eq!(a.value(), Ok(6));
}

#[test]
fn a_fold_at_a_lower_floor_changes_nothing() {
    let mut a = PnCounter::new();
    for ms in 1..=4 {
        count(&mut a, born(ms), 1 << ms);
    }
    a.collect(up_to(2));
    assert_eq!((a.slot_count(), a.value()), (2, Ok(30)));
    let before = a.clone();
    a.collect(up_to(2));
    a.collect(up_to(1));
    a.collect(0);
    assert_eq!(a, before);
    a.collect(up_to(3));
    assert_eq!((a.slot_count(), a.value(), a.floor()), (1, Ok(30), up_to(3)));
    a.collect(FLOOR_MAX);
    assert_eq!((a.slot_count(), a.value(), sent(&a)), (0, Ok(30), a.clone()));
}

#[test]
#[should_panic(expected = "a floor of")]
fn a_floor_beyond_all_stamps_is_a_bug() {
    PnCounter::new().collect(FLOOR_MAX + 1);
}

#[test]
fn counter_slots_of_a_cloned_node() {
    // Two nodes boot from copies of one disk. Their births are drawn at boot, so both count.
    let mut original = PnCounter::new();
    count(&mut original, born(1), 100);
    let (mut one, mut two) = (sent(&original), sent(&original));
    count(&mut one, born(2), 1);
    count(&mut two, born(3), 10);
    assert_eq!(joined(&one, &two), joined(&two, &one));
    assert_eq!(joined(&one, &two).value(), Ok(111));
    // Why births are not read from disk: under the copied one the lesser step is gone.
    let (mut one, mut two) = (sent(&original), sent(&original));
    count(&mut one, born(1), 1);
    count(&mut two, born(1), 10);
    assert_eq!(joined(&one, &two).value(), Ok(110));
}

#[test]
fn disk_restored_from_an_older_copy() {
    let mut node = PnCounter::new();
    count(&mut node, born(1), 5);
    let backup = node.encode();
    count(&mut node, born(1), 2);
    let mut peer = sent(&node);
    // Restored, and booted anew: what it counted since the backup comes back from the peer, once.
    let mut node = PnCounter::decode(&backup, &Limits::default()).unwrap();
    count(&mut node, born(9), 10);
    peer.merge_state(&sent(&node));
    node.merge_state(&sent(&peer));
    assert_eq!((node.value(), &node), (Ok(17), &peer));
    // The same with a floor that the backup has not heard of: what lies below it is the peer's.
    peer.collect(up_to(1));
    let mut node = PnCounter::decode(&backup, &Limits::default()).unwrap();
    count(&mut node, born(10), 100);
    assert_eq!(peer.merge_state(&sent(&node)), Merged::Changed);
    assert_eq!(node.merge_state(&sent(&peer)), Merged::Changed);
    assert_eq!((node.value(), node.floor(), &node), (Ok(117), up_to(1), &peer));
}

#[test]
fn a_lower_floor_takes_the_base_and_keeps_what_is_above() {
    let (mut ahead, mut behind) = (PnCounter::new(), PnCounter::new());
    let delta = count(&mut ahead, born(1), 5);
    behind.merge(&delta);
    count(&mut ahead, born(2), 7);
    ahead.collect(up_to(2));
    count(&mut behind, born(3), 1);
    assert_eq!(behind.merge_state(&sent(&ahead)), Merged::Changed);
    assert_eq!((behind.value(), behind.slot_count()), (Ok(13), 1));
    // A delta of the one with the floor has no base and replaces nothing.
    let mut other = PnCounter::new();
    other.merge(&delta);
    other.merge(&count(&mut ahead, born(4), 2));
    assert_eq!((other.value(), other.floor()), (Ok(7), 0));
}

#[test]
fn an_equal_floor_keeps_the_greater_base() {
    let (mut a, mut b) = (PnCounter::new(), PnCounter::new());
    count(&mut a, born(1), 5);
    count(&mut a, born(1), -1);
    count(&mut b, born(1), -3);
    a.collect(up_to(1));
    b.collect(up_to(1));
    assert_eq!(joined(&a, &b), joined(&b, &a));
    assert_eq!(joined(&a, &b).value(), Ok(2));
    assert_eq!(a.merge_state(&b), Merged::Changed);
    assert_eq!(a.merge_state(&b), Merged::Unchanged);
}

#[test]
fn overflow_is_an_error_not_a_wrap() {
    let refused = Err(IncrementError::Overflow(Overflow));
    let mut a = PnCounter::new();
    count(&mut a, born(1), i64::MAX);
    let before = a.clone();
    assert_eq!(a.increment(born(1), 1), refused);
    assert_eq!(a.increment(born(2), 1), refused);
    assert_eq!((&a, a.value()), (&before, Ok(i64::MAX)));
    count(&mut a, born(2), -i64::MAX);
    count(&mut a, born(2), i64::MIN);
    assert_eq!(a.value(), Ok(i64::MIN));
    let before = a.clone();
    assert_eq!(a.increment(born(3), -1), refused);
    assert_eq!(a, before);
}

#[test]
fn replicas_whose_sum_is_out_of_range_agree_and_find_back() {
    for (end, beyond) in [(i64::MAX, 1), (i64::MIN, -1)] {
        let (mut a, mut b) = (PnCounter::new(), PnCounter::new());
        count(&mut a, born(1), end);
        count(&mut b, born(2), beyond);
        count(&mut b, born(2), beyond);
        let (mut ab, ba) = (joined(&a, &b), joined(&b, &a));
        assert_eq!(ab, ba);
        assert_eq!(ab.value(), Err(Overflow));
        assert_eq!(ab.digest(&key()), ba.digest(&key()));
        assert_eq!(ab.increment(born(3), beyond), Err(IncrementError::Overflow(Overflow)));
        assert_eq!(ab.slot_count(), 2);
        ab.collect(up_to(1));
        assert_eq!(ab.value(), Err(Overflow));
        count(&mut ab, born(3), -beyond);
        assert_eq!(ab.value(), Err(Overflow), "a step back, and still beyond");
        count(&mut ab, born(3), -beyond);
        assert_eq!(ab.value(), Ok(end));
    }
}

#[test]
fn a_full_slot_is_an_error_and_a_new_birth_goes_on() {
    let mut a = PnCounter::new();
    for _ in 0..2 {
        count(&mut a, born(1), i64::MAX);
        count(&mut a, born(2), -i64::MAX);
    }
    // 2^64 - 2 in each of them.
    let before = a.clone();
    assert_eq!(a.increment(born(1), 2), Err(IncrementError::SlotFull));
    assert_eq!(a.increment(born(2), -2), Err(IncrementError::SlotFull));
    assert_eq!(a, before);
    count(&mut a, born(1), 1);
    count(&mut a, born(2), -1);
    assert_eq!(a.increment(born(1), 1), Err(IncrementError::SlotFull));
    count(&mut a, born(3), 2);
    assert_eq!((a.value(), sent(&a)), (Ok(2), a));
}

#[test]
fn a_base_that_is_full_stays_out_of_range_whatever_is_folded_into_it() {
    for (positive, negative) in [(u128::MAX, 0), (0, u128::MAX), (u128::MAX, u128::MAX)] {
        let mut full = PnCounter {
            base: Base {
                floor: up_to(1),
                sum: Sum { positive, negative },
            },
            ..PnCounter::default()
        };
        for by in [1, -1] {
            assert_eq!(full.increment(born(2), by), Err(IncrementError::Overflow(Overflow)));
        }
        let mut other = PnCounter::new();
        full.merge(&count(&mut other, born(2), 3));
        full.merge(&count(&mut other, born(2), -3));
        assert_eq!(full.value(), Err(Overflow));
        full.collect(up_to(2));
        assert_eq!((full.value(), sent(&full)), (Err(Overflow), full));
    }
}

#[test]
fn a_birth_that_no_write_may_carry_is_refused() {
    let mut hlc = Hlc::new(WriterId(1));
    hlc.observe(Stamp::new(MAX_MILLIS, u16::MAX, WriterId(2)).unwrap());
    let beyond = hlc.now(0);
    assert_eq!(PnCounter::new().increment(beyond, 1), Err(IncrementError::Birth));
}

#[test]
fn slots_are_bounded_by_the_writers_of_a_horizon() {
    const HORIZON: u64 = 20;
    let mut counter = PnCounter::new();
    let mut widest = 0;
    for now in 1..2_000 {
        for writer in 0..3 {
            let birth = Stamp::new(now, 0, WriterId(writer)).unwrap();
            count(&mut counter, birth, 1);
        }
        counter.collect(candidate(now + 1, HORIZON));
        widest = widest.max(counter.encode().len());
        assert!(counter.slot_count() as u64 <= 3 * HORIZON, "at {now}");
    }
    assert_eq!(counter.value(), Ok(3 * 1_999));
    assert_eq!(widest, 46 + 32 * 3 * HORIZON as usize);
}

#[test]
fn a_new_writer_waits_when_the_slots_are_all_taken() {
    let mut counter = PnCounter::new();
    for ms in 1..=SLOTS_MAX as u64 {
        counter.increment(born(ms), 1).unwrap();
    }
    let late = born(SLOTS_MAX as u64 + 1);
    let before = counter.clone();
    assert_eq!(counter.increment(late, 1), Err(IncrementError::TooManySlots));
    assert_eq!(counter, before);
    count(&mut counter, born(1), 1);
    // What another has admitted is merged all the same, or the two would differ for ever.
    let mut other = PnCounter::new();
    assert_eq!(counter.merge(&count(&mut other, late, 1)), Merged::Changed);
    counter.collect(up_to(2));
    count(&mut counter, born(SLOTS_MAX as u64 + 2), 1);
    assert_eq!(counter.value(), Ok(SLOTS_MAX as i64 + 3));
    // Seven replicas that filled up apart from each other still fit into a value.
    assert!(46 + 7 * SLOTS_MAX * 32 <= Limits::default().value_bytes);
}

#[test]
fn deltas_of_one_slot_join_into_one() {
    let mut a = PnCounter::new();
    let mut group = Delta::default();
    assert!(group.is_empty());
    for (birth, by) in [(born(1), 5), (born(2), -3), (born(1), 2), (born(2), 4)] {
        group.join(&count(&mut a, birth, by));
    }
    assert_eq!(group.slots().len(), 2);
    let mut b = PnCounter::new();
    b.merge(&sent_delta(&group));
    assert_eq!(b, a);
}
