//! Digests of what tensors are computed with: it belongs to what an ingredient gave, and is in no chunk.

use std::collections::BTreeMap;

use crate::checkpoint::blake3_of;
use crate::digest::Digest;
use crate::error::Result;
use crate::plan::{Part, Plan};

/// By ingredient, file and offset.
#[derive(Debug, Default)]
pub(super) struct PartDigests(BTreeMap<(usize, usize, u64), Digest>);

impl PartDigests {
    /// Those of all that a plan reads.
    pub(super) fn read(plan: &Plan) -> Result<Self> {
        let mut digests = BTreeMap::new();
        for tensor in &plan.tensors {
            for ingredient in plan.needed(tensor) {
                for part in tensor.source(ingredient).parts() {
                    let file = plan.checkpoints[ingredient].file(part.shard);
                    let digest = blake3_of(file, part.offset, part.bytes())?;
                    digests.insert((ingredient, part.shard, part.offset), digest);
                }
            }
        }
        Ok(Self(digests))
    }

    pub(super) fn get(&self, ingredient: usize, part: &Part<'_>) -> Option<Digest> {
        self.0.get(&(ingredient, part.shard, part.offset)).copied()
    }
}
