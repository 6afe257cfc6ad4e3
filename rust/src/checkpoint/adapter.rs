//! An adapter on top of a checkpoint: one more file of it, whose tensors are no tensors of the model but change some.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::origin::Origin;
use super::shard::Shard;

/// What becomes of one tensor of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The tensor.
    pub tensor: String,
    /// What changes it.
    pub by: By,
}

/// Tensors of an adapter, by their names in its file.
#[derive(Debug, Clone, PartialEq)]
pub enum By {
    /// `scale·B·A` is added, or its transpose.
    Factors {
        /// As many lines as the rank.
        a: String,
        /// As many columns as the rank.
        b: String,
        /// Of the product.
        scale: f64,
        /// Whether it is transposed.
        transposed: bool,
    },
    /// This one stands in its place.
    Replacement(String),
}

/// A file of safetensors, and what it changes in a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The file.
    pub path: PathBuf,
    /// In the order given.
    pub changes: Vec<Change>,
}

/// An adapter whose header was read.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// Its file.
    pub file: Shard,
    /// Where that came from, if its directory tells.
    pub origin: Origin,
    /// In the order given.
    pub changes: Vec<Change>,
}

/// The adapters of several checkpoints, at most one on top of each, by the number of that.
pub type Adapters = BTreeMap<usize, Changes>;
