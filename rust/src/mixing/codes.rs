//! FP8 codes times their scales, exactly: a code has at most 4 significant bits and a scale at most 24, so a product has
//! room in an F64, and its exponent too.

use crate::dtype::Dtype;
use crate::plan::Scales;

/// A stretch of codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes<'a> {
    pub(super) dtype: Dtype,
    pub(super) bytes: &'a [u8],
    /// The number of the first one in its tensor.
    pub(super) first: u64,
}

/// Write the value of each code. `bytes` holds scales from number `start` on.
pub(super) fn scale(codes: Codes<'_>, scales: &Scales, start: u64, bytes: &[u8], values: &mut [u8]) {
    let table = match codes.dtype {
        Dtype::F8_E5M2 => &E5M2,
        _ => &E4M3,
    };
    let size = scales.dtype.bytes().expect("a float");
    let mut values = values.as_chunks_mut::<8>().0.iter_mut();
    let mut rest = codes.bytes;
    for (count, number) in scales.runs(codes.first..codes.first + codes.bytes.len() as u64) {
        let at = (number - start) as usize * size;
        let scale = number_of(scales.dtype, &bytes[at..at + size]);
        let (run, behind) = rest.split_at(count);
        rest = behind;
        // The run comes first: a pair that ends takes nothing from what comes after.
        for (&code, value) in run.iter().zip(values.by_ref()) {
            let product = table[usize::from(code)] * scale;
            // Processors make NaNs of their own.
            *value = if product.is_nan() { f64::NAN } else { product }.to_le_bytes();
        }
    }
}

/// A scale as a number.
fn number_of(dtype: Dtype, bytes: &[u8]) -> f64 {
    let half = || u16::from_le_bytes([bytes[0], bytes[1]]);
    match dtype {
        Dtype::F32 => f64::from(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
        Dtype::BF16 => f64::from(f32::from_bits(u32::from(half()) << 16)),
        Dtype::F16 => small_float(half(), 5, 10, true),
        // The exponent of a power of two; the last one is NaN.
        _ if bytes[0] == 255 => f64::NAN,
        _ => f64::from_bits((u64::from(bytes[0]) + 1023 - 127) << 52),
    }
}

static E4M3: [f64; 256] = table(4, 3, false);
static E5M2: [f64; 256] = table(5, 2, true);

const fn table(exponent_bits: u32, fraction_bits: u32, has_infinity: bool) -> [f64; 256] {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = small_float(code as u16, exponent_bits, fraction_bits, has_infinity);
        code += 1;
    }
    table
}

/// A float of at most 16 bits. Without infinities the last exponent is one like the others, and only its last fraction
/// is NaN.
const fn small_float(bits: u16, exponent_bits: u32, fraction_bits: u32, has_infinity: bool) -> f64 {
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
    use super::{E4M3, E5M2, number_of};
    use crate::dtype::Dtype;

    #[test]
    fn the_ends_of_the_formats_are_those_of_their_definition() {
        let check = |table: &[f64; 256], code: usize, value: f64| {
            assert_eq!(table[code].to_bits(), value.to_bits(), "{code:#x}");
            assert_eq!(table[code | 0x80].to_bits(), (-value).to_bits(), "{code:#x}");
        };
        check(&E4M3, 0x00, 0.0);
        check(&E4M3, 0x01, 2f64.powi(-9));
        check(&E4M3, 0x07, 7.0 * 2f64.powi(-9));
        check(&E4M3, 0x08, 2f64.powi(-6));
        check(&E4M3, 0x38, 1.0);
        check(&E4M3, 0x7e, 448.0);
        check(&E5M2, 0x01, 2f64.powi(-16));
        check(&E5M2, 0x04, 2f64.powi(-14));
        check(&E5M2, 0x3c, 1.0);
        check(&E5M2, 0x7b, 57344.0);
        check(&E5M2, 0x7c, f64::INFINITY);
        let nans = |table: &[f64; 256]| (0..256).filter(|&code| table[code].is_nan()).collect::<Vec<_>>();
        assert_eq!(nans(&E4M3), [0x7f, 0xff]);
        assert_eq!(nans(&E5M2), [0x7d, 0x7e, 0x7f, 0xfd, 0xfe, 0xff]);
    }

    #[test]
    fn scales_of_every_dtype_are_read() {
        assert_eq!(number_of(Dtype::F32, &1.1f32.to_le_bytes()).to_bits(), f64::from(1.1f32).to_bits());
        assert_eq!(number_of(Dtype::BF16, &0x3f80u16.to_le_bytes()).to_bits(), 1f64.to_bits());
        assert_eq!(
            number_of(Dtype::F16, &0x3c01u16.to_le_bytes()).to_bits(),
            (1.0 + 2f64.powi(-10)).to_bits()
        );
        assert_eq!(number_of(Dtype::F8_E8M0, &[0]).to_bits(), 2f64.powi(-127).to_bits());
        assert_eq!(number_of(Dtype::F8_E8M0, &[254]).to_bits(), 2f64.powi(127).to_bits());
        assert!(number_of(Dtype::F8_E8M0, &[255]).is_nan());
    }
}
