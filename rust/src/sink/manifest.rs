//! The small files of a soup, and `soce.json`, which says what it is made of.
//!
//! `result` depends on recipe, tensor bytes and layout alone, so equal soups have an equal `result_digest` wherever they
//! were made; `sources` says where the ingredients came from, `run` how it was done. Canonical JSON: keys sorted, no
//! white space, numbers are integers.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, Shard};
use crate::error::{Error, Result};
use crate::merge::{NonFiniteTensor, Report};
use crate::plan::{Fate, Plan, Recipe, SideContent};

use super::Staging;

/// Number of the schema of `result`.
const FORMAT: u64 = 1;
/// Number of the bit contract: docs/numerics.md.
const NUMERICS: u64 = 1;
/// The manifest's file name.
pub const FILE_NAME: &str = "soce.json";
/// The recipe as mergekit would read it.
const RECIPE_FILE: &str = "mergekit_config.yml";

/// What the caller adds to the manifests.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// For each recipe the text of `mergekit_config.yml`; where it is missing or empty, none is written.
    pub recipe_texts: Vec<String>,
    /// Merged into `run`: versions, command line.
    pub run: Map<String, Value>,
}

/// What became of one tensor of one soup.
#[derive(Debug, Clone)]
pub struct TensorResult {
    /// BLAKE3 of its bytes.
    pub digest: Option<[u8; 32]>,
    /// Its non-finite values, if there are any.
    pub non_finite: Option<NonFiniteTensor>,
}

/// Write everything but the shards of one soup: side files, recipe, index and, last, the manifest. Returns the
/// `result_digest`.
///
/// # Errors
/// [`Error::Io`].
pub fn write_small_files(
    plan: &Plan,
    recipe: usize,
    staging: &Staging,
    tensors: &[TensorResult],
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
        let bytes = match &side.content {
            SideContent::Bytes(bytes) => bytes.clone(),
            SideContent::CopyOf(path, _) => {
                std::fs::read(path).map_err(|error| Error::io(path, "cannot read", error))?
            }
        };
        write(&side.name, &bytes)?;
        side_files.insert(side.name.clone(), hex(&Sha256::digest(&bytes)).into());
    }
    if let Some(text) = provenance.recipe_texts.get(recipe).filter(|text| !text.is_empty()) {
        write(RECIPE_FILE, text.as_bytes())?;
    }
    if let Some(index) = &plan.index {
        write(&plan.index_name, index)?;
    }
    files.sort();
    let result = result(plan, recipe, tensors, &files, &side_files);
    let result_digest = digest(&result);
    let mut manifest = json!({
        "result": result,
        "result_digest": result_digest,
        "sources": sources(plan, &plan.request.recipes[recipe]),
        "run": run(plan, report, provenance),
    });
    manifest["file_digest"] = digest(&manifest).into();
    staging.write_small(FILE_NAME, canonical(&manifest).as_bytes())?;
    Ok(result_digest)
}

fn result(
    plan: &Plan,
    recipe: usize,
    results: &[TensorResult],
    files: &[String],
    side_files: &Map<String, Value>,
) -> Value {
    let mut tensors = Map::new();
    let mut averaged = 0;
    for (tensor, result) in plan.tensors.iter().zip(results) {
        let fate = match tensor.fate {
            Fate::Averaged { .. } => "averaged",
            Fate::Copied => "copied",
        };
        averaged += usize::from(fate == "averaged");
        let mut entry = json!({
            "fate": fate,
            "dtype": tensor.dtype.name(),
            "shape": tensor.shape,
            "shard": plan.shards[tensor.shard].name,
            "offset": tensor.offset,
            "length": tensor.length,
        });
        if let Some(digest) = result.digest {
            entry["blake3"] = hex(&digest).into();
        }
        if let Some(found) = &result.non_finite {
            entry["non_finite"] = json!({
                "ingredients": found.inputs.iter().map(|c| json!([c.nan, c.positive, c.negative])).collect::<Vec<_>>(),
                "created": found.created,
            });
        }
        tensors.insert(tensor.name.clone(), entry);
    }
    let shards = plan.shards.iter().map(|shard| json!({"name": shard.name, "size": shard.size}));
    json!({
        "format": FORMAT,
        "numerics": NUMERICS,
        "recipe": recipe_json(&plan.request.recipes[recipe]),
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
    })
}

/// The rows with the ingredients in an order that does not depend on the one they were given in: by their parts,
/// largest first, without those that have none. The order given is that of `sources`.
fn recipe_json(recipe: &Recipe) -> Value {
    let ingredients = recipe.rows.first().map_or(0, |row| row.mix.numerators().len());
    let parts = |i: usize| recipe.rows.iter().map(|row| row.mix.numerators()[i]).collect::<Vec<_>>();
    let mut columns: Vec<Vec<i64>> = (0..ingredients).map(parts).collect();
    columns.retain(|column| column.iter().any(|&part| part != 0));
    columns.sort_by(|a, b| b.cmp(a));
    let rows = recipe.rows.iter().enumerate().map(|(r, row)| {
        let parts: Vec<i64> = columns.iter().map(|column| column[r]).collect();
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
                "header_sha256": hex(&shard.header_sha256),
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

fn run(plan: &Plan, report: &Report, provenance: &Provenance) -> Value {
    let mut run = provenance.run.clone();
    run.insert("core".into(), env!("CARGO_PKG_VERSION").into());
    run.insert("kernels".into(), report.kernels.into());
    run.insert("num_threads".into(), report.num_threads.into());
    run.insert("bytes_read".into(), report.bytes_read.into());
    run.insert("bytes_written".into(), report.bytes_written.into());
    run.insert("os".into(), std::env::consts::OS.into());
    run.insert("architecture".into(), std::env::consts::ARCH.into());
    run.insert("warnings".into(), [&plan.warnings[..], &report.warnings].concat().into());
    let paths = plan.request.ingredients.iter().map(|path| path.to_string_lossy());
    run.insert("ingredients".into(), paths.collect::<Vec<_>>().into());
    run.into()
}

/// BLAKE3 of the canonical text.
fn digest(value: &Value) -> String {
    blake3::hash(canonical(value).as_bytes()).to_hex().to_string()
}

fn canonical(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
