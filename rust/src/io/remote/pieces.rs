//! How what will be read is cut: into pieces, each of which gets memory of its own, and requests for several of them.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Least memory of a piece, so that there are not too many of them.
const LEAST: u64 = 512 << 10;

/// What is read. No byte of a stream may be listed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Number of an object in the list of those that are read.
    pub stream: usize,
    /// Its bytes.
    pub bytes: Range<u64>,
    /// Whether it is read again and again until it is given up, and not once.
    pub is_kept: bool,
}

/// A stretch, a few small ones that follow each other, or a part of a long one. Kept small: a terabyte has a million.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) length: u32,
    stream: u32,
}

/// Pieces that follow each other in a stream.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) stream: usize,
    pub(super) bytes: Range<u64>,
}

/// All pieces, numbered by their first use, and all requests in the same order.
#[derive(Debug)]
pub(super) struct Pieces {
    all: Vec<Piece>,
    /// Numbers of the pieces of each stream, by where they begin.
    of_stream: Vec<Vec<u32>>,
    pub(super) requests: Vec<Request>,
    /// Numbers of those that are kept until they are given up.
    kept: HashSet<usize>,
    /// Most bytes of a piece.
    pub(super) room: usize,
}

impl Pieces {
    /// Cut `list`, which is in the order of reading. `ingredients` has that of each stream; a request is for at most
    /// `most` bytes.
    pub(super) fn cut(ingredients: &[usize], list: impl Iterator<Item = Stretch> + Clone, most: u64) -> Self {
        let longest = list.clone().map(|Stretch { bytes, .. }| bytes.end - bytes.start).max();
        let room = longest.unwrap_or(0).max(LEAST).min(most);
        let (mut all, mut requests) = (Vec::<Piece>::new(), Vec::<Request>::new());
        let mut kept = HashSet::new();
        // The last piece and the last request of each ingredient, which may still grow. What is read of another object
        // in between begins new ones, or every shard could hold some that wait for their end.
        let mut growing: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for Stretch { stream, mut bytes, is_kept } in list {
            let newest = growing.entry(ingredients[stream]).or_insert((usize::MAX, usize::MAX));
            while bytes.start < bytes.end {
                let count = (bytes.end - bytes.start).min(room);
                let (mut piece, mut request) = *newest;
                let grows = requests.get(request).is_some_and(|Request { stream: of, bytes: asked }| {
                    *of == stream && asked.end == bytes.start && asked.end - asked.start + count <= most
                });
                if !grows {
                    request = requests.len();
                    requests.push(Request { stream, bytes: bytes.start..bytes.start });
                }
                let is_alone = is_kept || kept.contains(&piece);
                if !grows || is_alone || u64::from(all[piece].length) + count > room {
                    piece = all.len();
                    all.push(Piece { start: bytes.start, length: 0, stream: stream as u32 });
                }
                if is_kept {
                    kept.insert(piece);
                }
                all[piece].length += count as u32;
                requests[request].bytes.end += count;
                *newest = (piece, request);
                bytes.start += count;
            }
        }
        let mut of_stream = vec![Vec::new(); ingredients.len()];
        for (number, piece) in all.iter().enumerate() {
            of_stream[piece.stream as usize].push(number as u32);
        }
        for numbers in &mut of_stream {
            numbers.sort_by_key(|&number| all[number as usize].start);
        }
        Self { all, of_stream, requests, kept, room: room as usize }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: usize) -> Piece {
        self.all[number]
    }

    pub(super) fn is_kept(&self, number: usize) -> bool {
        self.kept.contains(&number)
    }

    /// The pieces of a stream that end behind `place`, with their numbers.
    pub(super) fn from(&self, stream: usize, place: u64) -> impl Iterator<Item = (usize, Piece)> {
        let numbers = &self.of_stream[stream];
        let ends = |piece: Piece| piece.start + u64::from(piece.length);
        let first = numbers.partition_point(|&number| ends(self.get(number as usize)) <= place);
        numbers[first..].iter().map(|&number| (number as usize, self.get(number as usize)))
    }
}
