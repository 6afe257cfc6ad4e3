//! The header of one safetensors file: bytes in, tensors out. No I/O, no panic.
//!
//! A strict subset of the format: whatever is accepted here, the `safetensors` crate accepts with the same meaning.
//! Deliberately refused although that crate takes it: names that occur twice (it keeps the last and checks only that
//! one), tensor entries written as arrays, dtypes written as maps, and sizes over the limits below.

mod layout;
mod write;

use std::borrow::Cow;

use self::layout::{count, problem};
use super::shard::TensorInfo;
use crate::dtype::Dtype;
use crate::error::Problem;
use crate::escape::shown;
use crate::json::{Fault, Reader, Step, push};

pub use write::write;

/// Bytes of the length field in front of the header.
pub const LENGTH_BYTES: u64 = 8;
/// Longest header in bytes; the reference's own limit.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Longest tensor name in bytes, unescaped.
pub const MAX_NAME_BYTES: usize = 4096;
/// Most dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 64;
/// Largest dimension.
pub const MAX_DIMENSION: u64 = 1 << 48;

/// The header's grammar needs three levels; the fourth is for fields yet unknown.
const MAX_DEPTH: usize = 4;

/// A header that agrees with itself and with the size of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Tensors in file order; those without bytes come before the tensor that begins where they lie.
    pub tensors: Vec<TensorInfo>,
    /// Odd but harmless findings, without the file's name.
    pub warnings: Vec<String>,
}

/// Length of the header, from the first bytes of a file of `file_size` bytes.
///
/// Eight bytes are needed; a few more let the error say what the file really is.
pub fn length(start: &[u8], file_size: u64) -> Result<u64, Problem> {
    let Some(field) = start.first_chunk::<8>().filter(|_| file_size >= LENGTH_BYTES) else {
        let unfinished = (file_size == 0).then_some("an unfinished write or download");
        return Err(with_hint(
            problem(format!("expected at least 8 bytes, got {file_size}")),
            likeness(start).or(unfinished),
        ));
    };
    let length = u64::from_le_bytes(*field);
    let message = if length == 0 {
        "expected a header, got header length 0".to_owned()
    } else if length > MAX_HEADER_BYTES {
        format!("expected a header of at most {MAX_HEADER_BYTES} bytes, got header length {length}")
    } else if length > file_size - LENGTH_BYTES {
        let missing = length - (file_size - LENGTH_BYTES);
        let refused =
            problem(format!("expected a header of {}, got a file of {file_size} bytes", count(length)));
        let hint = format!("at least {} missing: download again", count(missing));
        return Err(refused.hint(likeness(start).map_or(hint, str::to_owned)));
    } else {
        return Ok(length);
    };
    Err(with_hint(problem(message), likeness(start)))
}

/// Reads the `header` (without its length) of a file of `file_size` bytes.
pub fn parse(header: &[u8], file_size: u64) -> Result<Header, Problem> {
    if header.len() as u64 > MAX_HEADER_BYTES {
        return Err(problem(format!(
            "expected a header of at most {MAX_HEADER_BYTES} bytes, got {}",
            header.len()
        )));
    }
    let text = std::str::from_utf8(header)
        .map_err(|error| problem(format!("byte {} of the header: not UTF-8", error.valid_up_to())))?;
    let mut reader = Reader::new(text, MAX_DEPTH);
    let mut entries = Entries { tensors: Vec::new(), current: None, dimensions: Vec::new(), unknown: None };
    let read =
        reader
            .object("an object", |reader, key| {
                if key == "__metadata__" { metadata(reader) } else { entries.read(reader, key) }
            })
            .and_then(|()| reader.end());
    if let Err(fault) = read {
        return Err(described(fault, entries.current));
    }
    let Entries { mut tensors, unknown, .. } = entries;
    let data = LENGTH_BYTES + header.len() as u64;
    let end = layout::lay_out(&mut tensors, data)?;
    layout::check_size(data.saturating_add(end), file_size)?;
    let warnings = unknown.map(|unknown| unknown.warning()).into_iter().collect();
    Ok(Header { tensors, warnings })
}

fn with_hint(problem: Problem, hint: Option<&str>) -> Problem {
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn described(fault: Fault, tensor: Option<String>) -> Problem {
    let problem = problem(format!("byte {} of the header: {}", fault.at, fault.what));
    match tensor.or(fault.twice.filter(|key| key != "__metadata__")) {
        Some(tensor) => problem.tensor(tensor),
        None => problem,
    }
}

/// What a file that begins so most likely is, if it is none of ours.
fn likeness(start: &[u8]) -> Option<&'static str> {
    let begins = |text: &str| {
        start.get(..text.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(text.as_bytes()))
    };
    if begins("version https://git-lfs") {
        Some("a Git LFS pointer, not the file: `git lfs pull`")
    } else if begins("PK\u{3}\u{4}") || begins("PK\u{5}\u{6}") {
        Some("a zip, perhaps a renamed .bin")
    } else if begins("GGUF") {
        Some("a GGUF file, which has another format")
    } else if begins("<!DOCTYPE") || begins("<html") {
        Some("a web page, the download failed")
    } else if start.starts_with(&[0; 8]) {
        Some("an unfinished write")
    } else if matches!(start, [0x80, 2..=5, ..]) {
        Some("a pickle, perhaps a renamed .bin")
    } else {
        None
    }
}

/// `__metadata__`: null, or strings by name. Nothing in it is interpreted.
fn metadata(reader: &mut Reader<'_>) -> Step<()> {
    if reader.literal("null") {
        return Ok(());
    }
    reader
        .object("`__metadata__` to be an object", |reader, _| {
            reader.string("a string in `__metadata__`").map(drop)
        })
        .map_err(|fault| Fault { twice: None, ..fault })
}

/// Tensor entries as they are read.
struct Entries {
    tensors: Vec<TensorInfo>,
    /// The tensor whose entry is being read.
    current: Option<String>,
    dimensions: Vec<u64>,
    unknown: Option<Unknown>,
}

/// Fields that no version of the format had so far.
struct Unknown {
    tensor: String,
    field: String,
    tensors: usize,
}

impl Unknown {
    fn warning(&self) -> String {
        let (field, tensor) = (shown(&self.field), shown(&self.tensor));
        match self.tensors {
            1 => format!("unknown field `{field}` of tensor `{tensor}` is ignored"),
            n => format!("unknown fields of {n} tensors are ignored, first `{field}` of tensor `{tensor}`"),
        }
    }
}

impl Entries {
    /// One tensor. Offsets stay relative to the data until [`layout::lay_out`].
    fn read(&mut self, reader: &mut Reader<'_>, name: Cow<'_, str>) -> Step<()> {
        if name.len() > MAX_NAME_BYTES {
            let long = name.len();
            self.current = Some(name.into_owned());
            return reader.fault(format!("expected a name of at most {MAX_NAME_BYTES} bytes, got {long}"));
        }
        let start = reader.position();
        let name = self.current.insert(name.into_owned());
        let (dimensions, unknown) = (&mut self.dimensions, &mut self.unknown);
        let (mut dtype, mut shape, mut offsets, mut counted) = (None, None, None, false);
        reader.object("an object with dtype, shape and data_offsets", |reader, field| {
            match &*field {
                "dtype" => dtype = Some(read_dtype(reader)?),
                "shape" => shape = Some(read_shape(reader, dimensions)?),
                "data_offsets" => offsets = Some(read_offsets(reader)?),
                _ => {
                    reader.skip()?;
                    let unknown = unknown.get_or_insert_with(|| Unknown {
                        tensor: name.clone(),
                        field: field.into_owned(),
                        tensors: 0,
                    });
                    unknown.tensors += usize::from(!std::mem::replace(&mut counted, true));
                }
            }
            Ok(())
        })?;
        let Some(dtype) = dtype else { return reader.fault_at(start, "field `dtype` is missing") };
        let Some(shape) = shape else { return reader.fault_at(start, "field `shape` is missing") };
        let Some((offset, length)) = offsets else {
            return reader.fault_at(start, "field `data_offsets` is missing");
        };
        let name = self.current.take().unwrap_or_default();
        push(&mut self.tensors, TensorInfo { name, dtype, shape, offset, length });
        Ok(())
    }
}

fn read_dtype(reader: &mut Reader<'_>) -> Step<Dtype> {
    let start = reader.position();
    let name = reader.string("dtype to be a string")?;
    match Dtype::from_name(&name) {
        Some(dtype) => Ok(dtype),
        None => reader.fault_at(start, format!("unknown dtype `{}`", shown(&name))),
    }
}

fn read_shape(reader: &mut Reader<'_>, dimensions: &mut Vec<u64>) -> Step<Vec<u64>> {
    dimensions.clear();
    reader.array("shape to be an array", |reader| {
        let start = reader.position();
        let dimension = reader.integer("a dimension in whole digits, below 2^64")?;
        if dimension > MAX_DIMENSION {
            return reader.fault_at(start, format!("expected a dimension of at most 2^48, got {dimension}"));
        }
        if dimensions.len() == MAX_DIMENSIONS {
            return reader.fault_at(start, format!("expected at most {MAX_DIMENSIONS} dimensions, got more"));
        }
        dimensions.push(dimension);
        Ok(())
    })?;
    Ok(dimensions.clone())
}

/// Where the data begins and how long it is.
fn read_offsets(reader: &mut Reader<'_>) -> Step<(u64, u64)> {
    let start = reader.position();
    let (mut pair, mut count) = ([0; 2], 0_usize);
    reader.array("data_offsets to be an array", |reader| {
        let offset = reader.integer("an offset in whole digits, below 2^64")?;
        if let Some(slot) = pair.get_mut(count) {
            *slot = offset;
        }
        count = count.saturating_add(1);
        Ok(())
    })?;
    if count != 2 {
        return reader.fault_at(start, format!("expected 2 data_offsets, got {count}"));
    }
    let [begin, end] = pair;
    match end.checked_sub(begin) {
        Some(length) => Ok((begin, length)),
        None => reader.fault_at(start, format!("expected data_offsets that rise, got [{begin}, {end}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::{length, parse};

    fn check(header: &str, data: u64, expected: Result<&str, &str>) {
        let got = parse(header.as_bytes(), 8 + header.len() as u64 + data);
        let names = got.as_ref().map(|header| {
            header.tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>().join(" ")
        });
        let names = names.map_err(ToString::to_string);
        assert_eq!(names.as_deref().map_err(String::as_str), expected, "{header}");
    }

    #[test]
    fn tensors_come_in_file_order_with_offsets_from_the_start_of_the_file() {
        let text = r#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]},"a":{"data_offsets":[0,2],"shape":[],"dtype":"BF16"}}"#;
        check(text, 6, Ok("a b"));
        let header = parse(text.as_bytes(), 8 + text.len() as u64 + 6).unwrap();
        assert_eq!(header.tensors[1].offset, 8 + text.len() as u64 + 2);
        assert_eq!(header.tensors[1].length, 4);
    }

    #[test]
    fn a_tensor_is_named_when_its_entry_is_at_fault() {
        check(
            r#"{"a":null}"#,
            0,
            Err(
                "tensor `a`: byte 5 of the header: expected an object with dtype, shape and data_offsets, got `null`",
            ),
        );
        check(
            r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
            0,
            Err("tensor `a`: byte 53 of the header: `a` is there twice"),
        );
        check(
            r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
            2,
            Err("tensor `a`: expected its data to begin at offset 0, got 1: a hole"),
        );
    }

    #[test]
    fn zeros_do_not_hide_an_overflow() {
        let huge = 1_u64 << 48;
        for shape in [format!("[0,{huge},{huge}]"), format!("[{huge},{huge},0]")] {
            let text = format!(r#"{{"a":{{"dtype":"U8","shape":{shape},"data_offsets":[0,0]}}}}"#);
            let shape = shape.replace(',', ", ");
            check(&text, 0, Err(&format!("tensor `a`: U8 {shape} overflows 64 bits")));
        }
    }

    #[test]
    fn a_header_may_have_100_million_bytes() {
        let mut text = b"{}".to_vec();
        text.resize(super::MAX_HEADER_BYTES as usize, b' ');
        let size = 8 + text.len() as u64;
        assert!(parse(&text, size).is_ok());
        assert_eq!(length(&super::MAX_HEADER_BYTES.to_le_bytes(), size), Ok(super::MAX_HEADER_BYTES));
        text.push(b' ');
        let message = parse(&text, size + 1).unwrap_err().message;
        assert_eq!(message, "expected a header of at most 100000000 bytes, got 100000001");
    }

    #[test]
    fn what_a_file_really_is_becomes_a_hint() {
        let hint = |start: &[u8]| length(start, 1000).unwrap_err().hint.unwrap_or_default();
        assert_eq!(
            hint(b"version https://git-lfs.github.com/spec/v1"),
            "a Git LFS pointer, not the file: `git lfs pull`"
        );
        assert_eq!(hint(b"<!doctype html>"), "a web page, the download failed");
        assert_eq!(hint(&[0; 16]), "an unfinished write");
        assert_eq!(hint(&2000_u64.to_le_bytes()), "at least 1008 bytes missing: download again");
    }
}
