//! JSON from strangers: no key twice, no deep nesting, nothing after the end.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::escape::shown;

/// Deepest nesting of a side file.
const MAX_DEPTH: usize = 64;

/// The value that `bytes` hold, or what is wrong with them, ready to be shown.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 after byte {}", error.valid_up_to()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { levels: MAX_DEPTH }.deserialize(&mut deserializer);
    value
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| format!("not valid JSON: {}", shown(&error.to_string())))
}

/// Builds a value while counting levels downwards.
#[derive(Clone, Copy)]
struct Strict {
    levels: usize,
}

impl Strict {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1);
        levels.map(|levels| Self { levels }).ok_or_else(|| E::custom(format!("nested over {MAX_DEPTH} levels deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("key `{key}` appears twice")));
            }
            let value = entries.next_value_seed(inside)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn ordinary_documents_are_read() {
        assert_eq!(parse(br#"{"a": [1, -2, 0.5, "x", null, true]}"#), Ok(json!({"a": [1, -2, 0.5, "x", null, true]})));
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let check = |text: &[u8], expected: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(br#"{"a": 1, "a": 1}"#, "key `a` appears twice");
        check(br#"{"b": {"a": 1, "\u0061": 1}}"#, "key `a` appears twice");
        check(b"{} x", "trailing characters");
        check(b"{\"a\": NaN}", "not valid JSON");
        check(b"\xff", "not UTF-8 after byte 0");
        check(b"", "not valid JSON");
        check(&[b"[".repeat(65), b"]".repeat(65)].concat(), "nested over 64 levels deep");
        check(&b"[".repeat(100_000), "nested over 64 levels deep");
        assert!(parse(&[b"[".repeat(64), b"]".repeat(64)].concat()).is_ok());
    }
}
