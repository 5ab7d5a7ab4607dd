//! What a map holds: live elements with the dots that keep them, found by key and element and by dot, with their digest.

use alloc::sync::Arc;
use alloc::vec::Vec;
use hashbrown::HashTable;

use super::slab::{Name, Named, Slab};
use super::sorted::{Place, Sorted};
use crate::crdt::DigestKey;
use crate::crdt::dot::Dot;

/// An element of a key, and one of the dots that keep it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    key: u32,
    pub(super) element: Arc<[u8]>,
    pub(super) dot: Dot,
}

impl Named for Row {
    fn name(&self) -> Name<'_> {
        (&self.element, self.dot)
    }
}

#[derive(Debug, Clone)]
struct Key {
    name: Arc<[u8]>,
    rows: Elements,
}

impl Named for Key {
    fn name(&self) -> Name<'_> {
        (&self.name, Dot::LEAST)
    }
}

/// Numbers of a key's rows, by element and dot. Most keys of most maps have one.
#[derive(Debug, Clone)]
enum Elements {
    One(u32),
    Many(Sorted),
}

impl Elements {
    const NONE: Self = Self::Many(Sorted::new());

    /// Where a name stands, or would be put.
    fn place(&self, rows: &Slab<Row>, name: Name<'_>) -> Place {
        match self {
            Self::One(id) => (0, (rows.get(*id).name() < name).into()),
            Self::Many(sorted) => sorted.place(rows, name),
        }
    }

    /// Whether the row at a place has this element.
    fn found(&self, rows: &Slab<Row>, place: Place, element: &[u8]) -> bool {
        match self {
            Self::One(id) => place == (0, 0) && *rows.get(*id).element == *element,
            Self::Many(sorted) => sorted.found(rows, place, element).is_some(),
        }
    }

    /// Takes the row, whose place that is, and says whether it is the only one of its element.
    fn insert(&mut self, rows: &Slab<Row>, place: Place, id: u32) -> bool {
        match self {
            Self::Many(sorted) if sorted.is_empty() => {
                *self = Self::One(id);
                true
            }
            Self::Many(sorted) => sorted.insert(rows, place, id),
            Self::One(other) => {
                let mut sorted = Sorted::new();
                sorted.insert(rows, (0, 0), *other);
                let alone = sorted.insert(rows, place, id);
                *self = Self::Many(sorted);
                alone
            }
        }
    }

    /// Takes the row out, which is still in `rows`, and says whether it was the only one of its element.
    fn remove(&mut self, rows: &Slab<Row>, id: u32) -> bool {
        match self {
            Self::One(_) => {
                *self = Self::NONE;
                true
            }
            Self::Many(sorted) => {
                let alone = sorted.remove(rows, id);
                if let Some(only) = sorted.only() {
                    *self = Self::One(only);
                }
                alone
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Many(sorted) if sorted.is_empty())
    }

    /// Row numbers from a place on, in order.
    fn iter_from(&self, place: Place) -> impl Iterator<Item = u32> {
        let (one, many) = match self {
            Self::One(id) => ((place == (0, 0)).then_some(*id), None),
            Self::Many(sorted) => (None, Some(sorted.iter_from(place))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// Live elements. A dot stands in one row at most.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    keys: Slab<Key>,
    rows: Slab<Row>,
    /// Numbers of keys.
    order: Sorted,
    /// Rows by dot. Nothing is ever taken from it in its own order.
    by_dot: HashTable<Slot>,
    hash_key: DigestKey,
    digest_key: DigestKey,
    digest: u128,
    elements: u64,
    bytes: u64,
    scratch: Vec<u8>,
}

/// A row's number, and what is kept of its dot's hash.
#[derive(Debug, Clone, Copy)]
struct Slot {
    id: u32,
    hash: u32,
}

impl Slot {
    /// The hash that the table asks for: it looks at both ends.
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

impl Rows {
    pub(super) fn new(digest_key: &DigestKey) -> Self {
        Self {
            keys: Slab::new(),
            rows: Slab::new(),
            order: Sorted::new(),
            by_dot: HashTable::new(),
            hash_key: digest_key.derive(b"or-map dots"),
            digest_key: digest_key.derive(b"or-map rows"),
            digest: 0,
            elements: 0,
            bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Puts a row in, whose dot is in no other.
    pub(super) fn insert(&mut self, key: &Arc<[u8]>, element: &Arc<[u8]>, dot: Dot) {
        let key_id = self.key_or_new(key, || key.clone());
        let place = self.place(key_id, (element, dot));
        self.insert_at(key_id, place, element.clone(), dot);
    }

    /// The number of a key, which is put in if it is not held: the caller puts a row in next.
    pub(super) fn key_or_new(&mut self, key: &[u8], new: impl FnOnce() -> Arc<[u8]>) -> u32 {
        let place = self.order.place(&self.keys, (key, Dot::LEAST));
        if let Some(id) = self.order.found(&self.keys, place, key) {
            return id;
        }
        let id = self.keys.insert(Key {
            name: new(),
            rows: Elements::NONE,
        });
        self.order.insert(&self.keys, place, id);
        self.bytes += key.len() as u64;
        id
    }

    /// Where a row stands among those of a key, or would be put.
    pub(super) fn place(&self, key_id: u32, name: Name<'_>) -> Place {
        self.keys.get(key_id).rows.place(&self.rows, name)
    }

    /// Puts a row in, whose dot is in no other, at its place among those of its key.
    pub(super) fn insert_at(&mut self, key_id: u32, place: Place, element: Arc<[u8]>, dot: Dot) {
        self.digest = self.digest.wrapping_add(self.digest_of(key_id, &element, dot));
        self.bytes += (element.len() + Dot::BYTES) as u64;
        let row = Row {
            key: key_id,
            element,
            dot,
        };
        let id = self.rows.insert(row);
        let alone = self.keys.get_mut(key_id).rows.insert(&self.rows, place, id);
        self.elements += u64::from(alone);
        debug_assert_eq!(self.find(dot), None, "a dot stands in one row at most");
        let hash = self.hash(dot);
        let slot = Slot { id, hash };
        self.by_dot
            .insert_unique(Slot::spread(hash), slot, |slot| Slot::spread(slot.hash));
    }

    /// Makes room for so many rows more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.rows.reserve(more);
        self.by_dot.reserve(more, |slot| Slot::spread(slot.hash));
    }

    /// Takes a row out.
    ///
    /// # Panics
    /// If it is not held.
    pub(super) fn remove(&mut self, id: u32) {
        let Row { key: key_id, dot, .. } = *self.rows.get(id);
        let slot = self
            .by_dot
            .find_entry(Slot::spread(self.hash(dot)), |slot| slot.id == id);
        slot.expect("every row is found by its dot").remove();
        let held = &mut self.keys.get_mut(key_id).rows;
        self.elements -= u64::from(held.remove(&self.rows, id));
        let is_last = held.is_empty();
        let Row { element, .. } = self.rows.remove(id);
        self.digest = self.digest.wrapping_sub(self.digest_of(key_id, &element, dot));
        self.bytes -= (element.len() + Dot::BYTES) as u64;
        if is_last {
            self.order.remove(&self.keys, key_id);
            self.bytes -= self.keys.remove(key_id).name.len() as u64;
        }
    }

    /// The digest of a row: over its dot, its key and its element. The length of the key tells them apart.
    fn digest_of(&mut self, key_id: u32, element: &[u8], dot: Dot) -> u128 {
        let key = &self.keys.get(key_id).name;
        self.scratch.clear();
        self.scratch.extend_from_slice(&dot.to_bytes());
        self.scratch.extend_from_slice(&(key.len() as u64).to_be_bytes());
        self.scratch.extend_from_slice(key);
        self.digest_key.digest_of([&self.scratch[..], element])
    }

    /// Where a dot hashes to. Keyed, or a client could choose dots that all collide.
    fn hash(&self, dot: Dot) -> u32 {
        self.hash_key.digest(&dot.to_bytes()) as u32
    }

    /// The row of a dot.
    pub(super) fn find(&self, dot: Dot) -> Option<u32> {
        let hash = self.hash(dot);
        let is_it = |slot: &Slot| slot.hash == hash && self.rows.get(slot.id).dot == dot;
        Some(self.by_dot.find(Slot::spread(hash), is_it)?.id)
    }

    /// Whether the row is one of this element of this key.
    pub(super) fn is_at(&self, id: u32, key: &[u8], element: &[u8]) -> bool {
        let row = self.rows.get(id);
        *row.element == *element && *self.keys.get(row.key).name == *key
    }

    /// The number of a key, if it is held.
    pub(super) fn key_id(&self, key: &[u8]) -> Option<u32> {
        let place = self.order.place(&self.keys, (key, Dot::LEAST));
        self.order.found(&self.keys, place, key)
    }

    /// Whether the row at the place where `element` begins, or would, is one of it.
    pub(super) fn is_found(&self, key_id: u32, place: Place, element: &[u8]) -> bool {
        self.keys.get(key_id).rows.found(&self.rows, place, element)
    }

    /// The name of a key.
    pub(super) fn key_name(&self, key_id: u32) -> &Arc<[u8]> {
        &self.keys.get(key_id).name
    }

    /// A key's rows from a place on, by element and dot.
    pub(super) fn of_key(&self, key_id: u32, place: Place) -> impl Iterator<Item = (u32, &Row)> {
        let ids = self.keys.get(key_id).rows.iter_from(place);
        ids.map(|id| (id, self.rows.get(id)))
    }

    /// All keys in order; those after `after`, if there is one.
    pub(super) fn keys_after<'r>(&'r self, after: Option<&[u8]>) -> impl Iterator<Item = u32> + use<'r> {
        let from = after.map_or((0, 0), |after| self.order.place(&self.keys, (after, Dot::LEAST)));
        let is_held = after.is_some_and(|after| self.order.found(&self.keys, from, after).is_some());
        self.order.iter_from(from).skip(is_held.into())
    }

    /// All rows with the names of their keys, in an order that depends on history and must not show.
    pub(super) fn unordered(&self) -> impl Iterator<Item = (u32, &Arc<[u8]>, &Row)> {
        let rows = self.rows.iter();
        rows.map(|(id, row)| (id, &self.keys.get(row.key).name, row))
    }

    /// How many rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many keys.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// How many elements, each counted once a key.
    pub(super) fn elements(&self) -> u64 {
        self.elements
    }

    /// Bytes of keys, elements and dots.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sum of the digests of all rows.
    pub(super) fn digest(&self) -> u128 {
        self.digest
    }
}
