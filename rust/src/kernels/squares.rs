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
//! A piece of each input is widened to f64 once, into the first-level cache, and shared by all its pairs. Pieces are short:
//! with long ones the memory would wait while sums are made.

use super::difference::widened;
use super::element::{Bf16, Element, F16, F32, F64};
use super::format::{Format, Value};
use super::tally::Tally;
use crate::dtype::Dtype;

pub(super) const LANES: usize = 16;
/// Elements of each input that are widened at a time: few, so that all inputs stream from memory while sums are made.
pub(super) const PIECE: usize = 128;
/// Bytes of the widest vector: a load that crosses two of them costs twice.
const WIDEST: usize = 64;

/// What is added to one sum, by lane.
pub(super) type Lanes = [f64; LANES];

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
    pub(super) fn check(&self, inputs: usize) {
        assert!(inputs > 0 && inputs == self.inputs.len() && inputs == self.dtypes.len());
        for (input, &dtype) in self.inputs.iter().zip(self.dtypes) {
            let bytes = Format::of(dtype).expect("a float dtype").bytes;
            assert_eq!(input.len(), self.elements() * bytes, "as many elements in each");
        }
        assert!(self.elements() <= Squares::BLOCK, "one block");
    }

    pub(super) fn format(&self, input: usize) -> Format {
        Format::of(self.dtypes[input]).expect("checked by `Block::check`")
    }

    pub(super) fn elements(&self) -> usize {
        self.inputs[0].len() / self.format(0).bytes
    }

    pub(super) fn value(&self, input: usize, index: usize) -> Value {
        let format = self.format(input);
        format.decode(format.load(self.inputs[input], index))
    }
}

/// A worker's memory for the sums of one block.
#[derive(Debug)]
pub struct Squares {
    inputs: usize,
    /// A piece of each input, and room to begin where vectors do.
    values: Vec<f64>,
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
        Self {
            inputs,
            values: vec![0.0; inputs * PIECE + WIDEST / size_of::<f64>()],
            lanes: vec![[0.0; LANES]; sums],
            sums: vec![0.0; sums],
        }
    }

    /// How many sums `inputs` tensors have.
    pub fn count(inputs: usize) -> usize {
        inputs * (inputs + 1) / 2
    }

    /// Whether all sums of squares are finite so far.
    fn is_finite(&self) -> bool {
        let mut rest = &self.lanes[..];
        for below in (0..self.inputs).rev() {
            if !rest[0].iter().all(|sum| sum.is_finite()) {
                return false;
            }
            rest = &rest[1 + below..];
        }
        true
    }

    /// The sums of a block by one of the loops.
    pub(super) fn of(&mut self, block: &Block<'_>, run: Run, tally: &mut Tally) -> &[f64] {
        block.check(self.inputs);
        assert_eq!(tally.inputs.len(), self.inputs);
        self.lanes.fill([0.0; LANES]);
        run(block, self, tally);
        for (sum, lanes) in self.sums.iter_mut().zip(&self.lanes) {
            *sum = total(lanes);
        }
        &self.sums
    }
}

pub(super) fn total(lanes: &Lanes) -> f64 {
    let mut rest = *lanes;
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
            let mut lanes = room.lanes.iter_mut().map(|lanes| &mut lanes[index % LANES]);
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
    // A sum of squares is finite only where every element is, so there is hardly ever a second look.
    for looks in [false, true] {
        let begin = room.values.as_ptr().align_offset(WIDEST).min(WIDEST / size_of::<f64>());
        let values = &mut room.values[begin..][..room.inputs * PIECE];
        let elements = block.elements();
        for start in (0..elements).step_by(PIECE) {
            let piece = start..elements.min(start + PIECE);
            let used = piece.len().next_multiple_of(LANES);
            for (input, values) in values.chunks_exact_mut(PIECE).enumerate() {
                let size = block.format(input).bytes;
                let bytes = &block.inputs[input][piece.start * size..piece.end * size];
                widen(block.dtypes[input], bytes, &mut values[..used]);
            }
            if looks {
                leave_out(block, piece, values, tally);
            }
            let mut sums = &mut room.lanes[..];
            let mut inputs = values.chunks_exact(PIECE).map(|values| &values[..used]);
            while let Some(a) = inputs.next() {
                let (own, below) = sums.split_at_mut(1 + inputs.len());
                add(a, inputs.clone(), own);
                sums = below;
            }
        }
        if looks || room.is_finite() {
            return;
        }
        room.lanes.fill([0.0; LANES]);
    }
}

/// Values of a piece; zeros up to the end of the last lanes, which add nothing.
#[inline(always)]
pub(super) fn widen(dtype: Dtype, bytes: &[u8], values: &mut [f64]) {
    match dtype {
        Dtype::BF16 => widen_from::<Bf16>(bytes, values),
        Dtype::F16 => widen_from::<F16>(bytes, values),
        Dtype::F32 => widen_from::<F32>(bytes, values),
        _ => widen_from::<F64>(bytes, values),
    }
}

#[inline(always)]
fn widen_from<E: Element>(bytes: &[u8], values: &mut [f64]) {
    // One flat loop: by lanes, compilers shuffle.
    let words = E::words(bytes);
    values[words.len()..].fill(0.0);
    values.iter_mut().zip(words).for_each(|(value, &word)| *value = E::f64(word));
}

/// Add a piece to the sums of its input: its own squares, then those of what it is apart from the others.
#[inline(always)]
fn add<'a>(a: &[f64], mut others: impl Iterator<Item = &'a [f64]>, sums: &mut [Lanes]) {
    let mut next = || others.next().expect("one for each sum but the first");
    // As many together as registers hold, so that `a` is loaded once.
    let (first, rest) = sums.split_at_mut(sums.len().min(4));
    match first {
        [own, one, two, three] => squares(a, own, [next(), next(), next()], [one, two, three]),
        [own, one, two] => squares(a, own, [next(), next()], [one, two]),
        [own, one] => squares(a, own, [next()], [one]),
        [own] => squares(a, own, [], []),
        _ => {}
    }
    for sum in rest {
        apart(a, next(), sum);
    }
}

#[inline(always)]
fn squares<const N: usize>(a: &[f64], own: &mut Lanes, others: [&[f64]; N], sums: [&mut Lanes; N]) {
    let a = a.as_chunks::<LANES>().0;
    let others = others.map(|b| &b.as_chunks::<LANES>().0[..a.len()]);
    let (mut squares, mut lanes) = (*own, [[0.0; LANES]; N]);
    for (lanes, sum) in lanes.iter_mut().zip(&sums) {
        *lanes = **sum;
    }
    for i in 0..a.len() {
        for lane in 0..LANES {
            squares[lane] += a[i][lane] * a[i][lane];
        }
        for k in 0..N {
            for lane in 0..LANES {
                let difference = a[i][lane] - others[k][i][lane];
                lanes[k][lane] += difference * difference;
            }
        }
    }
    *own = squares;
    for (sum, lanes) in sums.into_iter().zip(lanes) {
        *sum = lanes;
    }
}

#[inline(always)]
fn apart(a: &[f64], b: &[f64], sum: &mut Lanes) {
    let mut lanes = *sum;
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            lanes[lane] += difference * difference;
        }
    }
    *sum = lanes;
}

/// Set to zero in all inputs what is not finite in one, and count it.
#[cold]
fn leave_out(block: &Block<'_>, piece: std::ops::Range<usize>, values: &mut [f64], tally: &mut Tally) {
    for (place, index) in piece.enumerate() {
        let mut finite = true;
        for input in 0..block.inputs.len() {
            let value = block.value(input, index);
            finite &= matches!(value, Value::Finite { .. });
            tally.input(input, index, value);
        }
        if !finite {
            for values in values.chunks_exact_mut(PIECE) {
                values[place] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
