//! The float dtypes as types: what a loop is compiled for once each.

/// A float dtype.
pub(super) trait Element {
    /// Bytes of one element.
    type Word: Copy;
    /// Whole elements.
    fn words(bytes: &[u8]) -> &[Self::Word];
    /// Its value; exact, NaN and infinities stay non-finite.
    fn f64(word: Self::Word) -> f64;
}

/// A dtype that F32 holds.
pub(super) trait Narrow: Element {
    /// Its value; exact, NaN and infinities stay non-finite.
    fn f32(word: Self::Word) -> f32;
}

pub(super) struct Bf16;
pub(super) struct F16;
pub(super) struct F32;
pub(super) struct F64;

impl Narrow for Bf16 {
    #[inline(always)]
    fn f32(word: [u8; 2]) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(word)) << 16)
    }
}

impl Narrow for F16 {
    #[inline(always)]
    fn f32(word: [u8; 2]) -> f32 {
        let half = u32::from(u16::from_le_bytes(word));
        let (sign, magnitude) = ((half & 0x8000) << 16, (half & 0x7fff) << 13);
        // Normals by moving the exponent. Subnormals by a subtraction that is exact: 2^-14 + m·2^-24 less 2^-14.
        let normal = magnitude + (112 << 23);
        let special = magnitude + (224 << 23);
        let least_normal = f32::from_bits(113 << 23);
        let subnormal = (f32::from_bits(magnitude + (113 << 23)) - least_normal).to_bits();
        let bits = if magnitude < 0x400 << 13 { subnormal } else { normal };
        let bits = if magnitude < 0x7c00 << 13 { bits } else { special };
        f32::from_bits(bits | sign)
    }
}

impl Narrow for F32 {
    #[inline(always)]
    fn f32(word: [u8; 4]) -> f32 {
        f32::from_le_bytes(word)
    }
}

macro_rules! element {
    ($($name:ty, $size:expr, $word:ident => $value:expr);*) => {$(
        impl Element for $name {
            type Word = [u8; $size];
            #[inline(always)]
            fn words(bytes: &[u8]) -> &[Self::Word] {
                bytes.as_chunks().0
            }
            #[inline(always)]
            fn f64($word: Self::Word) -> f64 {
                $value
            }
        }
    )*};
}

element!(
    Bf16, 2, word => f64::from(Self::f32(word));
    F16, 2, word => f64::from(Self::f32(word));
    F32, 4, word => f64::from(Self::f32(word));
    F64, 8, word => f64::from_le_bytes(word)
);
