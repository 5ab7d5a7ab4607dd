//! Floor 2: digests of sets, kept per prefix of the key's hash, and the walk from the top that finds what differs.
//!
//! A Merkle tree (Merkle, "A Digital Signature Based on a Conventional Encryption Function", 1987), with one change: what a
//! node holds is the wrapping *sum* of its items' digests and not a hash of its children. A sum does not depend on the order
//! in which things came nor on how somebody's tree is cut into nodes, and one change costs one addition a level. Unequal
//! sets have equal sums only by chance (2^-128), for whoever does not know the key of the digests (Bellare, Micciancio,
//! "A New Paradigm for Collision-free Hashing", 1997).
//!
//! What is compared are [`Item`]s. Whoever holds some implements [`Summary`]; [`Trie`] is for those who have no tree.
//! [`Walk`] asks, [`answer`] answers, and the bytes between them are carried by somebody else:
//!
//! ```
//! use kernel::merkle::{Item, Trie, Walk, WalkBounds, answer};
//!
//! let item = |n: u64| Item { key_hash: n << 40, digest: n.into() };
//! let here: Trie = (0..1_000).map(item).collect();
//! let there: Trie = (1..1_001).map(item).collect();
//! let bounds = WalkBounds { message_bytes: 4_096, prefixes: 10_000 };
//! let mut walk = Walk::new(bounds);
//! while let Some(question) = walk.ask() {
//!     let answer = answer(&there, &question, bounds.message_bytes)?;
//!     walk.take(&here, &answer)?;
//! }
//! assert_eq!(walk.only_here(), [item(0)]);
//! assert_eq!(walk.only_there(), [item(1_000)]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use serde::{Deserialize, Serialize};

mod message;
mod prefix;
mod trie;
mod walk;

#[cfg(test)]
mod tests;

pub use message::BadMessage;
pub use prefix::{NIBBLES, Prefix};
pub use trie::Trie;
pub use walk::{Cost, LEAF_ITEMS, Walk, WalkBounds, WalkError, answer};

/// What stands for one record when sets of them are compared.
///
/// Items order by key hash, then digest. In a set of items there is each at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Item {
    /// A keyed hash of the key: the place of the record in the tree.
    pub key_hash: u64,
    /// The keyed digest of key, time and content.
    pub digest: u128,
}

/// What a set of items adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Sum {
    /// The sum of their digests, modulo 2^128.
    pub digest: u128,
    /// How many there are.
    pub count: u64,
}

impl Sum {
    /// This, and `item` too.
    #[must_use]
    pub fn with(self, item: Item) -> Self {
        Self {
            digest: self.digest.wrapping_add(item.digest),
            count: self.count + 1,
        }
    }

    /// This without `item`, which is in it.
    ///
    /// # Panics
    /// If there is nothing in it.
    #[must_use]
    pub fn without(self, item: Item) -> Self {
        assert!(self.count > 0, "an item is taken out of nothing");
        Self {
            digest: self.digest.wrapping_sub(item.digest),
            count: self.count - 1,
        }
    }
}

impl FromIterator<Item> for Sum {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        items.into_iter().fold(Self::default(), Self::with)
    }
}

/// A set of items that can be summed up below any prefix.
pub trait Summary {
    /// The sum of the items below `prefix`.
    fn summary(&self, prefix: Prefix) -> Sum;

    /// Gives each item below `prefix` to `f`, in any order.
    fn items(&self, prefix: Prefix, f: &mut dyn FnMut(Item));
}
