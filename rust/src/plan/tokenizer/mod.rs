//! Whether the ingredients speak the same tokens: equal ids are demanded, everything else is a warning.
//!
//! Files that two ingredients both have are compared with each other. Where one has what the other has not, and for
//! tokens that were added, all that each says about ids is compared, as far as the two speak about the same tokens.

mod files;
mod known;
mod templates;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::checkpoint::{Checkpoint, OpenOptions, read_small};
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::{counted, listing, quoted, shown};
use crate::json;

pub(super) use files::belongs;

use super::PlanOptions;
use super::differences::differences;
use super::remarks::Remarks;
use super::side_files::names;
use files::{Kind, kind};
use known::{Difference, Known};
use vocabulary::{Ids, read};

/// Largest tokenizer that is looked into.
const MAX_TOKENIZER_BYTES: u64 = 128 << 20;
/// How many differing tokens are named.
const LISTED: usize = 3;

/// The files of one ingredient that say something about tokens.
struct Tokenizer<'a> {
    directory: &'a Path,
    files: BTreeMap<String, (Kind, Vec<u8>)>,
}

/// Compare the tokenizer of every ingredient with the donor's, which the soup gets.
pub(super) fn check(checkpoints: &[Checkpoint], options: &PlanOptions, remarks: &mut Remarks) -> Result<()> {
    let directory = |checkpoint: &Checkpoint| checkpoint.directory().map(Path::to_owned);
    let Some(donor) = checkpoints.get(options.config_from).and_then(directory) else { return Ok(()) };
    let others: Vec<&Path> =
        checkpoints.iter().filter_map(Checkpoint::directory).filter(|other| *other != donor).collect();
    let expected = Tokenizer::open(&donor, options.open, remarks)?;
    for other in &others {
        let got = Tokenizer::open(other, options.open, remarks)?;
        if expected.files != got.files {
            compare(&expected, &got, options, remarks);
        }
    }
    templates::check(&donor, others.into_iter(), options.open, remarks);
    Ok(())
}

impl<'a> Tokenizer<'a> {
    fn open(directory: &'a Path, options: OpenOptions, remarks: &mut Remarks) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in names(directory)? {
            let path = directory.join(&name);
            let Some(kind) = kind(&name).filter(|_| !path.is_dir()) else { continue };
            match read_small(&path, directory, MAX_TOKENIZER_BYTES, &options) {
                Ok(bytes) => {
                    files.insert(name, (kind, bytes));
                }
                Err(problem) => remarks.problem(problem),
            }
        }
        Ok(Self { directory, files })
    }

    fn path(&self, name: &str) -> String {
        quoted(&self.directory.join(name))
    }
}

fn compare(expected: &Tokenizer<'_>, got: &Tokenizer<'_>, options: &PlanOptions, remarks: &mut Remarks) {
    let mut refused = false;
    let mut by_parts = !expected.files.keys().eq(got.files.keys());
    for (name, (kind, a)) in &expected.files {
        let Some((_, b)) = got.files.get(name).filter(|(_, b)| b != a) else { continue };
        match kind {
            Kind::Added | Kind::Config => by_parts |= read(*kind, a) != read(*kind, b),
            Kind::Special => special_tokens(expected, got, name, options, remarks),
            Kind::Merges => remarks.warn(format!(
                "{} differs from the one in {}, which the soup gets",
                got.path(name),
                quoted(expected.directory)
            )),
            Kind::Whole | Kind::Ids | Kind::Lines | Kind::Pieces | Kind::Ranks => {
                let difference = match (read(*kind, a), read(*kind, b)) {
                    (Ok(a), Ok(b)) => differing(&all(a), &all(b)).map(|tokens| {
                        format!(
                            "maps tokens to other ids than the one in {}: {tokens}",
                            quoted(expected.directory)
                        )
                    }),
                    (Err(what), _) => Some(format!("{} cannot be compared: {what}", expected.path(name))),
                    (_, Err(what)) => Some(format!("cannot be compared: {what}")),
                };
                match difference {
                    None => remarks.warn(format!(
                        "{} gives the same ids to the same tokens as the one in {}, which the soup gets, but differs \
                         otherwise",
                        got.path(name),
                        quoted(expected.directory)
                    )),
                    Some(difference) => {
                        refused = true;
                        other_ids(&got.directory.join(name), difference, options, remarks);
                    }
                }
            }
        }
    }
    if by_parts && !refused {
        compare_parts(expected, got, options, remarks);
    }
}

fn all(said: vocabulary::Said) -> Ids {
    let mut ids = said.base;
    ids.extend(said.added);
    ids
}

/// Compare all that two tokenizers say, whatever the files it stands in.
fn compare_parts(
    expected: &Tokenizer<'_>,
    got: &Tokenizer<'_>,
    options: &PlanOptions,
    remarks: &mut Remarks,
) {
    let known = |tokenizer: &Tokenizer<'_>| {
        Known::of(
            tokenizer.files.iter().map(|(name, (kind, bytes))| (name.as_str(), *kind, bytes.as_slice())),
        )
    };
    let (a, b) = (known(expected), known(got));
    if let Some(tokens) = told(&a.differences(&b)) {
        let message = format!("maps tokens to other ids than {}: {tokens}", quoted(expected.directory));
        other_ids(got.directory, message, options, remarks);
        return;
    }
    let whole = |tokenizer: &Tokenizer<'_>| tokenizer.files.values().any(|(kind, _)| *kind == Kind::Whole);
    if whole(expected) && whole(got) {
        return; // what loaders use was compared
    }
    for (with, without, known) in [(expected, got, &b), (got, expected, &a)] {
        let only = with.files.iter().filter(|(name, _)| !without.files.contains_key(*name));
        let untold = only.filter(|(name, (kind, _))| !known.covers(name, *kind));
        let untold: Vec<&String> = untold.map(|(name, _)| name).collect();
        if !untold.is_empty() {
            let a = if untold.len() == 1 { "a " } else { "" };
            remarks.warn(format!(
                "{} has {a}{}, {} has none: they were not compared",
                quoted(with.directory),
                listing(&untold),
                quoted(without.directory)
            ));
        }
    }
}

fn other_ids(path: &Path, difference: String, options: &PlanOptions, remarks: &mut Remarks) {
    if options.allow_different_tokenizers {
        remarks.warn(format!("{}: {difference}", quoted(path)));
    } else {
        remarks.problem(
            Problem::new(ProblemKind::Incompatible, difference)
                .at(path)
                .hint("rows of the embeddings mean different tokens; `--allow-different-tokenizers` averages them anyway"),
        );
    }
}

/// Tokens that play other parts are a warning, but where no file gives ids to the additional ones, their order does.
fn special_tokens(
    expected: &Tokenizer<'_>,
    got: &Tokenizer<'_>,
    name: &str,
    options: &PlanOptions,
    remarks: &mut Remarks,
) {
    let map = |tokenizer: &Tokenizer<'_>| json::parse_python(&tokenizer.files[name].1).map(contents);
    let (a, b) = match (map(expected), map(got)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(what), _) => return remarks.warn(format!("{} was not compared: {what}", expected.path(name))),
        (_, Err(what)) => return remarks.warn(format!("{} was not compared: {what}", got.path(name))),
    };
    let Some(told) = differences(&a, &b) else { return };
    let message =
        format!("differs from the one in {}, which the soup gets: {told}", quoted(expected.directory));
    let additional = |map: &Value| map.get("additional_special_tokens").cloned().unwrap_or_default();
    let has_ids = |tokenizer: &Tokenizer<'_>| {
        let gives = |(kind, bytes): &(Kind, Vec<u8>)| {
            matches!(kind, Kind::Whole | Kind::Added)
                || *kind == Kind::Config && read(*kind, bytes).is_ok_and(|said| !said.added.is_empty())
        };
        tokenizer.files.values().any(gives)
    };
    if additional(&a) == additional(&b) || has_ids(expected) || has_ids(got) {
        remarks.warn(format!("{} {message}", got.path(name)));
    } else {
        other_ids(&got.directory.join(name), message, options, remarks);
    }
}

/// A token may be written as its text or as an object that has it as `content`.
fn contents(value: Value) -> Value {
    match value {
        Value::Object(mut members) => match members.remove("content") {
            Some(content) => content,
            None => members.into_iter().map(|(key, value)| (key, contents(value))).collect(),
        },
        Value::Array(items) => items.into_iter().map(contents).collect(),
        other => other,
    }
}

/// The first differing tokens of two maps in words.
fn differing(a: &Ids, b: &Ids) -> Option<String> {
    let tokens: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let each = tokens.into_iter().map(|token| Difference {
        token,
        expected: a.get(token).copied(),
        got: b.get(token).copied(),
    });
    told(&each.filter(|each| each.expected != each.got).collect::<Vec<_>>())
}

/// The first of these tokens in words, in the order of their ids.
fn told(differences: &[Difference<'_>]) -> Option<String> {
    let mut sorted: Vec<&Difference<'_>> = differences.iter().collect();
    sorted.sort_by_key(|each| (each.expected.into_iter().chain(each.got).min(), each.token));
    let text: Vec<String> = sorted
        .iter()
        .take(LISTED)
        .map(|Difference { token, expected, got }| {
            let token = shown(token);
            match (expected, got) {
                (Some(expected), Some(got)) => format!("expected id {expected} for `{token}`, got {got}"),
                (Some(expected), None) => format!("expected id {expected} for `{token}`, got none"),
                (None, got) => format!("expected no token `{token}`, got id {}", got.unwrap_or_default()),
            }
        })
        .collect();
    let count = sorted.len();
    let more = match count.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("; and {}", counted(more as u64, "more token", "more tokens")),
    };
    (count > 0).then(|| format!("{}{more}", text.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::{Ids, differing};

    fn ids(tokens: &[(&str, u64)]) -> Ids {
        tokens.iter().map(|(token, id)| ((*token).to_owned(), *id)).collect()
    }

    #[test]
    fn the_first_three_differing_tokens_are_named() {
        let a = ids(&[("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 4), ("f", 5)]);
        let b = ids(&[("b", 1), ("c", 3), ("d", 2), ("e", 6), ("g\u{1b}", 5)]);
        assert_eq!(
            differing(&a, &b).unwrap(),
            "expected id 0 for `a`, got none; expected id 2 for `c`, got 3; expected id 3 for `d`, got 2; and 3 more \
             tokens"
        );
        assert_eq!(
            differing(&Ids::new(), &ids(&[("g\u{1b}", 5)])).unwrap(),
            "expected no token `g\\u{1b}`, got id 5"
        );
        assert_eq!(differing(&a, &a), None);
    }
}
