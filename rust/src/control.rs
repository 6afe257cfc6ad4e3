//! What a running merge shares with whoever watches it: a cancel flag, what waits outside and must be woken by it, and
//! a byte counter.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// Something that may wait for long, and returns at once when it is interrupted.
pub trait Interrupt: fmt::Debug + Send + Sync {
    /// Stop waiting.
    fn interrupt(&self);
}

/// Cancels a merge from outside and tells how far it is. Cheap enough to be read once a chunk.
#[derive(Debug, Default)]
pub struct Control {
    cancelled: AtomicBool,
    bytes_done: AtomicU64,
    waiting: Mutex<Vec<Arc<dyn Interrupt>>>,
}

impl Control {
    /// Ask every worker to stop at its next chunk, and interrupt what waits.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        for waiting in self.waiting.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waiting.interrupt();
        }
    }

    /// [`Error::Cancelled`] once [`Control::cancel`] was called.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Interrupt `waiting` too when this is cancelled; at once if that has been.
    pub fn wakes(&self, waiting: Arc<dyn Interrupt>) {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.cancelled.load(Ordering::SeqCst) {
            waiting.interrupt();
        }
        all.push(waiting);
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
