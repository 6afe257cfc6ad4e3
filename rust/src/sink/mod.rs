//! Where results go: a staging directory beside the target, files written at their offsets, one rename.
//!
//! Under the target name there is nothing, or the old directory, or the complete new one. Everything is written below
//! `<target>.soce-partial/`, whose `payload/` becomes the target by a rename; files are only ever created, never
//! opened again for writing, but for the journal, which tells the next run what is finished. An output that is to be
//! somewhere else is taken there by a [`Carrier`] instead of the rename. Not here: what is in the files, and which of
//! them an interrupted run need not make again.

mod beginning;
mod carrier;
mod dirty;
pub mod journal;
mod leftover;
mod output_file;
mod read_back;
mod rename;
mod staging;
mod state;

pub use beginning::Beginning;
pub use carrier::{Carrier, SentShard};
pub use leftover::finished_shards;
pub use output_file::{Durability, OutputFile};
pub(crate) use read_back::read_back;
pub use staging::{Begun, Staging};
