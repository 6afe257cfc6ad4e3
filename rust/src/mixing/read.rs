//! The elements of one ingredient's tensor as numbers: as they are stored, or computed from codes and scales, or from a
//! weight and what an adapter adds to it.

use std::borrow::Borrow;
use std::io;
use std::ops::Range;

use super::codes::{self, Codes};
use super::low_rank::{Tiles, Updated};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::io::{Buffer, Source};
use crate::kernels::Kernels;
use crate::plan::{Scales, TensorSource, Update, VALUES};

/// A worker's memory for one ingredient.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// For positioned reads.
    stored: Buffer,
    scales: Buffer,
    values: Buffer,
    tiles: Tiles,
    updated: Buffer,
    radii: Buffer,
}

/// A stretch of a tensor of one ingredient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'a> {
    /// As it lies in the file; of a part of a stretch, still all of it.
    pub(crate) stored: &'a [u8],
    /// Its elements, or what is near them.
    pub(crate) values: &'a [u8],
    /// Their dtype.
    pub(crate) dtype: Dtype,
    /// How far off each of them may be, in F64, and what it is exactly.
    pub(crate) exact: Option<(&'a [u8], Updated<'a>)>,
}

impl<'a> Stretch<'a> {
    /// Some of its elements, counted from its start.
    pub(super) fn part(self, range: Range<usize>) -> Self {
        let of = |bytes: &'a [u8], dtype: Dtype| {
            let size = dtype.bytes().expect("a float");
            &bytes[range.start * size..range.end * size]
        };
        let exact = self.exact.map(|(radii, whole)| {
            let (weights, first) = (of(whole.weights, whole.dtype), whole.first + range.start as u64);
            (of(radii, Dtype::F64), Updated { weights, first, ..whole })
        });
        Self { values: of(self.values, self.dtype), exact, ..self }
    }
}

/// The open files that hold a tensor, in the order of [`TensorSource::shards`].
#[derive(Debug)]
pub(crate) struct Files<S>(Vec<S>);

impl<S: Borrow<Source>> Files<S> {
    /// Open what a tensor needs.
    pub(crate) fn open(at: &TensorSource, open: impl FnMut(usize) -> Result<S>) -> Result<Self> {
        at.shards().map(open).collect::<Result<_>>().map(Self)
    }

    /// `count` elements from element `first` on, of which there is at least one.
    pub(crate) fn read<'a>(
        &'a self,
        at: &'a TensorSource,
        (first, count): (u64, usize),
        kernels: &Kernels,
        scratch: &'a mut Scratch,
    ) -> Result<Stretch<'a>> {
        let size = at.element_bytes();
        let own: &Source = self.0[0].borrow();
        let no_memory = |error: io::Error| Error::io(own.path(), "no memory for computed values", error);
        let stored = own.read(at.offset + first * size, count * size as usize, &mut scratch.stored)?;
        let mut stretch = Stretch { stored, values: stored, dtype: at.dtype, exact: None };
        let bytes = count * size_of::<f64>();
        if let Some(scales) = &at.scales {
            let holder: &Source = self.0[1].borrow();
            let values = scratch.values.first(bytes).map_err(no_memory)?;
            let codes = Codes { dtype: at.dtype, bytes: stored, first };
            let size = scales.dtype.bytes().expect("a float") as u64;
            let numbers = scales.of_range(&(first..first + count as u64));
            let length = (numbers.end - numbers.start) * size;
            let place = scales.offset + numbers.start * size;
            let read = holder.read(place, length as usize, &mut scratch.scales)?;
            codes::scale(codes, scales, numbers.start, read, values);
            stretch = Stretch { values, dtype: VALUES, ..stretch };
        }
        if let Some(update) = &at.update {
            let file: &Source = self.0.last().expect("the file of the factors").borrow();
            let values = scratch.updated.first(bytes).map_err(no_memory)?;
            let radii = scratch.radii.first(bytes).map_err(no_memory)?;
            let updated = Updated { update, file, weights: stretch.values, dtype: stretch.dtype, first };
            updated.compute(kernels, &mut scratch.tiles, values, radii)?;
            stretch = Stretch { values, dtype: VALUES, exact: Some((radii, updated)), ..stretch };
        }
        Ok(stretch)
    }

    /// Whether all bytes handed out so far were the files'; see [`Source::check`].
    pub(crate) fn check(&self) -> Result<()> {
        self.0.iter().try_for_each(|source| source.borrow().check())
    }

    /// Whether the files are what they were when they were opened; see [`Source::unchanged`].
    pub(crate) fn unchanged(&self) -> Result<()> {
        self.0.iter().try_for_each(|source| source.borrow().unchanged())
    }

    /// Say that a stretch is no longer needed. Scales and factors stay: the next stretch may need the same.
    pub(crate) fn release(&self, at: &TensorSource, (first, count): (u64, usize)) {
        let size = at.element_bytes();
        self.0[0].borrow().release(at.offset + first * size, count * size as usize);
    }
}

/// Bytes of memory that [`Files::read`] takes for `elements` elements of an ingredient whose values are computed.
pub(crate) fn scratch_bytes(elements: u64, is_updated: bool) -> u64 {
    let values = elements * size_of::<f64>() as u64;
    let factors = if is_updated { 2 * values + Update::most_bytes() } else { 0 };
    values + Scales::most_bytes(elements) + factors
}
