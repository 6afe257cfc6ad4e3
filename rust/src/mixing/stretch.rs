//! Elements that are all made by one row, mixed by the kernels.

use super::numbers::number;
use super::read::Stretch;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::Buffer;
use crate::kernels::enclosed::{Enclosed, Input, MOST};
use crate::kernels::{Kernels, Request, Tally, count_non_finite};
use crate::mix::sole;

/// Some elements, of which the first is the `tally`'s base. One ingredient that is the whole result is copied, NaN payloads included.
///
/// # Errors
/// An adapter cannot be read.
pub(super) fn mix_stretch(
    kernels: &Kernels,
    (numerators, whole): (&[i64], u64),
    inputs: &[Option<Stretch<'_>>],
    output_dtype: Dtype,
    output: &mut [u8],
    tally: &mut Tally,
) -> Result<()> {
    let used: Vec<usize> = (0..inputs.len()).filter(|&i| numerators[i] != 0).collect();
    let input = |i: usize| inputs[i].expect("an ingredient with a numerator was read");
    let mut counts = Tally::new(used.len());
    counts.base = tally.base;
    let sole = sole(numerators, whole);
    let numerators: Vec<i64> = used.iter().map(|&i| numerators[i]).collect();
    match sole {
        _ if used.iter().any(|&i| input(i).exact.is_some()) => {
            let inputs: Vec<Stretch<'_>> = used.iter().map(|&i| input(i)).collect();
            mix_enclosed(kernels, (&numerators, whole), &inputs, output_dtype, output, &mut counts)?;
        }
        Some(sole) if input(sole).dtype == output_dtype => {
            output.copy_from_slice(input(sole).values);
            count_non_finite(output, output_dtype, &mut counts);
        }
        _ => {
            let bytes: Vec<&[u8]> = used.iter().map(|&i| input(i).values).collect();
            let dtypes: Vec<Dtype> = used.iter().map(|&i| input(i).dtype).collect();
            let request =
                Request { inputs: &bytes, dtypes: &dtypes, numerators: &numerators, whole, output_dtype };
            kernels.mean(&request, output, &mut counts);
        }
    }
    if !counts.is_clean() {
        tally.spread(&counts, &used);
    }
    Ok(())
}

/// A chunk of elements some of which are known but for a radius; those whose mean is in doubt are made of their terms.
fn mix_enclosed(
    kernels: &Kernels,
    (numerators, whole): (&[i64], u64),
    inputs: &[Stretch<'_>],
    output_dtype: Dtype,
    output: &mut [u8],
    tally: &mut Tally,
) -> Result<()> {
    let size = output_dtype.bytes().expect("a float");
    let base = tally.base;
    let mut scratch = Buffer::default();
    let mut terms = vec![Vec::new(); inputs.len()];
    for (number, output) in output.chunks_mut(MOST * size).enumerate() {
        let (first, count) = (number * MOST, output.len() / size);
        let piece = |bytes, dtype: Dtype| -> &[u8] {
            let size = dtype.bytes().expect("a float");
            let bytes: &[u8] = bytes;
            &bytes[first * size..(first + count) * size]
        };
        let pieces: Vec<_> = inputs
            .iter()
            .map(|input| {
                let radii = input.exact.map(|(radii, _)| piece(radii, Dtype::F64));
                Input { values: piece(input.values, input.dtype), dtype: input.dtype, radii }
            })
            .collect();
        let request = Enclosed { inputs: &pieces, numerators, whole, output_dtype };
        let mut doubts = [false; MOST];
        kernels.enclosed(&request, output, &mut doubts[..count]);
        tally.base = base + first as u64;
        for index in (0..count).filter(|&index| doubts[index]) {
            for (input, terms) in inputs.iter().zip(&mut terms) {
                terms_of(input, first + index, &mut scratch, terms)?;
            }
            request.exact_element(index, terms.iter().map(Vec::as_slice), output, tally);
        }
    }
    tally.base = base;
    Ok(())
}

/// Numbers whose sum is one element.
fn terms_of(input: &Stretch<'_>, index: usize, scratch: &mut Buffer, terms: &mut Vec<f64>) -> Result<()> {
    let (values, dtype) = match input.exact {
        // Where nothing is added the factors need no look.
        Some((radii, updated)) if number(Dtype::F64, radii, index) == 0.0 => (updated.weights, updated.dtype),
        Some((_, updated)) => return updated.terms(index, scratch, terms),
        None => (input.values, input.dtype),
    };
    terms.clear();
    terms.push(number(dtype, values, index));
    Ok(())
}
