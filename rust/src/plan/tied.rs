//! Tied tensors: models whose `lm_head.weight` is the embedding again. Some writers store the copy, some do not; where
//! ingredients disagree, a copy that equals the embedding bit for bit is left out, and anything else is refused.

use std::collections::BTreeSet;

use crate::checkpoint::{Checkpoint, LocatedTensor};
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::{quoted, shown};

use super::choices::Chosen;
use super::config::Config;
use super::derived::Derived;
use super::discrete::first_difference;
use super::remarks::Remarks;
use super::{MergeRequest, tied_by_default};

const HINT: &str = "save this model again with a program that ties the head, or untie all ingredients; \
    `--leave-out PATTERN` leaves the tensor out all the same";

/// How the names of output heads end that models may tie to an embedding, or to their own bias beside it.
const HEADS: [&str; 11] = [
    "lm_head.weight",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "predictions.decoder.weight",
    "predictions.decoder.bias",
    "embed_out.weight",
    "generator_lm_head.weight",
    "proj_out.weight",
    "vocab_projector.weight",
];
/// How the names of embeddings end that models may tie to one that encoder and decoder share.
const EMBEDDINGS: [&str; 2] = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];

fn ends_with_one(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| {
        name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '/']))
    })
}

/// Whether a tensor is the head that a config speaks of: as a copy of the embedding, or as nothing that is there.
pub(super) fn is_language_head(name: &str) -> bool {
    ends_with_one(name, &HEADS[..1])
}

fn is_head(name: &str) -> bool {
    ends_with_one(name, &HEADS)
}

/// Whether a tensor is one that models may tie to another one.
fn is_alias(name: &str) -> bool {
    is_head(name) || ends_with_one(name, &EMBEDDINGS)
}

/// What a config says about tied embeddings, or what its type of model does if it says nothing.
#[derive(Debug, Clone, Copy)]
struct Tying<'a> {
    tied: bool,
    /// The type whose default it is.
    by_default: Option<&'a str>,
}

impl<'a> Tying<'a> {
    fn of(config: &'a Config) -> Option<Self> {
        if let Some(tied) = config.tied() {
            return Some(Self { tied, by_default: None });
        }
        let types = config.model_types();
        let all_tie = types.iter().all(|model_type| tied_by_default::ties(model_type));
        types.first().filter(|_| all_tie).map(|first| Self { tied: true, by_default: Some(first) })
    }
}

/// Report ingredients whose `tie_word_embeddings` contradicts the first that has one.
pub(super) fn check_flags(configs: &[Option<Config>], remarks: &mut Remarks) {
    let stated = || configs.iter().flatten().filter_map(|config| Some((config, Tying::of(config)?)));
    let Some((reference, expected)) = stated().next() else { return };
    for (config, got) in stated().filter(|(_, got)| got.tied != expected.tied) {
        let default = got.by_default.or(expected.by_default);
        let default =
            default.map_or(String::new(), |name| format!(" (true is the default of `{}`)", shown(name)));
        let message = format!(
            "expected `tie_word_embeddings` to be {} as in {}, got {}{default}",
            expected.tied,
            quoted(&reference.path),
            got.tied
        );
        remarks.problem(
            Problem::new(ProblemKind::Incompatible, message)
                .at(&config.path)
                .hint("a tied and an untied model have no mean that is either: tie or untie all of them"),
        );
    }
}

/// The heads and embeddings that only some ingredients have and that are tied copies there, with the ingredients that
/// have them, but for those that were `chosen`. Those that are refused are listed too: they are accounted for.
pub(super) fn resolve(
    request: &MergeRequest,
    checkpoints: &[Checkpoint],
    configs: &[Option<Config>],
    (chosen, derived): (&Chosen, &[Derived]),
    used: &[bool],
    remarks: &mut Remarks,
) -> Result<Vec<(String, Vec<usize>)>> {
    let tied = tied_folders(request, checkpoints, configs);
    let shards = checkpoints.iter().flat_map(|checkpoint| &checkpoint.shards);
    let tensors = shards.filter(|shard| tied.contains(shard.folder())).flat_map(|shard| &shard.tensors);
    let mut aliases: Vec<&str> = tensors.map(|tensor| tensor.name.as_str()).collect();
    // Codes that equal others say nothing of what their scales make of them.
    let is_derived = |name: &str| derived.iter().any(|derived| derived.is_computed(name));
    aliases.retain(|name| is_alias(name) && !chosen.holds(name) && !is_derived(name));
    aliases.sort_unstable();
    aliases.dedup();
    let mut dropped = Vec::new();
    for alias in aliases {
        let has = |i: &usize| checkpoints[*i].tensors.contains_key(alias);
        let holders: Vec<usize> = (0..checkpoints.len()).filter(has).collect();
        if holders.len() == checkpoints.len() {
            continue;
        }
        let read: Vec<usize> = holders.iter().copied().filter(|&i| used.get(i) == Some(&true)).collect();
        let mut found = Remarks::default();
        // Nor does a tensor say what it is once an adapter has changed it.
        let is_kept = |name: &str| !chosen.left_out.contains_key(name) && !is_derived(name);
        let original = check_copies(checkpoints, alias, &read, &is_kept, &mut found)?;
        if !found.problems.is_empty() && !is_language_head(alias) {
            continue; // one more tensor that only some have
        }
        remarks.problems.append(&mut found.problems);
        if let Some(original) = original {
            for &holder in &read {
                let root = quoted(&checkpoints[holder].root);
                let (alias, original) = (shown(alias), shown(original));
                remarks.warn(format!(
                    "{root}: `{alias}`: left out, a tied alias of `{original}` with the same bytes"
                ));
            }
        }
        dropped.push((alias.to_owned(), holders));
    }
    Ok(dropped)
}

/// The folders of parts whose configs tie; `configs` are those of the ingredients' own folders.
fn tied_folders<'a>(
    request: &MergeRequest,
    checkpoints: &'a [Checkpoint],
    configs: &[Option<Config>],
) -> BTreeSet<&'a str> {
    let flag = |config: &Option<Config>| config.as_ref().and_then(Tying::of).map(|tying| tying.tied);
    // The output's config must say so itself, or whoever loads the soup gets a random head.
    let tie = |configs: &[Option<Config>]| {
        configs.get(request.options.config_from).and_then(flag) == Some(true)
            && !configs.iter().any(|config| flag(config) == Some(false))
    };
    // A config that cannot be read is reported where its folder is compared.
    let read = |part: Checkpoint| Config::read(&part, request.options.open).ok().flatten();
    let mut folders = checkpoints.first().map(Checkpoint::folders).unwrap_or_default();
    folders.retain(|folder| tie(&checkpoints.iter().map(|c| read(c.within(folder))).collect::<Vec<_>>()));
    folders.extend(tie(configs).then_some(""));
    folders
}

/// One tensor that all ingredients have, and the soup too, must equal `head` bit for bit in each of `holders`. Returns the
/// first that does.
fn check_copies<'a>(
    checkpoints: &'a [Checkpoint],
    head: &str,
    holders: &[usize],
    is_kept: &dyn Fn(&str) -> bool,
    remarks: &mut Remarks,
) -> Result<Option<&'a str>> {
    let mut common: Option<Vec<&str>> = None;
    for &holder in holders {
        let checkpoint = &checkpoints[holder];
        let Some(copy) = checkpoint.locate(head) else { continue };
        let problem = |message: String| {
            Problem::new(ProblemKind::Incompatible, message).at(&copy.shard.path).tensor(head).hint(HINT)
        };
        let mut equal = Vec::new();
        let mut nearest = None;
        let kept = candidates(checkpoints, checkpoint, copy).filter(|name| is_kept(name));
        for name in kept {
            let Some(embedding) = checkpoint.locate(name) else { continue };
            match first_difference(embedding, copy)? {
                None => equal.push(name),
                Some(difference) if nearest.is_none() => nearest = Some((name, difference.index)),
                Some(_) => {}
            }
        }
        if equal.is_empty() {
            let how = nearest.map_or_else(
                || "no tensor of its shape and dtype is there".to_owned(),
                |(name, index)| format!("it differs from `{}` at index {index}", shown(name)),
            );
            remarks.problem(problem(format!(
                "is not the embedding although `tie_word_embeddings` is true, and other ingredients lack it: {how}"
            )));
            return Ok(None);
        }
        let shared = match common {
            None => equal,
            Some(before) => before.into_iter().filter(|name| equal.contains(name)).collect(),
        };
        if shared.is_empty() {
            remarks.problem(problem("equals different tensors in different ingredients".to_owned()));
            return Ok(None);
        }
        common = Some(shared);
    }
    Ok(common.and_then(|shared| shared.first().copied()))
}

/// Tensors of the head's part, shape and dtype that every ingredient has.
fn candidates<'a>(
    checkpoints: &'a [Checkpoint],
    checkpoint: &'a Checkpoint,
    head: LocatedTensor<'a>,
) -> impl Iterator<Item = &'a str> {
    let alike = move |name: &&str| {
        let same = checkpoint.locate(name).is_some_and(|LocatedTensor { shard, tensor }| {
            shard.folder() == head.shard.folder()
                && (tensor.dtype, &tensor.shape) == (head.tensor.dtype, &head.tensor.shape)
        });
        same && !is_head(name) && checkpoints.iter().all(|c| c.tensors.contains_key(*name))
    };
    checkpoint.tensors.keys().map(String::as_str).filter(alike)
}
