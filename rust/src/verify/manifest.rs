//! `soce.json`, read as if a stranger had written it: strict JSON of bounded size, its digests computed from the very
//! bytes, its parts compared with each other. No name in it has led anywhere when this is done.

mod check;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::checkpoint::{OpenOptions, index, read_small};
use crate::error::Problem;
use crate::escape::shown;
use crate::glob;
use crate::json;

use super::problem;

/// Its name in a soup.
pub(super) const FILE_NAME: &str = "soce.json";
/// The one directory of side files.
const TEMPLATES: &str = "additional_chat_templates";
/// Longest manifest; one of a million tensors has a third of this.
const MAX_BYTES: u64 = 1 << 30;
/// The schema and the arithmetic that this version knows.
const FORMAT: u64 = 1;
pub(super) const NUMERICS: u64 = 1;
/// Pairs of row and tensor that are compared at most.
const MAX_MATCHES: usize = 1 << 28;

/// How much a manifest can prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    None,
    Tensors,
    Full,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tensors => "tensors",
            Self::Full => "full",
        }
    }
}

/// The parts of a manifest that are compared with something.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub(super) result: Outcome,
    pub(super) result_digest: String,
    plan_digest: Option<String>,
    file_digest: String,
    pub(super) sources: Vec<SourceEntry>,
    #[serde(default)]
    pub(super) run: RunEntry,
    /// `result_digest` is that of `result`.
    #[serde(skip)]
    pub(super) result_is_right: bool,
    /// Places in `result.shards` by name.
    #[serde(skip)]
    places: BTreeMap<String, usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    pub(super) numerics: u64,
    pub(super) recipe: RecipeEntry,
    pub(super) ingredients: Option<Vec<IngredientEntry>>,
    pub(super) donor: DonorEntry,
    pub(super) tensors: BTreeMap<String, TensorEntry>,
    pub(super) tied: Vec<String>,
    pub(super) shards: Vec<ShardEntry>,
    pub(super) files: Vec<String>,
    counts: Counts,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecipeEntry {
    pub(super) rows: Vec<RowEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RowEntry {
    pub(super) pattern: String,
    pub(super) parts: Vec<i64>,
    pub(super) whole: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct IngredientEntry {
    pub(super) content: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct DonorEntry {
    pub(super) side_files: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TensorEntry {
    pub(super) fate: String,
    pub(super) dtype: String,
    pub(super) shape: Vec<u64>,
    pub(super) shard: String,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) blake3: Option<String>,
    pub(super) non_finite: Option<NonFiniteEntry>,
    /// Which row of the recipe makes it, if one does.
    #[serde(skip)]
    pub(super) row: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NonFiniteEntry {
    /// NaN, +inf, -inf of each ingredient.
    pub(super) ingredients: Vec<[u64; 3]>,
    /// Infinite results of finite inputs.
    pub(super) created: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ShardEntry {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) sha256: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Counts {
    averaged: u64,
    copied: u64,
    tied: u64,
    refused: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct SourceEntry {
    /// One per row.
    pub(super) parts: Vec<i64>,
    #[serde(default)]
    pub(super) gave_config: bool,
    #[serde(default)]
    pub(super) shards: Vec<SourceShard>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SourceShard {
    pub(super) header_sha256: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RunEntry {
    #[serde(default)]
    pub(super) ingredients: Vec<String>,
    digests: Option<String>,
}

/// The raw text of the parts that have a digest of their own.
#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    file_digest: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Version {
    result: VersionOfResult,
}

#[derive(Deserialize)]
struct VersionOfResult {
    format: u64,
}

/// Reads and checks a manifest. `None` if it is not fit to compare anything with.
pub(super) fn read(path: &Path, root: &Path, options: OpenOptions) -> (Option<Manifest>, Vec<Problem>) {
    let bytes = match read_small(path, root, MAX_BYTES, &options) {
        Ok(bytes) => bytes,
        Err(problem) => return (None, vec![problem]),
    };
    let parsed = match parse(&bytes) {
        Ok(parsed) => parsed,
        Err(message) => {
            let hint = "the manifest is damaged: compare the soup with another copy, or merge it again";
            return (None, vec![problem(path, message).hint(hint)]);
        }
    };
    let problems = parsed.1.into_iter().map(|message| problem(path, message)).collect();
    (Some(parsed.0), problems)
}

/// The manifest and what is wrong with it, or why it is none.
fn parse(bytes: &[u8]) -> Result<(Manifest, Vec<String>), String> {
    let text = json::checked(bytes)?;
    let failed = |error: serde_json::Error| format!("is no manifest: {}", shown(&error.to_string()));
    let format = serde_json::from_str::<Version>(text).map_err(failed)?.result.format;
    if format != FORMAT {
        return Err(format!("has format {format}, this version of soce knows {FORMAT}"));
    }
    let mut manifest: Manifest = serde_json::from_str(text).map_err(failed)?;
    manifest.look_up()?;
    let mut wrong = Vec::new();
    let top: Top<'_> = serde_json::from_str(text).map_err(failed)?;
    let result = top.result.map(|raw| hash(&[raw.get()])).unwrap_or_default();
    manifest.result_is_right = result == manifest.result_digest;
    if !manifest.result_is_right {
        wrong.push(differs("result_digest", &result, &manifest.result_digest));
    }
    match top.file_digest.and_then(|raw| without(text, raw.get())) {
        Some(parts) => {
            let whole = hash(&parts);
            if whole != manifest.file_digest {
                wrong.push(differs("file_digest", &whole, &manifest.file_digest));
            }
        }
        None => wrong.push("is not written as soce writes it: white space around `file_digest`".to_owned()),
    }
    manifest.check(&mut wrong);
    Ok((manifest, wrong))
}

/// The text without the member `file_digest` and its comma; `value` is a slice of it. `None` if it is not canonical.
fn without<'a>(text: &'a str, value: &str) -> Option<[&'a str; 2]> {
    let start = (value.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let before = text.get(..start)?.strip_suffix("\"file_digest\":")?;
    let after = text.get(start.checked_add(value.len())?..)?;
    match (after.strip_prefix(','), before.strip_suffix(',')) {
        (Some(after), _) => Some([before, after]),
        (None, Some(before)) => Some([before, after]),
        (None, None) => None,
    }
}

fn hash(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn differs(what: &str, expected: &str, got: &str) -> String {
    format!("`{what}`: expected {expected}, as computed from the file, got `{}`", shown(got))
}

impl Manifest {
    /// The level that its digests have, whatever `run` says.
    pub(super) fn level(&self) -> Level {
        if self.result.tensors.values().all(|tensor| tensor.blake3.is_none()) {
            Level::None
        } else if self.result.shards.iter().all(|shard| shard.sha256.is_some())
            && self.result.ingredients.is_some()
        {
            Level::Full
        } else {
            Level::Tensors
        }
    }

    /// The parts of each ingredient that has any, one per row.
    pub(super) fn columns(&self) -> Vec<Vec<i64>> {
        let rows = &self.result.recipe.rows;
        let count = rows.iter().map(|row| row.parts.len()).min().unwrap_or(0);
        (0..count).map(|i| rows.iter().filter_map(|row| row.parts.get(i).copied()).collect()).collect()
    }

    /// A shard by name.
    pub(super) fn shard(&self, name: &str) -> Option<&ShardEntry> {
        self.result.shards.get(*self.places.get(name)?)
    }

    /// Fill in what is looked up often.
    fn look_up(&mut self) -> Result<(), String> {
        let rows = &self.result.recipe.rows;
        let (tensors, most) = (self.result.tensors.len(), MAX_MATCHES);
        if rows.len().saturating_mul(tensors) > most {
            let rows = rows.len();
            return Err(format!("has {rows} rows for {tensors} tensors, more than {most} pairs"));
        }
        for (name, tensor) in &mut self.result.tensors {
            tensor.row = rows.iter().position(|row| glob::matches(&row.pattern, name));
        }
        let names = self.result.shards.iter().enumerate();
        self.places = names.map(|(place, shard)| (shard.name.clone(), place)).collect();
        Ok(())
    }
}

/// Whether a listed name is a file of the soup by its text alone: one component, or one below the templates.
pub(super) fn stays_inside(name: &str) -> bool {
    let name = name.strip_prefix(TEMPLATES).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    !matches!(name, "" | "." | "..")
        && !name.contains(['/', '\0'])
        && name.len() <= index::MAX_FILE_NAME_BYTES
}

#[cfg(test)]
mod tests {
    use super::{parse, stays_inside, without};

    #[test]
    fn names_that_leave_the_directory_are_known_by_their_text() {
        for name in ["config.json", "additional_chat_templates/a.jinja", "..json", "a b", "\u{1b}.json"] {
            assert!(stays_inside(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../x",
            "a/b",
            "a/../../b",
            "additional_chat_templates/../x",
            "additional_chat_templates/a/b",
            "additional_chat_templates/",
            "x\0y",
        ] {
            assert!(!stays_inside(name), "{name:?}");
        }
        assert!(!stays_inside(&"x".repeat(256)));
    }

    #[test]
    fn the_file_digest_is_cut_out_of_the_text() {
        let check = |text: &str, value: &str, expected: Option<[&str; 2]>| {
            let at = text.find(value).unwrap();
            assert_eq!(without(text, &text[at..at + value.len()]), expected, "{text}");
        };
        check(r#"{"file_digest":"x","z":1}"#, "\"x\"", Some(["{", "\"z\":1}"]));
        check(r#"{"a":1,"file_digest":"x"}"#, "\"x\"", Some(["{\"a\":1", "}"]));
        check(r#"{"file_digest": "x","z":1}"#, "\"x\"", None);
        check(r#"{"file_digest":"x"}"#, "\"x\"", None);
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_a_reason() {
        let check = |text: &[u8], expected: &str| {
            let got = parse(text).expect_err("refused");
            assert!(got.contains(expected), "{got}");
        };
        check(b"\xff", "byte 0: not UTF-8");
        check(b"{\"a\":1,\"a\":1}", "`a` is there twice");
        check(b"{\"result\":{\"format\":1,\"x\":{\"y\":1,\"\\u0079\":2}}}", "`y` is there twice");
        check(b"[]", "is no manifest");
        check(b"{}", "missing field `result`");
        check(b"{\"result\":{\"format\":2}}", "has format 2, this version of soce knows 1");
        check(&b"[".repeat(100_000), "nested more than 64 levels deep");
    }
}
