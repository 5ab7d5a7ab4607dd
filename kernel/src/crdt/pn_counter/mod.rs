//! The counter that goes up and down (Shapiro et al., "A comprehensive study of CRDTs", 2011, section 3.1), with
//! delta mutators (Almeida, Shoker, Baquero, "Delta state replicated data types", 2018) and with slots that are folded
//! away, so that its size follows the writers of one horizon and not all that ever were (the aim of Almeida and Baquero,
//! "Scalable eventually consistent counters over unreliable networks", 2019; here the partition's floor takes the place
//! of their hand-shakes).
//!
//! # State
//! A *slot* belongs to one birth and counts what that writer added and what it took away; both only grow. Below the
//! floor slots are gone: their sums are the *base*. The value is the base and all slots, the one less the other.
//!
//! # Merging
//! - A [`Delta`] is slots and nothing else. Each slot becomes the component-wise maximum of the two; one born at or below
//!   the receiver's floor is already in its base and is ignored.
//! - Of two whole states the one with the higher floor decides everything at or below that floor: its base stands, and the
//!   other's base and slots down there are dropped. Slots above it merge as above. Equal floors with unequal bases (which
//!   only a broken promise can cause) take the component-wise maximum, so that replicas agree even then.
//!
//! # Why that is a merge
//! States under this rule are a semilattice, whatever they hold and wherever they came from. Order them by floor, then by
//! base, component-wise: a chain followed by a lattice is a lattice, and its join is the rule for floor and base. The joined
//! slots are the component-wise maximum over all slots of both that lie above the joined floor; since that floor is the
//! maximum of all, dropping below it early, late or twice comes to the same. So merging is commutative, associative and
//! idempotent, and what it gives is never less than what went in. Folding raises the floor, and so is a step up as well.
//!
//! What the floor's guarantee adds is that nothing is *lost*: when it advances to F, every replica holds every slot born at
//! or below F, and none of these will ever grow again. Then all replicas fold the same slots into the same base, the base
//! that replaces the slots of another equals their sum, and folding before or after a merge is the same. Without the
//! guarantee replicas still converge, but to a value that may lack what a replica held below another's floor: a slot
//! that was not in the base when it was folded is ignored ever after.
//!
//! # Overflow
//! The value is an `i64`. An increment that would carry the sum past the end that it moves towards is refused, and so is one
//! that its slot has no room for. Concurrent increments on several replicas can still have a sum beyond the range; refusing
//! to merge them would keep the replicas apart for ever, so they merge, and [`PnCounter::value`] says
//! [`Overflow`] on all replicas until somebody counts back.

mod codec;
mod delta;

use alloc::collections::BTreeMap;

use super::Merged;
use super::floor::{FLOOR_MAX, is_at_or_below};
use crate::hlc::Stamp;

pub use codec::BadCounter;
pub use delta::{Delta, Slot};

/// Births that may have a slot for an [`PnCounter::increment`] to open another. Replicas that fill up apart from each other
/// can hold as many each; seven of them together are still within `Limits::value_bytes` of today when encoded.
pub const SLOTS_MAX: usize = 1 << 16;

/// A counter, replicated: exact, and counting each increment once however often and in whatever order it arrives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PnCounter {
    base: Base,
    /// Those born above the floor of the base, none of them empty.
    slots: BTreeMap<Stamp, Slot>,
    /// The sum of `slots`: at most 2^64 each, so that it has room for more of them than memory has.
    sum: Sum,
}

/// What was folded: the sum of all slots born at or below `floor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Base {
    floor: u64,
    sum: Sum,
}

/// Saturates: then the value is out of range for good, on all replicas alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    positive: u128,
    negative: u128,
}

/// The sum of all increments is beyond an `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the counter's value is out of the range of 64 bits")]
pub struct Overflow;

/// Why an increment was refused. The counter is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IncrementError {
    /// The writer was born at or below the floor: take a new birth.
    #[error("the writer was born at or below the floor {floor}: take a new birth")]
    BornBelowFloor {
        /// The floor, in units of [`Stamp::time`].
        floor: u64,
    },
    /// The birth is later than any that a replica would take.
    #[error("the birth is out of range")]
    Birth,
    /// The sum after it would be beyond an `i64`.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// All that this birth counted in this direction would be beyond a `u64`: take a new birth.
    #[error("the writer's slot is full: take a new birth")]
    SlotFull,
    /// [`SLOTS_MAX`] writers of this horizon have counted here.
    #[error("the counter has slots of {SLOTS_MAX} writers: wait until the floor advances")]
    TooManySlots,
}

impl PnCounter {
    /// A counter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts `by` up, or down if it is negative, in the slot of the writer born at `birth`. Gives the delta to send: that
    /// slot as it is now, empty if `by` is 0.
    ///
    /// # Errors
    /// [`IncrementError`]; nothing has changed then.
    pub fn increment(&mut self, birth: Stamp, by: i64) -> Result<Delta, IncrementError> {
        if is_at_or_below(birth, self.base.floor) {
            return Err(IncrementError::BornBelowFloor { floor: self.base.floor });
        }
        if !birth.is_writable() {
            return Err(IncrementError::Birth);
        }
        if by == 0 {
            return Ok(Delta::default());
        }
        let held = self.slots.get(&birth).copied();
        if held.is_none() && self.slots.len() >= SLOTS_MAX {
            return Err(IncrementError::TooManySlots);
        }
        let next = held.unwrap_or_default().plus(by).ok_or(IncrementError::SlotFull)?;
        let sum = self.total().plus(by);
        // Only in the direction of `by`: from beyond one end the way back must be open.
        match sum.value() {
            Err(out) if out.is_beyond(by) => return Err(Overflow.into()),
            _ => self.put(birth, next),
        }
        Ok(Delta::of(birth, next))
    }

    /// Takes in what somebody else counted.
    pub fn merge(&mut self, delta: &Delta) -> Merged {
        let mut merged = Merged::Unchanged;
        for (&birth, slot) in delta.slots() {
            if self.raise(birth, *slot) == Merged::Changed {
                merged = Merged::Changed;
            }
        }
        merged
    }

    /// Takes in the whole state of another replica, and everything at or below its floor if that is the higher one.
    pub fn merge_state(&mut self, other: &Self) -> Merged {
        let mut merged = Merged::Unchanged;
        if other.base.floor > self.base.floor {
            self.drop_slots_below(other.base.floor);
            self.base = other.base;
            merged = Merged::Changed;
        } else if other.base.floor == self.base.floor {
            let sum = self.base.sum.max(other.base.sum);
            if sum != self.base.sum {
                self.base.sum = sum;
                merged = Merged::Changed;
            }
        }
        for (&birth, slot) in &other.slots {
            if self.raise(birth, *slot) == Merged::Changed {
                merged = Merged::Changed;
            }
        }
        merged
    }

    /// The sum of all increments.
    ///
    /// # Errors
    /// [`Overflow`] while it is beyond an `i64`.
    pub fn value(&self) -> Result<i64, Overflow> {
        self.total().value().map_err(|_| Overflow)
    }

    /// Folds the slots born at or below `floor` into the base. Right only once the partition's floor is there: then no slot
    /// down there is missing here, and none will grow. A floor at or below an earlier one changes nothing.
    ///
    /// # Panics
    /// If `floor` is beyond [`FLOOR_MAX`]: no candidate is.
    pub fn collect(&mut self, floor: u64) {
        assert!(floor <= FLOOR_MAX, "a floor of {floor}");
        if floor > self.base.floor {
            let folded = self.drop_slots_below(floor);
            let sum = self.base.sum.plus_sum(folded);
            self.base = Base { floor, sum };
        }
    }

    /// The floor that it was folded at: 0 if it never was.
    pub fn floor(&self) -> u64 {
        self.base.floor
    }

    /// How many births have a slot.
    pub fn slot_count(&self) -> usize {
        self.slots.len()
    }

    fn total(&self) -> Sum {
        self.base.sum.plus_sum(self.sum)
    }

    /// Raises the slot of `birth` to the maximum of what it is and `slot`.
    fn raise(&mut self, birth: Stamp, slot: Slot) -> Merged {
        let held = self.slots.get(&birth).copied().unwrap_or_default();
        let joined = held.max(slot);
        if is_at_or_below(birth, self.base.floor) || joined == held {
            return Merged::Unchanged;
        }
        self.put(birth, joined);
        Merged::Changed
    }

    fn put(&mut self, birth: Stamp, slot: Slot) {
        let old = self.slots.insert(birth, slot).unwrap_or_default();
        self.sum = self.sum.plus_slot(slot).minus_slot(old);
    }

    /// Removes the slots born at or below `floor` and gives their sum.
    fn drop_slots_below(&mut self, floor: u64) -> Sum {
        let mut dropped = Sum::default();
        while let Some(first) = self.slots.first_entry()
            && is_at_or_below(*first.key(), floor)
        {
            let slot = first.remove();
            dropped = dropped.plus_slot(slot);
            self.sum = self.sum.minus_slot(slot);
        }
        dropped
    }
}

/// Which end of the range a sum is beyond.
#[derive(Clone, Copy)]
enum Out {
    Above,
    Below,
    /// A component is saturated: nobody knows.
    Saturated,
}

impl Out {
    /// Whether a step of `by` leads further out.
    fn is_beyond(self, by: i64) -> bool {
        match self {
            Self::Above => by > 0,
            Self::Below => by < 0,
            Self::Saturated => true,
        }
    }
}

impl Sum {
    fn value(self) -> Result<i64, Out> {
        if self.positive == u128::MAX || self.negative == u128::MAX {
            return Err(Out::Saturated);
        }
        if self.positive >= self.negative {
            i64::try_from(self.positive - self.negative).map_err(|_| Out::Above)
        } else {
            let below = u64::try_from(self.negative - self.positive).map_err(|_| Out::Below)?;
            0i64.checked_sub_unsigned(below).ok_or(Out::Below)
        }
    }

    fn plus(self, by: i64) -> Self {
        self.plus_slot(Slot::default().plus(by).unwrap_or_default())
    }

    fn plus_slot(self, slot: Slot) -> Self {
        self.plus_sum(Self {
            positive: slot.positive.into(),
            negative: slot.negative.into(),
        })
    }

    fn plus_sum(self, more: Self) -> Self {
        Self {
            positive: self.positive.saturating_add(more.positive),
            negative: self.negative.saturating_add(more.negative),
        }
    }

    /// This without `slot`, which is a part of it.
    fn minus_slot(self, slot: Slot) -> Self {
        Self {
            positive: self.positive - u128::from(slot.positive),
            negative: self.negative - u128::from(slot.negative),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            positive: self.positive.max(other.positive),
            negative: self.negative.max(other.negative),
        }
    }
}

#[cfg(test)]
mod tests;
