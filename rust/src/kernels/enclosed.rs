//! Means of elements of which some are known but for a radius: rounded where that is not in doubt, left to the definition
//! where it is.
//!
//! With `u = 2^-53` and `n` ingredients, the f64 sum of the products is within `(n + 1)·u·M` of the exact one, where
//! `M = Σ|p_i·v_i|`, and what the ingredients may be off adds `R = Σ|p_i|·e_i`. The quotient, and its sum and difference
//! with the radius, round once each: `ρ = (R + (n + 6)·u·M) / q` bounds them all. If the ends `m - ρ` and `m + ρ` round to
//! the same float of the output dtype then so does the exact mean between them, for rounding is monotone.

use super::exact;
use super::format::{Format, Value};
use super::low_rank::{SLACK, UNIT};
use super::tally::Tally;
use super::vector::{Output, ToBf16, ToF16, ToF32, ToF64, widen_to_f64};
use crate::dtype::Dtype;

/// Most elements at a time.
pub(crate) const MOST: usize = 512;
/// More than an f64 loses below its normal range.
const LEAST: f64 = f64::from_bits(1 << 10);

/// Elements of one ingredient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// What they are, or are near.
    pub(crate) values: &'a [u8],
    /// A float dtype.
    pub(crate) dtype: Dtype,
    /// How far off each may be, in F64.
    pub(crate) radii: Option<&'a [u8]>,
}

/// The same elements of every ingredient that takes part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enclosed<'a> {
    /// All of the same number.
    pub(crate) inputs: &'a [Input<'a>],
    /// Their numerators, none of them zero.
    pub(crate) numerators: &'a [i64],
    /// The common denominator.
    pub(crate) whole: u64,
    /// A float dtype.
    pub(crate) output_dtype: Dtype,
}

impl Enclosed<'_> {
    pub(super) fn check(&self, output: &[u8], doubts: &[bool]) {
        let count = doubts.len();
        let size = |dtype: Dtype| Format::of(dtype).expect("a float dtype").bytes;
        assert!(count <= MOST && self.inputs.len() == self.numerators.len() && self.whole > 0);
        assert_eq!(output.len(), count * size(self.output_dtype), "whole output elements");
        for Input { values, dtype, radii } in self.inputs {
            assert_eq!(values.len(), count * size(*dtype), "as many elements in as out");
            assert!(radii.is_none_or(|radii| radii.len() == 8 * count), "a radius for each element");
        }
    }

    /// Element `index` by the definition. The terms of each ingredient add up to its element; where that is not finite it is
    /// the only one.
    pub(crate) fn exact_element<'a>(
        &self,
        index: usize,
        terms: impl Iterator<Item = &'a [f64]>,
        output: &mut [u8],
        tally: &mut Tally,
    ) {
        let output_format = Format::of(self.output_dtype).expect("a float output dtype");
        let format = Format::of(Dtype::F64).expect("a float");
        let (mut values, mut numerators, mut finite) = (Vec::new(), Vec::new(), true);
        for (k, (terms, &numerator)) in terms.zip(self.numerators).enumerate() {
            for term in terms {
                let value = format.decode(term.to_bits());
                finite &= matches!(value, Value::Finite { .. });
                tally.input(k, index, value);
                values.push(value);
                numerators.push(numerator);
            }
        }
        let bits = exact::mean(&values, &numerators, self.whole, output_format);
        if finite && bits & (output_format.sign() - 1) >= output_format.infinity {
            tally.created(index);
        }
        output_format.store(output, index, bits);
    }
}

/// Write every mean, and which of them are in doubt.
#[inline(always)]
pub(super) fn run(request: &Enclosed<'_>, output: &mut [u8], doubts: &mut [bool]) {
    match request.output_dtype {
        Dtype::BF16 => means::<ToBf16>(request, output, doubts),
        Dtype::F16 => means::<ToF16>(request, output, doubts),
        Dtype::F32 => means::<ToF32>(request, output, doubts),
        _ => means::<ToF64>(request, output, doubts),
    }
}

#[inline(always)]
fn means<O: Output>(request: &Enclosed<'_>, output: &mut [u8], doubts: &mut [bool]) {
    let count = doubts.len();
    let (mut sums, mut sizes, mut radii) = ([0f64; MOST], [0f64; MOST], [0f64; MOST]);
    let mut wide = [0; 8 * MOST];
    for (&Input { values, dtype, radii: off }, &numerator) in request.inputs.iter().zip(request.numerators) {
        widen_to_f64(values, dtype, &mut wide[..8 * count]);
        let wide = &wide.as_chunks::<8>().0[..count];
        let part = numerator as f64;
        for (i, value) in wide.iter().enumerate() {
            let product = part * f64::from_le_bytes(*value);
            sums[i] += product;
            sizes[i] += product.abs();
        }
        if let Some(off) = off {
            for (radius, off) in radii[..count].iter_mut().zip(off.as_chunks::<8>().0) {
                *radius += part.abs() * f64::from_le_bytes(*off);
            }
        }
    }
    let whole = request.whole as f64;
    let roundings = (request.inputs.len() as f64 + 6.0) * UNIT;
    let mut other = [0; 8 * MOST];
    let other = &mut other[..output.len()];
    for (i, doubt) in doubts.iter_mut().enumerate() {
        let radius = (radii[i] + roundings * sizes[i]) / whole * SLACK + LEAST;
        let mean = sums[i] / whole;
        let high = O::store(mean + radius, other, i);
        let low = O::store(mean - radius, output, i);
        // What is infinite or NaN is counted where it is made again.
        let is_bounded = radius < f64::INFINITY;
        *doubt = !is_bounded | (low.max(high) >= O::FORMAT.infinity);
    }
    let size = O::FORMAT.bytes;
    let ends = output.chunks_exact(size).zip(other.chunks_exact(size));
    for (doubt, (low, high)) in doubts.iter_mut().zip(ends) {
        *doubt |= low != high;
    }
}
