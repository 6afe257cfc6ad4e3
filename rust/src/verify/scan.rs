//! One pass over shards: BLAKE3 of every tensor from pieces in any order, SHA-256 of every file in file order, values
//! that are not finite.

use std::sync::{Condvar, Mutex};

use sha2::{Digest as _, Sha256};

use crate::checkpoint::Shard;
use crate::error::{Error, Result};
use crate::kernels::{NonFinite, Tally, count_non_finite};
use crate::sink::digest::{ChunkDigest, Leaf};

use super::pieces::{self, PIECE, Piece, Reading, Visit};

/// What is computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// BLAKE3 of tensors.
    pub(super) tensors: bool,
    /// SHA-256 of files.
    pub(super) files: bool,
    /// Counts of values that are not finite.
    pub(super) non_finite: bool,
}

/// What one shard holds.
#[derive(Debug)]
pub(super) struct Scanned {
    /// In file order.
    pub(super) tensors: Vec<ScannedTensor>,
    pub(super) sha256: Option<[u8; 32]>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ScannedTensor {
    pub(super) blake3: Option<[u8; 32]>,
    pub(super) non_finite: NonFinite,
}

/// Read `shards` once. For each what it holds, or why it could not be read.
///
/// # Errors
/// Cancellation only.
pub(super) fn scan(
    shards: &[&Shard],
    wanted: Wanted,
    reading: &Reading<'_>,
) -> Result<Vec<Result<Scanned, Error>>> {
    let scan = Scan { wanted, shards: shards.iter().map(|shard| State::new(shard)).collect() };
    let failures = pieces::each(shards, reading, &scan)?;
    let results = scan.shards.into_iter().zip(failures).map(|(state, failure)| match failure {
        Some(error) => Err(error),
        None => Ok(state.finish(wanted)),
    });
    Ok(results.collect())
}

struct Scan<'a> {
    wanted: Wanted,
    shards: Vec<State<'a>>,
}

struct State<'a> {
    shard: &'a Shard,
    tensors: Vec<Mutex<Partial>>,
    file: Turns,
}

/// A tensor of which some pieces were seen.
#[derive(Default)]
struct Partial {
    /// By piece; emptied once combined, so that memory holds the leaves of unfinished tensors only.
    leaves: Vec<Option<Leaf>>,
    seen: usize,
    scanned: ScannedTensor,
}

impl Visit for Scan<'_> {
    fn wants_header(&self, _shard: usize) -> bool {
        self.wanted.files
    }

    fn visit(&self, piece: &Piece, bytes: &[u8], _buffer: &mut Vec<u8>) -> Result<()> {
        let state = &self.shards[piece.shard];
        if let Some((tensor, start)) = piece.tensor {
            state.tensor(tensor, start, bytes, self.wanted);
        }
        if self.wanted.files {
            state.file.update(piece.number, bytes);
        }
        Ok(())
    }

    fn give_up(&self, shard: usize) {
        self.shards[shard].file.give_up();
    }
}

impl<'a> State<'a> {
    fn new(shard: &'a Shard) -> Self {
        let tensors = shard.tensors.iter().map(|_| Mutex::default()).collect();
        Self { shard, tensors, file: Turns::default() }
    }

    fn tensor(&self, number: usize, start: u64, bytes: &[u8], wanted: Wanted) {
        let info = &self.shard.tensors[number];
        let digest = ChunkDigest::new(info.length, PIECE);
        let leaf = wanted.tensors.then(|| digest.leaf(bytes, start));
        let mut tally = Tally::new(1);
        if wanted.non_finite {
            tally.base = start / info.dtype.bytes().unwrap_or(1) as u64;
            count_non_finite(bytes, info.dtype, &mut tally);
        }
        let mut partial = self.tensors[number].lock().expect("no panic while held");
        if let Some(leaf) = leaf {
            partial.leaves.resize(digest.leaves(), None);
            partial.leaves[(start / PIECE) as usize] = Some(leaf);
            partial.seen += 1;
            if partial.seen == digest.leaves() {
                let leaves: Option<Vec<Leaf>> = std::mem::take(&mut partial.leaves).into_iter().collect();
                partial.scanned.blake3 = leaves.map(|leaves| *digest.combine(&leaves).as_bytes());
            }
        }
        if !tally.is_clean() {
            let mut sum = Tally { inputs: vec![partial.scanned.non_finite], ..Tally::default() };
            sum.merge(&tally);
            partial.scanned.non_finite = sum.inputs[0];
        }
    }

    fn finish(self, wanted: Wanted) -> Scanned {
        let empty = wanted.tensors.then(|| *blake3::hash(b"").as_bytes());
        let tensors = self.tensors.into_iter().zip(&self.shard.tensors).map(|(partial, info)| {
            let mut scanned = partial.into_inner().expect("no panic while held").scanned;
            if info.length == 0 {
                scanned.blake3 = empty;
            }
            scanned
        });
        let tensors = tensors.collect();
        Scanned { tensors, sha256: wanted.files.then(|| self.file.finish()) }
    }
}

/// A hash that must see pieces in order, fed by threads that have them in almost that order: each waits for its turn.
#[derive(Default)]
struct Turns {
    state: Mutex<Turn>,
    bell: Condvar,
}

#[derive(Default)]
struct Turn {
    next: u64,
    given_up: bool,
    hasher: Sha256,
}

impl Turns {
    fn update(&self, number: u64, bytes: &[u8]) {
        let turn = self.state.lock().expect("no panic while held");
        let waiting = |turn: &mut Turn| turn.next != number && !turn.given_up;
        let mut turn = self.bell.wait_while(turn, waiting).expect("no panic while held");
        if !turn.given_up {
            turn.hasher.update(bytes);
            turn.next += 1;
            self.bell.notify_all();
        }
    }

    fn give_up(&self) {
        self.state.lock().expect("no panic while held").given_up = true;
        self.bell.notify_all();
    }

    fn finish(self) -> [u8; 32] {
        self.state.into_inner().expect("no panic while held").hasher.finalize().into()
    }
}
