//! How long a tensor is in each ingredient, and how far apart it is in each two of them: read once, in chunks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use super::chunk::chunk_bytes;
use super::mixer::{Input, Mixer, on_workers};
use super::read::Scratch;
use super::tree::Tree;
use crate::control::Control;
use crate::dtype::DtypeClass;
use crate::error::{Problem, ProblemKind, Result};
use crate::kernels::{Block, Kernels, Squares, Tally};
use crate::threads::default_threads;

/// How a tensor is measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct SquaresOptions {
    /// Sums for each index of the first axis, instead of those of the whole tensor.
    pub filters: bool,
    /// Worker threads; as many as the machine offers otherwise.
    pub num_threads: Option<usize>,
}

impl Mixer {
    /// Sums of squares and of squared differences of tensor `name` in these ingredients and in those `beside` them, in the
    /// order that [`Squares`] has; with `filters` as many for each index of the first axis. `length` is how many there is
    /// room for. `write` gets them with the place of the first, from several threads and in any order. What is not finite
    /// is counted.
    ///
    /// # Errors
    /// No tensor that is averaged, another shape beside, another length, inputs that changed, cancellation.
    ///
    /// # Panics
    /// If a worker panics: a bug.
    pub fn squares(
        &self,
        name: &str,
        beside: &[&Self],
        options: SquaresOptions,
        length: usize,
        write: &(dyn Fn(usize, &[f64]) + Sync),
        control: &Control,
    ) -> Result<Tally> {
        let refuse = |message: String| Problem::new(ProblemKind::Recipe, message).tensor(name);
        let mixers: Vec<&Self> = std::iter::once(self).chain(beside.iter().copied()).collect();
        let mut inputs = Vec::new();
        let mut shape = None;
        for mixer in &mixers {
            let own = mixer.averaged(name)?;
            if *shape.get_or_insert(own) != own {
                let message =
                    format!("has shapes {:?} and {own:?}, so there are no distances", shape.unwrap_or(own));
                return Err(refuse(message).into());
            }
            inputs.extend(mixer.inputs(name, 0..mixer.ingredients())?);
        }
        let shape = shape.unwrap_or_default();
        let ingredients = inputs.len();
        let sums = Squares::count(ingredients);
        let rows = if options.filters { shape.first().copied().unwrap_or(1) } else { 1 };
        if rows.checked_mul(sums as u64) != Some(length as u64) {
            let message = format!("expected a buffer of {rows} × {sums} numbers, got one of {length}");
            return Err(refuse(message).hint("n ingredients have n(n + 1)/2 sums").into());
        }
        let elements = shape.iter().product::<u64>();
        if elements == 0 {
            write(0, &vec![0.0; length]);
            return Ok(Tally::new(ingredients));
        }

        let derived = inputs.iter().filter(|input| input.at.is_computed()).count();
        let cut =
            Cut::new(rows, elements / rows, chunk_bytes(ingredients, derived) / size_of::<f64>() as u64);
        let measuring =
            Measuring { inputs: &inputs, kernels: self.kernels(), cut, unfinished: Mutex::default() };
        let chunks = Mutex::new(0..cut.chunks());
        let threads = options.num_threads.unwrap_or_else(default_threads);
        let tally = on_workers(threads.clamp(1, cut.chunks().min(1 << 10) as usize), ingredients, || {
            let mut worker = Worker::new(ingredients);
            loop {
                control.check()?;
                let next = chunks.lock().expect("no panic while held").next();
                let Some(chunk) = next else { return Ok(worker.tally) };
                measuring.chunk(cut.chunk(chunk), &mut worker, &|row, found| write(row * sums, found))?;
            }
        })?;
        inputs.iter().try_for_each(|input| input.files.unchanged())?;
        Ok(tally)
    }

    /// The shape of a tensor that is averaged.
    pub(super) fn averaged(&self, name: &str) -> Result<&[u64]> {
        let refuse = |message: &str| Problem::new(ProblemKind::Recipe, message).tensor(name);
        let Some((model, own)) = self.model(name) else {
            return Err(refuse("not a tensor of these ingredients").into());
        };
        if self.giver(name).is_some() || own.class() != DtypeClass::Float {
            let hint = "ask for tensors of floats that are averaged";
            return Err(refuse("is not averaged, so nothing is measured of it").hint(hint).into());
        }
        Ok(&model.shape)
    }
}

/// A worker's memory.
struct Worker {
    scratch: Vec<Scratch>,
    room: Squares,
    tally: Tally,
}

impl Worker {
    fn new(ingredients: usize) -> Self {
        Self {
            scratch: (0..ingredients).map(|_| Scratch::default()).collect(),
            room: Squares::new(ingredients),
            tally: Tally::new(ingredients),
        }
    }
}

/// What the workers share.
struct Measuring<'a> {
    inputs: &'a [Input<'a>],
    kernels: &'static Kernels,
    cut: Cut,
    /// By row, where several chunks make one.
    unfinished: Mutex<BTreeMap<u64, Tree>>,
}

impl Measuring<'_> {
    fn chunk(&self, chunk: Chunk, worker: &mut Worker, write: &dyn Fn(usize, &[f64])) -> Result<()> {
        let Cut { row_elements, .. } = self.cut;
        let count = chunk.elements.end - chunk.elements.start;
        let first = chunk.rows.start * row_elements + chunk.elements.start;
        let range = (first, ((chunk.rows.end - chunk.rows.start) * count) as usize);
        let mut stretches = Vec::with_capacity(self.inputs.len());
        for (input, scratch) in self.inputs.iter().zip(&mut worker.scratch) {
            stretches.push(input.files.read(&input.at, range, self.kernels, scratch)?);
        }
        let dtypes: Vec<_> = stretches.iter().map(|stretch| stretch.dtype).collect();
        for (number, row) in chunk.rows.enumerate() {
            let mut tree = Tree::new(self.cut.blocks());
            let mut whole = None;
            let begin = number as u64 * count;
            for start in (0..count).step_by(Squares::BLOCK) {
                let lanes = begin + start..begin + count.min(start + Squares::BLOCK as u64);
                let inputs: Vec<&[u8]> = stretches
                    .iter()
                    .map(|stretch| {
                        let size = stretch.dtype.bytes().expect("a float");
                        &stretch.values[lanes.start as usize * size..lanes.end as usize * size]
                    })
                    .collect();
                worker.tally.base = first + lanes.start;
                let block = Block { inputs: &inputs, dtypes: &dtypes };
                let sums = self.kernels.squares(block, &mut worker.room, &mut worker.tally);
                whole = tree.add((chunk.elements.start + start) / Squares::BLOCK as u64, sums);
            }
            if let Some(sums) = whole.or_else(|| self.put_together(row, tree)) {
                write(row as usize, &sums);
            }
        }
        for input in self.inputs {
            input.files.check()?;
            input.files.release(&input.at, range);
        }
        Ok(())
    }

    /// The sums of a row once its last part comes.
    fn put_together(&self, row: u64, part: Tree) -> Option<Box<[f64]>> {
        let mut unfinished = self.unfinished.lock().expect("no panic while held");
        let whole = unfinished.entry(row).or_insert_with(|| Tree::new(self.cut.blocks())).merge(part)?;
        unfinished.remove(&row);
        Some(whole)
    }
}

/// How a tensor is cut into chunks: several rows, or a part of one. None of it changes a bit.
#[derive(Debug, Clone, Copy)]
struct Cut {
    rows: u64,
    row_elements: u64,
    /// In a chunk of whole rows; 1 if there are parts.
    rows_of_chunk: u64,
    /// Elements of each part but the last, a whole number of blocks; of a whole row if there are none.
    part: u64,
}

/// The same elements of some rows.
#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    rows: Range<u64>,
    elements: Range<u64>,
}

impl Cut {
    /// Chunks of about `most` elements; neither of the others is zero.
    fn new(rows: u64, row_elements: u64, most: u64) -> Self {
        let part = most.next_multiple_of(Squares::BLOCK as u64).min(row_elements);
        Self { rows, row_elements, rows_of_chunk: (most / row_elements).clamp(1, rows), part }
    }

    /// Blocks of a row.
    fn blocks(&self) -> u64 {
        self.row_elements.div_ceil(Squares::BLOCK as u64)
    }

    fn parts(&self) -> u64 {
        self.row_elements.div_ceil(self.part)
    }

    fn chunks(&self) -> u64 {
        self.rows.div_ceil(self.rows_of_chunk) * self.parts()
    }

    fn chunk(&self, number: u64) -> Chunk {
        let (rows, part) = (number / self.parts(), number % self.parts());
        let (row, start) = (rows * self.rows_of_chunk, part * self.part);
        Chunk {
            rows: row..self.rows.min(row + self.rows_of_chunk),
            elements: start..self.row_elements.min(start + self.part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, Cut};
    use crate::kernels::Squares;

    #[test]
    fn chunks_are_some_rows_or_whole_blocks_of_one() {
        let check = |rows, row_elements, most, expected: &[(std::ops::Range<u64>, std::ops::Range<u64>)]| {
            let cut = Cut::new(rows, row_elements, most);
            let chunks: Vec<Chunk> = (0..cut.chunks()).map(|number| cut.chunk(number)).collect();
            let expected: Vec<Chunk> =
                expected.iter().cloned().map(|(rows, elements)| Chunk { rows, elements }).collect();
            assert_eq!(chunks, expected, "{rows} of {row_elements} by {most}");
        };
        let block = Squares::BLOCK as u64;
        check(1, 10, 100, &[(0..1, 0..10)]);
        check(25, 10, 100, &[(0..10, 0..10), (10..20, 0..10), (20..25, 0..10)]);
        check(
            2,
            block + 1,
            block,
            &[(0..1, 0..block), (0..1, block..block + 1), (1..2, 0..block), (1..2, block..block + 1)],
        );
        check(1, 3 * block, 2 * block - 1, &[(0..1, 0..2 * block), (0..1, 2 * block..3 * block)]);
        check(3, 60, 100, &[(0..1, 0..60), (1..2, 0..60), (2..3, 0..60)]);
    }
}
