//! An input shard that is a file here, open for reading.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::backend::{Backend, Cache};
use super::blocks::Blocks;
use super::buffer::Buffer;
use super::identity::{FileIdentity, changed};
use super::mapped::{Mapped, Probe};
use super::platform;
use crate::error::{Error, Result};

/// Bytes in unfinished blocks beyond which released ranges are unmapped at once.
const MAX_UNFINISHED: u64 = 16 << 20;

/// A file opened for reading, shared by threads.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    identity: FileIdentity,
    file: File,
    map: Option<Mapped>,
    blocks: Blocks,
}

impl FileSource {
    /// Open the file at `path`, by `backend` or the one that suits its filesystem. A file that cannot be mapped is read.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Refused`] if the file is no longer in the state `identity`.
    pub fn open(
        path: &Path,
        identity: &FileIdentity,
        backend: Option<Backend>,
        cache: Cache,
    ) -> Result<Self> {
        let file = platform::open_input(path).map_err(|error| Error::io(path, "cannot open", error))?;
        let metadata = file.metadata().map_err(|error| Error::io(path, "cannot examine", error))?;
        identity.check(path, &FileIdentity::of(&metadata))?;
        Self::of(file, path, identity, backend, cache)
    }

    /// A file that was opened and was in the state `identity`.
    fn of(
        file: File,
        path: &Path,
        identity: &FileIdentity,
        backend: Option<Backend>,
        cache: Cache,
    ) -> Result<Self> {
        let size = identity.size;
        let blocks = match cache {
            Cache::Keep => Blocks::new(size, |_| true),
            Cache::Drop => Blocks::new(size, |_| false),
            Cache::Auto => {
                // Asked for the whole file now: later, our own read-ahead would look like an earlier reader's work.
                let probe = Probe::new(&file);
                Blocks::new(size, |range| probe.resident(&range))
            }
        };
        let map = match backend.unwrap_or_else(|| Backend::for_file(&file)) {
            Backend::Mmap => match Mapped::new(&file) {
                Ok(map) if map.length() == size => Some(map),
                Ok(map) => {
                    let message =
                        format!("had {size} bytes when it was opened, {} when mapped", map.length());
                    return Err(changed(path, message).into());
                }
                Err(error) if can_be_read_instead(&error, size) => None,
                Err(error) => return Err(Error::io(path, "cannot map", error)),
            },
            Backend::Pread => None,
        };
        Ok(Self { path: path.to_owned(), identity: identity.clone(), file, map, blocks })
    }

    /// The backend in use.
    pub fn backend(&self) -> Backend {
        if self.map.is_some() { Backend::Mmap } else { Backend::Pread }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `length` bytes from `offset` on: a slice of the map, or of `scratch`, which then is made long enough.
    ///
    /// # Errors
    /// [`Error::Refused`] if the file has become too short, [`Error::Io`] if it cannot be read.
    pub fn read<'a>(&'a self, offset: u64, length: usize, scratch: &'a mut Buffer) -> Result<&'a [u8]> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.identity.size);
        let end = end.ok_or_else(|| self.too_short(offset, length))?;
        if let Some(map) = &self.map {
            return Ok(map.bytes(offset..end));
        }
        let no_memory = |error| Error::io(&self.path, format!("no memory to read {length} bytes"), error);
        let buffer = scratch.first(length).map_err(no_memory)?;
        match platform::read_exact_at(&self.file, buffer, offset) {
            Ok(()) => Ok(buffer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.too_short(offset, length)),
            Err(error) => {
                Err(Error::io(&self.path, format!("cannot read {length} bytes at offset {offset}"), error))
            }
        }
    }

    /// Whether all bytes handed out so far were the file's. To be asked after bytes were used and before what was made
    /// of them is written.
    ///
    /// # Errors
    /// [`Error::Refused`] if the file was cut under its map, [`Error::Io`] if the disk failed under it.
    pub fn check(&self) -> Result<()> {
        if !self.map.as_ref().is_some_and(Mapped::faulted) {
            return Ok(());
        }
        let expected = self.identity.size;
        let lost = || Error::io(&self.path, "cannot read mapped bytes", io::Error::other("fault in the map"));
        let metadata = self.file.metadata().map_err(|_| lost())?;
        if metadata.len() < expected {
            let message = format!("was cut from {expected} to {} bytes while it was read", metadata.len());
            return Err(changed(&self.path, message).into());
        }
        // Zeros stay in the map where its pages were lost, whatever was put into the file afterwards.
        self.identity.check(&self.path, &FileIdentity::of(&metadata))?;
        Err(lost())
    }

    /// Whether the open file, and what its path leads to now, are still what they were when the header was read.
    ///
    /// # Errors
    /// [`Error::Refused`] naming the fields that changed, [`Error::Io`] if the path leads nowhere.
    pub fn unchanged(&self) -> Result<()> {
        self.check()?;
        let examined = |error| Error::io(&self.path, "cannot examine", error);
        for metadata in [self.file.metadata(), std::fs::metadata(&self.path)] {
            self.identity.check(&self.path, &FileIdentity::of(&metadata.map_err(examined)?))?;
        }
        Ok(())
    }

    /// Say that a range is no longer needed. Its pages leave this process, and the page cache as the policy says, when
    /// the 2 MiB around them are no longer needed either: unmapping interrupts every core that runs this process, so
    /// it is done rarely. Where reading jumps about and many blocks stay unfinished, pages leave at once.
    pub fn release(&self, offset: u64, length: usize) {
        let end = offset.saturating_add(length as u64).min(self.identity.size);
        if offset >= end {
            return;
        }
        let unfinished = self.blocks.release(offset..end, |block| {
            let length = block.range.end - block.range.start;
            if let Some(map) = &self.map {
                map.release(block.range.clone());
            }
            if !block.keep {
                platform::drop_cache(&self.file, block.range.start, length);
            }
        });
        if let Some(map) = &self.map
            && unfinished > MAX_UNFINISHED
        {
            map.release(offset..end);
        }
    }

    fn too_short(&self, offset: u64, length: usize) -> Error {
        let message = format!("ends within the {length} bytes at offset {offset} that its header promises");
        changed(&self.path, message).into()
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        self.map = None; // pages that are mapped cannot be dropped
        for block in self.blocks.begun() {
            platform::drop_cache(&self.file, block.start, block.end - block.start);
        }
    }
}

/// No device, no memory for the map, no free slot in the guard, or nothing to map at all.
fn can_be_read_instead(error: &io::Error, size: u64) -> bool {
    size == 0
        || error.raw_os_error() == Some(libc::ENODEV)
        || matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ProblemKind;

    #[test]
    fn a_file_cut_before_it_is_mapped_is_a_refusal() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("model.safetensors");
        std::fs::write(&path, vec![1; 20_000]).expect("a new file");
        let identity = FileIdentity::of(&std::fs::metadata(&path).expect("a file"));
        let file = File::options().read(true).write(true).open(&path).expect("a file");
        file.set_len(5000).expect("a shorter file");
        let source = FileSource::of(file, &path, &identity, Some(Backend::Mmap), Cache::Keep);
        let error = source.and_then(|source| source.read(10_000, 5000, &mut Buffer::default()).map(drop));
        let Err(Error::Refused(problems)) = error else { panic!("not a refusal") };
        assert_eq!((problems[0].kind, problems[0].path.as_deref()), (ProblemKind::Checkpoint, Some(&*path)));
        assert!(["20000", "5000"].iter().all(|size| problems[0].message.contains(size)), "{}", problems[0]);
    }
}
