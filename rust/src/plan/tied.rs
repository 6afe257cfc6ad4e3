//! Tied heads: models whose `lm_head.weight` is the embedding again. Some writers store the copy, some do not; where
//! ingredients disagree, a copy that equals the embedding bit for bit is left out, and anything else is refused.

use crate::checkpoint::Checkpoint;
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::{quoted, shown};

use super::config::Config;
use super::discrete::first_difference;
use super::remarks::Remarks;

const HINT: &str = "save this model again with a program that ties the head, or untie all ingredients";

/// Whether a tensor is an output head that models may tie to their embedding.
pub(super) fn is_head(name: &str) -> bool {
    name == "lm_head.weight" || name.ends_with(".lm_head.weight")
}

/// Report ingredients whose `tie_word_embeddings` contradicts the first that states it.
pub(super) fn check_flags(configs: &[Option<Config>], remarks: &mut Remarks) {
    let stated = || configs.iter().flatten().filter_map(|config| Some((config, config.tied()?)));
    let Some((reference, expected)) = stated().next() else { return };
    for (config, got) in stated().filter(|(_, got)| *got != expected) {
        let message = format!(
            "expected `tie_word_embeddings` to be {expected} as in {}, got {got}",
            quoted(&reference.path)
        );
        remarks.problem(
            Problem::new(ProblemKind::Incompatible, message)
                .at(&config.path)
                .hint("a tied and an untied model have no mean that is either: tie or untie all of them"),
        );
    }
}

/// The heads that only some ingredients have and that are tied copies there, with the ingredients that have them.
/// Heads that are refused are listed too: they are accounted for.
pub(super) fn resolve(
    checkpoints: &[Checkpoint],
    configs: &[Option<Config>],
    config_from: usize,
    used: &[bool],
    remarks: &mut Remarks,
) -> Result<Vec<(String, Vec<usize>)>> {
    let flag = |config: &Option<Config>| config.as_ref().and_then(Config::tied);
    // The output's config must say so itself, or whoever loads the soup gets a random head.
    let tied = configs.get(config_from).and_then(flag) == Some(true);
    if !tied || configs.iter().any(|config| flag(config) == Some(false)) {
        return Ok(Vec::new());
    }
    let mut heads: Vec<&str> =
        checkpoints.iter().flat_map(|c| c.tensors.keys()).map(String::as_str).collect();
    heads.retain(|name| is_head(name));
    heads.sort_unstable();
    heads.dedup();
    let mut dropped = Vec::new();
    for head in heads {
        let has = |i: &usize| checkpoints[*i].tensors.contains_key(head);
        let holders: Vec<usize> = (0..checkpoints.len()).filter(has).collect();
        if holders.len() == checkpoints.len() {
            continue;
        }
        let read: Vec<usize> = holders.iter().copied().filter(|&i| used.get(i) == Some(&true)).collect();
        check_copies(checkpoints, head, &read, remarks)?;
        dropped.push((head.to_owned(), holders));
    }
    Ok(dropped)
}

/// One tensor that all ingredients have must equal `head` bit for bit in each of `holders`.
fn check_copies(
    checkpoints: &[Checkpoint],
    head: &str,
    holders: &[usize],
    remarks: &mut Remarks,
) -> Result<()> {
    let mut common: Option<Vec<&str>> = None;
    for &holder in holders {
        let checkpoint = &checkpoints[holder];
        let Some(copy) = checkpoint.locate(head) else { continue };
        let problem = |message: String| {
            Problem::new(ProblemKind::Incompatible, message).at(&copy.shard.path).tensor(head).hint(HINT)
        };
        let mut equal = Vec::new();
        let mut nearest = None;
        for name in candidates(checkpoints, checkpoint, head) {
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
            return Ok(());
        }
        let shared = match common {
            None => equal,
            Some(before) => before.into_iter().filter(|name| equal.contains(name)).collect(),
        };
        if shared.is_empty() {
            remarks.problem(problem("equals different tensors in different ingredients".to_owned()));
            return Ok(());
        }
        common = Some(shared);
    }
    Ok(())
}

/// Tensors of the head's shape and dtype that every ingredient has.
fn candidates<'a>(checkpoints: &[Checkpoint], checkpoint: &'a Checkpoint, head: &str) -> Vec<&'a str> {
    let Some(copy) = checkpoint.tensor(head) else { return Vec::new() };
    let alike = |name: &&str| {
        let same = checkpoint.tensor(name).is_some_and(|t| t.dtype == copy.dtype && t.shape == copy.shape);
        same && !is_head(name) && checkpoints.iter().all(|c| c.tensors.contains_key(*name))
    };
    checkpoint.tensors.keys().map(String::as_str).filter(alike).collect()
}
