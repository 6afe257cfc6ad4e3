//! Which chunk comes next, and which tensor and shard are complete.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::{Plan, PlannedTensor};

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

impl Chunk {
    /// Where an ingredient has it in its shard: offset and length in bytes.
    pub(super) fn range(&self, tensor: &PlannedTensor, ingredient: usize) -> (u64, usize) {
        let source = tensor.source(ingredient);
        let size = source.dtype.bytes().expect("no planned tensor has elements below a byte") as u64;
        (source.offset + self.first * size, (self.elements * size) as usize)
    }
}

/// Shards written at one time. A file's writers take turns in the kernel (two of them spend a seventh of a merge
/// waiting for its inode), so workers spread over shards; but not over all, for a disk likes few streams.
const LANES: usize = 4;

/// All chunks in output order, dealt out shard by shard. Chunks are computed from their number, so a plan of a
/// terabyte needs no more memory here than its list of tensors.
#[derive(Debug)]
pub(super) struct Work {
    /// For each tensor, the number of chunks before it; then the number of all.
    before: Vec<u64>,
    /// Elements, shard and elements per chunk of each tensor.
    tensors: Vec<(u64, usize, u64)>,
    shards: Vec<ShardChunks>,
    /// Workers at each shard.
    workers: Mutex<Vec<usize>>,
    lanes: usize,
    chunk_bytes: u64,
}

/// The chunks of one shard.
#[derive(Debug, Default)]
struct ShardChunks {
    /// Number of the next chunk.
    next: AtomicU64,
    /// Number of the first chunk behind this shard.
    end: u64,
    /// Chunks not yet written.
    left: AtomicU64,
}

impl Work {
    /// `needed`: whether a shard must be made. What comes from a server is fetched ahead, so its order must be known: then
    /// one shard is made after the other, as if shards do not stay on this disk.
    pub(super) fn new(plan: &Plan, chunk_bytes: u64, needed: &[bool]) -> Self {
        let remote = (0..plan.checkpoints.len()).any(|ingredient| plan.is_remote(ingredient));
        let lanes = if remote || plan.request.options.sent { 1 } else { LANES };
        let mut before = vec![0];
        let mut shards: Vec<ShardChunks> = plan.shards.iter().map(|_| ShardChunks::default()).collect();
        let mut tensors = Vec::new();
        let mut all = 0;
        for tensor in &plan.tensors {
            let per_chunk = chunk_bytes / tensor.element_bytes();
            let chunks = tensor.elements.div_ceil(per_chunk);
            if needed[tensor.shard] {
                let shard = &mut shards[tensor.shard];
                if *shard.left.get_mut() == 0 {
                    *shard.next.get_mut() = all;
                }
                *shard.left.get_mut() += chunks;
                shard.end = all + chunks;
            }
            all += chunks;
            before.push(all);
            tensors.push((tensor.elements, tensor.shard, per_chunk));
        }
        let workers = Mutex::new(vec![0; shards.len()]);
        Self { before, tensors, shards, workers, lanes, chunk_bytes }
    }

    /// The next chunk for a worker at `shard`; once that is dealt out, the worker moves on to another.
    pub(super) fn next(&self, shard: &mut Option<usize>) -> Option<Chunk> {
        loop {
            if let Some(chunks) = shard.map(|shard| &self.shards[shard]) {
                let index = chunks.next.fetch_add(1, Ordering::Relaxed);
                if index < chunks.end {
                    return Some(self.chunk(index));
                }
            }
            *shard = Some(self.choose(*shard)?);
        }
    }

    /// Where a worker that leaves a shard is needed most.
    fn choose(&self, leaving: Option<usize>) -> Option<usize> {
        let mut workers = self.workers.lock().expect("no panic while held");
        if let Some(leaving) = leaving {
            workers[leaving] -= 1;
        }
        let open = |&shard: &usize| self.shards[shard].next.load(Ordering::Relaxed) < self.shards[shard].end;
        let busy = (0..self.shards.len()).filter(open).filter(|&shard| workers[shard] > 0).count();
        let wanted = |&shard: &usize| (busy >= self.lanes && workers[shard] == 0, workers[shard], shard);
        let chosen = (0..self.shards.len()).filter(open).min_by_key(wanted)?;
        workers[chosen] += 1;
        Some(chosen)
    }

    fn chunk(&self, index: u64) -> Chunk {
        // The last tensor that begins at or before this chunk; empty tensors begin where the next one does.
        let tensor = self.before.partition_point(|&before| before <= index) - 1;
        let (elements, shard, per_chunk) = self.tensors[tensor];
        let number = index - self.before[tensor];
        let first = number * per_chunk;
        Chunk { shard, tensor, first, elements: per_chunk.min(elements - first), number }
    }

    /// All chunks that will be dealt out, in their order if there is one lane.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Chunk> + Clone {
        let range = |shard: &ShardChunks| shard.next.load(Ordering::Relaxed)..shard.end;
        self.shards.iter().flat_map(range).map(|index| self.chunk(index))
    }

    /// Count a chunk as written. True for the last one of its shard.
    pub(super) fn finish_chunk(&self, chunk: &Chunk) -> bool {
        self.shards[chunk.shard].left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether a shard has no chunk: nothing of it is needed, or it holds empty tensors only.
    pub(super) fn is_empty(&self, shard: usize) -> bool {
        self.shards[shard].left.load(Ordering::Acquire) == 0
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
