//! The small files of a soup, and `soce.json`, which says what it is made of.
//!
//! `result` depends on recipe, tensor bytes and layout alone, so equal soups have an equal `result_digest` wherever they
//! were made; `sources` says where the ingredients came from, `run` how it was done. Canonical JSON: keys sorted, no
//! white space, numbers are integers.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::checkpoint::{Checkpoint, Shard};
use crate::digest::Digest;
use crate::error::{Problem, ProblemKind, Result};
use crate::merge::Report;
use crate::plan::{Fate, Plan, Recipe};

use super::fingerprint::Fingerprint;
use super::journal::ShardRecord;
use super::{Staging, state};

/// Number of the schema of `result`.
const FORMAT: u64 = 1;
/// Number of the bit contract: docs/numerics.md.
pub(super) const NUMERICS: u64 = 1;
/// The manifest's file name.
pub const FILE_NAME: &str = "soce.json";
/// Longest manifest read.
const MOST_BYTES: u64 = 1 << 30;
/// The recipe as mergekit would read it.
pub(super) const RECIPE_FILE: &str = "mergekit_config.yml";

/// What the caller adds to the manifests.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// For each recipe the text of `mergekit_config.yml`; where it is missing or empty, none is written.
    pub recipe_texts: Vec<String>,
    /// Merged into `run`: versions, command line.
    pub run: Map<String, Value>,
}

/// What is known of one soup when its shards are complete.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Index of its recipe.
    pub recipe: usize,
    /// Its fingerprint.
    pub fingerprint: &'a Fingerprint,
    /// Its shards, in the plan's order.
    pub shards: &'a [ShardRecord],
    /// Runs that were interrupted before this one.
    pub resumes: usize,
}

/// Write everything but the shards of one soup: side files, recipe, index and, last, the manifest. Returns the
/// `result_digest`.
///
/// # Errors
/// [`crate::Error::Io`]; [`crate::Error::Refused`] if a side file is no longer the one that was planned.
pub fn write_small_files(
    plan: &Plan,
    made: Made<'_>,
    staging: &Staging,
    report: &Report,
    provenance: &Provenance,
) -> Result<String> {
    let mut files: Vec<String> = plan.shards.iter().map(|shard| shard.name.clone()).collect();
    let mut side_files = Map::new();
    let mut write = |name: &str, bytes: &[u8]| {
        files.push(name.to_owned());
        staging.write_small(name, bytes)
    };
    for side in &plan.side_files {
        let bytes = side.content.read()?;
        let digest = Digest::sha256(&bytes).to_string();
        if made.fingerprint.side_file(&side.name) != Some(&digest) {
            let problem = Problem::new(ProblemKind::Checkpoint, "changed since the merge began");
            return Err(problem.at(&side.name).hint("let whatever writes it finish, then run again").into());
        }
        write(&side.name, &bytes)?;
        side_files.insert(side.name.clone(), digest.into());
    }
    if let Some(text) = provenance.recipe_texts.get(made.recipe).filter(|text| !text.is_empty()) {
        write(RECIPE_FILE, text.as_bytes())?;
    }
    if let Some(index) = &plan.index {
        write(&plan.index_name, index)?;
    }
    files.sort();
    let result = result(plan, made, &files, &side_files);
    let result_digest = digest(&result);
    let mut run = run(plan, report, provenance);
    run.insert("resumes".into(), made.resumes.into());
    let mut manifest = json!({
        "result": result,
        "result_digest": result_digest,
        "plan_digest": made.fingerprint.digest(),
        "sources": sources(plan, &plan.request.recipes[made.recipe]),
        "run": run,
    });
    manifest["file_digest"] = digest(&manifest).into();
    staging.write_small(FILE_NAME, canonical(&manifest).as_bytes())?;
    Ok(result_digest)
}

/// A text of the manifest of the soup at `directory`, by its key; `None` if there is no readable manifest.
pub(crate) fn text_of(directory: &Path, key: &str) -> Option<String> {
    let bytes = state::read_regular(&directory.join(FILE_NAME), MOST_BYTES)?;
    let manifest: Value = serde_json::from_slice(&bytes).ok()?;
    manifest.get(key)?.as_str().map(str::to_owned)
}

fn result(plan: &Plan, made: Made<'_>, files: &[String], side_files: &Map<String, Value>) -> Value {
    let recipe = &plan.request.recipes[made.recipe];
    let contents = contents(plan, recipe, made);
    let columns = columns(recipe, contents.as_deref());
    let mut tensors = Map::new();
    let mut averaged = 0;
    for (shard, record) in plan.shards.iter().zip(made.shards) {
        for (&tensor, result) in shard.tensors.iter().zip(&record.tensors) {
            let tensor = &plan.tensors[tensor];
            let fate = match tensor.fate {
                Fate::Averaged { .. } => "averaged",
                Fate::Copied => "copied",
            };
            averaged += usize::from(fate == "averaged");
            let mut entry = json!({
                "fate": fate,
                "dtype": tensor.dtype.name(),
                "shape": tensor.shape,
                "shard": shard.name,
                "offset": tensor.offset,
                "length": tensor.length,
            });
            if let Some(digest) = result.blake3 {
                entry["blake3"] = json!(digest);
            }
            if let Some(found) = &result.non_finite {
                let counts = columns.iter().map(|&i| &found.inputs[i]);
                entry["non_finite"] = json!({
                    "ingredients": counts.map(|c| json!([c.nan, c.positive, c.negative])).collect::<Vec<_>>(),
                    "created": found.created,
                });
            }
            if let (Fate::Averaged { rows }, false) = (&tensor.fate, result.differences.is_empty()) {
                let parts = recipe.rows[rows[made.recipe]].mix.numerators();
                let text = |&i: &usize| (parts[i] != 0).then(|| result.differences[i].as_str());
                entry["differences"] = columns.iter().map(text).collect();
            }
            tensors.insert(tensor.name.clone(), entry);
        }
    }
    let shards = plan.shards.iter().zip(made.shards).map(|(shard, record)| {
        let mut entry = json!({"name": shard.name, "size": shard.size});
        if let Some(digest) = record.sha256 {
            entry["sha256"] = json!(digest);
        }
        entry
    });
    let mut result = json!({
        "format": FORMAT,
        "numerics": NUMERICS,
        "recipe": recipe_json(recipe, &columns),
        "donor": {
            "side_files": side_files,
            "left_out": plan.left_out,
        },
        "tensors": tensors,
        "tied": plan.tied.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "shards": shards.collect::<Vec<_>>(),
        "files": files,
        "counts": {
            "averaged": averaged,
            "copied": plan.tensors.len() - averaged,
            "tied": plan.tied.len(),
            "refused": 0,
        },
    });
    if let Some(contents) = contents {
        result["ingredients"] = columns.iter().map(|&i| json!({"content": contents[i]})).collect();
    }
    result
}

/// For each ingredient the digest of the tensors that went in, whatever shards they lie in: BLAKE3 of the sorted list
/// of name, dtype, shape and digest. `None` unless the bytes were hashed as they passed.
fn contents(plan: &Plan, recipe: &Recipe, made: Made<'_>) -> Option<Vec<Digest>> {
    let ingredients = plan.checkpoints.len();
    let mut lists: Vec<Vec<(&str, Value)>> = vec![Vec::new(); ingredients];
    for (shard, record) in plan.shards.iter().zip(made.shards) {
        for (&tensor, result) in shard.tensors.iter().zip(&record.tensors) {
            let tensor = &plan.tensors[tensor];
            for (i, list) in lists.iter_mut().enumerate() {
                let digest = match &tensor.fate {
                    Fate::Copied => result.blake3, // the same bytes in every ingredient
                    Fate::Averaged { rows } => {
                        if recipe.rows[rows[made.recipe]].mix.numerators()[i] == 0 {
                            continue;
                        }
                        *result.inputs.get(i)?
                    }
                };
                let entry = json!([tensor.name, tensor.sources[i].dtype.name(), tensor.shape, digest?]);
                list.push((&tensor.name, entry));
            }
        }
    }
    // A soup of copied tensors alone has no digest of inputs to tell the level by.
    record_inputs(made).then(|| {
        let digest = |mut list: Vec<(&str, Value)>| {
            list.sort_by_key(|(name, _)| *name);
            let entries: Vec<Value> = list.into_iter().map(|(_, entry)| entry).collect();
            Digest::of(canonical(&entries.into()).as_bytes())
        };
        lists.into_iter().map(digest).collect()
    })
}

fn record_inputs(made: Made<'_>) -> bool {
    made.shards.iter().all(|record| record.sha256.is_some())
}

/// The ingredients that have a part, in an order that does not depend on the one they were given in: by their parts,
/// largest first, then by content. The order given is that of `sources`.
fn columns(recipe: &Recipe, contents: Option<&[Digest]>) -> Vec<usize> {
    let ingredients = recipe.rows.first().map_or(0, |row| row.mix.numerators().len());
    let parts = |i: usize| recipe.rows.iter().map(|row| row.mix.numerators()[i]).collect::<Vec<_>>();
    let mut columns: Vec<usize> =
        (0..ingredients).filter(|&i| parts(i).iter().any(|&part| part != 0)).collect();
    columns.sort_by_key(|&i| (std::cmp::Reverse(parts(i)), contents.map(|found| found[i])));
    columns
}

fn recipe_json(recipe: &Recipe, columns: &[usize]) -> Value {
    let rows = recipe.rows.iter().map(|row| {
        let parts: Vec<i64> = columns.iter().map(|&i| row.mix.numerators()[i]).collect();
        json!({"pattern": row.pattern, "parts": parts, "whole": row.mix.whole()})
    });
    json!({"method": "linear", "rows": rows.collect::<Vec<_>>()})
}

fn sources(plan: &Plan, recipe: &Recipe) -> Value {
    let source = |(i, checkpoint): (usize, &Checkpoint)| {
        let origin = &checkpoint.origin;
        let shard = |(s, shard): (usize, &Shard)| {
            let mut entry = json!({
                "name": shard.name,
                "size": shard.identity.size,
                "header_sha256": shard.header_sha256,
            });
            if let Some(Some(claim)) = origin.sha256.get(s) {
                entry["sha256"] = claim.sha256.as_str().into();
                entry["sha256_source"] = claim.source.name().into();
            }
            entry
        };
        let mut entry = json!({
            "parts": recipe.rows.iter().map(|row| row.mix.numerators()[i]).collect::<Vec<_>>(),
            "gave_config": i == plan.request.options.config_from,
            "shards": checkpoint.shards.iter().enumerate().map(shard).collect::<Vec<_>>(),
        });
        if let Some(hub) = &origin.hub {
            entry["hub"] = json!({"revision": hub.revision});
            if let Some(id) = &hub.id {
                entry["hub"]["id"] = id.as_str().into();
            }
        }
        entry
    };
    plan.checkpoints.iter().enumerate().map(source).collect()
}

fn run(plan: &Plan, report: &Report, provenance: &Provenance) -> Map<String, Value> {
    let mut run = provenance.run.clone();
    run.insert("core".into(), env!("CARGO_PKG_VERSION").into());
    run.insert("kernels".into(), report.kernels.into());
    run.insert("digests".into(), report.digests.name().into());
    run.insert("num_threads".into(), report.num_threads.into());
    run.insert("bytes_read".into(), report.bytes_read.into());
    run.insert("bytes_written".into(), report.bytes_written.into());
    run.insert("os".into(), std::env::consts::OS.into());
    run.insert("architecture".into(), std::env::consts::ARCH.into());
    run.insert("warnings".into(), [&plan.warnings[..], &report.warnings].concat().into());
    let paths = plan.request.ingredients.iter().map(|path| path.to_string_lossy());
    run.insert("ingredients".into(), paths.collect::<Vec<_>>().into());
    run
}

/// BLAKE3 of the canonical text.
fn digest(value: &Value) -> String {
    Digest::of(canonical(value).as_bytes()).to_string()
}

pub(super) fn canonical(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}
