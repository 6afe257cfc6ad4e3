//! Buffers that loaders make anew, whatever a file says: tables of positions, frequencies and causal masks, and counters
//! that only training needs. Some versions of the libraries store them and some do not, so where an ingredient lacks
//! one it is left out of the soup.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::{Checkpoint, TensorInfo};
use crate::dtype::DtypeClass;
use crate::escape::{quoted, shown};

use super::remarks::Remarks;

/// The buffers that some ingredient lacks, but for those in `decided`. A word is said for each ingredient that has some.
pub(super) fn unshared(
    checkpoints: &[Checkpoint],
    decided: &BTreeSet<&str>,
    remarks: &mut Remarks,
) -> Vec<String> {
    let mut holders: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, checkpoint) in checkpoints.iter().enumerate() {
        for info in checkpoint.shards.iter().flat_map(|shard| &shard.tensors) {
            if made_by_loaders(info) && !decided.contains(info.name.as_str()) {
                holders.entry(&info.name).or_default().push(i);
            }
        }
    }
    // A name that is a buffer here and something else there is no buffer.
    let has = |name: &str| checkpoints.iter().filter(|c| c.tensors.contains_key(name)).count();
    holders.retain(|name, holders| holders.len() < checkpoints.len() && has(name) == holders.len());
    for (i, checkpoint) in checkpoints.iter().enumerate() {
        let mut own = holders.iter().filter(|(_, holders)| holders.contains(&i)).map(|(name, _)| name);
        let Some(first) = own.next() else { continue };
        let more = match own.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        remarks.warn(format!(
            "{}: `{}`{more}: left out, as other ingredients lack it and loaders make it anew",
            quoted(&checkpoint.root),
            shown(first)
        ));
    }
    holders.into_keys().map(str::to_owned).collect()
}

/// Whether a tensor has the name, and the shape, of a buffer that loaders make anew.
pub(super) fn made_by_loaders(info: &TensorInfo) -> bool {
    let (parent, last) = info.name.rsplit_once(['.', '/']).unwrap_or(("", &info.name));
    let discrete = info.dtype.class() == DtypeClass::Discrete;
    match last {
        "inv_freq" => info.shape.len() == 1,
        "freqs" => parent.rsplit(['.', '/']).next() == Some("rope"),
        "cos_cached" | "sin_cached" => parent.ends_with("rotary_emb"),
        "position_ids" => matches!(info.shape.as_slice(), [_] | [1, _]),
        "token_type_ids" => discrete && matches!(info.shape.as_slice(), [1, _]),
        "masked_bias" => matches!(info.shape.as_slice(), [] | [1]),
        // A learned bias of an attention has one dimension.
        "bias" | "causal_mask" => {
            let attention = parent.rsplit(['.', '/']).next().is_some_and(|p| p == "attn" || p == "attention");
            attention && matches!(info.shape.as_slice(), [1, 1, rows, columns] if rows == columns)
        }
        "num_batches_tracked" => discrete && info.shape.is_empty(),
        "relative_position_index" => discrete,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::made_by_loaders;
    use crate::checkpoint::TensorInfo;
    use crate::dtype::Dtype;

    #[test]
    fn buffers_are_told_by_name_and_shape() {
        let check = |name: &str, dtype: Dtype, shape: &[u64], expected: bool| {
            let info = TensorInfo { name: name.into(), dtype, shape: shape.into(), offset: 0, length: 0 };
            assert_eq!(made_by_loaders(&info), expected, "{name} {shape:?}");
        };
        check("model.layers.0.self_attn.rotary_emb.inv_freq", Dtype::F32, &[64], true);
        check("inv_freq", Dtype::F32, &[64], true);
        check("inv_freq", Dtype::F32, &[64, 64], false);
        check("model.not_inv_freq", Dtype::F32, &[64], false);
        check("model.inv_freq.weight", Dtype::F32, &[64], false);
        check("rope.freqs", Dtype::BF16, &[64], true);
        check("transformer/rope.freqs", Dtype::BF16, &[64], true);
        check("tope.freqs", Dtype::BF16, &[64], false);
        check("conv.freqs", Dtype::BF16, &[64], false);
        check("embeddings.position_ids", Dtype::I64, &[1, 512], true);
        check("text_model.embeddings.position_ids", Dtype::F32, &[1, 77], true);
        check("position_ids", Dtype::I64, &[512], true);
        check("text_encoder/position_ids", Dtype::I64, &[1, 77], true);
        check("position_ids", Dtype::F32, &[512, 768], false);
        check("embeddings.token_type_ids", Dtype::I64, &[1, 512], true);
        check("h.0.attn.masked_bias", Dtype::F32, &[], true);
        check("h.0.attn.masked_bias", Dtype::F32, &[768], false);
        check("transformer.h.0.attn.bias", Dtype::U8, &[1, 1, 1024, 1024], true);
        check("h.0.attn.attention.bias", Dtype::F32, &[1, 1, 8, 8], true);
        check("gpt_neox.layers.0.attention.bias", Dtype::BOOL, &[1, 1, 8, 8], true);
        check("transformer.h.0.attn.causal_mask", Dtype::BOOL, &[1, 1, 8, 8], true);
        check("h.0.attn.bias", Dtype::F32, &[768], false);
        check("h.0.attn.bias", Dtype::F32, &[1, 1, 8, 4], false);
        check("h.0.conv.bias", Dtype::F32, &[1, 1, 8, 8], false);
        check("bn.num_batches_tracked", Dtype::I64, &[], true);
        check("bn.num_batches_tracked", Dtype::F32, &[], false);
        check("layers.0.attention.self.relative_position_index", Dtype::I64, &[49, 49], true);
        check("bn.running_mean", Dtype::F32, &[8], false);
    }
}
