//! How a tensor is made of its ingredients: by one mix, or by several for parts of it.

use super::{Filters, Masked, Mix};
use crate::error::Result;

/// The coefficients of one tensor. Whoever adds a kind of them says here who takes part in it, and in `mixing` what its
/// elements are; the rest of the core asks no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mixture {
    /// Every element by the same mix.
    One(Mix),
    /// Elements by their index of the first axis.
    Filters(Filters),
    /// Elements by who takes part in them.
    Masked(Masked),
}

impl Mixture {
    /// One number for each ingredient, 0 exactly for those that take no part: numerators, or where an ingredient has
    /// several the sum of their sizes; of a masked one's base the whole.
    pub fn parts(&self) -> &[i64] {
        match self {
            Self::One(mix) => mix.numerators(),
            Self::Filters(filters) => filters.parts(),
            Self::Masked(masked) => masked.parts(),
        }
    }

    /// What each of the parts is out of.
    pub fn whole(&self) -> u64 {
        match self {
            Self::One(mix) => mix.whole(),
            Self::Filters(filters) => filters.wholes().iter().sum(),
            Self::Masked(masked) => masked.whole(),
        }
    }

    /// Whether any element needs an ingredient.
    ///
    /// # Panics
    /// If there is no such ingredient: a bug in the caller.
    pub fn takes_part(&self, ingredient: usize) -> bool {
        self.parts()[ingredient] != 0
    }

    /// Everything that is said of one ingredient, as numbers to sort by.
    ///
    /// # Panics
    /// If there is no such ingredient: a bug in the caller.
    pub(crate) fn column(&self, ingredient: usize) -> Vec<i64> {
        match self {
            Self::One(mix) => vec![mix.numerators()[ingredient]],
            Self::Filters(filters) => filters.numerators().map(|numerators| numerators[ingredient]).collect(),
            Self::Masked(masked) => masked.column(ingredient),
        }
    }

    /// The same of ingredients in another order, or of some of them that are all who take part.
    ///
    /// # Errors
    /// Nobody is left of a mix.
    ///
    /// # Panics
    /// If there is no such ingredient: a bug in the caller.
    pub(crate) fn of_ingredients(&self, places: &[usize]) -> Result<Self> {
        let pick = |numerators: &[i64]| places.iter().map(|&place| numerators[place]).collect::<Vec<_>>();
        match self {
            Self::One(mix) => Mix::new(&pick(mix.numerators()), mix.whole()).map(Self::One),
            Self::Filters(filters) => {
                let picked = filters.numerators().map(pick).collect::<Vec<_>>();
                Filters::new(&picked, filters.wholes()).map(Self::Filters)
            }
            Self::Masked(masked) => masked.of_ingredients(places).map(Self::Masked),
        }
    }

    /// The one ingredient that is the whole result, if there is one: its bytes are copied.
    pub fn sole(&self) -> Option<usize> {
        match self {
            Self::One(mix) => mix.sole(),
            Self::Filters(filters) => filters.sole(),
            Self::Masked(_) => None,
        }
    }

    /// Why it cannot be of a tensor of this shape.
    pub(crate) fn misfit(&self, shape: &[u64]) -> Option<String> {
        match self {
            Self::One(_) | Self::Masked(_) => None,
            Self::Filters(filters) => (shape.first() != Some(&filters.count())).then(|| {
                format!(
                    "expected a first axis of {}, as many as the row has filters, got shape {shape:?}",
                    filters.count()
                )
            }),
        }
    }
}

impl From<Mix> for Mixture {
    fn from(mix: Mix) -> Self {
        Self::One(mix)
    }
}

#[cfg(test)]
mod tests {
    use super::Mixture;
    use crate::mix::{Filters, Mix};

    #[test]
    fn ingredients_in_another_order_have_their_numerators_there() {
        let filters = Filters::new(&[vec![1, 0, 2], vec![-1, 0, 4]], &[3, 5]).unwrap();
        let turned = Mixture::Filters(filters.clone()).of_ingredients(&[2, 0]).unwrap();
        assert_eq!(turned, Mixture::Filters(Filters::new(&[vec![2, 1], vec![4, -1]], &[3, 5]).unwrap()));
        assert_eq!(turned.column(0), [2, 4]);
        let mix = Mixture::from(Mix::new(&[1, 2], 3).unwrap());
        assert_eq!(mix.of_ingredients(&[1, 0]).unwrap(), Mix::new(&[2, 1], 3).unwrap().into());
    }

    #[test]
    fn filters_fit_tensors_of_as_many_indices() {
        let filters = Mixture::Filters(Filters::new(&[vec![1], vec![2]], &[3, 3]).unwrap());
        assert!(filters.misfit(&[2, 7]).is_none() && filters.misfit(&[2]).is_none());
        assert!(filters.misfit(&[7, 2]).is_some() && filters.misfit(&[]).is_some());
        assert!(Mixture::from(Mix::average(&[1]).unwrap()).misfit(&[]).is_none());
    }
}
