//! What other tensors are computed with.

use crate::dtype::Dtype;

/// A tensor of an ingredient that others are computed with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Index into the ingredient's files.
    pub(crate) shard: usize,
    /// Absolute offset in that file.
    pub(crate) offset: u64,
    /// Element type there.
    pub(crate) dtype: Dtype,
    /// Number of elements.
    pub(crate) elements: u64,
}

impl Part<'_> {
    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> u64 {
        self.elements * self.dtype.bytes().unwrap_or(0) as u64
    }
}
