//! Which scale belongs to which code.

use std::collections::BTreeSet;
use std::ops::Range;

use super::part::Part;
use crate::dtype::Dtype;

/// Most scales beside one line of codes: those of a chunk are read at once.
const MAX_LINE: u64 = 1 << 16;

/// A tensor of scales, laid over a tensor of codes that is seen as lines of columns within outer ones (experts).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scales {
    /// Its name.
    pub name: String,
    /// The shard of the ingredient that holds it.
    pub shard: usize,
    /// Absolute offset in that file.
    pub offset: u64,
    /// A float, or the exponents that are `F8_E8M0`.
    pub dtype: Dtype,
    /// Outer dimension, lines and columns of the codes.
    pub codes: [u64; 3],
    /// How many codes share a scale, in each direction.
    pub block: [u64; 3],
}

impl Scales {
    /// What scales of this shape mean for codes of that one, as dimensions and block: one scale for all, one for each line,
    /// or whatever else broadcasts, or one for each block of a size that the config names, always within one outer index.
    /// `None` if they fit in no way, or in two.
    pub(super) fn blocks(codes: &[u64], scales: &[u64], sizes: &[[u64; 2]]) -> Option<([u64; 3], [u64; 3])> {
        let codes = padded(codes)?;
        if scales.iter().all(|&n| n == 1) {
            return Some((codes, codes.map(|n| n.max(1))));
        }
        let scales = match scales {
            [lines] if codes[0] == 1 => [1, *lines, 1],
            [_] => return None,
            _ => padded(scales)?,
        };
        if scales[0] != codes[0] || scales[2] > MAX_LINE {
            return None;
        }
        let share = |axis: usize| match scales[axis] {
            1 => Some(codes[axis].max(1)),
            n => (n == codes[axis]).then_some(1),
        };
        if let (Some(lines), Some(columns)) = (share(1), share(2)) {
            return Some((codes, [1, lines, columns]));
        }
        let in_grid = |[lines, columns]: &&[u64; 2]| {
            codes[1].div_ceil(*lines) == scales[1] && codes[2].div_ceil(*columns) == scales[2]
        };
        let found = sizes
            .iter()
            .filter(in_grid)
            .map(|[down, across]| [1, (*down).min(codes[1]), (*across).min(codes[2])]);
        let found: BTreeSet<[u64; 3]> = found.collect();
        let block = found.first().filter(|_| found.len() == 1)?;
        Some((codes, *block))
    }

    /// How many scales lie beside each other, in each direction.
    fn grid(&self) -> [u64; 3] {
        std::array::from_fn(|axis| self.codes[axis].div_ceil(self.block[axis]))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.grid().iter().product()
    }

    /// Where they lie.
    pub(crate) fn part(&self) -> Part<'_> {
        Part {
            name: &self.name,
            shard: self.shard,
            offset: self.offset,
            dtype: self.dtype,
            elements: self.count(),
        }
    }

    /// The number of the scale of a code, both in memory order.
    fn of(&self, code: u64) -> u64 {
        let [_, lines, columns] = self.codes;
        let (line, column) = (code / columns, code % columns);
        let [_, down, across] = self.grid();
        let outer = line / lines / self.block[0];
        (outer * down + line % lines / self.block[1]) * across + column / self.block[2]
    }

    /// The numbers of all scales of some codes, of which there is at least one; others may lie between.
    pub(crate) fn of_range(&self, codes: &Range<u64>) -> Range<u64> {
        let (first, last) = (codes.start, codes.end - 1);
        let columns = self.codes[2];
        let [_, _, across] = self.grid();
        if first / columns == last / columns {
            return self.of(first)..self.of(last) + 1;
        }
        // Whole lines of scales.
        self.of(first) / across * across..(self.of(last) / across + 1) * across
    }

    /// Runs of codes that share a scale: how many, and its number.
    pub(crate) fn runs(&self, codes: Range<u64>) -> impl Iterator<Item = (usize, u64)> {
        let mut next = codes.start;
        std::iter::from_fn(move || {
            if next >= codes.end {
                return None;
            }
            let column = next % self.codes[2];
            let same = (self.block[2] - column % self.block[2]).min(self.codes[2] - column);
            let count = same.min(codes.end - next);
            let scale = self.of(next);
            next += count;
            Some((count as usize, scale))
        })
    }

    /// Most bytes of scales that are read for `codes` codes in a row.
    pub(crate) fn most_bytes(codes: u64) -> u64 {
        4 * (codes + 2 * MAX_LINE)
    }
}

/// A shape of at most three dimensions with ones before it.
fn padded(shape: &[u64]) -> Option<[u64; 3]> {
    let mut padded = [1; 3];
    padded.get_mut(3usize.checked_sub(shape.len())?..)?.copy_from_slice(shape);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::Scales;
    use crate::dtype::Dtype;

    fn check(codes: &[u64], scales: &[u64], sizes: &[[u64; 2]], expected: Option<[u64; 3]>) {
        let found = Scales::blocks(codes, scales, sizes);
        assert_eq!(found.map(|(_, block)| block), expected, "{codes:?} {scales:?} {sizes:?}");
    }

    #[test]
    fn shapes_that_are_met_are_known() {
        const USUAL: &[[u64; 2]] = &[[128, 128]];
        check(&[256, 300], &[2, 3], USUAL, Some([1, 128, 128]));
        check(&[200, 100], &[2, 1], USUAL, Some([1, 128, 100]));
        check(&[64, 100], &[1, 1], USUAL, Some([1, 64, 100]));
        check(&[256, 300], &[], &[], Some([1, 256, 300]));
        check(&[4, 256, 300], &[], &[], Some([4, 256, 300]));
        check(&[256, 300], &[1], &[], Some([1, 256, 300]));
        check(&[256, 300], &[256, 1], USUAL, Some([1, 1, 300]));
        check(&[256, 300], &[256], &[], Some([1, 1, 300]));
        check(&[4, 256, 300], &[4, 2, 3], USUAL, Some([1, 128, 128]));
        check(&[4, 256, 300], &[4, 1, 300], &[], Some([1, 256, 1]));
        check(&[4, 256, 300], &[4, 1, 1], &[], Some([1, 256, 300]));
        check(&[256, 320], &[256, 10], &[[1, 32]], Some([1, 1, 32]));
        for (codes, scales, sizes) in [
            (&[256, 300][..], &[2, 3][..], &[][..]),
            (&[256, 300], &[3, 3], USUAL),
            (&[256, 300], &[300], &[]),
            (&[256, 300], &[128], USUAL),
            (&[4, 256, 300], &[2, 2, 3], USUAL),
            (&[4, 256, 300], &[1, 256, 1], USUAL),
            (&[4, 256, 300], &[256], USUAL),
            (&[2, 2, 2, 2], &[2, 1, 1, 1], &[]),
            (&[256, 256], &[2, 2], &[[128, 128], [130, 130]]),
            (&[2, 70_000], &[1, 70_000], &[]),
        ] {
            check(codes, scales, sizes, None);
        }
    }

    #[test]
    fn every_code_finds_its_scale() {
        type Case<'a> = (&'a [u64], &'a [u64], &'a [[u64; 2]]);
        let shapes: [Case<'_>; 6] = [
            (&[5, 7], &[3, 2], &[[2, 4]]),
            (&[5, 7], &[5, 1], &[]),
            (&[5, 7], &[1, 7], &[]),
            (&[3, 5, 7], &[3, 1, 7], &[]),
            (&[3, 5, 7], &[3, 3, 2], &[[2, 4]]),
            (&[3, 5, 7], &[1], &[]),
        ];
        for (codes, scales, sizes) in shapes {
            let (codes, block) = Scales::blocks(codes, scales, sizes).unwrap();
            let found = Scales { name: "s".into(), shard: 0, offset: 0, dtype: Dtype::F32, codes, block };
            assert_eq!(found.count(), scales.iter().product::<u64>());
            let [outer, lines, columns] = codes;
            let [_, down, across] = found.grid();
            let expected: Vec<u64> = (0..outer * lines * columns)
                .map(|code| {
                    let (o, l, c) = (code / columns / lines, code / columns % lines, code % columns);
                    ((o / block[0]) * down + l / block[1]) * across + c / block[2]
                })
                .collect();
            for first in 0..expected.len() {
                for end in first + 1..=expected.len() {
                    let range = first as u64..end as u64;
                    let runs = found.runs(range.clone());
                    let got: Vec<u64> = runs.flat_map(|(count, scale)| vec![scale; count]).collect();
                    assert_eq!(got, expected[first..end]);
                    let read = found.of_range(&range);
                    assert!(got.iter().all(|scale| read.contains(scale)) && read.end <= found.count());
                }
            }
        }
    }
}
