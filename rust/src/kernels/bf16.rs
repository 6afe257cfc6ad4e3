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

const BLOCK: usize = 512;
/// Lanes that are recomputed together.
const GROUP: usize = 32;
/// Exponent field 32 (2^-95): sums, quotients by up to 2^20 and residuals stay normal in f32.
const LOWEST: u16 = 32 << 7;
/// Exponent field 224 (2^97): sums of up to 2^20 parts stay finite.
const HIGHEST: u16 = 224 << 7;

/// One chunk of BF16 inputs.
#[inline(always)]
pub(super) fn mean(request: &Request<'_>, output: &mut [u8], tally: &mut Tally) {
    let parts_bits = u64::BITS - (request.parts_sum() - 1).leading_zeros();
    let Some(binades) = 16u32.checked_sub(parts_bits).filter(|&binades| binades > 2) else {
        return vector::mean::<FromBf16, ToBf16>(request, output, tally);
    };
    let window = FromBf16::window(binades);
    let (whole, reciprocal) = (request.whole as f32, 1.0 / request.whole as f32);
    let blocks = output.len() / (2 * BLOCK);
    let mut sums = [0f32; BLOCK];
    let mut highest = [0u16; BLOCK];
    let mut lowest = [0u16; BLOCK];
    for block in 0..blocks {
        for (k, (input, &numerator)) in request.inputs.iter().zip(request.numerators).enumerate() {
            let halves = input[2 * BLOCK * block..][..2 * BLOCK].as_chunks::<2>().0;
            let part = numerator as f32;
            if k == 0 {
                for (i, &half) in halves.iter().enumerate() {
                    let bits = u16::from_le_bytes(half);
                    sums[i] = part * f32::from_bits(u32::from(bits) << 16);
                    highest[i] = bits & 0x7fff;
                    lowest[i] = (bits & 0x7fff).wrapping_sub(1);
                }
            } else {
                for (i, &half) in halves.iter().enumerate() {
                    let bits = u16::from_le_bytes(half);
                    sums[i] = part.mul_add(f32::from_bits(u32::from(bits) << 16), sums[i]);
                    highest[i] = highest[i].max(bits & 0x7fff);
                    lowest[i] = lowest[i].min((bits & 0x7fff).wrapping_sub(1));
                }
            }
        }
        let results = &mut output[2 * BLOCK * block..][..2 * BLOCK];
        for (half, &sum) in results.as_chunks_mut::<2>().0.iter_mut().zip(&sums) {
            *half = quotient(sum, whole, reciprocal).to_le_bytes();
        }
        for group in 0..BLOCK / GROUP {
            let lanes = group * GROUP..(group + 1) * GROUP;
            let mut passed = true;
            for (&hi, &lo) in highest[lanes.clone()].iter().zip(&lowest[lanes.clone()]) {
                passed &= (hi <= lo.saturating_add(window).min(HIGHEST)) & (lo >= LOWEST);
            }
            if !passed {
                let start = block * BLOCK + group * GROUP;
                part_by_f64(request, output, tally, start..start + GROUP);
            }
        }
    }
    let rest = blocks * BLOCK..output.len() / 2;
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
