//! A checkpoint on disk: its shards, their headers, and where each tensor's bytes lie.
//!
//! Headers are the truth: index, file names and sizes must agree with them, or the checkpoint is refused. Nothing here
//! reads tensor data, and nothing is ever opened for writing.

mod account;
mod directory;
pub mod header;
pub mod index;
mod open;
pub mod origin;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::dtype::Dtype;
use crate::error::{Problem, ProblemKind};
use crate::escape::shown;
use crate::io::Identity;

pub use open::reopen;
pub(crate) use open::{read_small, sha256_of, small_file_size};

/// Most bytes of headers in all shards of all ingredients together.
pub const MAX_HEADERS_BYTES: u64 = 512_000_000;

/// Names or problems of one sort told in full before the rest is only counted.
const LISTED: usize = 10;
/// Bytes looked at to tell what a file is that is no safetensors file.
const START_BYTES: u64 = 64;

/// One tensor of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, unescaped.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions; empty for a scalar.
    pub shape: Vec<u64>,
    /// Where its bytes begin, counted from the start of the file.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// One `.safetensors` file, its header read and checked, closed again.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The path as the user reaches it.
    pub path: PathBuf,
    /// File name within the checkpoint.
    pub name: String,
    /// State of the file when its header was read.
    pub identity: Identity,
    /// SHA-256 of the header bytes (without the length).
    pub header_sha256: Digest,
    /// Its tensors in file order.
    pub tensors: Vec<TensorInfo>,
}

/// Where a tensor is: shard number, then number within the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Index into [`Checkpoint::shards`].
    pub shard: usize,
    /// Index into [`Shard::tensors`].
    pub tensor: usize,
}

/// All shards of one model.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The directory, or the single file, as the user gave it.
    pub root: PathBuf,
    /// Shards sorted by file name.
    pub shards: Vec<Shard>,
    /// Every tensor by name.
    pub tensors: BTreeMap<String, Location>,
    /// File name of the index, if there is one.
    pub index_name: Option<String>,
    /// Where it came from, if its directory tells.
    pub origin: origin::Origin,
    /// Odd but harmless findings, ready to be shown.
    pub warnings: Vec<String>,
}

/// What the user allows beyond the strict rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Read shards and side files that are links to regular files elsewhere.
    pub follow_links: bool,
    /// Accept `*.safetensors` files that the index does not mention, without reading them.
    pub ignore_unreferenced: bool,
}

impl Checkpoint {
    /// Reads the headers of a directory of shards, or of one `.safetensors` file.
    ///
    /// # Errors
    ///
    /// All that is wrong with the checkpoint, not only the first finding.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, Vec<Problem>> {
        Self::open_within(path, options, &mut MAX_HEADERS_BYTES.clone())
    }

    /// The same for one of several checkpoints that share a budget of header bytes, at first [`MAX_HEADERS_BYTES`].
    ///
    /// # Errors
    ///
    /// All that is wrong with the checkpoint, not only the first finding.
    pub fn open_within(path: &Path, options: &OpenOptions, budget: &mut u64) -> Result<Self, Vec<Problem>> {
        let is_directory = directory::check_kind(path).map_err(|problem| vec![problem])?;
        let (mut selection, home) = if is_directory {
            (directory::select(path, *options), path)
        } else {
            (single(path).map_err(|problem| vec![problem])?, parent(path))
        };
        let (mut problems, mut warnings) = (selection.problems, selection.warnings);
        let mut shards = Vec::with_capacity(selection.shards.len());
        selection.shards.sort_unstable();
        for name in selection.shards {
            let shard_path = if is_directory { path.join(&name) } else { path.to_owned() };
            match read_shard(shard_path, name, home, *options, budget) {
                Ok((shard, notes)) => {
                    shards.push(shard);
                    warnings.extend(notes);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let (tensors, twice) = account::gather(path, &shards);
        problems.extend(twice);
        let index_name = selection.index.map(|(name, index)| {
            let index_path = path.join(&name);
            problems.extend(account::compare(&index, &index_path, &shards, &tensors));
            warnings.extend(wrong_total(&index, &index_path, &shards));
            name
        });
        if problems.is_empty() && tensors.is_empty() {
            problems.push(Problem::new(ProblemKind::Checkpoint, "expected a model, got no tensors").at(path));
        }
        if problems.is_empty() {
            let origin = origin::find(home, &shards);
            Ok(Self { root: path.to_owned(), shards, tensors, index_name, origin, warnings })
        } else {
            Err(problems)
        }
    }

    /// One shard of a directory by its file name, whatever else is wrong with the directory.
    ///
    /// # Errors
    ///
    /// The name is no plain file name, or the shard is malformed.
    pub(crate) fn open_shard(
        root: &Path,
        name: &str,
        options: OpenOptions,
        budget: &mut u64,
    ) -> Result<Shard, Problem> {
        index::check_file_name(name)
            .map_err(|message| Problem::new(ProblemKind::Checkpoint, message).at(root))?;
        Ok(read_shard(root.join(name), name.to_owned(), root, options, budget)?.0)
    }

    /// Looks at every shard again: none may have changed since it was opened.
    ///
    /// # Errors
    ///
    /// One problem per shard, naming each field of its [`Identity`] that is another now.
    pub fn still_same(&self) -> Result<(), Vec<Problem>> {
        let changed: Vec<_> =
            self.shards.iter().filter_map(|shard| open::check_unchanged(shard).err()).collect();
        if changed.is_empty() { Ok(()) } else { Err(changed) }
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let location = self.tensors.get(name)?;
        self.shards.get(location.shard)?.tensors.get(location.tensor)
    }

    /// The directory that holds config and tokenizer; `None` if the checkpoint was given as a single file.
    pub fn directory(&self) -> Option<&Path> {
        (self.shards.first()?.path != self.root).then_some(self.root.as_path())
    }
}

/// The selection of a checkpoint given as one file.
fn single(path: &Path) -> Result<directory::Selection, Problem> {
    let name = directory::check_single(path)?;
    let mut selection = directory::Selection::default();
    if let Some(count) = directory::set_size(&name).filter(|count| *count > 1) {
        let place = shown(&path.to_string_lossy());
        selection.warnings.push(format!("`{place}`: one of {count} shards, taken as a model by itself"));
    }
    selection.shards.push(name);
    Ok(selection)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads the header of one shard and closes it again.
fn read_shard(
    path: PathBuf,
    name: String,
    root: &Path,
    options: OpenOptions,
    budget: &mut u64,
) -> Result<(Shard, Vec<String>), Problem> {
    let at = |problem: Problem| problem.at(&path);
    let mut opened = open::open(&path, root, options)?;
    let size = opened.identity.size;
    let mut start = Vec::new();
    open::read_exactly(&mut opened.file, 0, size.min(START_BYTES), &mut start).map_err(at)?;
    let length = header::length(&start, size).map_err(at)?;
    let Some(rest) = budget.checked_sub(length) else {
        let message = format!("headers of all checkpoints together are over {MAX_HEADERS_BYTES} bytes");
        return Err(Problem::new(ProblemKind::Checkpoint, message).at(&path));
    };
    *budget = rest;
    // The length and some bytes after it are already here.
    let mut header = Vec::with_capacity(length as usize);
    header.extend(start.iter().skip(header::LENGTH_BYTES as usize).take(length as usize));
    let missing = length - header.len() as u64;
    open::read_exactly(&mut opened.file, start.len() as u64, missing, &mut header).map_err(at)?;
    let parsed = header::parse(&header, size).map_err(at)?;
    let place = shown(&path.to_string_lossy());
    let notes = parsed.warnings.into_iter().map(|text| format!("`{place}`: {text}"));
    let notes = opened.note(&path).into_iter().chain(notes).collect();
    let header_sha256 = Digest::sha256(&header);
    Ok((Shard { path, name, identity: opened.identity, header_sha256, tensors: parsed.tensors }, notes))
}

/// A warning if the index gives another size than the headers.
fn wrong_total(index: &index::Index, path: &Path, shards: &[Shard]) -> Option<String> {
    let lengths = || shards.iter().flat_map(|shard| &shard.tensors).map(|tensor| tensor.length);
    let total = lengths().fold(0_u64, u64::saturating_add);
    let claimed = index.total_size.filter(|claimed| *claimed != total)?;
    let place = shown(&path.to_string_lossy());
    Some(format!("`{place}`: expected total_size {total}, got {claimed}; the output's is computed anew"))
}

/// Names in backticks, the first few of them.
fn listing<T: AsRef<str>>(names: &[T]) -> String {
    listing_of(names, names.len() as u64)
}

/// The same where `names` are only the first of `count`.
fn listing_of<T: AsRef<str>>(names: &[T], count: u64) -> String {
    let mut text = names
        .iter()
        .take(LISTED)
        .map(|name| format!("`{}`", shown(name.as_ref())))
        .collect::<Vec<_>>()
        .join(", ");
    let rest = count.saturating_sub(LISTED as u64);
    if rest > 0 {
        let _ = write!(text, " and {rest} more");
    }
    text
}
