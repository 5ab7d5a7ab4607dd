//! The shape of the map: a 16-ary trie over the places of its keys, with a digest at every node.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::crdt::lww_map::leaf::Leaf;

/// Bits of a place that one node decides on.
const BITS: u32 = 4;
/// Digits of a place, of four bits each: as many nodes are on the way to a leaf, at most.
const DIGITS: usize = 8;

/// Leaves by the first bits of a key's hash (its *place*), under nodes of 16 children.
///
/// A node is a small directory: neighbouring children may be one leaf, which is split in two when it is full, and gets a
/// node of its own when it has one child left. However unlucky (or ill chosen) the places are, a leaf costs no more nodes
/// than a place has digits. The shape depends on the order in which keys came; the digest of a prefix does not.
#[derive(Debug, Clone)]
pub struct Trie {
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
}

#[derive(Debug, Clone)]
struct Node {
    children: [Child; 16],
    digest: u128,
    rows: u64,
}

/// A node, or a leaf (with the highest bit), by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Child(u32);

const LEAF: u32 = 1 << 31;

impl Child {
    fn leaf(number: usize) -> Self {
        Self(LEAF | u32::try_from(number).expect("a map has fewer than 2^31 leaves"))
    }

    fn node(number: usize) -> Self {
        let number = u32::try_from(number).expect("a map has fewer than 2^31 nodes");
        assert!(number < LEAF, "a map has fewer than 2^31 nodes");
        Self(number)
    }

    /// The number of a leaf, or else of a node.
    fn number(self) -> Result<usize, usize> {
        match self.0 & LEAF {
            0 => Err(self.0 as usize),
            _ => Ok((self.0 & !LEAF) as usize),
        }
    }
}

/// Where a place leads: the leaf, and the nodes above it.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    place: u32,
    nodes: [u32; DIGITS],
    depth: usize,
    leaf: usize,
}

fn digit(place: u32, depth: usize) -> usize {
    (place >> (u32::BITS - BITS * (depth as u32 + 1))) as usize & 15
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Node {
                children: [Child::leaf(0); 16],
                digest: 0,
                rows: 0,
            }],
            leaves: vec![Leaf::default()],
        }
    }
}

impl Trie {
    /// The way to the leaf of a place.
    pub fn path(&self, place: u32) -> Path {
        let mut path = Path {
            place,
            nodes: [0; DIGITS],
            depth: 1,
            leaf: 0,
        };
        let mut node = 0;
        loop {
            match self.nodes[node].children[digit(place, path.depth - 1)].number() {
                Ok(leaf) => {
                    path.leaf = leaf;
                    return path;
                }
                Err(below) => {
                    node = below;
                    path.nodes[path.depth] = below as u32;
                    path.depth += 1;
                }
            }
        }
    }

    /// The leaf of a place.
    pub fn leaf_of(&self, place: u32) -> &Leaf {
        let mut node = 0;
        for depth in 0.. {
            match self.nodes[node].children[digit(place, depth)].number() {
                Ok(leaf) => return &self.leaves[leaf],
                Err(below) => node = below,
            }
        }
        unreachable!("a place has so many digits")
    }

    /// Whether a way is also the way to another place.
    pub fn leads_to(&self, path: &Path, place: u32) -> bool {
        let depth = path.depth - 1;
        let above = u32::BITS - BITS * depth as u32;
        let same_node = depth == 0 || path.place >> above == place >> above;
        let node = &self.nodes[path.nodes[depth] as usize];
        same_node && node.children[digit(place, depth)] == Child::leaf(path.leaf)
    }

    /// The leaf at the end of a way.
    pub fn leaf(&self, path: &Path) -> &Leaf {
        &self.leaves[path.leaf]
    }

    /// The leaf at the end of a way, to be changed: then tell [`Trie::account`].
    pub fn leaf_mut(&mut self, path: &Path) -> &mut Leaf {
        &mut self.leaves[path.leaf]
    }

    /// The digest of everything, and how many rows there are.
    pub fn sum(&self) -> (u128, u64) {
        (self.nodes[0].digest, self.nodes[0].rows)
    }

    /// The leaf at the end of a way has changed: the difference of its rows' digests, and of their number.
    pub fn account(&mut self, path: &Path, digest: u128, rows: i64) {
        for node in &path.nodes[..path.depth] {
            let node = &mut self.nodes[*node as usize];
            node.digest = node.digest.wrapping_add(digest);
            node.rows = node.rows.strict_add_signed(rows);
        }
    }

    /// Makes two of the leaf at the end of a way to `place`; `digest` sums the digests of its rows. `false`: its rows share
    /// their whole place, and it stays one.
    pub fn split(&mut self, path: &Path, place: u32, digest: impl FnOnce(&Leaf) -> u128) -> bool {
        let child = Child::leaf(path.leaf);
        let (mut node, mut depth) = (path.nodes[path.depth - 1] as usize, path.depth - 1);
        if self.children_of(node, child).len() == 1 {
            if path.depth == DIGITS {
                return false;
            }
            let leaf = self.leaf(path);
            let below = Node {
                children: [child; 16],
                digest: digest(leaf),
                rows: leaf.len() as u64,
            };
            self.nodes.push(below);
            let below = self.nodes.len() - 1;
            self.nodes[node].children[digit(place, depth)] = Child::node(below);
            (node, depth) = (below, depth + 1);
        }
        let Range { start, end } = self.children_of(node, child);
        let half = (end - start) / 2;
        // The bit that parts the lower half of its children from the upper.
        let mask = (half as u32) << (u32::BITS - BITS * (depth as u32 + 1));
        let high = self.leaves[path.leaf].split_off(mask);
        self.leaves.push(high);
        self.nodes[node].children[start + half..end].fill(Child::leaf(self.leaves.len() - 1));
        true
    }

    /// The neighbouring children that are one leaf.
    fn children_of(&self, node: usize, leaf: Child) -> Range<usize> {
        let children = &self.nodes[node].children;
        let start = children.iter().position(|child| *child == leaf);
        let start = start.expect("a way leads through the node above its leaf");
        let width = children[start..].iter().take_while(|child| **child == leaf).count();
        start..start + width
    }

    /// The leaves whose places may be at or above `first`, in the order of their places.
    pub fn leaves_from(&self, first: u32) -> Leaves<'_> {
        Leaves {
            trie: self,
            first,
            stack: vec![(0, 0)],
            last: None,
        }
    }

    /// Digest and rows of the places that begin with so many digits of `place`, or the leaf that holds them among others.
    pub fn prefix(&self, place: u32, digits: usize) -> Result<(u128, u64), &Leaf> {
        let mut node = 0;
        for depth in 0..digits {
            match self.nodes[node].children[digit(place, depth)].number() {
                Ok(leaf) => return Err(&self.leaves[leaf]),
                Err(below) => node = below,
            }
        }
        Ok((self.nodes[node].digest, self.nodes[node].rows))
    }

    /// Shows every node and leaf to `visit`, from the top, in the order of their places. Below a node of which it says `false`
    /// nothing is shown.
    pub fn walk(&self, visit: &mut impl FnMut(Visit<'_>) -> bool) {
        self.walk_below(0, 0, 0, visit);
    }

    fn walk_below(&self, node: usize, place: u32, digits: usize, visit: &mut impl FnMut(Visit<'_>) -> bool) {
        let Node { children, digest, rows } = &self.nodes[node];
        let sum = (*digest, *rows);
        if !visit(Visit::Node { place, digits, sum }) {
            return;
        }
        let mut last = None;
        for (digit, child) in (0..).zip(children) {
            if last == Some(child) {
                continue;
            }
            last = Some(child);
            match child.number() {
                Ok(leaf) => {
                    visit(Visit::Leaf(&self.leaves[leaf]));
                }
                Err(below) => {
                    let shift = u32::BITS - BITS * (digits as u32 + 1);
                    self.walk_below(below, place | digit << shift, digits + 1, visit);
                }
            }
        }
    }

    /// How many leaves there are.
    pub fn leaf_count(&self) -> usize {
        self.leaves.len()
    }
}

/// What [`Trie::walk`] comes to.
#[derive(Debug)]
pub enum Visit<'t> {
    /// The node of all places that begin with so many digits of `place`.
    Node {
        /// Its first place.
        place: u32,
        /// How many digits.
        digits: usize,
        /// Digest and rows.
        sum: (u128, u64),
    },
    /// A leaf.
    Leaf(&'t Leaf),
}

/// The leaves of a trie in order.
#[derive(Debug)]
pub struct Leaves<'t> {
    trie: &'t Trie,
    first: u32,
    /// Nodes, and which of their children is next.
    stack: Vec<(usize, usize)>,
    last: Option<usize>,
}

impl<'t> Iterator for Leaves<'t> {
    type Item = &'t Leaf;

    fn next(&mut self) -> Option<&'t Leaf> {
        loop {
            let depth = self.stack.len().checked_sub(1)?;
            let (node, next) = self.stack.last_mut()?;
            // Children before the first place are passed over; behind it, none are.
            *next = digit(self.first, depth).max(*next);
            let Some(child) = self.trie.nodes[*node].children.get(*next).copied() else {
                self.stack.pop();
                continue;
            };
            *next += 1;
            match child.number() {
                Err(below) => self.stack.push((below, 0)),
                Ok(leaf) if self.last == Some(leaf) => {}
                Ok(leaf) => {
                    self.last = Some(leaf);
                    // Everything that follows it lies behind the first place.
                    self.first = 0;
                    return Some(&self.trie.leaves[leaf]);
                }
            }
        }
    }
}
