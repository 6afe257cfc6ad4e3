//! What one soup is made of and how it is cut, as canonical JSON: `plan.json` of a run. Two runs with the same
//! fingerprint write the same bytes, so the second may go on where the first was stopped.
//!
//! Not in it: paths, devices and inodes, threads, chunk size, backend, kernel set, cache and what non-finite values
//! do. None of them changes a byte.

use std::path::Path;

use serde_json::{Value, json};

use super::manifest::{self, NUMERICS, RECIPE_FILE};
use super::state;
use crate::digest::Digest;
use crate::error::Result;
use crate::escape::shown;
use crate::merge::Digests;
use crate::plan::{Plan, SideContent};

/// Longest plan read: names and headers are in it as digests, so no real one comes near.
const MOST_BYTES: u64 = 256 << 20;

/// A plan as its run's state directory keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    value: Value,
    text: String,
    digest: String,
}

impl Fingerprint {
    /// The fingerprint of the soup number `recipe` of `plan`. Reads the donor's side files.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if a side file cannot be read.
    pub fn of(plan: &Plan, recipe: usize, digests: Digests, differences: bool) -> Result<Self> {
        let rows = plan.request.recipes[recipe].rows.iter().map(
            |row| json!({"pattern": row.pattern, "parts": row.mix.numerators(), "whole": row.mix.whole()}),
        );
        let shard = |shard: &crate::checkpoint::Shard| {
            json!({
                "name": shard.name,
                "size": shard.identity.size,
                "mtime_ns": shard.identity.mtime_ns as i64,
                "header_sha256": shard.header_sha256,
            })
        };
        let ingredients =
            plan.checkpoints.iter().map(|found| found.shards.iter().map(shard).collect::<Vec<_>>());
        let shards = plan.shards.iter().map(
            |shard| json!({"name": shard.name, "size": shard.size, "header": Digest::of(&shard.header)}),
        );
        let mut side_files = serde_json::Map::new();
        for side in &plan.side_files {
            side_files.insert(side.name.clone(), json!(Digest::sha256(&side.content.read()?)));
        }
        let index = plan.index.as_ref().map(|_| plan.index_name.clone());
        let mut files: Vec<String> = plan.shards.iter().map(|shard| shard.name.clone()).collect();
        files.extend(plan.side_files.iter().map(|side| side.name.clone()));
        files.extend(index);
        files.extend([RECIPE_FILE.to_owned(), manifest::FILE_NAME.to_owned()]);
        files.sort();
        files.dedup();
        Ok(Self::of_value(json!({
            "soce": env!("CARGO_PKG_VERSION"),
            "numerics": NUMERICS,
            "recipe": rows.collect::<Vec<_>>(),
            "ingredients": ingredients.collect::<Vec<_>>(),
            "tied": plan.tied.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "shards": shards.collect::<Vec<_>>(),
            "side_files": side_files,
            "digests": digests.name(),
            "differences": differences,
            "files": files,
        })))
    }

    /// The fingerprint of anything that has a list `files` of the names that a run may write.
    pub fn of_value(value: Value) -> Self {
        let text = manifest::canonical(&value);
        let digest = Digest::of(text.as_bytes()).to_string();
        Self { value, text, digest }
    }

    /// Its digest, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The canonical text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The one kept in a state directory, if it can be read and is whole.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let Some(bytes) = state::read_if_there(path, MOST_BYTES)? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes).ok();
        Ok(value.map(Self::of_value).filter(|found| found.text.as_bytes() == bytes))
    }

    /// Whether its run writes a file of this name, relative to the output.
    pub(super) fn writes(&self, name: &str) -> bool {
        let files = self.value.get("files").and_then(Value::as_array);
        files.is_some_and(|files| files.iter().any(|file| file.as_str() == Some(name)))
    }

    /// SHA-256 of a side file, in hexadecimal.
    pub(super) fn side_file(&self, name: &str) -> Option<&str> {
        self.value.get("side_files")?.get(name)?.as_str()
    }

    /// In words, the first thing in which `now` differs.
    pub(super) fn first_difference(&self, now: &Self) -> Option<String> {
        difference("", &self.value, &now.value)
    }
}

impl SideContent {
    /// The bytes to be written.
    pub(crate) fn read(&self) -> Result<std::borrow::Cow<'_, [u8]>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.into()),
            Self::CopyOf(path, _) => std::fs::read(path)
                .map(Into::into)
                .map_err(|error| crate::Error::io(path, "cannot read", error)),
        }
    }
}

fn difference(place: &str, before: &Value, now: &Value) -> Option<String> {
    match (before, now) {
        (Value::Object(a), Value::Object(b)) => {
            // What the user chose comes before what follows from it.
            let first = [
                "soce",
                "numerics",
                "recipe",
                "ingredients",
                "side_files",
                "digests",
                "differences",
                "shards",
            ];
            let rest = a.keys().chain(b.keys()).map(String::as_str).filter(|key| !first.contains(key));
            first.into_iter().chain(rest).find_map(|key| {
                let inner = if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
                difference(&inner, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            if a.iter().chain(b).all(|value| !value.is_object() && !value.is_array()) && a != b {
                return Some(format!("`{}` was {before}, is {now}", shown(place)));
            }
            (a.iter().zip(b).enumerate()).find_map(|(i, (a, b))| difference(&format!("{place}[{i}]"), a, b))
        }
        (Value::Array(a), Value::Array(b)) => {
            Some(format!("`{}` had {} entries, has {}", shown(place), a.len(), b.len()))
        }
        (before, now) if before == now => None,
        (before, now) => {
            let [before, now] = [before, now].map(|value| shown(&value.to_string()));
            Some(format!("`{}` was {before}, is {now}", shown(place)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_what_the_user_chose() {
        let value = |parts: [i64; 2], size: u64| json!({"shards": [{"size": size}], "recipe": [{"parts": parts, "whole": 3}], "files": ["a"]});
        let [old, new] = [value([1, 2], 5), value([2, 1], 6)].map(Fingerprint::of_value);
        assert_ne!(old.digest(), new.digest());
        assert_eq!(old.first_difference(&new).unwrap(), "`recipe[0].parts` was [1,2], is [2,1]");
        let new = Fingerprint::of_value(value([1, 2], 6));
        assert_eq!(old.first_difference(&new).unwrap(), "`shards[0].size` was 5, is 6");
        assert_eq!(old.first_difference(&old), None);
        let new = Fingerprint::of_value(json!({"files": ["a"], "recipe": [], "shards": [{"size": 5}]}));
        assert_eq!(old.first_difference(&new).unwrap(), "`recipe` had 1 entries, has 0");
        assert!(old.writes("a") && !old.writes("b"));
    }
}
