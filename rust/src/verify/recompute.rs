//! Every tensor computed again from the ingredients, by the kernels of the merge, and compared bit for bit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::checkpoint::{Checkpoint, MAX_HEADERS_BYTES, Shard, TensorInfo};
use crate::digest::Digest;
use crate::dtype::{Dtype, DtypeClass};
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::escape::{counted, quoted};
use crate::kernels::Tally;
use crate::manifest::{How, NUMERICS, ReadManifest, TensorEntry};
use crate::mix::Mixture;
use crate::mixing::Mixer;
use crate::plan::Choices;

use super::findings::{Check, Verification, problem};
use super::options::VerifyOptions;
use super::pieces::{self, Reading};
use super::recomputed::{Recomputation, RecomputedTensor};
use super::{digests, matching};

/// Number of a checkpoint and its column in the recipe.
type Ingredient = (usize, usize);

/// Ingredients, opened; not yet known which is which.
pub(super) struct Recompute {
    checkpoints: Vec<Checkpoint>,
    options: VerifyOptions,
}

impl Recompute {
    /// Open the ingredients. `None` if that already shows that nothing can be computed: then it is a finding.
    ///
    /// # Errors
    /// [`Error::Refused`] if no ingredient is known; cancellation.
    pub(super) fn prepare(
        manifest: &ReadManifest,
        paths: &[PathBuf],
        options: &VerifyOptions,
        found: &mut Verification,
    ) -> Result<Option<Self>> {
        if manifest.result.numerics != NUMERICS {
            let message = format!(
                "cannot be computed again: its numerics are {}, this version of soce computes {NUMERICS}",
                manifest.result.numerics
            );
            found.add(Check::Recompute, [Problem::new(ProblemKind::Checkpoint, message)]);
            return Ok(None);
        }
        let paths = if paths.is_empty() { recorded(manifest, found) } else { paths.to_vec() };
        let needed = manifest.columns().len();
        if paths.len() < needed {
            let expected = counted(needed as u64, "ingredient", "ingredients");
            let message = format!("expected {expected} to compute from, got {}", paths.len());
            return Err(Problem::new(ProblemKind::Recipe, message)
                .hint("give the path of every ingredient that has a part in the soup")
                .into());
        }
        let mut checkpoints = Vec::with_capacity(paths.len());
        let (mut whole, mut budget) = (true, MAX_HEADERS_BYTES);
        for (number, path) in paths.iter().enumerate() {
            let open = options.open();
            let opened = Checkpoint::open_within(path, &open, &options.objects, &mut budget)
                .and_then(|base| base.adapted(options.adapters.get(&number), open, &mut budget));
            match opened {
                Ok(checkpoint) => checkpoints.push(checkpoint),
                Err(problems) => {
                    found.add(Check::Recompute, problems);
                    whole = false;
                }
            }
        }
        Ok(whole.then(|| Self { checkpoints, options: options.clone() }))
    }

    /// Bytes that matching the ingredients reads.
    pub(super) fn bytes(&self, manifest: &ReadManifest) -> u64 {
        if manifest.result.ingredients.is_none() {
            return 0;
        }
        let tensors = self.checkpoints.iter().flat_map(|c| &c.shards).flat_map(|shard| &shard.tensors);
        tensors.map(|tensor| tensor.length).sum()
    }

    /// Match the ingredients, compute, compare.
    ///
    /// # Errors
    /// Cancellation only.
    pub(super) fn run(
        self,
        manifest: &ReadManifest,
        shards: &[Shard],
        reading: &Reading<'_>,
        found: &mut Verification,
    ) -> Result<()> {
        let Some(mut ingredients) = self.matched(manifest, reading, found)? else { return Ok(()) };
        let mixer = match self.open(&mut ingredients, manifest) {
            Ok(mixer) => mixer,
            Err(Error::Refused(problems)) => {
                found.add(Check::Recompute, problems);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let columns: Vec<usize> = ingredients.iter().map(|(_, column)| *column).collect();
        let rows =
            manifest.mixtures.iter().map(|mixture| mixture.as_ref().ok()?.of_ingredients(&columns).ok());
        // Rows that make no sense are findings of the manifest.
        let Some(rows) = rows.collect::<Option<Vec<Mixture>>>() else { return Ok(()) };
        compare(manifest, shards, &mixer, &rows, reading, found)
    }

    /// Open the ingredients together. The config of the first decides about tied heads; where several could be the one
    /// that gave the soup its config, the first that makes the ingredients agree is as good.
    fn open(&self, ingredients: &mut [Ingredient], manifest: &ReadManifest) -> Result<Mixer> {
        let mut open = |first: usize| {
            ingredients[..=first].rotate_right(1);
            let numbers: Vec<usize> = ingredients.iter().map(|(number, _)| *number).collect();
            let paths: Vec<PathBuf> =
                numbers.iter().map(|&number| self.checkpoints[number].root.clone()).collect();
            let choices = self.choices(manifest, ingredients);
            let VerifyOptions { objects, adapters, backend, .. } = &self.options;
            let adapters = (0..)
                .zip(&numbers)
                .filter_map(|(new, old)| Some((new, adapters.get(old)?.clone())))
                .collect();
            Mixer::open(&paths, objects, adapters, *backend, self.options.open(), choices)
        };
        let opened = open(0);
        if manifest.result.tied.is_empty() || !matches!(opened, Err(Error::Refused(_))) {
            return opened;
        }
        let others = (1..manifest.columns().len()).map(&mut open);
        others.into_iter().find_map(Result::ok).map_or(opened, Ok)
    }

    /// What the manifest says was taken and left out, for `ingredients` in this order: name by name, since patterns were
    /// meant for more than these.
    fn choices(&self, manifest: &ReadManifest, ingredients: &[Ingredient]) -> Choices {
        let result = &manifest.result;
        let is_there = |name: &&String| self.checkpoints.iter().any(|c| c.tensors.contains_key(*name));
        let leave_out = result.left_out.keys().filter(is_there).cloned().collect();
        let take =
            result.tensors.iter().filter(|(_, entry)| entry.how == How::Taken).filter_map(|(name, _)| {
                let row = manifest.row(name)?;
                let giver = manifest.mixtures[row].as_ref().ok()?.sole()?;
                Some((name.clone(), ingredients.iter().position(|(_, column)| *column == giver)?))
            });
        Choices { leave_out, take: take.collect() }
    }

    /// Every ingredient that has a part, first the one that gave the config as far as can be told.
    fn matched(
        &self,
        manifest: &ReadManifest,
        reading: &Reading<'_>,
        found: &mut Verification,
    ) -> Result<Option<Vec<Ingredient>>> {
        let columns = manifest.columns();
        let sources = matching::by_headers(manifest, &self.checkpoints);
        let mut assigned = vec![None; sources.len()];
        if let Some(ingredients) = &manifest.result.ingredients {
            let contents: Vec<Digest> = ingredients.iter().map(|entry| entry.content).collect();
            let with_options = (self.options.open(), &mut *found);
            let known = matching::by_content(manifest, &contents, &self.checkpoints, reading, with_options)?;
            let strangers = known.iter().filter(|column| column.is_none()).count();
            let missing = columns.len() - (known.len() - strangers);
            if missing > 0 {
                let unknown = self.checkpoints.iter().zip(&known).filter(|(_, column)| column.is_none());
                found.add(
                    Check::Recompute,
                    unknown.map(|(checkpoint, _)| matching::stranger(&checkpoint.label())),
                );
            }
            // Strangers stand in for the columns that are left, so that what differs can be named.
            let mut left = (0..columns.len()).filter(|column| !known.contains(&Some(*column)));
            let column_of = |known: Option<usize>| known.or_else(|| left.next());
            assigned = known.iter().copied().map(column_of).collect();
        } else {
            let mut known = Vec::new();
            for (column, source) in assigned.iter_mut().zip(&sources) {
                *column = source.and_then(|source| manifest.column(source, &known));
                known.extend(*column);
            }
            self.note_guesses(manifest, &sources, found);
        }
        let mut ingredients = Vec::new();
        let mut config_first = None;
        for ((number, column), source) in assigned.into_iter().enumerate().zip(sources) {
            let Some(column) = column else {
                let path = quoted(&self.checkpoints[number].label());
                found.notes.push(format!("{path} has no part in this soup and was not used"));
                continue;
            };
            let gave_config = source.is_some_and(|source| manifest.sources[source].gave_config);
            config_first = config_first.or(gave_config.then_some(ingredients.len()));
            ingredients.push((number, column));
        }
        if let Some(first) = config_first {
            ingredients[..=first].rotate_right(1);
        }
        Ok((ingredients.len() == columns.len()).then_some(ingredients))
    }

    /// Say so if order alone told which ingredient is which.
    fn note_guesses(&self, manifest: &ReadManifest, sources: &[Option<usize>], found: &mut Verification) {
        let parts: Vec<&[i64]> =
            sources.iter().flatten().map(|&source| manifest.sources[source].parts.as_slice()).collect();
        if parts.windows(2).any(|pair| pair[0] != pair[1]) {
            found.notes.push(format!(
                "the manifest has no digests of the ingredients: these {} were matched by their headers, and where \
                 those are equal by the order of the merge",
                self.checkpoints.len()
            ));
        }
    }
}

/// The paths that the manifest names, of those ingredients that have a part.
fn recorded(manifest: &ReadManifest, found: &mut Verification) -> Vec<PathBuf> {
    let used = manifest.sources.iter().map(|source| source.parts.iter().any(|&part| part != 0));
    let paths = manifest.run.ingredients.iter().zip(used).filter(|(_, used)| *used);
    let paths: Vec<PathBuf> = paths.map(|(path, _)| PathBuf::from(path)).collect();
    let names: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
    found.notes.push(format!("ingredients as the manifest names them: {}", names.join(", ")));
    paths
}

/// Compute every tensor that the ingredients have and compare it with the soup's.
fn compare(
    manifest: &ReadManifest,
    shards: &[Shard],
    mixer: &Mixer,
    rows: &[Mixture],
    reading: &Reading<'_>,
    found: &mut Verification,
) -> Result<()> {
    let inputs: BTreeMap<&str, (Dtype, &[u64])> =
        mixer.tensors().map(|(name, dtype, shape)| (name, (dtype, shape))).collect();
    let mut problems = Vec::new();
    let mut shard_tensors = Vec::with_capacity(shards.len());
    for shard in shards {
        let tensors = shard.tensors.iter().map(|info| {
            let row = match expected(manifest, &inputs, info) {
                Ok(row) => row,
                Err(message) => {
                    problems.push(problem(&shard.path, message).tensor(&info.name));
                    return None;
                }
            };
            let mixture = row.and_then(|row| rows.get(row)).or(rows.first())?;
            Some(RecomputedTensor { info, mixture, state: Mutex::default() })
        });
        shard_tensors.push(tensors.collect());
    }
    for name in inputs.keys().filter(|name| !manifest.result.tensors.contains_key(**name)) {
        let message = "is a tensor of the ingredients that the soup lacks";
        problems.push(Problem::new(ProblemKind::Incompatible, message).tensor(*name));
    }
    found.add(Check::Recompute, problems);

    let recomputation = Recomputation { mixer, reading: *reading, shards: shard_tensors };
    let all: Vec<&Shard> = shards.iter().collect();
    let failures = pieces::each(&all, reading, &recomputation)?;
    let mut equal = 0;
    for ((shard, tensors), failure) in shards.iter().zip(recomputation.shards).zip(failures) {
        if let Some(error) = failure {
            found.add(Check::Recompute, digests::unreadable(error));
            continue;
        }
        for tensor in tensors.into_iter().flatten() {
            let name = &tensor.info.name;
            let state = tensor.state.into_inner().expect("no panic while held");
            let entry = manifest.result.tensors.get(name);
            let wrong: Vec<String> =
                [state.difference(), entry.and_then(|entry| other_counts(entry, &state.tally))]
                    .into_iter()
                    .flatten()
                    .collect();
            equal += usize::from(wrong.is_empty());
            found
                .add(Check::Recompute, wrong.into_iter().map(|text| problem(&shard.path, text).tensor(name)));
        }
    }
    found.count("recomputed", equal);
    Ok(())
}

/// The row that makes a tensor; none for a copy. An error if the ingredients cannot give it.
fn expected(
    manifest: &ReadManifest,
    inputs: &BTreeMap<&str, (Dtype, &[u64])>,
    info: &TensorInfo,
) -> Result<Option<usize>, String> {
    let Some((dtype, shape)) = inputs.get(info.name.as_str()) else {
        return Err("is not a tensor of these ingredients".to_owned());
    };
    if *shape != info.shape {
        return Err(format!("expected shape {shape:?}, as in the ingredients, got {:?}", info.shape));
    }
    let taken = manifest.result.tensors.get(&info.name).is_some_and(|entry| entry.how == How::Taken);
    let fits = match dtype.class() {
        DtypeClass::Float if !taken => info.dtype.class() == DtypeClass::Float,
        _ => *dtype == info.dtype,
    };
    if !fits {
        return Err(format!("{} cannot come from {dtype}, which the ingredients have", info.dtype));
    }
    if dtype.class() != DtypeClass::Float {
        return Ok(None);
    }
    manifest.row(&info.name).map(Some).ok_or_else(|| "no row of the recipe matches".to_owned())
}

/// Values of the ingredients that are not finite, counted now and then. The order of ingredients may be another.
fn other_counts(entry: &TensorEntry, tally: &Tally) -> Option<String> {
    let sorted = |counts: Vec<[u64; 3]>| {
        let mut counts: Vec<_> = counts.into_iter().filter(|counts| *counts != [0; 3]).collect();
        counts.sort_unstable();
        counts
    };
    let got = sorted(tally.inputs.iter().map(|found| [found.nan, found.positive, found.negative]).collect());
    let (expected, created) = entry
        .non_finite
        .as_ref()
        .map_or((Vec::new(), 0), |entry| (sorted(entry.ingredients.clone()), entry.created));
    (expected != got || created != tally.created).then(|| {
        format!(
            "expected values that are not finite {expected:?} ([NaN, +inf, -inf] of each ingredient that has any) and \
             {created} created, got {got:?} and {}",
            tally.created
        )
    })
}
