//! One file of the output, written by many threads at their offsets, its header last.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::dirty::DirtyWindows;
use crate::error::{Error, Result};
use crate::io::platform;

/// How carefully, and with how much memory, a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// Do not finish before the disk has everything.
    pub sync: bool,
    /// About half of the bytes that may wait in memory for the disk; 0 leaves that to the kernel.
    pub dirty_window: u64,
    /// Let written bytes leave the page cache.
    pub drop_cache: bool,
}

impl Default for Durability {
    fn default() -> Self {
        Self { sync: true, dirty_window: 32 << 20, drop_cache: false }
    }
}

/// A file being written. Until [`OutputFile::finish`] it begins with zeros, so that no reader takes it for complete;
/// dropped before, it stays that way.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    file: File,
    size: u64,
    durability: Durability,
    windows: DirtyWindows,
    note: Option<String>,
}

impl OutputFile {
    /// Create a file, which must not exist, and reserve `size` bytes for it.
    ///
    /// # Errors
    /// [`Error::Io`]; a full disk or an exhausted quota shows here, before anything is computed.
    pub fn create(path: &Path, size: u64, durability: Durability) -> Result<Self> {
        let created = File::options().write(true).create_new(true).open(path);
        let file = created.map_err(|error| Error::io(path, "cannot create", error))?;
        let note = reserve(&file, size)
            .map_err(|error| Error::io(path, format!("cannot reserve {size} bytes"), error))?
            .map(|reason| format!("`{}`: space was not reserved: {reason}", path.display()));
        let windows = DirtyWindows::new(size, durability.dirty_window, durability.drop_cache);
        Ok(Self { path: path.to_owned(), file, size, durability, windows, note })
    }

    /// What did not go as it should, without harm: a filesystem that cannot reserve space.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The path it was created at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Write `bytes` at `offset`. Every byte behind the header must be written exactly once; offsets that rise keep the
    /// disk busy. May wait for the disk.
    ///
    /// # Errors
    /// [`Error::Io`] with the offset. Final: the file must be thrown away.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= self.size);
        let Some(end) = end else {
            let beyond = io::Error::new(io::ErrorKind::InvalidInput, "beyond the planned end of the file");
            return Err(self.write_error(offset, beyond));
        };
        self.windows.wait_for_room();
        platform::write_all_at(&self.file, bytes, offset)
            .map_err(|(offset, error)| self.write_error(offset, error))?;
        self.windows.wrote(&self.file, offset..end).map_err(|error| self.write_error(offset, error))
    }

    /// Write the header at offset 0, bring the file to the disk if that is asked for, and close it.
    ///
    /// # Errors
    /// [`Error::Io`], also if bytes are missing. Final: the file must be thrown away.
    pub fn finish(self, header: &[u8]) -> Result<()> {
        let written = self.windows.total() + header.len() as u64;
        if written != self.size {
            let message = format!("{written} of {} bytes were written", self.size);
            return Err(Error::io(&self.path, "cannot finish", io::Error::other(message)));
        }
        platform::write_all_at(&self.file, header, 0)
            .map_err(|(offset, error)| self.write_error(offset, error))?;
        if self.durability.sync {
            self.file
                .sync_data()
                .map_err(|error| Error::io(&self.path, "cannot bring to the disk", error))?;
        }
        if self.durability.drop_cache {
            platform::drop_cache(&self.file, 0, self.size);
        }
        platform::close(self.file).map_err(|error| Error::io(&self.path, "cannot close", error))
    }

    fn write_error(&self, offset: u64, error: io::Error) -> Error {
        Error::io(&self.path, format!("cannot write at offset {offset}"), error)
    }
}

/// Best effort: a filesystem that cannot reserve or set a size is a note. Never `posix_fallocate`, whose fallback in
/// the C library writes to every block.
fn reserve(file: &File, size: u64) -> io::Result<Option<String>> {
    if size == 0 {
        return Ok(None);
    }
    match platform::allocate(file, size) {
        Ok(()) => Ok(None),
        Err(error) if is_final(&error) => Err(error),
        Err(error) => match file.set_len(size) {
            Err(error) if is_final(&error) => Err(error),
            _ if error.kind() == io::ErrorKind::Unsupported => Ok(Some("not supported here".to_owned())),
            _ => Ok(Some(error.to_string())),
        },
    }
}

fn is_final(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    [StorageFull, QuotaExceeded, FileTooLarge].contains(&error.kind())
        || error.raw_os_error() == Some(libc::EIO)
}
