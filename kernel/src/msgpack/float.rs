//! Floats taken apart in integers, so that no result hangs on how a machine rounds.

/// Bits of an `f64`'s fraction.
const FRACTION_BITS: u32 = 52;
/// The exponent field of infinities and NaNs.
const EXPONENT_MAX: u32 = 0x7ff;
/// What a finite `f64`'s exponent field is above the exponent of its last fraction bit.
const BIAS: i32 = 1_075;

/// A finite, non-zero magnitude: `mantissa * 2^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) mantissa: u64,
    pub(crate) exponent: i32,
}

/// The magnitude of `x`, exactly; the mantissa is zero for zero. `None` for infinities and NaNs.
pub(crate) fn parts(x: f64) -> Option<Parts> {
    let bits = x.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    match (bits >> FRACTION_BITS) as u32 & EXPONENT_MAX {
        EXPONENT_MAX => None,
        // Subnormals have no hidden bit, and the exponent of the smallest normal ones.
        0 => Some(Parts {
            mantissa: fraction,
            exponent: 1 - BIAS,
        }),
        field => Some(Parts {
            mantissa: fraction | 1 << FRACTION_BITS,
            exponent: field as i32 - BIAS,
        }),
    }
}

/// `x` as an integer, if it is a whole number of a magnitude below 2^64. Minus zero is zero.
pub(crate) fn whole(x: f64) -> Option<i128> {
    let Parts { mantissa, exponent } = parts(x)?;
    let magnitude = if mantissa == 0 {
        0
    } else if exponent >= 0 {
        // A normal mantissa has 53 bits, so 11 more fill the 64.
        (exponent <= 11).then(|| mantissa << exponent)?
    } else {
        let shift = exponent.unsigned_abs();
        (mantissa.trailing_zeros() >= shift).then(|| mantissa >> shift)?
    };
    let magnitude = i128::from(magnitude);
    Some(if x.is_sign_negative() { -magnitude } else { magnitude })
}

/// `n` as a float, if one holds it exactly. `n` is within -2^63..2^64.
pub(crate) fn exact(n: i128) -> Option<f64> {
    let x = n as f64;
    (whole(x) == Some(n)).then_some(x)
}

/// `x` widened. A NaN's payload may come out of a conversion differently from one machine to the next, so every
/// NaN becomes the same one.
pub(crate) fn widen(x: f32) -> f64 {
    if x.is_nan() { f64::NAN } else { f64::from(x) }
}

/// `x` narrowed, if nothing is lost. `None` for NaNs.
pub(crate) fn narrow(x: f64) -> Option<f32> {
    let short = x as f32;
    (!x.is_nan() && f64::from(short).to_bits() == x.to_bits()).then_some(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_and_others() {
        assert_eq!(whole(-0.0), Some(0));
        assert_eq!(whole(-3.0), Some(-3));
        assert_eq!(whole(9_007_199_254_740_992.0), Some(1 << 53));
        assert_eq!(whole(9_223_372_036_854_775_808.0), Some(1 << 63));
        assert_eq!(whole(18_446_744_073_709_549_568.0), Some((1 << 64) - 2_048));
        for none in [
            0.5,
            1e300,
            18_446_744_073_709_551_616.0,
            5e-324,
            f64::NAN,
            f64::INFINITY,
        ] {
            assert_eq!(whole(none), None, "{none}");
            assert_eq!(whole(-none), None, "-{none}");
        }
    }

    #[test]
    fn only_exact_floats_stand_for_integers() {
        assert_eq!(exact(1 << 53).map(f64::to_bits), Some(2f64.powi(53).to_bits()));
        assert_eq!(exact((1 << 53) + 1), None);
        assert_eq!(exact(i128::from(u64::MAX)), None);
        assert_eq!(
            exact(i128::from(i64::MIN)).map(f64::to_bits),
            Some((-(2f64.powi(63))).to_bits())
        );
    }

    proptest! {
        #[test]
        fn whole_agrees_with_the_hardware(n: i64, shift in 0..63u32) {
            let n = n >> shift;
            let x = n as f64;
            prop_assert_eq!(whole(x), Some(x as i128));
            let half = x + 0.5;
            prop_assert_eq!(whole(half).is_some(), half.fract().abs() < f64::MIN_POSITIVE);
        }
    }
}
