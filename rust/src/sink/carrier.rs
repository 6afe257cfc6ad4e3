//! Where a soup goes that is not to stay on this disk.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::journal::Entry;
use super::staging::Staging;
use crate::error::{Error, Result};

/// A shard that was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentShard {
    /// Its name within the output.
    pub name: String,
    /// What the carrier knows it by.
    pub receipt: String,
}

/// Takes a soup away while it is made, to a place where it then appears complete or not at all. Each call may take as
/// long as it takes; [`Error::Cancelled`] is what it fails with when the merge was cancelled meanwhile.
pub trait Carrier: Sync {
    /// Look at the place, and refuse what is in the way. The `result_digest` of the soup if it is there already, made by
    /// the plan with this digest.
    ///
    /// # Errors
    /// The soup cannot be brought there.
    fn begin(&self, plan: &str) -> Result<Option<String>>;

    /// Which of these shards of an interrupted run are still there.
    ///
    /// # Errors
    /// That cannot be said.
    fn still_there(&self, sent: &[SentShard]) -> Result<Vec<bool>>;

    /// Take a finished shard there. The receipt is what it is known by from then on.
    ///
    /// # Errors
    /// It did not arrive.
    fn send(&self, name: &str, file: &Path) -> Result<String>;

    /// Take everything else there, which is what is in `payload`. That makes it a soup.
    ///
    /// # Errors
    /// It did not arrive; the place is then as if nothing had been sent.
    fn complete(&self, payload: &Path, sent: &[SentShard]) -> Result<()>;
}

impl Staging {
    /// Note in the journal that a shard of that journal was taken away, and remove it here.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sent(&self, shard: &SentShard) -> Result<()> {
        let SentShard { name, receipt } = shard.clone();
        self.append(&Entry::Sent { name, receipt })?;
        self.remove_sent(&shard.name)
    }

    /// Remove a shard that was taken away.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_sent(&self, name: &str) -> Result<()> {
        let path = self.payload().join(name);
        fs::remove_file(&path).map_err(|error| Error::io(&path, "cannot remove", error))
    }

    /// The output is complete where it was taken: from here on there is nothing to lose. What is left to do then is
    /// [`Staging::clean`].
    pub fn leave(&self) {
        self.finished.store(0, Ordering::Relaxed);
    }
}
