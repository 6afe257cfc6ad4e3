//! What one worker holds in memory at a time.

use crate::io::remote::Fetch;
use crate::mixing::{chunk_bytes, scratch_bytes};
use crate::plan::{Plan, PlannedTensor};

/// The ingredients of the tensor that needs the most memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    ingredients: usize,
    /// Those whose elements are computed.
    derived: usize,
    /// Those of these that an adapter adds to.
    updated: usize,
    /// Those that lie on a server.
    remote: usize,
    /// Most elements that a byte of output can stand for, times 8.
    narrowest: u64,
}

impl Load {
    /// The most that a tensor of a plan needs.
    pub fn of(plan: &Plan) -> Self {
        let needs = |tensor: &PlannedTensor| {
            let needed = plan.needed(tensor);
            let derived = needed.iter().filter(|&&i| tensor.source(i).is_computed()).count();
            let updated = needed.iter().filter(|&&i| tensor.source(i).update.is_some()).count();
            (needed.len(), [derived, updated], tensor.element_bytes())
        };
        let remote = (0..plan.checkpoints.len()).filter(|&i| plan.is_remote(i)).count();
        let none = Self { remote, ..Self::default() };
        plan.tensors.iter().map(needs).fold(none, |most, (ingredients, [derived, updated], bytes)| Self {
            remote: most.remote,
            ingredients: most.ingredients.max(ingredients),
            derived: most.derived.max(derived),
            updated: most.updated.max(updated),
            narrowest: if derived > 0 { most.narrowest.max(8 / bytes) } else { most.narrowest },
        })
    }

    /// Output bytes of the smallest chunk: what an ingredient stores of it is a subtree of its digest.
    pub(super) fn least_chunk(self) -> u64 {
        if self.derived > 0 { 8192 } else { 4096 }
    }

    /// Output bytes of a chunk.
    pub(super) fn chunk_bytes(self) -> u64 {
        chunk_bytes(self.ingredients, self.derived)
    }

    /// Upper bound of private memory of a run, in bytes: 64 MB, two working sets a thread, and what is fetched ahead for
    /// ingredients that lie on a server.
    pub fn memory_bound(self, threads: usize) -> u64 {
        let chunk = self.chunk_bytes();
        let elements = chunk * self.narrowest / 8;
        let scaled = self.derived.saturating_sub(self.updated) as u64;
        let computed =
            scaled * scratch_bytes(elements, false) + self.updated as u64 * scratch_bytes(elements, true);
        let ahead = Fetch::memory(self.remote);
        64_000_000 + 2 * threads as u64 * ((self.ingredients as u64 + 1) * chunk + computed) + ahead
    }
}
