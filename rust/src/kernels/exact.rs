//! The definition of the result: one element at a time, in integers, for any input.
//!
//! Slow (tens of nanoseconds an element) and always right. The vector loops hand it every element that they cannot
//! show to be exact, and the kernel set `scalar` uses nothing else.

use super::format::{Format, Value};

/// Exponent of bit 0 of the wide accumulator: the least subnormal of F64, and a limb of room for the quotient's fraction.
const WIDE_BASE: i32 = -1074 - 64;
/// Its limbs: exponents up to 971 of F64, 53 bits of mantissa, 20 of parts, a sign, and room for 2^50 terms.
const LIMBS: usize = 35;

/// `round(Σ numerators[i]·values[i] / whole)` as bits of `format`. Zero numerators must have been left out.
pub(crate) fn mean(values: &[Value], numerators: &[i64], whole: u64, format: Format) -> u64 {
    let (mut nan, mut up, mut down, mut all_negative) = (false, false, false, true);
    let (mut lowest, mut highest) = (i32::MAX, i32::MIN);
    for (value, &numerator) in values.iter().zip(numerators) {
        match *value {
            Value::Nan => nan = true,
            Value::Infinity { negative } => {
                if negative == (numerator < 0) {
                    up = true;
                } else {
                    down = true;
                }
            }
            Value::Finite { negative, mantissa, exponent } => {
                all_negative &= negative != (numerator < 0);
                if mantissa != 0 {
                    (lowest, highest) = (lowest.min(exponent), highest.max(exponent));
                }
            }
        }
    }
    if nan || up && down {
        return format.nan;
    }
    if up || down {
        return format.infinity | if down { format.sign() } else { 0 };
    }
    if lowest > highest {
        // Nothing but zeros: negative only if every term is, as when adding them in IEEE arithmetic.
        return if all_negative { format.sign() } else { 0 };
    }
    // |sum| < 2^(span + 53)·Σ|numerators|, and one of 126 bits fits.
    let parts: u64 = numerators.iter().map(|numerator| numerator.unsigned_abs()).sum();
    let parts_bits = (u64::BITS - parts.leading_zeros()) as i32;
    let (negative, integer, sticky, exponent) = if highest - lowest <= 126 - 53 - parts_bits {
        narrow_sum(values, numerators, whole, lowest)
    } else {
        wide_sum(values, numerators, whole)
    };
    format.encode(negative, integer, sticky, exponent)
}

/// The quotient as (negative, integer, sticky, exponent), when all terms fit 127 bits above `2^lowest`.
fn narrow_sum(values: &[Value], numerators: &[i64], whole: u64, lowest: i32) -> (bool, u128, bool, i32) {
    let mut sum = 0i128;
    for (value, &numerator) in values.iter().zip(numerators) {
        if let Value::Finite { negative, mantissa, exponent } = *value
            && mantissa != 0
        {
            let term = (i128::from(mantissa) * i128::from(numerator)) << (exponent - lowest);
            sum += if negative { -term } else { term };
        }
    }
    let magnitude = sum.unsigned_abs();
    if magnitude == 0 {
        return (false, 0, false, lowest);
    }
    let up = magnitude.leading_zeros();
    let (shifted, whole) = (magnitude << up, u128::from(whole));
    (sum < 0, shifted / whole, shifted % whole != 0, lowest - up as i32)
}

/// The same for any exponents, in two's complement over 2,240 bits.
fn wide_sum(values: &[Value], numerators: &[i64], whole: u64) -> (bool, u128, bool, i32) {
    let mut sum = [0u64; LIMBS];
    for (value, &numerator) in values.iter().zip(numerators) {
        if let Value::Finite { negative, mantissa, exponent } = *value {
            let product = u128::from(mantissa) * u128::from(numerator.unsigned_abs());
            add_shifted(&mut sum, product, (exponent - WIDE_BASE) as usize, negative != (numerator < 0));
        }
    }
    let negative = sum[LIMBS - 1] >> 63 == 1;
    if negative {
        negate(&mut sum);
    }
    let mut remainder = 0u128;
    for limb in sum.iter_mut().rev() {
        let dividend = remainder << 64 | u128::from(*limb);
        *limb = (dividend / u128::from(whole)) as u64;
        remainder = dividend % u128::from(whole);
    }
    // The two highest limbs hold at least 65 bits of the quotient; of the rest it only matters whether it is zero.
    let Some(top) = sum.iter().rposition(|&limb| limb != 0) else { return (false, 0, false, WIDE_BASE) };
    let next = top.checked_sub(1).map_or(0, |next| sum[next]);
    let sticky = remainder != 0 || sum[..top.saturating_sub(1)].iter().any(|&limb| limb != 0);
    (negative, u128::from(sum[top]) << 64 | u128::from(next), sticky, WIDE_BASE + 64 * (top as i32 - 1))
}

/// `sum ± product·2^shift` in two's complement.
fn add_shifted(sum: &mut [u64; LIMBS], product: u128, shift: usize, subtract: bool) {
    let (first, bits) = (shift / 64, shift % 64);
    let low = product << bits;
    let high = if bits == 0 { 0 } else { (product >> (128 - bits)) as u64 };
    let mut carry = false;
    for (i, limb) in sum[first..].iter_mut().enumerate() {
        let term = [low as u64, (low >> 64) as u64, high].get(i).copied().unwrap_or(0);
        let (value, one) = if subtract { limb.overflowing_sub(term) } else { limb.overflowing_add(term) };
        let (value, two) = if subtract {
            value.overflowing_sub(u64::from(carry))
        } else {
            value.overflowing_add(u64::from(carry))
        };
        *limb = value;
        carry = one || two;
    }
}

fn negate(sum: &mut [u64; LIMBS]) {
    let mut carry = true;
    for limb in sum {
        let (value, overflow) = (!*limb).overflowing_add(u64::from(carry));
        *limb = value;
        carry = overflow;
    }
}

#[cfg(test)]
mod tests {
    use super::{mean, narrow_sum, wide_sum};
    use crate::dtype::Dtype;
    use crate::kernels::format::{Format, Value};
    use proptest::prelude::*;

    const F64: Format = match Format::of(Dtype::F64) {
        Some(format) => format,
        None => panic!("a float"),
    };

    fn values(floats: &[f64]) -> Vec<Value> {
        floats.iter().map(|float| F64.decode(float.to_bits())).collect()
    }

    fn check(floats: &[f64], numerators: &[i64], whole: u64, expected: f64) {
        let bits = mean(&values(floats), numerators, whole, F64);
        assert_eq!(f64::from_bits(bits).to_bits(), expected.to_bits(), "{floats:?} {numerators:?}/{whole}");
    }

    #[test]
    fn small_means() {
        check(&[1.0, 2.0], &[1, 1], 2, 1.5);
        check(&[0.1, 0.1, 0.1], &[5, 2, 3], 10, 0.1);
        check(&[1.0, -1.0], &[1, 1], 2, 0.0);
        check(&[1.0], &[1], 3, 1.0 / 3.0);
        check(&[3.0, 1.0], &[2, -1], 1, 5.0);
    }

    #[test]
    fn zeros_keep_the_sign_that_ieee_addition_gives() {
        check(&[-0.0, -0.0], &[1, 1], 2, -0.0);
        check(&[-0.0, 0.0], &[1, 1], 2, 0.0);
        check(&[0.0, 0.0], &[-1, -1], 2, -0.0);
    }

    #[test]
    fn infinities_and_nans() {
        check(&[f64::INFINITY, 1.0], &[1, 1], 2, f64::INFINITY);
        check(&[f64::INFINITY, 1.0], &[-1, 3], 2, f64::NEG_INFINITY);
        check(&[f64::INFINITY, f64::NEG_INFINITY], &[1, 1], 2, f64::from_bits(F64.nan));
        check(&[f64::MAX, f64::MAX], &[2, 1], 1, f64::INFINITY);
    }

    #[test]
    fn extremes_of_the_exponent_range_meet() {
        check(&[f64::MAX, 5e-324], &[1, 1], 2, f64::MAX / 2.0);
        check(&[f64::MAX, -f64::MAX, 5e-324], &[1, 1, 3], 3, 5e-324);
        check(&[5e-324, 5e-324], &[1, 1], 1 << 20, 0.0);
        check(&[-5e-324, -5e-324], &[1, 1], 1 << 20, -0.0);
        check(&[5e-324, 5e-324], &[1, 2], 4, 5e-324);
    }

    proptest! {
        #[test]
        fn both_accumulators_agree(
            floats in prop::collection::vec((-1.0..1.0f64, -20..20i32), 1..6),
            seed in 0..1000i64,
            whole in 1..1_048_576u64,
        ) {
            let floats: Vec<f64> = floats.iter().map(|(f, e)| f * 2f64.powi(*e)).filter(|f| *f != 0.0).collect();
            let numerators: Vec<i64> = (0..floats.len() as i64).map(|i| (seed * (i + 7)) % 401 - 200).collect();
            let values = values(&floats);
            let lowest = values.iter().filter_map(|v| match v { Value::Finite { exponent, .. } => Some(*exponent), _ => None }).min().unwrap_or(0);
            let highest = values.iter().filter_map(|v| match v { Value::Finite { exponent, .. } => Some(*exponent), _ => None }).max().unwrap_or(0);
            prop_assume!(highest - lowest <= 52);
            let encode = |(negative, integer, sticky, exponent)| F64.encode(negative, integer, sticky, exponent);
            prop_assert_eq!(encode(narrow_sum(&values, &numerators, whole, lowest)), encode(wide_sum(&values, &numerators, whole)));
        }
    }
}
