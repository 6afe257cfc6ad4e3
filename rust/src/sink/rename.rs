//! Renames that say what may be at the destination.

use std::io;
use std::path::Path;

/// Rename a directory to a name that nothing has. Where the system cannot promise that, a plain rename still refuses to
/// replace anything but an empty directory.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    match with_flags(from, to, rustix::fs::RenameFlags::NOREPLACE) {
        Err(error) if flags_unsupported(&error) => {}
        answer => return answer,
    }
    std::fs::rename(from, to)
}

/// Exchange two directories.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    return with_flags(one, other, rustix::fs::RenameFlags::EXCHANGE);
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = (one, other);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whether the filesystem or the kernel does not know such renames.
pub(super) fn flags_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn with_flags(from: &Path, to: &Path, flags: rustix::fs::RenameFlags) -> io::Result<()> {
    rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags).map_err(Into::into)
}
