//! What an adapter makes of a tensor: another one, or a sum with the product of two narrow matrices.

use super::part::Part;
use crate::dtype::Dtype;

/// Largest rank that is read: a line of factors for each, which a worker holds.
pub(crate) const MOST_RANK: u64 = 4096;
/// Scales are zero or of a magnitude from `2^-100` to this, so that no product of a scale and two factors leaves the range
/// of F64.
pub(crate) const LARGEST_SCALE: f64 = f64::from_bits((1023 + 100) << 52);

/// A tensor that stands in the place of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// The file of the ingredient that holds it.
    pub(crate) shard: usize,
    /// Absolute offset in that file.
    pub(crate) offset: u64,
    /// Its own float dtype.
    pub(crate) dtype: Dtype,
}

/// A matrix as it is stored: contiguous, in memory order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    /// Its name in the adapter.
    pub name: String,
    /// Absolute offset in the adapter's file.
    pub offset: u64,
    /// F32, F16 or BF16.
    pub dtype: Dtype,
    /// Dimensions there.
    pub shape: Vec<u64>,
}

/// `W + scale·B·A`, or `W + scale·(B·A)ᵀ`, of a tensor W that is seen as lines of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The file of the ingredient that holds both factors.
    pub shard: usize,
    /// `rank` lines.
    pub a: Factor,
    /// `rank` columns.
    pub b: Factor,
    /// What they have in common.
    pub rank: u64,
    /// Columns of W in a line.
    pub columns: u64,
    /// Of the product.
    pub scale: f64,
    /// Whether the product is transposed before it is added.
    pub transposed: bool,
}

impl Update {
    /// `B·A` for a tensor of this shape; `None` if they do not fit.
    pub(super) fn new(
        shard: usize,
        [a, b]: [Factor; 2],
        (scale, transposed): (f64, bool),
        shape: &[u64],
    ) -> Option<Self> {
        let (&rank, behind) = a.shape.split_first()?;
        let (&[outer, inner], ones) = b.shape.split_first_chunk::<2>()?;
        let fits = rank == inner
            && ones.iter().all(|&n| n == 1)
            && if transposed {
                shape.len() == 2 && behind == &shape[..1] && outer == shape[1] && ones.is_empty()
            } else {
                shape.split_first().is_some_and(|(&lines, columns)| lines == outer && columns == behind)
            };
        let product = |shape: &[u64]| shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
        let columns = product(shape.get(1..)?)?;
        product(&a.shape)?;
        product(&b.shape)?;
        fits.then_some(Self { shard, a, b, rank, columns, scale, transposed })
    }

    /// Where both factors lie.
    pub(crate) fn parts(&self) -> [Part<'_>; 2] {
        [&self.a, &self.b].map(|factor| Part {
            name: &factor.name,
            shard: self.shard,
            offset: factor.offset,
            dtype: factor.dtype,
            elements: factor.shape.iter().product(),
        })
    }

    /// Most bytes of factors that are held at a time, as numbers and as they are stored.
    pub(crate) const fn most_bytes() -> u64 {
        (2 * 8 + 4) * (TILE as u64 + MOST_RANK) + 8 * TILE as u64
    }
}

/// Factors of either kind that are held at a time, or those of one line if they are more.
pub(crate) const TILE: usize = 1 << 15;

#[cfg(test)]
mod tests {
    use super::{Factor, Update};
    use crate::dtype::Dtype;

    #[test]
    fn factors_fit_the_shapes_that_their_product_has() {
        let factor =
            |shape: &[u64]| Factor { name: "x".into(), offset: 0, dtype: Dtype::F32, shape: shape.into() };
        let fits = |a: &[u64], b: &[u64], transposed: bool, shape: &[u64]| {
            Update::new(1, [factor(a), factor(b)], (1.0, transposed), shape).map(|update| update.columns)
        };
        assert_eq!(fits(&[2, 5], &[3, 2], false, &[3, 5]), Some(5));
        assert_eq!(fits(&[2, 5], &[3, 2], true, &[5, 3]), Some(3));
        assert_eq!(fits(&[2, 5, 3, 3], &[4, 2, 1, 1], false, &[4, 5, 3, 3]), Some(45));
        for (a, b, transposed, shape) in [
            (&[2, 5][..], &[3, 2][..], true, &[3, 5][..]),
            (&[2, 5], &[3, 2], false, &[5, 3]),
            (&[2, 5], &[3, 4], false, &[3, 5]),
            (&[2, 5], &[3, 2, 2], false, &[3, 5]),
            (&[2, 5, 3, 3], &[4, 2], true, &[5, 3, 3, 4]),
            (&[2, 5], &[3], false, &[3, 5]),
            (&[], &[3, 2], false, &[3]),
            (&[2, 1 << 40, 1 << 40, 0], &[0, 2], false, &[0, 1 << 40, 1 << 40, 0]),
        ] {
            assert_eq!(fits(a, b, transposed, shape), None, "{a:?} {b:?} {transposed} {shape:?}");
        }
    }
}
