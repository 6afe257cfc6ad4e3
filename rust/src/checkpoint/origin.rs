//! Where a checkpoint came from, as far as the directory it lies in tells without reading any data.
//!
//! Two layouts of `huggingface_hub` do. In its cache `models--org--name/snapshots/<revision>/x.safetensors` links to
//! `../../blobs/<name>`, where the name of a large file is its SHA-256 (64 hex digits) and that of a small one its git
//! SHA-1 (40 digits, no digest that anybody else computes). A download into a plain directory keeps a record of three
//! lines beside it, `.cache/huggingface/download/x.safetensors.metadata`: revision, the same name, Unix time.
//!
//! What is found is a claim of whoever made the directory: it is recorded with its source and trusted for nothing.
//! Whatever does not look exactly as `huggingface_hub` writes it is no claim at all, and never an error.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::open::{OpenOptions, read_small};
use super::shard::Shard;
use crate::digest::Digest;
use crate::io::Identity;

/// Longest record: two hex names and a number are a third of it.
const MAX_RECORD_BYTES: u64 = 512;
/// Where a download into a plain directory keeps its records.
const RECORDS: &str = ".cache/huggingface/download";
/// A file may be that much younger than its record, for times of files are coarse: `huggingface_hub`'s own figure.
const COARSE_NS: i128 = 1_000_000_000;
const SHA1_DIGITS: usize = 40;
const SHA256_DIGITS: usize = 64;

/// What is known of a checkpoint's origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Repository and revision, if every shard is said to come from the same one.
    pub hub: Option<Hub>,
    /// For each shard its SHA-256, if that is known without computing it.
    pub sha256: Vec<Option<Claim>>,
}

/// A revision of a repository on the Hugging Face Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// `org/name`, or `name` alone; a download into a plain directory does not record it.
    pub id: Option<String>,
    /// Commit, 40 hex digits.
    pub revision: String,
}

/// A digest that somebody else computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What they say it is.
    pub sha256: Digest,
    /// Who says so.
    pub source: ClaimSource,
}

/// Who says what a file's SHA-256 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimSource {
    /// The name of a blob in the Hugging Face cache.
    #[serde(rename = "hf-blob-name")]
    BlobName,
    /// The record of a download into a plain directory.
    #[serde(rename = "hf-metadata")]
    Metadata,
}

/// What one shard says.
struct Found {
    revision: String,
    sha256: Option<Claim>,
}

/// The origin of `shards`, which lie in the directory `root`.
pub(super) fn find(root: &Path, shards: &[Shard]) -> Origin {
    let Ok(home) = fs::canonicalize(root) else { return Origin::default() };
    if let Some((repository, id, revision)) = snapshot(&home) {
        let blobs = repository.join("blobs");
        let found = |shard: &Shard| {
            // What is read from the Hub is of the revision that it was looked up for.
            let remote = shard.identity.object().is_some();
            let sha256 = if remote { None } else { blob(&home, &blobs, shard)? };
            Some(Found { revision: revision.clone(), sha256 })
        };
        return agree(Some(id), shards.iter().map(found).collect());
    }
    // One look spares plain directories one look per shard.
    let records = home.join(RECORDS);
    if fs::canonicalize(&records).is_ok_and(|real| real == records) {
        return agree(None, shards.iter().map(|shard| record(&home, &records, shard)).collect());
    }
    Origin::default()
}

/// A revision counts only if all shards come from it: one that was replaced makes another model.
fn agree(id: Option<String>, found: Vec<Option<Found>>) -> Origin {
    let revision = match found.first() {
        Some(Some(first)) => Some(first.revision.clone()),
        _ => None,
    };
    let revision = revision.filter(|revision| {
        found.iter().all(|found| found.as_ref().is_some_and(|found| found.revision == *revision))
    });
    Origin {
        hub: revision.map(|revision| Hub { id, revision }),
        sha256: found.into_iter().map(|found| found?.sha256).collect(),
    }
}

/// Repository folder, id and revision, if `home` is a snapshot in the cache or lies in one.
pub(super) fn snapshot(home: &Path) -> Option<(&Path, String, String)> {
    home.ancestors().find_map(|snapshot| {
        let snapshots = snapshot.parent().filter(|parent| parent.ends_with("snapshots"))?;
        let repository = snapshots.parent()?;
        let id = hub_id(repository.file_name()?.to_str()?)?;
        let revision = snapshot.file_name()?.to_str().filter(|name| is_hex(name, SHA1_DIGITS))?;
        Some((repository, id, revision.to_owned()))
    })
}

/// `models--org--name` as `org/name`, by the rules that `huggingface_hub` has for names.
fn hub_id(folder: &str) -> Option<String> {
    let parts: Vec<&str> = folder.strip_prefix("models--")?.split("--").collect();
    let git = parts.last().is_some_and(|name| name.strip_suffix(".git").is_some());
    let valid = parts.iter().all(|part| is_hub_name(part));
    (matches!(parts.len(), 1 | 2) && valid && !git).then(|| parts.join("/"))
}

/// Whether the Hub may have an owner or a model of that name.
pub(super) fn is_hub_name(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = part.as_bytes();
    bytes.len() <= 96
        && bytes.first().is_some_and(|&byte| word(byte))
        && bytes.last().is_some_and(|&byte| word(byte))
        && bytes.iter().all(|&byte| word(byte) || byte == b'-' || byte == b'.')
        && !part.contains("..")
}

/// What the blob's name says, if the shard is a link to a blob of this repository. The blob may itself be a link, into
/// a store shared by all repositories: there names are other hashes, so only the first link counts.
#[allow(clippy::option_option, reason = "no blob, or a blob whose name is no SHA-256")]
fn blob(home: &Path, blobs: &Path, shard: &Shard) -> Option<Option<Claim>> {
    let link = home.join(&shard.name);
    let target = resolve(link.parent()?, &fs::read_link(&link).ok()?)?;
    if target.parent() != Some(blobs) {
        return None;
    }
    let name = target.file_name()?.to_str()?;
    let is_same = Identity::of(&fs::metadata(&target).ok()?) == shard.identity;
    (is_same && is_blob_name(name)).then(|| claim(name, ClaimSource::BlobName))
}

/// Where a link in `folder` points, by text alone: what lies on the way is not followed.
fn resolve(folder: &Path, link: &Path) -> Option<PathBuf> {
    let mut target = folder.to_owned();
    for component in link.components() {
        match component {
            Component::ParentDir => {
                target.pop().then_some(())?;
            }
            Component::CurDir => {}
            other => target.push(other),
        }
    }
    Some(target)
}

/// What the record of a download says, if the shard is still the file that was downloaded.
fn record(home: &Path, records: &Path, shard: &Shard) -> Option<Found> {
    let path = records.join(format!("{}.metadata", shard.name));
    let file = home.join(&shard.name);
    if [&path, &file].iter().any(|path| !fs::canonicalize(path).is_ok_and(|real| real == **path)) {
        return None;
    }
    let text = read_small(&path, home, MAX_RECORD_BYTES, &OpenOptions::default()).ok()?;
    parse(std::str::from_utf8(&text).ok()?, shard.identity.file()?.mtime_ns)
}

/// A record that is not older than the last change of its file.
fn parse(text: &str, mtime_ns: i128) -> Option<Found> {
    let mut lines = text.lines();
    let (revision, name, time) = (lines.next()?, lines.next()?, lines.next()?);
    let valid = lines.next().is_none() && is_hex(revision, SHA1_DIGITS) && is_blob_name(name);
    let current = mtime_ns - COARSE_NS <= nanoseconds(time)?;
    (valid && current)
        .then(|| Found { revision: revision.to_owned(), sha256: claim(name, ClaimSource::Metadata) })
}

/// Seconds as Python prints a float, in nanoseconds.
fn nanoseconds(text: &str) -> Option<i128> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let fraction: i128 = format!("{fraction:0<9.9}").parse().ok()?;
    Some(seconds.parse::<i128>().ok()? * 1_000_000_000 + fraction)
}

fn claim(name: &str, source: ClaimSource) -> Option<Claim> {
    name.parse().ok().map(|sha256| Claim { sha256, source })
}

fn is_blob_name(name: &str) -> bool {
    is_hex(name, SHA1_DIGITS) || is_hex(name, SHA256_DIGITS)
}

/// Hex digits in lower case, as `huggingface_hub` asks for.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
