//! A checkpoint on disk: its shards, their headers, and where each tensor's bytes lie.
//!
//! Headers are the truth: index, file names and sizes must agree with them, or the checkpoint is refused. Nothing here
//! reads tensor data, and nothing is ever opened for writing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::dtype::Dtype;
use crate::error::Problem;

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Last change of the inode, nanoseconds since 1970.
    pub ctime_ns: i128,
}

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
    pub header_sha256: [u8; 32],
    /// Its tensors in file order.
    pub tensors: Vec<TensorInfo>,
}

/// Where a tensor is: shard number, then number within the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Index into [`Checkpoint::shards`].
    pub shard: usize,
    /// Index into [`Shard::tensors`].
    pub tensor: usize,
}

/// All shards of one model.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The directory, or the single file, as the user gave it.
    pub root: PathBuf,
    /// Shards sorted by file name.
    pub shards: Vec<Shard>,
    /// Every tensor by name.
    pub tensors: BTreeMap<String, Location>,
    /// Odd but harmless findings, ready to be shown.
    pub warnings: Vec<String>,
}

/// What the user allows beyond the strict rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Read shards and side files that are links to regular files elsewhere.
    pub follow_links: bool,
    /// Accept `*.safetensors` files that the index does not mention, without reading them.
    pub ignore_unreferenced: bool,
}

impl Checkpoint {
    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let location = self.tensors.get(name)?;
        self.shards.get(location.shard)?.tensors.get(location.tensor)
    }

    /// The directory that holds config and tokenizer; `None` if the checkpoint was given as a single file.
    pub fn directory(&self) -> Option<&Path> {
        (self.shards.first()?.path != self.root).then_some(self.root.as_path())
    }
}
