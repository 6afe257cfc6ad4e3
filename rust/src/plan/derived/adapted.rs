//! What adapters make of the tensors of their base.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::remarks::Remarks;
use super::ingredient::{Derived, is_codes};
use super::update::{Factor, LARGEST_SCALE, MOST_RANK, Replacement, Update};
use crate::checkpoint::{By, Change, Checkpoint, Shard, TensorInfo};
use crate::dtype::{Dtype, DtypeClass};
use crate::error::{Problem, ProblemKind};
use crate::escape::shown;

const HINT: &str = "merge the adapter into its base with the program that made it, and average the models";

/// Add what the adapter of a checkpoint changes to what is derived of it.
pub(super) fn add(checkpoint: &Checkpoint, derived: &mut Derived, remarks: &mut Remarks) {
    let Some(adapter) = &checkpoint.adapter else { return };
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    // What stands in the place of a tensor comes first: factors may add to that.
    let is_replaced = |change: &&Change| matches!(change.by, By::Replacement(_));
    let added = adapter.changes.iter().filter(|change| !is_replaced(change));
    for change in adapter.changes.iter().filter(is_replaced).chain(added) {
        let is_second = !seen.insert((&change.tensor, is_replaced(&change)));
        let result = if is_second {
            Err("is changed twice".to_owned())
        } else {
            one(checkpoint, (&adapter.file, checkpoint.shards.len()), change, derived)
        };
        if let Err(message) = result {
            derived.refused.insert(change.tensor.clone());
            let problem = Problem::new(ProblemKind::Incompatible, message);
            problems.push(problem.at(&adapter.file.path).tensor(&change.tensor).hint(HINT));
        }
    }
    remarks.tensors(&checkpoint.label(), problems, "tensors of the adapter do not fit");
}

/// Add one change, or say what is wrong with it.
fn one(
    checkpoint: &Checkpoint,
    (file, shard): (&Shard, usize),
    change: &Change,
    derived: &mut Derived,
) -> Result<(), String> {
    let base = checkpoint.tensor(&change.tensor).ok_or("is changed by the adapter, but the base lacks it")?;
    let find = |name: &str| -> Result<&TensorInfo, String> {
        let found = file.tensors.iter().find(|tensor| tensor.name == name);
        found.ok_or_else(|| format!("expected `{}` in the adapter, got no such tensor", shown(name)))
    };
    if let By::Replacement(name) = &change.by {
        let &TensorInfo { dtype, ref shape, offset, .. } = find(name)?;
        let is_float = base.dtype.class() == DtypeClass::Float || is_codes(base.dtype);
        if !is_float || dtype.class() != DtypeClass::Float {
            return Err(format!("{} is replaced by {dtype}: only floats can be", base.dtype));
        }
        if *shape != base.shape {
            return Err(format!("expected a replacement of shape {:?}, got {shape:?}", base.shape));
        }
        derived.scales.remove(&change.tensor);
        derived.replaced.insert(change.tensor.clone(), Replacement { shard, offset, dtype });
        return Ok(());
    }
    let By::Factors { a, b, scale, transposed } = &change.by else { return Ok(()) };
    let has_numbers =
        derived.scales.contains_key(&change.tensor) || derived.replaced.contains_key(&change.tensor);
    if is_codes(base.dtype) && !has_numbers {
        return Ok(()); // refused, as any codes without scales
    }
    if base.dtype.class() != DtypeClass::Float && !is_codes(base.dtype) {
        return Err(format!("is {}, to which no adapter can add", base.dtype));
    }
    let factor = |name: &str| -> Result<Factor, String> {
        let TensorInfo { name, dtype, shape, offset, .. } = find(name)?.clone();
        if !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(format!("expected `{}` in F32, F16 or BF16, got {dtype}", shown(&name)));
        }
        Ok(Factor { name, offset, dtype, shape })
    };
    let (a, b) = (factor(a)?, factor(b)?);
    let shapes = format!("{:?} and {:?}", a.shape, b.shape);
    if *scale != 0.0 && !(1.0 / LARGEST_SCALE..=LARGEST_SCALE).contains(&scale.abs()) {
        return Err(format!("expected a scale of at most 2^100, got {scale:e}"));
    }
    let Some(update) = Update::new(shard, [a, b], (*scale, *transposed), &base.shape) else {
        return Err(format!("factors of shapes {shapes} do not fit {:?}", base.shape));
    };
    if !(1..=MOST_RANK).contains(&update.rank) {
        return Err(format!("expected a rank from 1 to {MOST_RANK}, got {}", update.rank));
    }
    derived.updates.insert(change.tensor.clone(), Arc::new(update));
    Ok(())
}
