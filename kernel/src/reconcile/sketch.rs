//! The first symbols of a set that changes.

use alloc::vec::Vec;

use crate::crdt::DigestKey;
use crate::merkle::Item;
use crate::reconcile::symbol::Code;
use crate::reconcile::{SYMBOLS_MAX, ShortItem, Symbol};

/// The first symbols of a set of items, kept as the set changes: m symbols take 16 × m bytes, and a change touches about
/// 2 ln m of them.
///
/// It depends on the set alone, not on the order of changes.
#[derive(Debug, Clone)]
pub struct Sketch {
    pub(super) code: Code,
    pub(super) symbols: Vec<Symbol>,
    items: u64,
}

impl Sketch {
    /// The first `len` symbols of an empty set.
    ///
    /// # Panics
    /// If `len` is over [`SYMBOLS_MAX`].
    pub fn new(key: &DigestKey, len: usize) -> Self {
        assert!(len <= SYMBOLS_MAX, "a sketch of {len} symbols");
        Self {
            code: Code::new(key),
            symbols: alloc::vec![Symbol::ZERO; len],
            items: 0,
        }
    }

    /// Takes note of an item that the set did not have.
    pub fn insert(&mut self, item: Item) {
        let (own, mut mapping) = self.code.encode(ShortItem::of(item));
        while let Some(index) = mapping.step(self.symbols.len()) {
            self.symbols[index] = self.symbols[index].plus(own);
        }
        self.items += 1;
    }

    /// Takes note that the set no longer has an item.
    ///
    /// # Panics
    /// If it has none at all.
    pub fn remove(&mut self, item: Item) {
        assert!(self.items > 0, "an item leaves an empty set");
        let (own, mut mapping) = self.code.encode(ShortItem::of(item));
        while let Some(index) = mapping.step(self.symbols.len()) {
            self.symbols[index] = self.symbols[index].minus(own);
        }
        self.items -= 1;
    }

    /// Makes it `len` symbols long, for a set that has grown; shorter costs nothing, longer costs a walk over the items of the
    /// set.
    ///
    /// # Panics
    /// If `items` are not as many as the set has, or `len` is over [`SYMBOLS_MAX`].
    pub fn resize(&mut self, len: usize, items: impl IntoIterator<Item = Item>) {
        assert!(len <= SYMBOLS_MAX, "a sketch of {len} symbols");
        let held = self.symbols.len();
        self.symbols.resize(len, Symbol::ZERO);
        if len <= held {
            return;
        }
        let mut count = 0;
        for item in items {
            let (own, mut mapping) = self.code.encode(ShortItem::of(item));
            while let Some(index) = mapping.step(len) {
                if index >= held {
                    self.symbols[index] = self.symbols[index].plus(own);
                }
            }
            count += 1;
        }
        assert_eq!(count, self.items, "the items of another set");
    }

    /// How many items the set has.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// The symbols.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }
}
