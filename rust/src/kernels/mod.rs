//! The arithmetic of a soup: `round(Σ numerators[i]·x_i / whole)` for a chunk of elements, exact inside, rounded once.
//!
//! `exact` defines the result; `vector` computes the same bits fast, in one generic loop compiled for several
//! instruction sets. Inputs and output are little-endian bytes without alignment. Deliberately not here: files,
//! threads, and any hardware narrowing instruction (AVX-512-BF16 flushes subnormals).

#[cfg(test)]
mod adapted;
mod bf16;
mod choose;
#[cfg(test)]
mod counts;
mod difference;
mod differences;
mod element;
pub(crate) mod enclosed;
mod exact;
pub(crate) mod float_env;
mod format;
mod inner_products;
pub(crate) mod low_rank;
pub(crate) mod masked;
mod philox;
mod request;
mod set;
mod sets;
mod squares;
#[cfg(test)]
mod suite;
mod tally;
mod vector;

pub use differences::{Differences, max_difference};
pub use inner_products::InnerProducts;
pub use request::Request;
pub use set::Kernels;
pub use squares::{Block, Squares};
pub use tally::{NonFinite, Tally, count_non_finite};
