//! Pieces of tensors, computed again by the kernels of the merge as the soup's are read, and compared at once.

use std::sync::Mutex;

use crate::checkpoint::TensorInfo;
use crate::dtype::DtypeClass;
use crate::error::Result;
use crate::escape::counted;
use crate::kernels::Tally;
use crate::mix::Mixture;
use crate::mixing::{MixOptions, Mixer};

use super::pieces::{Piece, Reading, Visit};

/// All tensors of all shards, as they are computed.
pub(super) struct Recomputation<'a> {
    pub(super) mixer: &'a Mixer,
    pub(super) reading: Reading<'a>,
    /// By shard, in file order; `None` for what cannot be computed.
    pub(super) shards: Vec<Vec<Option<RecomputedTensor<'a>>>>,
}

/// One tensor.
pub(super) struct RecomputedTensor<'a> {
    pub(super) info: &'a TensorInfo,
    pub(super) mixture: &'a Mixture,
    pub(super) state: Mutex<Comparison>,
}

/// What is known of it so far.
#[derive(Default)]
pub(super) struct Comparison {
    /// Element, expected and got bytes of the first difference.
    first: Option<(u64, Vec<u8>, Vec<u8>)>,
    different: u64,
    pub(super) tally: Tally,
}

impl Comparison {
    /// Count the elements, from `start` on, that are not what was expected.
    fn compare<'a>(&mut self, start: u64, elements: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        for (element, (expected, got)) in
            (start..).zip(elements).filter(|(_, (expected, got))| expected != got)
        {
            self.different += 1;
            if self.first.as_ref().is_none_or(|(first, ..)| element < *first) {
                self.first = Some((element, expected.to_vec(), got.to_vec()));
            }
        }
    }

    /// The first difference, in words.
    pub(super) fn difference(&self) -> Option<String> {
        let (element, expected, got) = self.first.as_ref()?;
        let number = |bytes: &[u8]| {
            let bits = bytes.iter().rev().fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte));
            format!("0x{bits:0width$x}", width = 2 * bytes.len())
        };
        let more = match self.different - 1 {
            0 => String::new(),
            more => format!(", and {}", counted(more, "more element differs", "more elements differ")),
        };
        let (expected, got) = (number(expected), number(got));
        Some(format!(
            "element {element}: expected {expected}, as computed from the ingredients, got {got}{more}"
        ))
    }
}

impl Visit for Recomputation<'_> {
    fn wants_header(&self, _shard: usize) -> bool {
        false
    }

    fn visit(&self, piece: &Piece, bytes: &[u8]) -> Result<()> {
        let Some((number, start)) = piece.tensor else { return Ok(()) };
        let Some(tensor) = &self.shards[piece.shard][number] else { return Ok(()) };
        let size = tensor.info.dtype.bytes().expect("a float or an integer");
        let dtype = (tensor.info.dtype.class() == DtypeClass::Float).then_some(tensor.info.dtype);
        let first = start / size as u64;
        let options = MixOptions { dtype, start: Some(first), num_threads: Some(1) };
        let compare = |place: usize, computed: &[u8]| {
            let read = &bytes[place..place + computed.len()];
            if computed != read {
                let mut state = tensor.state.lock().expect("no panic while held");
                state.compare(first + (place / size) as u64, computed.chunks(size).zip(read.chunks(size)));
            }
        };
        let control = self.reading.control;
        let tally =
            self.mixer.mix(&tensor.info.name, tensor.mixture, options, bytes.len(), &compare, control)?;
        let mut state = tensor.state.lock().expect("no panic while held");
        if state.tally.inputs.len() < tally.inputs.len() {
            state.tally = Tally::new(tally.inputs.len());
        }
        state.tally.merge(&tally);
        Ok(())
    }

    fn give_up(&self, _shard: usize) {}
}
