//! The bytes of several shards in pieces of at most 4 MiB, handed to workers in file order, each byte read once.
//!
//! A shard that cannot be read to its end is given up and reported; the others are not held up by it.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::checkpoint::Shard;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Backend, Buffer, Cache, Source};

/// Bytes of a piece: a subtree of BLAKE3, and whole elements of every dtype.
pub(super) const PIECE: u64 = 4 << 20;

/// How shards are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) threads: usize,
    pub(super) backend: Option<Backend>,
    pub(super) control: &'a Control,
}

/// A run of bytes of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) shard: usize,
    /// Number within the shard, from 0 in file order.
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// The tensor it is a part of, and where in it; `None` in the header.
    pub(super) tensor: Option<(usize, u64)>,
}

/// What is done with pieces.
pub(super) trait Visit: Sync {
    /// Whether the bytes before the first tensor of a shard are wanted.
    fn wants_header(&self, shard: usize) -> bool;

    /// One piece; called on many threads at a time, for a shard's pieces in the order of their numbers, or nearly so.
    fn visit(&self, piece: &Piece, bytes: &[u8]) -> Result<()>;

    /// Nobody will see the rest of this shard: whoever waits for it must not.
    fn give_up(&self, shard: usize);
}

/// Show every piece of `shards` to `visitor`. Returns for each shard why it was given up, if it was.
///
/// # Errors
/// Cancellation only.
///
/// # Panics
/// If a worker panics: a bug.
pub(super) fn each(
    shards: &[&Shard],
    reading: &Reading<'_>,
    visitor: &dyn Visit,
) -> Result<Vec<Option<Error>>> {
    let pieces = Pieces::new(shards, visitor);
    let cancelled = std::thread::scope(|scope| {
        let work = || Worker { pieces: &pieces, reading, visitor }.run();
        let workers: Vec<_> = (0..reading.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let ends: Vec<Result<()>> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect();
        ends.into_iter().collect::<Result<()>>()
    });
    cancelled?;
    Ok(pieces
        .shards
        .into_iter()
        .map(|state| state.failure.into_inner().expect("no panic while held"))
        .collect())
}

struct Pieces<'a> {
    shards: Vec<ShardState<'a>>,
    /// Workers at each shard.
    workers: Mutex<Vec<usize>>,
}

struct ShardState<'a> {
    shard: &'a Shard,
    cursor: Mutex<Cursor>,
    /// Nothing is left to be handed out.
    dealt: AtomicBool,
    /// Pieces handed out and not yet done; one more while not all are handed out.
    left: AtomicUsize,
    source: Mutex<Option<Arc<Source>>>,
    failure: Mutex<Option<Error>>,
}

/// Where the next piece begins.
#[derive(Debug, Default)]
struct Cursor {
    number: u64,
    /// Bytes of the header handed out.
    header: u64,
    tensor: usize,
    /// Bytes of that tensor handed out.
    within: u64,
}

impl Cursor {
    fn next(&mut self, number: usize, shard: &Shard) -> Option<Piece> {
        let data = shard.tensors.first().map_or(shard.identity.size(), |first| first.offset);
        let (offset, length, tensor) = if self.header < data {
            let length = (data - self.header).min(PIECE);
            self.header += length;
            (self.header - length, length, None)
        } else {
            loop {
                let tensor = shard.tensors.get(self.tensor)?;
                if self.within == tensor.length {
                    (self.tensor, self.within) = (self.tensor + 1, 0);
                    continue;
                }
                let (start, length) = (self.within, (tensor.length - self.within).min(PIECE));
                self.within += length;
                break (tensor.offset + start, length, Some((self.tensor, start)));
            }
        };
        self.number += 1;
        Some(Piece { shard: number, number: self.number - 1, offset, length, tensor })
    }
}

impl<'a> Pieces<'a> {
    fn new(shards: &[&'a Shard], visitor: &dyn Visit) -> Self {
        let state = |(number, &shard): (usize, &&'a Shard)| {
            let data = shard.tensors.first().map_or(shard.identity.size(), |first| first.offset);
            let header = if visitor.wants_header(number) { 0 } else { data };
            ShardState {
                shard,
                cursor: Mutex::new(Cursor { header, ..Cursor::default() }),
                dealt: AtomicBool::new(false),
                left: AtomicUsize::new(1),
                source: Mutex::new(None),
                failure: Mutex::new(None),
            }
        };
        Self {
            shards: shards.iter().enumerate().map(state).collect(),
            workers: Mutex::new(vec![0; shards.len()]),
        }
    }

    /// The next piece for a worker at `shard`; once that is dealt out, the worker goes where fewest are.
    fn next(&self, shard: &mut Option<usize>) -> Option<Piece> {
        loop {
            if let Some(number) = *shard {
                let state = &self.shards[number];
                let mut cursor = state.cursor.lock().expect("no panic while held");
                if !state.dealt.load(Ordering::Acquire) {
                    if let Some(piece) = cursor.next(number, state.shard) {
                        state.left.fetch_add(1, Ordering::AcqRel);
                        return Some(piece);
                    }
                    state.dealt.store(true, Ordering::Release);
                    drop(cursor);
                    state.finish_one();
                }
            }
            let mut workers = self.workers.lock().expect("no panic while held");
            if let Some(leaving) = *shard {
                workers[leaving] -= 1;
            }
            let open = |&number: &usize| !self.shards[number].dealt.load(Ordering::Acquire);
            *shard = (0..self.shards.len()).filter(open).min_by_key(|&number| (workers[number], number));
            workers[(*shard)?] += 1;
        }
    }
}

impl ShardState<'_> {
    fn source(&self, backend: Option<Backend>) -> Result<Arc<Source>> {
        let mut source = self.source.lock().expect("no panic while held");
        if let Some(source) = &*source {
            return Ok(Arc::clone(source));
        }
        let opened = Arc::new(Source::open(&self.shard.path, &self.shard.identity, backend, Cache::Auto)?);
        *source = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// A piece is done, or all are handed out. After the last of these: the shard must be what it was, and is closed.
    fn finish_one(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let source = self.source.lock().expect("no panic while held").take();
        if let Some(Err(error)) = source.map(|source| source.unchanged()) {
            self.failure.lock().expect("no panic while held").get_or_insert(error);
        }
    }
}

struct Worker<'a> {
    pieces: &'a Pieces<'a>,
    reading: &'a Reading<'a>,
    visitor: &'a dyn Visit,
}

impl Worker<'_> {
    fn run(&self) -> Result<()> {
        let mut scratch = Buffer::default();
        let mut shard = None;
        let _alarm = Alarm(self);
        loop {
            self.reading.control.check()?;
            let Some(piece) = self.pieces.next(&mut shard) else { return Ok(()) };
            let state = &self.pieces.shards[piece.shard];
            match self.piece(state, &piece, &mut scratch) {
                Ok(()) => {}
                Err(error) => {
                    self.give_up(piece.shard);
                    if matches!(error, Error::Cancelled) {
                        return Err(error);
                    }
                    state.failure.lock().expect("no panic while held").get_or_insert(error);
                }
            }
            state.finish_one();
        }
    }

    fn piece(&self, state: &ShardState<'_>, piece: &Piece, scratch: &mut Buffer) -> Result<()> {
        let source = state.source(self.reading.backend)?;
        let bytes = source.read(piece.offset, piece.length as usize, scratch)?;
        self.visitor.visit(piece, bytes)?;
        source.check()?;
        source.release(piece.offset, piece.length as usize);
        self.reading.control.advance(piece.length);
        Ok(())
    }

    /// Hand out nothing more of a shard.
    fn give_up(&self, number: usize) {
        let state = &self.pieces.shards[number];
        let _cursor = state.cursor.lock().expect("no panic while held");
        if !state.dealt.swap(true, Ordering::AcqRel) {
            state.left.fetch_sub(1, Ordering::AcqRel);
        }
        self.visitor.give_up(number);
    }
}

/// A worker that panics must not leave others waiting for its piece.
struct Alarm<'a>(&'a Worker<'a>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (0..self.0.pieces.shards.len()).for_each(|shard| self.0.visitor.give_up(shard));
        }
    }
}
