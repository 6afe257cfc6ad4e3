//! The directory in which an output grows, and the rename that makes it the target.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};

use super::rename::{exchange, flags_unsupported, move_aside, rename_new};
use super::target::{self, Standing, check_target, names, refusal};
use super::tree;
use crate::error::{Error, Result};
use crate::escape::shown;
use crate::io::platform;

const LOCK: &str = "lock";
const PAYLOAD: &str = "payload";
/// Where the old directory waits if two directories cannot be exchanged.
const OLD_SUFFIX: &str = ".soce-old";
/// Times that another run may vanish while we take its place.
const ATTEMPTS: usize = 100;

/// `<target>.soce-partial/`, locked for as long as this value lives. Dropped before [`Staging::publish`], it removes
/// everything that was put there.
#[derive(Debug)]
pub struct Staging {
    parent: PathBuf,
    target: PathBuf,
    state: PathBuf,
    payload: PathBuf,
    overwrite: bool,
    sync: bool,
    notes: Vec<String>,
    /// `None` once the directory is gone.
    lock: Option<File>,
}

impl Staging {
    /// Check the target, then make and lock the state directory beside it. What a dead run left there is removed.
    /// `sync`: the output is to survive a power cut once it is published.
    ///
    /// # Errors
    /// [`Error::Refused`] if the target may not be written, another run is writing it, or the state directory holds
    /// anything that this program does not make; [`Error::Io`].
    pub fn begin(target: &Path, overwrite: bool, sync: bool) -> Result<Self> {
        check_target(target, overwrite)?;
        let (parent, target) = target::split(target)?;
        let old = with_suffix(&target, OLD_SUFFIX);
        if fs::symlink_metadata(&old).is_ok() {
            let message = "was left when replacing the soup was interrupted";
            let hint =
                format!("rename it back to `{}`, or remove it by hand", shown(&target.to_string_lossy()));
            return Err(refusal(&old, message).hint(hint).into());
        }
        let state = with_suffix(&target, target::STATE_SUFFIX);
        let lock = claim(&state, &target)?;
        let payload = state.join(PAYLOAD);
        let mut staging =
            Self { parent, target, state, payload, overwrite, sync, notes: Vec::new(), lock: Some(lock) };
        staging.prepare()?;
        Ok(staging)
    }

    fn prepare(&mut self) -> Result<()> {
        let listing = tree::list(&self.state).map_err(failed(&self.state, "cannot list"))?;
        if listing.files.len() > 1 || !listing.directories.is_empty() {
            tree::clear(&self.state, LOCK).map_err(failed(&self.state, "cannot remove"))?;
            self.notes.push(format!("`{}`: removed what an interrupted run had left", display(&self.state)));
        }
        fs::create_dir(&self.payload).map_err(failed(&self.payload, "cannot create"))?;
        if self.sync {
            synced(&self.state)?;
            synced(&self.parent)?;
        }
        Ok(())
    }

    /// The directory that becomes the target.
    pub fn payload(&self) -> &Path {
        &self.payload
    }

    /// What the user should know about, ready to be shown.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Create a small file in the payload and bring it to the disk if the output is to be durable. `name` is a file name, or that of a file in one
    /// directory below.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_small(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.payload.join(name);
        let parts: Vec<_> = Path::new(name).components().collect();
        if !(1..=2).contains(&parts.len()) || !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
            let reason = io::Error::new(io::ErrorKind::InvalidInput, "not a name within the output");
            return Err(Error::io(path, "cannot create", reason));
        }
        if let [directory, _] = parts.as_slice() {
            let directory = self.payload.join(directory);
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io(directory, "cannot create", error));
                }
                _ => {}
            }
        }
        let created = File::options().write(true).create_new(true).open(&path);
        let mut file = created.map_err(failed(&path, "cannot create"))?;
        file.write_all(bytes).map_err(failed(&path, "cannot write"))?;
        if self.sync {
            file.sync_all().map_err(failed(&path, "cannot bring to the disk"))?;
        }
        platform::close(file).map_err(failed(&path, "cannot close"))
    }

    /// Make the payload the target, by one rename. Returns what was left over, if
    /// anything was, ready to be shown: the output is complete nevertheless.
    ///
    /// # Errors
    /// [`Error::Refused`] if the target has changed since [`Staging::begin`] so that it may not be replaced,
    /// [`Error::Io`]; in both cases the target is as before.
    pub fn publish(mut self) -> Result<Option<String>> {
        if self.sync {
            let listing = tree::list(&self.payload).map_err(failed(&self.payload, "cannot list"))?;
            let inner = listing.directories.iter().map(|name| self.payload.join(name));
            for directory in inner.chain([self.payload.clone()]) {
                synced(&directory)?;
            }
        }
        let old = self.commit()?;
        if self.sync {
            synced(&self.parent)?;
            synced(&self.state)?;
        }
        let mut left = Vec::new();
        if let Some(old) = old
            && let Err(error) = remove_directory(&old)
        {
            left.push(format!("`{}`: cannot be removed: {error}", display(&old)));
        }
        if let Err(error) = self.clean() {
            left.push(format!("`{}`: cannot be removed: {error}", display(&self.state)));
        }
        Ok((!left.is_empty()).then(|| left.join("; ")))
    }

    /// Remove everything and leave the target as it is.
    ///
    /// # Errors
    /// [`Error::Io`] if something could not be removed.
    pub fn discard(mut self) -> Result<()> {
        self.clean().map_err(failed(&self.state, "cannot remove"))
    }

    /// The rename. Returns the old directory, if it is not in the payload's place.
    fn commit(&self) -> Result<Option<PathBuf>> {
        check_target(&self.target, self.overwrite)?;
        let cannot = failed(&self.target, "cannot put the output in place");
        match target::examine(&self.target)? {
            Standing::Absent => rename_new(&self.payload, &self.target).map_err(cannot)?,
            Standing::EmptyDirectory => fs::rename(&self.payload, &self.target).map_err(cannot)?,
            Standing::Soup => match exchange(&self.payload, &self.target) {
                Err(error) if flags_unsupported(&error) => {
                    let old = with_suffix(&self.target, OLD_SUFFIX);
                    move_aside(&self.payload, &self.target, &old).map_err(cannot)?;
                    return Ok(Some(old));
                }
                answer => answer.map_err(cannot)?,
            },
        }
        Ok(None)
    }

    /// Remove the state directory, the lock last: until then no other run can begin.
    fn clean(&mut self) -> io::Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        tree::clear(&self.state, LOCK)?;
        fs::remove_file(self.state.join(LOCK))?;
        let removed = fs::remove_dir(&self.state);
        drop(lock);
        match removed {
            // Another run has already made its lock here: the directory is now its own.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other,
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Nobody is left to be told; the next run finds and removes what stays.
        let _ = self.clean();
    }
}

/// Make the state directory, or take over a dead run's, and lock it.
fn claim(state: &Path, target: &Path) -> Result<File> {
    let path = state.join(LOCK);
    for _ in 0..ATTEMPTS {
        match create_private(state) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match check_leftover(state) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            },
            Err(error) => return Err(Error::io(state, "cannot create", error)),
        }
        let mut lock = match open_lock(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // its run ended just now
            other => other.map_err(failed(&path, "cannot open"))?,
        };
        match lock.try_lock() {
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
            written.map_err(failed(&path, "cannot write"))?;
            return Ok(lock);
        }
    }
    let busy = io::Error::new(io::ErrorKind::ResourceBusy, "other runs come and go");
    Err(Error::io(state, "cannot lock", busy))
}

/// Refuse a state directory that is not ours, or holds what no run of ours puts there.
fn check_leftover(state: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(state).map_err(failed(state, "cannot examine"))?;
    let hint = "look at it, then remove it by hand";
    if !metadata.is_dir() {
        return Err(refusal(state, "is in the way of this run and is not a directory").hint(hint).into());
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::uid(&metadata) != rustix::process::geteuid().as_raw() {
        return Err(refusal(state, "belongs to another user").hint(hint).into());
    }
    let listing = tree::list(state).map_err(failed(state, "cannot list"))?;
    let file =
        |name: &&String| ![LOCK, "plan.json"].contains(&name.as_str()) && !name.starts_with("payload/");
    let directory = |name: &&String| *name != PAYLOAD && !name.starts_with("payload/");
    let foreign: Vec<&str> = (listing.files.iter().filter(file))
        .chain(listing.directories.iter().filter(directory))
        .chain(&listing.others)
        .map(String::as_str)
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let message = format!("is in the way of this run and holds what no run puts there: {}", names(&foreign));
    Err(refusal(state, message).hint(hint).into())
}

/// Nobody else needs to look into an unfinished run, nor may plant links in it.
fn create_private(directory: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "only Unix has a mode to set"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path)
}

/// Whether the open file still has this name: its run may have removed it between our opening and locking.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(a), Ok(b)) if same(&a, &b))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        true // an open file cannot lose its name
    }
}

fn remove_directory(directory: &Path) -> io::Result<()> {
    tree::clear(directory, "")?;
    fs::remove_dir(directory)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn display(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

fn synced(directory: &Path) -> Result<()> {
    platform::sync_directory(directory).map_err(failed(directory, "cannot bring to the disk"))
}

fn failed(path: &Path, what: &'static str) -> impl Fn(io::Error) -> Error + Copy {
    move |error| Error::io(path, what, error)
}
