//! Elements of a weight to which the product of two narrow matrices is added, `x = w + s·Σ b_k·a_k`: for each an f64 near
//! it, and how far away it can be at most.
//!
//! With `u = 2^-53`, and factors of at most 24 significant bits, so that products are exact: the sum of `r` of them is
//! within `(r - 1)·u·Σ|b_k·a_k|`, the product with `s` and the sum with `w` are rounded once each, and by Cauchy and
//! Schwarz `Σ|b_k·a_k| <= |b|·|a|`. So `|x - v| <= (r + 2)·u·|s|·|b|·|a| + u·|v|`, where what is left out, of order `u²`,
//! is less than the [`SLACK`]. If `|b|·|a|` is zero, nothing was added and nothing rounded.
//!
//! The order of the operations is fixed and none are fused, so that an element is the same for every instruction set.

use super::vector::widen_to_f64;
use crate::dtype::Dtype;

/// Most elements of a row.
pub(crate) const MOST: usize = 512;
/// Half the distance of neighbours, relative to a number.
pub(super) const UNIT: f64 = f64::EPSILON / 2.0;
/// More than what all roundings of a bound take away from it.
pub(super) const SLACK: f64 = 1.0 + 1.0 / 1024.0;

/// Neighbours in one line of a weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// What is stored of them.
    pub(crate) weights: &'a [u8],
    /// Their float dtype.
    pub(crate) dtype: Dtype,
    /// The `b_k` of the line.
    pub(crate) line: &'a [f64],
    /// `|b|`.
    pub(crate) line_norm: f64,
    /// The `a_k` of all columns of a tile: `stride` of them for each `k`.
    pub(crate) columns: &'a [f64],
    /// Columns of the tile.
    pub(crate) stride: usize,
    /// The first one that is meant.
    pub(crate) first: usize,
    /// `|a|` of the columns that are meant.
    pub(crate) column_norms: &'a [f64],
    /// `s`.
    pub(crate) scale: f64,
}

impl Row<'_> {
    pub(super) fn check(&self, values: &[u8], radii: &[u8]) {
        let count = self.column_norms.len();
        let size = self.dtype.bytes().expect("a float dtype");
        assert!(count <= MOST && self.first + count <= self.stride, "columns of the tile");
        assert_eq!(self.columns.len(), self.line.len() * self.stride, "as many factors in line and columns");
        assert_eq!(
            (self.weights.len(), values.len(), radii.len()),
            (count * size, 8 * count, 8 * count),
            "as many elements in as out"
        );
    }
}

/// Write `v` and the bound of each element, as F64.
#[inline(always)]
pub(super) fn run(row: &Row<'_>, values: &mut [u8], radii: &mut [u8]) {
    let count = row.column_norms.len();
    let columns = |k: usize| &row.columns[k * row.stride + row.first..][..count];
    let mut sums = [0f64; MOST];
    let sums = &mut sums[..count];
    let (fours, rest) = row.line.as_chunks::<4>();
    for (k, line) in fours.iter().enumerate() {
        let [a, b, c, d] = std::array::from_fn(|i| columns(4 * k + i));
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = *sum + line[0] * a[i] + line[1] * b[i] + line[2] * c[i] + line[3] * d[i];
        }
    }
    for (k, &line) in rest.iter().enumerate() {
        let column = columns(4 * fours.len() + k);
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += line * column[i];
        }
    }
    let mut wide = [0; 8 * MOST];
    let wide = &mut wide[..8 * count];
    widen_to_f64(row.weights, row.dtype, wide);
    let wide = wide.as_chunks::<8>().0;
    let line_bound = (row.line.len() as f64 + 2.0) * UNIT * SLACK * row.scale.abs() * row.line_norm;
    let outputs = values.as_chunks_mut::<8>().0.iter_mut().zip(radii.as_chunks_mut::<8>().0);
    for (i, (value, radius)) in outputs.enumerate() {
        let sum = f64::from_le_bytes(wide[i]) + row.scale * sums[i];
        let added = line_bound * row.column_norms[i];
        *value = sum.to_le_bytes();
        *radius = if added == 0.0 { 0.0 } else { added + UNIT * SLACK * sum.abs() }.to_le_bytes();
    }
}
