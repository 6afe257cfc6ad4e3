#![allow(unsafe_code, reason = "close and sync_file_range have no safe form that reports errors")]
//! The system calls that std lacks. Hints are no-ops where a system does not know them.

use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Open for reading. Whatever has taken the file's place, it returns at once (a FIFO would wait for a writer), and this
/// process becomes no terminal's owner. The standard library adds `O_CLOEXEC`.
pub(crate) fn open_input(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Fill `buffer` from `offset` on. A file that ends first is [`io::ErrorKind::UnexpectedEof`].
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Write all of `bytes` at `offset`; an error comes with the offset it happened at.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<(), (u64, io::Error)> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err((offset, io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((offset, error)),
        }
    }
    Ok(())
}

/// Close and say if that failed; `File` on its own forgets the answer.
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: `into_raw_fd` gives up ownership, so the descriptor is closed here and nowhere else.
    match unsafe { rustix::io::try_close(file.into_raw_fd()) } {
        // The descriptor is gone after EINTR too; closing again could hit someone else's.
        Ok(()) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Begin to write a dirty range to the disk, without waiting.
pub(crate) fn start_writeback(file: &File, offset: u64, length: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return sync_file_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, offset, length);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Wait until a range is on its way out of memory. No promise of durability: see `fdatasync`.
pub(crate) fn wait_writeback(file: &File, offset: u64, length: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return sync_file_range(
        file,
        offset,
        length,
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER,
    );
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, offset, length);
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
fn sync_file_range(file: &File, offset: u64, length: u64, flags: libc::c_uint) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    loop {
        // SAFETY: the call takes numbers only, and the descriptor is open as long as `file` is borrowed.
        let answer = unsafe {
            libc::sync_file_range(file.as_raw_fd(), offset.cast_signed(), length.cast_signed(), flags)
        };
        if answer == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Let clean, unmapped pages of a range leave the page cache.
pub(crate) fn drop_cache(file: &File, offset: u64, length: u64) {
    #[cfg(target_os = "linux")]
    if let Some(length) = std::num::NonZeroU64::new(length) {
        // A hint: nothing depends on its being taken.
        let _ = rustix::fs::fadvise(file, offset, Some(length), rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, length);
}

/// Reserve the blocks of a file and give it its size.
pub(crate) fn allocate(file: &File, size: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    loop {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size) {
            Err(rustix::io::Errno::INTR) => {}
            answer => return answer.map_err(Into::into),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, size);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// List a directory; a signal in between is nothing.
pub(crate) fn read_dir(path: &Path) -> io::Result<std::fs::ReadDir> {
    loop {
        match std::fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// Make the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Files that a run may open for its inputs, and as many again for its outputs, and leave open while it works on
/// others: at most 256, fewer where the limit of open files is low.
pub(crate) fn descriptors_to_spare() -> usize {
    const MOST: u64 = 256;
    /// Standard streams, the interpreter's files, and those that workers use at the moment.
    const OTHERS: u64 = 48;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    (limit.saturating_sub(OTHERS) / 3).clamp(4, MOST) as usize
}

/// Physical memory in bytes, if the system tells.
pub(crate) fn physical_memory() -> Option<u64> {
    // SAFETY: sysconf takes a number and touches no memory of ours.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    u64::try_from(pages).ok()?.checked_mul(u64::try_from(page).ok()?)
}

/// Whether a file lies on a filesystem known to be local.
pub(crate) fn is_local(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::fstatfs(file).is_ok_and(|answer| LOCAL.contains(&(answer.f_type as u32)));
    #[cfg(target_os = "macos")]
    return rustix::fs::fstatfs(file).is_ok_and(|answer| answer.f_flags & libc::MNT_LOCAL as u32 != 0);
}

/// `f_type` of local filesystems, from linux/magic.h. Whatever is missing here is read instead of mapped.
#[cfg(target_os = "linux")]
const LOCAL: [u32; 18] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x2fc1_2fc1, // zfs
    0xf2f5_2010, // f2fs
    0xca45_1a4e, // bcachefs
    0x3153_464a, // jfs
    0x5265_4973, // reiserfs
    0x3434,      // nilfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlayfs
    0xe0f5_e1e2, // erofs
    0x7371_7368, // squashfs
    0x4d44,      // vfat
    0x2011_bab0, // exfat
    0x7366_746e, // ntfs3
    0x9660,      // iso9660
];
