//! What to send when a map has changed (Almeida, Shoker, Baquero, "Delta state replicated data types", 2018).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::crdt::{Context, Dot};

/// An element that a delta adds to a key, and the dot that keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Added {
    /// The key.
    pub key: Arc<[u8]>,
    /// The element: a MessagePack value as it was written.
    pub element: Arc<[u8]>,
    /// The dot.
    pub dot: Dot,
}

/// A part of a map's state, or all of it: some dots, and what they keep.
///
/// It names exactly the dots that it *covers*. A covered dot that it adds nothing for is *removed*, or superseded by another that
/// it adds. About a dot that it does not cover it says nothing. Whoever merges it ends up the same however late it comes, how
/// often, in which order, and with which others it was grouped on the way.
///
/// The delta of one change has the floor 0: it covers what it names, even what was born below its sender's floor. Only a whole
/// state has a floor, and so covers everything born at or below it, which deletes what it does not hold. A floor is to be
/// believed of replicas and of nobody else: who takes deltas from clients refuses those whose [`Delta::floor`] is not 0.
/// It also asks of every birth what it asks of a stamp ([`crate::hlc::is_ahead`]): one from the far future would never fold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delta {
    /// Ascending; each dot is covered, and in one of them only.
    pub(super) added: Vec<Added>,
    pub(super) covered: Context,
}

impl Delta {
    /// The delta that removes whatever these dots keep: the way to remove by tag, even what has not arrived yet.
    pub fn removing(covered: Context) -> Self {
        Self {
            added: Vec::new(),
            covered,
        }
    }

    /// What it adds, ascending by key, element and dot.
    pub fn added(&self) -> &[Added] {
        &self.added
    }

    /// The dots that it covers: those added, and those removed or superseded.
    pub fn covered(&self) -> &Context {
        &self.covered
    }

    /// The floor at or below which it covers everything: 0, unless it is a whole state.
    pub fn floor(&self) -> u64 {
        self.covered.floor()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.covered.is_empty()
    }

    /// This and `other` as one delta, in time linear in both. To group many, use [`Delta::group`].
    ///
    /// It is the lattice's join: what one of them removed stays removed, whether or not the other adds it.
    pub fn join(mut self, other: Self) -> Self {
        let (mut left, mut right) = (self.added.into_iter().peekable(), other.added.into_iter().peekable());
        let mut added = Vec::with_capacity(left.len().max(right.len()));
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => left.cmp(right),
            };
            let seen_by_other = match order {
                Ordering::Less => &other.covered,
                Ordering::Equal => {
                    added.extend(left.next());
                    right.next();
                    continue;
                }
                Ordering::Greater => &self.covered,
            };
            let next = if order.is_lt() { left.next() } else { right.next() };
            added.extend(next.filter(|added| !seen_by_other.contains(added.dot)));
        }
        self.covered.union(&other.covered);
        Self {
            added,
            covered: self.covered,
        }
    }

    /// All of them as one delta, whatever their order.
    pub fn group(deltas: impl IntoIterator<Item = Self>) -> Self {
        // Joined as a counter counts: each is copied once for every doubling, not once for every delta after it.
        let mut ranks: Vec<(u32, Self)> = Vec::new();
        for delta in deltas {
            let mut next = (0, delta);
            while let Some((rank, before)) = ranks.pop_if(|(rank, _)| *rank == next.0) {
                next = (rank + 1, before.join(next.1));
            }
            ranks.push(next);
        }
        let joined = ranks.into_iter().map(|(_, delta)| delta);
        joined
            .rev()
            .reduce(|later, before| before.join(later))
            .unwrap_or_default()
    }
}
