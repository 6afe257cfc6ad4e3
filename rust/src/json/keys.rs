//! Keys compared where they stand in the text, after unescaping, without a copy of them.

use std::cmp::Ordering;

use super::escapes::unescape;

/// Order of two valid strings of `text` by their unescaped characters; both positions are at the opening quote.
pub(crate) fn compare(text: &str, a: usize, b: usize) -> Ordering {
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
fn characters(text: &str, mut at: usize) -> impl Iterator<Item = char> {
    std::iter::from_fn(move || {
        let (character, next) = match text.as_bytes().get(at)? {
            b'"' => return None,
            b'\\' => unescape(text, at)?,
            _ => {
                let character = text.get(at..)?.chars().next()?;
                (character, at + character.len_utf8())
            }
        };
        at = next;
        Some(character)
    })
}
