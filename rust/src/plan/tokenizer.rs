//! Whether the ingredients speak the same tokens: equal ids are demanded, everything else is a warning.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::checkpoint::{Checkpoint, OpenOptions, read_small};
use crate::error::{Problem, ProblemKind};
use crate::escape::{quoted, shown};
use crate::json;

use super::PlanOptions;
use super::config::MAX_BYTES;
use super::remarks::Remarks;

/// Largest tokenizer that is looked into.
const MAX_TOKENIZER_BYTES: u64 = 128 << 20;
/// Files whose token ids are compared.
const WITH_IDS: [&str; 2] = ["tokenizer.json", "vocab.json"];
/// Files of which only the bytes are compared.
const OTHERS: [&str; 4] = ["tokenizer.model", "vocab.txt", "merges.txt", "tekken.json"];
/// How many differing tokens are named.
const LISTED: usize = 3;

/// Compare the tokenizer of every ingredient with the donor's, which the soup gets.
pub(super) fn check(checkpoints: &[Checkpoint], options: &PlanOptions, remarks: &mut Remarks) {
    let Some(donor) = checkpoints.get(options.config_from).and_then(Checkpoint::directory) else { return };
    let others = || checkpoints.iter().filter_map(Checkpoint::directory).filter(|other| *other != donor);
    for name in WITH_IDS.into_iter().chain(OTHERS) {
        let expected = match read(donor, name, options.open) {
            Ok(bytes) => bytes,
            Err(problem) => {
                remarks.problem(problem);
                continue;
            }
        };
        for other in others() {
            match (&expected, read(other, name, options.open)) {
                (_, Err(problem)) => remarks.problem(problem),
                (None, Ok(None)) => {}
                (Some(_), Ok(None)) => only_in(donor, other, name, remarks),
                (None, Ok(Some(_))) => only_in(other, donor, name, remarks),
                (Some(expected), Ok(Some(got))) if *expected == got => {}
                (Some(expected), Ok(Some(got))) if WITH_IDS.contains(&name) => {
                    compare_ids((donor, expected), (other, &got), name, options, remarks);
                }
                (Some(_), Ok(Some(_))) => remarks.warn(format!(
                    "{} differs from the one in {}, which the soup gets",
                    quoted(&other.join(name)),
                    quoted(donor)
                )),
            }
        }
    }
    check_templates(donor, others(), options.open, remarks);
}

fn read(directory: &Path, name: &str, options: OpenOptions) -> Result<Option<Vec<u8>>, Problem> {
    let path = directory.join(name);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    read_small(&path, directory, MAX_TOKENIZER_BYTES, &options).map(Some)
}

fn only_in(with: &Path, without: &Path, name: &str, remarks: &mut Remarks) {
    remarks.warn(format!(
        "{} has a `{name}`, {} has none: they were not compared",
        quoted(with),
        quoted(without)
    ));
}

fn compare_ids(
    expected: (&Path, &[u8]),
    got: (&Path, &[u8]),
    name: &str,
    options: &PlanOptions,
    remarks: &mut Remarks,
) {
    let difference = match (ids(name, expected.1), ids(name, got.1)) {
        (Ok(a), Ok(b)) => differing((expected.0, &a), (got.0, &b)),
        (Err(what), _) => Some(format!("{} cannot be compared: {what}", quoted(&expected.0.join(name)))),
        (_, Err(what)) => Some(format!("cannot be compared: {what}")),
    };
    let path = got.0.join(name);
    match difference {
        None => remarks.warn(format!(
            "{} gives the same ids to the same tokens as the one in {}, which the soup gets, but differs otherwise",
            quoted(&path),
            quoted(expected.0)
        )),
        Some(difference) if options.allow_different_tokenizers => {
            remarks.warn(format!("{}: {difference}", quoted(&path)));
        }
        Some(difference) => remarks.problem(
            Problem::new(ProblemKind::Incompatible, difference)
                .at(path)
                .hint("rows of the embeddings mean different tokens; `--allow-different-tokenizers` averages them anyway"),
        ),
    }
}

/// Token → id of a `tokenizer.json` or a `vocab.json`.
fn ids(name: &str, bytes: &[u8]) -> Result<HashMap<String, u64>, String> {
    if name == "vocab.json" {
        return json::parse::<Vocabulary>(bytes).map(|vocabulary| vocabulary.0);
    }
    let tokenizer: Tokenizer = json::parse(bytes)?;
    let mut ids = tokenizer.model.vocab.unwrap_or_default().0;
    ids.extend(tokenizer.added_tokens.unwrap_or_default().into_iter().map(|token| (token.content, token.id)));
    Ok(ids)
}

/// The first differing tokens in words, in the order of their ids.
fn differing(a: (&Path, &HashMap<String, u64>), b: (&Path, &HashMap<String, u64>)) -> Option<String> {
    let tokens: BTreeSet<&String> = a.1.keys().chain(b.1.keys()).collect();
    let unequal = tokens.into_iter().map(|token| (token, a.1.get(token), b.1.get(token)));
    let unequal = unequal.filter(|(_, in_a, in_b)| in_a != in_b);
    let by_id: BTreeMap<(Option<&u64>, &String), _> = unequal
        .map(|(token, in_a, in_b)| ((in_a.into_iter().chain(in_b).min(), token), (in_a, in_b)))
        .collect();
    let text: Vec<String> = by_id
        .iter()
        .take(LISTED)
        .map(|((_, token), (in_a, in_b))| {
            let token = shown(token);
            match (in_a, in_b) {
                (Some(in_a), Some(in_b)) => format!("expected id {in_a} for `{token}`, got {in_b}"),
                (Some(in_a), None) => format!("expected id {in_a} for `{token}`, got none"),
                (None, in_b) => {
                    format!("expected no token `{token}`, got id {}", in_b.copied().unwrap_or_default())
                }
            }
        })
        .collect();
    let count = by_id.len();
    let more = if count > LISTED { format!("; and {} more tokens", count - LISTED) } else { String::new() };
    (count > 0).then(|| {
        format!("maps tokens to other ids than the one in {}: {}{more}", quoted(a.0), text.join("; "))
    })
}

#[derive(serde::Deserialize)]
struct Tokenizer {
    model: Model,
    added_tokens: Option<Vec<Added>>,
}

#[derive(serde::Deserialize)]
struct Model {
    vocab: Option<Vocabulary>,
}

#[derive(serde::Deserialize)]
struct Added {
    id: u64,
    content: String,
}

/// `{"token": id}`, or `[["token", score], ...]` where the place is the id.
#[derive(Default)]
struct Vocabulary(HashMap<String, u64>);

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vocabulary;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary: an object of ids or a list of pairs")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Vocabulary, A::Error> {
                let mut ids = HashMap::new();
                while let Some((token, id)) = entries.next_entry()? {
                    ids.insert(token, id);
                }
                Ok(Vocabulary(ids))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Vocabulary, A::Error> {
                let mut ids = HashMap::new();
                let mut id = 0;
                while let Some((token, _)) = pairs.next_element::<(String, IgnoredAny)>()? {
                    ids.entry(token).or_insert(id);
                    id += 1;
                }
                Ok(Vocabulary(ids))
            }
        }
        deserializer.deserialize_any(Collect)
    }
}

/// Chat templates are programs for somebody else: compared, never rendered.
fn check_templates<'a>(
    donor: &Path,
    others: impl Iterator<Item = &'a Path>,
    options: OpenOptions,
    remarks: &mut Remarks,
) {
    let expected = template(donor, options, remarks);
    for other in others {
        if template(other, options, remarks) != expected {
            remarks.warn(format!(
                "{}: chat template differs from that of {}, which the soup gets",
                quoted(other),
                quoted(donor)
            ));
        }
    }
}

/// `chat_template.jinja`, or else the key in `tokenizer_config.json`.
fn template(directory: &Path, options: OpenOptions, remarks: &mut Remarks) -> Option<Value> {
    let mut file = |name: &str| {
        let path = directory.join(name);
        let read = path.is_file().then(|| read_small(&path, directory, MAX_BYTES, &options))?;
        read.map_err(|problem| remarks.problem(problem)).ok()
    };
    if let Some(bytes) = file("chat_template.jinja") {
        return Some(Value::from(String::from_utf8_lossy(&bytes).into_owned()));
    }
    let name = "tokenizer_config.json";
    match json::parse::<Value>(&file(name)?) {
        Ok(value) => value.get("chat_template").filter(|template| !template.is_null()).cloned(),
        Err(what) => {
            remarks.warn(format!(
                "{}: {what}; its chat template was not compared",
                quoted(&directory.join(name))
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{differing, ids};

    fn compare(name: &str, a: &str, b: &str) -> Option<String> {
        let (a, b) = (ids(name, a.as_bytes()).unwrap(), ids(name, b.as_bytes()).unwrap());
        differing((Path::new("a"), &a), (Path::new("b"), &b))
    }

    #[test]
    fn vocabularies_are_read_as_objects_and_as_lists() {
        let check = |a: &str, b: &str| assert_eq!(compare("tokenizer.json", a, b), None, "{a} {b}");
        let object =
            r#"{"model": {"vocab": {"x": 0, "y": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]}"#;
        let list = r#"{"model": {"vocab": [["x", -1.5], ["y", -2]]}, "added_tokens": [{"id": 2, "content": "<s>", "special": true}]}"#;
        check(object, list);
        check(r#"{"model": {"vocab": {"x": 0, "y": 1, "<s>": 2}}}"#, object);
    }

    #[test]
    fn the_first_three_differing_tokens_are_named() {
        let a = r#"{"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}"#;
        let b = r#"{"b": 1, "c": 3, "d": 2, "e": 6, "g\u001b": 5}"#;
        assert_eq!(
            compare("vocab.json", a, b).unwrap(),
            "maps tokens to other ids than the one in `a`: expected id 0 for `a`, got none; expected id 2 for `c`, got 3; \
             expected id 3 for `d`, got 2; and 3 more tokens"
        );
        let text = compare("vocab.json", "{}", "{\"g\\u001b\": 5}").unwrap();
        assert!(text.ends_with("expected no token `g\\u{1b}`, got id 5"), "{text}");
    }

    #[test]
    fn broken_tokenizers_are_not_read() {
        assert!(ids("vocab.json", br#"{"a": 0, "a": 1}"#).unwrap_err().contains("`a` is there twice"));
        assert!(ids("vocab.json", br#"{"a": "x"}"#).is_err());
        assert!(ids("tokenizer.json", b"[]").is_err());
        assert!(ids("tokenizer.json", &b"[".repeat(100_000)).is_err());
    }
}
