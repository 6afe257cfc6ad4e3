//! One input shard, open for reading: a file here, or an object that is read by ranges.

use std::path::Path;
use std::sync::Arc;

use super::backend::{Backend, Cache};
use super::buffer::Buffer;
use super::file_source::FileSource;
use super::identity::Identity;
use super::remote::{Fetch, Object};
use crate::error::{Error, Result};

/// One input shard opened for reading, shared by threads.
///
/// ```no_run
/// # fn example(path: &std::path::Path, identity: &_core::io::Identity) -> _core::Result<()> {
/// use _core::io::{Buffer, Cache, Source};
/// let source = Source::open(path, identity, None, Cache::Auto)?;
/// let mut scratch = Buffer::default();
/// let bytes = source.read(8, 4096, &mut scratch)?;
/// // ... use the bytes ...
/// source.check()?; // before anything made of them is written
/// source.release(8, 4096);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum Source {
    /// A file.
    File(FileSource),
    /// An object of which each stretch is asked for by itself.
    Exact(Arc<Object>),
    /// An object that is read in blocks, of which the last few are kept.
    Object(Arc<Object>),
    /// A stream of what is fetched ahead.
    Ahead(Arc<Fetch>, usize),
}

impl Source {
    /// Open what lies at `path`: a file by `backend` or the one that suits its filesystem. A file that cannot be mapped
    /// is read.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Refused`] if the file is no longer in the state `identity`.
    pub fn open(path: &Path, identity: &Identity, backend: Option<Backend>, cache: Cache) -> Result<Self> {
        match identity {
            Identity::File(identity) => FileSource::open(path, identity, backend, cache).map(Self::File),
            Identity::Object(object) => Ok(Self::Object(Arc::clone(object))),
        }
    }

    /// The backend in use: objects are read into the worker's buffer.
    pub fn backend(&self) -> Backend {
        match self {
            Self::File(source) => source.backend(),
            _ => Backend::Pread,
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(source) => source.path(),
            Self::Exact(object) | Self::Object(object) => object.path(),
            Self::Ahead(fetch, stream) => fetch.object(*stream).path(),
        }
    }

    /// `length` bytes from `offset` on: a slice of the map, or of `scratch`, which then is made long enough.
    ///
    /// # Errors
    /// [`Error::Refused`] if the shard has become too short, or is another object now; [`Error::Io`] if it cannot be
    /// read; [`Error::Cancelled`] while a server is waited for.
    pub fn read<'a>(&'a self, offset: u64, length: usize, scratch: &'a mut Buffer) -> Result<&'a [u8]> {
        let no_memory = |error| Error::io(self.path(), format!("no memory to read {length} bytes"), error);
        match self {
            Self::File(source) => return source.read(offset, length, scratch),
            Self::Exact(object) => object.read(offset, scratch.first(length).map_err(no_memory)?)?,
            Self::Object(object) => {
                object.read_in_blocks(offset, scratch.first(length).map_err(no_memory)?)?;
            }
            Self::Ahead(fetch, stream) => return fetch.read(*stream, offset, length, scratch),
        }
        scratch.first(length).map(|bytes| &*bytes).map_err(no_memory)
    }

    /// Whether all bytes handed out so far were the shard's. To be asked after bytes were used and before what was made
    /// of them is written. Those of an object were checked before.
    ///
    /// # Errors
    /// [`Error::Refused`] if the file was cut under its map, [`Error::Io`] if the disk failed under it.
    pub fn check(&self) -> Result<()> {
        if let Self::File(source) = self { source.check() } else { Ok(()) }
    }

    /// Whether the open file, and what its path leads to now, are still what they were when the header was read.
    ///
    /// # Errors
    /// [`Error::Refused`] naming the fields that changed, [`Error::Io`] if the path leads nowhere.
    pub fn unchanged(&self) -> Result<()> {
        if let Self::File(source) = self { source.unchanged() } else { Ok(()) }
    }

    /// Say that a range is no longer needed.
    pub fn release(&self, offset: u64, length: usize) {
        if let Self::File(source) = self {
            source.release(offset, length);
        }
    }
}
