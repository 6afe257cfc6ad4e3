//! Weights to which an adapter adds the product of its factors, a stretch at a time.
//!
//! The factors are read in tiles, as many lines and columns as [`TILE`] numbers hold, whatever the size of the adapter.

use std::ops::Range;

use super::numbers::{number, numbers};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::{Buffer, Source};
use crate::kernels::Kernels;
use crate::kernels::low_rank::{MOST, Row};
use crate::plan::{Factor, TILE, Update};

/// A worker's memory for factors.
#[derive(Debug, Default)]
pub(super) struct Tiles {
    /// For positioned reads.
    stored: Buffer,
    /// Lines, one after the other, each as long as the rank.
    lines: Vec<f64>,
    line_norms: Vec<f64>,
    /// Columns side by side, one row for each rank.
    columns: Vec<f64>,
    column_norms: Vec<f64>,
}

/// A stretch of a weight, and what is added to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Updated<'a> {
    pub(super) update: &'a Update,
    /// The file of the factors.
    pub(super) file: &'a Source,
    /// The weights as numbers, of any float dtype.
    pub(super) weights: &'a [u8],
    pub(super) dtype: Dtype,
    /// The number of the first one in its tensor.
    pub(super) first: u64,
}

impl Updated<'_> {
    /// Write F64 that are near the elements, and how far off each may be.
    pub(super) fn compute(
        &self,
        kernels: &Kernels,
        tiles: &mut Tiles,
        values: &mut [u8],
        radii: &mut [u8],
    ) -> Result<()> {
        let (columns, rank) = (self.update.columns, self.update.rank as usize);
        let size = self.dtype.bytes().expect("a float");
        let end = self.first + (self.weights.len() / size) as u64;
        let per_tile = (TILE / rank).max(1);
        let all_lines = self.first / columns..end.div_ceil(columns);
        for lines in tiled(all_lines, per_tile) {
            // All columns, but in the only line of a stretch within one.
            let wanted = if lines.end - lines.start == 1 {
                let start = lines.start * columns;
                self.first.max(start) - start..end.min(start + columns) - start
            } else {
                0..columns
            };
            self.read_lines(&lines, tiles)?;
            for tile in tiled(wanted, per_tile.min(MOST)) {
                self.read_columns(&tile, tiles)?;
                let stride = tiles.column_norms.len();
                for (number, line) in lines.clone().enumerate() {
                    let here =
                        (line * columns + tile.start).max(self.first)..(line * columns + tile.end).min(end);
                    if here.is_empty() {
                        continue;
                    }
                    let count = (here.end - here.start) as usize;
                    let skipped = (here.start - line * columns - tile.start) as usize;
                    let at = (here.start - self.first) as usize;
                    let row = Row {
                        weights: &self.weights[at * size..(at + count) * size],
                        dtype: self.dtype,
                        line: &tiles.lines[number * rank..(number + 1) * rank],
                        line_norm: tiles.line_norms[number],
                        columns: &tiles.columns,
                        stride,
                        first: skipped,
                        column_norms: &tiles.column_norms[skipped..skipped + count],
                        scale: self.update.scale,
                    };
                    let out = 8 * at..8 * (at + count);
                    kernels.low_rank(&row, &mut values[out.clone()], &mut radii[out]);
                }
            }
        }
        Ok(())
    }

    /// Numbers whose sum is an element: the weight and, for each rank, `scale·b·a` as two. If any of them is not finite,
    /// the one number that IEEE arithmetic makes of them.
    pub(super) fn terms(&self, index: usize, stored: &mut Buffer, terms: &mut Vec<f64>) -> Result<()> {
        let element = self.first + index as u64;
        let (line, column) = (element / self.update.columns, element % self.update.columns);
        let (in_a, in_b) = if self.update.transposed { (line, column) } else { (column, line) };
        let rank = self.update.rank as usize;
        let (mut a, mut b) = (vec![0.0; rank], vec![0.0; rank]);
        self.read_a(&(in_a..in_a + 1), stored, |k, _, factor| a[k] = factor)?;
        self.read_b(&(in_b..in_b + 1), stored, |_, k, factor| b[k] = factor)?;
        let weight = number(self.dtype, self.weights, index);
        terms.clear();
        terms.push(weight);
        for (a, b) in a.iter().zip(&b) {
            let product = b * a; // exact
            if product != 0.0 {
                let high = self.update.scale * product;
                terms.extend([high, self.update.scale.mul_add(product, -high)]);
            }
        }
        if !terms.iter().all(|term| term.is_finite()) {
            // No finite factors are too large for a sum, so the order of this one says nothing.
            let added: f64 = a.iter().zip(&b).map(|(a, b)| b * a).sum();
            terms.clear();
            terms.push(weight + self.update.scale * added);
        }
        Ok(())
    }

    fn read_lines(&self, lines: &Range<u64>, tiles: &mut Tiles) -> Result<()> {
        let Tiles { stored, lines: factors, line_norms: norms, .. } = tiles;
        let (rank, count) = (self.update.rank as usize, (lines.end - lines.start) as usize);
        factors.resize(rank * count, 0.0);
        if self.update.transposed {
            self.read_a(lines, stored, |k, line, factor| factors[line * rank + k] = factor)?;
        } else {
            self.read_b(lines, stored, |line, k, factor| factors[line * rank + k] = factor)?;
        }
        norms.clear();
        let norm = |line: &[f64]| line.iter().map(|factor| factor * factor).sum::<f64>().sqrt();
        norms.extend(factors.chunks_exact(rank).map(norm));
        Ok(())
    }

    fn read_columns(&self, columns: &Range<u64>, tiles: &mut Tiles) -> Result<()> {
        let Tiles { stored, columns: factors, column_norms: norms, .. } = tiles;
        let (rank, count) = (self.update.rank as usize, (columns.end - columns.start) as usize);
        factors.resize(rank * count, 0.0);
        if self.update.transposed {
            self.read_b(columns, stored, |column, k, factor| factors[k * count + column] = factor)?;
        } else {
            self.read_a(columns, stored, |k, column, factor| factors[k * count + column] = factor)?;
        }
        norms.clear();
        norms.resize(count, 0.0);
        for row in factors.chunks_exact(count) {
            norms.iter_mut().zip(row).for_each(|(norm, factor)| *norm += factor * factor);
        }
        for norm in norms.iter_mut() {
            *norm = norm.sqrt();
        }
        Ok(())
    }

    /// `A[k, n]` for every rank `k` and `n` in a range, which is counted from its start.
    fn read_a(
        &self,
        range: &Range<u64>,
        stored: &mut Buffer,
        mut put: impl FnMut(usize, usize, f64),
    ) -> Result<()> {
        let (a, rank) = (&self.update.a, self.update.rank);
        let across = a.shape[1..].iter().product::<u64>();
        for k in 0..rank {
            let count = (range.end - range.start) as usize;
            let read = self.read(a, k * across + range.start, count, stored)?;
            numbers(a.dtype, read, |n, factor| put(k as usize, n, factor));
        }
        Ok(())
    }

    /// `B[n, k]` for `n` in a range, which is counted from its start, and every rank `k`.
    fn read_b(
        &self,
        range: &Range<u64>,
        stored: &mut Buffer,
        mut put: impl FnMut(usize, usize, f64),
    ) -> Result<()> {
        let (b, rank) = (&self.update.b, self.update.rank as usize);
        let count = (range.end - range.start) as usize * rank;
        let read = self.read(b, range.start * self.update.rank, count, stored)?;
        numbers(b.dtype, read, |i, factor| put(i / rank, i % rank, factor));
        Ok(())
    }

    fn read<'b>(
        &'b self,
        factor: &Factor,
        first: u64,
        count: usize,
        stored: &'b mut Buffer,
    ) -> Result<&'b [u8]> {
        let size = factor.dtype.bytes().expect("a float");
        self.file.read(factor.offset + first * size as u64, count * size, stored)
    }
}

/// A range in pieces.
fn tiled(range: Range<u64>, most: usize) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(most).map(move |start| start..end.min(start + most as u64))
}
