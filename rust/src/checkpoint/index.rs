//! `model.safetensors.index.json`: which shard holds which tensor. Bytes in, value out; no I/O.
//!
//! The index is a claim that the headers have the last word on. Its file names are checked here as text: joined
//! unchecked they reach any file of the machine, and comparing resolved paths is no substitute (the Hugging Face cache
//! links shards to a directory outside the model).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::error::{Problem, ProblemKind};
use crate::escape::{counted, shown};
use crate::json::{self, Fault, Reader, Step};

/// Longest index in bytes.
pub const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Longest file name in bytes.
pub const MAX_FILE_NAME_BYTES: usize = 255;

const MAX_DEPTH: usize = 8;
/// Bad file names listed before the rest is only counted.
const LISTED: usize = 10;

/// An index whose every file name is one harmless path component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Shard file names, sorted.
    pub shards: Vec<String>,
    /// Tensor names with the number of their shard, sorted by name.
    pub tensors: Vec<(String, u32)>,
    /// `metadata.total_size`, if it is a whole number.
    pub total_size: Option<u64>,
    /// Odd but harmless findings, without the file's name.
    pub warnings: Vec<String>,
}

/// Reads an index.
pub fn parse(text: &[u8]) -> Result<Index, Vec<Problem>> {
    let refused = |message: String| vec![Problem::new(ProblemKind::Checkpoint, message)];
    if text.len() as u64 > MAX_INDEX_BYTES {
        return Err(refused(format!(
            "expected an index of at most {MAX_INDEX_BYTES} bytes, got {}",
            text.len()
        )));
    }
    let text = std::str::from_utf8(text)
        .map_err(|error| refused(format!("byte {} of the index: not UTF-8", error.valid_up_to())))?;
    let mut parser = Parser::default();
    let mut reader = Reader::new(text, MAX_DEPTH);
    let read = reader
        .object("an object", |reader, key| match &*key {
            "weight_map" => parser.weight_map(reader),
            "metadata" => parser.metadata(reader),
            _ => {
                parser.index.warnings.extend(
                    (parser.index.warnings.len() < LISTED)
                        .then(|| format!("unknown key `{}` of the index is ignored", shown(&key))),
                );
                reader.skip()
            }
        })
        .and_then(|()| reader.end());
    if let Err(Fault { at, what, .. }) = read {
        return Err(refused(format!("byte {at} of the index: {what}")));
    }
    parser.finish().map_err(|messages| messages.into_iter().flat_map(refused).collect())
}

/// An index as Hugging Face libraries write it. Names must not repeat; their order does not matter.
pub fn write<'a>(
    entries: impl Iterator<Item = (&'a str, &'a str)>,
    total_size: u64,
    total_parameters: u64,
) -> Vec<u8> {
    let entries: BTreeMap<_, _> = entries.collect();
    let mut text = format!(
        "{{\n  \"metadata\": {{\n    \"total_parameters\": {total_parameters},\n    \"total_size\": {total_size}\n  }},\n  \
         \"weight_map\": {{"
    );
    for (i, (tensor, shard)) in entries.iter().enumerate() {
        text.push_str(if i == 0 { "\n    " } else { ",\n    " });
        push_string(&mut text, tensor);
        text.push_str(": ");
        push_string(&mut text, shard);
    }
    text.push_str(if entries.is_empty() { "}\n}\n" } else { "\n  }\n}\n" });
    text.into_bytes()
}

/// What is wrong with `name` as the file name of a shard.
pub fn check_file_name(name: &str) -> Result<(), String> {
    let fault = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "is a directory"
    } else if name.contains(['/', '\\', ':']) {
        "holds `/`, `\\` or `:`"
    } else if name.chars().any(char::is_control) {
        "holds a control character"
    } else if name.len() > MAX_FILE_NAME_BYTES {
        "is longer than 255 bytes"
    } else if !name.ends_with(".safetensors") {
        "does not end in `.safetensors`"
    } else {
        return Ok(());
    };
    Err(format!("expected the name of a file beside the index, got `{}`, which {fault}", shown(name)))
}

#[derive(Default)]
struct Parser {
    index: Index,
    seen: bool,
    /// File names that were refused, each once, and how many more there were.
    bad: Vec<String>,
    bad_unlisted: usize,
}

impl Parser {
    fn weight_map(&mut self, reader: &mut Reader<'_>) -> Step<()> {
        self.seen = true;
        let text = reader.text();
        // A file name is where it stands in the text until all are known; the same again is not noted anew.
        let mut files: Vec<u32> = Vec::new();
        let mut tensors: Vec<(String, u32)> = Vec::new();
        reader.object("`weight_map` to be an object", |reader, tensor| {
            if tensor.len() > super::header::MAX_NAME_BYTES {
                let (most, got) = (super::header::MAX_NAME_BYTES, tensor.len());
                return reader.fault(format!("expected a tensor name of at most {most} bytes, got {got}"));
            }
            let at = reader.position();
            let shard = reader.string("a file name in `weight_map`")?;
            if files.last().is_none_or(|last| json::compare(text, *last as usize, at).is_ne()) {
                if let Err(message) = check_file_name(&shard) {
                    self.refuse(message);
                    return Ok(());
                }
                json::push(&mut files, at as u32);
            }
            json::push(&mut tensors, (tensor.into_owned(), files.len() as u32 - 1));
            Ok(())
        })?;
        tensors.shrink_to_fit();
        let (shards, ranks) = ranked(text, &files)?;
        for (_, number) in &mut tensors {
            *number = ranks.get(*number as usize).copied().unwrap_or_default();
        }
        tensors.sort_unstable();
        self.index.shards = shards;
        self.index.tensors = tensors;
        Ok(())
    }

    fn refuse(&mut self, message: String) {
        if self.bad.contains(&message) {
        } else if self.bad.len() < LISTED {
            self.bad.push(message);
        } else {
            self.bad_unlisted = self.bad_unlisted.saturating_add(1);
        }
    }

    fn metadata(&mut self, reader: &mut Reader<'_>) -> Step<()> {
        if reader.peek() != Some(b'{') {
            let found = reader.found();
            self.index
                .warnings
                .push(format!("expected `metadata` of the index to be an object, got {found}"));
            return reader.skip();
        }
        reader.object("`metadata` to be an object", |reader, key| {
            if key != "total_size" {
                return reader.skip();
            }
            let size = reader.raw()?;
            self.index.total_size = size.parse().ok();
            if self.index.total_size.is_none() {
                let number = size.starts_with(|first: char| first == '-' || first.is_ascii_digit());
                let got = if number { shown(size) } else { "something else".to_owned() };
                self.index
                    .warnings
                    .push(format!("expected `total_size` of the index in whole digits, got {got}"));
            }
            Ok(())
        })
    }

    fn finish(mut self) -> Result<Index, Vec<String>> {
        if self.bad_unlisted > 0 {
            let one = "more entry of the index has a bad file name";
            let many = "more entries of the index have bad file names";
            self.bad.push(counted(self.bad_unlisted as u64, one, many));
        }
        if !self.bad.is_empty() {
            Err(self.bad)
        } else if !self.seen {
            Err(vec!["expected an index with a `weight_map`, got none".to_owned()])
        } else if self.index.tensors.is_empty() {
            Err(vec!["expected tensors in `weight_map`, got none".to_owned()])
        } else {
            Ok(self.index)
        }
    }
}

/// The different strings among those that stand at `places`, sorted, and for each place the number of its string.
fn ranked(text: &str, places: &[u32]) -> Step<(Vec<String>, Vec<u32>)> {
    let place = |i: u32| places.get(i as usize).map_or(0, |place| *place as usize);
    let mut order: Vec<u32> = (0..places.len() as u32).collect();
    order.sort_unstable_by(|a, b| json::compare(text, place(*a), place(*b)));
    let mut ranks = vec![0; places.len()];
    let mut different = 0_u32;
    let mut before = None;
    for i in &order {
        if before.is_some_and(|before| json::compare(text, place(before), place(*i)).is_ne()) {
            different = different.saturating_add(1);
        }
        before = Some(*i);
        if let Some(rank) = ranks.get_mut(*i as usize) {
            *rank = different;
        }
    }
    order.dedup_by(|a, b| ranks.get(*a as usize) == ranks.get(*b as usize));
    let strings =
        order.into_iter().map(|i| Reader::string_at(text, place(i))).collect::<Step<Vec<String>>>()?;
    Ok((strings, ranks))
}

/// A JSON string in ASCII, as Python's `json` writes it.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    fn check(text: &str, expected: &[&str]) {
        let problems = parse(text.as_bytes()).err().unwrap_or_default();
        let messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(messages, expected, "{text}");
    }

    #[test]
    fn shards_are_numbered_by_name_and_tensors_sorted() {
        let index =
            parse(br#"{"metadata":{"total_size":6},"weight_map":{"b":"2.safetensors","a":"1.safetensors"}}"#)
                .unwrap();
        assert_eq!(index.shards, ["1.safetensors", "2.safetensors"]);
        assert_eq!(index.tensors, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
        assert_eq!(index.total_size, Some(6));
        assert!(index.warnings.is_empty());
    }

    #[test]
    fn all_bad_file_names_are_listed() {
        check(
            r#"{"weight_map":{"a":"../x.safetensors","b":"y.bin","c":"y.bin"}}"#,
            &[
                "expected the name of a file beside the index, got `../x.safetensors`, which holds `/`, `\\` or `:`",
                "expected the name of a file beside the index, got `y.bin`, which does not end in `.safetensors`",
            ],
        );
    }

    #[test]
    fn duplicate_keys_are_found_at_any_level() {
        check(
            r#"{"weight_map":{"a":"x.safetensors","\u0061":"x.safetensors"}}"#,
            &["byte 35 of the index: `a` is there twice"],
        );
        check(r#"{"metadata":{"x":[{"y":1,"y":2}]}}"#, &["byte 25 of the index: `y` is there twice"]);
    }

    #[test]
    fn ten_unknown_keys_are_told() {
        let keys = (0..20).map(|i| format!(r#""k{i}":0,"#)).collect::<Vec<_>>().concat();
        let text = format!(r#"{{{keys}"weight_map":{{"a":"x.safetensors"}}}}"#);
        assert_eq!(parse(text.as_bytes()).unwrap().warnings.len(), 10);
    }

    #[test]
    fn an_index_may_have_64_mebibytes() {
        let mut text = br#"{"weight_map":{"a":"x.safetensors"}}"#.to_vec();
        text.resize(super::MAX_INDEX_BYTES as usize, b' ');
        assert!(parse(&text).is_ok());
        text.push(b' ');
        assert!(parse(&text).is_err());
    }

    #[test]
    fn odd_metadata_is_a_warning() {
        for metadata in ["null", "{\"total_size\":1.5}", "{\"total_size\":null}"] {
            let text = format!(r#"{{"metadata":{metadata},"weight_map":{{"a":"x.safetensors"}}}}"#);
            assert_eq!(parse(text.as_bytes()).unwrap().warnings.len(), 1, "{metadata}");
        }
    }

    #[test]
    fn the_text_is_what_python_writes() {
        let entries = [("b\u{1f600}\u{7f}", "2.safetensors"), ("a\"é\\\n\r\t\u{8}\u{c}", "1.safetensors")];
        let text = String::from_utf8(write(entries.into_iter(), 10, 5)).unwrap();
        assert_eq!(
            text,
            "{\n  \"metadata\": {\n    \"total_parameters\": 5,\n    \"total_size\": 10\n  },\n  \"weight_map\": {\n    \
             \"a\\\"\\u00e9\\\\\\n\\r\\t\\b\\f\": \"1.safetensors\",\n    \"b\\ud83d\\ude00\\u007f\": \"2.safetensors\"\n  }\n}\n"
        );
        assert_eq!(parse(text.as_bytes()).unwrap().tensors.len(), 2);
    }
}
