//! All that one tokenizer says about ids, joined from its files.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::files::Kind;
use super::vocabulary::{Ids, read};

/// Ids by token, and how much of the vocabulary they are.
#[derive(Debug, Default)]
pub(super) struct Known {
    base: Ids,
    added: Ids,
    /// Whether every token of the vocabulary is in `base`.
    has_base: bool,
    /// Whether the tokens that were added to the vocabulary are in `added`.
    has_added: bool,
    /// Tokens whose ids depend on the program that reads them.
    pieces: HashSet<String>,
}

/// A token to which two tokenizers give different ids, or one of them none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Difference<'a> {
    pub(super) token: &'a str,
    pub(super) expected: Option<u64>,
    pub(super) got: Option<u64>,
}

impl Known {
    /// Join what files of these names and kinds say; those that cannot be read say nothing.
    pub(super) fn of<'a>(files: impl Iterator<Item = (&'a str, Kind, &'a [u8])>) -> Self {
        let mut known = Self::default();
        for (name, kind, bytes) in files {
            let Ok(said) = read(kind, bytes) else { continue };
            // Lines with counts are of tokenizers that put tokens of their own in front.
            let counted = kind == Kind::Lines && said.base.keys().any(|line| line.contains(' '));
            if gives_ids(name, kind) && !counted {
                known.has_base |= !matches!(kind, Kind::Added | Kind::Config);
                known.has_added |= kind == Kind::Added || !said.added.is_empty();
                for (token, id) in said.base {
                    known.base.entry(token).or_insert(id);
                }
                known.added.extend(said.added);
            } else {
                known.pieces.extend(said.base.into_keys());
            }
        }
        known
    }

    /// Tokens with other ids in `got`, as far as both speak about them.
    pub(super) fn differences<'a>(&'a self, got: &'a Self) -> Vec<Difference<'a>> {
        let (ids, other_ids) = (self.by_id(), got.by_id());
        let tokens: BTreeSet<&String> = self.tokens().chain(got.tokens()).collect();
        let each = tokens.into_iter().filter_map(|token| {
            let (expected, found) = (self.id(token), got.id(token));
            let differs = match (expected, found) {
                (Some(expected), Some(found)) => expected != found,
                (Some(expected), None) => got.lacks(token, expected, self, &other_ids),
                (None, Some(found)) => self.lacks(token, found, got, &ids),
                (None, None) => false,
            };
            differs.then_some(Difference { token, expected, got: found })
        });
        each.collect()
    }

    /// Whether what the file `name` says was looked up here.
    pub(super) fn covers(&self, name: &str, kind: Kind) -> bool {
        match kind {
            Kind::Config | Kind::Special => true, // where they say nothing about ids, nothing is missed
            Kind::Added => self.has_base || self.has_added,
            _ => gives_ids(name, kind) && self.has_base,
        }
    }

    fn tokens(&self) -> impl Iterator<Item = &String> {
        self.base.keys().chain(self.added.keys())
    }

    fn id(&self, token: &str) -> Option<u64> {
        self.added.get(token).or_else(|| self.base.get(token)).copied()
    }

    fn by_id(&self) -> BTreeMap<u64, &str> {
        self.base.iter().chain(&self.added).map(|(token, &id)| (id, token.as_str())).collect()
    }

    /// Whether a token that `other` has is certainly none of these: all of its sort are known, or its id is taken.
    fn lacks(&self, token: &str, id: u64, other: &Self, by_id: &BTreeMap<u64, &str>) -> bool {
        let was_added = other.added.contains_key(token) && !other.base.contains_key(token);
        self.has_base
            || !self.pieces.contains(token) && (was_added && self.has_added || by_id.contains_key(&id))
    }
}

/// Whether the ids in a file are those of the model, whoever reads it.
fn gives_ids(name: &str, kind: Kind) -> bool {
    matches!(kind, Kind::Whole | Kind::Added | Kind::Config) || name == "vocab.json" || name == "vocab.txt"
}

#[cfg(test)]
mod tests {
    use super::{Kind, Known};

    const WHOLE: &[u8] =
        br#"{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]}"#;
    const PIECES: &[u8] = b"\x0a\x03\x0a\x01a\x0a\x03\x0a\x01b";

    fn known(files: &[(&str, Kind, &[u8])]) -> Known {
        Known::of(files.iter().copied())
    }

    fn differing(a: &Known, b: &Known) -> Vec<String> {
        assert_eq!(a.differences(b).len(), b.differences(a).len());
        a.differences(b).iter().map(|each| each.token.to_owned()).collect()
    }

    #[test]
    fn slow_and_fast_files_are_compared_where_they_speak_of_the_same() {
        let whole = known(&[("tokenizer.json", Kind::Whole, WHOLE)]);
        let slow = known(&[
            ("vocab.json", Kind::Ids, br#"{"a": 0, "b": 1}"#),
            ("added_tokens.json", Kind::Added, br#"{"<s>": 2}"#),
        ]);
        assert!(differing(&whole, &slow).is_empty());
        let lines = known(&[("vocab.txt", Kind::Lines, b"b\na\n<s>")]);
        assert_eq!(differing(&whole, &lines), ["a", "b"]);
        let without = known(&[("vocab.txt", Kind::Lines, b"a\nb")]);
        assert_eq!(differing(&whole, &without), ["<s>"]);
    }

    #[test]
    fn added_tokens_of_sentencepiece_are_compared_and_pieces_are_not() {
        let with = |added: &'static str| {
            known(&[
                ("tokenizer.model", Kind::Pieces, PIECES),
                ("added_tokens.json", Kind::Added, added.as_bytes()),
            ])
        };
        assert_eq!(differing(&with(r#"{"x": 2}"#), &with(r#"{"y": 2}"#)), ["x", "y"]);
        assert_eq!(differing(&with(r#"{"x": 2}"#), &with("{}")), ["x"]);
        assert!(differing(&with(r#"{"a": 5}"#), &with("{}")).is_empty(), "a piece is known to both");
        let plain = known(&[("tokenizer.model", Kind::Pieces, PIECES)]);
        assert!(differing(&with(r#"{"x": 2}"#), &plain).is_empty(), "nothing says which tokens were added");
        let whole = known(&[("tokenizer.json", Kind::Whole, WHOLE)]);
        assert!(differing(&whole, &plain).is_empty());
        assert_eq!(differing(&whole, &with(r#"{"y": 2}"#)), ["<s>", "y"]);
    }

    #[test]
    fn lines_with_counts_give_no_ids() {
        let whole = known(&[("tokenizer.json", Kind::Whole, WHOLE)]);
        let counted = known(&[("vocab.txt", Kind::Lines, b"x 12\ny 7")]);
        assert!(differing(&whole, &counted).is_empty());
        assert!(!counted.covers("tokenizer.json", Kind::Whole));
    }
}
