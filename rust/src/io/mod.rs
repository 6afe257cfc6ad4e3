//! Bytes of an input: mapped where that is safe and fast, read into a buffer elsewhere.
//!
//! Nothing above this module knows which of the two it got; both give the same bytes. Not here: what the bytes mean,
//! and anything that writes.
//!
//! What cannot be proved: another process may change or cut a mapped file while a slice of it is in use. The maps are
//! read-only, a cut file becomes an error by way of the fault guard (`fault_guard.rs`), and [`Source::check`] and
//! [`Source::unchanged`] tell whether what was read can be trusted. Whoever needs more asks for [`Backend::Pread`].

mod blocks;
mod buffer;
mod fault_guard;
mod identity;
mod mapped;
mod memory;
pub(crate) mod platform;
mod source;

pub use buffer::Buffer;
pub use memory::memory_limit;
pub use source::Source;

use std::fs::File;
use std::path::Path;

/// How the bytes of an input are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The file is mapped read-only; reading copies nothing.
    Mmap,
    /// Positioned reads into the worker's buffer.
    Pread,
}

impl Backend {
    /// [`Backend::Mmap`] on filesystems known to be local, [`Backend::Pread`] on network, FUSE and unknown ones.
    pub fn for_path(path: &Path) -> Self {
        source::open(path).map_or(Self::Pread, |file| Self::for_file(&file))
    }

    fn for_file(file: &File) -> Self {
        if platform::is_local(file) { Self::Mmap } else { Self::Pread }
    }
}

/// What happens to the page cache behind the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Cache {
    /// Drop what this run brought in; what was cached before it stays cached.
    #[default]
    Auto,
    /// Leave everything to the kernel.
    Keep,
    /// Drop everything that was read.
    Drop,
}
