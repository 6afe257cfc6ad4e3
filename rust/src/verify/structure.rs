//! Headers and index against the manifest: names, sizes, offsets, dtypes, shapes, and the very bytes that soce writes.

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::folder::{folder_of, within};
use crate::checkpoint::{Shard, TensorInfo, WeightSet, header, index, read_small, reopen};
use crate::error::Problem;
use crate::escape::shown;
use crate::io::Buffer;
use crate::json::{self, Reader};
use crate::manifest::{ReadManifest, TensorEntry};

use super::findings::{Check, Verification, named, problem};
use super::options::VerifyOptions;

/// Compare the shards that could be read with the manifest.
pub(super) fn check(
    directory: &Path,
    options: &VerifyOptions,
    manifest: &ReadManifest,
    shards: &[Shard],
    found: &mut Verification,
) {
    let mut problems = Vec::new();
    for entry in &manifest.result.shards {
        let Some(shard) = named(shards, &entry.name) else { continue };
        if shard.identity.size() != entry.size {
            let message = format!("expected {} bytes, got {}", entry.size, shard.identity.size());
            problems.push(problem(&shard.path, message));
        }
    }
    for shard in shards.iter().filter(|shard| manifest.shard(&shard.name).is_none()) {
        problems.push(problem(&shard.path, "is a shard that the manifest does not list"));
    }
    compare_tensors(manifest, shards, &mut problems);
    if problems.is_empty() {
        // Only now is there one header, and one index, that soce would have written.
        problems.extend(shards.iter().filter_map(|shard| check_header(shard).err()));
        if shards.len() == manifest.result.shards.len() {
            let indexes = manifest.result.files.iter().filter(|name| WeightSet::of_index(name).is_some());
            problems.extend(indexes.filter_map(|name| check_index(directory, options, name, shards)));
        }
    }
    found.add(Check::Structure, problems);
}

/// Every tensor where the manifest has it, and no other.
fn compare_tensors(manifest: &ReadManifest, shards: &[Shard], problems: &mut Vec<Problem>) {
    let tensors = &manifest.result.tensors;
    let mut there: BTreeMap<&str, (&Shard, &TensorInfo)> = BTreeMap::new();
    for shard in shards {
        for tensor in &shard.tensors {
            there.insert(&tensor.name, (shard, tensor));
            if !tensors.contains_key(&tensor.name) {
                let message = if manifest.result.left_out.contains_key(&tensor.name) {
                    "is here though the manifest says that it was left out"
                } else {
                    "is a tensor that the manifest does not list"
                };
                problems.push(problem(&shard.path, message).tensor(&tensor.name));
            }
        }
    }
    for (name, expected) in tensors {
        // A shard that could not be read has been reported, and says nothing of its tensors.
        let Some(shard) = named(shards, &expected.shard) else { continue };
        let differences = match there.get(name.as_str()) {
            None => vec!["is missing".to_owned()],
            Some((holder, _)) if holder.name != shard.name => {
                vec![format!("expected it here, got it in `{}`", shown(&holder.name))]
            }
            Some((_, got)) => differences(expected, got),
        };
        problems.extend(differences.into_iter().map(|text| problem(&shard.path, text).tensor(name)));
    }
}

fn differences(expected: &TensorEntry, got: &TensorInfo) -> Vec<String> {
    let mut differences = Vec::new();
    if expected.dtype != got.dtype {
        differences.push(format!("expected dtype {}, got {}", expected.dtype, got.dtype));
    }
    if expected.shape != got.shape {
        differences.push(format!("expected shape {:?}, got {:?}", expected.shape, got.shape));
    }
    if (expected.offset, expected.length) != (got.offset, got.length) {
        differences.push(format!(
            "expected {} bytes at offset {}, got {} at {}",
            expected.length, expected.offset, got.length, got.offset
        ));
    }
    differences
}

/// A header has no digest of its own, but soce has one way only to write it.
fn check_header(shard: &Shard) -> Result<(), Problem> {
    let source = reopen(shard)?;
    let mut buffer = Buffer::default();
    let field = source.read(0, header::LENGTH_BYTES as usize, &mut buffer)?;
    let length = field.first_chunk().copied().map_or(0, u64::from_le_bytes);
    let length = length.min(header::MAX_HEADER_BYTES).min(shard.identity.size());
    let got = source.read(0, (header::LENGTH_BYTES + length) as usize, &mut buffer)?;
    let text = got.get(header::LENGTH_BYTES as usize..).unwrap_or_default();
    // Tensors without bytes may stand in any order beside each other: the order is the text's.
    let names =
        names(text).map_err(|what| problem(&shard.path, format!("changed while it was read: {what}")))?;
    let folder = shard.folder();
    let by_name: BTreeMap<&str, &TensorInfo> =
        shard.tensors.iter().map(|t| (within(folder, &t.name), t)).collect();
    let tensors = names.iter().filter_map(|name| by_name.get_key_value(name.as_str()));
    let expected = header::write(tensors.map(|(name, t)| (*name, t.dtype, t.shape.as_slice(), t.length)));
    match first_difference(&expected, got) {
        None => Ok(()),
        Some(at) => Err(problem(
            &shard.path,
            format!("its header means the same but is not written as soce writes it, first at byte {at}"),
        )),
    }
}

/// The index is as soce writes it for these shards, byte for byte.
fn check_index(directory: &Path, options: &VerifyOptions, name: &str, shards: &[Shard]) -> Option<Problem> {
    let folder = folder_of(name);
    let path = directory.join(name);
    // A missing index is reported with the other files, an unreadable one with the shards.
    let got = read_small(&path, directory, index::MAX_INDEX_BYTES, &options.open()).ok()?;
    let here = || shards.iter().filter(|shard| shard.folder() == folder);
    let tensors = || here().flat_map(|shard| shard.tensors.iter().map(move |t| (shard, t)));
    let total_size = tensors().map(|(_, t)| t.length).fold(0, u64::saturating_add);
    let elements = |t: &TensorInfo| t.shape.iter().fold(1, |n: u64, &d| n.saturating_mul(d));
    let total_parameters = tensors().map(|(_, t)| elements(t)).fold(0, u64::saturating_add);
    let entries = tensors().map(|(shard, t)| (within(folder, &t.name), within(folder, &shard.name)));
    let expected = index::write(entries, total_size, total_parameters);
    let at = first_difference(&expected, &got)?;
    let claimed = index::parse(&got).ok().and_then(|index| index.total_size);
    Some(match claimed.filter(|claimed| *claimed != total_size) {
        Some(claimed) => problem(&path, format!("expected total_size {total_size}, got {claimed}")),
        None => {
            problem(&path, format!("is not written as soce writes it for these shards, first at byte {at}"))
        }
    })
}

fn first_difference(expected: &[u8], got: &[u8]) -> Option<usize> {
    let common = expected.iter().zip(got).position(|(a, b)| a != b);
    common.or_else(|| (expected.len() != got.len()).then(|| expected.len().min(got.len())))
}

/// The names of tensors in the order of the text of a header.
fn names(text: &[u8]) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut reader = Reader::new(json::checked(text)?, usize::MAX);
    let read = reader.object("an object", |reader, name| {
        names.push(name.into_owned());
        reader.skip()
    });
    read.map(|()| names).map_err(|fault| fault.what)
}
