//! Keys compared where they stand in the text, after unescaping, without a copy of them.

use std::cmp::Ordering;

use super::Reader;

/// Order of two valid strings of `text` by their unescaped characters; both positions are at the opening quote.
pub(in crate::checkpoint) fn compare(text: &str, a: usize, b: usize) -> Ordering {
    let bytes = text.as_bytes();
    let mut offset = 1;
    // Equal bytes are equal characters until a quote or a backslash.
    loop {
        match (bytes.get(a + offset), bytes.get(b + offset)) {
            (Some(x), Some(y)) if x == y && *x != b'"' && *x != b'\\' => offset += 1,
            (Some(b'\\'), _) | (_, Some(b'\\')) => break,
            (x, y) => {
                let end = |byte: Option<&u8>| byte.copied().filter(|byte| *byte != b'"');
                return end(x).cmp(&end(y));
            }
        }
    }
    characters(text, a + offset).cmp(characters(text, b + offset))
}

/// The unescaped characters from `at`, which is inside a valid string, to its closing quote.
fn characters(text: &str, at: usize) -> impl Iterator<Item = char> {
    let mut reader = Reader { at, ..Reader::new(text, 0) };
    std::iter::from_fn(move || match reader.byte()? {
        b'"' => None,
        b'\\' => reader.escape().ok(),
        _ => {
            let character = text.get(reader.at..)?.chars().next()?;
            reader.at += character.len_utf8();
            Some(character)
        }
    })
}
