//! The state directory `<output>.soce-partial/`: its names, its lock, and opening what is in it without being led away.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::{Error, Problem, Result};
use crate::escape::listing;
use crate::target::tree::{self, Listing};
use crate::target::{PAYLOAD, refusal};

pub(super) const LOCK: &str = "lock";
pub(super) const PLAN: &str = "plan.json";
pub(super) const JOURNAL: &str = "journal.jsonl";
/// Times that another run may vanish while we take its place.
const ATTEMPTS: usize = 100;
/// Follow no link, and wait for nobody at the other end of a FIFO.
const NOT_LED_AWAY: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;
const BY_HAND: &str = "look at it, then remove it by hand";

/// Make the state directory, or take over a dead run's, and lock it. True if it was there before.
pub(super) fn claim(state: &Path, target: &Path) -> Result<(File, bool)> {
    let path = state.join(LOCK);
    for _ in 0..ATTEMPTS {
        let old = match create_private(state) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match check_ours(state) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                other => other.map(|()| true)?,
            },
            Err(error) => return Err(Error::io(state, "cannot create", error)),
        };
        // What failed before there was anything to keep leaves nothing; a directory in use is not empty.
        let undo = |what: &'static str| {
            let path = &path;
            move |error| {
                if !old {
                    let _ = fs::remove_dir(state);
                }
                Error::io(path, what, error)
            }
        };
        let mut lock = match open_lock(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // its run ended just now
            other => other.map_err(undo("cannot open"))?,
        };
        check_single(&lock).map_err(|error| as_refusal(&path, "cannot be used", error))?;
        match try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = match lock.read_to_string(&mut text) {
                    Ok(_) if text.trim().parse::<u32>().is_ok() => format!("process {}", text.trim()),
                    _ => "another process".to_owned(),
                };
                let problem = refusal(target, format!("{holder} is writing it"));
                return Err(problem.hint("wait until it is done, or choose another name").into());
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(&path, "cannot lock", error)),
        }
        if is_at(&lock, &path) {
            let pid = format!("{}\n", std::process::id());
            let written =
                lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(pid.as_bytes()));
            if let Err(error) = written {
                if !old {
                    let _ = fs::remove_file(&path);
                }
                return Err(undo("cannot write")(error));
            }
            return Ok((lock, old));
        }
    }
    let busy = io::Error::new(io::ErrorKind::ResourceBusy, "other runs come and go");
    Err(Error::io(state, "cannot lock", busy))
}

/// Refuse a state directory that is not ours.
fn check_ours(state: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(state).map_err(|error| Error::io(state, "cannot examine", error))?;
    if !metadata.is_dir() {
        return Err(refusal(state, "is in the way of this run and is not a directory").hint(BY_HAND).into());
    }
    check_owner(state, &metadata)?;
    check_foreign(state, |_| true)
}

/// Refuse a state directory that holds what no run puts there; `expected` knows the files of its payload.
pub(super) fn check_foreign(state: &Path, expected: impl Fn(&str) -> bool) -> Result<()> {
    let listed = tree::list(state).map_err(|error| Error::io(state, "cannot list", error))?;
    let Listing { files, directories, others } = listed;
    for directory in directories.iter().map(|name| state.join(name)) {
        let found = fs::symlink_metadata(&directory)
            .map_err(|error| Error::io(&directory, "cannot examine", error))?;
        check_owner(&directory, &found)?;
    }
    let expected = |name: &str| name.strip_prefix("payload/").is_some_and(&expected);
    let file = |name: &&String| ![LOCK, PLAN, JOURNAL].contains(&name.as_str()) && !expected(name);
    let directory = |name: &&String| *name != PAYLOAD && !name.starts_with("payload/");
    let foreign: Vec<&str> = (files.iter().filter(file))
        .chain(directories.iter().filter(directory))
        .chain(&others)
        .map(String::as_str)
        .collect();
    let message =
        || format!("is in the way of this run and holds what no run puts there: {}", listing(&foreign));
    if foreign.is_empty() { Ok(()) } else { Err(refusal(state, message()).hint(BY_HAND).into()) }
}

fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), Problem> {
    if metadata.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(refusal(path, "is in the way of this run and belongs to another user").hint(BY_HAND))
}

/// Nobody else needs to look into an unfinished run, nor may plant links in it.
fn create_private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(directory)
}

/// Create a file that must not exist.
pub(super) fn create(path: &Path) -> Result<File> {
    let created = File::options().read(true).write(true).create_new(true).open(path);
    created.map_err(|error| Error::io(path, "cannot create", error))
}

/// Open a file of an earlier run, which must be a regular file of ours that has no other name.
pub(super) fn open(path: &Path, write: bool) -> io::Result<File> {
    let file = File::options().read(true).write(write).custom_flags(NOT_LED_AWAY).open(path)?;
    check_single(&file)?;
    Ok(file)
}

/// Whether an open file is a regular one of ours without another name, so that it may be written.
fn check_single(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    let refused = |what: &str| Err(io::Error::other(what.to_owned()));
    if !metadata.is_file() {
        return refused("not a regular file");
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refused("belongs to another user");
    }
    if metadata.nlink() != 1 {
        return refused("has another name (a hard link)");
    }
    Ok(())
}

/// The system's errors as they are; what [`check_single`] finds as a refusal.
fn as_refusal(path: &Path, what: &'static str, error: io::Error) -> Error {
    if error.raw_os_error().is_some() {
        return Error::io(path, what, error);
    }
    refusal(path, format!("is in the way of this run: {error}")).hint(BY_HAND).into()
}

/// Lock without waiting; a signal in between is nothing.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    loop {
        match file.try_lock() {
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// All bytes of a file of an earlier run; `None` if there is none, or it is longer than `most`.
pub(super) fn read_if_there(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let file = match open(path, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| as_refusal(path, "cannot open", error))?,
    };
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::io(path, "cannot read", error))?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.custom_flags(NOT_LED_AWAY).open(path)
}

/// Whether the open file still has this name: its run may have removed it between our opening and locking.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(a), Ok(b)) if same(&a, &b))
}
