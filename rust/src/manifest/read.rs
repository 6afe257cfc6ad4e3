//! A manifest as it is looked into: the document, and what is asked of it often.

use std::collections::BTreeMap;

use super::digests::Digests;
use super::document::{Manifest, Outcome, RowEntry, RunEntry, ShardEntry, SourceEntry};
use crate::checkpoint::folder::MAX_DEPTH;
use crate::checkpoint::index;
use crate::digest::Digest;
use crate::glob;
use crate::mix::Mixture;

/// Most folders before a name: those of a part, and one that the part has.
const MOST_FOLDERS: usize = MAX_DEPTH + 1;
/// Pairs of row and tensor that are compared at most.
const MAX_MATCHES: usize = 1 << 28;

/// A manifest with all that is looked up in it.
#[derive(Debug)]
pub(crate) struct ReadManifest {
    pub(crate) result: Outcome,
    pub(crate) result_digest: Digest,
    pub(crate) sources: Vec<SourceEntry>,
    pub(crate) run: RunEntry,
    /// `result_digest` is that of `result`.
    pub(crate) result_is_right: bool,
    /// What each row of the recipe says, or why it makes no sense.
    pub(crate) mixtures: Vec<Result<Mixture, String>>,
    /// Which row of the recipe makes a tensor, by name.
    rows: BTreeMap<String, usize>,
    /// Places in `result.shards` by name.
    shards: BTreeMap<String, usize>,
}

impl ReadManifest {
    pub(super) fn new(manifest: Manifest) -> Result<Self, String> {
        let Manifest { result, result_digest, sources, run, .. } = manifest;
        let patterns = &result.recipe.rows;
        if patterns.len().saturating_mul(result.tensors.len()) > MAX_MATCHES {
            let (rows, tensors) = (patterns.len(), result.tensors.len());
            return Err(format!("has {rows} rows for {tensors} tensors, more than {MAX_MATCHES} pairs"));
        }
        let row = |name: &String| {
            let row = patterns.iter().position(|row| glob::matches(&row.pattern, name))?;
            Some((name.clone(), row))
        };
        let rows = result.tensors.keys().filter_map(row).collect();
        let shards = result.shards.iter().enumerate();
        let shards = shards.map(|(place, shard)| (shard.name.clone(), place)).collect();
        let mixtures = patterns.iter().map(RowEntry::mixture).collect();
        Ok(Self { result, result_digest, sources, run, result_is_right: false, mixtures, rows, shards })
    }

    /// The level that its digests have, whatever `run` says.
    pub(crate) fn level(&self) -> Digests {
        if self.result.tensors.values().all(|tensor| tensor.blake3.is_none()) {
            Digests::None
        } else if self.result.shards.iter().all(|shard| shard.sha256.is_some())
            && self.result.ingredients.is_some()
        {
            Digests::Full
        } else {
            Digests::Tensors
        }
    }

    /// The parts of each ingredient that has any, one per row.
    pub(crate) fn columns(&self) -> Vec<Vec<i64>> {
        let rows = &self.result.recipe.rows;
        let count = rows.iter().map(|row| row.parts.len()).min().unwrap_or(0);
        (0..count).map(|i| rows.iter().filter_map(|row| row.parts.get(i).copied()).collect()).collect()
    }

    /// The column of a source: the one that it says, or the first with its parts of those that are not yet `known`.
    pub(crate) fn column(&self, source: usize, known: &[usize]) -> Option<usize> {
        let columns = self.columns();
        let SourceEntry { parts, column, .. } = &self.sources[source];
        let mut fits = (0..columns.len()).filter(|place| columns[*place] == *parts && !known.contains(place));
        fits.find(|&place| column.is_none_or(|column| column == place as u64))
    }

    /// A shard by name.
    pub(crate) fn shard(&self, name: &str) -> Option<&ShardEntry> {
        self.result.shards.get(*self.shards.get(name)?)
    }

    /// The column of the recipe that alone gives a tensor, by the row that makes it.
    pub(crate) fn giver(&self, tensor: &str) -> Option<usize> {
        self.mixtures[self.row(tensor)?].as_ref().ok()?.sole()
    }

    /// The row of the recipe that makes a tensor, if one does.
    pub(crate) fn row(&self, tensor: &str) -> Option<usize> {
        self.rows.get(tensor).copied()
    }
}

/// Whether a listed name is a file of the soup by its text alone.
pub(crate) fn stays_inside(name: &str) -> bool {
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..") && !name.contains('\0') && name.len() <= index::MAX_FILE_NAME_BYTES
    };
    name.split('/').all(is_name) && name.split('/').count() <= MOST_FOLDERS + 1
}

#[cfg(test)]
mod tests {
    use super::stays_inside;

    #[test]
    fn names_that_leave_the_directory_are_known_by_their_text() {
        for name in [
            "config.json",
            "additional_chat_templates/a.jinja",
            "a/b/c/d/e/f",
            "..json",
            "a b",
            "\u{1b}.json",
        ] {
            assert!(stays_inside(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../x",
            "a/b/c/d/e/f/g",
            "a//b",
            "a/../../b",
            "additional_chat_templates/../x",
            "additional_chat_templates/",
            "x\0y",
        ] {
            assert!(!stays_inside(name), "{name:?}");
        }
        assert!(!stays_inside(&"x".repeat(256)));
    }
}
