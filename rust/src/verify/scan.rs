//! One pass over shards: BLAKE3 of every tensor from pieces in any order, SHA-256 of every file in file order, values
//! that are not finite.

use std::sync::{Condvar, Mutex};

use sha2::{Digest as _, Sha256};

use crate::checkpoint::Shard;
use crate::digest::{ChunkDigest, Digest, Leaf};
use crate::error::{Error, Result};
use crate::kernels::{NonFinite, Tally, count_non_finite};

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
    pub(super) sha256: Option<Digest>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ScannedTensor {
    pub(super) blake3: Option<Digest>,
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
    let scan = Scan { wanted, shards: shards.iter().map(|shard| ShardScan::new(shard)).collect() };
    let failures = pieces::each(shards, reading, &scan)?;
    let results = scan.shards.into_iter().zip(failures).map(|(state, failure)| match failure {
        Some(error) => Err(error),
        None => Ok(state.finish(wanted)),
    });
    Ok(results.collect())
}

struct Scan<'a> {
    wanted: Wanted,
    shards: Vec<ShardScan<'a>>,
}

struct ShardScan<'a> {
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

    fn visit(&self, piece: &Piece, bytes: &[u8]) -> Result<()> {
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

impl<'a> ShardScan<'a> {
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
                partial.scanned.blake3 = leaves.map(|leaves| digest.combine(&leaves).into());
            }
        }
        if !tally.is_clean() {
            let mut sum = Tally { inputs: vec![partial.scanned.non_finite], ..Tally::default() };
            sum.merge(&tally);
            partial.scanned.non_finite = sum.inputs[0];
        }
    }

    fn finish(self, wanted: Wanted) -> Scanned {
        let empty = wanted.tensors.then(|| Digest::of(b""));
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

    fn finish(self) -> Digest {
        self.state.into_inner().expect("no panic while held").hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;
    use crate::checkpoint::{Checkpoint, OpenOptions, header};
    use crate::control::Control;
    use crate::dtype::Dtype;
    use crate::io::{Backend, Identity};

    const WANTED: Wanted = Wanted { tensors: true, files: true, non_finite: true };
    const LENGTHS: [u64; 4] = [0, 3 * PIECE + 12, 8, PIECE];

    /// Two shards with tensors of [`LENGTHS`] bytes each.
    fn shards(directory: &Path) -> Vec<Shard> {
        for (number, name) in ["a", "b"].into_iter().enumerate() {
            let names: Vec<String> = (0..LENGTHS.len()).map(|i| format!("{name}{i}")).collect();
            let shapes = LENGTHS.map(|length| [length / 4]);
            let tensors = names.iter().zip(&shapes).zip(LENGTHS);
            let mut bytes = header::write(
                tensors.map(|((name, shape), length)| (name.as_str(), Dtype::F32, &shape[..], length)),
            );
            let data: u64 = LENGTHS.iter().sum();
            bytes.extend((0..data).map(|i| (i.wrapping_mul(31 + number as u64) % 61) as u8));
            std::fs::write(directory.join(format!("model-0000{}-of-00002.safetensors", number + 1)), bytes)
                .unwrap();
        }
        Checkpoint::open(directory, &OpenOptions::default()).unwrap().shards
    }

    fn scanned(shards: &[Shard], threads: usize, backend: Backend) -> Vec<Result<Scanned>> {
        let control = Control::default();
        let reading = Reading { threads, backend: Some(backend), control: &control };
        scan(&shards.iter().collect::<Vec<_>>(), WANTED, &reading).unwrap()
    }

    #[test]
    fn any_number_of_threads_gives_the_plain_hashes() {
        let directory = tempfile::tempdir().unwrap();
        let shards = shards(directory.path());
        for (threads, backend) in
            [1, 2, 9].into_iter().flat_map(|n| [(n, Backend::Mmap), (n, Backend::Pread)])
        {
            for (shard, found) in shards.iter().zip(scanned(&shards, threads, backend)) {
                let found = found.unwrap();
                assert_eq!(found.sha256, Some(Digest::sha256(&std::fs::read(&shard.path).unwrap())));
                let bytes = std::fs::read(&shard.path).unwrap();
                for (info, tensor) in shard.tensors.iter().zip(&found.tensors) {
                    let data = &bytes[info.offset as usize..(info.offset + info.length) as usize];
                    assert_eq!(tensor.blake3, Some(Digest::of(data)), "{}", info.name);
                    assert_eq!(tensor.non_finite.total(), 0);
                }
            }
        }
    }

    #[test]
    fn a_shard_that_ends_early_is_given_up_and_holds_up_neither_its_readers_nor_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let mut shards = shards(directory.path());
        let file = File::options().write(true).open(&shards[0].path).unwrap();
        file.set_len(2 * PIECE).unwrap();
        // As if it had been cut between the look at its identity and the reading.
        shards[0].identity = Identity::of(&file.metadata().unwrap());
        for (threads, backend) in
            [1, 2, 9].into_iter().flat_map(|n| [(n, Backend::Mmap), (n, Backend::Pread)])
        {
            let mut found = scanned(&shards, threads, backend).into_iter();
            let cut = found.next().unwrap().expect_err("cut").to_string();
            assert!(cut.contains("ends within the"), "{cut}");
            let whole = found.next().unwrap().unwrap();
            assert_eq!(whole.sha256, Some(Digest::sha256(&std::fs::read(&shards[1].path).unwrap())));
        }
    }

    #[test]
    fn a_cancelled_scan_ends() {
        let directory = tempfile::tempdir().unwrap();
        let shards = shards(directory.path());
        let control = Control::default();
        control.cancel();
        let reading = Reading { threads: 3, backend: None, control: &control };
        let scanned = scan(&shards.iter().collect::<Vec<_>>(), WANTED, &reading);
        assert!(matches!(scanned, Err(Error::Cancelled)));
    }
}
