//! Whether a soup is still what its manifest says, read by the same strict rules as any stranger's checkpoint.
//!
//! Three depths: headers, index, side files and manifest against each other (seconds); every byte against the
//! manifest's digests; every tensor computed again from the ingredients. Nothing is written, memory is bounded by
//! headers, manifest and one block a thread. Deliberately not here: any trust in the manifest. A digest in it guards
//! against accidents; against a forger, who can write digests too, only the ingredients help.

mod again;
mod digests;
mod files;
mod manifest;
mod matching;
mod pieces;
mod recompute;
mod scan;
mod structure;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::checkpoint::{Checkpoint, MAX_HEADERS_BYTES, OpenOptions, Shard};
use crate::control::Control;
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::io::Backend;
use crate::threads::default_threads;

use manifest::{Level, Manifest};
use recompute::Recompute;

/// What is looked at, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Read every byte and compare it with the manifest's digests.
    pub data: bool,
    /// Compute every tensor again from these ingredients; from those that the manifest names if there are none here.
    pub recompute: Option<Vec<PathBuf>>,
    /// Worker threads; as many as the machine offers otherwise.
    pub num_threads: Option<usize>,
    /// How files are read; by filesystem otherwise.
    pub backend: Option<Backend>,
    /// Read files that are links to regular files elsewhere.
    pub follow_links: bool,
}

/// Which comparison a finding comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The manifest by itself.
    Manifest,
    /// Headers, index and names, by themselves and against the manifest.
    Structure,
    /// Files other than shards.
    Files,
    /// Bytes against digests.
    Data,
    /// Values that are not finite.
    NonFinite,
    /// Tensors against what the ingredients give.
    Recompute,
}

impl Check {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Structure => "structure",
            Self::Files => "files",
            Self::Data => "data",
            Self::NonFinite => "non_finite",
            Self::Recompute => "recompute",
        }
    }
}

/// One difference between what is there and what should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it comes from.
    pub check: Check,
    /// File, tensor, expected and got.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

/// What was looked at and what was found.
#[derive(Debug, Default)]
pub struct Verification {
    /// There is a manifest, readable or not.
    pub has_manifest: bool,
    /// Which digests the manifest has: `none`, `tensors` or `full`.
    pub level: Option<&'static str>,
    /// The manifest's, if it is right.
    pub result_digest: Option<String>,
    /// What was looked at, and how many of it.
    pub checked: Vec<(&'static str, u64)>,
    /// Every difference, in the order of the checks, then of files and tensors.
    pub findings: Vec<Finding>,
    /// What is worth saying but no difference.
    pub notes: Vec<String>,
    /// Bytes of tensors and headers read.
    pub bytes_read: u64,
    /// Wall time.
    pub seconds: f64,
}

impl Verification {
    /// Nothing differs.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, check: Check, problems: impl IntoIterator<Item = Problem>) {
        self.findings.extend(problems.into_iter().map(|problem| Finding { check, problem }));
    }

    fn count(&mut self, what: &'static str, number: usize) {
        self.checked.push((what, number as u64));
    }
}

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
    options: &Options,
    control: &Control,
    total: &AtomicU64,
) -> Result<Verification> {
    let started = Instant::now();
    let kind = fs::metadata(directory).map_err(|error| Error::io(directory, "cannot examine", error))?;
    if !kind.is_dir() {
        return Err(Problem::new(ProblemKind::Checkpoint, "expected a directory, got a file")
            .at(directory)
            .hint("give the directory of the soup")
            .into());
    }
    let mut found = Verification::default();
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

    let threads = options.num_threads.unwrap_or_else(default_threads);
    let reads_data = options.data || !found.has_manifest;
    let size = |shard: &Shard| shard.tensors.iter().map(|tensor| tensor.length).sum::<u64>();
    let expected = manifest.as_ref().filter(|_| options.data);
    let data = if reads_data { digests::bytes(&shards, expected) } else { 0 };
    let again = match (&manifest, &recompute) {
        (Some(manifest), Some(again)) => again.bytes(manifest) + shards.iter().map(size).sum::<u64>(),
        _ => 0,
    };
    total.store(data + again, Ordering::Relaxed);

    let reading = pieces::Reading { threads, backend: options.backend, control };
    if reads_data {
        digests::check(&shards, expected, &reading, &mut found)?;
    }
    if let (Some(manifest), Some(recompute)) = (&manifest, recompute) {
        recompute.run(manifest, &shards, &reading, &mut found)?;
    }
    found.bytes_read = control.bytes_done();
    found.seconds = started.elapsed().as_secs_f64();
    Ok(found)
}

/// The manifest, unless there is none or it is not fit to compare with.
fn read_manifest(directory: &Path, options: &Options, found: &mut Verification) -> Result<Option<Manifest>> {
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
        found.notes.push(
            "no `soce.json`: nothing to compare with; the structure was checked and the data scanned for values \
             that are not finite"
                .to_owned(),
        );
        return Ok(None);
    }
    let (manifest, problems) = manifest::read(&path, directory, options.open());
    found.add(Check::Manifest, problems);
    if let Some(manifest) = &manifest {
        found.level = Some(manifest.level().name());
        found.result_digest = manifest.result_is_right.then(|| manifest.result_digest.clone());
        found.count("manifest", 1);
        if options.data && manifest.level() == Level::None {
            found.notes.push(
                "the manifest has no digests (`--digests none`): the data were scanned, not compared"
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
    options: &Options,
    manifest: Option<&Manifest>,
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
            let open = |shard: &manifest::ShardEntry| {
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

impl Options {
    fn open(&self) -> OpenOptions {
        OpenOptions { follow_links: self.follow_links, ignore_unreferenced: false }
    }
}

/// A finding about `path`; its kind matters to merges only.
fn problem(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Checkpoint, message).at(path)
}

/// A shard by name, of shards sorted by name.
fn named<'a>(shards: &'a [Shard], name: &str) -> Option<&'a Shard> {
    shards.binary_search_by(|shard| shard.name.as_str().cmp(name)).ok().and_then(|place| shards.get(place))
}
