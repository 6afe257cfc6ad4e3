//! `soce.json`, read as if a stranger had written it: strict JSON, its digests computed from the very bytes, its parts
//! compared with each other. No name in it has led anywhere when this is done.

use serde::Deserialize;

use super::document::{FORMAT, Manifest};
use super::read::ReadManifest;
use crate::digest::Digest;
use crate::escape::shown;
use crate::json::{self, Reader};

/// Enough to tell whether the rest can be understood.
#[derive(Deserialize)]
struct Version {
    result: VersionOfResult,
}

#[derive(Deserialize)]
struct VersionOfResult {
    format: u64,
}

/// The manifest and what is wrong with it, or why it is none.
pub(crate) fn parse(bytes: &[u8]) -> Result<(ReadManifest, Vec<String>), String> {
    let text = json::checked(bytes)?;
    let failed = |error: serde_json::Error| format!("is no manifest: {}", shown(&error.to_string()));
    let format = serde_json::from_str::<Version>(text).map_err(failed)?.result.format;
    if format != FORMAT {
        return Err(format!("has format {format}, this version of soce knows {FORMAT}"));
    }
    let mut manifest: Manifest = serde_json::from_str(text).map_err(failed)?;
    let Some(file_digest) = manifest.file_digest.take() else {
        return Err("is no manifest: missing field `file_digest`".to_owned());
    };
    let mut manifest = ReadManifest::new(manifest)?;
    let mut wrong = Vec::new();
    let result = hash(&[member(text, "result").unwrap_or_default()]);
    manifest.result_is_right = result == manifest.result_digest;
    if !manifest.result_is_right {
        wrong.push(differs("result_digest", result, manifest.result_digest));
    }
    match member(text, "file_digest").and_then(|raw| without(text, raw)) {
        Some(parts) => {
            let whole = hash(&parts);
            if whole != file_digest {
                wrong.push(differs("file_digest", whole, file_digest));
            }
        }
        None => wrong.push("is not written as soce writes it: white space around `file_digest`".to_owned()),
    }
    manifest.check(&mut wrong);
    Ok((manifest, wrong))
}

/// A member of the object `text`, as it is written.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let mut reader = Reader::new(text, usize::MAX);
    let read = reader.object("an object", |reader, key| {
        let value = reader.raw()?;
        if key == name {
            found = Some(value);
        }
        Ok(())
    });
    found.filter(|_| read.is_ok())
}

/// The text without the member `file_digest` and its comma; `value` is a slice of it. `None` if it is not canonical.
fn without<'a>(text: &'a str, value: &str) -> Option<[&'a str; 2]> {
    let start = (value.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let before = text.get(..start)?.strip_suffix("\"file_digest\":")?;
    let after = text.get(start.checked_add(value.len())?..)?;
    match (after.strip_prefix(','), before.strip_suffix(',')) {
        (Some(after), _) => Some([before, after]),
        (None, Some(before)) => Some([before, after]),
        (None, None) => None,
    }
}

fn hash(parts: &[&str]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

fn differs(what: &str, expected: Digest, got: Digest) -> String {
    format!("`{what}`: expected {expected}, as computed from the file, got `{got}`")
}

#[cfg(test)]
mod tests {
    use super::{parse, without};

    #[test]
    fn the_file_digest_is_cut_out_of_the_text() {
        let check = |text: &str, value: &str, expected: Option<[&str; 2]>| {
            let at = text.find(value).unwrap();
            assert_eq!(without(text, &text[at..at + value.len()]), expected, "{text}");
        };
        check(r#"{"file_digest":"x","z":1}"#, "\"x\"", Some(["{", "\"z\":1}"]));
        check(r#"{"a":1,"file_digest":"x"}"#, "\"x\"", Some(["{\"a\":1", "}"]));
        check(r#"{"file_digest": "x","z":1}"#, "\"x\"", None);
        check(r#"{"file_digest":"x"}"#, "\"x\"", None);
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_a_reason() {
        let check = |text: &[u8], expected: &str| {
            let got = parse(text).expect_err("refused");
            assert!(got.contains(expected), "{got}");
        };
        check(b"\xff", "byte 0: not UTF-8");
        check(b"{\"a\":1,\"a\":1}", "`a` is there twice");
        check(b"{\"result\":{\"format\":1,\"x\":{\"y\":1,\"\\u0079\":2}}}", "`y` is there twice");
        check(b"[]", "is no manifest");
        check(b"{}", "missing field `result`");
        check(b"{\"result\":{\"format\":2}}", "has format 2, this version of soce knows 1");
        check(&b"[".repeat(100_000), "nested more than 64 levels deep");
    }
}
