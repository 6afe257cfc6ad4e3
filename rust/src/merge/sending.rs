//! Finished shards on their way from this disk to where the output is to be, and how many of them may be here.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::control::Control;
use crate::error::{Error, Result};
use crate::sink::Carrier;

/// Shards that may be on this disk: one that is sent, one that is made.
const MOST: usize = 2;
/// How often whoever waits looks whether the merge was cancelled.
const TICK: Duration = Duration::from_millis(50);

/// Whoever takes shards away, and the room that they need before.
pub(super) struct Sending<'a> {
    carrier: &'a dyn Carrier,
    /// Shards on this disk.
    here: Mutex<usize>,
    left: Condvar,
    stopped: AtomicBool,
}

impl<'a> Sending<'a> {
    /// `here`: shards of an interrupted run that lie on this disk and are still to be sent.
    pub(super) fn new(carrier: &'a dyn Carrier, here: usize) -> Self {
        Self { carrier, here: Mutex::new(here), left: Condvar::new(), stopped: AtomicBool::new(false) }
    }

    /// Wait until there is room for one more shard.
    pub(super) fn wait_for_room(&self, control: &Control) -> Result<()> {
        let mut here = self.lock();
        while *here >= MOST {
            control.check()?;
            if self.stopped.load(Ordering::Relaxed) {
                return Err(Error::Cancelled); // what stopped it was kept before
            }
            here = self.left.wait_timeout(here, TICK).expect("no panic while held").0;
        }
        *here += 1;
        Ok(())
    }

    /// One more shard is here, room or not: one without data, for which nobody waits.
    pub(super) fn add(&self) {
        *self.lock() += 1;
    }

    /// Take a finished shard away. Returns what it is known by where it is.
    pub(super) fn send(&self, name: &str, file: &Path) -> Result<String> {
        self.carrier.send(name, file)
    }

    /// A shard is not on this disk any more.
    pub(super) fn leave(&self) {
        *self.lock() -= 1;
        self.left.notify_all();
    }

    /// Nobody need wait any more: the merge has failed.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.here.lock().expect("no panic while held")
    }
}
