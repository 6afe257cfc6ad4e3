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
        let columns = shape.get(1..)?.iter().product();
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
