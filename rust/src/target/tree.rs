//! Lists and removes the little directory trees that this program makes: regular files, two directories deep.
//!
//! By descriptor and without following links, so that nothing planted in the tree leads outside of it.

use std::io;
use std::path::Path;

/// Deepest directory looked into, counted from the one asked for.
const DEEPEST: usize = 2;

/// What is in a directory, as paths relative to it with `/` between names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) files: Vec<String>,
    pub(crate) directories: Vec<String>,
    /// Links, sockets, directories too deep: whatever is never removed.
    pub(crate) others: Vec<String>,
}

impl Listing {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty() && self.others.is_empty()
    }
}

/// List a directory; fails if it is a link to one.
pub(crate) fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    walk::top(directory, &|_| false, &mut listing)?;
    listing.files.sort();
    listing.directories.sort();
    listing.others.sort();
    Ok(listing)
}

/// Remove what is in a directory, regular files and directories, but for what is to be kept. A directory in which
/// something is kept stays.
pub(crate) fn clear(directory: &Path, keep: &dyn Fn(&str) -> bool) -> io::Result<()> {
    walk::top(directory, &|name| !keep(name), &mut Listing::default())
}

mod walk {
    use std::ffi::CString;
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
    use rustix::io::{Errno, retry_on_intr};

    use super::{DEEPEST, Listing};

    const OPEN: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

    pub(super) fn top(
        directory: &Path,
        remove: &dyn Fn(&str) -> bool,
        found: &mut Listing,
    ) -> io::Result<()> {
        let descriptor = retry_on_intr(|| openat(CWD, directory, OPEN, Mode::empty()))?;
        level(descriptor.as_fd(), "", 0, remove, found)
    }

    fn level(
        directory: BorrowedFd<'_>,
        prefix: &str,
        depth: usize,
        remove: &dyn Fn(&str) -> bool,
        found: &mut Listing,
    ) -> io::Result<()> {
        // Collected first: removing while reading may skip entries.
        let mut names = Vec::<CString>::new();
        for entry in retry_on_intr(|| Dir::read_from(directory))? {
            let entry = entry?;
            if ![c".", c".."].contains(&entry.file_name()) {
                names.push(entry.file_name().to_owned());
            }
        }
        for name in names {
            let path = format!("{prefix}{}", name.to_string_lossy());
            let kind = match statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => continue, // whoever else is at work here has removed it
                Err(error) => return Err(error.into()),
            };
            match kind {
                FileType::RegularFile => {
                    if remove(&path) {
                        gone(retry_on_intr(|| unlinkat(directory, &name, AtFlags::empty())))?;
                    }
                    found.files.push(path);
                }
                FileType::Directory if depth < DEEPEST => {
                    let inner = retry_on_intr(|| openat(directory, &name, OPEN, Mode::empty()))?;
                    level(inner.as_fd(), &format!("{path}/"), depth + 1, remove, found)?;
                    if remove(&path) {
                        gone(retry_on_intr(|| unlinkat(directory, &name, AtFlags::REMOVEDIR)))?;
                    }
                    found.directories.push(path);
                }
                _ => found.others.push(path),
            }
        }
        Ok(())
    }

    fn gone(answer: rustix::io::Result<()>) -> io::Result<()> {
        match answer {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
