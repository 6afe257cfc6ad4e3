//! Which chunk comes next, and which tensor and shard are complete.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;

/// A run of elements of one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) shard: usize,
    pub(super) tensor: usize,
    /// First element.
    pub(super) first: u64,
    pub(super) elements: u64,
    /// Number of this chunk within its tensor.
    pub(super) number: u64,
}

/// All chunks in output order, dealt out by one atomic counter. Chunks are computed from their number, so a plan of a
/// terabyte needs no more memory here than its list of tensors.
#[derive(Debug)]
pub(super) struct Work {
    next: AtomicU64,
    /// For each tensor, the number of chunks before it; then the number of all.
    before: Vec<u64>,
    /// Elements, shard and elements per chunk of each tensor.
    tensors: Vec<(u64, usize, u64)>,
    /// Chunks left of each shard.
    left: Vec<AtomicU64>,
    chunk_bytes: u64,
}

impl Work {
    pub(super) fn new(plan: &Plan, chunk_bytes: u64) -> Self {
        let mut before = vec![0];
        let mut left = vec![0; plan.shards.len()];
        let mut tensors = Vec::new();
        for tensor in &plan.tensors {
            let per_chunk = chunk_bytes / tensor.element_bytes();
            let chunks = tensor.elements.div_ceil(per_chunk);
            before.push(before.last().copied().unwrap_or(0) + chunks);
            left[tensor.shard] += chunks;
            tensors.push((tensor.elements, tensor.shard, per_chunk));
        }
        let left = left.into_iter().map(AtomicU64::new).collect();
        Self { next: AtomicU64::new(0), before, tensors, left, chunk_bytes }
    }

    /// The next chunk that nobody has taken.
    pub(super) fn next(&self) -> Option<Chunk> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        // The last tensor that begins at or before this chunk; empty tensors begin where the next one does.
        let tensor = self.before.partition_point(|&before| before <= index) - 1;
        let &(elements, shard, per_chunk) = self.tensors.get(tensor)?;
        let number = index - self.before[tensor];
        let first = number * per_chunk;
        Some(Chunk { shard, tensor, first, elements: per_chunk.min(elements - first), number })
    }

    /// Count a chunk as written. True for the last one of its shard.
    pub(super) fn finish_chunk(&self, chunk: &Chunk) -> bool {
        self.left[chunk.shard].fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Shards without a chunk: they hold empty tensors only.
    pub(super) fn empty_shards(&self) -> impl Iterator<Item = usize> {
        self.left
            .iter()
            .enumerate()
            .filter(|(_, left)| left.load(Ordering::Acquire) == 0)
            .map(|(shard, _)| shard)
    }

    /// Chunks of a tensor.
    pub(super) fn chunks_of(&self, tensor: usize) -> u64 {
        self.before[tensor + 1] - self.before[tensor]
    }

    /// Output bytes of a whole chunk.
    pub(super) fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }
}
