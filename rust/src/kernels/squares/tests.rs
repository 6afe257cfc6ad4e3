//! Every kernel set against the definition, and the definition against exact arithmetic.

#![allow(clippy::float_cmp, reason = "sums are defined to the bit")]

use proptest::prelude::*;

use super::*;
use crate::kernels::{Kernels, NonFinite};

const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];

fn bytes_of(dtype: Dtype, words: &[u64]) -> Vec<u8> {
    let size = dtype.bytes().unwrap();
    words.iter().flat_map(|word| word.to_le_bytes()[..size].to_vec()).collect()
}

/// Sums as bits, and what was counted, of one set.
fn run(set: &Kernels, inputs: &[(Dtype, Vec<u64>)]) -> (Vec<u64>, Tally) {
    // One byte in front: nothing may depend on alignment.
    let bytes: Vec<Vec<u8>> =
        inputs.iter().map(|(dtype, words)| [&[7], &bytes_of(*dtype, words)[..]].concat()).collect();
    let bytes: Vec<&[u8]> = bytes.iter().map(|bytes| &bytes[1..]).collect();
    let dtypes: Vec<Dtype> = inputs.iter().map(|(dtype, _)| *dtype).collect();
    let mut room = Squares::new(inputs.len());
    let mut tally = Tally { base: 100, ..Tally::new(inputs.len()) };
    // Twice: what a block leaves in the room must not be in the next one.
    set.squares(Block { inputs: &bytes, dtypes: &dtypes }, &mut room, &mut tally.clone());
    let sums = set.squares(Block { inputs: &bytes, dtypes: &dtypes }, &mut room, &mut tally);
    (sums.iter().map(|sum| sum.to_bits()).collect(), tally)
}

/// The sums of every set, which are those of the definition.
fn agreed(inputs: &[(Dtype, Vec<u64>)]) -> (Vec<f64>, Tally) {
    let sets = Kernels::available();
    let expected = run(sets[0], inputs);
    for set in &sets[1..] {
        assert_eq!(run(set, inputs), expected, "{}", set.name);
    }
    (expected.0.into_iter().map(f64::from_bits).collect(), expected.1)
}

fn f64s(values: &[f64]) -> (Dtype, Vec<u64>) {
    (Dtype::F64, values.iter().map(|value| value.to_bits()).collect())
}

/// Up to nine tensors of any dtypes, of any bits or of ordinary numbers.
fn tensors() -> impl Strategy<Value = Vec<(Dtype, Vec<u64>)>> {
    let few = (0..40_usize).prop_map(|count| count * 3);
    let many = 0..=Squares::BLOCK;
    (1..10_usize, prop_oneof![few, many], any::<bool>()).prop_flat_map(|(inputs, count, odd)| {
        let one = (prop::sample::select(&FLOATS[..]), any::<u64>()).prop_map(move |(dtype, seed)| {
            let mut state = seed | 1;
            let words = (0..count).map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
                if odd { word } else { ordinary(dtype, word) }
            });
            (dtype, words.collect())
        });
        prop::collection::vec(one, inputs)
    })
}

/// A finite number of a magnitude from 1/4 to 4, or rarely zero, a subnormal, or one of neither.
fn ordinary(dtype: Dtype, word: u64) -> u64 {
    let format = Format::of(dtype).unwrap();
    let sign = (word >> 63) * format.sign();
    let fraction = format.precision - 1;
    if (word >> 40).trailing_zeros() >= 12 {
        return sign | [0, 1, format.infinity, format.nan][(word >> 20 & 3) as usize];
    }
    let one = format.infinity >> 1 >> fraction << fraction;
    sign | (one - (2 << fraction) + (word & ((4 << fraction) - 1)))
}

fn is_finite((dtype, words): &(Dtype, Vec<u64>), index: usize) -> bool {
    let format = Format::of(*dtype).unwrap();
    words[index] & (format.sign() - 1) & (u64::MAX >> (64 - 8 * format.bytes)) < format.infinity
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_set_has_the_bits_of_the_definition(inputs in tensors()) {
        agreed(&inputs);
    }

    #[test]
    fn the_order_of_inputs_changes_no_bit(inputs in tensors(), turn in 0..9_usize) {
        let count = inputs.len();
        let turned: Vec<_> = (0..count).map(|i| inputs[(i + turn) % count].clone()).collect();
        let ((sums, tally), (others, of_others)) = (agreed(&inputs), agreed(&turned));
        let place = |i: usize, j: usize| {
            let (i, j) = (i.min(j), i.max(j));
            i * count - i * i.saturating_sub(1) / 2 + j - i
        };
        for i in 0..count {
            prop_assert_eq!(&of_others.inputs[i], &tally.inputs[(i + turn) % count]);
            for j in i..count {
                let before = sums[place((i + turn) % count, (j + turn) % count)];
                prop_assert_eq!(others[place(i, j)].to_bits(), before.to_bits());
            }
        }
    }

    #[test]
    fn elements_that_are_not_finite_somewhere_are_zero_everywhere(inputs in tensors()) {
        let (sums, tally) = agreed(&inputs);
        let mut cleared = inputs.clone();
        for index in 0..inputs[0].1.len() {
            if !inputs.iter().all(|input| is_finite(input, index)) {
                for (_, words) in &mut cleared {
                    words[index] = 0;
                }
            }
        }
        let (clean, none) = agreed(&cleared);
        prop_assert!(none.is_clean());
        prop_assert!(sums.iter().zip(&clean).all(|(a, b)| a.to_bits() == b.to_bits()));
        for (counts, input) in tally.inputs.iter().zip(&inputs) {
            let bad: Vec<u64> = (0..input.1.len()).filter(|&i| !is_finite(input, i)).map(|i| i as u64).collect();
            prop_assert_eq!(counts.total(), bad.len() as u64);
            prop_assert_eq!(counts.first, bad.first().map(|&first| 100 + first));
        }
    }

    /// Multiples of 2^-20 below 1 have differences whose squares 42 bits hold: 700 of them add up without an error.
    #[test]
    fn what_has_no_error_is_exact(
        values in (1..5_usize, 0..700_usize).prop_flat_map(|(inputs, count)| {
            prop::collection::vec(prop::collection::vec(-(1_i64 << 20)..1 << 20, count), inputs)
        }),
    ) {
        let unit = 2_f64.powi(-20);
        let inputs: Vec<_> = values.iter()
            .map(|values| f64s(&values.iter().map(|&value| value as f64 * unit).collect::<Vec<_>>()))
            .collect();
        let mut expected = Vec::new();
        for (i, a) in values.iter().enumerate() {
            expected.push(a.iter().map(|a| i128::from(a * a)).sum::<i128>());
            for b in &values[i + 1..] {
                expected.push(a.iter().zip(b).map(|(a, b)| i128::from((a - b) * (a - b))).sum());
            }
        }
        let expected: Vec<f64> = expected.into_iter().map(|sum| sum as f64 * unit * unit).collect();
        prop_assert_eq!(agreed(&inputs).0, expected);
    }
}

#[test]
fn equal_tensors_are_exactly_zero_apart_in_whatever_dtype() {
    let halves = [0x3e00_u64, 0xc100, 0x0001, 0x8000];
    let widened = halves.map(|bits| {
        let Value::Finite { negative, mantissa, exponent } = Format::of(Dtype::F16).unwrap().decode(bits)
        else {
            panic!("finite")
        };
        super::widened(negative, mantissa, exponent)
    });
    let singles = widened.map(|value| u64::from((value as f32).to_bits()));
    let inputs = [(Dtype::F16, halves.to_vec()), f64s(&widened), (Dtype::F32, singles.to_vec())];
    let own = 1.5 * 1.5 + 2.5 * 2.5 + 2_f64.powi(-48);
    assert_eq!(agreed(&inputs).0, [own, 0.0, 0.0, own, 0.0, own]);
}

#[test]
fn the_ends_of_the_range_are_infinite_or_zero_but_never_nan() {
    let huge = f64s(&[f64::MAX, 1e-200, 5e-324]);
    let other = f64s(&[-f64::MAX, 1e-200, -5e-324]);
    let (sums, tally) = agreed(&[huge, other]);
    assert_eq!(sums, [f64::INFINITY; 3]);
    assert!(tally.is_clean());
    assert_eq!(agreed(&[f64s(&[5e-324]), f64s(&[-5e-324])]).0, [0.0; 3], "squares below every f64");
}

#[test]
fn nan_and_infinities_are_counted_by_input() {
    let a = (Dtype::F32, [f32::NAN, 1.0, f32::INFINITY, 2.0].map(|x| u64::from(x.to_bits())).to_vec());
    let b = f64s(&[1.0, f64::NEG_INFINITY, 1.0, 5.0]);
    let (sums, tally) = agreed(&[a, b]);
    assert_eq!(sums, [4.0, 9.0, 25.0]);
    let of_a = NonFinite { nan: 1, positive: 1, negative: 0, first: Some(100) };
    let of_b = NonFinite { nan: 0, positive: 0, negative: 1, first: Some(101) };
    assert_eq!(tally.inputs, [of_a, of_b]);
}
