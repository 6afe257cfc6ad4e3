//! A row of coefficients for each index of a tensor's first axis.

use super::{Mix, sole};
use crate::error::{Problem, ProblemKind, Result};

/// As many mixes as a tensor has filters, which is what lies at one index of its first axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filters {
    /// One for each ingredient, filter by filter.
    numerators: Vec<i64>,
    /// One for each filter.
    wholes: Vec<u64>,
    /// By ingredient the sum of the sizes of its numerators.
    parts: Vec<i64>,
}

impl Filters {
    /// From the numerators of each filter, in the ingredients' order, and what they are divided by.
    ///
    /// # Errors
    /// What [`super::Mix::new`] refuses, of any filter; another number of numerators than the first has; no filter;
    /// another number of wholes.
    pub fn new(filters: &[Vec<i64>], wholes: &[u64]) -> Result<Self> {
        let refuse = |message: String| Problem::new(ProblemKind::Recipe, message);
        let Some(ingredients) = filters.first().map(Vec::len) else {
            return Err(refuse("a row has numerators for no filter".to_owned()).into());
        };
        if filters.len() != wholes.len() {
            let message =
                format!("expected {} wholes, one for each filter, got {}", filters.len(), wholes.len());
            return Err(refuse(message).into());
        }
        let mut made = Self {
            numerators: Vec::with_capacity(filters.len() * ingredients),
            wholes: Vec::with_capacity(filters.len()),
            parts: vec![0; ingredients],
        };
        for (place, (given, &whole)) in filters.iter().zip(wholes).enumerate() {
            if given.len() != ingredients {
                let got = given.len();
                let message =
                    format!("filter {place}: expected {ingredients} numerators, as the first has, got {got}");
                return Err(refuse(message).into());
            }
            let mix = Mix::new(given, whole)?;
            made.parts.iter_mut().zip(mix.numerators()).for_each(|(sum, numerator)| *sum += numerator.abs());
            made.numerators.extend(mix.numerators());
            made.wholes.push(mix.whole());
        }
        Ok(made)
    }

    /// How many there are, one for each index of the first axis.
    pub fn count(&self) -> u64 {
        self.wholes.len() as u64
    }

    /// The numerators of one of them, and what they are divided by.
    pub fn row(&self, filter: u64) -> (&[i64], u64) {
        let ingredients = self.parts.len();
        (&self.numerators[filter as usize * ingredients..][..ingredients], self.wholes[filter as usize])
    }

    /// The numerators of all, in their order.
    pub fn numerators(&self) -> impl Iterator<Item = &[i64]> {
        self.numerators.chunks(self.parts.len())
    }

    /// What those of each are divided by.
    pub fn wholes(&self) -> &[u64] {
        &self.wholes
    }

    /// For each ingredient the sum of the sizes of its numerators, so 0 for one that takes part in no filter.
    pub fn parts(&self) -> &[i64] {
        &self.parts
    }

    /// The one ingredient that is the whole of every filter, if there is one.
    pub fn sole(&self) -> Option<usize> {
        let each = |filter: u64| {
            let (numerators, whole) = self.row(filter);
            sole(numerators, whole)
        };
        let first = each(0)?;
        (1..self.count()).all(|filter| each(filter) == Some(first)).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::Filters;

    #[test]
    fn each_filter_is_reduced_and_parts_are_sums_of_sizes() {
        let filters = Filters::new(&[vec![2, 0, 4], vec![-1, 0, 4]], &[6, 5]).unwrap();
        assert_eq!((filters.parts(), filters.count()), ([2, 0, 6].as_slice(), 2));
        assert_eq!(filters.row(0), ([1, 0, 2].as_slice(), 3));
        assert_eq!(filters.row(1), ([-1, 0, 4].as_slice(), 5));
    }

    #[test]
    fn the_sole_ingredient_is_that_of_every_filter() {
        let sole = |filters: &[Vec<i64>]| Filters::new(filters, &[2, 2]).unwrap().sole();
        assert_eq!(sole(&[vec![0, 2], vec![0, 2]]), Some(1));
        assert_eq!(sole(&[vec![0, 2], vec![2, 0]]), None);
        assert_eq!(sole(&[vec![0, 2], vec![1, 1]]), None);
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        let refused: [&[Vec<i64>]; 6] = [
            &[],
            &[vec![], vec![]],
            &[vec![1, 1], vec![2]],
            &[vec![1, 1], vec![0, 0]],
            &[vec![i64::MIN, 1], vec![1, 1]],
            &[vec![1, 1]],
        ];
        for filters in refused {
            assert!(Filters::new(filters, &[2, 2]).is_err(), "{filters:?}");
        }
    }
}
