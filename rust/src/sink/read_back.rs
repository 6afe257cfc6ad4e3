//! Reads a finished shard again and compares it with what its run knew.

use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::journal::TensorResult;
use super::state;
use crate::control::Control;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::escape::counted;
use crate::io::platform;
use crate::plan::{Plan, PlannedShard};

/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

/// What reading a shard gave.
#[derive(Debug)]
pub(crate) struct ReadBack {
    /// SHA-256 of the file.
    pub(crate) sha256: Option<Digest>,
    /// What is not as it should be, in words.
    pub(crate) difference: Option<String>,
}

/// Compare the file `directory/<shard's name>`, from its first byte to its last, with the planned header and with the
/// digests in `tensors`, one for each tensor of the shard. `sha256`: compute it on the way.
///
/// # Errors
/// [`Error::Cancelled`]. A file that cannot be read is a difference.
pub(crate) fn read_back(
    directory: &Path,
    plan: &Plan,
    shard: &PlannedShard,
    tensors: &[TensorResult],
    sha256: bool,
    control: &Control,
) -> Result<ReadBack> {
    let mut whole = sha256.then(Sha256::new);
    match compare(&directory.join(&shard.name), plan, shard, tensors, whole.as_mut(), control) {
        Ok(difference) => Ok(ReadBack { sha256: whole.map(|hasher| hasher.finalize().into()), difference }),
        Err(Error::Cancelled) => Err(Error::Cancelled),
        Err(error) => Ok(ReadBack { sha256: None, difference: Some(error.to_string()) }),
    }
}

fn compare(
    path: &Path,
    plan: &Plan,
    shard: &PlannedShard,
    tensors: &[TensorResult],
    mut whole: Option<&mut Sha256>,
    control: &Control,
) -> Result<Option<String>> {
    let file = state::open(path, false).map_err(|error| Error::io(path, "cannot open", error))?;
    let size = file.metadata().map_err(|error| Error::io(path, "cannot examine", error))?.len();
    if size != shard.size {
        return Ok(Some(format!("expected {} bytes, got {size}", shard.size)));
    }
    if tensors.len() != shard.tensors.len() {
        let expected = counted(shard.tensors.len() as u64, "tensor", "tensors");
        return Ok(Some(format!("expected {expected}, got {}", tensors.len())));
    }
    let mut buffer = vec![0; BLOCK];
    let mut offset = 0;
    let mut read = |length: u64, seen: &mut dyn FnMut(&[u8])| -> Result<()> {
        let end = offset + length;
        while offset < end {
            control.check()?;
            let bytes = &mut buffer[..(end - offset).min(BLOCK as u64) as usize];
            read_at(&file, path, bytes, offset)?;
            if let Some(whole) = whole.as_mut() {
                whole.update(&*bytes);
            }
            seen(bytes);
            offset += bytes.len() as u64;
        }
        Ok(())
    };
    let mut header = Vec::new();
    read(shard.header.len() as u64, &mut |bytes| header.extend_from_slice(bytes))?;
    if header != shard.header {
        return Ok(Some("its header is not the planned one".to_owned()));
    }
    for (&tensor, expected) in shard.tensors.iter().zip(tensors) {
        let tensor = &plan.tensors[tensor];
        let mut hasher = blake3::Hasher::new();
        read(tensor.length, &mut |bytes| {
            hasher.update(bytes);
        })?;
        if expected.blake3 != Some(hasher.finalize().into()) {
            let name = crate::escape::shown(&tensor.name);
            return Ok(Some(format!("tensor `{name}`: its bytes are not those that were written")));
        }
    }
    Ok(None)
}

fn read_at(file: &File, path: &Path, bytes: &mut [u8], offset: u64) -> Result<()> {
    platform::read_exact_at(file, bytes, offset).map_err(|error| {
        let error = if error.kind() == io::ErrorKind::UnexpectedEof {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends there")
        } else {
            error
        };
        Error::io(path, format!("cannot read {} bytes at offset {offset}", bytes.len()), error)
    })
}
