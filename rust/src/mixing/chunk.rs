//! One chunk of one tensor, mixed by the kernels.

use super::masked::mix_masked;
use super::read::Stretch;
use super::stretch::mix_stretch;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::kernels::{Kernels, Tally, count_non_finite};
use crate::mix::Mixture;

/// Output bytes of a chunk, so that one worker's input chunks and output chunk stay within 4 MiB; `derived` of the
/// ingredients are computed, in F64.
pub fn chunk_bytes(ingredients: usize, derived: usize) -> u64 {
    let share = (4u64 << 20) / (ingredients as u64 + 4 * derived as u64 + 1);
    (share.next_power_of_two() >> u32::from(!share.is_power_of_two())).clamp(64 << 10, 1 << 20)
}

/// What is made of a tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mixing<'a> {
    pub(crate) mixture: &'a Mixture,
    /// Of the whole tensor.
    pub(crate) elements: u64,
    /// Of what is written.
    pub(crate) dtype: Dtype,
}

/// One chunk of a tensor, which begins at the element that is the `tally`'s base. `inputs` holds the chunk's elements of
/// every ingredient that takes part.
///
/// # Errors
/// An adapter cannot be read.
pub(crate) fn mix_chunk(
    kernels: &Kernels,
    mixing: &Mixing<'_>,
    inputs: &[Option<Stretch<'_>>],
    output: &mut [u8],
    tally: &mut Tally,
) -> Result<()> {
    let Mixing { mixture, elements, dtype } = *mixing;
    match mixture {
        Mixture::One(mix) => {
            mix_stretch(kernels, (mix.numerators(), mix.whole()), inputs, dtype, output, tally)
        }
        Mixture::Filters(filters) => {
            let size = dtype.bytes().expect("a float");
            let (each, base) = (elements / filters.count(), tally.base);
            let end = base + (output.len() / size) as u64;
            let mut first = base;
            while first < end {
                let filter = first / each;
                let next = end.min((filter + 1) * each);
                let here = (first - base) as usize..(next - base) as usize;
                let inputs: Vec<_> =
                    inputs.iter().map(|input| input.map(|stretch| stretch.part(here.clone()))).collect();
                tally.base = first;
                let output = &mut output[here.start * size..here.end * size];
                mix_stretch(kernels, filters.row(filter), &inputs, dtype, output, tally)?;
                first = next;
            }
            tally.base = base;
            Ok(())
        }
        Mixture::Masked(masked) => mix_masked(kernels, masked, inputs, dtype, output, tally),
    }
}

/// Count what is not finite in a chunk that one ingredient gives unchanged.
pub(crate) fn count_taken(bytes: &[u8], dtype: Dtype, from: usize, tally: &mut Tally) {
    let mut counts = Tally::new(1);
    counts.base = tally.base;
    count_non_finite(bytes, dtype, &mut counts);
    if !counts.is_clean() {
        tally.spread(&counts, &[from]);
    }
}
