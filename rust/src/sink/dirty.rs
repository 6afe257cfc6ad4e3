//! Bounds the data that waits in memory for the disk.
//!
//! A file is cut into windows of W bytes. The worker that writes the last byte of a window starts its way to the disk
//! and, if an earlier window is still on its way, waits for that one; so the disk always has work while the other
//! workers compute and fill the next window. Only when two complete windows are waiting, that is when the disk is
//! slower than the work, do writers stop: about 2 W are dirty at most, whatever `vm.dirty_ratio` says.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::io::platform;

/// Without `sync_file_range`, dirty bytes are flushed each time this many were written.
const FLUSH: u64 = 256 << 20;
/// Complete windows not yet on the disk at which writers stop.
const MOST: usize = 2;

#[derive(Debug)]
pub(super) struct DirtyWindows {
    size: u64,
    window: u64,
    drop_cache: bool,
    written: Box<[AtomicU64]>,
    /// `sync_file_range` is not supported here.
    plain: AtomicBool,
    total: AtomicU64,
    waiting: Mutex<Waiting>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Started and nobody waits for them yet, oldest first.
    started: VecDeque<Range<u64>>,
    /// Complete and not on the disk, those included that somebody waits for.
    dirty: usize,
}

/// Counts one dirty window down when dropped, so that an error stops nobody else.
struct Counted<'a>(&'a DirtyWindows);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.lock().dirty -= 1;
        self.0.room.notify_all();
    }
}

impl DirtyWindows {
    /// `window` 0 bounds nothing.
    pub(super) fn new(size: u64, window: u64, drop_cache: bool) -> Self {
        let count = if window == 0 { 0 } else { size.div_ceil(window) };
        Self {
            size,
            window,
            drop_cache,
            written: (0..count).map(|_| AtomicU64::new(0)).collect(),
            plain: AtomicBool::new(false),
            total: AtomicU64::new(0),
            waiting: Mutex::default(),
            room: Condvar::new(),
        }
    }

    /// Wait until there is room for more dirty bytes. To be called before each write.
    pub(super) fn wait_for_room(&self) {
        if self.window == 0 {
            return;
        }
        let guard = self.lock();
        drop(self.room.wait_while(guard, |waiting| waiting.dirty >= MOST));
    }

    /// Count a range as written.
    pub(super) fn wrote(&self, file: &File, bytes: Range<u64>) -> io::Result<()> {
        let length = bytes.end - bytes.start;
        let before = self.total.fetch_add(length, Ordering::Relaxed);
        if self.window == 0 {
            return Ok(());
        }
        if self.plain.load(Ordering::Relaxed) {
            return if before / FLUSH == (before + length) / FLUSH { Ok(()) } else { file.sync_data() };
        }
        let mut start = bytes.start;
        while start < bytes.end {
            let index = start / self.window;
            let whole = self.range(index);
            let stop = bytes.end.min(whole.end);
            let done = self.written[index as usize].fetch_add(stop - start, Ordering::AcqRel) + stop - start;
            if done == whole.end - whole.start {
                self.complete(file, index)?;
            }
            start = stop;
        }
        Ok(())
    }

    /// Bytes written so far.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn complete(&self, file: &File, index: u64) -> io::Result<()> {
        if index == 1 {
            self.flush(file, self.range(0))?; // its header is written last, so it never counts as complete
        }
        self.flush(file, self.range(index))
    }

    fn flush(&self, file: &File, range: Range<u64>) -> io::Result<()> {
        match platform::start_writeback(file, range.start, range.end - range.start) {
            Ok(()) => {}
            Err(error) if is_unsupported(&error) => {
                self.plain.store(true, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let oldest = {
            let mut waiting = self.lock();
            waiting.started.push_back(range);
            waiting.dirty += 1;
            if waiting.dirty < MOST {
                return Ok(());
            }
            waiting.started.pop_front()
        };
        let Some(oldest) = oldest else { return Ok(()) };
        let _counted = Counted(self);
        let length = oldest.end - oldest.start;
        platform::wait_writeback(file, oldest.start, length)?;
        if self.drop_cache {
            platform::drop_cache(file, oldest.start, length);
        }
        Ok(())
    }

    fn range(&self, index: u64) -> Range<u64> {
        index * self.window..((index + 1) * self.window).min(self.size)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput | io::ErrorKind::NotSeekable
    )
}
