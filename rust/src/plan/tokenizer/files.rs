//! Which files a tokenizer is made of, by their names.

/// What a file says about tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `tokenizer.json`: the whole tokenizer.
    Whole,
    /// An object of ids by token.
    Ids,
    /// One token a line; the place is the id.
    Lines,
    /// A sentencepiece model, or tiktoken's lines of token and rank: both are found under one name.
    Pieces,
    /// `tekken.json`: a list of tokens and ranks.
    Ranks,
    /// Ids of tokens that were added: `added_tokens.json`.
    Added,
    /// The same inside `tokenizer_config.json`.
    Config,
    /// `special_tokens_map.json`: which tokens play which part.
    Special,
    /// How texts are cut, without ids.
    Merges,
}

/// The kind of the file `name`; `None` for one that is no part of a tokenizer, or that says nothing about tokens.
pub(super) fn kind(name: &str) -> Option<Kind> {
    match name {
        "tokenizer.json" => return Some(Kind::Whole),
        "added_tokens.json" => return Some(Kind::Added),
        "tokenizer_config.json" => return Some(Kind::Config),
        "special_tokens_map.json" => return Some(Kind::Special),
        "tekken.json" => return Some(Kind::Ranks),
        "merges.txt" => return Some(Kind::Merges),
        "dict.txt" => return Some(Kind::Lines),
        _ => {}
    }
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&[".codes", ".bpe"]) {
        Some(Kind::Merges)
    } else if ends(&[".model", ".spm", ".tiktoken"]) || name.contains(".model.v") {
        Some(Kind::Pieces)
    } else if name.contains("vocab") && ends(&[".json"]) {
        Some(Kind::Ids)
    } else if name.contains("vocab") && ends(&[".txt", ".vocab"]) {
        Some(Kind::Lines)
    } else {
        None
    }
}

/// Whether a file belongs to a tokenizer, whatever it says. Programs and pickles never do.
pub(in crate::plan) fn belongs(name: &str) -> bool {
    const FIRST: [&str; 5] = ["tokenizer", "vocab", "spiece", "sentencepiece", "bpe"];
    const NEVER: [&str; 11] =
        [".py", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".safetensors", ".h5", ".msgpack", ".npz"];
    let starts = FIRST.iter().any(|first| name.starts_with(first));
    kind(name).is_some() || starts && !NEVER.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::{Kind, belongs, kind};

    #[test]
    fn files_are_known_by_their_names() {
        for (name, expected) in [
            ("vocab.json", Some(Kind::Ids)),
            ("vocab-src.json", Some(Kind::Ids)),
            ("target_vocab.json", Some(Kind::Ids)),
            ("vocab.txt", Some(Kind::Lines)),
            ("sentencepiece.bpe.vocab", Some(Kind::Lines)),
            ("spiece.model", Some(Kind::Pieces)),
            ("sentencepiece.bpe.model", Some(Kind::Pieces)),
            ("tokenizer.model.v3", Some(Kind::Pieces)),
            ("source.spm", Some(Kind::Pieces)),
            ("qwen.tiktoken", Some(Kind::Pieces)),
            ("bpe.codes", Some(Kind::Merges)),
            ("vocab.bpe", Some(Kind::Merges)),
            ("config.json", None),
            ("LICENSE.txt", None),
        ] {
            assert_eq!(kind(name), expected, "{name}");
            assert_eq!(belongs(name), expected.is_some(), "{name}");
        }
        assert!(belongs("tokenizer.dat") && belongs("vocab"));
        assert!(!belongs("tokenizer.py") && !belongs("vocab.pkl"));
    }
}
