//! Names from files, made safe for a terminal, a log or an exception text.

use std::fmt::Write as _;
use std::path::Path;

/// Longest text shown in full, in characters.
const SHOWN: usize = 200;

/// Names or problems of one sort told in full before the rest is only counted.
pub(crate) const LISTED: usize = 10;

/// Names in backticks, the first few of them.
pub(crate) fn listing<T: AsRef<str>>(names: &[T]) -> String {
    listing_of(names, names.len() as u64)
}

/// The same where `names` are only the first of `count`.
pub(crate) fn listing_of<T: AsRef<str>>(names: &[T], count: u64) -> String {
    let first: Vec<String> =
        names.iter().take(LISTED).map(|name| format!("`{}`", shown(name.as_ref()))).collect();
    let rest = count.saturating_sub(LISTED as u64);
    if rest > 0 { format!("{} and {rest} more", first.join(", ")) } else { first.join(", ") }
}

/// A number with its noun.
pub(crate) fn counted(number: u64, noun: &str, plural: &str) -> String {
    format!("{number} {}", if number == 1 { noun } else { plural })
}

/// A path in backticks, made safe.
pub fn quoted(path: &Path) -> String {
    format!("`{}`", shown(&path.to_string_lossy()))
}

/// `text` with control, bidirectional, zero-width and line-separating characters written as `\u{..}`, cut after
/// 200 characters with a count of the rest.
///
/// ```
/// assert_eq!(_core::escape::shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
/// ```
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(4 * SHOWN));
    for character in text.chars().take(SHOWN) {
        if hidden(character) {
            let _ = write!(out, "\\u{{{:x}}}", character as u32);
        } else {
            out.push(character);
        }
    }
    let rest = text.chars().count().saturating_sub(SHOWN);
    if rest > 0 {
        let _ = write!(out, "... ({})", counted(rest as u64, "more character", "more characters"));
    }
    out
}

fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn controls_and_direction_marks_are_spelt_out() {
        assert_eq!(shown("x\u{202e}y\n\u{7f}\u{9b}"), "x\\u{202e}y\\u{a}\\u{7f}\\u{9b}");
    }

    #[test]
    fn long_names_are_cut_with_a_count() {
        assert!(shown(&"a".repeat(1000)).ends_with("... (800 more characters)"));
    }
}
