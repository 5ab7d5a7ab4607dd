//! Where a number stands among all numbers.

use super::Int;
use crate::msgpack::float::{self, Parts};

/// The place of a number, integer or float, in one order: the greater number has the greater place, and numbers of
/// equal worth have the same.
///
/// It is the number in scientific notation, base two: sign and exponent in `scale`, the digits after the leading one in
/// `fraction`. 64 digits and 12 bits of exponent hold every 64-bit integer and every `f64`, so nothing is rounded.
/// A number below zero is its opposite with all bits inverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) scale: u16,
    pub(super) fraction: u64,
}

/// The scale of zero. Those of positive numbers are above it.
const ZERO: u16 = 0x8000;
const INFINITY: u16 = 0xfffe;
const NAN: u16 = 0xffff;
/// The exponent of the smallest `f64` there is.
const EXPONENT_MIN: i32 = -1_074;

impl Place {
    pub(super) fn of_int(n: Int) -> Self {
        let magnitude = n.get().unsigned_abs();
        debug_assert!(magnitude <= u128::from(u64::MAX), "an integer of {n}");
        let parts = Parts {
            mantissa: magnitude as u64,
            exponent: 0,
        };
        Self::of_magnitude(parts).signed(n.get() < 0)
    }

    pub(super) fn of_float(x: f64) -> Self {
        match float::parts(x) {
            Some(parts) => Self::of_magnitude(parts).signed(x.is_sign_negative()),
            None if x.is_nan() => Self::bare(NAN),
            None => Self::bare(INFINITY).signed(x.is_sign_negative()),
        }
    }

    /// Whether it stands below zero.
    pub(super) fn is_negative(self) -> bool {
        self.scale < ZERO
    }

    /// The place of the opposite.
    pub(super) fn inverted(self) -> Self {
        Self {
            scale: !self.scale,
            fraction: !self.fraction,
        }
    }

    fn of_magnitude(parts: Parts) -> Self {
        let Parts { mantissa, exponent } = parts;
        if mantissa == 0 {
            return Self::bare(ZERO);
        }
        let zeros = mantissa.leading_zeros();
        let exponent = exponent + 63 - zeros as i32;
        debug_assert!((EXPONENT_MIN..=1_023).contains(&exponent), "an exponent of {exponent}");
        Self {
            scale: ZERO + 1 + (exponent - EXPONENT_MIN) as u16,
            // The leading one goes: all have it. In two steps, because all 64 places may be zeros and it.
            fraction: mantissa << zeros << 1,
        }
    }

    fn bare(scale: u16) -> Self {
        Self { scale, fraction: 0 }
    }

    /// Zero has no sign.
    fn signed(self, negative: bool) -> Self {
        if negative && self.scale != ZERO {
            self.inverted()
        } else {
            self
        }
    }
}
