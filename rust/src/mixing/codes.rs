//! FP8 codes times their scales, exactly: a code has at most 4 significant bits and a scale at most 24, so a product has
//! room in an F64, and its exponent too.

use super::numbers::{number, small_float};
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
    let mut values = values.as_chunks_mut::<8>().0.iter_mut();
    let mut rest = codes.bytes;
    for (count, place) in scales.runs(codes.first..codes.first + codes.bytes.len() as u64) {
        let scale = number(scales.dtype, bytes, (place - start) as usize);
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

#[cfg(test)]
mod tests {
    use super::{E4M3, E5M2};

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
}
