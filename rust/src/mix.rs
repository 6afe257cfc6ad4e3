//! Rows of coefficients: signed integer numerators over one whole.

mod filters;
mod masked;
mod mixture;

pub use filters::Filters;
pub use masked::{Divisor, Edge, Keep, MOST_MASKED, Masked, Subset};
pub use mixture::Mixture;

use crate::error::{Problem, ProblemKind, Result};

/// Largest sum of |numerators| and largest whole: with more, products of parts and half floats stop fitting the
/// kernels' windows, and no recipe written by a person needs it.
pub const MAX_PARTS: u64 = 1 << 20;

/// `Σ numerators[i]·x_i / whole`, reduced to lowest terms. A soup has non-negative numerators that sum to the whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mix {
    numerators: Vec<i64>,
    whole: u64,
}

impl Mix {
    /// An average: `parts` out of their sum.
    pub fn average(parts: &[u64]) -> Result<Self> {
        let whole = parts.iter().try_fold(0u64, |sum, &part| sum.checked_add(part));
        let Some(whole) = whole.filter(|&whole| i64::try_from(whole).is_ok()) else {
            return Err(too_many("an overflowing number of").into());
        };
        Self::new(&parts.iter().map(|&part| part as i64).collect::<Vec<_>>(), whole)
    }

    /// Any row of signed numerators over `whole`.
    pub fn new(numerators: &[i64], whole: u64) -> Result<Self> {
        if numerators.is_empty() {
            return Err(Problem::new(ProblemKind::Recipe, "a recipe needs at least one ingredient").into());
        }
        if whole == 0 || numerators.iter().all(|&numerator| numerator == 0) {
            return Err(Problem::new(ProblemKind::Recipe, "the parts of all ingredients are zero")
                .hint("give at least one ingredient a positive weight")
                .into());
        }
        let divisor = numerators.iter().fold(whole, |g, &numerator| gcd(g, numerator.unsigned_abs()));
        let numerators: Vec<i64> =
            numerators.iter().map(|&n| (i128::from(n) / i128::from(divisor)) as i64).collect();
        let whole = whole / divisor;
        let sum: u128 = numerators.iter().map(|&n| u128::from(n.unsigned_abs())).sum();
        if sum > u128::from(MAX_PARTS) || whole > MAX_PARTS {
            return Err(too_many(&sum.max(u128::from(whole)).to_string()).into());
        }
        Ok(Self { numerators, whole })
    }

    /// Numerators, one per ingredient, in the ingredients' order.
    pub fn numerators(&self) -> &[i64] {
        &self.numerators
    }

    /// The common denominator, positive.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// The one ingredient that is the whole result, if there is one: its bytes are copied.
    pub fn sole(&self) -> Option<usize> {
        sole(&self.numerators, self.whole)
    }

    /// Non-negative numerators that sum to the whole: every output lies between the inputs.
    pub fn is_average(&self) -> bool {
        self.numerators.iter().all(|&n| n >= 0)
            && self.numerators.iter().map(|&n| n as u64).sum::<u64>() == self.whole
    }
}

/// The one of some numerators that is not 0, if it is the whole.
pub(crate) fn sole(numerators: &[i64], whole: u64) -> Option<usize> {
    let mut used = numerators.iter().enumerate().filter(|(_, n)| **n != 0);
    match (used.next(), used.next()) {
        (Some((i, &n)), None) if n.unsigned_abs() == whole && n > 0 => Some(i),
        _ => None,
    }
}

fn too_many(parts: &str) -> Problem {
    Problem::new(
        ProblemKind::Recipe,
        format!("the recipe has {parts} parts in lowest terms, at most {MAX_PARTS} are possible"),
    )
    .hint("write the weights with fewer digits, or as small integers")
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PARTS, Mix};

    #[test]
    fn parts_are_reduced() {
        let mix = Mix::average(&[50, 20, 30]).unwrap();
        assert_eq!((mix.numerators(), mix.whole()), ([5, 2, 3].as_slice(), 10));
    }

    #[test]
    fn one_ingredient_with_all_parts_is_the_sole_one() {
        assert_eq!(Mix::average(&[0, 7]).unwrap().sole(), Some(1));
        assert_eq!(Mix::average(&[1, 7]).unwrap().sole(), None);
        assert_eq!(Mix::new(&[-1], 1).unwrap().sole(), None);
    }

    #[test]
    fn averages_have_no_negative_parts_and_sum_to_the_whole() {
        assert!(Mix::average(&[3, 0, 1]).unwrap().is_average());
        assert!(!Mix::new(&[2, -1], 1).unwrap().is_average());
        assert!(!Mix::new(&[1, 1], 3).unwrap().is_average());
    }

    #[test]
    fn zero_and_oversized_recipes_are_refused() {
        assert!(Mix::average(&[]).is_err());
        assert!(Mix::average(&[0, 0]).is_err());
        assert!(Mix::average(&[u64::MAX, 1]).is_err());
        assert!(Mix::average(&[1, MAX_PARTS]).is_err());
        assert!(Mix::average(&[1, MAX_PARTS - 1]).is_ok());
        assert!(Mix::new(&[2, -1], 1).is_ok());
    }
}
