//! The fast path: one loop over blocks of elements, compiled once per instruction set by the compiler's vectoriser.
//!
//! A block is accumulated in f64, divided and narrowed, all lanes alike; then the lanes that were not provably exact
//! are recomputed by [`super::exact`]. Per lane the proof is one comparison of magnitudes. Let `m` be the significant
//! bits of the input format, `B` those of `Σ|p_i|`, `lo` and `hi` the smallest nonzero and the largest `|x_i|`:
//!
//! * every product `p_i·x_i` is exact (at most 28 + 20 bits), and every partial sum is a multiple of the last bit of
//!   `lo` below `2^B·hi`: it has at most `W = B + m + log2(hi/lo)` bits. The lane passes if `W <= 50`.
//! * `s / q` then differs from any number `t` of up to 25 bits (a float of the output format, or the point halfway
//!   between two) by 0 or by more than `2^-50` relative: `s - q·t` is a multiple of the last bit of `s`, or of that of
//!   `q·t`, which is above `2^-45·|q·t|`. The computed quotient is within `2^-52`, and it equals `s / q` where that
//!   is representable (the correction step moves an estimate within two units onto it). So rounding the computed
//!   quotient to the output format gives what rounding `s / q` would.
//! * for F64 output the quotient is a hardware division, correctly rounded by itself.

use super::format::Format;
use super::{Request, Tally};
use crate::dtype::Dtype;

/// Elements of a block: its accumulators and extremes stay in the first-level cache.
pub(super) const BLOCK: usize = 512;

/// An input format that has a fast path; `Bits` holds one element.
pub(super) trait Input {
    /// Unsigned integer of the element's size.
    type Bits: Copy + Ord + Default;
    /// The format.
    const FORMAT: Format;
    /// Most significant bits of an element that can be shown to be exact.
    const SIGNIFICANT: u32 = Self::FORMAT.precision;
    /// Nothing seen yet: the identity of `min`.
    const HIGHEST: Self::Bits;
    /// Element `index` of a block.
    fn load(bytes: &[u8], index: usize) -> Self::Bits;
    /// Its value; exact.
    fn widen(bits: Self::Bits) -> f64;
    /// Its magnitude as an integer: monotone in |x|.
    fn magnitude(bits: Self::Bits) -> Self::Bits;
    /// One less, wrapping: zero becomes the highest, so that a minimum passes over zeros.
    fn before(magnitude: Self::Bits) -> Self::Bits;
    /// `hi` is finite and exceeds `lo`, given less one, by no more than `window`.
    fn exact(hi: Self::Bits, before_lo: Self::Bits, window: Self::Bits) -> bool;
    /// A window of `exponents` binades.
    fn window(exponents: u32) -> Self::Bits;
}

macro_rules! input {
    ($name:ident, $dtype:expr, $bits:ty, $widen:expr) => {
        pub(super) struct $name;
        impl Input for $name {
            type Bits = $bits;
            const FORMAT: Format = match Format::of($dtype) {
                Some(format) => format,
                None => panic!("a float"),
            };
            const HIGHEST: $bits = <$bits>::MAX;
            #[inline(always)]
            fn load(bytes: &[u8], index: usize) -> $bits {
                // Chunks of a fixed size, not a slice of a computed one: that has become a call of memcpy for each
                // element once, and the loop a third as fast.
                <$bits>::from_le_bytes(bytes.as_chunks().0[index])
            }
            #[inline(always)]
            fn widen(bits: $bits) -> f64 {
                $widen(bits)
            }
            #[inline(always)]
            fn magnitude(bits: $bits) -> $bits {
                bits & (<$bits>::MAX >> 1)
            }
            #[inline(always)]
            fn before(magnitude: $bits) -> $bits {
                magnitude.wrapping_sub(1)
            }
            #[inline(always)]
            fn exact(hi: $bits, before_lo: $bits, window: $bits) -> bool {
                const LAST: $bits = <$name as Input>::FORMAT.infinity as $bits - 1;
                hi <= before_lo.saturating_add(window).min(LAST)
            }
            fn window(exponents: u32) -> $bits {
                let last = u64::from(<$bits>::MAX);
                (u64::from(exponents) << (Self::FORMAT.precision - 1)).min(last) as $bits
            }
        }
    };
}

input!(FromBf16, Dtype::BF16, u16, |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16)));
input!(FromF16, Dtype::F16, u16, widen_f16);
input!(FromF32, Dtype::F32, u32, |bits: u32| f64::from(f32::from_bits(bits)));

/// F64 whose last [`LONG`] bits are zero, as those of a code times its scale: what is longer shows no way to be exact.
pub(super) struct FromF64;
/// The bits that a short F64 lacks.
const LONG: u64 = (1 << (53 - FromF64::SIGNIFICANT)) - 1;
/// `2^900`: up to it, and down to its inverse, no sum of products overflows and no quotient is subnormal.
const FAR: u64 = 900 << 52;
const ONE: u64 = 1023 << 52;

impl Input for FromF64 {
    type Bits = u64;
    const FORMAT: Format = match Format::of(Dtype::F64) {
        Some(format) => format,
        None => panic!("a float"),
    };
    const SIGNIFICANT: u32 = 28;
    const HIGHEST: u64 = u64::MAX;
    #[inline(always)]
    fn load(bytes: &[u8], index: usize) -> u64 {
        u64::from_le_bytes(bytes.as_chunks().0[index])
    }
    #[inline(always)]
    fn widen(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
    /// Above every finite one if it is long, so that its lane does not pass.
    #[inline(always)]
    fn magnitude(bits: u64) -> u64 {
        let magnitude = bits & (u64::MAX >> 1);
        if bits & LONG == 0 { magnitude } else { u64::MAX }
    }
    #[inline(always)]
    fn before(magnitude: u64) -> u64 {
        magnitude.wrapping_sub(1)
    }
    #[inline(always)]
    fn exact(hi: u64, before_lo: u64, window: u64) -> bool {
        hi <= before_lo.saturating_add(window).min(ONE + FAR) && before_lo >= ONE - FAR
    }
    fn window(exponents: u32) -> u64 {
        u64::from(exponents) << 52
    }
}

/// F16 to f64 by moving the fields: the scaled product is exact for normals and subnormals alike.
#[inline(always)]
fn widen_f16(bits: u16) -> f64 {
    // Exponent and fraction at their place in an f32, which reads them 2^112 too small.
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13);
    f64::from(magnitude) * SCALE_F16 * if bits >> 15 == 1 { -1.0 } else { 1.0 }
}
/// `2^112`, the difference of the exponent biases of F32 and F16.
const SCALE_F16: f64 = f64::from_bits((1023 + 112) << 52);

/// A chunk of any float dtype but F64 as F32; exact, infinities and NaNs included.
#[inline(always)]
pub(super) fn widen_to_f32(input: &[u8], dtype: Dtype, output: &mut [u8]) {
    let words = output.as_chunks_mut::<4>().0;
    let halves = input.as_chunks::<2>().0.iter().map(|&half| u16::from_le_bytes(half));
    match dtype {
        Dtype::BF16 => {
            words
                .iter_mut()
                .zip(halves)
                .for_each(|(word, half)| *word = (u32::from(half) << 16).to_le_bytes());
        }
        Dtype::F16 => words.iter_mut().zip(halves).for_each(|(word, half)| {
            let finite = (widen_f16(half) as f32).to_bits();
            let special = u32::from(half & 0x8000) << 16 | 0x7f80_0000 | u32::from(half & 0x3ff) << 13;
            *word = if half & 0x7c00 == 0x7c00 { special } else { finite }.to_le_bytes();
        }),
        _ => output.copy_from_slice(input),
    }
}

/// A chunk of any float dtype as F64; exact, infinities and NaNs included.
#[inline(always)]
pub(super) fn widen_to_f64(input: &[u8], dtype: Dtype, output: &mut [u8]) {
    let words = output.as_chunks_mut::<8>().0;
    let halves = input.as_chunks::<2>().0.iter().map(|&half| u16::from_le_bytes(half));
    match dtype {
        Dtype::BF16 => words.iter_mut().zip(halves).for_each(|(word, half)| {
            *word = FromBf16::widen(half).to_le_bytes();
        }),
        Dtype::F16 => words.iter_mut().zip(halves).for_each(|(word, half)| {
            let special = u64::from(half & 0x8000) << 48 | 0x7ff << 52 | u64::from(half & 0x3ff) << 42;
            let finite = widen_f16(half).to_bits();
            *word = if half & 0x7c00 == 0x7c00 { special } else { finite }.to_le_bytes();
        }),
        Dtype::F32 => words.iter_mut().zip(input.as_chunks::<4>().0).for_each(|(word, &single)| {
            *word = FromF32::widen(u32::from_le_bytes(single)).to_le_bytes();
        }),
        _ => output.copy_from_slice(input),
    }
}

/// What a block is narrowed to.
pub(super) trait Output {
    /// The format.
    const FORMAT: Format;
    /// `sum / whole`, close enough for this format (see the module's proof); `reciprocal` is `1 / whole`, rounded.
    #[inline(always)]
    fn divide(sum: f64, whole: f64, reciprocal: f64) -> f64 {
        let estimate = sum * reciprocal;
        let rest = (-whole).mul_add(estimate, sum);
        // The sign is put back because -0 + 0 = 0.
        rest.mul_add(reciprocal, estimate).copysign(sum)
    }
    /// Round once, nearest-even, and store as element `index`. Returns the magnitude's bits.
    fn store(value: f64, bytes: &mut [u8], index: usize) -> u64;
}

/// Narrow an f64 to a 16-bit format: bits of the magnitude. Branch-free, so that it vectorises.
#[inline(always)]
fn narrow(magnitude: u64, format: Format) -> u64 {
    let drop = 53 - format.precision;
    let half = (1u64 << (drop - 1)) - 1;
    let rounded = (magnitude + half + (magnitude >> drop & 1)) >> drop;
    // Field of the least normal exponent is 1.
    let bias = ((1023 + format.least + format.precision as i32 - 2) as u64) << (format.precision - 1);
    let normal = rounded.wrapping_sub(bias);
    // Below the least normal, adding 2^52 least subnormals makes the addition round at the right place.
    let anchor = ((1023 + 52 + format.least) as u64) << 52;
    let subnormal = (f64::from_bits(magnitude) + f64::from_bits(anchor)).to_bits().wrapping_sub(anchor);
    let least_normal = ((1023 + format.least + format.precision as i32 - 1) as u64) << 52;
    if magnitude < least_normal { subnormal } else { normal.min(format.infinity) }
}

macro_rules! half_output {
    ($name:ident, $dtype:expr) => {
        pub(super) struct $name;
        impl Output for $name {
            const FORMAT: Format = match Format::of($dtype) {
                Some(format) => format,
                None => panic!("a float"),
            };
            #[inline(always)]
            fn store(value: f64, bytes: &mut [u8], index: usize) -> u64 {
                let bits = value.to_bits();
                let magnitude = narrow(bits & (u64::MAX >> 1), Self::FORMAT);
                let word = (magnitude | bits >> 63 << 15) as u16;
                bytes.as_chunks_mut().0[index] = word.to_le_bytes();
                magnitude
            }
        }
    };
}

half_output!(ToBf16, Dtype::BF16);
half_output!(ToF16, Dtype::F16);

pub(super) struct ToF32;
impl Output for ToF32 {
    const FORMAT: Format = match Format::of(Dtype::F32) {
        Some(format) => format,
        None => panic!("a float"),
    };
    #[inline(always)]
    fn store(value: f64, bytes: &mut [u8], index: usize) -> u64 {
        let word = (value as f32).to_bits();
        bytes.as_chunks_mut().0[index] = word.to_le_bytes();
        u64::from(word & (u32::MAX >> 1))
    }
}

pub(super) struct ToF64;
impl Output for ToF64 {
    const FORMAT: Format = match Format::of(Dtype::F64) {
        Some(format) => format,
        None => panic!("a float"),
    };
    #[inline(always)]
    fn divide(sum: f64, whole: f64, _reciprocal: f64) -> f64 {
        sum / whole
    }
    #[inline(always)]
    fn store(value: f64, bytes: &mut [u8], index: usize) -> u64 {
        bytes.as_chunks_mut().0[index] = value.to_le_bytes();
        value.to_bits() & (u64::MAX >> 1)
    }
}

/// One chunk whose inputs all have the format of `I`, in blocks of `BLOCK` elements.
#[inline(always)]
pub(super) fn mean<I: Input, O: Output, const BLOCK: usize>(
    request: &Request<'_>,
    output: &mut [u8],
    tally: &mut Tally,
) {
    let elements = output.len() / O::FORMAT.bytes;
    // Bits of the sum of |numerators|, rounded up: hi/lo below 2^(50 - m - B) keeps W <= 50.
    let parts_bits = u64::BITS - (request.parts_sum() - 1).leading_zeros();
    let window = I::window(50 - I::SIGNIFICANT - parts_bits);
    let (whole, reciprocal) = (request.whole as f64, 1.0 / request.whole as f64);
    let infinity = O::FORMAT.infinity;

    let mut sums = [0f64; BLOCK];
    let mut highest = [I::Bits::default(); BLOCK];
    let mut lowest = [I::HIGHEST; BLOCK];
    for start in (0..elements).step_by(BLOCK) {
        let count = BLOCK.min(elements - start);
        for (k, (input, &numerator)) in request.inputs.iter().zip(request.numerators).enumerate() {
            let bytes = &input[start * I::FORMAT.bytes..(start + count) * I::FORMAT.bytes];
            let part = numerator as f64;
            let lanes = sums[..count].iter_mut().zip(&mut highest[..count]).zip(&mut lowest[..count]);
            if k == 0 {
                // The first product starts the sum: from +0 a sum of negative zeros would lose its sign.
                for (i, ((sum, hi), lo)) in lanes.enumerate() {
                    let bits = I::load(bytes, i);
                    *sum = part * I::widen(bits);
                    *hi = I::magnitude(bits);
                    *lo = I::before(*hi);
                }
            } else {
                for (i, ((sum, hi), lo)) in lanes.enumerate() {
                    let bits = I::load(bytes, i);
                    *sum = part.mul_add(I::widen(bits), *sum);
                    let magnitude = I::magnitude(bits);
                    *hi = (*hi).max(magnitude);
                    *lo = (*lo).min(I::before(magnitude));
                }
            }
        }
        let block = &mut output[start * O::FORMAT.bytes..(start + count) * O::FORMAT.bytes];
        let mut inexact = false;
        for (&hi, &lo) in highest[..count].iter().zip(&lowest[..count]) {
            inexact |= !I::exact(hi, lo, window);
        }
        let mut largest = 0;
        for (i, &sum) in sums[..count].iter().enumerate() {
            largest = O::store(O::divide(sum, whole, reciprocal), block, i).max(largest);
        }
        if inexact {
            for i in 0..count {
                if !I::exact(highest[i], lowest[i], window) {
                    request.exact_element(start + i, output, tally);
                }
            }
        }
        if largest >= infinity {
            // Rare: finite inputs that the output format cannot hold.
            for i in 0..count {
                let created = O::FORMAT.load(output, start + i) & (O::FORMAT.sign() - 1) == infinity;
                if created && I::exact(highest[i], lowest[i], window) {
                    tally.created(start + i);
                }
            }
        }
    }
}
