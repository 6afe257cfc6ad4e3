//! Ways to reach the bytes of an input.

use std::fs::File;

use super::platform;

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
    pub fn for_file(file: &File) -> Self {
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
