//! One chunk to be averaged, and one element of it by the definition.

use super::exact;
use super::format::{Format, Value};
use super::tally::Tally;
use crate::dtype::Dtype;

/// A chunk to be averaged: the same elements of every ingredient that takes part.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Bytes of each ingredient; all hold the same number of elements.
    pub inputs: &'a [&'a [u8]],
    /// Their float dtypes.
    pub dtypes: &'a [Dtype],
    /// Their numerators, none of them zero.
    pub numerators: &'a [i64],
    /// The common denominator.
    pub whole: u64,
    /// A float dtype.
    pub output_dtype: Dtype,
}

impl Request<'_> {
    /// `Σ |numerators|`, at most [`crate::mix::MAX_PARTS`].
    pub(super) fn parts_sum(&self) -> u64 {
        self.numerators.iter().map(|n| n.unsigned_abs()).sum()
    }

    /// Element `index` by the definition.
    pub(super) fn exact_element(&self, index: usize, output: &mut [u8], tally: &mut Tally) {
        const FEW: usize = 16;
        let output_format = Format::of(self.output_dtype).expect("checked by `Kernels::mean`");
        let mut few = [Value::Nan; FEW];
        let mut many = Vec::new();
        let values = if self.inputs.len() <= FEW {
            &mut few[..self.inputs.len()]
        } else {
            many.resize(self.inputs.len(), Value::Nan);
            &mut many[..]
        };
        let mut finite = true;
        for (k, (input, &dtype)) in self.inputs.iter().zip(self.dtypes).enumerate() {
            let format = Format::of(dtype).expect("checked by `Kernels::mean`");
            values[k] = format.decode(format.load(input, index));
            if !matches!(values[k], Value::Finite { .. }) {
                finite = false;
                tally.input(k, index, values[k]);
            }
        }
        let bits = exact::mean(values, self.numerators, self.whole, output_format);
        if finite && bits & (output_format.sign() - 1) >= output_format.infinity {
            tally.created(index);
        }
        output_format.store(output, index, bits);
    }
}
