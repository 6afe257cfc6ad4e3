//! Token → id, read from every format in which tokenizers keep it.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::files::Kind;
use crate::json;

/// Ids by token.
pub(super) type Ids = HashMap<String, u64>;

/// What one file says: the ids of the vocabulary, and of the tokens that were added to it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) base: Ids,
    pub(super) added: Ids,
}

/// What the file of this kind says, or why it cannot be read.
pub(super) fn read(kind: Kind, bytes: &[u8]) -> Result<Said, String> {
    let base = |base: Ids| Said { base, added: Ids::new() };
    let added = |added: Ids| Said { base: Ids::new(), added };
    Ok(match kind {
        Kind::Whole => {
            let tokenizer: Tokenizer = json::parse(bytes)?;
            let added = tokenizer.added_tokens.unwrap_or_default();
            Said {
                base: tokenizer.model.vocab.unwrap_or_default().0,
                added: added.into_iter().map(|token| (token.content, token.id)).collect(),
            }
        }
        Kind::Ids => base(json::parse::<Vocabulary>(bytes)?.0),
        Kind::Added => added(json::parse::<Vocabulary>(bytes)?.0),
        Kind::Config => added(decoder(&json::parse_python(bytes)?)?),
        Kind::Lines => {
            let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
            base(text.lines().zip(0..).map(|(token, id)| (token.to_owned(), id)).collect())
        }
        Kind::Pieces => base(
            pieces(bytes)
                .or_else(|| ranks(bytes))
                .ok_or("neither a sentencepiece model nor lines of ranks")?,
        ),
        Kind::Ranks => {
            let tekken: Tekken = json::parse(bytes)?;
            let special = tekken.special_tokens.unwrap_or_default().into_iter();
            Said {
                base: tekken.vocab.into_iter().map(|token| (token.token_bytes, token.rank)).collect(),
                added: special.map(|token| (token.token_str, token.rank)).collect(),
            }
        }
        Kind::Special | Kind::Merges => Said::default(),
    })
}

/// `added_tokens_decoder` of a `tokenizer_config.json`: tokens by id, each as text or as an object with its `content`.
fn decoder(config: &Value) -> Result<Ids, String> {
    let Some(decoder) = config.get("added_tokens_decoder").and_then(Value::as_object) else {
        return Ok(Ids::new());
    };
    let entry = |(id, token): (&String, &Value)| {
        let content = token.get("content").unwrap_or(token).as_str();
        let both = id.parse().ok().zip(content);
        let (id, content) = both.ok_or("`added_tokens_decoder`: expected tokens by their ids")?;
        Ok((content.to_owned(), id))
    };
    decoder.iter().map(entry).collect()
}

/// The pieces of a sentencepiece model: a protobuf whose field 1 is repeated, with the text in its own field 1. The
/// place is the id.
fn pieces(bytes: &[u8]) -> Option<Ids> {
    let mut ids = Ids::new();
    let mut place = 0;
    for field in fields(bytes)? {
        if let (1, Some(piece)) = field {
            let text = fields(piece)?.into_iter().find_map(|(number, text)| text.filter(|_| number == 1))?;
            ids.entry(std::str::from_utf8(text).ok()?.to_owned()).or_insert(place);
            place += 1;
        }
    }
    (place > 0).then_some(ids)
}

/// Number and bytes of a field of a protobuf message; no bytes for one of another type.
type Field<'a> = (u64, Option<&'a [u8]>);

fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (field, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        found.push((key >> 3, (key & 7 == 2).then_some(field)));
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Tiktoken's lines: a token in base64 and its rank.
fn ranks(bytes: &[u8]) -> Option<Ids> {
    let lines = std::str::from_utf8(bytes).ok()?.lines().filter(|line| !line.is_empty());
    let line = |line: &str| {
        let (token, rank) = line.split_once(' ')?;
        Some((token.to_owned(), rank.trim().parse().ok()?))
    };
    lines.map(line).collect::<Option<Ids>>().filter(|ids| !ids.is_empty())
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

#[derive(serde::Deserialize)]
struct Tekken {
    vocab: Vec<Ranked>,
    special_tokens: Option<Vec<RankedText>>,
}

#[derive(serde::Deserialize)]
struct Ranked {
    rank: u64,
    token_bytes: String,
}

#[derive(serde::Deserialize)]
struct RankedText {
    rank: u64,
    token_str: String,
}

/// `{"token": id}`, or `[["token", score], ...]` where the place is the id.
#[derive(Default)]
struct Vocabulary(Ids);

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

#[cfg(test)]
mod tests {
    use super::{Ids, Kind, read};

    fn ids(kind: Kind, bytes: impl AsRef<[u8]>) -> Ids {
        let said = read(kind, bytes.as_ref()).unwrap();
        said.base.into_iter().chain(said.added).collect()
    }

    fn of(tokens: &[(&str, u64)]) -> Ids {
        tokens.iter().map(|(token, id)| ((*token).to_owned(), *id)).collect()
    }

    #[test]
    fn whole_tokenizers_hold_objects_or_lists() {
        let expected = of(&[("x", 0), ("y", 1), ("<s>", 2)]);
        let object =
            r#"{"model": {"vocab": {"x": 0, "y": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]}"#;
        let list = r#"{"model": {"vocab": [["x", -1.5], ["y", -2]]}, "added_tokens": [{"id": 2, "content": "<s>", "special": true}]}"#;
        assert_eq!(ids(Kind::Whole, object), expected);
        assert_eq!(ids(Kind::Whole, list), expected);
    }

    #[test]
    fn every_format_gives_its_ids() {
        let expected = of(&[("a", 0), ("b", 1)]);
        assert_eq!(ids(Kind::Ids, r#"{"a": 0, "b": 1}"#), expected);
        assert_eq!(ids(Kind::Added, r#"{"a": 0, "b": 1}"#), expected);
        assert_eq!(ids(Kind::Lines, "a\r\nb\n"), expected);
        assert_eq!(
            ids(Kind::Pieces, b"\x0a\x08\x0a\x01a\x15\0\0\x80\xbf\x0a\x05\x0a\x01b\x18\x03\x12\x02\x08\x01"),
            expected
        );
        assert_eq!(ids(Kind::Pieces, "YQ== 0\nYg== 1\n"), of(&[("YQ==", 0), ("Yg==", 1)]));
        let config = r#"{"limit": Infinity, "added_tokens_decoder": {"0": {"content": "a"}, "1": "b"}}"#;
        assert_eq!(ids(Kind::Config, config), expected);
        assert_eq!(ids(Kind::Config, "{}"), Ids::new());
        let tekken = r#"{"vocab": [{"rank": 0, "token_bytes": "a"}], "special_tokens": [{"rank": 1, "token_str": "b"}]}"#;
        assert_eq!(ids(Kind::Ranks, tekken), expected);
    }

    #[test]
    fn what_is_broken_is_not_read() {
        assert!(read(Kind::Ids, br#"{"a": 0, "a": 1}"#).unwrap_err().contains("`a` is there twice"));
        for (kind, bytes) in [
            (Kind::Ids, &br#"{"a": "x"}"#[..]),
            (Kind::Whole, b"[]"),
            (Kind::Whole, &b"[".repeat(100_000)),
            (Kind::Config, br#"{"added_tokens_decoder": {"x": "a"}}"#),
            (Kind::Lines, b"\xff"),
            (Kind::Pieces, b""),
            (Kind::Pieces, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            (Kind::Pieces, b"\x0a\x03\x0a\x09a"),
            (Kind::Pieces, b"words of a text"),
        ] {
            assert!(read(kind, bytes).is_err(), "{kind:?} {bytes:?}");
        }
    }
}
