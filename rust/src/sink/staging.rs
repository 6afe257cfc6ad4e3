//! The directory in which an output grows, and the rename that makes it the target.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::beginning::Beginning;
use super::journal::{Entry, History, Journal, ShardRecord};
use super::leftover::{self, Leftover};
use super::rename::{exchange, flags_unsupported, move_aside, rename_new};
use super::state::{self, JOURNAL, LOCK, PLAN};
use crate::error::{Error, Result};
use crate::escape::{listing, shown};
use crate::io::platform;
use crate::manifest::FILE_NAME;
use crate::target::tree::{self, Snapshot};
use crate::target::{PAYLOAD, Standing, TargetPaths, check_target, examine, refusal, split};

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
    paths: TargetPaths,
    overwrite: bool,
    sync: bool,
    notes: Vec<String>,
    history: Option<History>,
    journal: Mutex<Journal>,
    /// Finished shards: what would be lost.
    pub(super) finished: AtomicUsize,
    /// Where the old soup lies once it is replaced, to be removed, and its files when it was found to be one.
    replaced: Mutex<Option<(PathBuf, Snapshot)>>,
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
        let (parent, target) = split(ask.target)?;
        let paths = TargetPaths::of(&target);
        // Where a run was interrupted, the target may be its own work: that is looked at under the lock.
        let interrupted = fs::symlink_metadata(&paths.state).is_ok();
        check_target(&target, ask.overwrite || interrupted)?;
        let (lock, old) = state::claim(&paths.state, &target)?;
        let mut held = Held { state: paths.state.clone(), lock: Some(lock) };
        let left = match look(&paths, ask, old) {
            Err(error) if !old => {
                let _ = held.remove();
                return Err(error);
            }
            other => other?,
        };
        if matches!(&left, Leftover::Published { plan, .. } if *plan == ask.plan.digest().to_string()) {
            held.remove().map_err(failed(&paths.state, "cannot remove"))?;
            return Ok(Begun::Published);
        }
        let mut notes = Vec::new();
        let (history, journal) = if let Leftover::Unfinished { history, good } = left {
            (Some(history), Journal::reopen(&paths.state.join(JOURNAL), good, ask.sync)?)
        } else {
            if held.clear().map_err(failed(&paths.state, "cannot remove"))? {
                notes.push(format!("`{}`: removed what an interrupted run had left", display(&paths.state)));
            }
            (None, begin_anew(&paths, ask, &mut held)?)
        };
        let finished = AtomicUsize::new(history.as_ref().map_or(0, |history| history.shards.len()));
        let (overwrite, sync) = (ask.overwrite, ask.sync);
        let staging = Self {
            parent,
            paths,
            overwrite,
            sync,
            notes,
            history,
            journal: Mutex::new(journal),
            finished,
            replaced: Mutex::default(),
            held,
        };
        staging.append(&Entry::Begin { plan: ask.plan.digest().to_string(), inputs: ask.inputs.to_vec() })?;
        if ask.sync {
            synced(&staging.paths.state)?;
            synced(&staging.parent)?;
        }
        Ok(Begun::Work(Box::new(staging)))
    }

    /// What an interrupted run of this plan has finished.
    pub fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Remove everything in the payload but these files, which were found to be what the journal says. `sent`: finished
    /// shards that were taken away.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep_only(&self, files: &[&str], sent: usize) -> Result<()> {
        tree::clear(&self.paths.payload, &|name| files.contains(&name))
            .map_err(failed(&self.paths.payload, "cannot remove"))?;
        self.finished.store(files.len() + sent, Ordering::Relaxed);
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

    pub(super) fn append(&self, entry: &Entry) -> Result<()> {
        self.journal.lock().expect("no panic while held").append(entry)
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        &self.paths.state
    }

    /// The directory that becomes the target.
    pub fn payload(&self) -> &Path {
        &self.paths.payload
    }

    /// What the user should know about, ready to be shown.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The path of a new file in the payload, its folders made. `name` is relative to the output.
    ///
    /// # Errors
    /// [`Error::Io`], also if `name` leads anywhere else.
    pub fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.payload().join(name);
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            let reason = io::Error::new(io::ErrorKind::InvalidInput, "not a name within the output");
            return Err(Error::io(path, "cannot create", reason));
        }
        let folder = path.parent().unwrap_or(self.payload());
        fs::create_dir_all(folder).map_err(failed(folder, "cannot create"))?;
        Ok(path)
    }

    /// Create a small file in the payload and bring it to the disk if the output is to be durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_small(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_new(&self.place(name)?, bytes, self.sync)
    }

    /// Make the payload the target, by one rename. What is left to do then is [`Staging::clean`].
    ///
    /// # Errors
    /// [`Error::Refused`] if the target has changed since [`Staging::begin`] so that it may not be replaced,
    /// [`Error::Io`]; in both cases the target is as before.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the lock.
    pub fn commit(&self) -> Result<()> {
        let TargetPaths { target, payload, state, old } = &self.paths;
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
        // Before it is examined: only what is in here, and as it is now, is removed with an old soup.
        let snapshot = Snapshot::of(target);
        match examine(target)? {
            Standing::Absent => rename_new(payload, target).map_err(cannot)?,
            Standing::EmptyDirectory => fs::rename(payload, target).map_err(cannot)?,
            Standing::Soup => {
                let snapshot = snapshot.map_err(failed(target, "cannot list"))?;
                let place = match exchange(payload, target) {
                    Err(error) if flags_unsupported(&error) => {
                        self.append(&Entry::Swap)?;
                        move_aside(payload, target, old).map_err(cannot)?;
                        old
                    }
                    answer => answer.map(|()| payload).map_err(cannot)?,
                };
                *self.replaced.lock().expect("no panic while held") = Some((place.clone(), snapshot));
            }
        }
        self.finished.store(0, Ordering::Relaxed); // from here on there is nothing to lose
        if self.sync {
            synced(&self.parent)?;
            synced(state)?;
        }
        Ok(())
    }

    /// Remove the old soup and the state directory. Returns what was left over, if anything was, ready to be shown: the
    /// output is complete nevertheless.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the lock.
    pub fn clean(mut self) -> Option<String> {
        let cannot = |path: &Path, error| format!("`{}`: cannot be removed: {error}", display(path));
        let replaced = self.replaced.lock().expect("no panic while held").take();
        let kept = match replaced.map(|(old, snapshot)| (self.remove_replaced(&old, &snapshot), old)) {
            None => None,
            Some((Ok(kept), _)) => kept,
            Some((Err(error), old)) => {
                self.held.lock = None; // what lies in the state directory stays there
                return Some(cannot(&old, error));
            }
        };
        let left = self.held.remove().err().map(|error| cannot(&self.paths.state, error));
        let notes: Vec<String> = kept.into_iter().chain(left).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// Remove what was found to be the old soup. Whatever somebody put into it afterwards is kept beside the output;
    /// where, and what, is returned.
    fn remove_replaced(&self, old: &Path, snapshot: &Snapshot) -> io::Result<Option<String>> {
        let left = snapshot.remove(old, FILE_NAME)?;
        if left.is_empty() {
            return Ok(None);
        }
        let taken = |error: &io::Error| {
            [io::ErrorKind::AlreadyExists, io::ErrorKind::DirectoryNotEmpty].contains(&error.kind())
        };
        for kept in self.paths.kept() {
            match rename_new(old, &kept) {
                Ok(()) => {
                    return Ok(Some(format!(
                        "`{}`: keeps what came into the old soup while it was replaced: {}",
                        display(&kept),
                        listing(&left)
                    )));
                }
                Err(error) if taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
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
fn look(paths: &TargetPaths, ask: &Beginning<'_>, old: bool) -> Result<Leftover> {
    let left = if old { leftover::examine(paths, ask)? } else { Leftover::Nothing };
    if let Leftover::Published { plan, swapped } = &left {
        if *swapped {
            remove_old(&paths.old).map_err(failed(&paths.old, "cannot remove"))?;
        }
        if *plan == ask.plan.digest().to_string() {
            return Ok(left);
        }
    }
    if fs::symlink_metadata(&paths.old).is_ok() {
        let message = "was left when replacing the soup was interrupted";
        let hint = format!("rename it back to `{}`, or remove it by hand", display(&paths.target));
        return Err(refusal(&paths.old, message).hint(hint).into());
    }
    check_target(&paths.target, ask.overwrite)?;
    Ok(left)
}

/// Plan, payload and journal of a run that has nothing to go on from. If that fails, nothing stays.
fn begin_anew(paths: &TargetPaths, ask: &Beginning<'_>, held: &mut Held) -> Result<Journal> {
    let make = || {
        write_new(&paths.state.join(PLAN), ask.plan.text().as_bytes(), ask.sync)?;
        let journal = Journal::create(&paths.state.join(JOURNAL), ask.sync)?;
        fs::create_dir(&paths.payload).map_err(failed(&paths.payload, "cannot create"))?;
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
    let snapshot = Snapshot::of(directory);
    match examine(directory) {
        Ok(Standing::Absent) => Ok(()),
        Ok(Standing::EmptyDirectory) => fs::remove_dir(directory),
        Ok(Standing::Soup) if snapshot?.remove(directory, FILE_NAME)?.is_empty() => Ok(()),
        Ok(Standing::Soup) => Err(io::ErrorKind::DirectoryNotEmpty.into()), // somebody is at work in it
        Err(problem) => Err(io::Error::other(problem.message)),
    }
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
