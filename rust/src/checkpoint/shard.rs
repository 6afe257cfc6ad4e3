//! One file of a checkpoint, and its tensors.

use std::path::PathBuf;

use crate::digest::Digest;
use crate::dtype::Dtype;
use crate::io::Identity;

use super::folder::{folder_of, join, within};

/// One tensor of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, unescaped, behind the folder of its part if that has one.
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
    /// Path within the checkpoint: a file name, behind its folder if it belongs to a part in one.
    pub name: String,
    /// State of the file when its header was read.
    pub identity: Identity,
    /// SHA-256 of the header bytes (without the length).
    pub header_sha256: Digest,
    /// Its tensors in file order.
    pub tensors: Vec<TensorInfo>,
}

impl Shard {
    /// The folder of its part.
    pub(crate) fn folder(&self) -> &str {
        folder_of(&self.name)
    }

    /// The shard of a part within the checkpoint.
    pub(super) fn in_folder(mut self, folder: &str) -> Self {
        for tensor in &mut self.tensors {
            tensor.name = join(folder, &tensor.name);
        }
        Self { name: join(folder, &self.name), ..self }
    }

    /// The shard of a checkpoint within its part.
    pub(super) fn within(mut self, folder: &str) -> Self {
        for tensor in &mut self.tensors {
            tensor.name = within(folder, &tensor.name).to_owned();
        }
        Self { name: within(folder, &self.name).to_owned(), ..self }
    }
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
