//! The elements of one ingredient's tensor as numbers: as they are stored, or computed from codes and scales.

use std::borrow::Borrow;
use std::io;

use super::codes::{self, Codes};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::io::{Buffer, Source};
use crate::plan::{Scales, TensorSource, VALUES};

/// A worker's memory for one ingredient.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// For positioned reads.
    stored: Buffer,
    scales: Buffer,
    values: Buffer,
}

/// A stretch of a tensor of one ingredient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'a> {
    /// As it lies in the file.
    pub(crate) stored: &'a [u8],
    /// Its elements.
    pub(crate) values: &'a [u8],
    /// Their dtype.
    pub(crate) dtype: Dtype,
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
        at: &TensorSource,
        (first, count): (u64, usize),
        scratch: &'a mut Scratch,
    ) -> Result<Stretch<'a>> {
        let size = at.element_bytes();
        let offset = at.offset + first * size;
        let own: &Source = self.0[0].borrow();
        let stored = own.read(offset, count * size as usize, &mut scratch.stored)?;
        let Some(scales) = &at.scales else { return Ok(Stretch { stored, values: stored, dtype: at.dtype }) };
        let holder: &Source = self.0[1].borrow();
        let no_memory = |error: io::Error| Error::io(own.path(), "no memory for scaled values", error);
        let values = scratch.values.first(count * size_of::<f64>()).map_err(no_memory)?;
        let codes = Codes { dtype: at.dtype, bytes: stored, first };
        let read = |numbers: std::ops::Range<u64>, scratch| {
            let size = scales.dtype.bytes().expect("a float") as u64;
            let length = (numbers.end - numbers.start) * size;
            holder.read(scales.offset + numbers.start * size, length as usize, scratch)
        };
        let numbers = scales.of_range(&(first..first + count as u64));
        codes::scale(codes, scales, numbers.start, read(numbers.clone(), &mut scratch.scales)?, values);
        Ok(Stretch { stored, values, dtype: VALUES })
    }

    /// Whether all bytes handed out so far were the files'; see [`Source::check`].
    pub(crate) fn check(&self) -> Result<()> {
        self.0.iter().try_for_each(|source| source.borrow().check())
    }

    /// Whether the files are what they were when they were opened; see [`Source::unchanged`].
    pub(crate) fn unchanged(&self) -> Result<()> {
        self.0.iter().try_for_each(|source| source.borrow().unchanged())
    }

    /// Say that a stretch is no longer needed. Scales stay: the next stretch may need the same.
    pub(crate) fn release(&self, at: &TensorSource, (first, count): (u64, usize)) {
        let size = at.element_bytes();
        self.0[0].borrow().release(at.offset + first * size, count * size as usize);
    }
}

/// Bytes of memory that [`Files::read`] takes for `elements` elements whose values are computed.
pub(crate) fn scratch_bytes(elements: u64) -> u64 {
    elements * size_of::<f64>() as u64 + Scales::most_bytes(elements)
}
