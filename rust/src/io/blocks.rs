//! Which parts of a file have been read to the end, and which of them may leave the page cache.
//!
//! Chunks begin and end anywhere, page-cache folios do not: they are aligned to their size, up to 2 MiB, and one that
//! is only half in a range survives `posix_fadvise`. So the cache is given back by aligned blocks of 2 MiB, each as
//! soon as all its bytes were released, whichever chunks they belonged to.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes of a block: the largest folio, and a multiple of the kernel's fault-around window.
pub(super) const BLOCK: u64 = 2 << 20;

/// Progress of one file by blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    size: u64,
    released: Box<[AtomicU32]>,
    keep: Box<[bool]>,
    /// Bytes released in blocks that are not finished.
    unfinished: AtomicU64,
}

/// A block of which every byte was released.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) range: Range<u64>,
    /// It must stay in the page cache.
    pub(super) keep: bool,
}

impl Blocks {
    /// `keep` is asked once for each block whether it stays in the page cache.
    pub(super) fn new(size: u64, keep: impl FnMut(Range<u64>) -> bool) -> Self {
        let count = size.div_ceil(BLOCK);
        Self {
            size,
            released: (0..count).map(|_| AtomicU32::new(0)).collect(),
            keep: (0..count).map(|block| range(block, size)).map(keep).collect(),
            unfinished: AtomicU64::new(0),
        }
    }

    /// Count a range as released and report the blocks that this finishes, each to one caller only. Returns how many
    /// bytes were released in blocks that are not finished.
    pub(super) fn release(&self, bytes: Range<u64>, mut finished: impl FnMut(Finished)) -> u64 {
        let end = bytes.end.min(self.size);
        let mut start = bytes.start;
        while start < end {
            let block = start / BLOCK;
            let whole = range(block, self.size);
            let stop = end.min(whole.end);
            let more = (stop - start) as u32;
            let before = self.released[block as usize].fetch_add(more, Ordering::AcqRel);
            let all = (whole.end - whole.start) as u32;
            if before < all && before.saturating_add(more) >= all {
                self.unfinished.fetch_sub(u64::from(before), Ordering::Relaxed);
                finished(Finished { range: whole, keep: self.keep[block as usize] });
            }
            if before.saturating_add(more) < all {
                self.unfinished.fetch_add(u64::from(more), Ordering::Relaxed);
            }
            start = stop;
        }
        self.unfinished.load(Ordering::Relaxed)
    }

    /// The blocks that were begun, never finished and need not be kept: header, gaps, an interrupted run.
    pub(super) fn begun(&self) -> impl Iterator<Item = Range<u64>> {
        (0..self.released.len()).filter_map(|block| {
            let whole = range(block as u64, self.size);
            let released = u64::from(self.released[block].load(Ordering::Acquire));
            (released > 0 && released < whole.end - whole.start && !self.keep[block]).then_some(whole)
        })
    }
}

fn range(block: u64, size: u64) -> Range<u64> {
    block * BLOCK..((block + 1) * BLOCK).min(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_reported_once_when_its_last_byte_is_released() {
        let size = 2 * BLOCK + 10;
        let blocks = Blocks::new(size, |range| range.start == BLOCK);
        let release = |range: Range<u64>| {
            let mut found = Vec::new();
            blocks.release(range, |block| found.push(block));
            found
        };
        assert_eq!(release(100..BLOCK + 100), []);
        assert_eq!(blocks.begun().collect::<Vec<_>>(), vec![0..BLOCK]);
        assert_eq!(release(0..100), [Finished { range: 0..BLOCK, keep: false }]);
        assert_eq!(
            release(BLOCK + 100..size + 5),
            [
                Finished { range: BLOCK..2 * BLOCK, keep: true },
                Finished { range: 2 * BLOCK..size, keep: false }
            ]
        );
        assert_eq!(release(0..BLOCK), []);
        assert_eq!(blocks.begun().count(), 0);
    }
}
