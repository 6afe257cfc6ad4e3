//! What a verification looks at.

use std::path::PathBuf;

use crate::checkpoint::{Adapters, OpenOptions};
use crate::io::Backend;
use crate::io::remote::Objects;

/// What is looked at, and how.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Read headers and small files only, not the bytes that the manifest's digests are of.
    pub quick: bool,
    /// Compute every tensor again from these ingredients; from those that the manifest names if there are none here.
    pub recompute: Option<Vec<PathBuf>>,
    /// Shards of these that lie on a server.
    pub objects: Objects,
    /// Adapters on top of these.
    pub adapters: Adapters,
    /// Worker threads; as many as the machine offers otherwise.
    pub num_threads: Option<usize>,
    /// How files are read; by filesystem otherwise.
    pub backend: Option<Backend>,
    /// Read files that are links to regular files elsewhere.
    pub follow_links: bool,
}

impl VerifyOptions {
    pub(super) fn open(&self) -> OpenOptions {
        OpenOptions { follow_links: self.follow_links, ignore_unreferenced: false }
    }
}
