//! All files of one model, read together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::adapter::Adapter;
use super::directory::Selection;
use super::folder::{check_folder, folder_of, within};
use super::open::{self, OpenOptions, Opened};
use super::parts::Part;
use super::shard::{LocatedTensor, Location, Shard, TensorInfo};
use super::{consistency, directory, header, index, origin, parts};
use crate::digest::Digest;
use crate::error::{Problem, ProblemKind};
use crate::escape::quoted;
use crate::io::remote::Objects;

/// Most bytes of headers in all shards of all ingredients together.
pub const MAX_HEADERS_BYTES: u64 = 512_000_000;

/// Bytes looked at to tell what a file is that is no safetensors file.
const START_BYTES: u64 = 64;

/// Bytes of an object asked for at first: most headers are shorter.
const BEGINNING_BYTES: u64 = 128 << 10;

/// All shards of one model.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The directory, or the single file, as the user gave it.
    pub root: PathBuf,
    /// Shards sorted by name.
    pub shards: Vec<Shard>,
    /// Every tensor by name.
    pub tensors: BTreeMap<String, Location>,
    /// What is on top of it.
    pub adapter: Option<Adapter>,
    /// The folders that hold its shards and whatever is loaded with them; one that is a single model has one.
    pub parts: Vec<Part>,
    /// Where it came from, if its directory tells.
    pub origin: origin::Origin,
    /// Odd but harmless findings, ready to be shown.
    pub warnings: Vec<String>,
    /// It was given as a file, not as a directory.
    is_file: bool,
}

impl Checkpoint {
    /// Reads the headers of a directory of shards, or of one `.safetensors` file.
    ///
    /// # Errors
    ///
    /// All that is wrong with the checkpoint, not only the first finding.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, Vec<Problem>> {
        Self::open_within(path, options, &Objects::default(), &mut MAX_HEADERS_BYTES.clone())
    }

    /// The same for one of several checkpoints that share a budget of header bytes, at first [`MAX_HEADERS_BYTES`]. Some of
    /// their shards may be `objects`, which count as lying in their folders.
    ///
    /// # Errors
    ///
    /// All that is wrong with the checkpoint, not only the first finding.
    pub fn open_within(
        path: &Path,
        options: &OpenOptions,
        objects: &Objects,
        budget: &mut u64,
    ) -> Result<Self, Vec<Problem>> {
        let is_file = !directory::check_kind(path, objects).map_err(|problem| vec![problem])?;
        let described = if is_file { None } else { parts::find(path, *options)? };
        let home = if is_file { parent(path) } else { path };
        let mut parts = described.unwrap_or_else(|| vec![Part::default()]);
        let mut reading = Reading {
            root: path,
            home,
            options: *options,
            objects,
            budget,
            problems: vec![],
            warnings: vec![],
        };
        let mut shards = Vec::new();
        for part in &mut parts {
            let selection = if is_file {
                single(path).map_err(|problem| vec![problem])?
            } else {
                directory::select((&part.path(path), home), part, *options, objects)
            };
            shards.extend(reading.part(part, selection, is_file));
        }
        let Reading { mut problems, warnings, .. } = reading;
        shards.sort_by(|a: &Shard, b| a.name.cmp(&b.name));
        let (tensors, twice) = consistency::gather(path, &shards);
        if parts.len() > 1 && problems.is_empty() {
            problems.extend(twice); // of two parts: within one they are reported
        }
        if problems.is_empty() && tensors.is_empty() {
            problems.push(Problem::new(ProblemKind::Checkpoint, "expected a model, got no tensors").at(path));
        }
        if problems.is_empty() {
            let origin = origin::find(home, &shards);
            let (root, adapter) = (path.to_owned(), None);
            Ok(Self { root, shards, tensors, adapter, parts, origin, warnings, is_file })
        } else {
            Err(problems)
        }
    }

    /// One shard of a directory by its path in it, whatever else is wrong with the directory.
    ///
    /// # Errors
    ///
    /// The path leads outside, or the shard is malformed.
    pub(crate) fn open_shard(
        root: &Path,
        name: &str,
        options: OpenOptions,
        budget: &mut u64,
    ) -> Result<Shard, Problem> {
        let folder = folder_of(name);
        let file = within(folder, name);
        index::check_file_name(file)
            .and_then(|()| if folder.is_empty() { Ok(()) } else { check_folder(folder) })
            .map_err(|message| Problem::new(ProblemKind::Checkpoint, message).at(root))?;
        let path = root.join(name);
        let opened = open::open(&path, root, options)?;
        let (shard, _) = read_shard(path, file.to_owned(), opened, budget)?;
        Ok(shard.in_folder(folder))
    }

    /// Looks at every shard again: none may have changed since it was opened.
    ///
    /// # Errors
    ///
    /// One problem per shard, naming each field of its [`crate::io::Identity`] that is another now.
    pub fn still_same(&self) -> Result<(), Vec<Problem>> {
        let changed: Vec<_> = self.files().filter_map(|shard| open::check_unchanged(shard).err()).collect();
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
        (!self.is_file).then_some(self.root.as_path())
    }

    /// Every folder below the checkpoint's own that holds something of it, sorted.
    pub(crate) fn folders(&self) -> BTreeSet<&str> {
        let parts = self.parts.iter().map(|part| part.folder.as_str());
        let up = |folder: &'_ str| -> Vec<usize> { folder.match_indices('/').map(|(end, _)| end).collect() };
        let with_those_above =
            parts.flat_map(|folder| up(folder).into_iter().map(|end| &folder[..end]).chain([folder]));
        with_those_above.filter(|folder| !folder.is_empty()).collect()
    }

    /// What lies in one of its folders, as a checkpoint of its own.
    pub(crate) fn within(&self, folder: &str) -> Self {
        let root = self.root.join(folder);
        let here = self.shards.iter().filter(|shard| shard.folder() == folder);
        let shards: Vec<Shard> = here.map(|shard| shard.clone().within(folder)).collect();
        let (tensors, _) = consistency::gather(&root, &shards);
        let part = self.parts.iter().find(|part| part.folder == folder).cloned().unwrap_or_default();
        let parts = vec![Part { folder: String::new(), ..part }];
        let origin = origin::Origin::default();
        let (adapter, warnings) = (None, Vec::new());
        Self { root, shards, tensors, adapter, parts, origin, warnings, is_file: false }
    }
}

/// What reading the parts of a checkpoint has given so far.
struct Reading<'a> {
    root: &'a Path,
    /// The directory that everything must lie in.
    home: &'a Path,
    options: OpenOptions,
    objects: &'a Objects,
    budget: &'a mut u64,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Reading<'_> {
    /// Read the shards of one part and compare them with its index.
    fn part(&mut self, part: &mut Part, mut selection: Selection, is_file: bool) -> Vec<Shard> {
        let place = part.path(self.root);
        self.problems.append(&mut selection.problems);
        self.warnings.append(&mut selection.warnings);
        let mut shards = Vec::with_capacity(selection.shards.len());
        selection.shards.sort_unstable();
        let path_of = |name: &String| if is_file { place.clone() } else { place.join(name) };
        let paths: Vec<PathBuf> = selection.shards.iter().map(path_of).collect();
        let mut beginnings = self.objects.beginnings(&paths, BEGINNING_BYTES);
        for (name, path) in selection.shards.into_iter().zip(paths) {
            let opened = match (self.objects.get(&path), beginnings.remove(&path)) {
                (Some(object), beginning) => {
                    let beginning = beginning.unwrap_or_else(|| Ok(Vec::new()));
                    beginning.map(|bytes| Opened::object(object, bytes)).map_err(Problem::from)
                }
                (None, _) => open::open(&path, self.home, self.options),
            };
            match opened.and_then(|opened| read_shard(path, name, opened, self.budget)) {
                Ok((shard, notes)) => {
                    shards.push(shard);
                    self.warnings.extend(notes);
                }
                Err(problem) => self.problems.push(problem),
            }
        }
        let (tensors, twice) = consistency::gather(&place, &shards);
        self.problems.extend(twice);
        if let Some((name, index)) = selection.index {
            let index_path = place.join(&name);
            self.problems.extend(consistency::compare(&index, &index_path, &shards, &tensors));
            self.warnings.extend(wrong_total(&index, &index_path, &shards));
            part.index_name = Some(name);
        }
        if part.folder.is_empty() {
            return shards;
        }
        shards.into_iter().map(|shard| shard.in_folder(&part.folder)).collect()
    }
}

/// The selection of a checkpoint given as one file.
fn single(path: &Path) -> Result<Selection, Problem> {
    let name = directory::check_single(path)?;
    let mut selection = Selection::default();
    if let Some(count) = directory::set_size(&name).filter(|count| *count > 1) {
        let place = quoted(path);
        selection.warnings.push(format!("{place}: one of {count} shards, taken as a model by itself"));
    }
    selection.shards.push(name);
    Ok(selection)
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads the header of one shard and closes it again.
pub(super) fn read_shard(
    path: PathBuf,
    name: String,
    mut opened: Opened,
    budget: &mut u64,
) -> Result<(Shard, Vec<String>), Problem> {
    let at = |problem: Problem| problem.at(&path);
    let size = opened.identity.size();
    let mut start = Vec::new();
    opened.read_exactly(0, size.min(START_BYTES), &mut start).map_err(at)?;
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
    opened.read_exactly(start.len() as u64, missing, &mut header).map_err(at)?;
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
