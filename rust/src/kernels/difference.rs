//! How far a soup is from an ingredient: the largest `|soup − ingredient|` of a tensor.
//!
//! The result is the exact maximum rounded once to f64: every float dtype widens to f64 exactly, a subtraction is
//! rounded once, and rounding is monotone, so the largest rounded difference is the rounded largest difference. It is
//! exact wherever both magnitudes lie within 2^29 of each other (two F16 always do), and it is the same for every
//! kernel set and chunk. Elements of which one side is NaN or infinite have no difference and are skipped; they are
//! counted in [`super::Tally`]. F64 differences beyond the largest f64 count as that.
//!
//! Speed comes from f32, which has twice the lanes: rounding to f32 is monotone too, so a block whose largest f32
//! difference is below the f32 of the largest one known holds nothing new and is not looked at again. All but a few
//! blocks of a tensor are of that kind.

use super::Kernels;
use super::format::{Format, Value};
use crate::dtype::Dtype;

/// Elements that are passed over, or looked at again, together.
const BLOCK: usize = 2048;
/// Maxima kept side by side, so that none waits for the one before.
const LANES: usize = 32;

/// The largest differences of one tensor, by ingredient.
#[derive(Debug, Clone, PartialEq)]
pub struct Differences {
    largest: Vec<f64>,
}

/// The same elements of a soup and of an ingredient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) output: &'a [u8],
    pub(super) output_dtype: Dtype,
    pub(super) input: &'a [u8],
    pub(super) input_dtype: Dtype,
}

impl Differences {
    /// Nothing compared yet, for `ingredients` of them.
    pub fn new(ingredients: usize) -> Self {
        Self { largest: vec![0.0; ingredients] }
    }

    /// Take in a chunk of the soup and the same elements of an ingredient. Integers are copied only where they are
    /// equal, so they add nothing.
    ///
    /// # Panics
    /// If the chunks differ in their number of elements: a bug in the caller.
    pub fn record(
        &mut self,
        ingredient: usize,
        output: &[u8],
        output_dtype: Dtype,
        input: &[u8],
        input_dtype: Dtype,
    ) {
        let kernels = Kernels::choose(None).expect("there is always a kernel set");
        let largest = &mut self.largest[ingredient];
        *largest = kernels.difference(Pair { output, output_dtype, input, input_dtype }, *largest);
    }

    /// Take in what was found in other chunks of the same tensor.
    ///
    /// # Panics
    /// If `other` has another number of ingredients: a bug in the caller.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.largest.len(), other.largest.len(), "as many ingredients");
        for (mine, &theirs) in self.largest.iter_mut().zip(&other.largest) {
            *mine = mine.max(theirs);
        }
    }

    /// The largest differences, finite and not negative.
    pub fn values(&self) -> &[f64] {
        &self.largest
    }

    /// The same as text: the shortest decimal that is read back as the same f64, with an exponent below 1e-5 and from
    /// 1e16 on.
    pub fn texts(&self) -> Vec<String> {
        self.largest.iter().map(|&value| text(value)).collect()
    }
}

/// Largest `|output − input|` of a chunk, 0 for an empty one.
///
/// # Panics
/// If the chunks differ in their number of elements: a bug in the caller.
pub fn max_difference(output: &[u8], output_dtype: Dtype, input: &[u8], input_dtype: Dtype) -> f64 {
    let mut differences = Differences::new(1);
    differences.record(0, output, output_dtype, input, input_dtype);
    differences.largest[0]
}

fn text(value: f64) -> String {
    let text = format!("{value:?}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

impl Kernels {
    /// The larger of `known` and the largest difference of a pair.
    fn difference(&self, pair: Pair<'_>, known: f64) -> f64 {
        let (Some(output), Some(input)) = (Format::of(pair.output_dtype), Format::of(pair.input_dtype))
        else {
            return known;
        };
        let elements = pair.output.len() / output.bytes;
        assert_eq!(pair.output.len(), elements * output.bytes, "whole output elements");
        assert_eq!(pair.input.len(), elements * input.bytes, "as many elements in as out");
        (self.difference)(&pair, known)
    }
}

/// The definition: element by element.
pub(super) fn by_definition(pair: &Pair<'_>, known: f64) -> f64 {
    let value = |bytes, dtype, index| {
        let format = Format::of(dtype).expect("checked by `Kernels::difference`");
        match format.decode(format.load(bytes, index)) {
            Value::Finite { negative, mantissa, exponent } => Some(widened(negative, mantissa, exponent)),
            _ => None,
        }
    };
    let elements = pair.output.len() / Format::of(pair.output_dtype).expect("checked").bytes;
    (0..elements).fold(known, |largest, index| {
        let output = value(pair.output, pair.output_dtype, index);
        let input = value(pair.input, pair.input_dtype, index);
        match (output, input) {
            (Some(output), Some(input)) => largest.max((output - input).abs().min(f64::MAX)),
            _ => largest,
        }
    })
}

/// `±mantissa·2^exponent` as f64; exact for every format.
fn widened(negative: bool, mantissa: u64, exponent: i32) -> f64 {
    let format = Format::of(Dtype::F64).expect("a float");
    f64::from_bits(format.encode(negative, u128::from(mantissa), false, exponent))
}

/// The fast path, compiled once per instruction set.
#[inline(always)]
pub(super) fn fast(pair: &Pair<'_>, known: f64) -> f64 {
    macro_rules! against {
        ($output:ty) => {
            match pair.input_dtype {
                Dtype::BF16 => blocks::<$output, Bf16>(pair, known),
                Dtype::F16 => blocks::<$output, F16>(pair, known),
                Dtype::F32 => blocks::<$output, F32>(pair, known),
                _ => wide::<$output, F64>(pair, known),
            }
        };
    }
    match (pair.output_dtype, pair.input_dtype) {
        (Dtype::BF16, _) => against!(Bf16),
        (Dtype::F16, _) => against!(F16),
        (Dtype::F32, _) => against!(F32),
        (_, Dtype::BF16) => wide::<F64, Bf16>(pair, known),
        (_, Dtype::F16) => wide::<F64, F16>(pair, known),
        (_, Dtype::F32) => wide::<F64, F32>(pair, known),
        _ => wide::<F64, F64>(pair, known),
    }
}

/// A dtype whose elements have `SIZE` bytes.
trait Element {
    const SIZE: usize;
    /// Element `index`; exact, NaN and infinities stay what they are.
    fn f64(bytes: &[u8], index: usize) -> f64;
}

/// A dtype that F32 holds.
trait Narrow: Element {
    /// Element `index`; exact, NaN and infinities stay non-finite.
    fn f32(bytes: &[u8], index: usize) -> f32;
}

struct Bf16;
struct F16;
struct F32;
struct F64;

#[inline(always)]
fn word<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
    let mut word = [0; N];
    word.copy_from_slice(&bytes[index * N..(index + 1) * N]);
    word
}

impl Narrow for Bf16 {
    #[inline(always)]
    fn f32(bytes: &[u8], index: usize) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(word(bytes, index))) << 16)
    }
}

impl Narrow for F16 {
    #[inline(always)]
    fn f32(bytes: &[u8], index: usize) -> f32 {
        let half = u32::from(u16::from_le_bytes(word(bytes, index)));
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
    fn f32(bytes: &[u8], index: usize) -> f32 {
        f32::from_le_bytes(word(bytes, index))
    }
}

macro_rules! element_by_f32 {
    ($($name:ty, $size:expr);*) => {$(
        impl Element for $name {
            const SIZE: usize = $size;
            #[inline(always)]
            fn f64(bytes: &[u8], index: usize) -> f64 {
                f64::from(<$name as Narrow>::f32(bytes, index))
            }
        }
    )*};
}

element_by_f32!(Bf16, 2; F16, 2; F32, 4);

impl Element for F64 {
    const SIZE: usize = 8;
    #[inline(always)]
    fn f64(bytes: &[u8], index: usize) -> f64 {
        f64::from_le_bytes(word(bytes, index))
    }
}

/// Pairs without F64: block by block, in f64 only where f32 does not settle it.
#[inline(always)]
fn blocks<O: Narrow, I: Narrow>(pair: &Pair<'_>, known: f64) -> f64 {
    let (mut largest, mut threshold) = (known, known as f32);
    for (output, input) in pair.output.chunks(BLOCK * O::SIZE).zip(pair.input.chunks(BLOCK * I::SIZE)) {
        let rough =
            maximum::<f32, O, I>(output, input, |index| (O::f32(output, index) - I::f32(input, index)).abs());
        // Zero in f32 is zero: a difference of two floats is no smaller than their last bits.
        if rough > 0.0 && rough >= threshold {
            let precise = maximum::<f64, O, I>(output, input, |index| {
                // Infinite or NaN only where an element is: no difference of two F32 overflows an f64.
                let difference = (O::f64(output, index) - I::f64(input, index)).abs();
                if difference < f64::INFINITY { difference } else { 0.0 }
            });
            if precise > largest {
                (largest, threshold) = (precise, precise as f32);
            }
        }
    }
    largest
}

/// Pairs with F64, whose differences can overflow.
#[inline(always)]
fn wide<O: Element, I: Element>(pair: &Pair<'_>, known: f64) -> f64 {
    let found = maximum::<f64, O, I>(pair.output, pair.input, |index| {
        let (output, input) = (O::f64(pair.output, index), I::f64(pair.input, index));
        let difference = (output - input).abs();
        let difference = if difference < f64::MAX { difference } else { f64::MAX };
        let finite = (output.abs() < f64::INFINITY) & (input.abs() < f64::INFINITY);
        if finite { difference } else { 0.0 }
    });
    if found > known { found } else { known }
}

/// Largest value of `of` over all elements, at least zero; NaN is passed over.
#[inline(always)]
fn maximum<T: Copy + Default + PartialOrd, O: Element, I: Element>(
    output: &[u8],
    input: &[u8],
    of: impl Fn(usize) -> T,
) -> T {
    let larger = |a: T, b: T| if a > b { a } else { b };
    let elements = (output.len() / O::SIZE).min(input.len() / I::SIZE);
    let mut lanes = [T::default(); LANES];
    for first in (0..elements / LANES * LANES).step_by(LANES) {
        for (lane, largest) in lanes.iter_mut().enumerate() {
            *largest = larger(of(first + lane), *largest);
        }
    }
    let rest = (elements / LANES * LANES..elements).fold(T::default(), |largest, i| larger(of(i), largest));
    lanes.into_iter().fold(rest, |largest, lane| larger(lane, largest))
}

#[cfg(test)]
mod tests;
