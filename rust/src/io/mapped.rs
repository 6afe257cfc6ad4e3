#![allow(unsafe_code, reason = "maps, and the hints that give their pages back")]
//! A file mapped read-only.
//!
//! Plain page faults, on purpose: on a warm file `MADV_POPULATE_READ` before each chunk made reading slower (11-15
//! GB/s against 17-28 GB/s for chunks of 256 KiB to 4 MiB, Linux 6.18, ext4), for the kernel maps large folios at one
//! fault anyway; on a cold one the disk's noise was larger than any difference.

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::Mmap;

use super::fault_guard::Guard;

/// A guarded map of a whole file.
#[derive(Debug)]
pub(super) struct Mapped {
    // Declared first, dropped first: the guard must not outlive the map, whose addresses may be used again.
    guard: Guard,
    map: Mmap,
}

impl Mapped {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let map = map(file)?;
        let guard = Guard::new(map.as_ptr(), map.len())?;
        Ok(Self { guard, map })
    }

    /// Bytes of the map: those that the file had when it was made.
    pub(super) fn length(&self) -> u64 {
        self.map.len() as u64
    }

    /// A range that the caller has checked to lie within the map.
    pub(super) fn bytes(&self, range: Range<u64>) -> &[u8] {
        &self.map[range.start as usize..range.end as usize]
    }

    /// Whether the file was cut, or could not be read, under this map.
    pub(super) fn faulted(&self) -> bool {
        self.guard.faulted()
    }

    /// Take the pages that overlap a range out of this process; a neighbour that still uses one faults it back in.
    pub(super) fn release(&self, range: Range<u64>) {
        #[cfg(target_os = "linux")]
        {
            let (start, length) = (range.start as usize, (range.end - range.start) as usize);
            // SAFETY: in a shared read-only map, pages dropped from the process come back from the file with the same
            // bytes; where the guard has put zeros, zeros come back.
            let _ =
                unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, length) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }
}

/// Tells which parts of a file are in the page cache. Touches no page, so it needs no guard.
#[derive(Debug)]
pub(super) struct Probe(Option<Mmap>);

impl Probe {
    pub(super) fn new(file: &File) -> Self {
        Self(map(file).ok())
    }

    /// Whether any of a range is cached, judged by four of its pages: kernels that reclaim ahead of need take single
    /// folios out of a warm file, and what is left of it must stay. `false` where the system does not tell; a file
    /// of another user that we may not write always looks cached on Linux.
    pub(super) fn resident(&self, range: &Range<u64>) -> bool {
        let step = (range.end - range.start) / 4;
        (0..4).any(|quarter| self.page(range.start + quarter * step + step / 2))
    }

    #[cfg(target_os = "linux")]
    fn page(&self, offset: u64) -> bool {
        let Some(map) = &self.0 else { return false };
        let page = rustix::param::page_size();
        let start = offset as usize / page * page;
        if start >= map.len() {
            return false;
        }
        let mut answer = 0_u8;
        // SAFETY: `start` is a page boundary within the map, and one page fills one byte of answer.
        let status = unsafe { libc::mincore(map.as_ptr().add(start).cast_mut().cast(), 1, &raw mut answer) };
        status == 0 && answer & 1 == 1
    }

    #[cfg(not(target_os = "linux"))]
    fn page(&self, _offset: u64) -> bool {
        self.0.is_none() && false
    }
}

fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: no proof is possible that nobody changes the file meanwhile; see the module `io` for what is done about
    // it. Bytes are only ever read as integers of any value, so a change can spoil a result but not memory.
    unsafe { Mmap::map(file) }
}
