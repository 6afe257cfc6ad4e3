//! Digests of what tensors are computed with: it belongs to what an ingredient gave, and is in no chunk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::checkpoint::blake3_of;
use crate::digest::Digest;
use crate::error::Result;
use crate::io::remote::REQUESTS;
use crate::plan::{Part, Plan};
use crate::threads::start_some;

/// An ingredient, its file and an offset there.
type Place = (usize, usize, u64);

/// By place.
#[derive(Debug, Default)]
pub(super) struct PartDigests(BTreeMap<Place, Digest>);

impl PartDigests {
    /// Those of all that a plan reads; what lies on a server is asked for together.
    ///
    /// # Panics
    /// If a thread panics: a bug.
    pub(super) fn read(plan: &Plan) -> Result<Self> {
        let needed = plan.tensors.iter().flat_map(|tensor| {
            plan.needed(tensor).into_iter().flat_map(move |i| {
                tensor.source(i).parts().map(move |part| ((i, part.shard, part.offset), part.bytes()))
            })
        });
        let needed: Vec<(Place, u64)> = needed.collect();
        let next = AtomicUsize::new(0);
        let read = || -> Result<Vec<(Place, Digest)>> {
            let mut found = Vec::new();
            while let Some(&(place, length)) = needed.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (ingredient, file, offset) = place;
                let file = plan.checkpoints[ingredient].file(file);
                found.push((place, blake3_of(file, offset, length)?));
            }
            Ok(found)
        };
        if plan.request.objects.is_empty() {
            return read().map(|found| Self(found.into_iter().collect()));
        }
        std::thread::scope(|scope| {
            let mut all = BTreeMap::new();
            for thread in start_some(scope, REQUESTS.min(needed.len()), read)? {
                all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(Self(all))
        })
    }

    pub(super) fn get(&self, ingredient: usize, part: &Part<'_>) -> Option<Digest> {
        self.0.get(&(ingredient, part.shard, part.offset)).copied()
    }
}
