//! What the parsers of headers and indexes must keep on any bytes. Shared with the fuzz targets.

use std::fmt::Write as _;

use _core::Problem;
use _core::checkpoint::{TensorInfo, header, index};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::allocation::peak_of;

/// Memory that a parser may take for `bytes` of input.
fn allowance(bytes: usize) -> u64 {
    4 * bytes as u64 + (1 << 20)
}

/// The header of a whole file, within the memory allowed.
pub(crate) fn parse_file(file: &[u8]) -> Result<header::Header, Problem> {
    let (parsed, peak) = peak_of(|| {
        let length = header::length(file, file.len() as u64)?;
        header::parse(&file[8..8 + length as usize], file.len() as u64)
    });
    assert!(peak <= allowance(file.len()), "{peak} bytes of memory for a file of {}", file.len());
    parsed
}

/// An index, within the memory allowed.
pub(crate) fn parse_index(text: &[u8]) -> Result<index::Index, Vec<Problem>> {
    let (parsed, peak) = peak_of(|| index::parse(text));
    assert!(peak <= allowance(text.len()), "{peak} bytes of memory for an index of {}", text.len());
    parsed
}

/// Problems as they are shown: short, and without control characters.
pub(crate) fn text_of(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let newline = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{newline}{problem}");
        if let Some(hint) = &problem.hint {
            let _ = write!(text, "\nhint: {hint}");
        }
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "raw control character in {text:?}");
    assert!(text.len() < 20_000, "{} bytes of text", text.len());
    text
}

/// What soce takes, the reference takes with the same meaning.
pub(crate) fn check_against_reference(file: &[u8], tensors: &[TensorInfo]) {
    let (length, reference) = SafeTensors::read_metadata(file).expect("the reference takes what soce takes");
    let theirs = reference.tensors();
    assert_eq!(theirs.len(), tensors.len());
    for ours in tensors {
        let their = theirs[&ours.name];
        assert_eq!(format!("{:?}", their.dtype), ours.dtype.name());
        assert_eq!(their.shape.iter().map(|d| *d as u64).collect::<Vec<_>>(), ours.shape);
        let begin = (8 + length + their.data_offsets.0) as u64;
        assert_eq!((begin, (their.data_offsets.1 - their.data_offsets.0) as u64), (ours.offset, ours.length));
    }
}

/// What soce refuses although the reference takes it: nothing but what was decided so.
pub(crate) fn check_refusal(file: &[u8], problem: &Problem) {
    const DECIDED: [&str; 9] = [
        "is there twice",
        "expected an object with dtype, shape and data_offsets, got an array",
        "expected dtype to be a string, got an object",
        "expected a name of at most",
        "expected a dimension of at most 2^48",
        "expected at most 64 dimensions",
        "overflows 64 bits",
        "nested more than",
        "is out of range",
    ];
    let text = text_of(std::slice::from_ref(problem));
    if !DECIDED.iter().any(|reason| text.contains(reason)) {
        assert!(SafeTensors::read_metadata(file).is_err(), "the reference takes what soce refuses: {text}");
    }
}

/// No panic, no raw text in errors, and what the reference takes but for what was decided otherwise.
pub(crate) fn check_file(file: &[u8]) -> Result<header::Header, Problem> {
    let parsed = parse_file(file);
    match &parsed {
        Ok(header) => {
            check_against_reference(file, &header.tensors);
            header.warnings.iter().for_each(|warning| check_warning(warning));
        }
        Err(problem) => check_refusal(file, problem),
    }
    parsed
}

/// No panic, no raw text in errors, names that are file names, and nothing read that `serde_json` reads otherwise.
pub(crate) fn check_index(text: &[u8]) -> Result<index::Index, Vec<Problem>> {
    let parsed = parse_index(text);
    match &parsed {
        Ok(index) => {
            check_against_json(text, index);
            index.warnings.iter().for_each(|warning| check_warning(warning));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            text_of(problems);
        }
    }
    parsed
}

fn check_warning(text: &str) {
    assert!(!text.chars().any(char::is_control), "raw control character in {text:?}");
}

fn check_against_json(text: &[u8], index: &index::Index) {
    let value: Value = serde_json::from_slice(text).expect("serde_json takes what soce takes");
    let map = value["weight_map"].as_object().expect("a map of tensors to files");
    assert_eq!(map.len(), index.tensors.len());
    assert!(index.tensors.is_sorted() && index.shards.is_sorted());
    let mut used = vec![false; index.shards.len()];
    for (tensor, shard) in &index.tensors {
        assert_eq!(map[tensor].as_str(), Some(index.shards[*shard as usize].as_str()));
        used[*shard as usize] = true;
    }
    assert!(used.iter().all(|used| *used), "every shard is of some tensor");
    for shard in &index.shards {
        let mut parts = std::path::Path::new(shard).components();
        assert!(matches!(
            (parts.next(), parts.next()),
            (Some(std::path::Component::Normal(name)), None) if name == shard.as_str()
        ));
    }
    assert_eq!(index.total_size, value["metadata"]["total_size"].as_u64());
}
