//! How long tensors are and how far apart: sums of squares and of squared differences, in f64.
//!
//! Of `n` tensors there are `n(n+1)/2` sums, in the order (0,0), (0,1), … (0,n-1), (1,1), …: of squares where both
//! numbers are one, else of squared differences. Every inner product follows from them, also those of differences, and
//! they keep what products lose: two equal tensors are exactly zero apart, two near ones nearly exactly as far as they are.
//!
//! A sum is defined to the bit. Element `i` of a block is added to lane `i % 16`, in order, then the upper half of the
//! lanes to the lower, until one is left: each step rounded once to f64, none fused. So all kernel sets agree, and
//! because `(a - b)²` and `(b - a)²` have the same bits, all orders of inputs do. An element that is not finite in one
//! input counts as zero in all of them, and is counted. [`crate::mixing`] adds blocks in a fixed tree.
//!
//! A piece of each input is widened to f64 once, into the first-level cache, and shared by all its pairs.

use super::difference::widened;
use super::element::{Bf16, Element, F16, F32, F64};
use super::format::{Format, Value};
use super::tally::{Tally, has_non_finite};
use crate::dtype::Dtype;

const LANES: usize = 16;
/// Lanes that are widened at a time: 4 KiB of each input.
const PIECE: usize = 32;
/// Pairs that one input is held in registers for.
const TOGETHER: usize = 4;

/// Elements side by side, aligned to the widest vector: a load that crosses a cache line costs two.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Lanes([f64; LANES]);

const ZEROS: Lanes = Lanes([0.0; LANES]);

/// The same elements of several tensors, at most [`Squares::BLOCK`].
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Bytes of each; all hold the same number of elements.
    pub inputs: &'a [&'a [u8]],
    /// Their float dtypes.
    pub dtypes: &'a [Dtype],
}

/// A loop that adds a block to lanes of zeros.
pub(super) type Run = fn(&Block<'_>, &mut Squares, &mut Tally);

impl Block<'_> {
    fn check(&self, inputs: usize) {
        assert!(inputs > 0 && inputs == self.inputs.len() && inputs == self.dtypes.len());
        for (input, &dtype) in self.inputs.iter().zip(self.dtypes) {
            let bytes = Format::of(dtype).expect("a float dtype").bytes;
            assert_eq!(input.len(), self.elements() * bytes, "as many elements in each");
        }
        assert!(self.elements() <= Squares::BLOCK, "one block");
    }

    fn format(&self, input: usize) -> Format {
        Format::of(self.dtypes[input]).expect("checked by `Block::check`")
    }

    fn elements(&self) -> usize {
        self.inputs[0].len() / self.format(0).bytes
    }

    fn value(&self, input: usize, index: usize) -> Value {
        let format = self.format(input);
        format.decode(format.load(self.inputs[input], index))
    }
}

/// A worker's memory for the sums of one block.
#[derive(Debug)]
pub struct Squares {
    inputs: usize,
    /// A piece of each input.
    values: Vec<Lanes>,
    /// Of each sum.
    lanes: Vec<Lanes>,
    sums: Vec<f64>,
}

impl Squares {
    /// Most elements of a block: a lane then has 256 of them.
    pub const BLOCK: usize = 4096;

    /// Room for the sums of `inputs` tensors.
    pub fn new(inputs: usize) -> Self {
        let sums = Self::count(inputs);
        Self { inputs, values: vec![ZEROS; inputs * PIECE], lanes: vec![ZEROS; sums], sums: vec![0.0; sums] }
    }

    /// How many sums `inputs` tensors have.
    pub fn count(inputs: usize) -> usize {
        inputs * (inputs + 1) / 2
    }

    /// The sums of a block by one of the loops.
    pub(super) fn of(&mut self, block: &Block<'_>, run: Run, tally: &mut Tally) -> &[f64] {
        block.check(self.inputs);
        assert_eq!(tally.inputs.len(), self.inputs);
        self.lanes.fill(ZEROS);
        run(block, self, tally);
        for (sum, lanes) in self.sums.iter_mut().zip(&self.lanes) {
            *sum = total(lanes);
        }
        &self.sums
    }
}

fn total(lanes: &Lanes) -> f64 {
    let mut rest = lanes.0;
    let mut half = LANES / 2;
    while half > 0 {
        let (lower, upper) = rest.split_at_mut(half);
        lower.iter_mut().zip(upper).for_each(|(low, high)| *low += *high);
        half /= 2;
    }
    rest[0]
}

/// The definition: element by element.
pub(super) fn by_definition(block: &Block<'_>, room: &mut Squares, tally: &mut Tally) {
    let mut values = vec![0.0; room.inputs];
    for index in 0..block.elements() {
        let mut finite = true;
        for (input, value) in values.iter_mut().enumerate() {
            match block.value(input, index) {
                Value::Finite { negative, mantissa, exponent } => {
                    *value = widened(negative, mantissa, exponent);
                }
                other => {
                    finite = false;
                    tally.input(input, index, other);
                }
            }
        }
        if finite {
            let mut lanes = room.lanes.iter_mut().map(|lanes| &mut lanes.0[index % LANES]);
            for (i, &a) in values.iter().enumerate() {
                *lanes.next().expect("one for each") += a * a;
                for (&b, lane) in values[i + 1..].iter().zip(&mut lanes) {
                    *lane += (a - b) * (a - b);
                }
            }
        }
    }
}

/// The fast path, compiled once per instruction set.
#[inline(always)]
pub(super) fn fast(block: &Block<'_>, room: &mut Squares, tally: &mut Tally) {
    let elements = block.elements();
    for start in (0..elements).step_by(PIECE * LANES) {
        let count = (elements - start).min(PIECE * LANES);
        let used = count.div_ceil(LANES);
        let mut suspicious = false;
        for (input, values) in room.values.chunks_exact_mut(PIECE).enumerate() {
            let format = block.format(input);
            let bytes = &block.inputs[input][start * format.bytes..(start + count) * format.bytes];
            suspicious |= has_non_finite(bytes, format);
            let values = &mut values[..used];
            match block.dtypes[input] {
                Dtype::BF16 => widen::<Bf16>(bytes, values),
                Dtype::F16 => widen::<F16>(bytes, values),
                Dtype::F32 => widen::<F32>(bytes, values),
                _ => widen::<F64>(bytes, values),
            }
        }
        if suspicious {
            leave_out(block, start..start + count, &mut room.values, tally);
        }
        let mut sums = &mut room.lanes[..];
        let mut inputs = room.values.chunks_exact(PIECE).map(|values| &values[..used]);
        while let Some(a) = inputs.next() {
            let (own, pairs) = sums.split_first_mut().expect("a sum for each");
            squares(a, own);
            let (pairs, below) = pairs.split_at_mut(inputs.len());
            apart_from_all(a, inputs.clone(), pairs);
            sums = below;
        }
    }
}

/// Values of a piece; zeros up to the end of the last lanes, which add nothing.
#[inline(always)]
fn widen<E: Element>(bytes: &[u8], values: &mut [Lanes]) {
    let words = E::words(bytes);
    for (lanes, words) in values.iter_mut().zip(words.chunks(LANES)) {
        if let Ok(words) = <&[E::Word; LANES]>::try_from(words) {
            lanes.0 = words.map(E::f64);
        } else {
            *lanes = ZEROS;
            lanes.0.iter_mut().zip(words).for_each(|(value, &word)| *value = E::f64(word));
        }
    }
}

#[inline(always)]
fn squares(a: &[Lanes], sum: &mut Lanes) {
    let mut lanes = sum.0;
    for a in a {
        for (lane, a) in lanes.iter_mut().zip(a.0) {
            *lane += a * a;
        }
    }
    sum.0 = lanes;
}

#[inline(always)]
fn apart_from_all<'a>(a: &[Lanes], mut others: impl Iterator<Item = &'a [Lanes]>, sums: &mut [Lanes]) {
    let mut next = || others.next().expect("one for each sum");
    for sums in sums.chunks_mut(TOGETHER) {
        match sums {
            [one] => apart(a, [next()], [one]),
            [one, two] => apart(a, [next(), next()], [one, two]),
            [one, two, three] => apart(a, [next(), next(), next()], [one, two, three]),
            [one, two, three, four] => {
                apart(a, [next(), next(), next(), next()], [one, two, three, four]);
            }
            _ => unreachable!("chunks are as long as that"),
        }
    }
}

#[inline(always)]
fn apart<const N: usize>(a: &[Lanes], others: [&[Lanes]; N], sums: [&mut Lanes; N]) {
    let others = others.map(|b| &b[..a.len()]);
    let mut lanes: [[f64; LANES]; N] = std::array::from_fn(|k| sums[k].0);
    for (i, a) in a.iter().enumerate() {
        for (lanes, b) in lanes.iter_mut().zip(&others) {
            for ((lane, a), b) in lanes.iter_mut().zip(a.0).zip(b[i].0) {
                *lane += (a - b) * (a - b);
            }
        }
    }
    for (sum, lanes) in sums.into_iter().zip(lanes) {
        sum.0 = lanes;
    }
}

/// Set to zero in all inputs what is not finite in one, and count it.
#[cold]
fn leave_out(block: &Block<'_>, piece: std::ops::Range<usize>, values: &mut [Lanes], tally: &mut Tally) {
    for (place, index) in piece.enumerate() {
        let mut finite = true;
        for input in 0..block.inputs.len() {
            let value = block.value(input, index);
            finite &= matches!(value, Value::Finite { .. });
            tally.input(input, index, value);
        }
        if !finite {
            for values in values.chunks_exact_mut(PIECE) {
                values[place / LANES].0[place % LANES] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
