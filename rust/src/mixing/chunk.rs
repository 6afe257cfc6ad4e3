//! One chunk of one tensor, mixed by the kernels.

use super::read::Stretch;
use crate::dtype::Dtype;
use crate::kernels::{Kernels, Request, Tally, count_non_finite};
use crate::mix::Mix;

/// Output bytes of a chunk, so that one worker's input chunks and output chunk stay within 4 MiB; `derived` of the
/// ingredients are computed, in F64.
pub fn chunk_bytes(ingredients: usize, derived: usize) -> u64 {
    let share = (4u64 << 20) / (ingredients as u64 + 4 * derived as u64 + 1);
    (share.next_power_of_two() >> u32::from(!share.is_power_of_two())).clamp(64 << 10, 1 << 20)
}

/// One chunk by one row. `inputs` holds the chunk's elements of every ingredient with a numerator in the row; one
/// ingredient that is the whole result is copied, NaN payloads included.
pub(crate) fn mix_chunk(
    kernels: &Kernels,
    mix: &Mix,
    inputs: &[Option<Stretch<'_>>],
    output_dtype: Dtype,
    output: &mut [u8],
    tally: &mut Tally,
) {
    let used: Vec<usize> = (0..inputs.len()).filter(|&i| mix.numerators()[i] != 0).collect();
    let input = |i: usize| inputs[i].expect("an ingredient with a numerator was read");
    let mut counts = Tally::new(used.len());
    counts.base = tally.base;
    match mix.sole() {
        Some(sole) if input(sole).dtype == output_dtype => {
            output.copy_from_slice(input(sole).values);
            count_non_finite(output, output_dtype, &mut counts);
        }
        _ => {
            let bytes: Vec<&[u8]> = used.iter().map(|&i| input(i).values).collect();
            let dtypes: Vec<Dtype> = used.iter().map(|&i| input(i).dtype).collect();
            let numerators: Vec<i64> = used.iter().map(|&i| mix.numerators()[i]).collect();
            let request = Request {
                inputs: &bytes,
                dtypes: &dtypes,
                numerators: &numerators,
                whole: mix.whole(),
                output_dtype,
            };
            kernels.mean(&request, output, &mut counts);
        }
    }
    if !counts.is_clean() {
        tally.spread(&counts, &used);
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
