//! Stretches of objects, fetched ahead in the order in which they will be read.
//!
//! The stretches are known before the first is read, and cut into [pieces](super::pieces). A piece has memory from when its
//! first byte comes until its last one was read; whoever reads a whole piece takes its memory and gives other memory
//! for it. Pieces are asked for long before there is memory for them: what is under way waits in the connection.
//!
//! A piece gets memory once fewer of those before it are unread than there is memory for. Readers read what is listed in
//! the order of the list, though several threads at a time. So of what comes before the piece that the first of them waits
//! for, each ingredient has at most one piece that is not read to its end, beside what is kept, which is a block at most:
//! there is memory for it. And it was asked for: only a request that also brings something behind it can keep a thread
//! waiting for memory, of which each ingredient has at most one, and there is a thread for each. So nobody waits for ever.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use super::object::Object;
use super::pieces::{Piece, Pieces, Request, Stretch};
use super::room::Room;
use super::{AHEAD, BLOCK, REQUESTS};
use crate::error::{Error, Problem, Result};
use crate::io::buffer::Buffer;

/// Stretches of objects, fetched ahead.
#[derive(Debug)]
pub struct Fetch {
    streams: Vec<Arc<Object>>,
    ingredients: usize,
    pieces: Pieces,
    /// Pieces for which there is memory.
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the next request.
    next: usize,
    /// Pieces that were read.
    read: usize,
    pool: Vec<Buffer>,
    held: HashMap<usize, Held>,
    /// Who waits for memory, by the piece that it is for.
    fetchers: HashMap<usize, Thread>,
    /// Who waits for a piece.
    readers: HashMap<usize, Vec<Thread>>,
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Held {
    bytes: Arc<Buffer>,
    /// Bytes that nobody has read yet.
    left: usize,
}

/// Why nothing more comes.
#[derive(Debug, Clone)]
enum Ended {
    Cancelled,
    Refused(Vec<Problem>),
}

impl Fetch {
    /// Bytes of memory for so many ingredients: what is fetched ahead, and a block of each for what is not listed.
    pub fn memory(ingredients: usize) -> u64 {
        let blocks = if ingredients == 0 { 0 } else { Self::ahead(ingredients) + ingredients };
        blocks as u64 * BLOCK
    }

    /// Requests for whose bytes there is memory.
    fn ahead(ingredients: usize) -> usize {
        AHEAD + 2 * ingredients
    }

    /// `objects` are the streams, each with the number of its ingredient; `list` is in the order of reading, a request
    /// is for at most `most` bytes. Of each ingredient, at most that much may be kept at a time.
    pub fn new(
        objects: Vec<(usize, Arc<Object>)>,
        list: impl Iterator<Item = Stretch> + Clone,
        most: u64,
    ) -> Self {
        let (of_streams, streams): (Vec<usize>, _) = objects.into_iter().unzip();
        let pieces = Pieces::cut(&of_streams, list, most);
        let ingredients = of_streams.into_iter().collect::<BTreeSet<_>>().len();
        let memory = Self::ahead(ingredients) * most as usize;
        let most = (memory / pieces.room).min(pieces.len());
        let pool = (0..most).map(|_| Buffer::default()).collect();
        let state = Mutex::new(State { pool, ..State::default() });
        Self { streams, ingredients, pieces, most, state }
    }

    /// Threads that must [`work`](Self::work), and those that should.
    pub fn fetchers(&self) -> (usize, usize) {
        let (all, least) = (self.pieces.requests.len(), self.ingredients);
        (all.min(least), all.min(least.max(REQUESTS)))
    }

    /// Fetch until all is fetched or somebody stops. For several threads at a time.
    pub fn work(&self) {
        let _stop = StopOnPanic(self);
        while let Some(Request { stream, bytes }) = self.next() {
            let object = &self.streams[*stream];
            let mut pieces = self.pieces.from(*stream, bytes.start);
            let mut arriving = Arriving { fetch: self, object, pieces: &mut pieces, piece: None };
            match object.read_into(bytes.clone(), &mut arriving) {
                Ok(()) => {}
                Err(Error::Cancelled) => self.end(Ended::Cancelled),
                Err(other) => self.end(Ended::Refused(vec![other.into()])),
            }
        }
    }

    fn next(&self) -> Option<&Request> {
        let mut state = self.lock();
        if state.ended.is_some() {
            return None;
        }
        state.next += 1;
        self.pieces.requests.get(state.next - 1)
    }

    /// Memory for a piece, once there is some; `None` if it is not wanted any more.
    fn memory_for(&self, number: usize) -> Option<Buffer> {
        let mut state = self.lock();
        while state.ended.is_none() {
            if number < state.read + self.most {
                return Some(state.pool.pop().expect("there is as much as pieces that may have it"));
            }
            state.fetchers.insert(number, thread::current());
            drop(state);
            thread::park();
            state = self.lock();
        }
        None
    }

    fn arrived(&self, number: usize, bytes: Buffer) {
        let left = self.pieces.get(number).length as usize;
        let mut state = self.lock();
        state.held.insert(number, Held { bytes: Arc::new(bytes), left });
        let waiting = state.readers.remove(&number);
        drop(state);
        waiting.into_iter().flatten().for_each(|thread| thread.unpark());
    }

    /// The object of a stream.
    pub fn object(&self, stream: usize) -> &Arc<Object> {
        &self.streams[stream]
    }

    /// `length` bytes of `stream` from `offset` on, in `buffer`. What is not listed is got when it is asked for, in blocks.
    ///
    /// # Errors
    /// What keeps them from coming; no memory.
    pub fn read<'a>(
        &self,
        stream: usize,
        offset: u64,
        length: usize,
        buffer: &'a mut Buffer,
    ) -> Result<&'a [u8]> {
        let object = self.object(stream);
        let no_memory = |error| Error::io(object.path(), format!("no memory to read {length} bytes"), error);
        let mut pieces = self.pieces.from(stream, offset).peekable();
        let first = pieces.peek().copied();
        let whole = |(_, piece): &(usize, Piece)| (piece.start, piece.length as usize) == (offset, length);
        let is_read_once = |(number, _): &(usize, Piece)| !self.pieces.is_kept(*number);
        if let Some((number, _)) = first.filter(whole).filter(is_read_once) {
            drop(self.wait(number)?);
            self.used(number, length, Some(buffer));
            return buffer.first(length).map(|bytes| &*bytes).map_err(no_memory);
        }
        let bytes = buffer.first(length).map_err(no_memory)?;
        let mut done = 0;
        while done < length {
            let place = offset + done as u64;
            let count = match pieces.peek().copied() {
                Some((number, piece)) if piece.start <= place => {
                    pieces.next();
                    let within = (place - piece.start) as usize;
                    let count = (length - done).min(piece.length as usize - within);
                    let held = self.wait(number)?;
                    bytes[done..done + count].copy_from_slice(&held.all()[within..within + count]);
                    drop(held);
                    if !self.pieces.is_kept(number) {
                        self.used(number, count, None);
                    }
                    count
                }
                next => {
                    let end = next.map_or(u64::MAX, |(_, piece)| piece.start);
                    let count = (length - done).min((end - place) as usize);
                    object.read_in_blocks(place, &mut bytes[done..done + count])?;
                    count
                }
            };
            done += count;
        }
        Ok(bytes)
    }

    fn wait(&self, number: usize) -> Result<Arc<Buffer>> {
        let mut state = self.lock();
        loop {
            if let Some(held) = state.held.get(&number) {
                return Ok(Arc::clone(&held.bytes));
            }
            match &state.ended {
                Some(Ended::Cancelled) => return Err(Error::Cancelled),
                Some(Ended::Refused(problems)) => return Err(Error::Refused(problems.clone())),
                None => {}
            }
            state.readers.entry(number).or_default().push(thread::current());
            drop(state);
            thread::park();
            state = self.lock();
        }
    }

    /// Nobody will read a kept stretch any more, of which every byte was read.
    pub fn give_up(&self, stream: usize, bytes: Range<u64>) {
        let pieces = self.pieces.from(stream, bytes.start);
        for (number, piece) in pieces.take_while(|(_, piece)| piece.start < bytes.end) {
            self.used(number, piece.length as usize, None);
        }
    }

    /// Count bytes of a piece as read. After the last its memory is for another, or whoever read them takes it and gives
    /// other memory.
    fn used(&self, number: usize, count: usize, taken: Option<&mut Buffer>) {
        let mut state = self.lock();
        let held = state.held.get_mut(&number).expect("a piece is held until its last byte was read");
        held.left = held.left.checked_sub(count).expect("no byte is read twice");
        if held.left > 0 {
            return;
        }
        let held = state.held.remove(&number).expect("found above");
        let mut bytes = Arc::into_inner(held.bytes).expect("whoever read it is done with it");
        if let Some(taken) = taken {
            std::mem::swap(&mut bytes, taken);
        }
        state.pool.push(bytes);
        state.read += 1;
        let allowed = state.read + self.most - 1;
        let waiting = state.fetchers.remove(&allowed);
        drop(state);
        if let Some(thread) = waiting {
            thread.unpark();
        }
    }

    /// Nothing more is wanted. Requests under way are not ended by this.
    pub fn stop(&self) {
        self.end(Ended::Cancelled);
    }

    fn end(&self, why: Ended) {
        let mut state = self.lock();
        state.ended.get_or_insert(why);
        state.fetchers.drain().for_each(|(_, thread)| thread.unpark());
        state.readers.drain().flat_map(|(_, threads)| threads).for_each(|thread| thread.unpark());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Not poisoned for whoever stops the others after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory for the pieces of a request, one after the other.
struct Arriving<'a> {
    fetch: &'a Fetch,
    object: &'a Object,
    /// Those that come next.
    pieces: &'a mut dyn Iterator<Item = (usize, Piece)>,
    piece: Option<Filling>,
}

/// The piece whose bytes come.
struct Filling {
    number: usize,
    length: usize,
    bytes: Buffer,
    filled: usize,
}

impl Room for Arriving<'_> {
    fn room(&mut self) -> Option<&mut [u8]> {
        if self.piece.is_none() {
            let (number, piece) = self.pieces.next().expect("a request is for pieces");
            let mut bytes = self.fetch.memory_for(number)?;
            if let Err(error) = bytes.first(self.fetch.pieces.room) {
                let error = Error::io(self.object.path(), "no memory for what comes of it", error);
                self.fetch.end(Ended::Refused(vec![error.into()]));
                return None;
            }
            self.piece = Some(Filling { number, length: piece.length as usize, bytes, filled: 0 });
        }
        let Filling { bytes, filled, length, .. } = self.piece.as_mut().expect("begun above");
        bytes.first(*length).ok().map(|bytes| &mut bytes[*filled..])
    }

    fn filled(&mut self, count: usize) {
        let mut piece = self.piece.take().expect("it had room");
        piece.filled += count;
        if piece.filled == piece.length {
            self.fetch.arrived(piece.number, piece.bytes);
        } else {
            self.piece = Some(piece);
        }
    }
}

/// A thread that panics must not leave others waiting for what it would have done.
#[derive(Debug)]
pub struct StopOnPanic<'a>(pub &'a Fetch);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
