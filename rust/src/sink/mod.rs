//! Where results go: a staging directory beside the target, files written at their offsets, digests, one rename.
//!
//! Under the target name there is nothing, or the old directory, or the complete new one. Everything is written below
//! `<target>.soce-partial/`, whose `payload/` becomes the target by a rename; files are only ever created, never
//! opened again for writing. Not here: what is in the files, and resuming an interrupted run.

pub mod digest;
pub mod manifest;
mod output_file;
mod rename;
mod staging;
mod target;
mod tree;
mod windows;

pub use output_file::{Durability, OutputFile};
pub use staging::Staging;
pub(crate) use target::STATE_SUFFIX;
pub use target::check_target;
