//! The common case, BF16 to BF16, in f32: twice the lanes and half the steps of [`super::vector`].
//!
//! The bits are the same, for the lanes that pass: a lane's sum must fit the 24 bits of an f32 (`W = B + 8 +
//! log2(hi/lo) <= 24`, in the terms of [`super::vector`]) and stay far from its subnormals and infinity. The quotient
//! is then known as `y + e/q` with `e = s - q·y` exact, so `y` can be rounded to odd: towards zero, with the last bit
//! set if anything was lost. Rounding that to BF16 (16 bits fewer) is rounding `s / q` itself.
//!
//! Groups with a lane that does not pass go to the f64 loop. Of independent normal values one lane in 1,700 fails for
//! ten parts, of fine-tunes of one model far fewer.

#![allow(clippy::needless_bitwise_bool, reason = "branches would keep the compiler from vectorising")]

use super::vector::{self, FromBf16, Input, ToBf16};
use super::{Request, Tally};

/// Lanes that pass or fail together: a whole number of vectors in every instruction set.
const GROUP: usize = 64;
/// Ingredients up to which everything stays in registers; more take the f64 loop.
const MOST: usize = 8;
/// Exponent field 32 (2^-95): sums, quotients by up to 2^20 and residuals stay normal in f32.
const LOWEST: u16 = 32 << 7;
/// Exponent field 224 (2^97): sums of up to 2^20 parts stay finite.
const HIGHEST: u16 = 224 << 7;

/// One chunk of BF16 inputs.
#[inline(always)]
pub(super) fn mean(request: &Request<'_>, output: &mut [u8], tally: &mut Tally) {
    let parts_bits = u64::BITS - (request.parts_sum() - 1).leading_zeros();
    let binades = 16u32.checked_sub(parts_bits).filter(|&binades| binades > 2);
    match (request.inputs.len(), binades) {
        (1, Some(binades)) => mean_of::<1>(request, output, tally, binades),
        (2, Some(binades)) => mean_of::<2>(request, output, tally, binades),
        (3, Some(binades)) => mean_of::<3>(request, output, tally, binades),
        (4, Some(binades)) => mean_of::<4>(request, output, tally, binades),
        (5, Some(binades)) => mean_of::<5>(request, output, tally, binades),
        (6, Some(binades)) => mean_of::<6>(request, output, tally, binades),
        (7, Some(binades)) => mean_of::<7>(request, output, tally, binades),
        (MOST, Some(binades)) => mean_of::<MOST>(request, output, tally, binades),
        _ => vector::mean::<FromBf16, ToBf16>(request, output, tally),
    }
}

#[inline(always)]
fn mean_of<const N: usize>(request: &Request<'_>, output: &mut [u8], tally: &mut Tally, binades: u32) {
    let window = FromBf16::window(binades);
    let (whole, reciprocal) = (request.whole as f32, 1.0 / request.whole as f32);
    let parts: [f32; N] = std::array::from_fn(|k| request.numerators[k] as f32);
    let groups = output.len() / (2 * GROUP);
    for group in 0..groups {
        let lanes = group * GROUP..(group + 1) * GROUP;
        let inputs: [&[[u8; 2]; GROUP]; N] = std::array::from_fn(|k| {
            let halves = request.inputs[k][2 * lanes.start..2 * lanes.end].as_chunks::<2>().0;
            halves.try_into().expect("a group of halves")
        });
        let results = output[2 * lanes.start..2 * lanes.end].as_chunks_mut::<2>().0;
        let results: &mut [[u8; 2]; GROUP] = results.try_into().expect("a group of halves");
        let mut failed = false;
        for i in 0..GROUP {
            let bits: [u16; N] = std::array::from_fn(|k| u16::from_le_bytes(inputs[k][i]));
            let widen = |k: usize| f32::from_bits(u32::from(bits[k]) << 16);
            // The first product starts the sum: from +0 a sum of negative zeros would lose its sign.
            let mut sum = parts[0] * widen(0);
            let mut highest = bits[0] & 0x7fff;
            let mut before_lowest = highest.wrapping_sub(1);
            for k in 1..N {
                sum = parts[k].mul_add(widen(k), sum);
                let magnitude = bits[k] & 0x7fff;
                highest = highest.max(magnitude);
                before_lowest = before_lowest.min(magnitude.wrapping_sub(1));
            }
            failed |=
                (highest > before_lowest.saturating_add(window).min(HIGHEST)) | (before_lowest < LOWEST);
            results[i] = quotient(sum, whole, reciprocal).to_le_bytes();
        }
        if failed {
            part_by_f64(request, output, tally, lanes);
        }
    }
    let rest = groups * GROUP..output.len() / 2;
    if !rest.is_empty() {
        part_by_f64(request, output, tally, rest);
    }
}

/// `sum / whole` rounded once to BF16.
#[inline(always)]
fn quotient(sum: f32, whole: f32, reciprocal: f32) -> u16 {
    let estimate = sum * reciprocal;
    let near = (-whole).mul_add(estimate, sum).mul_add(reciprocal, estimate);
    let rest = (-whole).mul_add(near, sum);
    // Truncate: one step towards zero where the rest has the other sign. Then the last bit stands for what was lost.
    let lost = if rest == 0.0 { 0u32 } else { u32::MAX };
    let beyond = (((rest.to_bits() ^ sum.to_bits()) as i32) >> 31) as u32 & lost;
    let odd = near.to_bits().wrapping_add(beyond) | lost & 1;
    // Zero takes its sign from the sum, because -0 + 0 = 0.
    let odd = odd & 0x7fff_ffff | sum.to_bits() & 0x8000_0000;
    ((odd + 0x7fff + (odd >> 16 & 1)) >> 16) as u16
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
    vector::mean::<FromBf16, ToBf16>(&request, &mut output[bytes], tally);
    tally.base = base;
}
