//! Causal contexts: which changes have been seen, whether or not anything of them is left (Almeida, Shoker, Baquero,
//! "Delta state replicated data types", 2018).

use alloc::collections::BTreeMap;
use core::iter::Peekable;
use core::ops::{Bound, RangeInclusive};

use super::dot::{Dot, is_at_or_below};
use crate::hlc::Stamp;

/// A set of dots: every dot born at or below a floor, and beyond it, for each birth, some numbers.
///
/// The numbers are kept as ranges that neither overlap nor touch, so a set has one form only, and a context is as large as the
/// writers of one horizon and their gaps make it. Contexts form a lattice: [`Context::union`] is its join.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    floor: u64,
    /// (birth, first number) → last number.
    ranges: BTreeMap<(Stamp, u64), u64>,
}

/// Numbers of one birth, first and last.
type Range = (Stamp, u64, u64);

impl Context {
    /// How many bytes a range counts for: birth, first and last number.
    pub const RANGE_BYTES: usize = 32;

    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The floor, in units of [`Stamp::time`]: every dot born at or below it is in the set. 0: none is, for that reason.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether `dot` is in the set.
    pub fn contains(&self, dot: Dot) -> bool {
        if is_at_or_below(dot.birth, self.floor) {
            return true;
        }
        let at = (dot.birth, dot.number);
        // The last range is most often the one: whoever was born last is writing.
        let last = self.ranges.last_key_value().filter(|(first, _)| **first <= at);
        let before = last.or_else(|| self.ranges.range(..=at).next_back());
        before.is_some_and(|(&(birth, _), &last)| birth == dot.birth && last >= dot.number)
    }

    /// Adds a dot, and says whether it was missing.
    ///
    /// # Panics
    /// If its number is 0.
    pub fn insert(&mut self, dot: Dot) -> bool {
        self.insert_range(dot.birth, dot.number..=dot.number)
    }

    /// Adds all `numbers` of `birth`, and says whether any was missing.
    ///
    /// # Panics
    /// If the range is empty, or begins at 0.
    pub fn insert_range(&mut self, birth: Stamp, numbers: RangeInclusive<u64>) -> bool {
        let (first, last) = numbers.into_inner();
        assert!(0 < first && first <= last, "numbers {first} to {last} of a birth");
        if is_at_or_below(birth, self.floor) {
            return false;
        }
        if self.ranges.is_empty() {
            self.ranges.insert((birth, first), last);
            return true;
        }
        // The last range is most often the one, and has nothing behind it: whoever was born last is writing.
        if let Some(mut highest) = self.ranges.last_entry()
            && *highest.key() <= (birth, first)
            && highest.key().0 == birth
            && *highest.get() >= first - 1
        {
            let end = highest.get_mut();
            let grown = *end < last;
            *end = last.max(*end);
            return grown;
        }
        self.insert_between(birth, first, last)
    }

    fn insert_between(&mut self, birth: Stamp, mut first: u64, mut last: u64) -> bool {
        match self.ranges.range_mut(..=(birth, first)).next_back() {
            Some((&(before, start), end)) if before == birth && *end >= first - 1 => {
                if *end >= last {
                    return false;
                }
                *end = last;
                first = start;
            }
            _ => {
                self.ranges.insert((birth, first), last);
            }
        }
        // Those that the new range overlaps or touches are part of it now.
        let mut grown = false;
        while let Some(start) = self.first_within(birth, first, last) {
            last = last.max(self.ranges.remove(&(birth, start)).unwrap_or_default());
            grown = true;
        }
        if grown {
            self.ranges.insert((birth, first), last);
        }
        true
    }

    /// The next range of `birth` after the one at `first` that begins no later than right behind `last`.
    fn first_within(&self, birth: Stamp, first: u64, last: u64) -> Option<u64> {
        let beyond = (birth, last.saturating_add(1));
        let bounds = (Bound::Excluded((birth, first)), Bound::Included(beyond));
        self.ranges.range(bounds).next().map(|(&(_, start), _)| start)
    }

    /// Adds all that is in `other`, and says whether anything was missing.
    pub fn union(&mut self, other: &Self) -> bool {
        let mut grown = self.fold(other.floor);
        // A few are put in one by one; many are merged in one pass over both.
        if other.ranges.len() < 8 + self.ranges.len() / 8 {
            for (birth, first, last) in other.ranges() {
                grown |= self.insert_range(birth, first..=last);
            }
            return grown;
        }
        let above = other.ranges().filter(|(birth, ..)| !is_at_or_below(*birth, self.floor));
        let merged = Union {
            left: self.ranges().peekable(),
            right: above.peekable(),
        };
        let ranges = merged.map(|(birth, first, last)| ((birth, first), last)).collect();
        grown |= self.ranges != ranges;
        self.ranges = ranges;
        grown
    }

    /// Raises the floor to `floor`, if that is higher, and says so. From then on every dot born at or below it is in the set, and
    /// costs nothing.
    pub fn fold(&mut self, floor: u64) -> bool {
        if floor <= self.floor {
            return false;
        }
        self.floor = floor;
        while let Some(first) = self.ranges.first_entry() {
            if !is_at_or_below(first.key().0, floor) {
                break;
            }
            first.remove();
        }
        true
    }

    /// The ranges beyond the floor as (birth, first number, last number), ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (Stamp, u64, u64)> {
        self.ranges.iter().map(|(&(birth, first), &last)| (birth, first, last))
    }

    /// How many ranges there are beyond the floor.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether no dot is in the set.
    pub fn is_empty(&self) -> bool {
        self.floor == 0 && self.ranges.is_empty()
    }

    /// How many dots there are beyond the floor: `u64::MAX` if there are more.
    pub fn dots_beyond(&self) -> u64 {
        let sizes = self.ranges().map(|(_, first, last)| (last - first).saturating_add(1));
        sizes.fold(0, u64::saturating_add)
    }
}

/// Two ascending sequences of ranges as one, with those that overlap or touch made one.
struct Union<L: Iterator<Item = Range>, R: Iterator<Item = Range>> {
    left: Peekable<L>,
    right: Peekable<R>,
}

impl<L: Iterator<Item = Range>, R: Iterator<Item = Range>> Union<L, R> {
    fn pull(&mut self, up_to: Range) -> Option<Range> {
        let wanted = |next: &Range| *next <= up_to;
        match (self.left.peek(), self.right.peek()) {
            (Some(left), Some(right)) if left > right => self.right.next_if(wanted),
            (Some(_), _) => self.left.next_if(wanted),
            (None, _) => self.right.next_if(wanted),
        }
    }
}

impl<L: Iterator<Item = Range>, R: Iterator<Item = Range>> Iterator for Union<L, R> {
    type Item = Range;

    fn next(&mut self) -> Option<Range> {
        let highest = Stamp::from_bytes([0xff; 16]);
        let (birth, first, mut last) = self.pull((highest, u64::MAX, u64::MAX))?;
        while let Some((.., end)) = self.pull((birth, last.saturating_add(1), u64::MAX)) {
            last = last.max(end);
        }
        Some((birth, first, last))
    }
}

#[cfg(test)]
mod tests;
