//! FP8 checkpoints: tensors of codes, and the scales that writers put beside them.
//!
//! `x.weight` has `x.weight_scale_inv` (from `DeepSeek` on, in blocks) or `x.weight_scale` (compressed-tensors,
//! FBGEMM, `ModelOpt`), experts in one tensor `x.gate_up_proj` have `x.gate_up_proj_scale_inv` or `x.gate_up_proj_scale`.
//! Whatever it is called, all of them multiply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::config::Config;
use super::super::remarks::Remarks;
use super::ingredient::{Derived, is_codes};
use super::scales::Scales;
use crate::checkpoint::folder::folder_of;
use crate::checkpoint::{Checkpoint, LocatedTensor};
use crate::dtype::Dtype;
use crate::error::{Problem, ProblemKind};
use crate::escape::{counted, quoted, shown};

/// How the names of scales end behind the name of their codes.
const SCALES: [&str; 2] = ["_scale_inv", "_scale"];
/// What activations were scaled with, beside the codes: `x.input_scale`, or `x.gate_up_proj_activation_scale`.
const ACTIVATIONS: [&str; 4] = ["input_scale", "input_scale_ub", "activation_scale", "output_scale"];
/// What keys and values of attention were scaled with: one number each.
const CACHE: [&str; 4] = [".k_scale", ".v_scale", ".q_scale", ".kv_scale"];

/// Match the codes of a checkpoint with their scales.
pub(super) fn find(
    checkpoint: &Checkpoint,
    config: Option<&Config>,
    left_out: &BTreeMap<String, String>,
    remarks: &mut Remarks,
) -> Derived {
    let mut derived = Derived::default();
    let sizes = config.map(Config::block_sizes).unwrap_or_default();
    let shards = checkpoint.shards.iter();
    let tensors =
        shards.flat_map(|shard| shard.tensors.iter().map(move |tensor| LocatedTensor { shard, tensor }));
    let mut problems = Vec::new();
    let mut dtypes = BTreeSet::new();
    for codes in tensors.clone().filter(|found| is_codes(found.tensor.dtype)) {
        let name = &codes.tensor.name;
        let at = |name: &String| checkpoint.tensors.get(name).zip(checkpoint.locate(name));
        let found = SCALES.iter().find_map(|ending| at(&format!("{name}{ending}")));
        let Some((location, scales)) = found else { continue };
        derived.parts.insert(scales.tensor.name.clone());
        derived.parts.extend(activations(name).filter(|name| checkpoint.tensors.contains_key(name)));
        // Blocks are a matter of the model's own config.
        let sizes = if folder_of(&codes.shard.name).is_empty() { &sizes[..] } else { &[] };
        match scaled(codes, scales, location.shard, sizes) {
            Ok(scales) => {
                dtypes.insert(codes.tensor.dtype);
                derived.scales.insert(name.clone(), Arc::new(scales));
            }
            Err(_) if left_out.contains_key(name) => {}
            Err(problem) => {
                derived.refused.insert(name.clone());
                problems.push(problem);
            }
        }
    }
    if derived.was_tried() {
        let is_cache = |found: &LocatedTensor<'_>| {
            found.tensor.shape.iter().all(|&n| n == 1)
                && CACHE.iter().any(|ending| found.tensor.name.ends_with(ending))
        };
        derived.parts.extend(tensors.filter(is_cache).map(|found| found.tensor.name.clone()));
    }
    remarks.tensors(&checkpoint.root, problems, "tensors have scales that do not fit");
    if let Some((name, scales)) = derived.scales.first_key_value() {
        let dtypes: Vec<&str> = dtypes.into_iter().map(Dtype::name).collect();
        let others = derived.parts.len() - derived.scales.len();
        let counted_others = counted(others as u64, "scale of activations", "scales of activations");
        let others = if others == 0 { String::new() } else { format!(" and {counted_others}") };
        let codes = dtypes.join(" and ");
        let (one, many) = (format!("tensor of {codes} codes is"), format!("tensors of {codes} codes are"));
        remarks.warn(format!(
            "{}: {} read as code times scale, exactly (`{}` by `{}`); the scales{others} are no part of the soup",
            quoted(&checkpoint.root),
            counted(derived.scales.len() as u64, &one, &many),
            shown(name),
            shown(&scales.name),
        ));
    }
    derived
}

/// What scales of activations may be called beside codes of this name.
fn activations(codes: &str) -> impl Iterator<Item = String> {
    let stem = match codes.strip_suffix("weight") {
        Some(module) => module.to_owned(),
        None => format!("{codes}_"),
    };
    ACTIVATIONS.iter().map(move |ending| format!("{stem}{ending}"))
}

/// Codes with the scales that lie beside them.
fn scaled(
    codes: LocatedTensor<'_>,
    scales: LocatedTensor<'_>,
    shard: usize,
    sizes: &[[u64; 2]],
) -> Result<Scales, Problem> {
    let (expected, got) = (codes.tensor, scales.tensor);
    let problem = |message: String, hint: &str| {
        Problem::new(ProblemKind::UnsupportedDtype, message)
            .at(&scales.shard.path)
            .tensor(&got.name)
            .hint(hint)
    };
    if !matches!(got.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F8_E8M0) {
        let message = format!("expected scales of F32, F16, BF16 or F8_E8M0, got {}", got.dtype);
        return Err(problem(message, "dequantise to BF16 first: what these scales mean is not known"));
    }
    let Some((codes, block)) = Scales::blocks(&expected.shape, &got.shape, sizes) else {
        let sizes: Vec<String> = sizes.iter().map(|[lines, columns]| format!("{lines}x{columns}")).collect();
        let blocks = match sizes.as_slice() {
            [] => "config.json names no size of blocks".to_owned(),
            sizes => format!("config.json names blocks of {}", sizes.join(" or ")),
        };
        let message = format!(
            "scales of shape {:?} do not fit codes of shape {:?}: {blocks}",
            got.shape, expected.shape
        );
        return Err(problem(
            message,
            "expected one scale, one for each row, or one for each block of `weight_block_size` in \
             `quantization_config`",
        ));
    };
    let (name, offset, dtype) = (got.name.clone(), got.offset, got.dtype);
    Ok(Scales { name, shard, offset, dtype, codes, block })
}

#[cfg(test)]
mod tests {
    use super::activations;

    #[test]
    fn scales_of_activations_stand_beside_codes() {
        let check =
            |codes: &str, name: &str| assert!(activations(codes).any(|found| found == name), "{name}");
        check("model.layers.0.q_proj.weight", "model.layers.0.q_proj.input_scale");
        check("model.layers.0.q_proj.weight", "model.layers.0.q_proj.activation_scale");
        check("model.layers.0.experts.down_proj", "model.layers.0.experts.down_proj_activation_scale");
    }
}
