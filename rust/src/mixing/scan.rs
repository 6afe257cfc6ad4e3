//! A tensor of some ingredients, read once in chunks by several threads.

use std::ops::Range;
use std::sync::Mutex;

use super::mixer::{Input, on_workers};
use super::read::{Scratch, Stretch};
use crate::control::Control;
use crate::error::Result;
use crate::kernels::{Kernels, Tally, count_non_finite};
use crate::threads::default_threads;

/// A tensor, and how it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) inputs: &'a [Input<'a>],
    pub(super) elements: u64,
    /// Elements of every chunk but the last.
    pub(super) chunk: u64,
    pub(super) num_threads: Option<usize>,
    pub(super) kernels: &'static Kernels,
}

impl Scan<'_> {
    /// Hand every chunk to `look`, with what its worker has found so far, beginning with `begin()`. Returns what each worker has
    /// found and what is not finite, by input.
    ///
    /// # Errors
    /// Inputs that changed, cancellation, those of `look`.
    pub(super) fn each<T: Send>(
        &self,
        control: &Control,
        begin: impl Fn() -> T + Sync,
        look: impl Fn(&Range<u64>, &[Stretch<'_>], &mut T) -> Result<()> + Sync,
    ) -> Result<(Vec<T>, Tally)> {
        let chunks = Mutex::new((0..self.elements).step_by(self.chunk as usize));
        let all = Mutex::new(Vec::new());
        let threads = self.num_threads.unwrap_or_else(default_threads) as u64;
        let threads = threads.clamp(1, self.elements.div_ceil(self.chunk).max(1));
        let tally = on_workers(threads as usize, self.inputs.len(), || {
            let mut scratch: Vec<Scratch> = self.inputs.iter().map(|_| Scratch::default()).collect();
            let (mut found, mut tally) = (begin(), Tally::new(self.inputs.len()));
            loop {
                control.check()?;
                let next = chunks.lock().expect("no panic while held").next();
                let Some(start) = next else { break };
                let elements = start..self.elements.min(start + self.chunk);
                let range = (start, (elements.end - start) as usize);
                let mut stretches = Vec::with_capacity(self.inputs.len());
                for (input, scratch) in self.inputs.iter().zip(&mut scratch) {
                    stretches.push(input.files.read(&input.at, range, self.kernels, scratch)?);
                }
                for (number, stretch) in stretches.iter().enumerate() {
                    let mut counts = Tally::new(1);
                    counts.base = start;
                    count_non_finite(stretch.values, stretch.dtype, &mut counts);
                    if !counts.is_clean() {
                        tally.spread(&counts, &[number]);
                    }
                }
                look(&elements, &stretches, &mut found)?;
                for input in self.inputs {
                    input.files.check()?;
                    input.files.release(&input.at, range);
                }
            }
            all.lock().expect("no panic while held").push(found);
            Ok(tally)
        })?;
        self.inputs.iter().try_for_each(|input| input.files.unchanged())?;
        Ok((all.into_inner().expect("no panic while held"), tally))
    }
}
