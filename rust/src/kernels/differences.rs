//! The largest differences of a tensor, put together from chunks.

use super::difference::Pair;
use super::set::Kernels;
use crate::dtype::Dtype;

/// The largest differences of one tensor, by ingredient.
#[derive(Debug, Clone, PartialEq)]
pub struct Differences {
    largest: Vec<f64>,
}

impl Differences {
    /// Nothing compared yet, for `ingredients` of them.
    pub fn new(ingredients: usize) -> Self {
        Self { largest: vec![0.0; ingredients] }
    }

    /// Take in a chunk of the soup and the same elements of an ingredient. Integers are copied only where they are
    /// equal, so they add nothing.
    ///
    /// # Panics
    /// If the chunks differ in their number of elements: a bug in the caller.
    pub fn record(
        &mut self,
        ingredient: usize,
        output: &[u8],
        output_dtype: Dtype,
        input: &[u8],
        input_dtype: Dtype,
    ) {
        let kernels = Kernels::choose(None).expect("there is always a kernel set");
        let largest = &mut self.largest[ingredient];
        *largest = kernels.difference(Pair { output, output_dtype, input, input_dtype }, *largest);
    }

    /// Take in what was found in other chunks of the same tensor.
    ///
    /// # Panics
    /// If `other` has another number of ingredients: a bug in the caller.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.largest.len(), other.largest.len(), "as many ingredients");
        for (mine, &theirs) in self.largest.iter_mut().zip(&other.largest) {
            *mine = mine.max(theirs);
        }
    }

    /// The largest differences, finite and not negative.
    pub fn values(&self) -> &[f64] {
        &self.largest
    }

    /// The same as text: the shortest decimal that is read back as the same f64, with an exponent below 1e-5 and from
    /// 1e16 on.
    pub fn texts(&self) -> Vec<String> {
        self.largest.iter().map(|&value| text(value)).collect()
    }
}

/// Largest `|output − input|` of a chunk, 0 for an empty one.
///
/// # Panics
/// If the chunks differ in their number of elements: a bug in the caller.
pub fn max_difference(output: &[u8], output_dtype: Dtype, input: &[u8], input_dtype: Dtype) -> f64 {
    let mut differences = Differences::new(1);
    differences.record(0, output, output_dtype, input, input_dtype);
    differences.largest[0]
}

fn text(value: f64) -> String {
    let text = format!("{value:?}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests;
