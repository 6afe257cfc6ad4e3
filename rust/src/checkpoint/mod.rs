//! A checkpoint on disk: its shards, their headers, and where each tensor's bytes lie.
//!
//! Headers are the truth: index, file names and sizes must agree with them, or the checkpoint is refused. Nothing here
//! reads tensor data, and nothing is ever opened for writing.

mod adapted;
mod adapter;
mod consistency;
mod directory;
mod entries;
pub(crate) mod folder;
pub mod header;
pub mod index;
pub(crate) mod mend;
mod model;
mod open;
pub mod origin;
mod parts;
mod shard;
mod weight_set;

pub use adapter::{Adapter, Adapters, By, Change, Changes};
pub use model::{Checkpoint, MAX_HEADERS_BYTES};
pub use open::{OpenOptions, reopen};
pub(crate) use open::{blake3_of, read_small, sha256_of, small_file_size};
pub use parts::Part;
pub(crate) use parts::{MODULES, PIPELINE};
pub(crate) use shard::LocatedTensor;
pub use shard::{Location, Shard, TensorInfo};
pub(crate) use weight_set::{SHARD, WeightFile, WeightSet};
