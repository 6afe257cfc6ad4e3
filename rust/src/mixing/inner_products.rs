//! What a tensor's gradient has in common with the differences of its ingredients: read once, in chunks.

use std::sync::Mutex;

use super::chunk::chunk_bytes;
use super::mixer::{Input, Mixer, on_workers};
use super::read::Scratch;
use super::tree::Tree;
use crate::control::Control;
use crate::dtype::{Dtype, DtypeClass};
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::escape::counted;
use crate::io::Buffer;
use crate::kernels::{Block, InnerProducts, Squares, Tally};
use crate::threads::default_threads;

/// A gradient in a caller's memory.
#[derive(Clone, Copy)]
pub struct Gradient<'a> {
    /// Of each element.
    pub dtype: Dtype,
    /// Bytes in all.
    pub length: usize,
    /// Gives the bytes from a place on, as many as there is room for, to several threads.
    pub read: &'a (dyn Fn(usize, &mut [u8]) + Sync),
}

impl std::fmt::Debug for Gradient<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of {}", self.length, self.dtype)
    }
}

impl Mixer {
    /// Inner products of `gradient`, of tensor `name`, with what it is in each ingredient `of` less what it is in the
    /// `reference`. No thread and no chunk changes a bit; what is not finite shows in the sums.
    ///
    /// # Errors
    /// No tensor that is averaged, no such ingredient, a gradient of another length, inputs that changed, cancellation.
    ///
    /// # Panics
    /// If a worker panics: a bug.
    pub fn inner_products(
        &self,
        name: &str,
        gradient: Gradient<'_>,
        of: &[usize],
        reference: usize,
        num_threads: Option<usize>,
        control: &Control,
    ) -> Result<Box<[f64]>> {
        let refuse = |message: String| Problem::new(ProblemKind::Recipe, message).tensor(name);
        let shape = self.averaged(name)?;
        if let Some(unknown) = of.iter().chain([&reference]).find(|&&one| one >= self.ingredients()) {
            let there = counted(self.ingredients() as u64, "ingredient", "ingredients");
            let message = format!("there is no ingredient {unknown} among {there}");
            return Err(refuse(message).hint("ingredients are counted from 0").into());
        }
        if gradient.dtype.class() != DtypeClass::Float {
            let message = format!("expected a gradient of floats, got {}", gradient.dtype);
            return Err(refuse(message).hint("pass f64, f32, f16 or bf16").into());
        }
        let size = gradient.dtype.bytes().expect("a float");
        let elements = shape.iter().product::<u64>();
        if elements.checked_mul(size as u64) != Some(gradient.length as u64) {
            let message = format!(
                "expected a gradient of {}, got {}",
                counted(elements, "element", "elements"),
                counted((gradient.length / size) as u64, "element", "elements"),
            );
            return Err(refuse(message).hint("it has the shape of the tensor").into());
        }
        if elements == 0 || of.is_empty() {
            return Ok(vec![0.0; of.len()].into());
        }

        let inputs = self.inputs(name, [reference].into_iter().chain(of.iter().copied()))?;
        let derived = inputs.iter().filter(|input| input.at.is_computed()).count();
        let most = chunk_bytes(inputs.len() + 1, derived) / size_of::<f64>() as u64;
        let chunk = most.next_multiple_of(Squares::BLOCK as u64).min(elements);
        let blocks = elements.div_ceil(Squares::BLOCK as u64);
        let multiplying = Multiplying { mixer: self, name, inputs: &inputs, gradient };
        let starts = Mutex::new((0..elements).step_by(chunk as usize));
        let sums = Mutex::new((Tree::new(blocks), None));
        let threads = num_threads.unwrap_or_else(default_threads);
        on_workers(threads.clamp(1, elements.div_ceil(chunk).min(1 << 10) as usize), 0, || {
            let mut worker = Worker {
                scratch: inputs.iter().map(|_| Scratch::default()).collect(),
                gradient: Buffer::default(),
                room: InnerProducts::new(of.len()),
            };
            loop {
                control.check()?;
                let next = starts.lock().expect("no panic while held").next();
                let Some(start) = next else { return Ok(Tally::new(0)) };
                let mut part = Tree::new(blocks);
                let whole = multiplying.chunk(
                    (start, chunk.min(elements - start) as usize),
                    &mut worker,
                    &mut part,
                )?;
                let mut sums = sums.lock().expect("no panic while held");
                let (tree, found) = &mut *sums;
                *found = whole.or_else(|| tree.merge(part)).or(found.take());
            }
        })?;
        inputs.iter().try_for_each(|input| input.files.unchanged())?;
        let (_, found) = sums.into_inner().expect("no panic while held");
        let mut found = found.expect("the sums of all blocks");
        // No two instruction sets need agree on the bits of a NaN.
        found.iter_mut().filter(|sum| sum.is_nan()).for_each(|sum| *sum = f64::NAN);
        Ok(found)
    }
}

/// A worker's memory.
struct Worker {
    scratch: Vec<Scratch>,
    gradient: Buffer,
    room: InnerProducts,
}

/// What the workers share.
struct Multiplying<'a> {
    mixer: &'a Mixer,
    name: &'a str,
    /// The reference first.
    inputs: &'a [Input<'a>],
    gradient: Gradient<'a>,
}

impl Multiplying<'_> {
    /// Add the blocks of a chunk to `part`; the sums of all if there are no others.
    fn chunk(&self, range: (u64, usize), worker: &mut Worker, part: &mut Tree) -> Result<Option<Box<[f64]>>> {
        let kernels = self.mixer.kernels();
        let (first, count) = range;
        let size = self.gradient.dtype.bytes().expect("a float");
        let no_memory = |error| Error::io(self.name, "no memory for its gradient", error);
        let gradient = worker.gradient.first(count * size).map_err(no_memory)?;
        (self.gradient.read)(first as usize * size, gradient);
        let (mut bytes, mut dtypes) = (vec![&*gradient], vec![self.gradient.dtype]);
        for (input, scratch) in self.inputs.iter().zip(&mut worker.scratch) {
            let stretch = input.files.read(&input.at, range, kernels, scratch)?;
            bytes.push(stretch.values);
            dtypes.push(stretch.dtype);
        }
        let mut whole = None;
        for start in (0..count).step_by(Squares::BLOCK) {
            let elements = start..count.min(start + Squares::BLOCK);
            let inputs: Vec<&[u8]> = bytes
                .iter()
                .zip(&dtypes)
                .map(|(bytes, dtype)| {
                    let size = dtype.bytes().expect("a float");
                    &bytes[elements.start * size..elements.end * size]
                })
                .collect();
            let sums = kernels.inner_products(Block { inputs: &inputs, dtypes: &dtypes }, &mut worker.room);
            whole = part.add((first + start as u64) / Squares::BLOCK as u64, sums);
        }
        for input in self.inputs {
            input.files.check()?;
            input.files.release(&input.at, range);
        }
        Ok(whole)
    }
}
