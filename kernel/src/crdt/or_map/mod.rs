//! The add-wins map of sets: an optimised observed-remove set (Bieniusa et al., "An optimized conflict-free replicated set", 2012)
//! for each key, over one causal context with delta mutators (Almeida, Shoker, Baquero, "Delta state replicated data types", 2018).
//! What was removed leaves nothing behind.

mod codec;
mod delta;
mod rows;
mod slab;
mod sorted;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::crdt::{Context, DigestKey, Dot};
pub use codec::BadDelta;
pub use delta::{Added, Delta};
use rows::{Row, Rows};
use sorted::Place;

/// A map from keys to sets of elements, in which an add wins over a concurrent remove.
///
/// A state is a set of rows (key, element, dot) and a [`Context`], the dots seen. A row is *unseen* if its dot is not in the
/// context, *live* if it is held, and *removed* if its dot was seen and it is not held; so a removed element costs nothing once
/// its dot has become part of a range, or of the floor. For each row, and so for the state, these three are an ascending order,
/// and [`OrMap::merge`] takes the greater: that alone makes it commutative, associative and idempotent, whatever it is given.
///
/// Three rules follow, and need no code of their own:
/// - **The floor is a context.** [`OrMap::collect`] says that everything born at or below the floor has been seen. What is live
///   stays; what comes later, and is not held, counts as removed. Of two states the one with the lower floor drops what it holds
///   at or below the higher and the other does not hold, takes what it never saw, and keeps removed what it saw removed.
/// - **A delta deletes what it names.** The context of a change's delta has the floor 0, so it cannot delete by a floor; only a
///   whole state can.
/// - **A dot that is given twice is worth nothing.** No honest writer uses a dot for two elements. Where two rows of one dot meet,
///   each state has seen the other's dot and does not hold the other's row, so both rows are removed, everywhere.
#[derive(Debug, Clone)]
pub struct OrMap {
    rows: Rows,
    context: Context,
    context_key: DigestKey,
}

/// How much a map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Keys that have elements.
    pub keys: u64,
    /// Elements of all keys.
    pub elements: u64,
    /// Dots that keep them: one each, unless several writers added the same element without seeing each other.
    pub dots: u64,
    /// Ranges of the context: writers beyond the floor, and their gaps.
    pub ranges: u64,
    /// Logical bytes of all these: the keys', the elements', [`Dot::BYTES`] and [`Context::RANGE_BYTES`].
    pub bytes: u64,
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// Rows (elements, or further dots of elements) that came.
    pub added: u64,
    /// Rows that went.
    pub removed: u64,
    /// Whether the context has grown: whether anything was new.
    pub grown: bool,
}

impl Merged {
    /// Whether the state is another now.
    pub fn changed(&self) -> bool {
        self.grown || self.removed > 0
    }
}

impl OrMap {
    /// An empty map, with digests under a key derived from `digest_key`.
    pub fn new(digest_key: &DigestKey) -> Self {
        Self {
            rows: Rows::new(digest_key),
            context: Context::new(),
            context_key: digest_key.derive(b"or-map context"),
        }
    }

    /// Adds `element` to `key` under a dot that its writer never used before, in place of the dots that keep it here. Gives what to
    /// send.
    ///
    /// An add that comes again supersedes nothing: what keeps the element here may be later than what its writer saw.
    ///
    /// # Panics
    /// If the dot's number is 0.
    pub fn add(&mut self, key: &[u8], element: &[u8], dot: Dot) -> Delta {
        let mut covered = Context::new();
        covered.insert(dot);
        let element: Arc<[u8]> = element.into();
        if !self.context.insert(dot) {
            let key = key.into();
            let added = vec![Added { key, element, dot }];
            let again = Delta { added, covered };
            self.merge(&again);
            return again;
        }
        let key_id = self.rows.key_or_new(key, || key.into());
        let key = self.rows.key_name(key_id).clone();
        let place = self.rows.place(key_id, (&element, Dot::LEAST));
        if self.rows.is_found(key_id, place, &element) {
            for (id, before) in self.rows_of(key_id, place, &element) {
                covered.insert(before);
                self.rows.remove(id);
            }
            self.rows.insert(&key, &element, dot);
        } else {
            self.rows.insert_at(key_id, place, element.clone(), dot);
        }
        let added = vec![Added { key, element, dot }];
        Delta { added, covered }
    }

    /// Removes `element` from `key`, as far as it is held here: an add that is not known here stays. Gives what to send.
    pub fn remove(&mut self, key: &[u8], element: &[u8]) -> Delta {
        let observed = self.rows.key_id(key).map(|key_id| {
            let place = self.rows.place(key_id, (element, Dot::LEAST));
            self.rows_of(key_id, place, element)
        });
        self.drop_rows(observed.unwrap_or_default())
    }

    /// Removes all elements of `key` that are held here. Gives what to send.
    pub fn remove_key(&mut self, key: &[u8]) -> Delta {
        let key_id = self.rows.key_id(key).into_iter();
        let rows = key_id.flat_map(|key_id| self.rows.of_key(key_id, (0, 0)));
        let observed = rows.map(|(id, row)| (id, row.dot)).collect();
        self.drop_rows(observed)
    }

    fn drop_rows(&mut self, mut observed: Vec<(u32, Dot)>) -> Delta {
        // In the order of dots, neighbours become one range as they come.
        observed.sort_unstable_by_key(|(_, dot)| *dot);
        let mut covered = Context::new();
        for (id, dot) in observed {
            covered.insert(dot);
            self.rows.remove(id);
        }
        Delta::removing(covered)
    }

    /// The rows of an element, which begin at that place if there are any.
    fn rows_of(&self, key_id: u32, place: Place, element: &[u8]) -> Vec<(u32, Dot)> {
        let from = self.rows.of_key(key_id, place);
        let same = from.take_while(|(_, row)| *row.element == *element);
        same.map(|(id, row)| (id, row.dot)).collect()
    }

    /// Takes what `delta` says. The time grows with what the delta adds and the dots that it covers; with the rows held here instead,
    /// where it covers more dots than these or is a whole state.
    pub fn merge(&mut self, delta: &Delta) -> Merged {
        let added = delta.added.iter();
        let added = added.map(|added| (&added.key, &added.element, added.dot));
        self.merge_rows(added, &delta.covered)
    }

    /// Takes all that `other` has.
    pub fn merge_state(&mut self, other: &Self) -> Merged {
        let rows = other.rows.unordered();
        let added = rows.map(|(_, key, row)| (key, &row.element, row.dot));
        self.merge_rows(added, &other.context)
    }

    fn merge_rows<'d>(
        &mut self,
        added: impl Iterator<Item = (&'d Arc<[u8]>, &'d Arc<[u8]>, Dot)>,
        covered: &Context,
    ) -> Merged {
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        for (key, element, dot) in added {
            if self.context.contains(dot) {
                let held = self.rows.find(dot);
                kept.extend(held.filter(|id| self.rows.is_at(*id, key, element)));
            } else {
                fresh.push((key, element, dot));
            }
        }
        let removed = self.removed_by(covered, kept, fresh.len());
        let merged = Merged {
            added: fresh.len() as u64,
            removed: removed.len() as u64,
            grown: self.context.union(covered),
        };
        for id in removed {
            self.rows.remove(id);
        }
        self.rows.reserve(fresh.len());
        for (key, element, dot) in fresh {
            self.rows.insert(key, element, dot);
        }
        merged
    }

    /// The rows that another state or delta covers and does not hold. It holds those in `kept`, and as many more as are `fresh`.
    fn removed_by(&self, covered: &Context, mut kept: Vec<u32>, fresh: usize) -> Vec<u32> {
        let dots = covered.dots_beyond();
        if covered.floor() == 0 && dots == (kept.len() + fresh) as u64 {
            return Vec::new();
        }
        kept.sort_unstable();
        let is_removed = |id: &u32| kept.binary_search(id).is_err();
        if covered.floor() == 0 && dots < self.rows.len() as u64 {
            let dots = covered.ranges().flat_map(|(birth, first, last)| {
                let numbers = first..=last;
                numbers.map(move |number| Dot { birth, number })
            });
            return dots.filter_map(|dot| self.rows.find(dot)).filter(is_removed).collect();
        }
        let rows = self.rows.unordered();
        let covered = rows.filter(|(_, _, row)| covered.contains(row.dot));
        covered.map(|(id, ..)| id).filter(is_removed).collect()
    }

    /// The whole state as a delta, floor included.
    pub fn as_delta(&self) -> Delta {
        let mut added = Vec::with_capacity(self.rows.len());
        for key_id in self.rows.keys_after(None) {
            added.extend(self.rows.of_key(key_id, (0, 0)).map(|(_, row)| Added {
                key: self.rows.key_name(key_id).clone(),
                element: row.element.clone(),
                dot: row.dot,
            }));
        }
        Delta {
            added,
            covered: self.context.clone(),
        }
    }

    /// Collects what is at or below `floor`, in units of [`crate::hlc::Stamp::time`]: the part of the context that is born there folds
    /// into the floor. Elements that are live stay so. A floor that is not higher changes nothing.
    ///
    /// The caller knows that no replica admits or misses anything born at or below `floor`.
    pub fn collect(&mut self, floor: u64) {
        self.context.fold(floor);
    }

    /// The elements of `key`, ascending by their bytes.
    pub fn get<'m>(&'m self, key: &[u8]) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        let key_id = self.rows.key_id(key).into_iter();
        key_id.flat_map(|key_id| self.elements(key_id))
    }

    fn elements(&self, key_id: u32) -> impl Iterator<Item = &[u8]> {
        let mut before: Option<&Row> = None;
        let rows = self.rows.of_key(key_id, (0, 0)).map(|(_, row)| row);
        rows.filter_map(move |row| {
            let is_same = before.replace(row).is_some_and(|before| before.element == row.element);
            (!is_same).then_some(&*row.element)
        })
    }

    /// Whether `element` is one of `key`'s.
    pub fn contains(&self, key: &[u8], element: &[u8]) -> bool {
        self.rows.key_id(key).is_some_and(|key_id| {
            let place = self.rows.place(key_id, (element, Dot::LEAST));
            self.rows.is_found(key_id, place, element)
        })
    }

    /// All keys after `after` (from the first, without one), ascending, each with its elements, ascending.
    pub fn iter_after<'m>(
        &'m self,
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = (&'m [u8], impl Iterator<Item = &'m [u8]> + use<'m>)> + use<'m> {
        let keys = self.rows.keys_after(after);
        keys.map(|key_id| (&**self.rows.key_name(key_id), self.elements(key_id)))
    }

    /// How many keys have elements.
    pub fn len(&self) -> usize {
        self.rows.keys()
    }

    /// Whether no key has elements.
    pub fn is_empty(&self) -> bool {
        self.rows.keys() == 0
    }

    /// The dots seen.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// How much it holds.
    pub fn held(&self) -> Held {
        let ranges = self.context.len() as u64;
        Held {
            keys: self.rows.keys() as u64,
            elements: self.rows.elements(),
            dots: self.rows.len() as u64,
            ranges,
            bytes: self.rows.bytes() + ranges * Context::RANGE_BYTES as u64,
        }
    }

    /// The digest of the state: of all rows, kept with each change, and of the context, taken now, in time linear in its ranges. Two
    /// states with equal digests are equal, but for an accident of probability 2^-128.
    pub fn digest(&self) -> u128 {
        let context = self.context_key.digest(&codec::encode_context(&self.context));
        self.rows.digest().wrapping_add(context)
    }
}

#[cfg(test)]
mod tests;
