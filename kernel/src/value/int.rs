//! Integers of the range that MessagePack has.

use core::fmt;

/// An integer from -2^63 to 2^64 - 1: every one that MessagePack can hold, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Int(i128);

impl Int {
    /// The least, -2^63.
    pub const MIN: Self = Self(i64::MIN as i128);
    /// The greatest, 2^64 - 1.
    pub const MAX: Self = Self(u64::MAX as i128);

    /// `n`, if it is in the range. Computations are done in `i128`, where no sum or difference of two can overflow, and come
    /// back through here.
    pub fn new(n: i128) -> Option<Self> {
        let n = Self(n);
        (Self::MIN <= n && n <= Self::MAX).then_some(n)
    }

    /// The number.
    pub fn get(self) -> i128 {
        self.0
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<i32> for Int {
    fn from(n: i32) -> Self {
        Self(n.into())
    }
}

impl From<u32> for Int {
    fn from(n: u32) -> Self {
        Self(n.into())
    }
}

impl From<i64> for Int {
    fn from(n: i64) -> Self {
        Self(n.into())
    }
}

impl From<u64> for Int {
    fn from(n: u64) -> Self {
        Self(n.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_that_of_both_64_bit_integers() {
        assert_eq!(Int::new(i128::from(i64::MIN)), Some(Int::MIN));
        assert_eq!(Int::new(i128::from(u64::MAX)), Some(Int::MAX));
        assert_eq!(Int::new(Int::MIN.get() - 1), None);
        assert_eq!(Int::new(Int::MAX.get() + 1), None);
        assert_eq!(Int::from(-7i32).to_string(), "-7");
    }
}
