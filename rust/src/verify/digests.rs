//! Bytes against the manifest's digests, and values that are not finite against its counts.

use crate::checkpoint::{Shard, TensorInfo};
use crate::digest::Digest;
use crate::dtype::DtypeClass;
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::kernels::NonFinite;
use crate::manifest::{Digests, NonFiniteEntry, ReadManifest};

use super::findings::{Check, Verification, problem};
use super::pieces::Reading;
use super::scan::{Scanned, Wanted, scan};

/// Bytes that [`check`] reads.
pub(super) fn bytes(shards: &[Shard], manifest: Option<&ReadManifest>) -> u64 {
    let wanted = wanted(manifest);
    let data = |shard: &Shard| shard.tensors.iter().map(|tensor| tensor.length).sum::<u64>();
    shards.iter().map(|shard| if wanted.files { shard.identity.size() } else { data(shard) }).sum()
}

fn wanted(manifest: Option<&ReadManifest>) -> Wanted {
    let files = |manifest: &ReadManifest| manifest.result.shards.iter().any(|shard| shard.sha256.is_some());
    Wanted {
        tensors: manifest.is_some_and(|manifest| manifest.level() != Digests::None),
        files: manifest.is_some_and(files),
        non_finite: true,
    }
}

/// Read all `shards` and compare them with the manifest, if there is one.
///
/// # Errors
/// Cancellation only.
pub(super) fn check(
    shards: &[Shard],
    manifest: Option<&ReadManifest>,
    reading: &Reading<'_>,
    found: &mut Verification,
) -> Result<()> {
    let all: Vec<&Shard> = shards.iter().collect();
    let (mut tensors, mut files, mut counted) = (0, 0, 0);
    for (shard, scanned) in shards.iter().zip(scan(&all, wanted(manifest), reading)?) {
        let scanned = match scanned {
            Ok(scanned) => scanned,
            Err(error) => {
                found.add(Check::Data, unreadable(error));
                continue;
            }
        };
        if let Some(manifest) = manifest {
            compare(shard, &scanned, manifest, found);
        }
        files += usize::from(scanned.sha256.is_some());
        for (info, scanned) in shard.tensors.iter().zip(&scanned.tensors) {
            tensors += usize::from(scanned.blake3.is_some());
            counted += usize::from(info.dtype.class() == DtypeClass::Float);
            let entry = manifest.and_then(|manifest| manifest.result.tensors.get(&info.name));
            let expected = entry.and_then(|entry| entry.non_finite.as_ref());
            let finding = wrong_counts(info, &scanned.non_finite, expected, manifest.is_some());
            found.add(Check::NonFinite, finding.map(|text| problem(&shard.path, text).tensor(&info.name)));
        }
    }
    for (what, number) in [("tensor_digests", tensors), ("shard_digests", files), ("non_finite", counted)] {
        if number > 0 {
            found.count(what, number);
        }
    }
    Ok(())
}

fn compare(shard: &Shard, scanned: &Scanned, manifest: &ReadManifest, found: &mut Verification) {
    let mut problems = Vec::new();
    for (info, scanned) in shard.tensors.iter().zip(&scanned.tensors) {
        let expected = manifest.result.tensors.get(&info.name).and_then(|entry| entry.blake3);
        problems.extend(
            differs(shard, "BLAKE3", expected, scanned.blake3).map(|problem| problem.tensor(&info.name)),
        );
    }
    let expected = manifest.shard(&shard.name).and_then(|entry| entry.sha256);
    problems.extend(differs(shard, "SHA-256", expected, scanned.sha256));
    found.add(Check::Data, problems);
}

/// A problem if both digests are known and differ.
fn differs(shard: &Shard, what: &str, expected: Option<Digest>, got: Option<Digest>) -> Option<Problem> {
    let (expected, got) = (expected?, got?);
    (expected != got).then(|| problem(&shard.path, format!("expected {what} {expected}, got {got}")))
}

/// What is wrong with the number of values that are not finite. From the result alone it is known only between bounds
/// where several ingredients had such values: they may or may not have met in one element.
fn wrong_counts(
    info: &TensorInfo,
    got: &NonFinite,
    expected: Option<&NonFiniteEntry>,
    has_manifest: bool,
) -> Option<String> {
    let total = got.total();
    let (least, most) = match expected {
        None => (0, 0),
        Some(entry) => {
            let each = || {
                entry
                    .ingredients
                    .iter()
                    .map(|counts| counts.iter().fold(0, |sum: u64, &n| sum.saturating_add(n)))
            };
            let (largest, sum) = (each().max().unwrap_or(0), each().fold(0, u64::saturating_add));
            (largest.saturating_add(entry.created), sum.saturating_add(entry.created))
        }
    };
    if info.dtype.class() != DtypeClass::Float || (least..=most).contains(&total) {
        return None;
    }
    let NonFinite { nan, positive, negative, first } = got;
    let elements = info.shape.iter().fold(1, |n: u64, &d| n.saturating_mul(d));
    let expected = match (has_manifest, least == most) {
        (false, _) => String::new(),
        (true, true) => format!(", expected {least}"),
        (true, false) => format!(", expected {least} to {most}"),
    };
    let place = first.map_or_else(String::new, |first| format!(", the first at element {first}"));
    Some(format!(
        "{total} of {elements} values are not finite{expected} ({nan} NaN, {positive} +inf, {negative} -inf){place}"
    ))
}

/// Why a file could not be read, as findings.
pub(super) fn unreadable(error: Error) -> Vec<Problem> {
    match error {
        Error::Refused(problems) => problems,
        Error::Io { path, what, source } => vec![problem(&path, format!("{what}: {source}"))],
        Error::Unfinished { source, .. } => unreadable(*source),
        error @ Error::Thread(_) => vec![Problem::new(ProblemKind::Checkpoint, error.to_string())],
        Error::Cancelled => Vec::new(),
    }
}
