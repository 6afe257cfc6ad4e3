//! The fast path against the definition, and the definition against fractions of small integers.

use proptest::prelude::*;

use super::{Deltas, Masking};
use crate::dtype::Dtype;
use crate::kernels::format::Format;
use crate::kernels::{Kernels, Tally};
use crate::mix::{Edge, Keep, Subset};

const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];

fn pack(dtype: Dtype, words: &[u64]) -> Vec<u8> {
    let format = Format::of(dtype).unwrap();
    let mut bytes = vec![0; words.len() * format.bytes];
    words.iter().enumerate().for_each(|(i, &word)| format.store(&mut bytes, i, word));
    bytes
}

/// Elements of integers.
fn integers(dtype: Dtype, values: &[i32]) -> Vec<u8> {
    let format = Format::of(dtype).unwrap();
    let encode = |&value: &i32| format.encode(value < 0, u128::from(value.unsigned_abs()), false, 0);
    pack(dtype, &values.iter().map(encode).collect::<Vec<_>>())
}

fn subsets_by(set: &Kernels, masking: &Masking<'_>, count: usize) -> (Vec<Subset>, Tally) {
    let (mut subsets, mut tally) = (vec![!0; count], Tally::new(masking.inputs.len() + 1));
    tally.base = masking.first;
    set.subsets(masking, &mut subsets, &mut tally);
    (subsets, tally)
}

#[test]
fn the_example_of_ties_without_trimming() {
    let base = integers(Dtype::BF16, &[0, 0, 0, 0]);
    let (one, two) = (integers(Dtype::BF16, &[3, 1, -2, 0]), integers(Dtype::BF16, &[-1, 2, 2, -4]));
    for set in Kernels::available() {
        for (numerators, expected) in [([1, 1], [0b01, 0b11, 0, 0b10]), ([1, 4], [0b10, 0b11, 0b10, 0b10])] {
            let masking = Masking {
                base: &base,
                base_dtype: Dtype::BF16,
                inputs: &[&one, &two],
                dtypes: &[Dtype::BF16; 2],
                numerators: &numerators,
                keeps: &[&Keep::All, &Keep::All],
                elects: true,
                first: 0,
            };
            assert_eq!(subsets_by(set, &masking, 4).0, expected, "{}", set.name);
        }
    }
}

#[test]
fn a_value_that_is_not_finite_takes_all_and_is_counted() {
    let format = Format::of(Dtype::F32).unwrap();
    let (mut base, mut one) = (integers(Dtype::F32, &[0; 600]), integers(Dtype::F32, &[1; 600]));
    format.store(&mut base, 70, format.nan);
    format.store(&mut one, 599, format.infinity);
    let none = Keep::Ranks { low: Edge { magnitude: u64::MAX, index: 0 }, high: None };
    for set in Kernels::available() {
        let masking = Masking {
            base: &base,
            base_dtype: Dtype::F32,
            inputs: &[&one, &one],
            dtypes: &[Dtype::F32; 2],
            numerators: &[1, 1],
            keeps: &[&none, &none],
            elects: true,
            first: 1000,
        };
        let (subsets, tally) = subsets_by(set, &masking, 600);
        let taken: Vec<_> = (0..600).filter(|&i| subsets[i] != 0).map(|i| (i, subsets[i])).collect();
        assert_eq!(taken, [(70, 0b11), (599, 0b11)], "{}", set.name);
        assert_eq!((tally.inputs[2].nan, tally.inputs[2].first), (1, Some(1070)));
        assert_eq!((tally.inputs[0].positive, tally.inputs[0].first), (1, Some(1599)));
    }
}

/// Anything, or near one, or of few bits so that sums are often exactly zero.
fn word(dtype: Dtype) -> impl Strategy<Value = u64> {
    let format = Format::of(dtype).unwrap();
    let fraction = format.precision - 1;
    let middle = format.infinity >> 1 >> fraction << fraction;
    let mask = format.sign() | (format.sign() - 1);
    prop_oneof![
        1 => any::<u64>().prop_map(move |bits| bits & mask),
        3 => (any::<u64>(), 0..3u64).prop_map(move |(bits, binade)| {
            (middle + (binade << fraction) + (bits & ((1 << fraction) - 1))) | ((bits >> 63) * format.sign())
        }),
        6 => (0..4u64, any::<bool>()).prop_map(move |(top, negative)| {
            (middle + (top << (fraction - 2))) | if negative { format.sign() } else { 0 }
        }),
        1 => Just(0),
        1 => Just(format.nan),
    ]
}

fn keep() -> impl Strategy<Value = Keep> {
    let edge = || {
        let size = prop_oneof![
            (0..20u64).prop_map(|size| (size as f64 / 4.0).to_bits()),
            any::<u64>().prop_map(|bits| bits >> 1),
        ];
        (size, 0..400u64).prop_map(|(magnitude, index)| Edge { magnitude, index })
    };
    prop_oneof![
        Just(Keep::All),
        (edge(), prop::option::of(edge())).prop_map(|(low, high)| Keep::Ranks { low, high }),
        (any::<[u64; 2]>(), any::<u32>()).prop_map(|(key, probability)| Keep::Random { key, probability }),
    ]
}

type Case = (Vec<(Dtype, Vec<u8>)>, Vec<i64>, Vec<Keep>, bool, u64);

/// The base comes first.
fn case() -> impl Strategy<Value = Case> {
    let dtype = || prop::sample::select(FLOATS.to_vec());
    let dtypes =
        (dtype(), prop::collection::vec(dtype(), 1..5), any::<bool>()).prop_map(|(first, mut rest, same)| {
            if same {
                rest.fill(first);
            }
            rest.insert(0, first);
            rest
        });
    dtypes.prop_flat_map(|dtypes| {
        let inputs: Vec<_> = dtypes
            .iter()
            .map(|&dtype| {
                prop::collection::vec(word(dtype), 300).prop_map(move |words| (dtype, pack(dtype, &words)))
            })
            .collect();
        let count = inputs.len() - 1;
        let numerators =
            prop::collection::vec(prop_oneof![Just(1i64), Just(-1), 1..40_000i64, -300..-1i64], count);
        (inputs, numerators, prop::collection::vec(keep(), count), any::<bool>(), 0..1000u64)
    })
}

fn with_masking<T>(
    (inputs, numerators, keeps, elects, first): &Case,
    run: impl FnOnce(&Masking<'_>) -> T,
) -> T {
    let bytes: Vec<&[u8]> = inputs.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let dtypes: Vec<Dtype> = inputs.iter().map(|(dtype, _)| *dtype).collect();
    run(&Masking {
        base: bytes[0],
        base_dtype: dtypes[0],
        inputs: &bytes[1..],
        dtypes: &dtypes[1..],
        numerators,
        keeps: &keeps.iter().collect::<Vec<_>>(),
        elects: *elects,
        first: *first,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_set_gives_the_subsets_of_the_definition(case in case()) {
        with_masking(&case, |masking| {
            let sets = Kernels::available();
            let expected = subsets_by(sets[0], masking, 300);
            for set in &sets[1..] {
                assert_eq!(subsets_by(set, masking, 300), expected, "{}", set.name);
            }
        });
    }

    #[test]
    fn a_part_has_the_subsets_of_the_whole(case in case(), start in 0..300_usize) {
        with_masking(&case, |masking| {
            let set = Kernels::choose(None).unwrap();
            let whole = subsets_by(set, masking, 300).0;
            let size = |dtype: Dtype| dtype.bytes().unwrap();
            let inputs: Vec<&[u8]> =
                masking.inputs.iter().zip(masking.dtypes).map(|(bytes, &dtype)| &bytes[start * size(dtype)..]).collect();
            let part = Masking {
                base: &masking.base[start * size(masking.base_dtype)..],
                inputs: &inputs,
                first: masking.first + start as u64,
                ..*masking
            };
            assert_eq!(subsets_by(set, &part, 300 - start).0, whole[start..]);
        });
    }

    #[test]
    fn magnitudes_of_every_set_are_those_of_the_definition(case in case()) {
        let (inputs, ..) = &case;
        for input in &inputs[1..] {
            let deltas = Deltas { base: (&inputs[0].1, inputs[0].0), input: (&input.1, input.0) };
            let found = |set: &Kernels| {
                let mut found = vec![!0; 300];
                set.magnitudes(&deltas, &mut found);
                found
            };
            let sets = Kernels::available();
            for set in &sets[1..] {
                prop_assert_eq!(found(set), found(sets[0]), "{}", set.name);
            }
        }
    }

    /// Of small integers everything is said in a line of integer arithmetic.
    #[test]
    fn the_definition_is_what_integers_say(
        base in prop::collection::vec(-4..5i32, 50),
        others in prop::collection::vec(prop::collection::vec(-4..5i32, 50), 1..4),
        numerators in prop::collection::vec(prop_oneof![1..4i64, -3..0i64], 3),
        least in 0..5u32,
        elects in any::<bool>(),
    ) {
        let numerators = &numerators[..others.len()];
        let packed: Vec<Vec<u8>> = others.iter().map(|values| integers(Dtype::F16, values)).collect();
        let low = Edge { magnitude: f64::from(least).to_bits(), index: 25 };
        let keep = Keep::Ranks { low, high: None };
        let masking = Masking {
            base: &integers(Dtype::F16, &base),
            base_dtype: Dtype::F16,
            inputs: &packed.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            dtypes: &vec![Dtype::F16; others.len()],
            numerators,
            keeps: &vec![&keep; others.len()],
            elects,
            first: 0,
        };
        let (found, _) = subsets_by(Kernels::available()[0], &masking, 50);
        for e in 0..50 {
            let deltas: Vec<i64> = others.iter().map(|values| i64::from(values[e] - base[e])).collect();
            let is_kept = |i: &usize| {
                let size = deltas[*i].unsigned_abs();
                size > u64::from(least) || size == u64::from(least) && e <= 25
            };
            let kept: Vec<usize> = (0..others.len()).filter(is_kept).collect();
            let sum: i64 = kept.iter().map(|&i| numerators[i] * deltas[i]).sum();
            let takes = |i: &&usize| !elects || sum * numerators[**i] * deltas[**i] > 0;
            let expected = kept.iter().filter(takes).fold(0, |set: Subset, i| set | 1 << i);
            prop_assert_eq!(found[e], expected, "{}", e);
        }
    }
}
