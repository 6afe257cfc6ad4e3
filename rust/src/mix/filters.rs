//! One row of coefficients for each index of a tensor's first axis.

use super::{check, reduced, sole};
use crate::error::{Problem, ProblemKind, Result};

/// As many mixes as a tensor has filters, which is what lies at one index of its first axis, all over one whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filters {
    /// One for each ingredient, filter by filter.
    numerators: Vec<i64>,
    whole: u64,
    /// By ingredient the sum of the sizes of its numerators.
    parts: Vec<i64>,
}

impl Filters {
    /// From the numerators of each filter, in the ingredients' order.
    ///
    /// # Errors
    /// What [`super::Mix::new`] refuses, of any filter; another number of numerators than the first has; no filter.
    pub fn new(filters: &[Vec<i64>], whole: u64) -> Result<Self> {
        let Some(first) = filters.first() else {
            return Err(Problem::new(ProblemKind::Recipe, "a row has numerators for no filter").into());
        };
        let ingredients = first.len();
        if let Some(place) = filters.iter().position(|numerators| numerators.len() != ingredients) {
            let got = filters[place].len();
            let message =
                format!("filter {place}: expected {ingredients} numerators, as the first has, got {got}");
            return Err(Problem::new(ProblemKind::Recipe, message).into());
        }
        let (numerators, whole) = reduced(&filters.concat(), whole);
        check(&numerators[..ingredients], whole)?;
        let mut parts = vec![0; ingredients];
        for numerators in numerators.chunks(ingredients) {
            check(numerators, whole)?;
            parts.iter_mut().zip(numerators).for_each(|(sum, numerator)| *sum += numerator.abs());
        }
        Ok(Self { numerators, whole, parts })
    }

    /// How many there are, one for each index of the first axis.
    pub fn count(&self) -> u64 {
        (self.numerators.len() / self.parts.len()) as u64
    }

    /// The numerators of one of them.
    pub fn numerators(&self, filter: u64) -> &[i64] {
        let ingredients = self.parts.len();
        &self.numerators[filter as usize * ingredients..][..ingredients]
    }

    /// The numerators of all, in their order.
    pub fn all(&self) -> impl Iterator<Item = &[i64]> {
        self.numerators.chunks(self.parts.len())
    }

    /// The common denominator of all, positive.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// For each ingredient the sum of the sizes of its numerators, so 0 for one that takes part in no filter.
    pub fn parts(&self) -> &[i64] {
        &self.parts
    }

    /// The one ingredient that is the whole of every filter, if there is one.
    pub fn sole(&self) -> Option<usize> {
        let first = sole(self.numerators(0), self.whole)?;
        self.all().all(|numerators| sole(numerators, self.whole) == Some(first)).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::Filters;

    #[test]
    fn numerators_are_reduced_together_and_parts_are_sums_of_sizes() {
        let filters = Filters::new(&[vec![2, 0, 4], vec![-2, 0, 8]], 6).unwrap();
        assert_eq!((filters.parts(), filters.count()), ([2, 0, 6].as_slice(), 2));
        assert_eq!((filters.numerators(1), filters.whole()), ([-1, 0, 4].as_slice(), 3));
    }

    #[test]
    fn the_sole_ingredient_is_that_of_every_filter() {
        let sole = |filters: &[Vec<i64>]| Filters::new(filters, 2).unwrap().sole();
        assert_eq!(sole(&[vec![0, 2], vec![0, 2]]), Some(1));
        assert_eq!(sole(&[vec![0, 2], vec![2, 0]]), None);
        assert_eq!(sole(&[vec![0, 2], vec![1, 1]]), None);
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        for filters in [
            vec![],
            vec![vec![]],
            vec![vec![1, 1], vec![2]],
            vec![vec![1, 1], vec![0, 0]],
            vec![vec![i64::MIN, 1]],
        ] {
            assert!(Filters::new(&filters, 2).is_err(), "{filters:?}");
        }
    }
}
