//! Whole documents: proved first, then given to serde.

use serde::Deserialize;

use super::reader::Reader;
use crate::escape::shown;

/// Deepest nesting of a document.
const MAX_DEPTH: usize = 64;
/// Positions in a text are kept in four bytes.
const MAX_BYTES: usize = u32::MAX as usize;

/// `bytes` as text, if they are one JSON value by the rules of this room; what is wrong with them, ready to be shown,
/// if they are not.
pub(crate) fn checked(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("expected at most {MAX_BYTES} bytes, got {}", bytes.len()));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| format!("byte {}: not UTF-8", error.valid_up_to()))?;
    let mut reader = Reader::new(text, MAX_DEPTH);
    let read = reader.skip().and_then(|()| reader.end());
    read.map(|()| text).map_err(|fault| format!("byte {}: {}", fault.at, fault.what))
}

/// The value that `bytes` hold, or what is wrong with them, ready to be shown.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_str(checked(bytes)?).map_err(|error| shown(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;

    #[test]
    fn ordinary_documents_are_read() {
        assert_eq!(
            parse::<Value>(br#"{"a": [1, -2, 0.5, "x", null, true]}"#),
            Ok(json!({"a": [1, -2, 0.5, "x", null, true]}))
        );
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let check = |text: &[u8], expected: &str| {
            let error = parse::<Value>(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(br#"{"a": 1, "a": 1}"#, "byte 9: `a` is there twice");
        check(br#"{"b": {"a": 1, "\u0061": 1}}"#, "`a` is there twice");
        check(b"{} x", "expected the end of the text, got `x`");
        check(b"{\"a\": NaN}", "expected a value, got `N`");
        check(b"\xff", "byte 0: not UTF-8");
        check(b"", "expected a value, got the end of the text");
        check(&[b"[".repeat(65), b"]".repeat(65)].concat(), "nested more than 64 levels deep");
        check(&b"[".repeat(100_000), "nested more than 64 levels deep");
        assert!(parse::<Value>(&[b"[".repeat(64), b"]".repeat(64)].concat()).is_ok());
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        assert!(parse::<Vec<u64>>(b"[1, \"x\"]").unwrap_err().contains("invalid type: string"));
    }
}
