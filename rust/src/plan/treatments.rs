//! The account: every tensor of the union of names is averaged, copied, taken from one ingredient, left out, a tied copy,
//! or the reason for a refusal.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::{Checkpoint, LocatedTensor, TensorInfo};
use crate::dtype::DtypeClass;
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::{counted, quoted, shown};

use super::choices::Chosen;
use super::config::Config;
use super::derived::{self, Derived};
use super::remarks::Remarks;
use super::{MergeRequest, Treatment, buffers, discrete, names, quantised, rows, tied};

/// What happens to each tensor.
#[derive(Debug)]
pub(super) struct Treatments {
    /// Tensors of the output. Complete only if nothing was found wrong.
    pub(super) by_name: BTreeMap<String, Treatment>,
    /// Tied heads that are left out, and the ingredients that had them.
    pub(super) tied: Vec<(String, Vec<usize>)>,
    /// Tensors that are left out, with the pattern that says so; none for a buffer that loaders make anew, and for scales.
    pub(super) left_out: BTreeMap<String, Option<String>>,
    /// What is computed of each ingredient.
    pub(super) derived: Vec<Derived>,
}

/// Decide the treatment of every tensor, comparing the ingredients with the first.
pub(super) fn decide(
    request: &MergeRequest,
    checkpoints: &[Checkpoint],
    configs: &[Option<Config>],
    remarks: &mut Remarks,
) -> Result<Treatments> {
    let used = used(request);
    let mut chosen = request.options.choices.resolve(checkpoints, remarks);
    let derived = derived::of_each(checkpoints, configs, &chosen.left_out, remarks);
    quantised::check(checkpoints, configs, &derived, remarks);
    tied::check_flags(configs, remarks);
    chosen.take_by_rows(&request.recipes, checkpoints)?;
    let tied = tied::resolve(request, checkpoints, configs, (&chosen, &derived), &used, remarks)?;
    let Chosen { left_out, taken } = chosen;
    check_taken(checkpoints, &derived, &taken, remarks);
    let scales: BTreeSet<&str> = derived.iter().flat_map(Derived::parts).map(String::as_str).collect();
    let mut decided: BTreeSet<&str> = left_out.keys().chain(taken.keys()).map(String::as_str).collect();
    decided.extend(tied.iter().map(|(name, _)| name.as_str()));
    let buffers = buffers::unshared(checkpoints, &decided, remarks);
    decided.extend(buffers.iter().map(String::as_str));
    decided.extend(&scales);
    names::check(checkpoints, &decided, remarks);
    for (checkpoint, derived) in checkpoints.iter().zip(&derived) {
        check_dtypes(checkpoint, derived, &left_out, remarks);
    }
    check_agreement(checkpoints, &derived, &decided, remarks);

    let class = |class: DtypeClass| -> Vec<&str> {
        let with_derived = checkpoints.iter().zip(&derived).take(1);
        let infos = with_derived.flat_map(|(first, derived)| {
            first.shards.iter().flat_map(|s| &s.tensors).map(move |t| (t, derived))
        });
        let kept = infos.filter(|(info, derived)| {
            derived.dtype(info).class() == class && !decided.contains(info.name.as_str())
        });
        kept.map(|(info, _)| info.name.as_str()).collect()
    };
    let (averaged, copied) = (class(DtypeClass::Float), class(DtypeClass::Discrete));
    discrete::check(checkpoints, &used, &copied, remarks)?;
    let with_rows = averaged.iter().copied().chain(taken.keys().map(String::as_str));
    let shape = |name: &str| checkpoints.iter().find_map(|found| found.tensor(name));
    let with_rows: Vec<(&str, &[u64])> =
        with_rows.map(|name| (name, shape(name).map_or(&[][..], |info| &info.shape))).collect();
    let rows = rows::assign(&request.recipes, &with_rows, remarks);
    let averaged =
        averaged.into_iter().zip(rows).map(|(name, rows)| (name.to_owned(), Treatment::Averaged { rows }));
    let copied = copied.into_iter().map(|name| (name.to_owned(), Treatment::Copied));
    let mut by_name: BTreeMap<_, _> = averaged.chain(copied).collect();
    by_name.extend(taken.into_iter().map(|(name, from)| (name, Treatment::Taken { from })));
    check_emptied(checkpoints, &by_name, &left_out, remarks);
    if by_name.is_empty() && remarks.problems.is_empty() {
        let problem =
            Problem::new(ProblemKind::Recipe, "nothing is left of the soup: every tensor is left out");
        remarks.problem(problem.hint("narrow the patterns of `leave_out`"));
    }
    let chosen = left_out.into_iter().map(|(name, pattern)| (name, Some(pattern)));
    let unchosen = buffers.into_iter().chain(scales.into_iter().map(str::to_owned)).map(|name| (name, None));
    let left_out = unchosen.chain(chosen).collect();
    Ok(Treatments { by_name, tied, left_out, derived })
}

/// Refuse patterns that leave no tensor in a folder that is loaded as a part: the soup would name it all the same.
fn check_emptied(
    checkpoints: &[Checkpoint],
    by_name: &BTreeMap<String, Treatment>,
    left_out: &BTreeMap<String, String>,
    remarks: &mut Remarks,
) {
    let Some(first) = checkpoints.first() else { return };
    let folder = |name: &String| Some(checkpoints.iter().find_map(|c| c.locate(name))?.shard.folder());
    let kept: BTreeSet<&str> = by_name.keys().filter_map(folder).collect();
    let emptied: BTreeMap<&str, &String> =
        left_out.iter().filter_map(|(name, pattern)| Some((folder(name)?, pattern))).collect();
    for part in first.parts.iter().filter(|part| !part.class.is_empty() && !kept.contains(&*part.folder)) {
        let Some(pattern) = emptied.get(&*part.folder) else { continue };
        let message = format!(
            "`{}` leaves no tensor of the {}, which the soup would still be loaded with",
            shown(pattern),
            shown(&part.class)
        );
        remarks.problem(
            Problem::new(ProblemKind::Recipe, message).at(part.path(&first.root)).hint(
                "narrow the pattern, or take the part out of `modules.json` or `model_index.json` in copies of the \
                 ingredients",
            ),
        );
    }
}

/// Which ingredients have parts in any row of any recipe; the data of the others is never read.
fn used(request: &MergeRequest) -> Vec<bool> {
    let rows = || request.recipes.iter().flat_map(|recipe| &recipe.rows);
    let has_parts = |i: usize| rows().any(|row| row.mixture.parts().get(i).is_some_and(|&n| n != 0));
    (0..request.ingredients.len()).map(has_parts).collect()
}

/// Refuse to take what is computed: what is taken is never converted.
fn check_taken(
    checkpoints: &[Checkpoint],
    derived: &[Derived],
    taken: &BTreeMap<String, usize>,
    remarks: &mut Remarks,
) {
    for (name, &from) in taken.iter().filter(|(name, from)| derived[**from].is_computed(name)) {
        let Some(found) = checkpoints[from].locate(name) else { continue };
        let what = if derived[from].is_adapted(name) {
            "an adapter changes it".to_owned()
        } else {
            format!("it is {} codes with scales", found.tensor.dtype)
        };
        let message = format!("cannot be taken byte for byte: {what}");
        let path = found.shard.path.clone();
        remarks.problem(
            Problem::new(ProblemKind::Recipe, message)
                .at(path)
                .tensor(name)
                .hint("a merge of this ingredient alone writes it: take the tensor from that"),
        );
    }
}

/// Tensors whose dtype has no mean.
fn check_dtypes(
    checkpoint: &Checkpoint,
    derived: &Derived,
    left_out: &BTreeMap<String, String>,
    remarks: &mut Remarks,
) {
    let mut problems = Vec::new();
    let no_part = |name: &String| {
        left_out.contains_key(name) || derived.is_refused(name) || derived.parts().contains(name)
    };
    for shard in &checkpoint.shards {
        let kept = shard.tensors.iter().filter(|tensor| !no_part(&tensor.name));
        for tensor in kept.filter(|tensor| derived.dtype(tensor).class() == DtypeClass::Refused) {
            let (message, hint) = match tensor.dtype {
                crate::Dtype::C64 => (
                    "C64 holds complex numbers, which are not averaged",
                    "leave it out: `--leave-out PATTERN`",
                ),
                dtype if derived::is_codes(dtype) => {
                    let name = shown(&tensor.name);
                    let lacks = format!("but there is no `{name}_scale_inv` and no `{name}_scale`");
                    (&*format!("{dtype} holds scaled codes, {lacks}"), "dequantise to BF16 first")
                }
                dtype => (&*format!("{dtype} holds scaled codes"), "dequantise to BF16 first"),
            };
            let problem = Problem::new(ProblemKind::UnsupportedDtype, message);
            problems.push(problem.at(&shard.path).tensor(&tensor.name).hint(hint));
        }
    }
    remarks.tensors(&checkpoint.root, problems, "tensors have a dtype that cannot be averaged");
}

/// Shapes and dtypes of every ingredient against the first's, but for the tensors that nothing is to be made of.
fn check_agreement(
    checkpoints: &[Checkpoint],
    derived: &[Derived],
    decided: &BTreeSet<&str>,
    remarks: &mut Remarks,
) {
    let Some((first, others)) = checkpoints.split_first() else { return };
    for (other, own) in others.iter().zip(&derived[1..]) {
        let (mut shapes, mut dtypes, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        let tensors = other
            .shards
            .iter()
            .flat_map(|s| s.tensors.iter().map(move |tensor| LocatedTensor { shard: s, tensor }));
        for got in tensors.filter(|got| !decided.contains(got.tensor.name.as_str())) {
            let Some(expected) = first.tensor(&got.tensor.name) else { continue };
            if expected.shape != got.tensor.shape {
                shapes.push(shape_differs(expected, got, other));
            }
            let (class, other_class) = (derived[0].dtype(expected).class(), own.dtype(got.tensor).class());
            if expected.dtype == got.tensor.dtype || [class, other_class].contains(&DtypeClass::Refused) {
                continue;
            }
            if class == DtypeClass::Float && other_class == DtypeClass::Float {
                mixed.push(got.tensor);
            } else {
                let message = format!("expected dtype {}, got {}", expected.dtype, got.tensor.dtype);
                let hint = if buffers::made_by_loaders(expected) || buffers::made_by_loaders(got.tensor) {
                    "loaders make it anew, whatever a file says: `--leave-out PATTERN` leaves it out of the soup"
                } else {
                    "only float dtypes may differ between ingredients"
                };
                dtypes.push(
                    Problem::new(ProblemKind::Incompatible, message)
                        .at(&got.shard.path)
                        .tensor(&got.tensor.name)
                        .hint(hint),
                );
            }
        }
        remarks.tensors(&other.root, shapes, "tensors have another shape");
        remarks.tensors(&other.root, dtypes, "tensors have another dtype");
        if let Some(example) = mixed.first() {
            let more = if mixed.len() > 1 {
                format!(" and {}", counted(mixed.len() as u64 - 1, "more tensor", "more tensors"))
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
