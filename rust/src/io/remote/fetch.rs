//! Stretches of objects, fetched ahead in the order in which they will be read.
//!
//! The stretches are known before the first is read. They are cut into blocks, numbered by their first use, and
//! fetched in that order into a fixed pool; a block leaves it when its last byte was read. Readers read what is listed
//! in the order of the list, though several threads at a time, so the block that the first of them waits for is always
//! under way or the next one: of each ingredient at most two blocks are begun and not read to their end, and the pool has
//! room for more than that, so nobody waits for ever.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::REQUESTS;
use super::object::Object;
use crate::error::{Error, Problem, Result};
use crate::io::buffer::Buffer;

/// What is read. No byte of a stream may be read twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Number of an object in the list of those that are read.
    pub stream: usize,
    /// Its bytes.
    pub bytes: Range<u64>,
}

/// Stretches of objects, fetched ahead.
#[derive(Debug)]
pub struct Fetch {
    streams: Vec<Stream>,
    /// In the order of their first use.
    blocks: Vec<Block>,
    state: Mutex<State>,
    arrived: Condvar,
    freed: Condvar,
}

#[derive(Debug)]
struct Stream {
    object: Arc<Object>,
    /// Numbers of its blocks, by where they begin.
    blocks: Vec<usize>,
}

#[derive(Debug)]
struct Block {
    stream: usize,
    bytes: Range<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the next block to be fetched.
    next: usize,
    pool: Vec<Buffer>,
    held: HashMap<usize, Held>,
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Held {
    bytes: Arc<Buffer>,
    /// Bytes that nobody has read yet.
    left: u64,
}

/// Why nothing more comes.
#[derive(Debug, Clone)]
enum Ended {
    Cancelled,
    Refused(Vec<Problem>),
}

impl Fetch {
    /// Blocks in memory for so many ingredients: those that are fetched ahead, and one of each for what is not listed.
    pub fn pool(ingredients: usize) -> usize {
        if ingredients == 0 { 0 } else { REQUESTS + 3 * ingredients }
    }

    /// `objects` are the streams, each with the number of its ingredient; `list` is in the order of reading,
    /// blocks have at most `most` bytes.
    pub fn new(
        objects: Vec<(usize, Arc<Object>)>,
        list: impl IntoIterator<Item = Stretch>,
        most: u64,
    ) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        // The block of each ingredient that may still grow. There is one: what is read of another object in between
        // begins a new block, or every shard could hold one that waits for its end.
        let mut growing: BTreeMap<usize, usize> = BTreeMap::new();
        for Stretch { stream, mut bytes } in list {
            let (ingredient, _) = objects[stream];
            while bytes.start < bytes.end {
                let block = growing.get(&ingredient).map(|&number| &mut blocks[number]);
                let room = block.filter(|block| {
                    let Range { start, end } = block.bytes;
                    block.stream == stream && end == bytes.start && end - start < most
                });
                if let Some(block) = room {
                    block.bytes.end = bytes.end.min(block.bytes.start + most);
                    bytes.start = block.bytes.end;
                } else {
                    growing.insert(ingredient, blocks.len());
                    blocks.push(Block { stream, bytes: bytes.start..bytes.start });
                }
            }
        }
        let mut streams: Vec<Stream> =
            objects.into_iter().map(|(_, object)| Stream { object, blocks: Vec::new() }).collect();
        for (number, block) in blocks.iter().enumerate() {
            streams[block.stream].blocks.push(number);
        }
        for stream in &mut streams {
            stream.blocks.sort_by_key(|&number| blocks[number].bytes.start);
        }
        let ahead = Self::pool(growing.len()) - growing.len();
        let pool = (0..ahead.min(blocks.len())).map(|_| Buffer::default()).collect();
        let state = Mutex::new(State { pool, ..State::default() });
        Self { streams, blocks, state, arrived: Condvar::new(), freed: Condvar::new() }
    }

    /// Threads that are worth starting.
    pub fn fetchers(&self) -> usize {
        REQUESTS.min(self.blocks.len())
    }

    /// Fetch until all is fetched or somebody stops. For several threads at a time.
    pub fn work(&self) {
        let _stop = StopOnPanic(self);
        while let Some((number, mut buffer)) = self.next() {
            let result = self.fetch(number, &mut buffer);
            let mut state = self.lock();
            match result {
                Ok(()) => {
                    let Range { start, end } = self.blocks[number].bytes;
                    state.held.insert(number, Held { bytes: Arc::new(buffer), left: end - start });
                }
                Err(error) => {
                    let ended = match error {
                        Error::Cancelled => Ended::Cancelled,
                        other => Ended::Refused(vec![other.into()]),
                    };
                    state.ended.get_or_insert(ended);
                    self.freed.notify_all();
                }
            }
            self.arrived.notify_all();
        }
    }

    /// The next block, and where it may lie.
    fn next(&self) -> Option<(usize, Buffer)> {
        let mut state = self.lock();
        loop {
            if state.ended.is_some() || state.next == self.blocks.len() {
                return None;
            }
            if let Some(buffer) = state.pool.pop() {
                state.next += 1;
                return Some((state.next - 1, buffer));
            }
            state = self.freed.wait(state).expect("no panic while held");
        }
    }

    fn fetch(&self, number: usize, buffer: &mut Buffer) -> Result<()> {
        let Block { stream, bytes } = &self.blocks[number];
        let object = &self.streams[*stream].object;
        let no_memory = |error| Error::io(object.path(), "no memory for a block", error);
        object.read(bytes.start, buffer.first((bytes.end - bytes.start) as usize).map_err(no_memory)?)
    }

    /// The object of a stream.
    pub fn object(&self, stream: usize) -> &Arc<Object> {
        &self.streams[stream].object
    }

    /// Fill `buffer` with bytes of `stream`, from `offset` on. What is not listed is got when it is asked for, in blocks.
    ///
    /// # Errors
    /// What keeps them from coming.
    pub fn read(&self, stream: usize, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let Stream { object, blocks } = &self.streams[stream];
        let mut done = 0;
        while done < buffer.len() {
            let place = offset + done as u64;
            let before = blocks.partition_point(|&number| self.blocks[number].bytes.start <= place);
            let listed = before.checked_sub(1).map(|before| blocks[before]);
            let listed = listed.filter(|&number| place < self.blocks[number].bytes.end);
            let Some(number) = listed else {
                let next = blocks.get(before).map_or(u64::MAX, |&number| self.blocks[number].bytes.start);
                let count = (buffer.len() - done).min((next - place) as usize);
                object.read_in_blocks(place, &mut buffer[done..done + count])?;
                done += count;
                continue;
            };
            let block = &self.blocks[number].bytes;
            let within = (place - block.start) as usize;
            let count = ((block.end - place) as usize).min(buffer.len() - done);
            let bytes = self.wait(number)?;
            buffer[done..done + count].copy_from_slice(&bytes.all()[within..within + count]);
            drop(bytes);
            self.used(number, count as u64);
            done += count;
        }
        Ok(())
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
                None => state = self.arrived.wait(state).expect("no panic while held"),
            }
        }
    }

    /// Count bytes of a block as read. After the last its memory is for the next one.
    fn used(&self, number: usize, count: u64) {
        let mut state = self.lock();
        let held = state.held.get_mut(&number).expect("a block is held until its last byte was read");
        held.left = held.left.checked_sub(count).expect("no byte is read twice");
        if held.left > 0 {
            return;
        }
        let held = state.held.remove(&number).expect("found above");
        let buffer = Arc::into_inner(held.bytes).expect("whoever read it is done with it");
        state.pool.push(buffer);
        self.freed.notify_one();
    }

    /// Nothing more is wanted. Requests under way are not ended by this.
    pub fn stop(&self) {
        self.lock().ended.get_or_insert(Ended::Cancelled);
        self.arrived.notify_all();
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Not poisoned for whoever stops the others after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
