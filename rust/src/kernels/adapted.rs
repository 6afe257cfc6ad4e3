//! Weights with something added to them: every kernel set the same, bounds that hold, and means that are the exact ones.

use proptest::prelude::*;

use super::enclosed::{Enclosed, Input};
use super::format::Format;
use super::low_rank::Row;
use super::{Kernels, Tally};
use crate::dtype::Dtype;

const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];
/// More than a vector of any set, and no multiple of one.
const COUNT: usize = 41;

/// One ingredient: weights in F32, factors that F32 holds, a scale.
#[derive(Debug, Clone)]
struct Case {
    weights: Vec<f32>,
    line: Vec<f64>,
    columns: Vec<f64>,
    scale: f64,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        self.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
    }

    /// Values and radii by a set.
    fn near(&self, set: &Kernels) -> [Vec<u8>; 2] {
        let weights = self.bytes();
        let norm = |factors: &mut dyn Iterator<Item = f64>| factors.map(|f| f * f).sum::<f64>().sqrt();
        let column = |i: usize| norm(&mut self.columns.iter().skip(i).step_by(COUNT).copied());
        let norms: Vec<f64> = (0..COUNT).map(column).collect();
        let (first, count) = (3, COUNT - 4);
        let row = Row {
            weights: &weights[4 * first..4 * (first + count)],
            dtype: Dtype::F32,
            line: &self.line,
            line_norm: norm(&mut self.line.iter().copied()),
            columns: &self.columns,
            stride: COUNT,
            first,
            column_norms: &norms[first..first + count],
            scale: self.scale,
        };
        let mut out = [vec![0; 8 * count], vec![0; 8 * count]];
        let [values, radii] = &mut out;
        set.low_rank(&row, values, radii);
        out
    }

    /// Numbers that add up to an element.
    fn terms(&self, index: usize) -> Vec<f64> {
        let mut terms = vec![f64::from(self.weights[index])];
        for (line, column) in self.line.iter().zip(self.columns.iter().skip(index).step_by(COUNT)) {
            let product = line * column;
            let high = self.scale * product;
            terms.extend([high, self.scale.mul_add(product, -high)]);
        }
        terms
    }
}

fn factor() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => Just(0.0f32),
        2 => prop::sample::select(vec![1.0f32, -2.0, 0.5, 1.5]),
        6 => -1.0..1.0f32,
        1 => prop::sample::select(vec![f32::MAX, f32::MIN_POSITIVE, 1e-45, -3e38, 7e-20]),
    ]
    .prop_map(f64::from)
}

fn case() -> impl Strategy<Value = Case> {
    let scale = prop_oneof![Just(2.0), Just(0.0), Just(16.0 / 12.0), -4.0..4.0f64, Just(2f64.powi(-100))];
    (1..10usize, scale).prop_flat_map(|(rank, scale)| {
        let weight = prop_oneof![3 => -1.0..1.0f32, 1 => Just(0.0), 1 => (-8..8i8).prop_map(f32::from)];
        let weights = prop::collection::vec(weight, COUNT);
        let line = prop::collection::vec(factor(), rank);
        let columns = prop::collection::vec(factor(), rank * COUNT);
        (weights, line, columns).prop_map(move |(weights, line, columns)| Case {
            weights,
            line,
            columns,
            scale,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_element_is_as_near_as_its_radius_says(case in case()) {
        let [values, radii] = case.near(Kernels::available()[0]);
        let number = |bytes: &[u8], index: usize| f64::from_le_bytes(bytes.as_chunks().0[index]);
        let difference = Enclosed { inputs: &[], numerators: &[1], whole: 1, output_dtype: Dtype::F64 };
        for index in 0..values.len() / 8 {
            let mut terms = case.terms(3 + index);
            terms.push(-number(&values, index));
            let mut off = [0; 8];
            difference.exact_element(0, [terms.as_slice()].into_iter(), &mut off, &mut Tally::new(1));
            prop_assert!(number(&off, 0).abs() <= number(&radii, index), "{}", index);
        }
    }

    #[test]
    fn what_is_certain_is_the_exact_mean_and_the_same_for_every_set(
        cases in prop::collection::vec(case(), 1..4),
        parts in prop::collection::vec(prop_oneof![1..12i64, -9..-1i64, 1..100_000i64], 4),
        whole in 1..1000u64,
        plain in prop::collection::vec(-1.0..1.0f32, COUNT - 4),
        output_dtype in prop::sample::select(FLOATS.to_vec()),
    ) {
        let format = Format::of(output_dtype).unwrap();
        let sets = Kernels::available();
        let near: Vec<_> = cases.iter().map(|case| case.near(sets[0])).collect();
        for set in &sets {
            prop_assert_eq!(&cases.iter().map(|case| case.near(set)).collect::<Vec<_>>(), &near);
        }
        let plain_bytes: Vec<u8> = plain.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        let mut inputs: Vec<Input<'_>> = near
            .iter()
            .map(|[values, radii]| Input { values, dtype: Dtype::F64, radii: Some(radii) })
            .collect();
        inputs.push(Input { values: &plain_bytes, dtype: Dtype::F32, radii: None });
        let numerators = &parts[4 - inputs.len()..];
        let request = Enclosed { inputs: &inputs, numerators, whole, output_dtype };
        let count = plain.len();
        let mut expected = vec![0; count * format.bytes];
        let mut tally = Tally::new(inputs.len());
        for (index, &plain) in plain.iter().enumerate() {
            let mut terms: Vec<Vec<f64>> = cases.iter().map(|case| case.terms(3 + index)).collect();
            terms.push(vec![f64::from(plain)]);
            request.exact_element(index, terms.iter().map(Vec::as_slice), &mut expected, &mut tally);
        }
        for set in &sets {
            let (mut output, mut doubts) = (vec![0; expected.len()], vec![false; count]);
            set.enclosed(&request, &mut output, &mut doubts);
            for index in (0..count).filter(|&index| !doubts[index]) {
                prop_assert_eq!(format.load(&output, index), format.load(&expected, index), "{} {}", set.name, index);
            }
        }
    }
}

#[test]
fn few_means_of_ordinary_numbers_are_in_doubt() {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let weights = (0..COUNT).map(|_| next()).collect();
    let line = (0..16).map(|_| f64::from(next())).collect();
    let columns = (0..16 * COUNT).map(|_| f64::from(next())).collect();
    let case = Case { weights, line, columns, scale: 1.1 };
    for set in Kernels::available().into_iter().skip(1) {
        for output_dtype in [Dtype::BF16, Dtype::F16, Dtype::F32] {
            let [values, radii] = case.near(set);
            let inputs = [Input { values: &values, dtype: Dtype::F64, radii: Some(&radii) }];
            let request = Enclosed { inputs: &inputs, numerators: &[1], whole: 3, output_dtype };
            let mut output = vec![0; values.len() / 8 * output_dtype.bytes().unwrap()];
            let mut doubts = vec![true; values.len() / 8];
            set.enclosed(&request, &mut output, &mut doubts);
            assert_eq!(doubts.iter().filter(|doubt| **doubt).count(), 0, "{} {output_dtype}", set.name);
        }
    }
}
