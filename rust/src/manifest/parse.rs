//! `soce.json`, read as if a stranger had written it: strict JSON, its digests computed from the very bytes, its parts
//! compared with each other. No name in it has led anywhere when this is done.

use serde::Deserialize;

use super::document::{FORMAT, FORMAT_OF_MIXTURES, Manifest};
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
    if !(FORMAT..=FORMAT_OF_MIXTURES).contains(&format) {
        let known = format!("{FORMAT} to {FORMAT_OF_MIXTURES}");
        return Err(format!("has format {format}, this version of soce knows {known}"));
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
    use std::collections::BTreeMap;

    use serde_json::{Map, Value};

    use super::*;
    use crate::dtype::Dtype;
    use crate::manifest::{
        Counts, Digests, DonorEntry, How, NUMERICS, Outcome, RecipeEntry, RowEntry, RunEntry, ShardEntry,
        SourceEntry, TensorEntry, canonical, digest_of,
    };

    fn written() -> Manifest {
        let name = "model.safetensors".to_owned();
        let tensor = TensorEntry {
            how: How::Averaged,
            dtype: Dtype::BF16,
            shape: vec![2],
            shard: name.clone(),
            offset: 80,
            length: 4,
            blake3: None,
            non_finite: None,
            differences: None,
        };
        let row = RowEntry {
            pattern: "*".to_owned(),
            parts: vec![2, 1],
            whole: 3,
            filters: None,
            wholes: None,
            masks: None,
        };
        let result = Outcome {
            format: FORMAT,
            numerics: NUMERICS,
            recipe: RecipeEntry { method: "linear".to_owned(), rows: vec![row] },
            ingredients: None,
            donor: DonorEntry { side_files: BTreeMap::new(), left_out: Vec::new() },
            tensors: BTreeMap::from([("w".to_owned(), tensor)]),
            tied: Vec::new(),
            left_out: BTreeMap::new(),
            shards: vec![ShardEntry { name: name.clone(), size: 84, sha256: None }],
            files: vec![name],
            counts: Counts { averaged: 1, copied: 0, taken: 0, left_out: 0, tied: 0, refused: 0 },
        };
        let source = |part| SourceEntry {
            parts: vec![part],
            gave_config: part == 1,
            column: None,
            content: None,
            shards: Vec::new(),
            hub: None,
            adapter: None,
        };
        let run = RunEntry {
            more: Map::from_iter([("soce".to_owned(), "0.1.0".into()), ("core".to_owned(), "hidden".into())]),
            core: "0.1.0".to_owned(),
            kernels: "scalar".to_owned(),
            digests: Digests::None,
            num_threads: 1,
            bytes_read: 8,
            bytes_written: 84,
            os: "linux".to_owned(),
            architecture: "x86_64".to_owned(),
            warnings: Vec::new(),
            ingredients: vec!["a".to_owned(), "b".to_owned()],
            resumes: 0,
        };
        let mut manifest = Manifest {
            result_digest: digest_of(&result),
            result,
            plan_digest: Digest::of(b"plan"),
            sources: vec![source(1), source(2)],
            run,
            file_digest: None,
        };
        manifest.file_digest = Some(digest_of(&manifest));
        manifest
    }

    #[test]
    fn what_is_written_is_read_without_a_complaint() {
        let text = canonical(&written());
        let (read, wrong) = parse(text.as_bytes()).expect("a manifest");
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!((read.level(), read.row("w"), read.run.core.as_str()), (Digests::None, Some(0), "0.1.0"));
        assert_eq!(read.run.more, Map::from_iter([("soce".to_owned(), "0.1.0".into())]));
    }

    #[test]
    fn keys_that_the_format_does_not_have_are_refused_but_in_run() {
        let with_more = |place: &str| {
            let mut value = serde_json::to_value(written()).expect("plain data");
            let object = value.pointer_mut(place).and_then(Value::as_object_mut).expect(place);
            object.insert("more".to_owned(), 1.into());
            parse(canonical(&value).as_bytes())
        };
        for place in ["", "/result", "/result/recipe/rows/0", "/result/tensors/w", "/sources/1"] {
            let error = with_more(place).expect_err(place);
            assert!(error.contains("unknown field `more`"), "{place}: {error}");
        }
        let (_, wrong) = with_more("/run").expect("a manifest");
        assert!(matches!(&wrong[..], [only] if only.starts_with("`file_digest`: ")), "{wrong:?}");
    }

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
        check(b"{\"result\":{\"format\":4}}", "has format 4, this version of soce knows 1 to 3");
        check(b"{\"result\":{\"format\":0}}", "has format 0");
        check(&b"[".repeat(100_000), "nested more than 64 levels deep");
    }
}
