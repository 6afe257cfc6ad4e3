//! Headers, indexes and directories made by strangers: the corpus of `tests/hostile`, then mutations of it.
//!
//! `SOCE_BLESS=1 cargo test` rewrites the expected texts; the verdicts stay with the corpus.

mod costs;
mod mutations;
#[allow(clippy::print_stderr, reason = "a test that proves nothing must say so")]
mod on_disk;
mod oracle;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use _core::checkpoint::{Checkpoint, OpenOptions, index, reopen};
use _core::digest::Digest;
use oracle::{check_against_reference, check_file, check_index, parse_file, text_of};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;

/// Nothing may take longer, whatever stands in a shard's place.
const PATIENCE: Duration = Duration::from_secs(2);

fn hostile(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(name)
}

fn read_json(name: &str) -> Value {
    let text = std::fs::read(hostile(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn cases(group: &str) -> Vec<Value> {
    read_json("corpus.json")[group].as_array().unwrap().clone()
}

/// Bytes of a file of the corpus: `[latin-1 text, times]` pairs.
fn bytes(file: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in file.as_array().unwrap() {
        let piece: Vec<u8> = part[0].as_str().unwrap().chars().map(|c| u8::try_from(c).unwrap()).collect();
        bytes.extend(piece.repeat(part[1].as_u64().unwrap() as usize));
    }
    bytes
}

/// Compares verdict and text of every case with the corpus and the golden file.
fn check_texts(group: &str, got: Vec<(&Value, Result<Vec<String>, String>)>) {
    let mut texts = BTreeMap::new();
    let mut wrong = String::new();
    for (case, got) in got {
        let name = case["name"].as_str().unwrap();
        let as_told = match (&got, case["says"].as_str()) {
            (Ok(_), None) => true,
            (Err(text), Some(says)) => text.contains(says),
            _ => false,
        };
        if !as_told {
            let _ = writeln!(wrong, "{group}/{name}: expected {}, got {got:?}", case["says"]);
        }
        let text = match got {
            Ok(warnings) => {
                ["ok".to_owned()].into_iter().chain(warnings).collect::<Vec<_>>().join("\nwarning: ")
            }
            Err(text) => format!("error: {text}"),
        };
        texts.insert(format!("{group}/{name}"), Value::from(text));
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    if std::env::var_os("SOCE_BLESS").is_some() {
        return bless(texts);
    }
    let expected = read_json("expected.json");
    for (name, text) in &texts {
        assert_eq!(expected.get(name), Some(text), "{name}");
    }
    let listed =
        expected.as_object().unwrap().keys().filter(|name| name.split('/').next() == Some(group)).count();
    assert_eq!(listed, texts.len(), "expected.json lists cases that are not in the corpus");
}

fn bless(texts: BTreeMap<String, Value>) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap();
    let group = texts.keys().next().unwrap().split('/').next().unwrap().to_owned();
    let old = std::fs::read(hostile("expected.json")).unwrap_or_else(|_| b"{}".to_vec());
    let mut all: BTreeMap<String, Value> = serde_json::from_slice(&old).unwrap();
    all.retain(|name, _| name.split('/').next() != Some(&group));
    all.extend(texts);
    let mut text = serde_json::to_string_pretty(&all).unwrap();
    text.push('\n');
    std::fs::write(hostile("expected.json"), text).unwrap();
}

#[test]
fn headers_of_the_corpus_get_their_verdict() {
    let cases = cases("headers");
    let got = cases.iter().map(|case| {
        let file = bytes(&case["file"]);
        let reference = SafeTensors::read_metadata(&file).is_ok();
        assert_eq!(Value::from(reference), case["reference"], "the reference on {}", case["name"]);
        let got = check_file(&file).map_err(|problem| text_of(&[problem])).map(|header| header.warnings);
        (case, got)
    });
    check_texts("headers", got.collect());
}

#[test]
fn the_corpus_has_ten_files_for_each_error_of_the_reference() {
    let mut counts = BTreeMap::new();
    for case in cases("headers") {
        let verdict = SafeTensors::read_metadata(&bytes(&case["file"])).map(|_| ());
        let variant = verdict.err().map_or("none".to_owned(), |error| format!("{error:?}"));
        let variant = variant.split(['(', ' ']).next().unwrap_or_default().to_owned();
        *counts.entry(variant).or_insert(0) += 1;
    }
    assert!(counts.len() == 11 && counts.values().all(|count| *count >= 10), "{counts:?}");
    assert!(cases("indexes").len() >= 100);
    assert!(
        ["headers", "indexes", "directories"].into_iter().map(|group| cases(group).len()).sum::<usize>()
            >= 500
    );
}

#[test]
fn indexes_of_the_corpus_get_their_verdict() {
    let cases = cases("indexes");
    let got = cases.iter().map(|case| {
        let file = bytes(&case["file"]);
        let got = check_index(&file).map_err(|problems| text_of(&problems)).map(|index| index.warnings);
        (case, got)
    });
    check_texts("indexes", got.collect());
}

#[test]
fn a_header_cut_anywhere_is_an_error() {
    let longest =
        cases("headers").into_iter().map(|case| bytes(&case["file"])).filter(|f| parse_file(f).is_ok());
    for file in longest.filter(|file| file.len() < 20_000) {
        for end in 0..file.len() {
            let cut = parse_file(&file[..end]);
            assert!(cut.is_err(), "{} of {} bytes are accepted", end, file.len());
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_what_the_reference_reads() {
    let good = br#"{"__metadata__":{"a":"b"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"I16","shape":[],"data_offsets":[8,10]}}"#;
    let file = [&(good.len() as u64).to_le_bytes()[..], good, &[0; 10]].concat();
    assert!(parse_file(&file).is_ok());
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            drop(check_file(&flipped));
        }
    }
}

#[test]
fn an_index_cut_anywhere_is_an_error() {
    let text = br#"{"metadata":{"total_size":4},"weight_map":{"a":"x.safetensors","b":"y.safetensors"}}"#;
    for end in 0..text.len() {
        assert!(index::parse(&text[..end]).is_err(), "{end}");
    }
}
