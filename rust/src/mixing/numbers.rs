//! Stored floats as numbers; F64 holds all of them.

use crate::dtype::Dtype;

/// One of F64, F32, F16, BF16, or of the exponents that are `F8_E8M0`.
pub(super) fn number(dtype: Dtype, bytes: &[u8], index: usize) -> f64 {
    let size = dtype.bytes().expect("a float");
    let mut found = 0.0;
    numbers(dtype, &bytes[index * size..(index + 1) * size], |_, number| found = number);
    found
}

/// All of them, each with its place.
pub(super) fn numbers(dtype: Dtype, bytes: &[u8], mut put: impl FnMut(usize, f64)) {
    match dtype {
        Dtype::F64 => each(bytes, |i, bytes| put(i, f64::from_le_bytes(bytes))),
        Dtype::F32 => each(bytes, |i, bytes| put(i, f64::from(f32::from_le_bytes(bytes)))),
        Dtype::BF16 => each(bytes, |i, bytes| {
            put(i, f64::from(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)));
        }),
        Dtype::F16 => each(bytes, |i, bytes| put(i, small_float(u16::from_le_bytes(bytes), 5, 10, true))),
        // The exponent of a power of two; the last one is NaN.
        _ => each(bytes, |i, [byte]| {
            put(i, if byte == 255 { f64::NAN } else { f64::from_bits((u64::from(byte) + 1023 - 127) << 52) });
        }),
    }
}

fn each<const N: usize>(bytes: &[u8], mut put: impl FnMut(usize, [u8; N])) {
    bytes.as_chunks::<N>().0.iter().enumerate().for_each(|(i, &bytes)| put(i, bytes));
}

/// A float of at most 16 bits. Without infinities the last exponent is one like the others, and only its last fraction
/// is NaN.
pub(super) const fn small_float(
    bits: u16,
    exponent_bits: u32,
    fraction_bits: u32,
    has_infinity: bool,
) -> f64 {
    let sign = (bits as u64) >> (exponent_bits + fraction_bits) << 63;
    let fraction = bits as u64 & ((1 << fraction_bits) - 1);
    let field = bits as u64 >> fraction_bits & ((1 << exponent_bits) - 1);
    let last = field == (1 << exponent_bits) - 1;
    let middle = (1 << (exponent_bits - 1)) - 1;
    let magnitude = if last && (has_infinity || fraction == (1 << fraction_bits) - 1) {
        if has_infinity && fraction == 0 { f64::INFINITY } else { f64::NAN }
    } else if field == 0 {
        // Multiples of the least subnormal: exact, as both factors are.
        fraction as f64 * f64::from_bits((1023 + 1 - middle - fraction_bits as u64) << 52)
    } else {
        f64::from_bits((field + 1023 - middle) << 52 | fraction << (52 - fraction_bits))
    };
    f64::from_bits(magnitude.to_bits() & (u64::MAX >> 1) | sign)
}

#[cfg(test)]
mod tests {
    use super::number;
    use crate::dtype::Dtype;

    #[test]
    fn numbers_of_every_dtype_are_read() {
        let check = |dtype: Dtype, bytes: &[u8], expected: f64| {
            assert_eq!(number(dtype, bytes, 0).to_bits(), expected.to_bits(), "{dtype}");
        };
        check(Dtype::F64, &1.1f64.to_le_bytes(), 1.1);
        check(Dtype::F32, &1.1f32.to_le_bytes(), f64::from(1.1f32));
        check(Dtype::BF16, &0x3f80u16.to_le_bytes(), 1.0);
        check(Dtype::F16, &0x3c01u16.to_le_bytes(), 1.0 + 2f64.powi(-10));
        check(Dtype::F8_E8M0, &[0], 2f64.powi(-127));
        check(Dtype::F8_E8M0, &[254], 2f64.powi(127));
        assert!(number(Dtype::F8_E8M0, &[255], 0).is_nan());
    }
}
