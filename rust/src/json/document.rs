//! Whole documents: proved first, then given to serde.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::reader::{Reader, Step};
use crate::escape::shown;

/// Deepest nesting of a document.
const MAX_DEPTH: usize = 64;
/// Positions in a text are kept in four bytes.
const MAX_BYTES: usize = u32::MAX as usize;

/// `bytes` as text, if they are one JSON value by the rules of this room; what is wrong with them, ready to be shown,
/// if they are not.
pub(crate) fn checked(bytes: &[u8]) -> Result<&str, String> {
    let text = as_text(bytes)?;
    whole(Reader::new(text, MAX_DEPTH), Reader::skip).map(|()| text)
}

fn as_text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("expected at most {MAX_BYTES} bytes, got {}", bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|error| format!("byte {}: not UTF-8", error.valid_up_to()))
}

/// What `read` makes of a whole text.
fn whole<'a, T>(mut reader: Reader<'a>, read: impl FnOnce(&mut Reader<'a>) -> Step<T>) -> Result<T, String> {
    let value = read(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|fault| format!("byte {}: {}", fault.at, fault.what))
}

/// The value that `bytes` hold, or what is wrong with them, ready to be shown.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_str(checked(bytes)?).map_err(|error| shown(&error.to_string()))
}

/// The same for files that transformers writes, and so Python's `json`: `NaN`, `Infinity` and `-Infinity` may stand in
/// them, and become text here because a [`Value`] has no such numbers.
pub(crate) fn parse_python(bytes: &[u8]) -> Result<Value, String> {
    whole(Reader::of_python(as_text(bytes)?, MAX_DEPTH), value)
}

fn value(reader: &mut Reader<'_>) -> Step<Value> {
    match reader.peek() {
        Some(b'{') => {
            let mut members = Map::new();
            reader.object("a value", |reader, key| {
                members.insert(key.into_owned(), value(reader)?);
                Ok(())
            })?;
            Ok(Value::Object(members))
        }
        Some(b'[') => {
            let mut items = Vec::new();
            reader.array("a value", |reader| {
                items.push(value(reader)?);
                Ok(())
            })?;
            Ok(Value::Array(items))
        }
        _ => {
            if let Some(constant) = reader.constant() {
                return Ok(Value::from(constant));
            }
            let start = reader.position();
            let token = reader.raw()?;
            serde_json::from_str(token).or_else(|error| reader.fault_at(start, shown(&error.to_string())))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{parse, parse_python};

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
    fn pythons_constants_are_read_where_python_writes() {
        let text = br#"{"a": [0.0, Infinity, -Infinity], "b": {"c": NaN}, "d": "NaN", "e": 1e-5, "f": null}"#;
        let expected = json!({
            "a": [0.0, "Infinity", "-Infinity"], "b": {"c": "NaN"}, "d": "NaN", "e": 1e-5, "f": null,
        });
        assert_eq!(parse_python(text), Ok(expected));
        assert!(parse::<Value>(text).unwrap_err().contains("expected a value, got `I`"));
    }

    #[test]
    fn the_other_rules_hold_for_python_too() {
        let check = |text: &[u8], expected: &str| {
            let error = parse_python(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(br#"{"a": 1, "a": 2}"#, "byte 9: `a` is there twice");
        check(b"{} x", "expected the end of the text");
        check(b"[nan]", "expected a value, got `n`");
        check(b"[+Infinity]", "expected a value, got `+`");
        check(b"[1e999]", "out of range");
        check(&b"[".repeat(100_000), "nested more than 64 levels deep");
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        assert!(parse::<Vec<u64>>(b"[1, \"x\"]").unwrap_err().contains("invalid type: string"));
    }
}
