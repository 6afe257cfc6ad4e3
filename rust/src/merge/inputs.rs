//! The ingredients' shards, opened when first needed and closed when nothing of them is needed any more.

use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::io::{Backend, Cache, Source};
use crate::plan::Plan;

/// Tensors of a shard still to be read, and the shard while it is open.
type Entry = (usize, Option<Arc<Source>>);

/// Open shards of all ingredients. Descriptors are bounded by the shards in use at one time, not by their number.
pub(super) struct Inputs<'a> {
    plan: &'a Plan,
    backend: Option<Backend>,
    cache: Cache,
    /// By ingredient and shard.
    shards: Vec<Vec<Mutex<Entry>>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(plan: &'a Plan, needed: &[Vec<usize>], backend: Option<Backend>, cache: Cache) -> Self {
        let mut uses: Vec<Vec<usize>> = plan.checkpoints.iter().map(|c| vec![0; c.shards.len()]).collect();
        for (tensor, needed) in plan.tensors.iter().zip(needed) {
            for &ingredient in needed {
                uses[ingredient][tensor.sources[ingredient].shard] += 1;
            }
        }
        let shards =
            uses.into_iter().map(|u| u.into_iter().map(|left| Mutex::new((left, None))).collect()).collect();
        Self { plan, backend, cache, shards }
    }

    /// A shard of an ingredient, opened if it is not.
    pub(super) fn source(&self, ingredient: usize, shard: usize) -> Result<Arc<Source>> {
        let mut entry = self.shards[ingredient][shard].lock().expect("no panic while held");
        if let Some(source) = &entry.1 {
            return Ok(Arc::clone(source));
        }
        let checkpoint = &self.plan.checkpoints[ingredient];
        let source = Arc::new(Source::open(&checkpoint.shards[shard], self.backend, self.cache)?);
        entry.1 = Some(Arc::clone(&source));
        Ok(source)
    }

    /// A tensor was read to its end: close the shards that nobody needs after it.
    pub(super) fn close_finished(&self, plan: &Plan, tensor: usize, needed: &[usize]) {
        for &ingredient in needed {
            let shard = plan.tensors[tensor].sources[ingredient].shard;
            let mut entry = self.shards[ingredient][shard].lock().expect("no panic while held");
            entry.0 -= 1;
            if entry.0 == 0 {
                entry.1 = None;
            }
        }
    }
}
