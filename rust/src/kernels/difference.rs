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

use super::element::{Bf16, Element, F16, F32, F64, Narrow};
use super::format::{Format, Value};
use crate::dtype::Dtype;

/// Elements that are passed over, or looked at again, together.
pub(super) const BLOCK: usize = 2048;
/// Bits of infinity; those of every NaN are more.
const INFINITY: u64 = f64::INFINITY.to_bits();

/// The same elements of a soup and of an ingredient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) output: &'a [u8],
    pub(super) output_dtype: Dtype,
    pub(super) input: &'a [u8],
    pub(super) input_dtype: Dtype,
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
pub(super) fn widened(negative: bool, mantissa: u64, exponent: i32) -> f64 {
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

/// Pairs without F64: block by block, in f64 only where f32 does not settle it.
#[inline(always)]
fn blocks<O: Narrow, I: Narrow>(pair: &Pair<'_>, known: f64) -> f64 {
    let (mut largest, mut threshold) = (known, known as f32);
    let (outputs, inputs) = (O::words(pair.output), I::words(pair.input));
    for (outputs, inputs) in outputs.chunks(BLOCK).zip(inputs.chunks(BLOCK)) {
        let rough = rough::<O, I>(outputs, inputs);
        // Zero in f32 is zero: a difference of two floats is no smaller than their last bits.
        if rough > 0 && rough >= threshold.to_bits() {
            let precise = precise::<O, I>(outputs, inputs);
            if precise > largest {
                (largest, threshold) = (precise, precise as f32);
            }
        }
    }
    largest
}

/// Bits of the largest difference, rounded to f32; those of a NaN or of infinity if an element is one. Floats that are
/// not negative have the order of their bits, and a maximum of integers is what compilers vectorise.
#[inline(always)]
fn rough<O: Narrow, I: Narrow>(outputs: &[O::Word], inputs: &[I::Word]) -> u32 {
    let mut largest = 0;
    for (&output, &input) in outputs.iter().zip(inputs) {
        largest = largest.max((O::f32(output) - I::f32(input)).abs().to_bits());
    }
    largest
}

/// The largest difference of finite elements.
#[inline(always)]
fn precise<O: Narrow, I: Narrow>(outputs: &[O::Word], inputs: &[I::Word]) -> f64 {
    let mut largest = 0;
    for (&output, &input) in outputs.iter().zip(inputs) {
        let difference = (O::f64(output) - I::f64(input)).abs().to_bits();
        // Infinite or NaN only where an element is: no difference of two F32 overflows an f64.
        largest = largest.max(if difference < INFINITY { difference } else { 0 });
    }
    f64::from_bits(largest)
}

/// Pairs with F64, whose differences can overflow.
#[inline(always)]
fn wide<O: Element, I: Element>(pair: &Pair<'_>, known: f64) -> f64 {
    let mut largest = known.to_bits();
    for (&output, &input) in O::words(pair.output).iter().zip(I::words(pair.input)) {
        let (output, input) = (O::f64(output), I::f64(input));
        let difference = (output - input).abs().to_bits().min(INFINITY - 1);
        let finite = (output.abs().to_bits() < INFINITY) & (input.abs().to_bits() < INFINITY);
        largest = largest.max(if finite { difference } else { 0 });
    }
    f64::from_bits(largest)
}
