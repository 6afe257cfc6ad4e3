//! A checkpoint with an adapter on top.

use std::borrow::Cow;
use std::path::Path;

use super::adapter::{Adapter, Changes};
use super::model::{Checkpoint, parent, read_shard};
use super::open::{self, OpenOptions};
use super::origin;
use super::shard::Shard;
use crate::error::Problem;

impl Checkpoint {
    /// The checkpoint with an adapter on top, if there is one.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn adapted(
        mut self,
        changes: Option<&Changes>,
        options: OpenOptions,
        budget: &mut u64,
    ) -> Result<Self, Vec<Problem>> {
        let Some(Changes { path, changes }) = changes else { return Ok(self) };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read = open::open(path, parent(path), options)
            .and_then(|opened| read_shard(path.clone(), name, opened, budget));
        let (file, notes) = read.map_err(|problem| vec![problem])?;
        let origin = origin::find(parent(path), std::slice::from_ref(&file));
        self.warnings.extend(notes);
        self.adapter = Some(Adapter { file, origin, changes: changes.clone() });
        Ok(self)
    }

    /// All files: its shards, and behind them that of the adapter.
    pub fn files(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().chain(self.adapter.iter().map(|adapter| &adapter.file))
    }

    /// One of all files by its number.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn file(&self, number: usize) -> &Shard {
        self.files().nth(number).expect("the number of a file")
    }

    /// What it is called: its path, and behind a plus the folder of what is on top.
    pub fn label(&self) -> Cow<'_, Path> {
        let Some(adapter) = &self.adapter else { return Cow::Borrowed(&self.root) };
        let mut label = self.root.clone().into_os_string();
        label.push("+");
        label.push(parent(&adapter.file.path));
        Cow::Owned(label.into())
    }
}
