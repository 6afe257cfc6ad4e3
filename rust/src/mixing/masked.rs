//! A chunk of a masked row: its elements are grouped by who takes part in them, and each group is a mix like any other.
//!
//! Every element is gathered, mixed and scattered once, whatever the number of subsets.

use std::collections::HashMap;
use std::ops::Range;

use super::read::Stretch;
use super::stretch::mix_stretch;
use crate::dtype::Dtype;
use crate::error::{Problem, ProblemKind, Result};
use crate::kernels::masked::Masking;
use crate::kernels::{Kernels, Tally};
use crate::mix::{Masked, Mix, Subset};

/// Elements that are grouped together.
const BLOCK: usize = 8192;
/// Ingredients up to which elements are sorted by counting.
const FEW: u32 = 12;

/// One chunk by one masked row. `inputs` holds the chunk's elements of the base and of every ingredient with a numerator;
/// the `tally`'s base is the
/// element of the tensor that comes first.
///
/// # Errors
/// An ingredient with an adapter on top.
pub(super) fn mix_masked(
    kernels: &Kernels,
    masked: &Masked,
    inputs: &[Option<Stretch<'_>>],
    output_dtype: Dtype,
    output: &mut [u8],
    tally: &mut Tally,
) -> Result<()> {
    let size = output_dtype.bytes().expect("a float");
    let taking: Vec<usize> = masked.taking().collect();
    let everyone: Vec<usize> = taking.iter().copied().chain([masked.base()]).collect();
    let input = |i: usize| inputs[i].expect("an ingredient that takes part was read");
    if everyone.iter().any(|&i| input(i).exact.is_some()) {
        let message = "an adapter changes a tensor whose elements are masked";
        let hint = "merge its ingredient with the adapter first";
        return Err(Problem::new(ProblemKind::Recipe, message).hint(hint).into());
    }
    let numerators: Vec<i64> = taking.iter().map(|&i| masked.numerators()[i]).collect();
    let keeps: Vec<_> = taking.iter().map(|&i| &masked.keeps()[i]).collect();
    let dtypes: Vec<Dtype> = taking.iter().map(|&i| input(i).dtype).collect();
    let mut mixes = HashMap::new();
    let mut subsets = vec![0; BLOCK];
    let mut groups = Groups::default();
    let mut gathered = vec![Vec::new(); inputs.len()];
    let mut results = vec![0; BLOCK * size];
    for (number, output) in output.chunks_mut(BLOCK * size).enumerate() {
        let block = number * BLOCK..number * BLOCK + output.len() / size;
        let first = tally.base + block.start as u64;
        let subsets = &mut subsets[..block.len()];
        let base = input(masked.base());
        let masking = Masking {
            base: part(&base, &block),
            base_dtype: base.dtype,
            inputs: &taking.iter().map(|&i| part(&input(i), &block)).collect::<Vec<_>>(),
            dtypes: &dtypes,
            numerators: &numerators,
            keeps: &keeps,
            elects: masked.elects(),
            first,
        };
        let mut counts = Tally::new(everyone.len());
        counts.base = first;
        kernels.subsets(&masking, subsets, &mut counts);
        if !counts.is_clean() {
            tally.spread(&counts, &everyone);
        }
        groups.of(subsets, taking.len() as u32);
        for (subset, places) in groups.iter(subsets) {
            let mix: &Mix = mixes.entry(subset).or_insert_with(|| masked.mix(subset));
            let row = (mix.numerators(), mix.whole());
            let used = everyone.iter().copied().filter(|&i| mix.numerators()[i] != 0);
            let mut made = Tally::new(inputs.len());
            if places.len() == block.len() {
                let mut pieces = vec![None; inputs.len()];
                for i in used {
                    pieces[i] = Some(Stretch { values: part(&input(i), &block), ..input(i) });
                }
                mix_stretch(kernels, row, &pieces, output_dtype, output, &mut made)?;
            } else {
                for i in used.clone() {
                    gather(part(&input(i), &block), places, input(i).dtype, &mut gathered[i]);
                }
                let mut pieces = vec![None; inputs.len()];
                for i in used {
                    pieces[i] = Some(Stretch { values: &gathered[i], ..input(i) });
                }
                let results = &mut results[..places.len() * size];
                mix_stretch(kernels, row, &pieces, output_dtype, results, &mut made)?;
                scatter(results, places, output_dtype, output);
            }
            // What is not finite in an ingredient was counted above, also where it has no part in the mix.
            if let Some(created) = made.first_created {
                let created = first + u64::from(places[created as usize]);
                tally.created += made.created;
                tally.first_created = Some(tally.first_created.map_or(created, |known| known.min(created)));
            }
        }
    }
    Ok(())
}

fn part<'a>(stretch: &Stretch<'a>, elements: &Range<usize>) -> &'a [u8] {
    let size = stretch.dtype.bytes().expect("a float");
    &stretch.values[elements.start * size..elements.end * size]
}

/// The elements of a block, sorted by their subsets, in their order where these are equal.
#[derive(Default)]
struct Groups {
    counts: Vec<u32>,
    places: Vec<u32>,
}

impl Groups {
    /// Sort the elements of a block of which `taking` ingredients may take part.
    fn of(&mut self, subsets: &[Subset], taking: u32) {
        if taking > FEW {
            self.places.clear();
            self.places.extend(0..subsets.len() as u32);
            self.places.sort_by_key(|&place| subsets[place as usize]);
            return;
        }
        self.counts.clear();
        self.counts.resize(1 << taking, 0);
        for &subset in subsets {
            self.counts[subset as usize] += 1;
        }
        let mut start = 0;
        for count in &mut self.counts {
            start += std::mem::replace(count, start);
        }
        self.places.resize(subsets.len(), 0);
        for (place, &subset) in (0..).zip(subsets) {
            let next = &mut self.counts[subset as usize];
            self.places[*next as usize] = place;
            *next += 1;
        }
    }

    /// Each subset that there is, with its elements.
    fn iter(&self, subsets: &[Subset]) -> impl Iterator<Item = (Subset, &[u32])> {
        let of = |place: u32| subsets[place as usize];
        self.places.chunk_by(move |&a, &b| of(a) == of(b)).map(move |places| (of(places[0]), places))
    }
}

fn gather(from: &[u8], places: &[u32], dtype: Dtype, to: &mut Vec<u8>) {
    fn each<const N: usize>(from: &[u8], places: &[u32], to: &mut [u8]) {
        let from = from.as_chunks::<N>().0;
        to.as_chunks_mut::<N>().0.iter_mut().zip(places).for_each(|(to, &place)| *to = from[place as usize]);
    }
    let size = dtype.bytes().expect("a float");
    to.resize(places.len() * size, 0);
    match size {
        2 => each::<2>(from, places, to),
        4 => each::<4>(from, places, to),
        _ => each::<8>(from, places, to),
    }
}

fn scatter(from: &[u8], places: &[u32], dtype: Dtype, to: &mut [u8]) {
    fn each<const N: usize>(from: &[u8], places: &[u32], to: &mut [u8]) {
        let to = to.as_chunks_mut::<N>().0;
        from.as_chunks::<N>().0.iter().zip(places).for_each(|(from, &place)| to[place as usize] = *from);
    }
    match dtype.bytes().expect("a float") {
        2 => each::<2>(from, places, to),
        4 => each::<4>(from, places, to),
        _ => each::<8>(from, places, to),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::mix_masked;
    use crate::dtype::Dtype;
    use crate::kernels::masked::Masking;
    use crate::kernels::{Kernels, Request, Tally};
    use crate::mix::{Divisor, Edge, Keep, Masked};
    use crate::mixing::Stretch;

    const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];
    const COUNT: usize = 600;

    /// Bytes of fine-tunes of one model: near each other, equal in places, and some anything at all.
    fn bytes(dtype: Dtype, seed: u64, input: u64) -> Vec<u8> {
        let size = dtype.bytes().unwrap();
        let mix = |x: u64| {
            let x = (x ^ x >> 31).wrapping_mul(0x7fb5_d329_728e_a185);
            (x ^ x >> 27).wrapping_mul(0x81da_def4_bc2d_d44d) ^ x >> 33
        };
        let mut out = Vec::new();
        for e in 0..COUNT as u64 {
            let common = mix(seed ^ e << 8);
            let own = mix(common ^ (input + 1) << 40);
            let word = if own.is_multiple_of(61) { own } else { common ^ (own % 8) };
            out.extend_from_slice(&word.to_le_bytes()[..size]);
        }
        out
    }

    fn keep() -> impl Strategy<Value = Keep> {
        let low =
            (any::<u64>(), 0..COUNT as u64).prop_map(|(bits, index)| Edge { magnitude: bits >> 1, index });
        prop_oneof![
            Just(Keep::All),
            low.prop_map(|low| Keep::Ranks { low, high: None }),
            (any::<[u64; 2]>(), any::<u32>())
                .prop_map(|(key, probability)| Keep::Random { key, probability }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Every element by itself, in integers: the subset by the definition, the mix of the subset by the definition.
        #[test]
        fn a_chunk_is_what_the_definition_says_of_each_element(
            seed in any::<u64>(),
            first in 0..9u64,
            dtypes in prop::collection::vec(prop::sample::select(FLOATS.to_vec()), 2..7),
            same in any::<bool>(),
            parts in prop::collection::vec(prop_oneof![1..9i64, 1..20_000i64, -9..0i64], 6),
            keeps in prop::collection::vec(keep(), 6),
            base in any::<prop::sample::Index>(),
            divides in any::<bool>(),
            elects in any::<bool>(),
        ) {
            let count = dtypes.len();
            let dtypes = if same { vec![dtypes[0]; count] } else { dtypes };
            let base = base.index(count);
            let mut numerators = parts[..count].to_vec();
            numerators[base] = 0;
            let divisors = numerators.iter().map(|n| n.unsigned_abs()).collect();
            let divisor = if divides { Divisor::Sum(divisors) } else { Divisor::Whole(1000) };
            let masked = Masked::new(base, &numerators, divisor, elects, keeps[..count].to_vec()).unwrap();
            let inputs: Vec<Vec<u8>> = (0..count).map(|i| bytes(dtypes[i], seed, i as u64)).collect();
            let output_dtype = dtypes[0];
            let size = output_dtype.bytes().unwrap();
            let stretches: Vec<_> = (0..count)
                .map(|i| Some(Stretch { stored: &[], values: &inputs[i], dtype: dtypes[i], exact: None }))
                .collect();

            let scalar = Kernels::available()[0];
            let (mut expected, mut created) = (vec![0; COUNT * size], 0);
            for e in 0..COUNT {
                let element = |i: usize| {
                    let size = dtypes[i].bytes().unwrap();
                    &inputs[i][e * size..(e + 1) * size]
                };
                let taking: Vec<usize> = masked.taking().collect();
                let masking = Masking {
                    base: element(base),
                    base_dtype: dtypes[base],
                    inputs: &taking.iter().map(|&i| element(i)).collect::<Vec<_>>(),
                    dtypes: &taking.iter().map(|&i| dtypes[i]).collect::<Vec<_>>(),
                    numerators: &taking.iter().map(|&i| numerators[i]).collect::<Vec<_>>(),
                    keeps: &taking.iter().map(|&i| &masked.keeps()[i]).collect::<Vec<_>>(),
                    elects,
                    first: first + e as u64,
                };
                let mut subset = [0];
                scalar.subsets(&masking, &mut subset, &mut Tally::new(taking.len() + 1));
                let mix = masked.mix(subset[0]);
                let out = &mut expected[e * size..(e + 1) * size];
                if let Some(sole) = mix.sole().filter(|&sole| dtypes[sole] == output_dtype) {
                    out.copy_from_slice(element(sole));
                    continue;
                }
                let used: Vec<usize> = (0..count).filter(|&i| mix.numerators()[i] != 0).collect();
                let request = Request {
                    inputs: &used.iter().map(|&i| element(i)).collect::<Vec<_>>(),
                    dtypes: &used.iter().map(|&i| dtypes[i]).collect::<Vec<_>>(),
                    numerators: &used.iter().map(|&i| mix.numerators()[i]).collect::<Vec<_>>(),
                    whole: mix.whole(),
                    output_dtype,
                };
                let mut tally = Tally::new(used.len());
                scalar.mean(&request, out, &mut tally);
                created += tally.created;
            }
            for set in Kernels::available() {
                for cut in [COUNT, 77] {
                    let mut output = vec![0xaa; COUNT * size];
                    let mut tally = Tally::new(count);
                    for (number, output) in output.chunks_mut(cut * size).enumerate() {
                        let elements = number * cut..number * cut + output.len() / size;
                        let pieces: Vec<_> = stretches
                            .iter()
                            .map(|one| one.map(|one| Stretch { values: super::part(&one, &elements), ..one }))
                            .collect();
                        let mut counts = Tally::new(count);
                        counts.base = first + elements.start as u64;
                        mix_masked(set, &masked, &pieces, output_dtype, output, &mut counts).unwrap();
                        tally.merge(&counts);
                    }
                    prop_assert!(output == expected, "{} {}", set.name, cut);
                    prop_assert_eq!(tally.created, created);
                }
            }
        }
    }
}
