//! The output shards of every recipe: created before they are needed, finished when complete.

use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::plan::Plan;
use crate::sink::{Durability, OutputFile, Staging};

/// Files that are created, and their space reserved, before anything is read; more would exhaust descriptors.
const EARLY: usize = 256;

/// For each shard its file in every recipe's staging directory.
pub(super) struct Outputs<'a> {
    plan: &'a Plan,
    staged: &'a [Staging],
    durability: Durability,
    shards: Vec<Mutex<Option<Arc<Vec<OutputFile>>>>>,
    notes: Mutex<Vec<String>>,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(plan: &'a Plan, staged: &'a [Staging], durability: Durability) -> Self {
        let shards = plan.shards.iter().map(|_| Mutex::new(None)).collect();
        Self { plan, staged, durability, shards, notes: Mutex::default() }
    }

    /// Create the first files now, so that a full disk or a quota shows before the work begins.
    pub(super) fn create_early(&self) -> Result<()> {
        (0..self.shards.len().min(EARLY / self.staged.len())).try_for_each(|shard| self.open(shard).map(drop))
    }

    /// The files of a shard, one per recipe.
    pub(super) fn open(&self, shard: usize) -> Result<Arc<Vec<OutputFile>>> {
        let mut entry = self.shards[shard].lock().expect("no panic while held");
        if let Some(files) = &*entry {
            return Ok(Arc::clone(files));
        }
        let planned = &self.plan.shards[shard];
        let create = |staging: &Staging| {
            let file =
                OutputFile::create(&staging.payload().join(&planned.name), planned.size, self.durability)?;
            self.notes.lock().expect("no panic while held").extend(file.note().map(str::to_owned));
            Ok(file)
        };
        let files = Arc::new(self.staged.iter().map(create).collect::<Result<Vec<_>>>()?);
        *entry = Some(Arc::clone(&files));
        Ok(files)
    }

    /// All chunks of a shard are written: write its header and bring it to the disk.
    ///
    /// # Panics
    /// If a worker still holds the files: it must let go before it reports its chunk.
    pub(super) fn finish(&self, shard: usize) -> Result<()> {
        drop(self.open(shard)?); // a shard of empty tensors was never opened
        let files = self.shards[shard].lock().expect("no panic while held").take();
        let files = Arc::into_inner(files.expect("just opened")).expect("workers let go of finished shards");
        files.into_iter().try_for_each(|file| file.finish(&self.plan.shards[shard].header))
    }

    /// Notes of all files.
    pub(super) fn into_notes(self) -> Vec<String> {
        self.notes.into_inner().expect("no panic while held")
    }
}
