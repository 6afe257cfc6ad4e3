//! A kernel set: one implementation of the hot loops, behind checks of what it is given.

use super::difference::Pair;
use super::enclosed::Enclosed;
use super::format::Format;
use super::inner_products::{self, InnerProducts};
use super::low_rank::Row;
use super::masked::{Deltas, Masking};
use super::request::Request;
use super::squares::{self, Block, Squares};
use super::tally::Tally;
use crate::mix::Subset;

/// One implementation of the hot loop. Sets differ in speed, never in a bit.
pub struct Kernels {
    /// Its name: `scalar`, `avx2`, `avx512` or `neon`.
    pub name: &'static str,
    pub(super) run: fn(&Request<'_>, &mut [u8], &mut Tally),
    pub(super) difference: fn(&Pair<'_>, f64) -> f64,
    pub(super) low_rank: fn(&Row<'_>, &mut [u8], &mut [u8]),
    pub(super) enclosed: fn(&Enclosed<'_>, &mut [u8], &mut [bool]),
    pub(super) squares: squares::Run,
    pub(super) inner_products: inner_products::Run,
    pub(super) subsets: fn(&Masking<'_>, &mut [Subset], &mut Tally),
    pub(super) magnitudes: fn(&Deltas<'_>, &mut [u64]),
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Kernels {
    /// Average a chunk into `output` and count what is not finite.
    ///
    /// # Panics
    /// If lengths and dtypes do not fit each other: a bug in the caller.
    pub fn mean(&self, request: &Request<'_>, output: &mut [u8], tally: &mut Tally) {
        let format = Format::of(request.output_dtype).expect("a float output dtype");
        let elements = output.len() / format.bytes;
        assert_eq!(output.len(), elements * format.bytes, "whole output elements");
        assert!(
            request.inputs.len() == request.dtypes.len() && request.inputs.len() == request.numerators.len()
        );
        assert!(
            tally.inputs.len() == request.inputs.len() && !request.inputs.is_empty() && request.whole > 0
        );
        for (input, &dtype) in request.inputs.iter().zip(request.dtypes) {
            let bytes = Format::of(dtype).expect("a float input dtype").bytes;
            assert_eq!(input.len(), elements * bytes, "as many elements in as out");
        }
        (self.run)(request, output, tally);
    }

    /// Add a product of two narrow matrices to a row of a weight: F64 that are near, and how far off each may be.
    ///
    /// # Panics
    /// If lengths and dtypes do not fit each other: a bug in the caller.
    pub(crate) fn low_rank(&self, row: &Row<'_>, values: &mut [u8], radii: &mut [u8]) {
        row.check(values, radii);
        (self.low_rank)(row, values, radii);
    }

    /// Average elements that are known but for a radius. Those in doubt are still to be made by the definition.
    ///
    /// # Panics
    /// If lengths and dtypes do not fit each other: a bug in the caller.
    pub(crate) fn enclosed(&self, request: &Enclosed<'_>, output: &mut [u8], doubts: &mut [bool]) {
        request.check(output, doubts);
        (self.enclosed)(request, output, doubts);
    }

    /// The larger of `known` and the largest difference of a pair.
    pub(super) fn difference(&self, pair: Pair<'_>, known: f64) -> f64 {
        let (Some(output), Some(input)) = (Format::of(pair.output_dtype), Format::of(pair.input_dtype))
        else {
            return known;
        };
        let elements = pair.output.len() / output.bytes;
        assert_eq!(pair.output.len(), elements * output.bytes, "whole output elements");
        assert_eq!(pair.input.len(), elements * input.bytes, "as many elements in as out");
        (self.difference)(&pair, known)
    }

    /// The sums of a block; what is not finite is counted.
    ///
    /// # Panics
    /// If lengths and dtypes do not fit each other: a bug in the caller.
    pub fn squares<'a>(&self, block: Block<'_>, room: &'a mut Squares, tally: &mut Tally) -> &'a [f64] {
        room.of(&block, self.squares, tally)
    }

    /// The sums of a block: its inputs are the gradient, the reference, then the tensors whose differences are meant.
    ///
    /// # Panics
    /// If lengths and dtypes do not fit each other: a bug in the caller.
    pub fn inner_products<'a>(&self, block: Block<'_>, room: &'a mut InnerProducts) -> &'a [f64] {
        room.of(&block, self.inner_products)
    }

    /// Who takes part in each element of a masked row. What is not finite is counted, of the ingredients and then of the base.
    ///
    /// # Panics
    /// If lengths and dtypes do not fit each other: a bug in the caller.
    pub(crate) fn subsets(&self, masking: &Masking<'_>, subsets: &mut [Subset], tally: &mut Tally) {
        masking.check(subsets, tally);
        (self.subsets)(masking, subsets, tally);
    }

    /// Bits of how far each element is from the base's, 0 where one of the two is not finite.
    ///
    /// # Panics
    /// If lengths and dtypes do not fit each other: a bug in the caller.
    pub(crate) fn magnitudes(&self, deltas: &Deltas<'_>, magnitudes: &mut [u64]) {
        deltas.check(magnitudes);
        (self.magnitudes)(deltas, magnitudes);
    }
}
