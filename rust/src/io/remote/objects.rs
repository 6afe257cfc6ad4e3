//! The objects that take part in a run, by the places where they count as lying.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::Client;
use super::kept::Blocks;
use super::object::{Description, Object, Refresh};
use super::patience::Patience;
use super::{REQUESTS, UNORDERED_READERS};
use crate::control::{Control, Interrupt as _};
use crate::error::{Problem, ProblemKind, Result};
use crate::threads::start_some;

/// Objects by path; none, for ingredients that lie here.
#[derive(Clone, Default)]
pub struct Objects {
    by_path: BTreeMap<PathBuf, Arc<Object>>,
    client: Option<Arc<Client>>,
    blocks: Arc<Blocks>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_path.keys()).finish()
    }
}

/// While it lives, objects are read; at its end connections are closed and blocks given back.
#[derive(Debug)]
pub struct Session<'a>(&'a Objects);

impl Objects {
    /// Objects as they are described; `refresh` is asked for new URLs.
    ///
    /// # Errors
    /// Two of them are to lie in one place.
    pub fn new(
        descriptions: Vec<Description>,
        refresh: Option<&Arc<Refresh>>,
        patience: Patience,
    ) -> Result<Self> {
        if descriptions.is_empty() {
            return Ok(Self::default());
        }
        let client = Arc::new(Client::new(patience));
        let blocks = Arc::new(Blocks::default());
        let mut by_path = BTreeMap::new();
        for description in descriptions {
            let object = Object::new(description, Arc::clone(&client), refresh.cloned(), Arc::clone(&blocks));
            if let Some(other) = by_path.insert(object.path().to_owned(), Arc::new(object)) {
                let problem = Problem::new(ProblemKind::Recipe, "two objects are to lie here");
                return Err(problem.at(other.path()).into());
            }
        }
        Ok(Self { by_path, client: Some(client), blocks })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// The object that counts as lying at `path`.
    pub fn get(&self, path: &Path) -> Option<&Arc<Object>> {
        self.by_path.get(path)
    }

    /// The names of those in `folder`.
    pub fn names(&self, folder: &Path) -> impl Iterator<Item = &str> {
        let inside = self.by_path.keys().filter(move |path| path.parent() == Some(folder));
        inside.filter_map(|path| path.file_name()?.to_str())
    }

    /// Read objects until `control` is cancelled, in whatever order: two blocks of every ingredient are kept for each
    /// reader, of which there should be at most [`UNORDERED_READERS`]: scales do not lie with their codes.
    pub fn session(&self, control: &Control) -> Session<'_> {
        let folders: BTreeSet<&Path> = self.by_path.keys().filter_map(|path| path.parent()).collect();
        self.ordered_session(control, 2 * UNORDERED_READERS * folders.len())
    }

    /// The same for whoever fetches ahead what is read, but for a little: keep so many blocks.
    pub fn ordered_session(&self, control: &Control, kept: usize) -> Session<'_> {
        self.blocks.keep(kept);
        if let Some(client) = &self.client {
            client.resume();
            control.wakes(Arc::clone(client) as _);
        }
        Session(self)
    }

    /// End every request; none is begun before the next session.
    pub fn interrupt(&self) {
        if let Some(client) = &self.client {
            client.interrupt();
        }
    }

    /// The first bytes of each of those at `paths`, at most `most`, asked for together.
    pub fn beginnings(&self, paths: &[PathBuf], most: u64) -> BTreeMap<PathBuf, Result<Vec<u8>>> {
        let wanted: Vec<&Arc<Object>> = paths.iter().filter_map(|path| self.get(path)).collect();
        let next = AtomicUsize::new(0);
        let read = || {
            let mut found = Vec::new();
            while let Some(object) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut bytes = vec![0; object.size().min(most) as usize];
                let result = object.read(0, &mut bytes).map(|()| bytes);
                found.push((object.path().to_owned(), result));
            }
            found
        };
        if wanted.is_empty() {
            return BTreeMap::new();
        }
        let result = std::thread::scope(|scope| -> Result<BTreeMap<_, _>> {
            let threads = start_some(scope, wanted.len().min(REQUESTS), read)?;
            let joined = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            Ok(joined.collect())
        });
        // Without a thread they are read when they are needed.
        result.unwrap_or_default()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.0.interrupt();
        self.0.blocks.clear();
    }
}
