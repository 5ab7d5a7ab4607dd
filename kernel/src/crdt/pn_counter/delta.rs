//! What a change of a counter is sent as.

use alloc::collections::BTreeMap;

use crate::hlc::Stamp;

/// All that one birth has counted: how much up, how much down. Each only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// The sum of what it added.
    pub positive: u64,
    /// The sum of what it took away.
    pub negative: u64,
}

/// The slots that a change, or several of them as a group, left behind.
///
/// A slot carries all that its writer counted so far, not the last step: a delta that comes late, twice, or after one that
/// was lost leaves the receiver right. It says nothing of other slots and nothing of the base.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delta {
    slots: BTreeMap<Stamp, Slot>,
}

impl Slot {
    pub(super) fn plus(self, by: i64) -> Option<Self> {
        let step = by.unsigned_abs();
        Some(if by > 0 {
            Self {
                positive: self.positive.checked_add(step)?,
                ..self
            }
        } else {
            Self {
                negative: self.negative.checked_add(step)?,
                ..self
            }
        })
    }

    pub(super) fn max(self, other: Self) -> Self {
        Self {
            positive: self.positive.max(other.positive),
            negative: self.negative.max(other.negative),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Delta {
    pub(super) fn of(birth: Stamp, slot: Slot) -> Self {
        Self {
            slots: BTreeMap::from([(birth, slot)]),
        }
    }

    /// The slots are not empty, and within their ranges.
    pub(super) fn from_slots(slots: BTreeMap<Stamp, Slot>) -> Self {
        Self { slots }
    }

    /// Makes one delta of two: merging it is merging both.
    pub fn join(&mut self, other: &Self) {
        for (&birth, &slot) in &other.slots {
            let held = self.slots.entry(birth).or_default();
            *held = held.max(slot);
        }
    }

    /// The slots by birth, earliest first.
    pub fn slots(&self) -> &BTreeMap<Stamp, Slot> {
        &self.slots
    }

    /// Whether merging it can change nothing.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
