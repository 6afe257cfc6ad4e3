//! The directory in which an output grows, and the rename that makes it the target.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::fingerprint::Fingerprint;
use super::journal::{Entry, FileState, History, Journal, ShardRecord};
use super::leftover::{self, Leftover};
use super::manifest::FILE_NAME;
use super::rename::{exchange, flags_unsupported, move_aside, rename_new};
use super::state::{self, JOURNAL, LOCK, PAYLOAD, PLAN};
use super::target::{self, Standing, check_target, refusal};
use super::tree;
use crate::error::{Error, Result};
use crate::escape::shown;
use crate::io::platform;

/// Where the old directory waits if two directories cannot be exchanged.
const OLD_SUFFIX: &str = ".soce-old";

/// The paths of a run.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) target: PathBuf,
    pub(super) state: PathBuf,
    pub(super) payload: PathBuf,
    pub(super) old: PathBuf,
}

impl Places {
    pub(super) fn of(target: &Path) -> Self {
        let state = with_suffix(target, target::STATE_SUFFIX);
        let payload = state.join(PAYLOAD);
        Self { target: target.to_owned(), payload, state, old: with_suffix(target, OLD_SUFFIX) }
    }
}

/// What [`Staging::begin`] is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    /// The directory to be made.
    pub target: &'a Path,
    /// Replace a soup that is there.
    pub overwrite: bool,
    /// The output is to survive a power cut once it is published.
    pub sync: bool,
    /// Discard what an interrupted run has finished.
    pub restart: bool,
    /// What will be made.
    pub plan: &'a Fingerprint,
    /// States of the inputs, by ingredient and shard.
    pub inputs: &'a [Vec<FileState>],
}

/// What [`Staging::begin`] found.
#[derive(Debug)]
pub enum Begun {
    /// There is work to do.
    Work(Box<Staging>),
    /// An earlier run had published this very output; what it left is removed.
    Published,
}

/// `<target>.soce-partial/`, locked for as long as this value lives. Dropped before [`Staging::commit`], it stays if it
/// holds a finished shard and is removed otherwise.
#[derive(Debug)]
pub struct Staging {
    parent: PathBuf,
    places: Places,
    overwrite: bool,
    sync: bool,
    notes: Vec<String>,
    history: Option<History>,
    journal: Mutex<Journal>,
    /// Finished shards: what would be lost.
    finished: AtomicUsize,
    /// The old soup was moved aside, to be removed.
    swapped: AtomicBool,
    held: Held,
}

/// The state directory while it is locked. Dropped, it unlocks; it removes the directory only if told so.
#[derive(Debug)]
struct Held {
    state: PathBuf,
    lock: Option<File>,
}

impl Staging {
    /// Check the target, then make and lock the state directory beside it, or take over that of an interrupted run of
    /// the same plan.
    ///
    /// # Errors
    /// [`Error::Refused`] if the target may not be written, another run is writing it, or what an interrupted run left
    /// belongs to another plan or cannot be believed; [`Error::Io`].
    pub fn begin(ask: &Beginning<'_>) -> Result<Begun> {
        let (parent, target) = target::split(ask.target)?;
        let places = Places::of(&target);
        // Where a run was interrupted, the target may be its own work: that is looked at under the lock.
        let interrupted = fs::symlink_metadata(&places.state).is_ok();
        check_target(&target, ask.overwrite || interrupted)?;
        let (lock, old) = state::claim(&places.state, &target)?;
        let mut held = Held { state: places.state.clone(), lock: Some(lock) };
        let left = match look(&places, ask, old) {
            Err(error) if !old => {
                let _ = held.remove();
                return Err(error);
            }
            other => other?,
        };
        if matches!(&left, Leftover::Published { plan, .. } if plan == ask.plan.digest()) {
            held.remove().map_err(failed(&places.state, "cannot remove"))?;
            return Ok(Begun::Published);
        }
        let mut notes = Vec::new();
        let (history, journal) = if let Leftover::Unfinished { history, good } = left {
            (Some(history), Journal::reopen(&places.state.join(JOURNAL), good, ask.sync)?)
        } else {
            if held.clear().map_err(failed(&places.state, "cannot remove"))? {
                notes.push(format!("`{}`: removed what an interrupted run had left", display(&places.state)));
            }
            (None, begin_anew(&places, ask, &mut held)?)
        };
        let finished = AtomicUsize::new(history.as_ref().map_or(0, |history| history.shards.len()));
        let (overwrite, sync) = (ask.overwrite, ask.sync);
        let staging = Self {
            parent,
            places,
            overwrite,
            sync,
            notes,
            history,
            journal: Mutex::new(journal),
            finished,
            swapped: AtomicBool::new(false),
            held,
        };
        staging.append(&Entry::Begin { plan: ask.plan.digest().to_owned(), inputs: ask.inputs.to_vec() })?;
        if ask.sync {
            synced(&staging.places.state)?;
            synced(&staging.parent)?;
        }
        Ok(Begun::Work(Box::new(staging)))
    }

    /// What an interrupted run of this plan has finished.
    pub fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Remove everything in the payload but these files, which were found to be what the journal says.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep_only(&self, files: &[&str]) -> Result<()> {
        tree::clear(&self.places.payload, &|name| files.contains(&name))
            .map_err(failed(&self.places.payload, "cannot remove"))?;
        self.finished.store(files.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Note in the journal that a shard is complete and on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn record(&self, shard: ShardRecord) -> Result<()> {
        self.append(&Entry::Shard(shard))?;
        self.finished.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Note in the journal that the inputs changed, so that nobody uses what was made of them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn taint(&self, reason: &str) -> Result<()> {
        self.append(&Entry::Tainted { reason: reason.to_owned() })
    }

    /// Finished shards, which the next run can use.
    pub fn finished(&self) -> usize {
        self.finished.load(Ordering::Relaxed)
    }

    fn append(&self, entry: &Entry) -> Result<()> {
        self.journal.lock().expect("no panic while held").append(entry)
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        &self.places.state
    }

    /// The directory that becomes the target.
    pub fn payload(&self) -> &Path {
        &self.places.payload
    }

    /// What the user should know about, ready to be shown.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Create a small file in the payload and bring it to the disk if the output is to be durable. `name` is a file
    /// name, or that of a file in one directory below.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_small(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let payload = self.payload();
        let path = payload.join(name);
        let parts: Vec<_> = Path::new(name).components().collect();
        if !(1..=2).contains(&parts.len()) || !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
            let reason = io::Error::new(io::ErrorKind::InvalidInput, "not a name within the output");
            return Err(Error::io(path, "cannot create", reason));
        }
        if let [directory, _] = parts.as_slice() {
            let directory = payload.join(directory);
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io(directory, "cannot create", error));
                }
                _ => {}
            }
        }
        write_new(&path, bytes, self.sync)
    }

    /// Make the payload the target, by one rename. What is left to do then is [`Staging::clean`].
    ///
    /// # Errors
    /// [`Error::Refused`] if the target has changed since [`Staging::begin`] so that it may not be replaced,
    /// [`Error::Io`]; in both cases the target is as before.
    pub fn commit(&self) -> Result<()> {
        let Places { target, payload, state, old } = &self.places;
        if self.sync {
            let listing = tree::list(payload).map_err(failed(payload, "cannot list"))?;
            let inner = listing.directories.iter().map(|name| payload.join(name));
            for directory in inner.chain([payload.clone()]) {
                synced(&directory)?;
            }
        }
        self.append(&Entry::Ready { payload: leftover::id(payload).unwrap_or_default() })?;
        check_target(target, self.overwrite)?;
        let cannot = failed(target, "cannot put the output in place");
        match target::examine(target)? {
            Standing::Absent => rename_new(payload, target).map_err(cannot)?,
            Standing::EmptyDirectory => fs::rename(payload, target).map_err(cannot)?,
            Standing::Soup => match exchange(payload, target) {
                Err(error) if flags_unsupported(&error) => {
                    self.append(&Entry::Swap)?;
                    move_aside(payload, target, old).map_err(cannot)?;
                    self.swapped.store(true, Ordering::Relaxed);
                }
                answer => answer.map_err(cannot)?,
            },
        }
        self.finished.store(0, Ordering::Relaxed); // from here on there is nothing to lose
        if self.sync {
            synced(&self.parent)?;
            synced(state)?;
        }
        Ok(())
    }

    /// Remove the state directory, and the old soup with it. Returns what was left over, if anything was, ready to be
    /// shown: the output is complete nevertheless.
    pub fn clean(mut self) -> Option<String> {
        let mut left = Vec::new();
        let mut note = |path: &Path, answer: io::Result<()>| {
            if let Err(error) = answer {
                left.push(format!("`{}`: cannot be removed: {error}", display(path)));
            }
        };
        if self.swapped.load(Ordering::Relaxed) {
            note(&self.places.old, remove_old(&self.places.old));
        }
        note(&self.places.state, self.held.remove());
        (!left.is_empty()).then(|| left.join("; "))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.finished() == 0 {
            // Nobody is left to be told; the next run finds and removes what stays.
            let _ = self.held.remove();
        }
    }
}

impl Held {
    /// Remove everything but the lock. Of an old soup its manifest goes last, and the journal after all: as long as
    /// anything else is there, they tell what it is.
    /// True if there was anything.
    fn clear(&self) -> io::Result<bool> {
        let listing = tree::list(&self.state)?;
        let manifest = format!("{PAYLOAD}/{FILE_NAME}");
        tree::clear(&self.state, &|name| [LOCK, PLAN, JOURNAL, PAYLOAD, &manifest].contains(&name))?;
        tree::clear(&self.state, &|name| [LOCK, PLAN, JOURNAL].contains(&name))?;
        tree::clear(&self.state, &|name| [LOCK, JOURNAL].contains(&name))?;
        tree::clear(&self.state, &|name| name == LOCK)?;
        Ok(listing.files.iter().any(|name| name != LOCK) || !listing.directories.is_empty())
    }

    /// Remove the state directory, the lock last: until then no other run can begin.
    fn remove(&mut self) -> io::Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        self.clear()?;
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

/// What an earlier run left, if the target may then be written.
fn look(places: &Places, ask: &Beginning<'_>, old: bool) -> Result<Leftover> {
    let left = if old { leftover::examine(places, ask)? } else { Leftover::Nothing };
    if let Leftover::Published { plan, swapped } = &left {
        if *swapped {
            remove_old(&places.old).map_err(failed(&places.old, "cannot remove"))?;
        }
        if plan == ask.plan.digest() {
            return Ok(left);
        }
    }
    if fs::symlink_metadata(&places.old).is_ok() {
        let message = "was left when replacing the soup was interrupted";
        let hint = format!("rename it back to `{}`, or remove it by hand", display(&places.target));
        return Err(refusal(&places.old, message).hint(hint).into());
    }
    check_target(&places.target, ask.overwrite)?;
    Ok(left)
}

/// Plan, payload and journal of a run that has nothing to go on from. If that fails, nothing stays.
fn begin_anew(places: &Places, ask: &Beginning<'_>, held: &mut Held) -> Result<Journal> {
    let make = || {
        write_new(&places.state.join(PLAN), ask.plan.text().as_bytes(), ask.sync)?;
        let journal = Journal::create(&places.state.join(JOURNAL), ask.sync)?;
        fs::create_dir(&places.payload).map_err(failed(&places.payload, "cannot create"))?;
        Ok(journal)
    };
    make().inspect_err(|_| {
        let _ = held.remove();
    })
}

fn write_new(path: &Path, bytes: &[u8], sync: bool) -> Result<()> {
    let created = File::options().write(true).create_new(true).open(path);
    let mut file = created.map_err(failed(path, "cannot create"))?;
    file.write_all(bytes).map_err(failed(path, "cannot write"))?;
    if sync {
        file.sync_all().map_err(failed(path, "cannot bring to the disk"))?;
    }
    platform::close(file).map_err(failed(path, "cannot close"))
}

/// Remove a soup that was moved aside, if it is one and holds nothing else; its manifest last, so that an interrupted
/// removal can be finished.
fn remove_old(directory: &Path) -> io::Result<()> {
    match target::examine(directory) {
        Ok(Standing::Absent) => return Ok(()),
        Ok(Standing::Soup) => {
            tree::clear(directory, &|name| name == FILE_NAME)?;
            tree::clear(directory, &|_| false)?;
        }
        Ok(Standing::EmptyDirectory) => {}
        Err(problem) => return Err(io::Error::other(problem.message)),
    }
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
