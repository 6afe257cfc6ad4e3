//! What one worker does: it takes a chunk and carries it through.

use std::sync::Arc;

use crate::control::Control;
use crate::dtype::Dtype;
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::io::Buffer;
use crate::io::remote::Fetch;
use crate::kernels::{Differences, Kernels, Tally};
use crate::mix::Mixture;
use crate::mixing::{Files, Mixing, Scratch, Stretch, count_taken, mix_chunk};
use crate::plan::{Plan, Treatment};
use crate::threads::default_threads;

use super::inputs::Inputs;
use super::load::Load;
use super::options::{MAX_THREADS, MergeOptions};
use super::outputs::Outputs;
use super::tensor_states::{Computed, TensorStates};
use super::work::{Chunk, Work};

/// What all workers share.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    options: &'a MergeOptions,
    control: &'a Control,
    pub(super) kernels: &'static Kernels,
    pub(super) num_threads: usize,
    pub(super) work: Work,
    inputs: Inputs<'a>,
    pub(super) states: TensorStates<'a>,
    /// Ingredients that each tensor needs, by tensor; none for those of a shard that is there already.
    needed: Vec<Vec<usize>>,
}

impl<'a> Run<'a> {
    /// Refuse options that make no sense. Returns the bytes of a chunk.
    pub(super) fn check(plan: &Plan, options: &MergeOptions) -> Result<u64> {
        Kernels::choose(options.kernels.as_deref())?;
        let num_threads = options.num_threads.unwrap_or_else(default_threads);
        if !(1..=MAX_THREADS).contains(&num_threads) {
            let message = format!("{num_threads} threads: expected 1 to {MAX_THREADS}");
            return Err(Problem::new(ProblemKind::Recipe, message).into());
        }
        match options.chunk_bytes {
            None => Ok(Load::of(plan).chunk_bytes()),
            Some(bytes) if bytes.is_power_of_two() && (4096..=64 << 20).contains(&bytes) => {
                Ok(bytes.max(Load::of(plan).least_chunk()))
            }
            Some(bytes) => {
                let message =
                    format!("a chunk of {bytes} bytes: expected a power of two from 4096 to 67108864");
                Err(Problem::new(ProblemKind::Recipe, message).into())
            }
        }
    }

    /// `shards`: which of them must be made.
    pub(super) fn prepare(
        plan: &'a Plan,
        options: &'a MergeOptions,
        chunk_bytes: u64,
        shards: &[bool],
        control: &'a Control,
    ) -> Result<Self> {
        let needed: Vec<Vec<usize>> = plan
            .tensors
            .iter()
            .map(|tensor| if shards[tensor.shard] { plan.needed(tensor) } else { Vec::new() })
            .collect();
        let work = Work::new(plan, chunk_bytes, shards);
        Ok(Self {
            plan,
            options,
            control,
            kernels: Kernels::choose(options.kernels.as_deref())?,
            num_threads: options.num_threads.unwrap_or_else(default_threads),
            inputs: Inputs::new(plan, &work, &needed, options),
            states: TensorStates::new(plan, &work, options),
            work,
            needed,
        })
    }

    /// What is fetched ahead of the work, if anything is.
    pub(super) fn fetch(&self) -> Option<&Fetch> {
        self.inputs.fetch().map(Arc::as_ref)
    }

    /// Bytes of tensors that are read from ingredients.
    pub(super) fn bytes_read(&self) -> u64 {
        let tensors = self.plan.tensors.iter().zip(&self.needed);
        tensors.flat_map(|(tensor, needed)| needed.iter().map(|&i| tensor.bytes_read(i))).sum()
    }
}

pub(super) enum Step {
    Done,
    Chunk,
    /// That chunk was the last of this shard.
    Shard(usize),
}

pub(super) struct Worker<'a> {
    run: &'a Run<'a>,
    outputs: &'a Outputs<'a>,
    /// Memory for each ingredient.
    scratch: Vec<Scratch>,
    output: Buffer,
    /// Where this worker takes its chunks from.
    shard: Option<usize>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(run: &'a Run<'a>, outputs: &'a Outputs<'a>) -> Self {
        let scratch = run.plan.checkpoints.iter().map(|_| Scratch::default()).collect();
        Self { run, outputs, scratch, output: Buffer::default(), shard: None }
    }

    /// Take one chunk and carry it through: read, compute, hash, write, give the inputs' pages back.
    pub(super) fn step(&mut self) -> Result<Step> {
        let run = self.run;
        run.control.check()?;
        let Some(chunk) = run.work.next(&mut self.shard) else { return Ok(Step::Done) };
        self.chunk(chunk)?;
        if let Some(tensor) = run.states.finish_chunk(&chunk) {
            if !run.options.allow_non_finite {
                run.states.refuse_non_finite(tensor)?;
            }
            run.inputs.close_finished(run.plan, tensor, &run.needed[tensor]);
        }
        Ok(if run.work.finish_chunk(&chunk) { Step::Shard(chunk.shard) } else { Step::Chunk })
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<()> {
        let run = self.run;
        let tensor = &run.plan.tensors[chunk.tensor];
        let files = self.outputs.open(tensor.shard, run.control)?;
        let needed = &run.needed[chunk.tensor];
        let sources = needed
            .iter()
            .map(|&i| Files::open(tensor.source(i), |shard| run.inputs.source(i, shard)))
            .collect::<Result<Vec<_>>>()?;
        let range = (chunk.first, chunk.elements as usize);
        let mut inputs: Vec<Option<Stretch<'_>>> = vec![None; run.plan.checkpoints.len()];
        for ((&ingredient, source), scratch) in needed.iter().zip(&sources).zip(&mut self.scratch) {
            inputs[ingredient] = Some(source.read(tensor.source(ingredient), range, run.kernels, scratch)?);
        }
        for &ingredient in needed {
            let stored = inputs[ingredient].expect("needed").stored;
            run.states.record_input(ingredient, &chunk, stored);
        }
        for (recipe, file) in files.iter().enumerate() {
            let Some(file) = file else { continue };
            let mut tally = Tally::new(inputs.len());
            tally.base = chunk.first;
            let mut differences = None;
            let bytes: &[u8] = match &tensor.treatment {
                Treatment::Copied => inputs[0].expect("copied from the first ingredient").stored,
                Treatment::Taken { from } => {
                    let bytes = inputs[*from].expect("taken from this ingredient").stored;
                    count_taken(bytes, tensor.dtype, *from, &mut tally);
                    bytes
                }
                Treatment::Averaged { rows } => {
                    let mixture = &run.plan.request.recipes[recipe].rows[rows[recipe]].mixture;
                    let mixing = Mixing { mixture, elements: tensor.elements, dtype: tensor.dtype };
                    let length = (chunk.elements * tensor.element_bytes()) as usize;
                    let no_memory = |error| Error::io(file.path(), "no memory for a chunk", error);
                    let output = self.output.first(length).map_err(no_memory)?;
                    mix_chunk(run.kernels, &mixing, &inputs, output, &mut tally)?;
                    differences =
                        run.options.differences.then(|| differ(mixture, &inputs, tensor.dtype, output));
                    output
                }
            };
            let differences = differences.as_ref();
            run.states.record(&chunk, &Computed { recipe, bytes, tally: &tally, differences });
            // A fault under a map gave zeros: they must not reach the output.
            sources.iter().try_for_each(Files::check)?;
            file.write_at(tensor.offset + chunk.first * tensor.element_bytes(), bytes)?;
            run.control.advance(bytes.len() as u64);
        }
        for (&ingredient, source) in needed.iter().zip(&sources) {
            source.release(tensor.source(ingredient), range);
        }
        Ok(())
    }
}

/// How far the chunk of the soup is from each ingredient that has a part in it.
fn differ(mixture: &Mixture, inputs: &[Option<Stretch<'_>>], dtype: Dtype, output: &[u8]) -> Differences {
    let mut differences = Differences::new(inputs.len());
    for (i, input) in inputs.iter().enumerate().filter(|(i, _)| mixture.takes_part(*i)) {
        let input = input.expect("an ingredient that takes part was read");
        differences.record(i, output, dtype, input.values, input.dtype);
    }
    differences
}
