//! One file of a checkpoint, and its tensors.

use std::path::PathBuf;

use crate::digest::Digest;
use crate::dtype::Dtype;
use crate::io::Identity;

/// One tensor of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, unescaped.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions; empty for a scalar.
    pub shape: Vec<u64>,
    /// Where its bytes begin, counted from the start of the file.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// One `.safetensors` file, its header read and checked, closed again.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The path as the user reaches it.
    pub path: PathBuf,
    /// File name within the checkpoint.
    pub name: String,
    /// State of the file when its header was read.
    pub identity: Identity,
    /// SHA-256 of the header bytes (without the length).
    pub header_sha256: Digest,
    /// Its tensors in file order.
    pub tensors: Vec<TensorInfo>,
}

/// Where a tensor is: shard number, then number within the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Index into [`super::Checkpoint::shards`].
    pub shard: usize,
    /// Index into [`Shard::tensors`].
    pub tensor: usize,
}

/// A tensor of one checkpoint, with the file that holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocatedTensor<'a> {
    /// The file.
    pub(crate) shard: &'a Shard,
    /// The stretch of it.
    pub(crate) tensor: &'a TensorInfo,
}
