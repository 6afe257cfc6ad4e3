//! Where an ingredient has a tensor, and what its elements are computed with.

use std::sync::Arc;

use super::derived::{Derived, Part, Scales, Update, VALUES};
use crate::checkpoint::Checkpoint;
use crate::dtype::Dtype;

/// A stretch of one ingredient that holds one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSource {
    /// Index into the ingredient's files.
    pub shard: usize,
    /// Absolute offset in that file.
    pub offset: u64,
    /// Element type there.
    pub dtype: Dtype,
    /// What the elements there are multiplied by, if they are codes.
    pub scales: Option<Arc<Scales>>,
    /// What an adapter adds to that.
    pub update: Option<Arc<Update>>,
}

impl TensorSource {
    /// Where an ingredient has a tensor; `None` if it has none of that name.
    pub(crate) fn of(checkpoint: &Checkpoint, derived: &Derived, name: &str) -> Option<Self> {
        let own = checkpoint.tensors.get(name)?.shard;
        let info = checkpoint.tensor(name)?;
        let (shard, offset, dtype) = match derived.replacement(name) {
            Some(replacement) => (replacement.shard, replacement.offset, replacement.dtype),
            None => (own, info.offset, info.dtype),
        };
        let (scales, update) = (derived.scales(name).cloned(), derived.update(name).cloned());
        Some(Self { shard, offset, dtype, scales, update })
    }

    /// What its elements are computed with, but for what is stored of themselves.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let scales = self.scales.iter().map(|scales| scales.part());
        scales.chain(self.update.iter().flat_map(|update| update.parts()))
    }

    /// The files that hold it, and what it is computed with.
    pub(crate) fn shards(&self) -> impl Iterator<Item = usize> {
        let scales = self.scales.iter().map(|scales| scales.shard);
        let update = self.update.iter().map(|update| update.shard);
        std::iter::once(self.shard).chain(scales).chain(update)
    }

    /// Whether its elements are computed.
    pub(crate) fn is_computed(&self) -> bool {
        self.scales.is_some() || self.update.is_some()
    }

    /// Bytes of one element as a number: computed ones are [`VALUES`].
    ///
    /// # Panics
    /// Never for a planned tensor: dtypes below a byte are refused.
    pub(crate) fn value_bytes(&self) -> u64 {
        let dtype = if self.is_computed() { VALUES } else { self.dtype };
        dtype.bytes().expect("dtypes below a byte are refused") as u64
    }

    /// Bytes of one element there.
    ///
    /// # Panics
    /// Never for a planned tensor: dtypes below a byte are refused.
    pub(crate) fn element_bytes(&self) -> u64 {
        self.dtype.bytes().expect("dtypes below a byte are refused") as u64
    }
}
