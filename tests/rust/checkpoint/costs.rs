//! What the parsers may cost: memory and time in proportion to the input, for the inputs that ask for most.

use super::oracle::{parse_file, parse_index};

/// A file of this header and `data` zero bytes.
fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

/// `entries` between braces, separated by commas.
fn object(entries: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

/// The shortest names there are, all different.
fn short(i: usize) -> String {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut name = String::new();
    let mut rest = i;
    while rest > 0 {
        name.push(char::from(DIGITS[rest % DIGITS.len()]));
        rest /= DIGITS.len();
    }
    name
}

const MANY: usize = 120_000;

#[test]
fn headers_take_memory_in_proportion_to_their_length() {
    let empty = |i: usize, shape: &str| {
        format!(r#""{}":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,0]}}"#, short(i))
    };
    let zeros = vec!["0"; 64].join(",");
    for (what, header, taken) in [
        ("short entries", object((0..MANY).map(|i| empty(i, "0"))), true),
        ("64 dimensions each", object((0..MANY / 3).map(|i| empty(i, &zeros))), true),
        (
            "long names",
            object((0..500).map(|i| format!("\"{}{}", "n".repeat(4000), &empty(i, "0")[1..]))),
            true,
        ),
        (
            "escaped names",
            object((0..2000).map(|i| format!("\"{}{}", "\\/".repeat(2000), &empty(i, "0")[1..]))),
            true,
        ),
        (
            "one string of escapes",
            format!(r#"{{"__metadata__":{{"k":"{}"}}}}"#, "\\/".repeat(2_000_000)),
            true,
        ),
        (
            "one escape, then a long string",
            format!(r#"{{"__metadata__":{{"k":"\/{}"}}}}"#, "v".repeat(5_000_000)),
            true,
        ),
        (
            "keys of metadata",
            format!(r#"{{"__metadata__":{}}}"#, object((0..MANY).map(|i| format!(r#""{}":"""#, short(i))))),
            true,
        ),
        (
            "keys of an unknown field",
            format!(
                r#"{{"a":{{"x":{},"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}}"#,
                object((0..MANY).map(|i| format!(r#""{}":0"#, short(i))))
            ),
            true,
        ),
        (
            "numbers of an unknown field",
            format!(r#"{{"a":{{"x":[{}]}}}}"#, vec!["0"; 2_000_000].join(",")),
            false,
        ),
        ("a long number", format!(r#"{{"a":{{"x":{}}}}}"#, "1".repeat(3_000_000)), false),
        (
            "a long name twice",
            format!(
                "{{\"{0}\":{1},\"{0}\":{1}}}",
                "n".repeat(4096),
                r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
            ),
            false,
        ),
        ("a name of megabytes", format!(r#"{{"{}":0}}"#, "n".repeat(3_000_000)), false),
        ("an escaped name of megabytes", format!(r#"{{"{}":0}}"#, "\\n".repeat(2_000_000)), false),
        (
            "a key of megabytes twice",
            format!("{{\"__metadata__\":{{\"{0}\":\"\",\"{0}\":\"\"}}}}", "\\n".repeat(500_000)),
            false,
        ),
        ("a dtype of megabytes", format!(r#"{{"a":{{"dtype":"{}"}}}}"#, "\u{202e}".repeat(1_000_000)), false),
        (
            "dimensions over the limit",
            format!(r#"{{"a":{{"shape":[{}]}}}}"#, vec!["1"; 2_000_000].join(",")),
            false,
        ),
    ] {
        let parsed = parse_file(&file(&header, 0));
        assert_eq!(parsed.is_ok(), taken, "{what}: {:?}", parsed.map(|header| header.tensors.len()));
    }
}

#[test]
fn indexes_take_memory_in_proportion_to_their_length() {
    let index = |entries: String| format!(r#"{{"weight_map":{entries}}}"#);
    for (what, text, taken) in [
        ("one shard", index(object((0..MANY).map(|i| format!(r#""{}":".safetensors""#, short(i))))), true),
        (
            "a shard for each tensor",
            index(object((0..MANY).map(|i| format!(r#""{0}":"{0}.safetensors""#, short(i))))),
            true,
        ),
        (
            "the same, backwards",
            index(object((0..MANY).rev().map(|i| format!(r#""{i:06}":"{i:06}.safetensors""#)))),
            true,
        ),
        (
            "the same, in order",
            index(object((0..MANY).map(|i| format!(r#""{}":"{i:06}.safetensors""#, short(i))))),
            true,
        ),
        ("all names bad", index(object((0..MANY).map(|i| format!(r#""{0}":"{0}""#, short(i))))), false),
        ("one long name, bad", index(format!(r#"{{"a":"{}"}}"#, "\\n".repeat(2_000_000))), false),
        ("unknown keys", object((0..MANY).map(|i| format!(r#""{}":0"#, short(i)))), false),
        ("a long key", format!(r#"{{"{}":0}}"#, "k".repeat(3_000_000)), false),
        (
            "keys of metadata",
            format!(
                r#"{{"metadata":{},"weight_map":{{"a":"a.safetensors"}}}}"#,
                object((0..MANY).map(|i| format!(r#""{}":0"#, short(i))))
            ),
            true,
        ),
    ] {
        assert_eq!(parse_index(text.as_bytes()).is_ok(), taken, "{what}");
    }
}
