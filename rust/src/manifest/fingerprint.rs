//! What one soup is made of and how it is cut, as canonical JSON: `plan.json` of a run. Two runs with the same
//! fingerprint write the same bytes, so the second may go on where the first was stopped.
//!
//! Not in it: paths, devices and inodes, threads, chunk size, backend, kernel set, cache and what non-finite values
//! do. None of them changes a byte.

use serde_json::Value;

use super::canonical::canonical;
use crate::digest::Digest;
use crate::escape::{counted, shown};

/// A plan as its run's state directory keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    value: Value,
    text: String,
    digest: Digest,
}

impl Fingerprint {
    /// Longest text read: names and headers are in it as digests, so no real one comes near.
    pub(crate) const MAX_BYTES: u64 = 256 << 20;

    /// The fingerprint of anything that has a list `files` of the names that a run may write.
    pub fn of_value(value: Value) -> Self {
        let text = canonical(&value);
        let digest = Digest::of(text.as_bytes());
        Self { value, text, digest }
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The canonical text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The one that a run has written, if it is whole.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let value = serde_json::from_slice(bytes).ok()?;
        Some(Self::of_value(value)).filter(|found| found.text.as_bytes() == bytes)
    }

    /// Whether its run writes a file of this name, relative to the output.
    pub(crate) fn writes(&self, name: &str) -> bool {
        let files = self.value.get("files").and_then(Value::as_array);
        files.is_some_and(|files| files.iter().any(|file| file.as_str() == Some(name)))
    }

    /// SHA-256 of a side file, in hexadecimal.
    pub(crate) fn side_file(&self, name: &str) -> Option<&str> {
        self.value.get("side_files")?.get(name)?.as_str()
    }

    /// In words, the first thing in which `now` differs.
    pub(crate) fn first_difference(&self, now: &Self) -> Option<String> {
        difference("", &self.value, &now.value)
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
            let before = counted(a.len() as u64, "entry", "entries");
            Some(format!("`{}` had {before}, has {}", shown(place), b.len()))
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
    use serde_json::json;

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
        assert_eq!(old.first_difference(&new).unwrap(), "`recipe` had 1 entry, has 0");
        assert!(old.writes("a") && !old.writes("b"));
    }
}
