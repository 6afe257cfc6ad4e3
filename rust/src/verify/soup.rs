//! One soup, from its manifest to the last byte asked for.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::findings::{Check, Verification, problem};
use super::options::VerifyOptions;
use super::recompute::Recompute;
use super::{digests, files, pieces, structure};
use crate::checkpoint::{Checkpoint, MAX_HEADERS_BYTES, OpenOptions, Shard, read_small};
use crate::control::Control;
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::io::remote::UNORDERED_READERS;
use crate::kernels::Kernels;
use crate::manifest::{self, Digests, ReadManifest, ShardEntry};
use crate::threads::default_threads;

/// Look at the soup in `directory`. `total` is set to the bytes that will be read before any of them is; the control
/// counts them.
///
/// # Errors
/// The directory cannot be read at all; nothing to compute from; cancellation. Whatever is wrong *in* the directory is
/// a finding.
///
/// # Panics
/// If a worker panics: a bug.
pub fn verify(
    directory: &Path,
    options: &VerifyOptions,
    control: &Control,
    total: &AtomicU64,
) -> Result<Verification> {
    let started = Instant::now();
    let _session = options.objects.session(control);
    let kind = fs::metadata(directory).map_err(|error| Error::io(directory, "cannot examine", error))?;
    if !kind.is_dir() {
        return Err(Problem::new(ProblemKind::Checkpoint, "expected a directory, got a file")
            .at(directory)
            .hint("give the directory of the soup")
            .into());
    }
    if options.recompute.is_some() {
        Kernels::choose(None)?; // a set that is not there is no fault of the soup
    }
    let data_read = !options.quick || options.recompute.is_some();
    let mut found = Verification { data_read, ..Verification::default() };
    let manifest = read_manifest(directory, options, &mut found)?;
    let shards = read_shards(directory, options, manifest.as_ref(), &mut found);
    if let Some(manifest) = &manifest {
        structure::check(directory, options, manifest, &shards, &mut found);
        files::check(directory, options, manifest, &shards, &mut found, control)?;
    }
    let recompute = match (&manifest, &options.recompute) {
        (Some(manifest), Some(paths)) => Recompute::prepare(manifest, paths, options, &mut found)?,
        _ => None,
    };

    let mut threads = options.num_threads.unwrap_or_else(default_threads);
    if !options.objects.is_empty() {
        threads = threads.min(UNORDERED_READERS);
    }
    let size = |shard: &Shard| shard.tensors.iter().map(|tensor| tensor.length).sum::<u64>();
    let data = if options.quick { 0 } else { digests::bytes(&shards, manifest.as_ref()) };
    let again = match (&manifest, &recompute) {
        (Some(manifest), Some(again)) => again.bytes(manifest) + shards.iter().map(size).sum::<u64>(),
        _ => 0,
    };
    total.store(data + again, Ordering::Relaxed);

    let reading = pieces::Reading { threads, backend: options.backend, control };
    if !options.quick {
        digests::check(&shards, manifest.as_ref(), &reading, &mut found)?;
    }
    if let (Some(manifest), Some(recompute)) = (&manifest, recompute) {
        recompute.run(manifest, &shards, &reading, &mut found)?;
    }
    found.bytes_read = control.bytes_done();
    found.seconds = started.elapsed().as_secs_f64();
    Ok(found)
}

/// The manifest, unless there is none or it is not fit to compare with.
fn read_manifest(
    directory: &Path,
    options: &VerifyOptions,
    found: &mut Verification,
) -> Result<Option<ReadManifest>> {
    let path = directory.join(manifest::FILE_NAME);
    found.has_manifest = path.symlink_metadata().is_ok();
    if !found.has_manifest {
        if options.recompute.is_some() {
            return Err(Problem::new(
                ProblemKind::Checkpoint,
                "has no `soce.json`, so no recipe to compute with",
            )
            .at(directory)
            .hint("merge the ingredients again and compare the files")
            .into());
        }
        let scanned = if options.quick { "" } else { " and the data scanned for values that are not finite" };
        found
            .notes
            .push(format!("no `soce.json`: nothing to compare with; the structure was checked{scanned}"));
        return Ok(None);
    }
    let hint = "the manifest is damaged: compare the soup with another copy, or merge it again";
    let bytes = read_small(&path, directory, manifest::MAX_BYTES, &options.open());
    let read =
        bytes.and_then(|bytes| manifest::parse(&bytes).map_err(|what| problem(&path, what).hint(hint)));
    let manifest = match read {
        Ok((manifest, wrong)) => {
            found.add(Check::Manifest, wrong.into_iter().map(|message| problem(&path, message)));
            Some(manifest)
        }
        Err(problem) => {
            found.add(Check::Manifest, [problem]);
            None
        }
    };
    if let Some(manifest) = &manifest {
        found.level = Some(manifest.level().name());
        found.result_digest = manifest.result_is_right.then(|| manifest.result_digest.to_string());
        found.count("manifest", 1);
        if !options.quick && manifest.level() == Digests::None {
            found.notes.push(
                "the manifest has no digests (`--digests none`): the data could not be compared, only scanned for \
                 values that are not finite"
                    .to_owned(),
            );
        }
    }
    Ok(manifest)
}

/// All shards that can be read, sorted by name. If the directory as a whole is refused, those that the manifest names
/// are looked at one by one.
fn read_shards(
    directory: &Path,
    options: &VerifyOptions,
    manifest: Option<&ReadManifest>,
    found: &mut Verification,
) -> Vec<Shard> {
    // With a manifest, every shard that it does not list is a finding of its own.
    let open = OpenOptions { ignore_unreferenced: manifest.is_some(), ..options.open() };
    let shards = match Checkpoint::open(directory, &open) {
        Ok(checkpoint) => {
            // With a manifest, every oddity is a difference from what soce writes.
            if manifest.is_none() || options.follow_links {
                found.notes.extend(checkpoint.warnings);
            }
            checkpoint.shards
        }
        Err(problems) => {
            found.add(Check::Structure, problems.into_iter().map(own_hint));
            let mut budget = MAX_HEADERS_BYTES;
            let names = manifest.iter().flat_map(|manifest| &manifest.result.shards);
            let open = |shard: &ShardEntry| {
                Checkpoint::open_shard(directory, &shard.name, options.open(), &mut budget).ok()
            };
            let mut shards: Vec<Shard> = names.filter_map(open).collect();
            shards.sort_by(|a, b| a.name.cmp(&b.name));
            shards.dedup_by(|a, b| a.name == b.name);
            shards
        }
    };
    found.count("shards", shards.len());
    found.count("tensors", shards.iter().map(|shard| shard.tensors.len()).sum());
    shards
}

/// An option of a merge is no way out here.
fn own_hint(mut problem: Problem) -> Problem {
    if problem.hint.as_ref().is_some_and(|hint| hint.contains("--ignore-unreferenced")) {
        problem.hint = Some("remove what is left over".to_owned());
    }
    problem
}
