//! Digests of the scales that codes were multiplied by: they belong to what an ingredient gave, and are in no chunk.

use std::collections::BTreeMap;

use crate::checkpoint::reopen;
use crate::digest::Digest;
use crate::error::Result;
use crate::io::Buffer;
use crate::plan::{Plan, Scales};

/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

/// By ingredient and name of the scales.
#[derive(Debug, Default)]
pub(super) struct ScaleDigests(BTreeMap<(usize, String), Digest>);

impl ScaleDigests {
    /// Those of all that a plan reads.
    pub(super) fn read(plan: &Plan) -> Result<Self> {
        let mut digests = BTreeMap::new();
        for tensor in &plan.tensors {
            for ingredient in plan.needed(tensor) {
                let Some(scales) = &tensor.source(ingredient).scales else { continue };
                digests.insert((ingredient, scales.name.clone()), digest(plan, ingredient, scales)?);
            }
        }
        Ok(Self(digests))
    }

    pub(super) fn get(&self, ingredient: usize, name: &str) -> Option<Digest> {
        self.0.get(&(ingredient, name.to_owned())).copied()
    }
}

fn digest(plan: &Plan, ingredient: usize, scales: &Scales) -> Result<Digest> {
    let shard = &plan.checkpoints[ingredient].shards[scales.shard];
    let source = reopen(shard)?;
    let (mut at, end) = (scales.offset, scales.offset + scales.bytes());
    let mut hasher = blake3::Hasher::new();
    let mut block = Buffer::default();
    while at < end {
        let now = BLOCK.min((end - at) as usize);
        hasher.update(source.read(at, now, &mut block)?);
        source.check()?;
        at += now as u64;
    }
    Ok(hasher.finalize().into())
}
