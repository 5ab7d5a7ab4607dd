//! Items as they are in symbols, and sums of them.

use serde::{Deserialize, Serialize};

use crate::crdt::DigestKey;
use crate::merkle::{Item, Prefix};
use crate::reconcile::mapping::Mapping;

/// Bytes of a symbol.
pub const SYMBOL_BYTES: usize = 13;
/// Bytes of what is known of an item.
pub const SHORT_BYTES: usize = 9;

const KEY_BITS: u32 = 40;
const DIGEST_BITS: u32 = 32;
const CHECK_BITS: u32 = 32;
const SYMBOL_MASK: u128 = (1 << (KEY_BITS + DIGEST_BITS + CHECK_BITS)) - 1;
const _: () = assert!(SYMBOL_MASK.count_ones() as usize == 8 * SYMBOL_BYTES);

/// What can be seen of an item in a symbol: enough to tell it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShortItem {
    /// The first 40 bits of the item's key hash and the last 32 of its digest.
    bits: u128,
}

impl ShortItem {
    /// What can be seen of `item`.
    pub fn of(item: Item) -> Self {
        let key = item.key_hash >> (64 - KEY_BITS);
        Self {
            bits: u128::from(key) << DIGEST_BITS | item.digest & ((1 << DIGEST_BITS) - 1),
        }
    }

    /// Where in the tree of its side the item is: the first 10 nibbles of its key hash.
    pub fn prefix(self) -> Prefix {
        let key = (self.bits >> DIGEST_BITS) as u64;
        Prefix::of(key << (64 - KEY_BITS), (KEY_BITS / 4) as u8)
    }

    /// The last 32 bits of its digest.
    pub fn digest(self) -> u32 {
        self.bits as u32
    }

    /// What is known of it as bytes, big-endian.
    pub fn to_bytes(self) -> [u8; SHORT_BYTES] {
        let [_, _, _, _, _, _, _, bytes @ ..] = self.bits.to_be_bytes();
        bytes
    }

    /// The inverse of [`ShortItem::to_bytes`]. All bytes are those of an item.
    pub fn from_bytes(bytes: [u8; SHORT_BYTES]) -> Self {
        let mut wide = [0; 16];
        wide[16 - SHORT_BYTES..].copy_from_slice(&bytes);
        Self {
            bits: u128::from_be_bytes(wide),
        }
    }
}

/// The sum of the items that went into a symbol, each with its check, modulo 2^104.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Symbol(u128);

impl Symbol {
    /// Nothing went in, or as much came out again.
    pub const ZERO: Self = Self(0);

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0) & SYMBOL_MASK)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0) & SYMBOL_MASK)
    }

    pub(super) fn negated(self) -> Self {
        Self::ZERO.minus(self)
    }

    pub(super) fn to_bytes(self) -> [u8; SYMBOL_BYTES] {
        let [_, _, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; SYMBOL_BYTES]) -> Self {
        let mut wide = [0; 16];
        wide[16 - SYMBOL_BYTES..].copy_from_slice(&bytes);
        Self(u128::from_be_bytes(wide))
    }
}

/// How items become symbols under a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Code {
    key: DigestKey,
}

impl Code {
    pub(super) fn new(key: &DigestKey) -> Self {
        Self {
            key: key.derive(b"coded symbols"),
        }
    }

    /// The item as a symbol of its own, and the symbols that it goes into.
    pub(super) fn encode(&self, item: ShortItem) -> (Symbol, Mapping) {
        let digest = self.key.digest(&item.bits.to_be_bytes());
        let check = digest >> (128 - CHECK_BITS);
        (Symbol(item.bits << CHECK_BITS | check), Mapping::new(digest as u64))
    }

    /// The item that `symbol` is of, if it seems to be of one alone.
    pub(super) fn open(&self, symbol: Symbol) -> Option<(ShortItem, Mapping)> {
        let item = ShortItem {
            bits: symbol.0 >> CHECK_BITS,
        };
        let (own, mapping) = self.encode(item);
        (own == symbol).then_some((item, mapping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(key: u8) -> Code {
        Code::new(&DigestKey::new([key; 16]))
    }

    proptest! {
        #[test]
        fn an_item_can_be_seen_in_its_symbol_and_only_there(key_hash in any::<u64>(), digest in any::<u128>(), other in any::<u64>()) {
            let item = Item { key_hash, digest };
            let short = ShortItem::of(item);
            prop_assert!(short.prefix().contains(key_hash) && short.prefix().len() == 10);
            prop_assert_eq!(short.digest(), digest as u32);
            prop_assert_eq!(ShortItem::from_bytes(short.to_bytes()), short);
            let (symbol, mapping) = code(1).encode(short);
            prop_assert_eq!(Symbol::from_bytes(symbol.to_bytes()), symbol);
            prop_assert_eq!(code(1).open(symbol), Some((short, mapping)));
            prop_assert_eq!(code(1).open(symbol.negated()), None);
            prop_assert_eq!(code(2).open(symbol), None);
            let (more, _) = code(1).encode(ShortItem::of(Item { key_hash: other, digest: 0 }));
            prop_assert_eq!(code(1).open(symbol.plus(more)), None);
            prop_assert_eq!(symbol.plus(more).minus(symbol), more);
            prop_assert_eq!(symbol.plus(symbol.negated()), Symbol::ZERO);
            prop_assert_ne!(symbol.plus(symbol), Symbol::ZERO);
        }
    }
}
