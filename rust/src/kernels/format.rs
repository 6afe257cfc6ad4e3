//! The four float formats as numbers: how bits become a value, and how an exact value becomes bits.

use crate::dtype::Dtype;

/// A binary floating-point format of at most 64 bits with IEEE 754 layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    /// Bytes of an element.
    pub(crate) bytes: usize,
    /// Significant bits, the hidden one included.
    pub(crate) precision: u32,
    /// Exponent of the least subnormal, `2^least`.
    pub(crate) least: i32,
    /// Bits of positive infinity; every larger magnitude is a NaN.
    pub(crate) infinity: u64,
    /// Bits of the canonical quiet NaN.
    pub(crate) nan: u64,
}

impl Format {
    /// The format of a float dtype; `None` for all others.
    pub(crate) const fn of(dtype: Dtype) -> Option<Self> {
        let (bytes, precision, least) = match dtype {
            Dtype::F16 => (2, 11, -24),
            Dtype::BF16 => (2, 8, -133),
            Dtype::F32 => (4, 24, -149),
            Dtype::F64 => (8, 53, -1074),
            _ => return None,
        };
        let exponent_bits = 8 * bytes as u32 - precision;
        let infinity = ((1u64 << exponent_bits) - 1) << (precision - 1);
        Some(Self { bytes, precision, least, infinity, nan: infinity | 1 << (precision - 2) })
    }

    /// Mask of the sign bit.
    pub(crate) const fn sign(self) -> u64 {
        1 << (8 * self.bytes - 1)
    }

    /// Element `index` of little-endian `bytes`.
    pub(crate) fn load(self, bytes: &[u8], index: usize) -> u64 {
        let mut word = [0; 8];
        word[..self.bytes].copy_from_slice(&bytes[index * self.bytes..][..self.bytes]);
        u64::from_le_bytes(word)
    }

    /// Write element `index` of little-endian `bytes`.
    pub(crate) fn store(self, bytes: &mut [u8], index: usize, bits: u64) {
        bytes[index * self.bytes..][..self.bytes].copy_from_slice(&bits.to_le_bytes()[..self.bytes]);
    }

    /// What `bits` mean.
    pub(crate) fn decode(self, bits: u64) -> Value {
        let negative = bits & self.sign() != 0;
        let magnitude = bits & (self.sign() - 1);
        if magnitude > self.infinity {
            return Value::Nan;
        }
        if magnitude == self.infinity {
            return Value::Infinity { negative };
        }
        let field = (magnitude >> (self.precision - 1)) as i32;
        let fraction = magnitude & ((1 << (self.precision - 1)) - 1);
        let hidden = u64::from(field > 0) << (self.precision - 1);
        Value::Finite { negative, mantissa: fraction | hidden, exponent: self.least + (field - 1).max(0) }
    }

    /// Bits of `±(integer + rest)·2^exponent`, nearest-even, where `rest` is in (0, 1) if `sticky` and 0 otherwise.
    ///
    /// `integer` must have at least two bits more than the precision if `sticky`.
    pub(crate) fn encode(self, negative: bool, integer: u128, sticky: bool, exponent: i32) -> u64 {
        let sign = if negative { self.sign() } else { 0 };
        if integer == 0 {
            return sign;
        }
        let top = 127 - integer.leading_zeros() as i32;
        // Exponent of the last bit kept: the format's precision below the top bit, but never below the least subnormal.
        let unit = (exponent + top - (self.precision as i32 - 1)).max(self.least);
        let drop = unit - exponent;
        let kept = match drop {
            ..=0 => integer << -drop,
            1..=127 => {
                let (kept, rest, half) = (integer >> drop, integer & ((1 << drop) - 1), 1u128 << (drop - 1));
                kept + u128::from(rest > half || rest == half && (sticky || kept & 1 == 1))
            }
            // Everything is dropped: more than half a unit only if the top bit is just below it.
            128 => u128::from(integer > 1 << 127 || integer == 1 << 127 && sticky),
            _ => 0,
        };
        // A hidden bit in `kept` raises the exponent field by one, as does a carry out of the rounding.
        let magnitude = kept + (((unit - self.least) as u128) << (self.precision - 1));
        sign | magnitude.min(u128::from(self.infinity)) as u64
    }
}

/// A float taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// Any NaN.
    Nan,
    /// An infinity.
    Infinity { negative: bool },
    /// `±mantissa·2^exponent`; zero has mantissa 0 and keeps its sign.
    Finite { negative: bool, mantissa: u64, exponent: i32 },
}

#[cfg(test)]
mod tests {
    use super::{Format, Value};
    use crate::dtype::Dtype;

    #[test]
    fn every_half_float_survives_decoding_and_encoding() {
        for dtype in [Dtype::F16, Dtype::BF16] {
            let format = Format::of(dtype).unwrap();
            for bits in 0..=u64::from(u16::MAX) {
                if let Value::Finite { negative, mantissa, exponent } = format.decode(bits) {
                    assert_eq!(format.encode(negative, u128::from(mantissa), false, exponent), bits);
                }
            }
        }
    }

    #[test]
    fn values_halfway_between_floats_go_to_the_even_one() {
        let bf16 = Format::of(Dtype::BF16).unwrap();
        assert_eq!(bf16.encode(false, 0x101, false, 0), bf16.encode(false, 0x100, false, 0));
        assert_eq!(bf16.encode(false, 0x103, false, 0), bf16.encode(false, 0x104, false, 0));
        assert_eq!(bf16.encode(true, 0x1011, false, 0), bf16.encode(true, 0x1020, false, 0));
        assert_eq!(bf16.encode(false, 0x1010, true, 0), bf16.encode(false, 0x1020, false, 0));
        assert_eq!(bf16.encode(false, 1, false, -134), 0, "half the least subnormal");
        assert_eq!(bf16.encode(false, 3, false, -135), 1);
        assert_eq!(bf16.encode(false, 0x1ff, false, 120), bf16.infinity, "past the largest finite");
    }
}
