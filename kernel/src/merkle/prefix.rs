//! The places of the tree.

use core::fmt;
use core::ops::RangeInclusive;

/// How many nibbles a key hash has: the depth of the tree.
pub const NIBBLES: u8 = 16;

/// The first nibbles of a key hash, most significant first; 0 to 16 of them. It stands for all hashes that begin so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The first hash below it: the nibbles, then zeros.
    first: u64,
    len: u8,
}

impl Prefix {
    /// The empty prefix: of every hash.
    pub const ROOT: Self = Self { first: 0, len: 0 };

    /// The first `len` nibbles of `hash`.
    ///
    /// # Panics
    /// If `len` is over 16.
    pub fn of(hash: u64, len: u8) -> Self {
        assert!(len <= NIBBLES, "a prefix of {len} nibbles");
        Self {
            first: hash & !Self::rest(len),
            len,
        }
    }

    /// The bits that a prefix of `len` nibbles leaves open.
    fn rest(len: u8) -> u64 {
        u64::MAX.checked_shr(4 * u32::from(len)).unwrap_or(0)
    }

    /// How many nibbles it has.
    pub fn len(self) -> u8 {
        self.len
    }

    /// Whether it is the prefix of every hash.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether it is a whole hash, without children.
    pub fn is_whole(self) -> bool {
        self.len == NIBBLES
    }

    /// The prefix that has `nibble` after this one's.
    ///
    /// # Panics
    /// If this is a whole hash, or `nibble` is over 15.
    pub fn child(self, nibble: u8) -> Self {
        assert!(!self.is_whole() && nibble < 16, "child {nibble} of {self:?}");
        let len = self.len + 1;
        Self {
            first: self.first | u64::from(nibble) << (64 - 4 * u32::from(len)),
            len,
        }
    }

    /// The sixteen prefixes one nibble longer, ascending; none of a whole hash.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let nibbles = if self.is_whole() { 0..0 } else { 0..16 };
        nibbles.map(move |nibble| self.child(nibble))
    }

    /// Whether `hash` begins so.
    pub fn contains(self, hash: u64) -> bool {
        hash & !Self::rest(self.len) == self.first
    }

    /// The hashes that begin so.
    pub fn range(self) -> RangeInclusive<u64> {
        self.first..=self.first | Self::rest(self.len)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = alloc::format!("{:016x}", self.first);
        write!(f, "{}*", &hex[..self.len.into()])
    }
}

/// Nibble `depth` of a hash.
pub(super) fn nibble(hash: u64, depth: u8) -> usize {
    debug_assert!(depth < NIBBLES, "nibble {depth} of a hash");
    (hash >> (60 - 4 * u32::from(depth)) & 15) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn the_root_is_a_prefix_of_everything_and_a_whole_hash_of_itself() {
        assert_eq!(Prefix::ROOT.range(), 0..=u64::MAX);
        let whole = Prefix::of(77, NIBBLES);
        assert!(whole.is_whole() && whole.contains(77) && !whole.contains(78));
        assert_eq!((whole.range(), whole.children().count()), (77..=77, 0));
        assert_eq!(format!("{:?}", Prefix::of(0xab << 56, 2).child(0xc)), "abc*");
    }

    #[test]
    fn a_nibble_is_counted_from_the_left() {
        let hash = 0x0123_4567_89ab_cdef;
        assert_eq!(
            (0..16).map(|n| nibble(hash, n)).collect::<Vec<_>>(),
            Vec::from_iter(0..16)
        );
    }

    proptest! {
        #[test]
        fn children_share_out_what_their_parent_holds(hash in any::<u64>(), len in 0..NIBBLES, other in any::<u64>()) {
            let prefix = Prefix::of(hash, len);
            prop_assert!(prefix.contains(hash) && prefix.len() == len);
            let children: Vec<_> = prefix.children().collect();
            prop_assert_eq!(children.len(), 16);
            prop_assert_eq!(children.iter().filter(|child| child.contains(hash)).count(), 1);
            prop_assert_eq!(children[nibble(hash, len)], Prefix::of(hash, len + 1));
            let ends = (*children[0].range().start(), *children[15].range().end());
            prop_assert_eq!(ends, prefix.range().into_inner());
            for pair in children.windows(2) {
                prop_assert_eq!(pair[0].range().end() + 1, *pair[1].range().start());
            }
            prop_assert_eq!(prefix.contains(other), prefix.range().contains(&other));
        }
    }
}
