//! Lists and removes the little directory trees that this program makes: regular files, a few directories deep.
//!
//! By descriptor and without following links, so that nothing planted in the tree leads outside of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::Stat;

use crate::checkpoint::folder::MAX_DEPTH;

/// Deepest directory looked into, counted from the one asked for: that of the payload, the parts of a model, and the
/// templates of one.
const DEEPEST: usize = MAX_DEPTH + 2;

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
    walk::top(directory, &mut |_, _| false, &mut listing)?;
    listing.files.sort();
    listing.directories.sort();
    listing.others.sort();
    Ok(listing)
}

/// Remove what is in a directory, regular files and directories, but for what is to be kept. A directory in which
/// something is kept stays.
pub(crate) fn clear(directory: &Path, keep: &dyn Fn(&str) -> bool) -> io::Result<()> {
    walk::top(directory, &mut |name, _| !keep(name), &mut Listing::default())
}

/// What tells one state of a file from another: device, inode, size, times of change of bytes and of anything.
type FileState = (u64, u64, u64, i128, i128);

#[allow(clippy::unnecessary_cast, reason = "the types of the fields differ between systems")]
fn state_of(stat: &Stat) -> FileState {
    let time = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let [modified, changed] =
        [time(stat.st_mtime, stat.st_mtime_nsec as i64), time(stat.st_ctime, stat.st_ctime_nsec as i64)];
    (stat.st_dev as u64, stat.st_ino, stat.st_size as u64, modified, changed)
}

/// The files of a directory as they were at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(BTreeMap<String, FileState>);

impl Snapshot {
    /// Look at a directory.
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut note = |name: &str, stat: &Stat| {
            files.insert(name.to_owned(), state_of(stat));
            false
        };
        walk::top(directory, &mut note, &mut Listing::default())?;
        Ok(Self(files))
    }

    /// Remove the files that are as they were, `last` after the others, then every directory that is empty, this one
    /// too. Returns what is left: whatever came or was changed since.
    pub(crate) fn remove(&self, directory: &Path, last: &str) -> io::Result<Vec<String>> {
        for is_last in [false, true] {
            let mut same = |name: &str, stat: &Stat| {
                (name == last) == is_last && self.0.get(name) == Some(&state_of(stat))
            };
            walk::top(directory, &mut same, &mut Listing::default())?;
        }
        let found = list(directory)?;
        let inner = found.directories.iter().rev().map(|name| directory.join(name)); // deepest first
        for directory in inner.chain([directory.to_owned()]) {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => return Err(error),
                _ => {}
            }
        }
        match list(directory) {
            Ok(left) => Ok([left.files, left.others].concat()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

mod walk {
    use std::ffi::CString;
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat, unlinkat};
    use rustix::io::{Errno, retry_on_intr};

    use super::{DEEPEST, Listing};

    const OPEN: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

    pub(super) fn top(
        directory: &Path,
        remove: &mut dyn FnMut(&str, &Stat) -> bool,
        found: &mut Listing,
    ) -> io::Result<()> {
        let descriptor = retry_on_intr(|| openat(CWD, directory, OPEN, Mode::empty()))?;
        level(descriptor.as_fd(), "", 0, remove, found)
    }

    fn level(
        directory: BorrowedFd<'_>,
        prefix: &str,
        depth: usize,
        remove: &mut dyn FnMut(&str, &Stat) -> bool,
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
            let stat = match statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue, // whoever else is at work here has removed it
                Err(error) => return Err(error.into()),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {
                    if remove(&path, &stat) {
                        gone(retry_on_intr(|| unlinkat(directory, &name, AtFlags::empty())))?;
                    }
                    found.files.push(path);
                }
                FileType::Directory if depth < DEEPEST => {
                    let inner = retry_on_intr(|| openat(directory, &name, OPEN, Mode::empty()))?;
                    level(inner.as_fd(), &format!("{path}/"), depth + 1, remove, found)?;
                    if remove(&path, &stat) {
                        match retry_on_intr(|| unlinkat(directory, &name, AtFlags::REMOVEDIR)) {
                            Err(Errno::NOTEMPTY | Errno::EXIST) => {} // something in it is kept
                            answer => gone(answer)?,
                        }
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
