//! All files of one model, read together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::open::{self, OpenOptions};
use super::shard::{LocatedTensor, Location, Shard, TensorInfo};
use super::{consistency, directory, header, index, origin, parts};
use crate::digest::Digest;
use crate::error::{Problem, ProblemKind};
use crate::escape::quoted;

/// Most bytes of headers in all shards of all ingredients together.
pub const MAX_HEADERS_BYTES: u64 = 512_000_000;

/// Bytes looked at to tell what a file is that is no safetensors file.
const START_BYTES: u64 = 64;

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
        let parts = if is_directory { parts::find(path, *options)? } else { None };
        if let Some(part) = parts.iter().flatten().find(|part| !part.folder.is_empty()) {
            let message = format!("has parts in folders, such as `{}`, which are not averaged yet", part.folder);
            return Err(vec![Problem::new(ProblemKind::Checkpoint, message).at(path)]);
        }
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
        let (tensors, twice) = consistency::gather(path, &shards);
        problems.extend(twice);
        let index_name = selection.index.map(|(name, index)| {
            let index_path = path.join(&name);
            problems.extend(consistency::compare(&index, &index_path, &shards, &tensors));
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
    /// One problem per shard, naming each field of its [`crate::io::Identity`] that is another now.
    pub fn still_same(&self) -> Result<(), Vec<Problem>> {
        let changed: Vec<_> =
            self.shards.iter().filter_map(|shard| open::check_unchanged(shard).err()).collect();
        if changed.is_empty() { Ok(()) } else { Err(changed) }
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.locate(name).map(|found| found.tensor)
    }

    /// A tensor by name, with its file.
    pub(crate) fn locate(&self, name: &str) -> Option<LocatedTensor<'_>> {
        let location = self.tensors.get(name)?;
        let shard = self.shards.get(location.shard)?;
        Some(LocatedTensor { shard, tensor: shard.tensors.get(location.tensor)? })
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
        let place = quoted(path);
        selection.warnings.push(format!("{place}: one of {count} shards, taken as a model by itself"));
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
    let place = quoted(&path);
    let notes = parsed.warnings.into_iter().map(|text| format!("{place}: {text}"));
    let notes = opened.note(&path).into_iter().chain(notes).collect();
    let header_sha256 = Digest::sha256(&header);
    Ok((Shard { path, name, identity: opened.identity, header_sha256, tensors: parsed.tensors }, notes))
}

/// A warning if the index gives another size than the headers.
fn wrong_total(index: &index::Index, path: &Path, shards: &[Shard]) -> Option<String> {
    let lengths = || shards.iter().flat_map(|shard| &shard.tensors).map(|tensor| tensor.length);
    let total = lengths().fold(0_u64, u64::saturating_add);
    let claimed = index.total_size.filter(|claimed| *claimed != total)?;
    let place = quoted(path);
    Some(format!("{place}: expected total_size {total}, got {claimed}; the output's is computed anew"))
}
