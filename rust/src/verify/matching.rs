//! Which of the checkpoints given is which ingredient of the manifest: by what they hold where the manifest says so,
//! else by their headers, else by order.

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint::{Checkpoint, OpenOptions, Shard, blake3_of};
use crate::digest::Digest;
use crate::error::{Problem, Result};
use crate::manifest::{Content, How, ReadManifest};
use crate::plan::{Derived, TensorSource, derived_of};

use super::digests;
use super::findings::{Check, Verification, problem};
use super::pieces::Reading;
use super::scan::{ScannedTensor, Wanted, scan};

/// For every checkpoint the number of its source, if it has one. Each source is given away once.
pub(super) fn by_headers(manifest: &ReadManifest, checkpoints: &[Checkpoint]) -> Vec<Option<usize>> {
    let used = |source: &usize| manifest.sources[*source].parts.iter().any(|&part| part != 0);
    let sources: Vec<usize> = (0..manifest.sources.len()).filter(used).collect();
    let equal: Vec<Vec<usize>> = checkpoints
        .iter()
        .map(|checkpoint| {
            let same = |&position: &usize| same_headers(manifest, sources[position], checkpoint);
            (0..sources.len()).filter(same).collect()
        })
        .collect();
    // Fine-tunes of one base have equal headers: then the order decides, and it is the one of the merge.
    let mut taken = vec![false; sources.len()];
    let mut places: Vec<Option<usize>> = equal
        .iter()
        .map(|equal| {
            let place = *equal.iter().find(|place| !taken[**place])?;
            taken[place] = true;
            Some(place)
        })
        .collect();
    let mut rest = (0..sources.len()).filter(|place| !taken[*place]).collect::<Vec<_>>().into_iter();
    for place in places.iter_mut().filter(|place| place.is_none()) {
        *place = rest.next();
    }
    places.into_iter().map(|place| place.map(|place| sources[place])).collect()
}

fn same_headers(manifest: &ReadManifest, source: usize, checkpoint: &Checkpoint) -> bool {
    let recorded = &manifest.sources[source].shards;
    recorded.len() == checkpoint.files().count()
        && recorded.iter().zip(checkpoint.files()).all(|(a, b)| a.header_sha256 == b.header_sha256)
}

/// For every checkpoint the number of its column in the recipe, by the digest of its content; all of their bytes are
/// read. What matches no column is a finding.
///
/// # Errors
/// Cancellation only.
pub(super) fn by_content(
    manifest: &ReadManifest,
    contents: &[Digest],
    checkpoints: &[Checkpoint],
    reading: &Reading<'_>,
    (open, found): (OpenOptions, &mut Verification),
) -> Result<Vec<Option<usize>>> {
    let columns = manifest.columns();
    let mut equal = Vec::with_capacity(checkpoints.len());
    for checkpoint in checkpoints {
        let shards: Vec<&Shard> = checkpoint.shards.iter().collect();
        let mut scanned = Vec::with_capacity(shards.len());
        for result in scan(&shards, DIGESTS, reading)? {
            match result {
                Ok(result) => scanned.push(result.tensors),
                Err(error) => found.add(Check::Recompute, digests::unreadable(error)),
            }
        }
        let complete = scanned.len() == shards.len();
        let known = match Known::new(checkpoint, scanned, open) {
            Ok(known) => Some(known).filter(|_| complete),
            Err(error) => {
                found.add(Check::Recompute, digests::unreadable(error));
                None
            }
        };
        let matches = |&column: &usize| {
            let (expected, parts) = (contents.get(column), columns.get(column));
            let Some(((known, expected), parts)) = known.as_ref().zip(expected).zip(parts) else {
                return false;
            };
            *expected == known.content(manifest, parts)
        };
        equal.push((0..columns.len()).filter(matches).collect::<Vec<usize>>());
    }
    let assigned = assign(&equal, columns.len());
    found.count("ingredient_contents", assigned.iter().flatten().count());
    Ok(assigned)
}

const DIGESTS: Wanted = Wanted { tensors: true, files: false, non_finite: false };

/// A checkpoint as an ingredient, and digests of all that lies in its files.
struct Known<'a> {
    checkpoint: &'a Checkpoint,
    derived: Derived,
    /// Of its shards.
    scanned: Vec<Vec<ScannedTensor>>,
    /// Of its adapter, by offset.
    adapter: BTreeMap<u64, Digest>,
}

impl<'a> Known<'a> {
    fn new(checkpoint: &'a Checkpoint, scanned: Vec<Vec<ScannedTensor>>, open: OpenOptions) -> Result<Self> {
        let mut adapter = BTreeMap::new();
        if let Some(found) = &checkpoint.adapter {
            for tensor in &found.file.tensors {
                adapter.insert(tensor.offset, blake3_of(&found.file, tensor.offset, tensor.length)?);
            }
        }
        Ok(Self { checkpoint, derived: derived_of(checkpoint, open), scanned, adapter })
    }

    /// The digest of the tensor called `name` in file number `shard`, where it lies at `offset`.
    fn digest(&self, name: &str, shard: usize, offset: u64) -> Option<Digest> {
        if shard == self.checkpoint.shards.len() {
            return self.adapter.get(&offset).copied();
        }
        let location = self.checkpoint.tensors.get(name)?;
        self.scanned.get(location.shard)?.get(location.tensor)?.blake3
    }

    /// What it gave to the soup if it has these parts in it.
    fn content(&self, manifest: &ReadManifest, parts: &[i64]) -> Digest {
        let mut content = Content::new();
        for (name, entry) in &manifest.result.tensors {
            let takes_part = entry.how == How::Copied
                || manifest.row(name).is_some_and(|row| parts.get(row).is_some_and(|&part| part != 0));
            let Some(info) = self.checkpoint.tensor(name).filter(|_| takes_part) else { continue };
            let Some(source) = TensorSource::of(self.checkpoint, &self.derived, name) else { continue };
            if let Some(digest) = self.digest(name, source.shard, source.offset) {
                content.add(name, source.dtype, &info.shape, digest);
            }
            for part in source.parts() {
                if let Some(digest) = self.digest(part.name, part.shard, part.offset) {
                    content.add(part.name, part.dtype, &[part.elements], digest);
                }
            }
            if let Some(update) = &source.update {
                content.add_scale(update.scale, update.transposed);
            }
        }
        content.finish()
    }
}

/// A largest matching: `equal[i]` are the columns that checkpoint `i` could be.
fn assign(equal: &[Vec<usize>], columns: usize) -> Vec<Option<usize>> {
    /// Finds a column for `checkpoint`, moving others aside if they can go elsewhere.
    fn place(
        checkpoint: usize,
        equal: &[Vec<usize>],
        holder: &mut [Option<usize>],
        seen: &mut [bool],
    ) -> bool {
        for &column in &equal[checkpoint] {
            if std::mem::replace(&mut seen[column], true) {
                continue;
            }
            if holder[column].is_none_or(|other| place(other, equal, holder, seen)) {
                holder[column] = Some(checkpoint);
                return true;
            }
        }
        false
    }
    let mut holder = vec![None; columns];
    for checkpoint in 0..equal.len() {
        place(checkpoint, equal, &mut holder, &mut vec![false; columns]);
    }
    let mut assigned = vec![None; equal.len()];
    for (column, checkpoint) in holder.into_iter().enumerate() {
        if let Some(checkpoint) = checkpoint {
            assigned[checkpoint] = Some(column);
        }
    }
    assigned
}

/// A checkpoint that is no ingredient by its content.
pub(super) fn stranger(root: &Path) -> Problem {
    problem(root, "holds other tensors than any ingredient of this soup")
        .hint("give the checkpoints that were merged, in their state of then")
}

#[cfg(test)]
mod tests {
    use super::assign;

    #[test]
    fn a_checkpoint_that_fits_two_columns_makes_room_for_one_that_fits_one() {
        assert_eq!(assign(&[vec![0, 1], vec![0]], 2), [Some(1), Some(0)]);
        assert_eq!(assign(&[vec![0, 1], vec![0, 1]], 2), [Some(1), Some(0)]);
        assert_eq!(assign(&[vec![], vec![0]], 2), [None, Some(0)]);
        assert_eq!(assign(&[vec![0], vec![0]], 1), [Some(0), None]);
    }
}
