//! What the differences of tensors have in common with a gradient: inner products, in f64.
//!
//! Of a gradient `g`, a reference `r` and tensors `v` these are the sums of `g · (v - r)`, one for each `v`: differences, so
//! that large numbers which are nearly equal do not cancel in the sums. Like those of [`super::squares`] they are
//! defined to the bit: element `i` of a block is added to lane `i % 16`, in order, then the upper half of the lanes to the
//! lower, until one is left; each step rounded once to f64, none fused. [`crate::mixing`] adds blocks in a fixed tree.
//!
//! What is not finite is not left out: a product with it shows in the sum.

use super::difference::widened;
use super::format::Value;
use super::squares::{Block, LANES, Lanes, PIECE, total, widen};

/// A loop that adds a block to lanes of zeros.
pub(super) type Run = fn(&Block<'_>, &mut InnerProducts);

/// A worker's memory for the inner products of one block.
#[derive(Debug)]
pub struct InnerProducts {
    lanes: Vec<Lanes>,
    sums: Vec<f64>,
}

impl InnerProducts {
    /// Room for the inner products of `count` tensors.
    pub fn new(count: usize) -> Self {
        Self { lanes: vec![[0.0; LANES]; count], sums: vec![0.0; count] }
    }

    /// The sums of a block by one of the loops.
    pub(super) fn of(&mut self, block: &Block<'_>, run: Run) -> &[f64] {
        block.check(2 + self.sums.len());
        self.lanes.fill([0.0; LANES]);
        run(block, self);
        for (sum, lanes) in self.sums.iter_mut().zip(&self.lanes) {
            *sum = total(lanes);
        }
        &self.sums
    }
}

/// The definition: element by element.
pub(super) fn by_definition(block: &Block<'_>, room: &mut InnerProducts) {
    let number = |input, index| match block.value(input, index) {
        Value::Finite { negative, mantissa, exponent } => widened(negative, mantissa, exponent),
        Value::Infinity { negative: false } => f64::INFINITY,
        Value::Infinity { negative: true } => f64::NEG_INFINITY,
        Value::Nan => f64::NAN,
    };
    for index in 0..block.elements() {
        let (gradient, reference) = (number(0, index), number(1, index));
        for (input, lanes) in room.lanes.iter_mut().enumerate() {
            lanes[index % LANES] += gradient * (number(2 + input, index) - reference);
        }
    }
}

/// The fast path, compiled once per instruction set.
#[inline(always)]
pub(super) fn fast(block: &Block<'_>, room: &mut InnerProducts) {
    let (mut gradient, mut reference, mut values) = ([0.0; PIECE], [0.0; PIECE], [0.0; PIECE]);
    let elements = block.elements();
    for start in (0..elements).step_by(PIECE) {
        let count = (elements - start).min(PIECE);
        let used = count.next_multiple_of(LANES);
        let bytes = |input: usize| {
            let size = block.format(input).bytes;
            &block.inputs[input][start * size..(start + count) * size]
        };
        widen(block.dtypes[0], bytes(0), &mut gradient[..used]);
        widen(block.dtypes[1], bytes(1), &mut reference[..used]);
        for (input, lanes) in room.lanes.iter_mut().enumerate() {
            widen(block.dtypes[2 + input], bytes(2 + input), &mut values[..used]);
            add(&gradient[..used], &reference[..used], &values[..used], lanes);
        }
    }
}

/// Add a piece to the lanes of one tensor.
#[inline(always)]
fn add(gradient: &[f64], reference: &[f64], values: &[f64], lanes: &mut Lanes) {
    let mut sums = *lanes;
    let (gradient, reference) = (gradient.as_chunks::<LANES>().0, reference.as_chunks::<LANES>().0);
    for ((g, r), v) in gradient.iter().zip(reference).zip(values.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += g[lane] * (v[lane] - r[lane]);
        }
    }
    *lanes = sums;
}

#[cfg(test)]
mod tests;
