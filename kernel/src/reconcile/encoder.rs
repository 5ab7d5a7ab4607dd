//! All symbols of a set that stands still.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::crdt::DigestKey;
use crate::merkle::Item;
use crate::reconcile::mapping::Mapping;
use crate::reconcile::symbol::Code;
use crate::reconcile::{BadBatch, SYMBOL_BYTES, SYMBOLS_MAX, ShortItem, Sketch, Symbol, batch};

/// The symbols of a frozen set, as many as are asked for: of what is sent, and of what is compared with it.
///
/// Frozen, because symbols of a set that changes while they are streamed are symbols of no set. Symbols are made in
/// stretches that double, one pass over the items for each; with n items and m symbols that is about 2 n ln m additions. It holds
/// 64 bytes an item (32 until it is asked for more than its sketch had) and 16 a symbol.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Encoder {
    pub(super) code: Code,
    /// Ascending.
    items: Vec<Item>,
    /// Each item as a symbol, and where it goes next; empty until the first stretch.
    ways: Vec<(Symbol, Mapping)>,
    symbols: Vec<Symbol>,
}

impl Encoder {
    /// The symbols of `items`, which are a set.
    pub fn new(key: &DigestKey, items: Vec<Item>) -> Self {
        Self::from_parts(Code::new(key), Vec::new(), items)
    }

    /// The symbols of `items`, the first of which were kept in `sketch`.
    ///
    /// # Panics
    /// If the sketch is of another number of items.
    pub fn from_sketch(sketch: &Sketch, items: Vec<Item>) -> Self {
        assert_eq!(sketch.items(), items.len() as u64, "the sketch of another set");
        Self::from_parts(sketch.code.clone(), sketch.symbols.clone(), items)
    }

    fn from_parts(code: Code, symbols: Vec<Symbol>, mut items: Vec<Item>) -> Self {
        items.sort_unstable();
        Self {
            code,
            items,
            ways: Vec::new(),
            symbols,
        }
    }

    /// The `count` symbols from number `from` on.
    ///
    /// # Panics
    /// If they go beyond [`SYMBOLS_MAX`].
    pub fn symbols(&mut self, from: usize, count: usize) -> &[Symbol] {
        assert!(
            from <= SYMBOLS_MAX && count <= SYMBOLS_MAX - from,
            "symbols {from} + {count}"
        );
        let end = from + count;
        if end > self.symbols.len() {
            self.extend(end.max(2 * self.symbols.len()).min(SYMBOLS_MAX));
        }
        &self.symbols[from..end]
    }

    /// The `count` symbols from number `from` on as a message for a [`crate::reconcile::Decoder`]: 5 bytes, and 13 a symbol.
    ///
    /// # Panics
    /// If they go beyond [`SYMBOLS_MAX`].
    pub fn batch(&mut self, from: usize, count: usize) -> Vec<u8> {
        batch::encode(from, self.symbols(from, count))
    }

    /// Answers a decoder's question with a batch: of what it asks for as much as `message_bytes` have room for, but one symbol in any
    /// case, and none from number `bound` on.
    ///
    /// # Errors
    /// [`BadBatch`], if the question is none or goes on where the bound is reached.
    pub fn answer(&mut self, question: &[u8], bound: usize, message_bytes: usize) -> Result<Vec<u8>, BadBatch> {
        let (from, count) = batch::decode_question(question)?;
        let bound = bound.min(SYMBOLS_MAX);
        if from >= bound {
            return Err(BadBatch::Beyond(bound));
        }
        let room = message_bytes.saturating_sub(batch::HEAD_BYTES) / SYMBOL_BYTES;
        Ok(self.batch(from, count.min(room.max(1)).min(bound - from)))
    }

    fn extend(&mut self, len: usize) {
        let held = self.symbols.len();
        self.symbols.resize(len, Symbol::ZERO);
        if self.ways.is_empty() {
            let ways = self.items.iter().map(|item| {
                let (own, mut mapping) = self.code.encode(ShortItem::of(*item));
                while mapping.step(held).is_some() {}
                (own, mapping)
            });
            self.ways = ways.collect();
        }
        for (own, mapping) in &mut self.ways {
            while let Some(index) = mapping.step(len) {
                self.symbols[index] = self.symbols[index].plus(*own);
            }
        }
    }

    /// The items, ascending.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The item of which no more than `short` is known; one of them, should there be several.
    pub fn find(&self, short: ShortItem) -> Option<Item> {
        let hashes = short.prefix().range();
        let first = self.items.partition_point(|item| item.key_hash < *hashes.start());
        let near = self.items[first..]
            .iter()
            .take_while(|item| hashes.contains(&item.key_hash));
        near.copied().find(|item| ShortItem::of(*item) == short)
    }
}
