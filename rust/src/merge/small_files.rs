//! The small files of a soup: side files, recipe, index and, last, `soce.json`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::part_digests::PartDigests;
use super::report::MergeReport;
use crate::checkpoint::origin::Origin;
use crate::checkpoint::{Adapter, Checkpoint, Shard};
use crate::digest::Digest;
use crate::error::{Problem, ProblemKind, Result};
use crate::manifest::{
    AdapterEntry, Content, Counts, DonorEntry, FILE_NAME, FORMAT, Fingerprint, How, HubEntry,
    IngredientEntry, Manifest, NUMERICS, NonFiniteEntry, Outcome, RECIPE_FILE, RecipeEntry, RowEntry,
    RunEntry, ShardEntry, SourceEntry, SourceShard, TensorEntry, canonical, digest_of,
};
use crate::mix::Mixture;
use crate::plan::{Derived, Plan, PlannedTensor, Recipe, Treatment};
use crate::sink::Staging;
use crate::sink::journal::{ShardRecord, TensorResult};

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
pub(super) struct Made<'a> {
    /// Index of its recipe.
    pub(super) recipe: usize,
    /// Its fingerprint.
    pub(super) fingerprint: &'a Fingerprint,
    /// Its shards, in the plan's order.
    pub(super) shards: &'a [ShardRecord],
    /// Of what its ingredients were computed with, where digests of ingredients are asked for.
    pub(super) parts: &'a PartDigests,
    /// Runs that were interrupted before this one.
    pub(super) resumes: usize,
}

/// Write everything but the shards of one soup: side files, recipe, index and, last, the manifest. Returns the
/// `result_digest`.
///
/// # Errors
/// [`crate::Error::Io`]; [`crate::Error::Refused`] if a side file is no longer the one that was planned.
pub(super) fn write(
    plan: &Plan,
    made: Made<'_>,
    staging: &Staging,
    report: &MergeReport,
    provenance: &Provenance,
) -> Result<String> {
    let mut files: Vec<String> = plan.shards.iter().map(|shard| shard.name.clone()).collect();
    let mut side_files = BTreeMap::new();
    let mut write = |name: &str, bytes: &[u8]| {
        files.push(name.to_owned());
        staging.write_small(name, bytes)
    };
    for side in &plan.side_files {
        let bytes = side.content.read()?;
        let digest = Digest::sha256(&bytes);
        if made.fingerprint.side_file(&side.name) != Some(&digest.to_string()) {
            let problem = Problem::new(ProblemKind::Checkpoint, "changed since the merge began");
            return Err(problem.at(&side.name).hint("let whatever writes it finish, then run again").into());
        }
        write(&side.name, &bytes)?;
        side_files.insert(side.name.clone(), digest);
    }
    if let Some(text) = provenance.recipe_texts.get(made.recipe).filter(|text| !text.is_empty()) {
        write(RECIPE_FILE, text.as_bytes())?;
    }
    for index in &plan.indexes {
        write(&index.name, &index.bytes)?;
    }
    files.sort();
    let donor = DonorEntry { side_files, left_out: plan.left_out.clone() };
    let result = result(plan, made, files, donor);
    let result_digest = digest_of(&result);
    let mut manifest = Manifest {
        result,
        result_digest,
        plan_digest: made.fingerprint.digest(),
        sources: sources(plan, made),
        run: run(plan, made, report, provenance),
        file_digest: None,
    };
    manifest.file_digest = Some(digest_of(&manifest));
    staging.write_small(FILE_NAME, canonical(&manifest).as_bytes())?;
    Ok(result_digest.to_string())
}

fn result(plan: &Plan, made: Made<'_>, files: Vec<String>, donor: DonorEntry) -> Outcome {
    let recipe = &plan.request.recipes[made.recipe];
    let contents = contents(plan, recipe, made);
    let columns = columns(recipe, contents.as_deref());
    let mut tensors = BTreeMap::new();
    for (shard, record) in plan.shards.iter().zip(made.shards) {
        for (&tensor, result) in shard.tensors.iter().zip(&record.tensors) {
            let tensor = &plan.tensors[tensor];
            let non_finite = result.non_finite.as_ref().map(|found| {
                let counts = columns.iter().map(|&i| &found.inputs[i]);
                NonFiniteEntry {
                    ingredients: counts.map(|c| [c.nan, c.positive, c.negative]).collect(),
                    created: found.created,
                }
            });
            let differences = match &tensor.treatment {
                Treatment::Averaged { rows } if !result.differences.is_empty() => {
                    let mixture = &recipe.rows[rows[made.recipe]].mixture;
                    let text = |&i: &usize| mixture.takes_part(i).then(|| result.differences[i].clone());
                    Some(columns.iter().map(text).collect())
                }
                _ => None,
            };
            let entry = TensorEntry {
                how: tensor.how(),
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
                shard: shard.name.clone(),
                offset: tensor.offset,
                length: tensor.length,
                blake3: result.blake3,
                non_finite,
                differences,
            };
            tensors.insert(tensor.name.clone(), entry);
        }
    }
    let shards = plan.shards.iter().zip(made.shards).map(|(shard, record)| ShardEntry {
        name: shard.name.clone(),
        size: shard.size,
        sha256: record.sha256,
    });
    let ingredients =
        contents.map(|contents| columns.iter().map(|&i| IngredientEntry { content: contents[i] }).collect());
    let count = |how: How| plan.tensors.iter().filter(|tensor| tensor.how() == how).count() as u64;
    let mut outcome = Outcome {
        format: FORMAT,
        numerics: NUMERICS,
        recipe: recipe_entry(recipe, &columns),
        ingredients,
        donor,
        tensors,
        tied: plan.tied.iter().map(|(name, _)| name.clone()).collect(),
        shards: shards.collect(),
        files,
        left_out: plan.tensors_left_out.clone(),
        counts: Counts {
            averaged: count(How::Averaged),
            copied: count(How::Copied),
            taken: count(How::Taken),
            left_out: plan.tensors_left_out.len() as u64,
            tied: plan.tied.len() as u64,
            refused: 0,
        },
    };
    outcome.format = outcome.needed_format();
    outcome
}

/// For each ingredient the digest of the tensors that went in. `None` unless the bytes were hashed as they passed.
fn contents(plan: &Plan, recipe: &Recipe, made: Made<'_>) -> Option<Vec<Digest>> {
    // A soup of copied tensors alone has no digest of inputs to tell the level by.
    if made.shards.iter().any(|record| record.sha256.is_none()) {
        return None;
    }
    let tensors = plan.shards.iter().zip(made.shards).flat_map(|(shard, record)| {
        shard.tensors.iter().map(|&tensor| &plan.tensors[tensor]).zip(&record.tensors)
    });
    let mut tensors: Vec<(&PlannedTensor, &TensorResult)> = tensors.collect();
    tensors.sort_by_key(|(tensor, _)| &tensor.name);
    let content = |i: usize| {
        let mut content = Content::new();
        for &(tensor, result) in &tensors {
            let digest = match &tensor.treatment {
                Treatment::Taken { from } if *from != i => continue,
                // The bytes of its giver, or the same in every ingredient.
                Treatment::Taken { .. } | Treatment::Copied => result.blake3,
                Treatment::Averaged { rows } => {
                    if !recipe.rows[rows[made.recipe]].mixture.takes_part(i) {
                        continue;
                    }
                    *result.inputs.get(i)?
                }
            };
            let source = tensor.source(i);
            content.add(&tensor.name, source.dtype, &tensor.shape, digest?);
            for part in source.parts() {
                content.add(part.name, part.dtype, &[part.elements], made.parts.get(i, &part)?);
            }
            if let Some(update) = &source.update {
                content.add_scale(update.scale, update.transposed);
            }
        }
        Some(content.finish())
    };
    (0..plan.checkpoints.len()).map(content).collect()
}

/// The ingredients that have a part, in an order that does not depend on the one they were given in: by their parts,
/// largest first, then by content. The order given is that of `sources`.
fn columns(recipe: &Recipe, contents: Option<&[Digest]>) -> Vec<usize> {
    let ingredients = recipe.rows.first().map_or(0, |row| row.mixture.parts().len());
    let takes_part = |&i: &usize| recipe.rows.iter().any(|row| row.mixture.takes_part(i));
    let column = |i: usize| recipe.rows.iter().flat_map(|row| row.mixture.column(i)).collect::<Vec<_>>();
    let mut columns: Vec<usize> = (0..ingredients).filter(takes_part).collect();
    columns.sort_by_cached_key(|&i| (std::cmp::Reverse(column(i)), contents.map(|found| found[i])));
    columns
}

fn recipe_entry(recipe: &Recipe, columns: &[usize]) -> RecipeEntry {
    let rows = recipe.rows.iter().map(|row| RowEntry::new(&row.pattern, &row.mixture, columns));
    RecipeEntry { method: "linear".to_owned(), rows: rows.collect() }
}

fn sources(plan: &Plan, made: Made<'_>) -> Vec<SourceEntry> {
    let recipe = &plan.request.recipes[made.recipe];
    let contents = contents(plan, recipe, made);
    let columns = columns(recipe, contents.as_deref());
    let is_plain = recipe.rows.iter().all(|row| matches!(row.mixture, Mixture::One(_)));
    let source = |(i, checkpoint): (usize, &Checkpoint)| {
        let origin = &checkpoint.origin;
        let shard = |(s, shard): (usize, &Shard)| {
            let claims = match &checkpoint.adapter {
                Some(adapter) if s == checkpoint.shards.len() => adapter.origin.sha256.first(),
                _ => origin.sha256.get(s),
            };
            let claim = claims.and_then(Option::as_ref);
            SourceShard {
                name: shard.name.clone(),
                size: shard.identity.size(),
                header_sha256: shard.header_sha256,
                sha256: claim.map(|claim| claim.sha256),
                sha256_source: claim.map(|claim| claim.source),
                identity: shard.identity.object().map(|object| object.identity().to_owned()),
            }
        };
        SourceEntry {
            parts: recipe.rows.iter().map(|row| row.mixture.parts()[i]).collect(),
            gave_config: i == plan.request.options.config_from,
            column: columns.iter().position(|&column| column == i && !is_plain).map(|place| place as u64),
            content: contents.as_ref().filter(|_| columns.contains(&i)).map(|found| found[i]),
            shards: checkpoint.files().enumerate().map(shard).collect(),
            hub: hub(origin),
            adapter: checkpoint.adapter.as_ref().map(|adapter| adapter_entry(adapter, &plan.derived[i])),
        }
    };
    plan.checkpoints.iter().enumerate().map(source).collect()
}

fn hub(origin: &Origin) -> Option<HubEntry> {
    let hub = origin.hub.as_ref()?;
    Some(HubEntry { id: hub.id.clone(), revision: hub.revision.clone() })
}

fn adapter_entry(adapter: &Adapter, derived: &Derived) -> AdapterEntry {
    let mut scales: Vec<f64> = derived.updates().map(|update| update.scale).collect();
    scales.sort_by(f64::total_cmp);
    scales.dedup();
    AdapterEntry {
        file: adapter.file.name.clone(),
        modules: derived.updates().count() as u64,
        replaced: derived.replacements() as u64,
        scales: scales.iter().map(f64::to_string).collect(),
        hub: hub(&adapter.origin),
    }
}

fn run(plan: &Plan, made: Made<'_>, report: &MergeReport, provenance: &Provenance) -> RunEntry {
    let paths = plan.checkpoints.iter().map(|checkpoint| checkpoint.label().to_string_lossy().into_owned());
    RunEntry {
        more: provenance.run.clone(),
        core: env!("CARGO_PKG_VERSION").to_owned(),
        kernels: report.kernels.to_owned(),
        digests: report.digests,
        num_threads: report.num_threads,
        bytes_read: report.bytes_read,
        bytes_written: report.bytes_written,
        os: std::env::consts::OS.to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        warnings: [&plan.warnings[..], &report.warnings].concat(),
        ingredients: paths.collect(),
        resumes: made.resumes,
    }
}
