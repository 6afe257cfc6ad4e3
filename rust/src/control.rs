//! The two atomics that a running merge shares with whoever watches it: a cancel flag and a byte counter.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Cancels a merge from outside and tells how far it is. Cheap enough to be read once a chunk.
#[derive(Debug, Default)]
pub struct Control {
    cancelled: AtomicBool,
    bytes_done: AtomicU64,
}

impl Control {
    /// Ask every worker to stop at its next chunk.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// [`Error::Cancelled`] once [`Control::cancel`] was called.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Count `bytes` of output as done.
    pub fn advance(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Output bytes computed so far.
    pub fn bytes_done(&self) -> u64 {
        self.bytes_done.load(Ordering::Relaxed)
    }
}
