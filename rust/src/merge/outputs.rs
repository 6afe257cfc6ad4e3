//! The output shards of every recipe: created before they are needed, finished when complete.

use std::sync::{Arc, Mutex};

use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::platform;
use crate::manifest::Digests;
use crate::plan::Plan;
use crate::sink::journal::ShardRecord;
use crate::sink::{Durability, OutputFile, SentShard, read_back};

use super::options::MergeOptions;
use super::sending::Sending;
use super::soups::Soup;
use super::tensor_states::TensorStates;

/// By recipe; `None` where an earlier run has finished that file.
pub(super) type Files = Vec<Option<OutputFile>>;

/// For each shard its file in every recipe's staging directory.
pub(super) struct Outputs<'a> {
    plan: &'a Plan,
    soups: &'a [Soup],
    durability: Durability,
    digests: Digests,
    /// Where shards go, if they do not stay.
    sending: Option<Sending<'a>>,
    shards: Vec<Mutex<Option<Arc<Files>>>>,
    /// Records of the shards finished in this run, by recipe and shard.
    records: Vec<Vec<Mutex<Option<ShardRecord>>>>,
    /// Shards taken away in this run, in the order in which they went.
    sent: Mutex<Vec<SentShard>>,
    notes: Mutex<Vec<String>>,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        soups: &'a [Soup],
        durability: Durability,
        options: &MergeOptions,
        sending: Option<Sending<'a>>,
    ) -> Self {
        let shards = plan.shards.iter().map(|_| Mutex::new(None)).collect();
        let none = || plan.shards.iter().map(|_| Mutex::new(None)).collect();
        let records = soups.iter().map(|_| none()).collect();
        let (digests, sent, notes) = (options.digests, Mutex::default(), Mutex::default());
        Self { plan, soups, durability, digests, sending, shards, records, sent, notes }
    }

    /// Create as many files as descriptors allow, so that a full disk or a quota shows before the work begins. Where
    /// shards do not stay, there is never much on the disk.
    pub(super) fn create_early(&self, control: &Control) -> Result<()> {
        if self.sending.is_some() {
            return Ok(());
        }
        let needed = (0..self.shards.len()).filter(|&shard| self.soups.iter().any(|soup| soup.needs(shard)));
        let early = (platform::descriptors_to_spare() / self.soups.len()).max(1);
        needed.take(early).try_for_each(|shard| self.open(shard, control).map(drop))
    }

    /// The files of a shard, one per recipe. May wait until others have left this disk.
    pub(super) fn open(&self, shard: usize, control: &Control) -> Result<Arc<Files>> {
        self.open_after(shard, |sending| sending.wait_for_room(control))
    }

    fn open_after(&self, shard: usize, enter: impl FnOnce(&Sending<'_>) -> Result<()>) -> Result<Arc<Files>> {
        let mut entry = self.shards[shard].lock().expect("no panic while held");
        if let Some(files) = &*entry {
            return Ok(Arc::clone(files));
        }
        if let Some(sending) = &self.sending
            && self.soups.iter().any(|soup| soup.needs(shard))
        {
            enter(sending)?;
        }
        let planned = &self.plan.shards[shard];
        let create = |soup: &Soup| {
            let Some(staging) = soup.staging.as_ref().filter(|_| soup.needs(shard)) else { return Ok(None) };
            let path = staging.place(&planned.name)?;
            let file = OutputFile::create(&path, planned.size, self.durability)?;
            self.notes.lock().expect("no panic while held").extend(file.note().map(str::to_owned));
            Ok(Some(file))
        };
        let files = Arc::new(self.soups.iter().map(create).collect::<Result<Vec<_>>>()?);
        *entry = Some(Arc::clone(&files));
        Ok(files)
    }

    /// All chunks of a shard are written: write its header, bring it to the disk and note it in the journal.
    ///
    /// # Panics
    /// If a worker still holds the files: it must let go before it reports its chunk.
    pub(super) fn finish(&self, shard: usize, states: &TensorStates<'_>, control: &Control) -> Result<()> {
        // A shard of empty tensors was never opened, and nobody else takes away what would be in its way.
        drop(self.open_after(shard, |sending| {
            sending.add();
            Ok(())
        })?);
        let files = self.shards[shard].lock().expect("no panic while held").take();
        let files = Arc::into_inner(files.expect("just opened")).expect("workers let go of finished shards");
        let planned = &self.plan.shards[shard];
        for (recipe, (file, soup)) in files.into_iter().zip(self.soups).enumerate() {
            let (Some(file), Some(staging)) = (file, &soup.staging) else { continue };
            file.finish(&planned.header)?;
            let tensors: Vec<_> = planned.tensors.iter().map(|&t| states.result(recipe, t)).collect();
            let mut sha256 = None;
            if self.digests == Digests::Full {
                let found = read_back(staging.payload(), self.plan, planned, &tensors, true, control)?;
                if let Some(difference) = found.difference {
                    let path = staging.payload().join(&planned.name);
                    let error =
                        std::io::Error::other(format!("{difference}; this file will be written anew"));
                    return Err(Error::io(path, "is not what was written", error));
                }
                sha256 = found.sha256;
            }
            let record = ShardRecord { name: planned.name.clone(), sha256, tensors };
            if self.digests != Digests::None {
                staging.record(record.clone())?; // without digests, nobody could tell later whether it is whole
            }
            *self.records[recipe][shard].lock().expect("no panic while held") = Some(record);
        }
        Ok(())
    }

    /// Take a finished shard away, if it is not to stay.
    pub(super) fn send(&self, shard: usize) -> Result<()> {
        let Some(sending) = &self.sending else { return Ok(()) };
        let name = &self.plan.shards[shard].name;
        for staging in self.soups.iter().filter_map(|soup| soup.staging.as_deref()) {
            let receipt = sending.send(name, &staging.payload().join(name))?;
            let sent = SentShard { name: name.clone(), receipt };
            if self.digests == Digests::None {
                staging.remove_sent(name)?; // the journal does not know it
            } else {
                staging.sent(&sent)?;
            }
            sending.leave();
            self.sent.lock().expect("no panic while held").push(sent);
        }
        Ok(())
    }

    /// The merge has failed: nobody need wait for shards to leave.
    pub(super) fn stop(&self) {
        if let Some(sending) = &self.sending {
            sending.stop();
        }
    }

    /// Notes of all files, the records of the shards finished in this run, by recipe and shard, and those that were
    /// taken away.
    pub(super) fn into_results(self) -> (Vec<String>, Vec<Vec<Option<ShardRecord>>>, Vec<SentShard>) {
        let inner = |record: Mutex<Option<ShardRecord>>| record.into_inner().expect("no panic while held");
        let records =
            self.records.into_iter().map(|recipe| recipe.into_iter().map(inner).collect()).collect();
        let notes = self.notes.into_inner().expect("no panic while held");
        (notes, records, self.sent.into_inner().expect("no panic while held"))
    }
}
