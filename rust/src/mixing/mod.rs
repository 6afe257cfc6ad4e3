//! Tensors mixed on demand: what a merge, the live model and a verification compute alike.
//!
//! Not here: where the bytes go, and which chunk comes next.

mod chunk;
mod codes;
mod contents;
mod edges;
mod inner_products;
mod low_rank;
mod masked;
mod mixer;
mod numbers;
mod read;
mod scan;
mod squares;
mod stretch;
mod tree;

pub use chunk::chunk_bytes;
pub(crate) use chunk::{Mixing, count_taken, mix_chunk};
pub use contents::TensorContent;
pub use edges::Rank;
pub use inner_products::Gradient;
pub use mixer::{MixOptions, Mixer};
pub(crate) use read::{Files, Scratch, Stretch, scratch_bytes};
pub use squares::SquaresOptions;
