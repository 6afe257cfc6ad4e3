//! The common case, BF16 to BF16, in f32: twice the lanes and half the steps of [`super::vector`].
//!
//! The bits are the same, for the lanes that pass. Let `s` be the sum, `q` the whole, `P` the sum of `|p_i|`, `hi` and `lo` the
//! largest and the smallest nonzero `|x_i|`, with `2^a <= lo < 2^(a+1)`. A lane passes if `P·hi < 2^23·2^(a-7)`, with `q` at
//! most `2^15` and magnitudes far from the subnormals of f32 and from infinity. Then
//!
//! * products and sums are multiples of `2^(a-7)` that fit 24 bits, so `s` is exact;
//! * the estimate `y` of `s/q` is within two units of its last place, which is below `2^(a-7)`; so the rest `q·y - s` is exact
//!   too, and the step by it gives `z`, within 0.51 units of `s/q` and equal to it where that is an f32;
//! * a point `m` halfway between two BF16 is a multiple of `2^(e-8)`, where `e` is the exponent of `s/q`. Either `s/q = m`, then
//!   `z = m`; or `|s - q·m|` is at least `2^(a-7)` or `2^(e-8)`, so `s/q` is more than 0.51 units of an f32 from `m`, and `z` on
//!   the same side of it.
//!
//! So rounding `z` is rounding `s/q`. Groups with a lane that does not pass go to the f64 loop. Of independent normal values
//! one lane in 850 fails for ten parts, of fine-tunes of one model far fewer.

use super::vector::{self, FromBf16, Input, ToBf16};
use super::{Request, Tally};

/// Lanes that pass or fail together: a whole number of vectors in every instruction set.
const GROUP: usize = 64;
const GROUP_BYTES: usize = 2 * GROUP;
/// Largest common denominator.
const MOST_WHOLE: u64 = 1 << 15;
/// Ingredients up to which everything stays in registers; more take the f64 loop.
const MOST: usize = 8;
/// Exponent field 32 (2^-95): sums and quotients stay normal in f32, and BF16.
const LOWEST: u16 = 32 << 7;
/// Exponent field 224 (2^97): sums stay finite.
const HIGHEST: u16 = 224 << 7;

/// One chunk of BF16 inputs.
#[inline(always)]
pub(super) fn mean(request: &Request<'_>, output: &mut [u8], tally: &mut Tally) {
    let parts_bits = u64::BITS - (request.parts_sum() - 1).leading_zeros();
    let binades = 15u32.checked_sub(parts_bits).filter(|&binades| binades > 2 && request.whole <= MOST_WHOLE);
    match (request.inputs.len(), binades) {
        (1, Some(binades)) => mean_of::<1>(request, output, tally, binades),
        (2, Some(binades)) => mean_of::<2>(request, output, tally, binades),
        (3, Some(binades)) => mean_of::<3>(request, output, tally, binades),
        (4, Some(binades)) => mean_of::<4>(request, output, tally, binades),
        (5, Some(binades)) => mean_of::<5>(request, output, tally, binades),
        (6, Some(binades)) => mean_of::<6>(request, output, tally, binades),
        (7, Some(binades)) => mean_of::<7>(request, output, tally, binades),
        (MOST, Some(binades)) => mean_of::<MOST>(request, output, tally, binades),
        _ => vector::mean::<FromBf16, ToBf16, { vector::BLOCK }>(request, output, tally),
    }
}

#[inline(always)]
fn mean_of<const N: usize>(request: &Request<'_>, output: &mut [u8], tally: &mut Tally, binades: u32) {
    let window = FromBf16::window(binades);
    let mean = Mean {
        parts: std::array::from_fn(|k| request.numerators[k] as f32),
        whole: request.whole as f32,
        reciprocal: 1.0 / request.whole as f32,
    };
    let groups = output.len() / GROUP_BYTES;
    for group in 0..groups {
        let bytes = group * GROUP_BYTES..(group + 1) * GROUP_BYTES;
        let inputs: [&[u8; GROUP_BYTES]; N] =
            std::array::from_fn(|k| request.inputs[k][bytes.clone()].try_into().expect("a group"));
        let results: &mut [u8; GROUP_BYTES] = (&mut output[bytes]).try_into().expect("a group");
        mean.group(inputs, results);
        if !is_exact(inputs, window) {
            part_by_f64(request, output, tally, group * GROUP..(group + 1) * GROUP);
        }
    }
    let rest = groups * GROUP..output.len() / 2;
    if !rest.is_empty() {
        part_by_f64(request, output, tally, rest);
    }
}

/// Every lane of a group passes.
#[inline(always)]
fn is_exact<const N: usize>(inputs: [&[u8; GROUP_BYTES]; N], window: u16) -> bool {
    let mut excess = 0;
    for i in 0..GROUP {
        let magnitude = |k: usize| u16::from_le_bytes(inputs[k].as_chunks().0[i]) & 0x7fff;
        // One less, so that a zero becomes the highest and counts for no minimum.
        let (mut highest, mut before_lowest) = (magnitude(0), magnitude(0).wrapping_sub(1));
        for k in 1..N {
            highest = highest.max(magnitude(k));
            before_lowest = before_lowest.min(magnitude(k).wrapping_sub(1));
        }
        excess |= highest.saturating_sub(before_lowest).saturating_sub(window)
            | highest.saturating_sub(HIGHEST)
            | LOWEST.saturating_sub(before_lowest);
    }
    excess == 0
}

/// What a mean is made with.
struct Mean<const N: usize> {
    parts: [f32; N],
    whole: f32,
    /// One over the whole, rounded.
    reciprocal: f32,
}

impl<const N: usize> Mean<N> {
    /// Two lanes share a word, the first in its lower half: so no lane has to move.
    #[inline(always)]
    fn group(&self, inputs: [&[u8; GROUP_BYTES]; N], results: &mut [u8; GROUP_BYTES]) {
        const UPPER: u32 = 0xffff_0000;
        for (i, result) in results.as_chunks_mut().0.iter_mut().enumerate() {
            let words: [u32; N] = std::array::from_fn(|k| u32::from_le_bytes(inputs[k].as_chunks().0[i]));
            let first = self.rounded(words.map(|word| f32::from_bits(word << 16)));
            let second = self.rounded(words.map(|word| f32::from_bits(word & UPPER)));
            *result = (second & UPPER | first >> 16).to_le_bytes();
        }
    }

    /// The mean rounded to BF16, as the upper half of a word.
    #[inline(always)]
    fn rounded(&self, values: [f32; N]) -> u32 {
        // The first product starts the sum: from +0 a sum of negative zeros would lose its sign.
        let mut sum = self.parts[0] * values[0];
        #[allow(clippy::needless_range_loop, reason = "an iterator that skips is a call for each lane")]
        for k in 1..N {
            sum = self.parts[k].mul_add(values[k], sum);
        }
        let estimate = sum * self.reciprocal;
        // Negated, both of them: -0 stays -0 only this way.
        let excess = self.whole.mul_add(estimate, -sum);
        let bits = (-excess).mul_add(self.reciprocal, estimate).to_bits();
        bits.wrapping_add(0x7fff + (bits >> 16 & 1))
    }
}

/// Elements `lanes` by the f64 loop. Inlined, or it would be compiled without the instruction set.
#[inline(always)]
fn part_by_f64(request: &Request<'_>, output: &mut [u8], tally: &mut Tally, lanes: std::ops::Range<usize>) {
    let base = tally.base;
    tally.base += lanes.start as u64;
    let bytes = 2 * lanes.start..2 * lanes.end;
    let mut few = [&[][..]; 16];
    let mut many = Vec::new();
    let inputs = if request.inputs.len() <= few.len() {
        &mut few[..request.inputs.len()]
    } else {
        many.resize(request.inputs.len(), &[][..]);
        &mut many[..]
    };
    for (part, input) in inputs.iter_mut().zip(request.inputs) {
        *part = &input[bytes.clone()];
    }
    let request = Request { inputs, ..*request };
    vector::mean::<FromBf16, ToBf16, GROUP>(&request, &mut output[bytes], tally);
    tally.base = base;
}
