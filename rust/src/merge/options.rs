//! How a plan is executed.

use crate::io::{Backend, Cache};
use crate::manifest::Digests;

/// Most worker threads that may be asked for.
pub(super) const MAX_THREADS: usize = 1024;

/// How a plan is executed. Nothing here changes a byte of a tensor.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches, set by name")]
pub struct MergeOptions {
    /// Worker threads; the parallelism available otherwise.
    pub num_threads: Option<usize>,
    /// Output bytes of a chunk, a power of two from 4 KiB to 64 MiB; chosen from the number of ingredients otherwise.
    pub chunk_bytes: Option<u64>,
    /// How inputs are read; by filesystem otherwise.
    pub backend: Option<Backend>,
    /// What happens to the page cache behind the work.
    pub cache: Cache,
    /// Kernel set by name; that of `SOCE_KERNELS`, or the fastest, otherwise.
    pub kernels: Option<String>,
    /// Bring everything to the disk before the output appears.
    pub sync: bool,
    /// What is hashed.
    pub digests: Digests,
    /// Measure how far each tensor of a soup lies from each of its ingredients.
    pub differences: bool,
    /// Complete despite non-finite values.
    pub allow_non_finite: bool,
    /// Discard what an interrupted run has finished.
    pub restart: bool,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self {
            num_threads: None,
            chunk_bytes: None,
            backend: None,
            cache: Cache::Auto,
            kernels: None,
            sync: true,
            digests: Digests::Tensors,
            differences: false,
            allow_non_finite: false,
            restart: false,
        }
    }
}
