//! The exact weighted mean of safetensors checkpoints, rounded once.
//!
//! Data flows one way: [`checkpoint`] reads and checks headers, [`plan`] proves that the ingredients agree and lays
//! the output out, [`merge`] streams chunks through the [`kernels`] into a [`sink`], and [`verify`] checks what came
//! out, now or years later, against its [`manifest`]. The crate knows no Python: the bindings live behind the feature
//! `python`. Which room may use which is in `tests/rust/layers.rs`.
//!
//! Invariants: no output bit depends on threads, chunks, CPU, I/O backend or ingredient order; every tensor of every
//! ingredient is averaged, copied, taken from one, left out with a reason or refused; inputs are never opened for writing; nothing is written except through
//! [`sink`]; no global pool and no global mutable state but the fault guard of [`io`].

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("soce runs on Linux and macOS");

pub mod checkpoint;
pub mod control;
pub mod digest;
pub mod dtype;
pub mod error;
pub mod escape;
pub(crate) mod glob;
pub mod io;
mod json;
pub mod kernels;
pub mod manifest;
pub mod merge;
pub mod mix;
pub mod mixing;
pub mod plan;
#[cfg(feature = "python")]
mod python;
pub mod sink;
pub mod target;
mod threads;
pub mod verify;

pub use control::Control;
pub use dtype::Dtype;
pub use error::{Error, Problem, ProblemKind, Result};
pub use mix::{Filters, Mix, Mixture};
