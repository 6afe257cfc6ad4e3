//! Every kernel set against the definition, and the definition against exact arithmetic.

#![allow(clippy::float_cmp, reason = "sums are defined to the bit")]

use proptest::prelude::*;

use super::*;
use crate::dtype::Dtype;
use crate::kernels::{Kernels, Squares};

const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];

/// Sums of one set, of which all NaN are one.
fn run(set: &Kernels, inputs: &[(Dtype, Vec<u64>)]) -> Vec<f64> {
    // One byte in front: nothing may depend on alignment.
    let bytes: Vec<Vec<u8>> = inputs
        .iter()
        .map(|(dtype, words)| {
            let size = dtype.bytes().unwrap();
            let own = words.iter().flat_map(|word| word.to_le_bytes()[..size].to_vec());
            std::iter::once(7).chain(own).collect()
        })
        .collect();
    let bytes: Vec<&[u8]> = bytes.iter().map(|bytes| &bytes[1..]).collect();
    let dtypes: Vec<Dtype> = inputs.iter().map(|(dtype, _)| *dtype).collect();
    let mut room = InnerProducts::new(inputs.len() - 2);
    let block = Block { inputs: &bytes, dtypes: &dtypes };
    // Twice: what a block leaves in the room must not be in the next one.
    set.inner_products(block, &mut room);
    set.inner_products(block, &mut room).to_vec()
}

fn bits(sums: &[f64]) -> Vec<u64> {
    sums.iter().map(|sum| if sum.is_nan() { f64::NAN } else { *sum }.to_bits()).collect()
}

/// The sums of every set, which are those of the definition.
fn agreed(inputs: &[(Dtype, Vec<u64>)]) -> Vec<f64> {
    let sets = Kernels::available();
    let expected = run(sets[0], inputs);
    for set in &sets[1..] {
        assert_eq!(bits(&run(set, inputs)), bits(&expected), "{}", set.name);
    }
    expected
}

fn f64s(values: &[f64]) -> (Dtype, Vec<u64>) {
    (Dtype::F64, values.iter().map(|value| value.to_bits()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any bits, so subnormals, infinities and NaN too.
    #[test]
    fn every_set_has_the_bits_of_the_definition(
        inputs in (2..8_usize, prop_oneof![0..50_usize, 0..=Squares::BLOCK]).prop_flat_map(|(inputs, count)| {
            let one = (prop::sample::select(&FLOATS[..]), prop::collection::vec(any::<u64>(), count));
            prop::collection::vec(one, inputs)
        }),
    ) {
        agreed(&inputs);
    }

    /// Multiples of 2^-20 below 1 have products whose 42 bits add up 700 times without an error.
    #[test]
    fn what_has_no_error_is_exact(
        values in (2..6_usize, 0..700_usize).prop_flat_map(|(inputs, count)| {
            prop::collection::vec(prop::collection::vec(-(1_i64 << 20)..1 << 20, count), inputs)
        }),
    ) {
        let unit = 2_f64.powi(-20);
        let scaled = |values: &Vec<i64>| f64s(&values.iter().map(|&one| one as f64 * unit).collect::<Vec<_>>());
        let inputs: Vec<_> = values.iter().map(scaled).collect();
        let expected: Vec<f64> = values[2..]
            .iter()
            .map(|own| {
                let terms = own.iter().zip(&values[1]).zip(&values[0]).map(|((v, r), g)| i128::from(g * (v - r)));
                terms.sum::<i128>() as f64 * unit * unit
            })
            .collect();
        prop_assert_eq!(agreed(&inputs), expected);
    }
}

#[test]
fn the_reference_has_nothing_in_common_with_itself() {
    let (gradient, same) = (f64s(&[0.1, -7.0, 3e300]), f64s(&[1.0, 0.3, -2.0]));
    assert_eq!(agreed(&[gradient, same.clone(), same]), [0.0]);
}

#[test]
fn what_is_not_finite_shows() {
    let ones = f64s(&[1.0, 1.0]);
    assert_eq!(agreed(&[ones.clone(), ones.clone(), f64s(&[1.0, f64::INFINITY])]), [f64::INFINITY]);
    let nowhere = agreed(&[f64s(&[0.0, 1.0]), ones.clone(), f64s(&[f64::INFINITY, 1.0])]);
    assert!(nowhere[0].is_nan(), "also where the gradient is zero");
    assert!(agreed(&[f64s(&[f64::NAN, 0.0]), ones.clone(), ones])[0].is_nan());
}
