//! Rows with small numbers for names, and what is needed to keep those numbers in the order of their rows.

use alloc::vec::Vec;

use crate::crdt::dot::Dot;

/// What a row is ordered by: its bytes, then its dot.
pub(super) type Name<'a> = (&'a [u8], Dot);

/// Something that has a name to be ordered by.
pub(super) trait Named {
    /// The name, the same as long as the row is held.
    fn name(&self) -> Name<'_>;
}

/// Rows that are found by number. Numbers of rows that are gone are given again.
#[derive(Debug, Clone)]
pub(super) struct Slab<T> {
    rows: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes a row, and gives its number.
    ///
    /// # Panics
    /// If there are 2^32 rows.
    pub(super) fn insert(&mut self, row: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.rows[id as usize] = Some(row);
            return id;
        }
        let id = u32::try_from(self.rows.len()).expect("a partition's map has less than 2^32 rows");
        self.rows.push(Some(row));
        id
    }

    /// Takes the row out.
    ///
    /// # Panics
    /// If it is not held.
    pub(super) fn remove(&mut self, id: u32) -> T {
        let row = self.rows[id as usize].take().expect("the row is held");
        self.free.push(id);
        if self.free.len() == self.rows.len() {
            // The last is gone: what they were in is given back.
            *self = Self::new();
        }
        row
    }

    /// Makes room for so many rows more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.rows.reserve(more.saturating_sub(self.free.len()));
    }

    pub(super) fn get(&self, id: u32) -> &T {
        self.rows[id as usize].as_ref().expect("the row is held")
    }

    pub(super) fn get_mut(&mut self, id: u32) -> &mut T {
        self.rows[id as usize].as_mut().expect("the row is held")
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// All rows with their numbers, ascending by number: an order that depends on history, and must not show.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let rows = (0..).zip(&self.rows);
        rows.filter_map(|(id, row)| Some((id, row.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_again_and_an_empty_slab_holds_nothing() {
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..100).map(|row| slab.insert(row)).collect();
        assert_eq!((slab.remove(ids[7]), slab.len()), (7, 99));
        assert_eq!(slab.insert(107), ids[7]);
        assert_eq!(slab.iter().map(|(_, row)| row).max(), Some(&107));
        for id in ids {
            slab.remove(id);
        }
        assert_eq!((slab.len(), slab.rows.capacity(), slab.free.capacity()), (0, 0, 0));
    }
}
