//! Which ingredients take part in each element of a masked row, and how far their elements are from the base's.
//!
//! The definition goes element by element. An ingredient keeps an element by the size of its difference to the base, taken in
//! f64 and rounded once, or by a random number; the elected sign is that of the exact sum of all numerators times differences
//! that are kept, and only what has this sign takes part: nothing where the sum is zero. Where the base or an ingredient with a
//! numerator is not finite all take part, so that it shows, and it is counted.
//!
//! The fast path sums in f64. Of `n` ingredients the differences and products and the partial sums round once each, so the sum is
//! within `(n + 2)·u·M` of the exact one, `M` the sum of magnitudes: a sum beyond that has the sign of the exact one, and where
//! `M` is zero it is exact. What is in doubt, hardly more than sums that are exactly zero, goes to the definition.

#![allow(clippy::needless_bitwise_bool, reason = "branches would keep the compiler from vectorising")]

use std::cmp::Ordering;

use super::difference::widened;
use super::element::{Bf16, Element, F16, F32, F64};
use super::exact;
use super::format::{Format, Value};
use super::philox;
use super::tally::Tally;
use crate::dtype::Dtype;
use crate::mix::{Edge, Keep, Subset};

/// Elements that are looked at together: all that is known of them stays in the first-level cache.
const PIECE: usize = 256;
/// Bits of infinity; those of every NaN are more.
const INFINITY: u64 = f64::INFINITY.to_bits();
/// Half a unit in the last place of 1.
const UNIT: f64 = f64::EPSILON / 2.0;

/// The same elements of a base and of the ingredients that have a numerator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Masking<'a> {
    /// Bytes of the base.
    pub(crate) base: &'a [u8],
    /// Its float dtype.
    pub(crate) base_dtype: Dtype,
    /// Bytes of each ingredient; all hold the same number of elements.
    pub(crate) inputs: &'a [&'a [u8]],
    /// Their float dtypes.
    pub(crate) dtypes: &'a [Dtype],
    /// Their numerators, none of them zero.
    pub(crate) numerators: &'a [i64],
    /// What each of them keeps.
    pub(crate) keeps: &'a [&'a Keep],
    /// Whether only those take part that agree with the sign of the sum.
    pub(crate) elects: bool,
    /// Which element of the tensor comes first.
    pub(crate) first: u64,
}

impl Masking<'_> {
    pub(super) fn check(&self, subsets: &[Subset], tally: &Tally) {
        let count = self.inputs.len();
        assert!(count == self.dtypes.len() && count == self.numerators.len() && count == self.keeps.len());
        assert_eq!(tally.inputs.len(), count + 1, "the ingredients, then the base");
        let size = |dtype: Dtype| Format::of(dtype).expect("a float dtype").bytes;
        let of_inputs = self.inputs.iter().zip(self.dtypes);
        for (bytes, &dtype) in of_inputs.chain([(&self.base, &self.base_dtype)]) {
            assert_eq!(bytes.len(), subsets.len() * size(dtype), "a subset for each element");
        }
    }

    /// Whether a sum of f64 loses nothing of element `index`: whether it is finite, and fits 53 bits from the last bit of the
    /// smallest number up.
    fn is_exact(&self, index: usize) -> bool {
        let (mut lowest, mut highest) = (i32::MAX, i32::MIN);
        let of_inputs = self.inputs.iter().copied().zip(self.dtypes.iter().copied());
        for (bytes, dtype) in of_inputs.chain([(self.base, self.base_dtype)]) {
            match value(bytes, dtype, index) {
                Value::Finite { mantissa: 0, .. } => {}
                Value::Finite { mantissa, exponent, .. } => {
                    lowest = lowest.min(exponent);
                    highest = highest.max(exponent + (u64::BITS - mantissa.leading_zeros()) as i32);
                }
                _ => return false,
            }
        }
        let parts: u64 = self.numerators.iter().map(|numerator| numerator.unsigned_abs()).sum();
        let parts_bits = (u64::BITS - parts.leading_zeros()) as i32;
        // A difference has one bit more than the larger of the two.
        let end = highest.saturating_add(1 + parts_bits);
        lowest > highest || end - lowest <= f64::MANTISSA_DIGITS as i32 && end < f64::MAX_EXP
    }

    /// Who takes part in element `index` by the definition.
    fn subset(&self, index: usize, tally: &mut Tally) -> Subset {
        let base = value(self.base, self.base_dtype, index);
        let values: Vec<Value> =
            self.inputs.iter().zip(self.dtypes).map(|(bytes, &dtype)| value(bytes, dtype, index)).collect();
        let mut finite = true;
        for (input, &value) in values.iter().chain([&base]).enumerate() {
            finite &= matches!(value, Value::Finite { .. });
            tally.input(input, index, value);
        }
        let everyone = (1 << values.len()) - 1;
        if !finite {
            return everyone;
        }
        let element = self.first + index as u64;
        let keeps = |place: usize| {
            let magnitude = magnitude(number(values[place]), number(base));
            match self.keeps[place] {
                Keep::All => true,
                Keep::Ranks { low, high } => is_between(*low, *high, magnitude, element),
                Keep::Random { key, probability } => philox::word(*key, element) < *probability,
            }
        };
        let kept = (0..values.len()).filter(|&place| keeps(place)).fold(0, |set, place| set | 1 << place);
        if !self.elects {
            return kept;
        }
        let difference = |places: Subset| {
            let places = (0..values.len()).filter(|place| places >> place & 1 == 1);
            let (mut terms, mut numerators, mut rest) = (Vec::new(), Vec::new(), 0);
            for place in places {
                terms.push(values[place]);
                numerators.push(self.numerators[place]);
                rest -= self.numerators[place];
            }
            if rest != 0 {
                terms.push(base);
                numerators.push(rest);
            }
            sign(&terms, &numerators)
        };
        let elected = difference(kept);
        let agrees = |place: &usize| kept >> place & 1 == 1 && difference(1 << place) == elected;
        (0..values.len()).filter(|place| elected != 0 && agrees(place)).fold(0, |set, place| set | 1 << place)
    }
}

/// The sign of an exact sum.
fn sign(values: &[Value], numerators: &[i64]) -> i32 {
    let format = Format::of(Dtype::F64).expect("a float");
    // A sum of F64 is a multiple of the least subnormal, so that none is rounded to zero.
    let bits = exact::mean(values, numerators, 1, format);
    if bits & (format.sign() - 1) == 0 {
        0
    } else if bits & format.sign() == 0 {
        1
    } else {
        -1
    }
}

fn value(bytes: &[u8], dtype: Dtype, index: usize) -> Value {
    let format = Format::of(dtype).expect("checked by `Masking::check`");
    format.decode(format.load(bytes, index))
}

/// 0 for what is not finite: then nobody asks.
fn number(value: Value) -> f64 {
    match value {
        Value::Finite { negative, mantissa, exponent } => widened(negative, mantissa, exponent),
        _ => 0.0,
    }
}

/// Bits of the size of a difference of two finite numbers.
#[inline(always)]
fn magnitude(value: f64, base: f64) -> u64 {
    (value - base).abs().to_bits().min(INFINITY - 1)
}

#[inline(always)]
fn is_between(low: Edge, high: Option<Edge>, magnitude: u64, element: u64) -> bool {
    let is_too_large = high.is_some_and(|high| high.is_reached(magnitude, element));
    low.is_reached(magnitude, element) & !is_too_large
}

/// The definition: element by element.
pub(super) fn by_definition(masking: &Masking<'_>, subsets: &mut [Subset], tally: &mut Tally) {
    for (index, subset) in subsets.iter_mut().enumerate() {
        *subset = masking.subset(index, tally);
    }
}

/// What is summed of a piece.
struct Sums {
    /// Of all terms.
    terms: [f64; PIECE],
    /// Of their magnitudes.
    sizes: [f64; PIECE],
    /// Who has a positive and who a negative term.
    positive: [Subset; PIECE],
    negative: [Subset; PIECE],
}

/// The fast path, compiled once per instruction set.
#[inline(always)]
pub(super) fn fast(masking: &Masking<'_>, subsets: &mut [Subset], tally: &mut Tally) {
    let (mut base, mut values) = ([0.0; PIECE], [0.0; PIECE]);
    let mut odd = [0u64; PIECE];
    let mut room =
        Sums { terms: [0.0; PIECE], sizes: [0.0; PIECE], positive: [0; PIECE], negative: [0; PIECE] };
    for (number, subsets) in subsets.chunks_mut(PIECE).enumerate() {
        let (start, count) = (number * PIECE, subsets.len());
        let first = masking.first + start as u64;
        widen(masking.base, masking.base_dtype, start, &mut base[..count]);
        for (odd, value) in odd[..count].iter_mut().zip(&base) {
            *odd = value.abs().to_bits();
        }
        subsets.fill(0);
        if masking.elects {
            room.terms.fill(0.0);
            room.sizes.fill(0.0);
            room.positive.fill(0);
            room.negative.fill(0);
        }
        for (place, keep) in masking.keeps.iter().enumerate() {
            widen(masking.inputs[place], masking.dtypes[place], start, &mut values[..count]);
            for (odd, value) in odd[..count].iter_mut().zip(&values) {
                *odd = (*odd).max(value.abs().to_bits());
            }
            let bit = 1 << place;
            let pairs = subsets.iter_mut().zip(values[..count].iter().zip(&base[..count]));
            match keep {
                Keep::All => pairs.for_each(|(subset, _)| *subset |= bit),
                Keep::Ranks { low, high } => {
                    for (i, (subset, (&value, &base))) in pairs.enumerate() {
                        let is_kept = is_between(*low, *high, magnitude(value, base), first + i as u64);
                        *subset |= if is_kept { bit } else { 0 };
                    }
                }
                Keep::Random { key, probability } => {
                    let mut words = [[0; philox::WORDS]; PIECE / philox::WORDS + 1];
                    philox::blocks(*key, first / philox::WORDS as u64, &mut words);
                    let words = &words.as_flattened()[(first % philox::WORDS as u64) as usize..];
                    for (subset, word) in subsets.iter_mut().zip(words) {
                        *subset |= if word < probability { bit } else { 0 };
                    }
                }
            }
            if masking.elects {
                let part = masking.numerators[place] as f64;
                for i in 0..count {
                    let term = if subsets[i] & bit == 0 { 0.0 } else { part * (values[i] - base[i]) };
                    room.terms[i] += term;
                    room.sizes[i] += term.abs();
                    room.positive[i] |= if term > 0.0 { bit } else { 0 };
                    room.negative[i] |= if term < 0.0 { bit } else { 0 };
                }
            }
        }
        if masking.elects {
            let roundings = (masking.inputs.len() as f64 + 4.0) * UNIT;
            for i in 0..count {
                let (sum, radius) = (room.terms[i], roundings * room.sizes[i]);
                let agree = if sum > 0.0 { room.positive[i] } else { room.negative[i] };
                // A NaN or an infinity fails both comparisons.
                let is_sure = (sum.abs() > radius) & (room.sizes[i] < f64::MAX);
                let is_nothing = room.sizes[i] == 0.0;
                subsets[i] &= if is_sure { agree } else { 0 };
                odd[i] = if is_sure | is_nothing { odd[i] } else { INFINITY };
            }
        }
        if odd[..count].iter().fold(false, |any, &odd| any | (odd >= INFINITY)) {
            for (i, subset) in subsets.iter_mut().enumerate().filter(|(i, _)| odd[*i] >= INFINITY) {
                *subset = if masking.elects && masking.is_exact(start + i) {
                    match room.terms[i].partial_cmp(&0.0) {
                        Some(Ordering::Greater) => room.positive[i],
                        Some(Ordering::Less) => room.negative[i],
                        _ => 0,
                    }
                } else {
                    masking.subset(start + i, tally)
                };
            }
        }
    }
}

#[inline(always)]
fn widen(bytes: &[u8], dtype: Dtype, start: usize, values: &mut [f64]) {
    match dtype {
        Dtype::BF16 => widen_as::<Bf16>(bytes, start, values),
        Dtype::F16 => widen_as::<F16>(bytes, start, values),
        Dtype::F32 => widen_as::<F32>(bytes, start, values),
        _ => widen_as::<F64>(bytes, start, values),
    }
}

#[inline(always)]
fn widen_as<E: Element>(bytes: &[u8], start: usize, values: &mut [f64]) {
    let words = &E::words(bytes)[start..start + values.len()];
    values.iter_mut().zip(words).for_each(|(value, &word)| *value = E::f64(word));
}

/// The same elements of a tensor and of a base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deltas<'a> {
    /// Bytes of the base and its float dtype.
    pub(crate) base: (&'a [u8], Dtype),
    /// Those of the ingredient.
    pub(crate) input: (&'a [u8], Dtype),
}

impl Deltas<'_> {
    pub(super) fn check(&self, magnitudes: &[u64]) {
        for (bytes, dtype) in [self.base, self.input] {
            let size = Format::of(dtype).expect("a float dtype").bytes;
            assert_eq!(bytes.len(), magnitudes.len() * size, "a magnitude for each element");
        }
    }
}

/// The definition.
pub(super) fn magnitudes_by_definition(deltas: &Deltas<'_>, magnitudes: &mut [u64]) {
    for (index, found) in magnitudes.iter_mut().enumerate() {
        let [base, input] = [deltas.base, deltas.input].map(|(bytes, dtype)| value(bytes, dtype, index));
        let is_finite = [base, input].iter().all(|value| matches!(value, Value::Finite { .. }));
        *found = if is_finite { magnitude(number(input), number(base)) } else { 0 };
    }
}

/// The fast path, compiled once per instruction set.
#[inline(always)]
pub(super) fn magnitudes(deltas: &Deltas<'_>, magnitudes: &mut [u64]) {
    let (mut base, mut values) = ([0.0; PIECE], [0.0; PIECE]);
    for (number, found) in magnitudes.chunks_mut(PIECE).enumerate() {
        let (start, count) = (number * PIECE, found.len());
        widen(deltas.base.0, deltas.base.1, start, &mut base[..count]);
        widen(deltas.input.0, deltas.input.1, start, &mut values[..count]);
        for (found, (&value, &base)) in found.iter_mut().zip(values.iter().zip(&base)) {
            let is_finite = (value.abs().to_bits() < INFINITY) & (base.abs().to_bits() < INFINITY);
            *found = if is_finite { magnitude(value, base) } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests;
