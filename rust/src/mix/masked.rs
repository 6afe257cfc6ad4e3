//! A row whose ingredients take part element by element: those that keep it, and of these, where a sign is elected, those
//! that agree with it.
//!
//! With `S` the ingredients that take part in an element, `o` the base and `n` the numerators, it is
//! `W_o + Σ_{i in S} n_i (W_i - W_o) / D`, `D` a constant or the sum of the divisors of `S`. So each `S` is one [`Mix`] in which the
//! base has what is left of `D`; without any it is the base.

use super::{MAX_PARTS, Mix, too_many};
use crate::error::{Problem, ProblemKind, Result};

/// Most ingredients beside the base: a set of them is one word.
pub const MOST_MASKED: usize = 63;

/// Some of the ingredients that have a numerator, by their place among these: bit 0 is the first.
pub type Subset = u64;

/// An element's place in the order by magnitude: the larger difference to the base is above, of equal ones the one with the lower
/// index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Bits of the F64 nearest to the size of its difference to the base.
    pub magnitude: u64,
    /// Which element of the tensor it is.
    pub index: u64,
}

impl Edge {
    /// Whether an element of this magnitude and index is this one or above it.
    #[inline(always)]
    #[allow(clippy::needless_bitwise_bool, reason = "branches would keep the compiler from vectorising")]
    pub fn is_reached(self, magnitude: u64, index: u64) -> bool {
        (magnitude > self.magnitude) | ((magnitude == self.magnitude) & (index <= self.index))
    }
}

/// Which elements an ingredient keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Keep {
    /// Every one.
    All,
    /// From the lowest one up, and of these those below `high`; without it all.
    Ranks {
        /// The lowest that is kept.
        low: Edge,
        /// The lowest of those that are too large.
        high: Option<Edge>,
    },
    /// Those for which a random word is below `probability`, of 2^32: word `e % 4` of Philox4x32-10 with the key `key[0]` and
    /// the counter `(e / 4, key[1])`.
    Random {
        /// Tells one stream of random numbers from every other.
        key: [u64; 2],
        /// Out of 2^32.
        probability: u32,
    },
}

/// What the sums are divided by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Divisor {
    /// The same everywhere.
    Whole(u64),
    /// The sum of those of the ingredients that take part, one for each ingredient; 0 for those without a numerator.
    Sum(Vec<u64>),
}

/// Numerators over a divisor, as in [`Mix`], and who takes part in which element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Masked {
    base: usize,
    numerators: Vec<i64>,
    /// The same, and the whole for the base.
    parts: Vec<i64>,
    divisor: Divisor,
    elects: bool,
    keeps: Vec<Keep>,
}

impl Masked {
    /// A row of signed numerators, none for the base; `keeps` has one for each ingredient.
    ///
    /// # Errors
    /// A base that is no ingredient or has a numerator, no numerator at all, too many parts or ingredients, other lengths, a
    /// divisor of zero.
    pub fn new(
        base: usize,
        numerators: &[i64],
        divisor: Divisor,
        elects: bool,
        keeps: Vec<Keep>,
    ) -> Result<Self> {
        let refuse = |message: String| Err(Problem::new(ProblemKind::Recipe, message).into());
        let count = numerators.len();
        let divisors = if let Divisor::Sum(divisors) = &divisor { divisors.len() } else { count };
        if keeps.len() != count || divisors != count {
            return refuse(format!("{count} numerators, {divisors} divisors and {} masks", keeps.len()));
        }
        if numerators.get(base).is_none_or(|&own| own != 0) {
            return refuse("a masked row needs a base without a numerator of its own".to_owned());
        }
        let taking: Vec<usize> = (0..count).filter(|&i| numerators[i] != 0).collect();
        if taking.is_empty() {
            return refuse("the parts of all ingredients are zero".to_owned());
        }
        if taking.len() > MOST_MASKED {
            return refuse(format!(
                "{} ingredients in a masked row, at most {MOST_MASKED} are possible",
                taking.len()
            ));
        }
        let whole = match &divisor {
            Divisor::Whole(whole) => u128::from(*whole),
            Divisor::Sum(divisors) => {
                if (0..count).any(|i| (divisors[i] == 0) != (numerators[i] == 0)) {
                    return refuse(
                        "a mean needs a positive divisor for each ingredient, and no other".to_owned(),
                    );
                }
                divisors.iter().map(|&one| u128::from(one)).sum()
            }
        };
        if whole == 0 {
            return refuse("the whole of a row is zero".to_owned());
        }
        // Whoever takes part, the base has at most the whole and what the others have.
        let parts: u128 = numerators.iter().map(|n| u128::from(n.unsigned_abs())).sum();
        if 2 * parts + whole > u128::from(MAX_PARTS) {
            return Err(too_many(&(2 * parts + whole).to_string()).into());
        }
        let mut with_base = numerators.to_vec();
        with_base[base] = whole as i64;
        Ok(Self { base, numerators: numerators.to_vec(), parts: with_base, divisor, elects, keeps })
    }

    /// The numerators, and in the place of the base the whole.
    pub fn parts(&self) -> &[i64] {
        &self.parts
    }

    /// What is divided by where everyone takes part.
    pub fn whole(&self) -> u64 {
        self.parts[self.base] as u64
    }

    /// Everything that is said of one ingredient, as numbers to sort by.
    pub(super) fn column(&self, ingredient: usize) -> Vec<i64> {
        let mut told = vec![self.parts[ingredient], i64::from(ingredient == self.base)];
        if let Divisor::Sum(divisors) = &self.divisor {
            told.push(divisors[ingredient] as i64);
        }
        match &self.keeps[ingredient] {
            Keep::All => {}
            Keep::Ranks { low, high } => {
                let edges = [Some(*low), *high].into_iter().flatten();
                told.extend(edges.flat_map(|edge| [edge.magnitude as i64, edge.index as i64]));
            }
            Keep::Random { key, probability } => {
                told.extend([key[0] as i64, key[1] as i64, i64::from(*probability)]);
            }
        }
        told
    }

    /// The same of ingredients in another order, or of some of them with all that take part.
    pub(super) fn of_ingredients(&self, places: &[usize]) -> Result<Self> {
        let base = places.iter().position(|&place| place == self.base).unwrap_or(places.len());
        let numerators: Vec<i64> = places.iter().map(|&place| self.numerators[place]).collect();
        let divisor = match &self.divisor {
            Divisor::Whole(whole) => Divisor::Whole(*whole),
            Divisor::Sum(divisors) => Divisor::Sum(places.iter().map(|&place| divisors[place]).collect()),
        };
        let keeps = places.iter().map(|&place| self.keeps[place].clone()).collect();
        Self::new(base, &numerators, divisor, self.elects, keeps)
    }

    /// The ingredient to which differences are taken.
    pub fn base(&self) -> usize {
        self.base
    }

    /// Numerators, one for each ingredient; 0 for the base and for those that have no part.
    pub fn numerators(&self) -> &[i64] {
        &self.numerators
    }

    /// What is divided by.
    pub fn divisor(&self) -> &Divisor {
        &self.divisor
    }

    /// Whether only those take part that agree with the sign of the sum of all that is kept.
    pub fn elects(&self) -> bool {
        self.elects
    }

    /// What each ingredient keeps.
    pub fn keeps(&self) -> &[Keep] {
        &self.keeps
    }

    /// The ingredients with a numerator, in their order: what a [`Subset`] counts.
    pub fn taking(&self) -> impl Iterator<Item = usize> {
        (0..self.numerators.len()).filter(|&i| self.numerators[i] != 0)
    }

    /// All of them.
    pub fn everyone(&self) -> Subset {
        (1 << self.taking().count()) - 1
    }

    /// What an element is in which some of them take part.
    ///
    /// # Panics
    /// If the subset has others than [`Masked::everyone`]: a bug in the caller.
    pub fn mix(&self, subset: Subset) -> Mix {
        assert_eq!(subset & !self.everyone(), 0, "ingredients of this row");
        let mut numerators = vec![0; self.numerators.len()];
        let mut whole = if let Divisor::Whole(whole) = self.divisor { whole } else { 0 };
        let mut rest = 0;
        for (place, i) in self.taking().enumerate() {
            if subset >> place & 1 == 1 {
                numerators[i] = self.numerators[i];
                rest -= numerators[i];
                if let Divisor::Sum(divisors) = &self.divisor {
                    whole += divisors[i];
                }
            }
        }
        let whole = whole.max(1); // of nobody
        numerators[self.base] = whole as i64 + rest;
        Mix::new(&numerators, whole).expect("no subset has more parts than `new` has counted")
    }
}

#[cfg(test)]
mod tests {
    use super::{Divisor, Edge, Keep, Masked};
    use crate::mix::Mix;

    fn masked(numerators: &[i64], divisor: Divisor) -> crate::error::Result<Masked> {
        Masked::new(1, numerators, divisor, false, vec![Keep::All; numerators.len()])
    }

    #[test]
    fn the_base_has_what_those_who_take_part_leave() {
        let sum = masked(&[3, 0, -1], Divisor::Whole(4)).unwrap();
        assert_eq!(sum.mix(0), Mix::new(&[0, 1, 0], 1).unwrap());
        assert_eq!(sum.mix(0b01), Mix::new(&[3, 1, 0], 4).unwrap());
        assert_eq!(sum.mix(0b11), Mix::new(&[3, 2, -1], 4).unwrap());
        let mean = masked(&[6, 0, 2], Divisor::Sum(vec![3, 0, 1])).unwrap();
        assert_eq!(mean.mix(0).sole(), Some(1));
        assert_eq!(mean.mix(0b01), Mix::new(&[2, -1, 0], 1).unwrap());
        assert_eq!(mean.mix(0b11), Mix::new(&[6, -4, 2], 4).unwrap());
    }

    #[test]
    fn rows_that_make_no_sense_are_refused() {
        for (numerators, divisor) in [
            (&[1, 1, 1][..], Divisor::Whole(2)),
            (&[0, 0, 0], Divisor::Whole(2)),
            (&[1], Divisor::Whole(1)),
            (&[1, 0], Divisor::Whole(0)),
            (&[1, 0, 1], Divisor::Sum(vec![1, 0, 0])),
            (&[1, 0], Divisor::Sum(vec![1])),
            (&[1 << 20, 0], Divisor::Whole(1)),
            (&[1; 65], Divisor::Whole(1)),
        ] {
            let mut numerators = numerators.to_vec();
            if numerators.len() == 65 {
                numerators[1] = 0;
            }
            assert!(masked(&numerators, divisor.clone()).is_err(), "{numerators:?} {divisor:?}");
        }
        assert!(Masked::new(0, &[0, 1], Divisor::Whole(1), false, vec![Keep::All]).is_err());
    }

    #[test]
    fn of_equal_magnitudes_the_lower_index_is_above() {
        let edge = Edge { magnitude: 5, index: 3 };
        for (magnitude, index, expected) in
            [(5, 3, true), (5, 2, true), (5, 4, false), (6, 9, true), (4, 0, false)]
        {
            assert_eq!(edge.is_reached(magnitude, index), expected, "{magnitude} {index}");
        }
    }
}
