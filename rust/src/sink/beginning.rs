//! What a run says when it begins to write an output.

use std::path::Path;

use super::journal::FileState;
use crate::manifest::Fingerprint;

/// What [`super::Staging::begin`] is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// The directory to be made.
    pub target: &'a Path,
    /// Replace a soup that is there.
    pub overwrite: bool,
    /// The output is to survive a power cut once it is published.
    pub sync: bool,
    /// Discard what an interrupted run has finished.
    pub restart: bool,
    /// What will be made.
    pub plan: &'a Fingerprint,
    /// States of the inputs, by ingredient and shard.
    pub inputs: &'a [Vec<FileState>],
}
