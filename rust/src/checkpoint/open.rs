//! Opening one input: only regular files, only where they belong, and never waiting for anybody.
//!
//! `stat` and `fstat` must agree on one regular file, and the file is opened without blocking, so that a FIFO or device
//! put in a model's place is refused at once. Links are followed only inside the checkpoint's own directory and within
//! one repository of the Hugging Face cache, unless the user allows more. Nothing here ever opens for writing.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::shard::Shard;
use crate::digest::Digest;
use crate::error::{Problem, ProblemKind};
use crate::escape::quoted;
use crate::io::identity::changed;
use crate::io::platform::open_input;
use crate::io::remote::Object;
use crate::io::{Backend, Buffer, Cache, FileIdentity, Identity, Source};

/// What the user allows beyond the strict rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Read shards and side files that are links to regular files elsewhere.
    pub follow_links: bool,
    /// Accept `*.safetensors` files that the index does not mention, without reading them.
    pub ignore_unreferenced: bool,
}

/// A file that passed the checks.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its bytes.
    bytes: Bytes,
    /// Its state at that moment.
    pub(super) identity: Identity,
    /// Where it really is, if only `--follow-links` allowed that.
    pub(super) elsewhere: Option<PathBuf>,
}

#[derive(Debug)]
enum Bytes {
    /// Of a file, open for reading.
    File(File),
    /// Of an object, with those that it begins with.
    Object(Arc<Object>, Vec<u8>),
}

impl Opened {
    /// An object that begins with these bytes.
    pub(super) fn object(object: &Arc<Object>, beginning: Vec<u8>) -> Self {
        let identity = Identity::Object(Arc::clone(object));
        Self { bytes: Bytes::Object(Arc::clone(object), beginning), identity, elsewhere: None }
    }

    /// Appends the next `count` bytes, which begin at `offset`. `count` must be known to be there.
    pub(super) fn read_exactly(
        &mut self,
        offset: u64,
        count: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        match &mut self.bytes {
            Bytes::File(file) => read_exactly(file, offset, count, bytes),
            Bytes::Object(object, beginning) => {
                let here = beginning.iter().skip(offset as usize).take(count as usize);
                let before = bytes.len();
                bytes.reserve_exact(count as usize);
                bytes.extend(here);
                let found = bytes.len() - before;
                bytes.resize(before + count as usize, 0);
                let missing = bytes.get_mut(before + found..).unwrap_or_default();
                Ok(object.read(offset + found as u64, missing)?)
            }
        }
    }

    /// A warning, if the file was read only because the user allowed links.
    pub(super) fn note(&self, path: &Path) -> Option<String> {
        let target = quoted(self.elsewhere.as_ref()?);
        Some(format!("{}: read from {target}, as `--follow-links` allows", quoted(path)))
    }
}

/// Opens `path`, which belongs to the checkpoint in the directory `root`.
pub(super) fn open(path: &Path, root: &Path, options: OpenOptions) -> Result<Opened, Problem> {
    let refuse = |message: String| Problem::new(ProblemKind::Checkpoint, message).at(path);
    let real = fs::canonicalize(path).map_err(|error| refuse(unreachable(path, &error)))?;
    let found = fs::symlink_metadata(&real).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if !found.is_file() {
        return Err(refuse(format!("expected a regular file, got {}", kind(found.file_type()))));
    }
    let home = fs::canonicalize(root).map_err(|error| {
        Problem::new(ProblemKind::Checkpoint, format!("cannot be read: {error}")).at(root)
    })?;
    let elsewhere = !belongs(&real, &home);
    if elsewhere && !options.follow_links {
        return Err(refuse(format!("is a link to {}, outside the checkpoint", quoted(&real)))
            .hint("if that file is meant, allow it with `--follow-links`"));
    }
    let file = open_input(&real).map_err(|error| refuse(format!("cannot be opened: {error}")))?;
    let opened = file.metadata().map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let identity = Identity::of(&opened);
    if !opened.is_file() || !identity.same_place(&Identity::of(&found)) {
        return Err(refuse("was replaced while it was being opened".into()));
    }
    Ok(Opened { bytes: Bytes::File(file), identity, elsewhere: elsewhere.then_some(real) })
}

/// Reads a side file of at most `cap` bytes under the same rules.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "options are passed as to `Checkpoint::open`")]
pub(crate) fn read_small(
    path: &Path,
    root: &Path,
    cap: u64,
    options: &OpenOptions,
) -> Result<Vec<u8>, Problem> {
    let mut opened = open(path, root, *options)?;
    read_capped(&mut opened, cap).map_err(|problem| problem.at(path))
}

/// Size of a side file that may be copied, under the same rules and without reading it.
pub(crate) fn small_file_size(
    path: &Path,
    root: &Path,
    cap: u64,
    options: OpenOptions,
) -> Result<u64, Problem> {
    let size = open(path, root, options)?.identity.size();
    if size > cap {
        let message = format!("expected at most {cap} bytes, got {size}");
        return Err(Problem::new(ProblemKind::Checkpoint, message).at(path));
    }
    Ok(size)
}

/// SHA-256 of a side file of any size, under the same rules.
pub(crate) fn sha256_of(path: &Path, root: &Path, options: OpenOptions) -> Result<Digest, Problem> {
    let Bytes::File(file) = open(path, root, options)?.bytes else { unreachable!("opened as a file") };
    Digest::sha256_of(file).map_err(|(offset, error)| {
        let message = format!("cannot be read at offset {offset}: {error}");
        Problem::new(ProblemKind::Checkpoint, message).at(path)
    })
}

/// The whole of a file that has at most `cap` bytes.
pub(super) fn read_capped(opened: &mut Opened, cap: u64) -> Result<Vec<u8>, Problem> {
    let size = opened.identity.size();
    if size > cap {
        return Err(Problem::new(
            ProblemKind::Checkpoint,
            format!("expected at most {cap} bytes, got {size}"),
        ));
    }
    let mut bytes = Vec::new();
    opened.read_exactly(0, size, &mut bytes)?;
    Ok(bytes)
}

fn read_exactly(file: &mut File, offset: u64, count: u64, bytes: &mut Vec<u8>) -> Result<(), Problem> {
    bytes.reserve_exact(count as usize);
    let read = file.take(count).read_to_end(bytes);
    let message = match read {
        Ok(got) if got as u64 == count => return Ok(()),
        Ok(got) => format!(
            "expected {count} bytes at offset {offset}, got {got}: the file was cut while it was read"
        ),
        Err(error) => format!("cannot be read at offset {offset}: {error}"),
    };
    Err(Problem::new(ProblemKind::Checkpoint, message))
}

/// Opens a shard again, for a look at some of its bytes, and makes sure that it is the file whose header was read,
/// unchanged.
pub fn reopen(shard: &Shard) -> Result<Source, Problem> {
    if let Identity::Object(object) = &shard.identity {
        return Ok(Source::Exact(Arc::clone(object)));
    }
    check_unchanged(shard)?;
    Ok(Source::open(&shard.path, &shard.identity, Some(Backend::Pread), Cache::Keep)?)
}

/// BLAKE3 of a stretch of a shard, which is opened again for it.
pub(crate) fn blake3_of(shard: &Shard, offset: u64, length: u64) -> crate::error::Result<Digest> {
    const BLOCK: u64 = 1 << 20;
    let source = reopen(shard)?;
    let mut hasher = blake3::Hasher::new();
    let mut block = Buffer::default();
    for at in (0..length).step_by(BLOCK as usize) {
        let now = BLOCK.min(length - at);
        hasher.update(source.read(offset + at, now as usize, &mut block)?);
        source.check()?;
    }
    Ok(hasher.finalize().into())
}

/// Compares a shard's path with the state in which its header was read.
pub(super) fn check_unchanged(shard: &Shard) -> Result<(), Problem> {
    let Identity::File(identity) = &shard.identity else { return Ok(()) }; // each answer is checked as it comes
    let refuse = |now: String| Err(changed(&shard.path, format!("changed since it was opened: {now}")));
    match fs::metadata(&shard.path) {
        Err(error) => refuse(error.to_string()),
        Ok(found) if !found.is_file() => refuse(format!("now {}", kind(found.file_type()))),
        Ok(found) => identity.check(&shard.path, &FileIdentity::of(&found)),
    }
}

/// Is the resolved file `real` a part of the checkpoint in the resolved directory `home`?
fn belongs(real: &Path, home: &Path) -> bool {
    if real.starts_with(home) {
        return true;
    }
    // Hugging Face cache: <repo>/snapshots/<rev>/... links to <repo>/blobs/<sha1 or sha256>, and that, where
    // repositories share their blobs, to <cache>/blobs/<two digits>/<hash>.
    let Some(blob) = real.file_name().and_then(|name| name.to_str()) else { return false };
    let hexadecimal = |name: &str| name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digest = matches!(blob.len(), 40 | 64) && hexadecimal(blob);
    let shared = |cache: &Path| {
        let drawer = real.parent().and_then(|drawer| Some((drawer.parent()?, drawer.file_name()?.to_str()?)));
        drawer
            .is_some_and(|(store, name)| store == cache.join("blobs") && name.len() == 2 && hexadecimal(name))
    };
    digest
        && home.ancestors().filter_map(Path::parent).any(|parent| {
            parent.file_name().is_some_and(|name| name == "snapshots")
                && parent.parent().is_some_and(|repo| {
                    real.parent() == Some(&repo.join("blobs")) || repo.parent().is_some_and(shared)
                })
        })
}

/// Why a path leads nowhere.
fn unreachable(path: &Path, error: &io::Error) -> String {
    match fs::read_link(path) {
        Ok(target) if error.kind() == io::ErrorKind::NotFound => {
            format!("is a link to {}, which does not exist", quoted(&target))
        }
        Ok(_) => format!("is a link that cannot be followed: {error}"),
        Err(_) => format!("cannot be read: {error}"),
    }
}

/// What a file is, in words.
pub(super) fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "something else"
    }
}
