//! A set of items as a tree that keeps its sums.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::array;

use crate::merkle::prefix::nibble;
use crate::merkle::{Item, NIBBLES, Prefix, Sum, Summary};

/// A leaf that holds more becomes a branch.
const BURST_ITEMS: usize = 32;
/// A branch that holds fewer becomes a leaf. Well below the burst, so that one item to and fro does not turn it each time.
const COLLAPSE_ITEMS: u64 = 8;

/// A 16-ary burst trie of items (Heinz, Zobel, Williams, "Burst Tries", 2002) with a sum at every node.
///
/// An insertion or removal touches one node a level, at most 17; with n items spread evenly about log16(n / 32).
#[derive(Debug, Clone, Default)]
pub struct Trie {
    root: Node,
}

#[derive(Debug, Clone, Default)]
struct Node {
    sum: Sum,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Ascending.
    Leaf(Vec<Item>),
    /// One for each next nibble.
    Branch(Box<[Node; 16]>),
}

impl Default for Kind {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

impl Trie {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item. `false`: it was there.
    pub fn insert(&mut self, item: Item) -> bool {
        self.root.insert(item, 0)
    }

    /// Takes an item out. `false`: it was not there.
    pub fn remove(&mut self, item: Item) -> bool {
        self.root.remove(item, 0)
    }

    /// The sum of all items.
    pub fn sum(&self) -> Sum {
        self.root.sum
    }
}

impl FromIterator<Item> for Trie {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        let mut trie = Self::new();
        for item in items {
            trie.insert(item);
        }
        trie
    }
}

impl Summary for Trie {
    fn summary(&self, prefix: Prefix) -> Sum {
        match self.root.find(prefix) {
            (node, true) => node.sum,
            (node, false) => {
                let mut sum = Sum::default();
                node.each(&mut |item| {
                    if prefix.contains(item.key_hash) {
                        sum = sum.with(item);
                    }
                });
                sum
            }
        }
    }

    fn items(&self, prefix: Prefix, f: &mut dyn FnMut(Item)) {
        let (node, _) = self.root.find(prefix);
        node.each(&mut |item| {
            if prefix.contains(item.key_hash) {
                f(item);
            }
        });
    }
}

impl Node {
    fn insert(&mut self, item: Item, depth: u8) -> bool {
        let new = match &mut self.kind {
            Kind::Branch(children) => children[nibble(item.key_hash, depth)].insert(item, depth + 1),
            Kind::Leaf(items) => match items.binary_search(&item) {
                Ok(_) => false,
                Err(place) => {
                    items.insert(place, item);
                    true
                }
            },
        };
        if new {
            self.sum = self.sum.with(item);
            self.burst(depth);
        }
        new
    }

    /// Turns a leaf that is too full into a branch. Items of one and the same hash have nowhere else to go.
    fn burst(&mut self, depth: u8) {
        let Kind::Leaf(items) = &mut self.kind else {
            return;
        };
        if items.len() <= BURST_ITEMS || depth == NIBBLES {
            return;
        }
        let items = core::mem::take(items);
        let mut children: Box<[Self; 16]> = Box::new(array::from_fn(|_| Self::default()));
        for item in items {
            children[nibble(item.key_hash, depth)].insert(item, depth + 1);
        }
        self.kind = Kind::Branch(children);
    }

    fn remove(&mut self, item: Item, depth: u8) -> bool {
        let gone = match &mut self.kind {
            Kind::Branch(children) => children[nibble(item.key_hash, depth)].remove(item, depth + 1),
            Kind::Leaf(items) => match items.binary_search(&item) {
                Ok(place) => {
                    items.remove(place);
                    true
                }
                Err(_) => false,
            },
        };
        if gone {
            self.sum = self.sum.without(item);
            if matches!(self.kind, Kind::Branch(_)) && self.sum.count < COLLAPSE_ITEMS {
                let mut items = Vec::new();
                self.each(&mut |item| items.push(item));
                self.kind = Kind::Leaf(items);
            }
        }
        gone
    }

    /// The node at `prefix` and `true`, or the leaf above it and `false`.
    fn find(&self, prefix: Prefix) -> (&Self, bool) {
        let mut node = self;
        for depth in 0..prefix.len() {
            match &node.kind {
                Kind::Branch(children) => node = &children[nibble(*prefix.range().start(), depth)],
                Kind::Leaf(_) => return (node, false),
            }
        }
        (node, true)
    }

    /// Gives all items to `f`, ascending.
    fn each(&self, f: &mut dyn FnMut(Item)) {
        match &self.kind {
            Kind::Leaf(items) => items.iter().copied().for_each(f),
            Kind::Branch(children) => children.iter().for_each(|child| child.each(f)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    /// Hashes that share long prefixes, and few digests, so that leaves burst far down and items meet again.
    fn items() -> impl Strategy<Value = Item> {
        let hash = prop_oneof![
            any::<u64>(),
            0u64..40,
            (0u64..16, 0u32..60).prop_map(|(n, shift)| n << shift),
            Just(7u64)
        ];
        (hash, 0u128..40).prop_map(|(key_hash, digest)| Item {
            key_hash,
            digest: digest.wrapping_mul(u128::MAX / 3),
        })
    }

    fn all(trie: &Trie, prefix: Prefix) -> Vec<Item> {
        let mut items = Vec::new();
        trie.items(prefix, &mut |item| items.push(item));
        items
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_sorted_list(
            changes in proptest::collection::vec((any::<bool>(), items()), 0..400),
            probes in proptest::collection::vec((any::<u64>(), 0..=NIBBLES), 20),
        ) {
            let mut trie = Trie::new();
            let mut model = BTreeSet::new();
            for &(insert, item) in &changes {
                // Thrice as many insertions as removals: what is put in is not drawn again so often.
                if insert || item.digest % 2 == 0 {
                    prop_assert_eq!(trie.insert(item), model.insert(item));
                } else {
                    prop_assert_eq!(trie.remove(item), model.remove(&item));
                }
            }
            let hashes = changes.iter().map(|(_, item)| item.key_hash).zip((0..=NIBBLES).cycle());
            for (hash, len) in hashes.chain(probes) {
                let prefix = Prefix::of(hash, len);
                let naive: Vec<_> = model.iter().copied().filter(|item| prefix.contains(item.key_hash)).collect();
                prop_assert_eq!(trie.summary(prefix), naive.iter().copied().collect::<Sum>());
                prop_assert_eq!(all(&trie, prefix), naive);
            }
            for item in &model {
                prop_assert!(trie.remove(*item));
            }
            prop_assert_eq!(trie.sum(), Sum::default());
        }
    }

    fn depth(node: &Node) -> u32 {
        match &node.kind {
            Kind::Leaf(_) => 0,
            Kind::Branch(children) => 1 + children.iter().map(depth).max().unwrap_or(0),
        }
    }

    #[test]
    fn a_trie_grows_with_what_it_holds_and_shrinks_again() {
        let item = |n: u64| Item {
            key_hash: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            digest: n.into(),
        };
        let mut trie: Trie = (0..10_000).map(item).collect();
        assert_eq!(depth(&trie.root), 3);
        for n in 5..10_000 {
            assert!(trie.remove(item(n)));
        }
        assert_eq!(depth(&trie.root), 0);
        assert_eq!(trie.sum(), (0..5).map(item).collect());
    }

    #[test]
    fn many_items_of_one_hash_end_in_one_leaf() {
        let item = |digest| Item { key_hash: 7, digest };
        let trie: Trie = (0..100).map(item).collect();
        assert_eq!(depth(&trie.root), NIBBLES.into());
        assert_eq!(trie.summary(Prefix::of(7, NIBBLES)).count, 100);
    }
}
