//! Blocks for whoever reads objects in an order of their own: those last used are kept, whoever needs another gets it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::BLOCK;
use crate::error::{Error, Result};
use crate::io::buffer::Buffer;

/// An object, by a number of its own, and where a block of it begins.
type Place = (usize, u64);

/// Blocks of objects.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    most: AtomicUsize,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// `None` while somebody gets it.
    held: HashMap<Place, Option<Held>>,
    /// Counts what is asked for.
    clock: u64,
}

#[derive(Debug)]
struct Held {
    bytes: Arc<Buffer>,
    used: u64,
}

impl Blocks {
    /// Keep at most so many from now on.
    pub(super) fn keep(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Fill `buffer` from `offset` of an object on, which has a number of its own and a size. `get` gets a block that is not
    /// there, from a place on.
    pub(super) fn read(
        &self,
        (object, size): (usize, u64),
        offset: u64,
        buffer: &mut [u8],
        get: impl Fn(u64, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let place = offset + done as u64;
            let start = place / BLOCK * BLOCK;
            let length = BLOCK.min(size.saturating_sub(start)) as usize;
            let bytes = self.block((object, start), length, &get)?;
            let within = (place - start) as usize;
            let count = (length - within).min(buffer.len() - done);
            buffer[done..done + count].copy_from_slice(&bytes.all()[within..within + count]);
            done += count;
        }
        Ok(())
    }

    fn block(
        &self,
        place: Place,
        length: usize,
        get: &impl Fn(u64, &mut [u8]) -> Result<()>,
    ) -> Result<Arc<Buffer>> {
        let mut state = self.state.lock().expect("no panic while held");
        loop {
            state.clock += 1;
            let now = state.clock;
            match state.held.get_mut(&place) {
                Some(Some(held)) => {
                    held.used = now;
                    return Ok(Arc::clone(&held.bytes));
                }
                Some(None) => state = self.arrived.wait(state).expect("no panic while held"),
                None => break,
            }
        }
        state.make_room(self.most.load(Ordering::Relaxed));
        state.held.insert(place, None);
        drop(state);
        let getting = Getting { blocks: self, place };
        let mut bytes = Buffer::default();
        let room = bytes.first(length).map_err(|error| Error::io("", "no memory for a block", error))?;
        get(place.1, room)?;
        let bytes = Arc::new(bytes);
        let mut state = self.state.lock().expect("no panic while held");
        let used = state.clock;
        state.held.insert(place, Some(Held { bytes: Arc::clone(&bytes), used }));
        drop(state);
        drop(getting);
        Ok(bytes)
    }

    /// Give everything back.
    pub(super) fn clear(&self) {
        self.state.lock().expect("no panic while held").held.clear();
    }
}

impl State {
    /// Drop blocks that were not used the longest until there is room for one more.
    fn make_room(&mut self, most: usize) {
        let used = |(place, held): (&Place, &Option<Held>)| Some((held.as_ref()?.used, *place));
        while self.held.len() >= most.max(1) {
            let Some((_, oldest)) = self.held.iter().filter_map(used).min() else { return };
            self.held.remove(&oldest);
        }
    }
}

/// Whoever gets a block, and may fail.
struct Getting<'a> {
    blocks: &'a Blocks,
    place: Place,
}

impl Drop for Getting<'_> {
    fn drop(&mut self) {
        let mut state = self.blocks.state.lock().expect("no panic while held");
        if let Some(None) = state.held.get(&self.place) {
            state.held.remove(&self.place);
        }
        drop(state);
        self.blocks.arrived.notify_all();
    }
}
