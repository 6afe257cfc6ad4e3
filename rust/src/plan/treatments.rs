//! The account: every tensor of the union of names is averaged, copied, a tied copy, or the reason for a refusal.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::{Checkpoint, LocatedTensor, TensorInfo};
use crate::dtype::DtypeClass;
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::{quoted, shown};

use super::config::Config;
use super::remarks::Remarks;
use super::{MergeRequest, Treatment, discrete, names, quantised, rows, tied};

/// What happens to each tensor.
#[derive(Debug)]
pub(super) struct Treatments {
    /// Tensors of the output. Complete only if nothing was found wrong.
    pub(super) by_name: BTreeMap<String, Treatment>,
    /// Tied heads that are left out, and the ingredients that had them.
    pub(super) tied: Vec<(String, Vec<usize>)>,
}

/// Decide the treatment of every tensor, comparing the ingredients with the first.
pub(super) fn decide(
    request: &MergeRequest,
    checkpoints: &[Checkpoint],
    configs: &[Option<Config>],
    remarks: &mut Remarks,
) -> Result<Treatments> {
    let used = used(request);
    quantised::check(checkpoints, configs, remarks);
    tied::check_flags(configs, remarks);
    let tied = tied::resolve(checkpoints, configs, request.options.config_from, &used, remarks)?;
    let dropped: BTreeSet<&str> = tied.iter().map(|(name, _)| name.as_str()).collect();
    names::check(checkpoints, &dropped, remarks);
    for checkpoint in checkpoints {
        check_dtypes(checkpoint, remarks);
    }
    check_agreement(checkpoints, remarks);

    let class = |class: DtypeClass| -> Vec<&str> {
        let infos = checkpoints.first().into_iter().flat_map(|first| &first.shards).flat_map(|s| &s.tensors);
        let kept = infos.filter(|info| info.dtype.class() == class && !dropped.contains(info.name.as_str()));
        kept.map(|info| info.name.as_str()).collect()
    };
    let (averaged, copied) = (class(DtypeClass::Float), class(DtypeClass::Discrete));
    discrete::check(checkpoints, &used, &copied, remarks)?;
    let rows = rows::assign(&request.recipes, &averaged, remarks);
    let averaged =
        averaged.into_iter().zip(rows).map(|(name, rows)| (name.to_owned(), Treatment::Averaged { rows }));
    let copied = copied.into_iter().map(|name| (name.to_owned(), Treatment::Copied));
    Ok(Treatments { by_name: averaged.chain(copied).collect(), tied })
}

/// Which ingredients have parts in any row of any recipe; the data of the others is never read.
fn used(request: &MergeRequest) -> Vec<bool> {
    let rows = || request.recipes.iter().flat_map(|recipe| &recipe.rows);
    let has_parts = |i: usize| rows().any(|row| row.mix.numerators().get(i).is_some_and(|&n| n != 0));
    (0..request.ingredients.len()).map(has_parts).collect()
}

/// Tensors whose dtype has no mean.
fn check_dtypes(checkpoint: &Checkpoint, remarks: &mut Remarks) {
    let mut problems = Vec::new();
    for shard in &checkpoint.shards {
        for tensor in shard.tensors.iter().filter(|t| t.dtype.class() == DtypeClass::Refused) {
            let (message, hint) = match tensor.dtype {
                crate::Dtype::C64 => ("C64 holds complex numbers, which are not averaged", "leave it out"),
                dtype => (&*format!("{dtype} holds scaled codes"), "dequantise to BF16 first"),
            };
            let problem = Problem::new(ProblemKind::UnsupportedDtype, message);
            problems.push(problem.at(&shard.path).tensor(&tensor.name).hint(hint));
        }
    }
    remarks.tensors(&checkpoint.root, problems, "tensors have a dtype that cannot be averaged");
}

/// Shapes and dtypes of every ingredient against the first's.
fn check_agreement(checkpoints: &[Checkpoint], remarks: &mut Remarks) {
    let Some((first, others)) = checkpoints.split_first() else { return };
    for other in others {
        let (mut shapes, mut dtypes, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        let tensors = other
            .shards
            .iter()
            .flat_map(|s| s.tensors.iter().map(move |tensor| LocatedTensor { shard: s, tensor }));
        for got in tensors {
            let Some(expected) = first.tensor(&got.tensor.name) else { continue };
            if expected.shape != got.tensor.shape {
                shapes.push(shape_differs(expected, got, other));
            }
            let (class, other_class) = (expected.dtype.class(), got.tensor.dtype.class());
            if expected.dtype == got.tensor.dtype || [class, other_class].contains(&DtypeClass::Refused) {
                continue;
            }
            if class == DtypeClass::Float && other_class == DtypeClass::Float {
                mixed.push(got.tensor);
            } else {
                let message = format!("expected dtype {}, got {}", expected.dtype, got.tensor.dtype);
                dtypes.push(
                    Problem::new(ProblemKind::Incompatible, message)
                        .at(&got.shard.path)
                        .tensor(&got.tensor.name)
                        .hint("only float dtypes may differ between ingredients"),
                );
            }
        }
        remarks.tensors(&other.root, shapes, "tensors have another shape");
        remarks.tensors(&other.root, dtypes, "tensors have another dtype");
        if let Some(example) = mixed.first() {
            let more = if mixed.len() > 1 {
                format!(" and {} more tensors", mixed.len() - 1)
            } else {
                String::new()
            };
            remarks.warn(format!(
                "{}: `{}`{more}: {} where {} has another float dtype; the mean is exact, and rounded once",
                quoted(&other.root),
                shown(&example.name),
                example.dtype,
                quoted(&first.root),
            ));
        }
    }
}

fn shape_differs(expected: &TensorInfo, got: LocatedTensor<'_>, ingredient: &Checkpoint) -> Problem {
    let (e, g) = (&expected.shape, &got.tensor.shape);
    let message = format!("expected shape {e:?}, got {g:?}");
    let vocabulary = is_vocabulary(&expected.name) && e.len() == g.len() && e.get(1..) == g.get(1..);
    let problem = match (e.first(), g.first()) {
        (Some(e), Some(g)) if vocabulary => Problem::new(
            ProblemKind::Incompatible,
            format!("{message}: the vocabularies differ, {e} and {g} tokens"),
        )
        .hint(format!(
            "checkpoints with different vocabularies cannot be averaged: leave {} out of the recipe",
            quoted(&ingredient.root)
        )),
        _ => Problem::new(ProblemKind::Incompatible, message).hint(format!(
            "another architecture or size: leave {} out of the recipe",
            quoted(&ingredient.root)
        )),
    };
    problem.at(&got.shard.path).tensor(&expected.name)
}

/// Whether the first dimension of a tensor counts tokens, as far as the name tells. Only the wording depends on it.
fn is_vocabulary(name: &str) -> bool {
    let endings =
        ["embed_tokens.weight", "word_embeddings.weight", "wte.weight", "shared.weight", "embed_in.weight"];
    let heads =
        ["lm_head.weight", "lm_head.bias", "embed_out.weight", "output.weight", "tok_embeddings.weight"];
    endings.iter().chain(&heads).any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::is_vocabulary;

    #[test]
    fn embeddings_and_heads_are_told_by_their_names() {
        for name in ["lm_head.weight", "model.embed_tokens.weight", "transformer.wte.weight", "shared.weight"]
        {
            assert!(is_vocabulary(name), "{name}");
        }
        assert!(!is_vocabulary("model.layers.0.mlp.up_proj.weight"));
        assert!(!is_vocabulary("model.embed_tokens.bias"));
    }
}
