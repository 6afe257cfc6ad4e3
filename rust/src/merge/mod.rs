//! Executes a plan: scoped workers take chunks in output order, read each input once, compute every recipe's bytes,
//! hash them and write them at their final offsets.
//!
//! No pool outlives the call and no worker waits for another. A thread of its own brings finished shards to the disk,
//! so that waiting for it costs no computing time.

mod inputs;
mod mixer;
mod outputs;
mod progress;
mod work;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::checkpoint::Checkpoint;
use crate::control::Control;
use crate::dtype::Dtype;
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::io::{Backend, Cache, memory_limit};
use crate::kernels::{Kernels, Request, Tally, count_non_finite, float_env};
use crate::mix::Mix;
use crate::plan::{Fate, Plan};
use crate::sink::manifest::{self, Provenance};
use crate::sink::{Durability, Staging};

pub use mixer::{MixOptions, Mixer};
pub use progress::NonFiniteTensor;

use inputs::Inputs;
use outputs::Outputs;
use progress::Progress;
use work::{Chunk, Work};

/// How a plan is executed. Nothing here changes a byte of a tensor.
#[derive(Debug, Clone)]
pub struct Options {
    /// Worker threads; the parallelism available otherwise.
    pub num_threads: Option<usize>,
    /// Output bytes of a chunk, a power of two from 4 KiB to 64 MiB; chosen from the number of ingredients otherwise.
    pub chunk_bytes: Option<u64>,
    /// How inputs are read; by filesystem otherwise.
    pub backend: Option<Backend>,
    /// What happens to the page cache behind the work.
    pub cache: Cache,
    /// Kernel set by name; the fastest otherwise.
    pub kernels: Option<String>,
    /// Bring everything to the disk before the output appears.
    pub sync: bool,
    /// Record a BLAKE3 digest of every tensor.
    pub digests: bool,
    /// Complete despite non-finite values.
    pub allow_non_finite: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            num_threads: None,
            chunk_bytes: None,
            backend: None,
            cache: Cache::Auto,
            kernels: None,
            sync: true,
            digests: true,
            allow_non_finite: false,
        }
    }
}

/// What was done.
#[derive(Debug)]
pub struct Report {
    /// Wall time.
    pub seconds: f64,
    /// Bytes of tensors read from ingredients.
    pub bytes_read: u64,
    /// Bytes of shards written.
    pub bytes_written: u64,
    /// Worker threads.
    pub num_threads: usize,
    /// Kernel set.
    pub kernels: &'static str,
    /// Tensors with non-finite values, per recipe and tensor.
    pub non_finite: Vec<NonFiniteTensor>,
    /// Digest of each output's `result`, in the recipes' order.
    pub result_digests: Vec<String>,
    /// Ready to be shown.
    pub warnings: Vec<String>,
}

/// Most worker threads that may be asked for.
const MAX_THREADS: usize = 1024;

/// Output bytes of a chunk, so that one worker's input chunks and output chunk stay within 4 MiB.
pub fn chunk_bytes(ingredients: usize) -> u64 {
    let share = (4u64 << 20) / (ingredients as u64 + 1);
    (share.next_power_of_two() >> u32::from(!share.is_power_of_two())).clamp(64 << 10, 1 << 20)
}

/// Threads used if nothing is asked for: what the scheduler and the control group allow.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Upper bound of private memory of a run, in bytes: 64 MB and two working sets a thread.
pub fn memory_bound(ingredients: usize, threads: usize) -> u64 {
    64_000_000 + 2 * threads as u64 * (ingredients as u64 + 1) * chunk_bytes(ingredients)
}

/// Make every soup of `plan`. `provenance` goes into the manifests.
///
/// # Errors
/// I/O errors, inputs that changed since planning, non-finite values unless allowed, cancellation. Every output name
/// then leads to what it led to before.
///
/// # Panics
/// If a worker panics: a bug.
pub fn execute(plan: &Plan, options: &Options, provenance: &Provenance, control: &Control) -> Result<Report> {
    let started = Instant::now();
    let run = Run::prepare(plan, options, control)?;
    let (staged, warnings) = stage(plan, options.sync)?;
    let outputs = Outputs::new(plan, &staged, durability(plan, options));
    outputs.create_early()?;

    let failure = Mutex::new(None);
    let failed = AtomicBool::new(false);
    let fail = |error| {
        failed.store(true, Ordering::Relaxed);
        failure.lock().expect("no panic while held").get_or_insert(error);
    };
    std::thread::scope(|scope| {
        let (finished, shards) = std::sync::mpsc::channel();
        scope.spawn({
            let (outputs, fail) = (&outputs, &fail);
            move || shards.iter().for_each(|shard| outputs.finish(shard).unwrap_or_else(fail))
        });
        run.work.empty_shards().for_each(|shard| finished.send(shard).expect("the finisher listens"));
        for _ in 0..run.num_threads {
            let (run, outputs, finished, failed, fail) = (&run, &outputs, finished.clone(), &failed, &fail);
            scope.spawn(move || {
                float_env::reset();
                let mut worker = Worker::new(run, outputs);
                while !failed.load(Ordering::Relaxed) {
                    match worker.step() {
                        Ok(Step::Done) => break,
                        Ok(Step::Chunk) => {}
                        Ok(Step::Shard(shard)) => finished.send(shard).expect("the finisher listens"),
                        Err(error) => fail(error),
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().expect("no panic while held") {
        return Err(error);
    }
    control.check()?;
    unchanged(&plan.checkpoints)?;

    let (tensors, non_finite) = run.progress.into_results(plan);
    let mut report = Report {
        seconds: 0.0,
        bytes_read: run.bytes_read,
        bytes_written: plan.shards.iter().map(|shard| shard.size).sum::<u64>() * staged.len() as u64,
        num_threads: run.num_threads,
        kernels: run.kernels.name,
        non_finite,
        result_digests: Vec::new(),
        warnings: [warnings, outputs.into_notes()].concat(),
    };
    for (recipe, staging) in staged.iter().enumerate() {
        let digest =
            manifest::write_small_files(plan, recipe, staging, &tensors[recipe], &report, provenance)?;
        report.result_digests.push(digest);
    }
    control.check()?;
    for staging in staged {
        report.warnings.extend(staging.publish()?);
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

fn stage(plan: &Plan, sync: bool) -> Result<(Vec<Staging>, Vec<String>)> {
    let mut staged = Vec::new();
    let mut notes = Vec::new();
    for recipe in &plan.request.recipes {
        let staging = Staging::begin(&recipe.output, plan.request.options.overwrite, sync)?;
        notes.extend_from_slice(staging.notes());
        staged.push(staging);
    }
    Ok((staged, notes))
}

/// Dirty pages are bounded when the disk is waited for anyway, and when memory is scarce: without a bound, page cache
/// charged to a small control group is reclaimed slowly or not at all.
fn durability(plan: &Plan, options: &Options) -> Durability {
    const AMPLE: u64 = 4 << 30;
    let recipes = plan.request.recipes.len() as u64;
    let limit = memory_limit();
    let scarce = limit < AMPLE;
    let dirty_window = if options.sync || scarce { (32u64 << 20).min(limit / 16) / recipes } else { 0 };
    let dirty_window = if dirty_window > 0 { dirty_window.max(1 << 20) } else { 0 };
    Durability { sync: options.sync, dirty_window, drop_cache: scarce || options.cache == Cache::Drop }
}

fn unchanged(checkpoints: &[Checkpoint]) -> Result<()> {
    let problems: Vec<Problem> = checkpoints.iter().filter_map(|c| c.still_same().err()).flatten().collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Refused(problems)) }
}

/// What all workers share.
struct Run<'a> {
    plan: &'a Plan,
    options: &'a Options,
    control: &'a Control,
    kernels: &'static Kernels,
    num_threads: usize,
    work: Work,
    inputs: Inputs<'a>,
    progress: Progress,
    bytes_read: u64,
    /// Ingredients that each tensor needs, by tensor.
    needed: Vec<Vec<usize>>,
}

impl<'a> Run<'a> {
    fn prepare(plan: &'a Plan, options: &'a Options, control: &'a Control) -> Result<Self> {
        let kernels = Kernels::choose(options.kernels.as_deref())?;
        let num_threads = options.num_threads.unwrap_or_else(default_threads);
        if !(1..=MAX_THREADS).contains(&num_threads) {
            let message = format!("{num_threads} threads: expected 1 to {MAX_THREADS}");
            return Err(Problem::new(ProblemKind::Recipe, message).into());
        }
        let needed: Vec<Vec<usize>> = plan.tensors.iter().map(|tensor| plan.needed(tensor)).collect();
        let most = needed.iter().map(Vec::len).max().unwrap_or(0);
        let chunk = match options.chunk_bytes {
            None => chunk_bytes(most),
            Some(bytes) if bytes.is_power_of_two() && (4096..=64 << 20).contains(&bytes) => bytes,
            Some(bytes) => {
                let message =
                    format!("a chunk of {bytes} bytes: expected a power of two from 4096 to 67108864");
                return Err(Problem::new(ProblemKind::Recipe, message).into());
            }
        };
        let work = Work::new(plan, chunk);
        let inputs = Inputs::new(plan, &needed, options.backend, options.cache);
        let progress = Progress::new(plan, &work, options.digests);
        Ok(Self {
            plan,
            options,
            control,
            kernels,
            num_threads,
            work,
            inputs,
            progress,
            bytes_read: plan.bytes_read(),
            needed,
        })
    }
}

enum Step {
    Done,
    Chunk,
    /// That chunk was the last of this shard.
    Shard(usize),
}

struct Worker<'a> {
    run: &'a Run<'a>,
    outputs: &'a Outputs<'a>,
    /// One buffer per ingredient, used by positioned reads only.
    scratch: Vec<Vec<u8>>,
    output: Vec<u8>,
    /// Where this worker takes its chunks from.
    shard: Option<usize>,
}

impl<'a> Worker<'a> {
    fn new(run: &'a Run<'a>, outputs: &'a Outputs<'a>) -> Self {
        let scratch = vec![Vec::new(); run.plan.checkpoints.len()];
        Self { run, outputs, scratch, output: Vec::new(), shard: None }
    }

    /// Take one chunk and carry it through: read, compute, hash, write, give the inputs' pages back.
    fn step(&mut self) -> Result<Step> {
        let run = self.run;
        run.control.check()?;
        let Some(chunk) = run.work.next(&mut self.shard) else { return Ok(Step::Done) };
        self.chunk(chunk)?;
        if let Some(tensor) = run.progress.finish_chunk(&chunk) {
            if !run.options.allow_non_finite {
                run.progress.refuse_non_finite(run.plan, tensor)?;
            }
            run.inputs.close_finished(run.plan, tensor, &run.needed[tensor]);
        }
        Ok(if run.work.finish_chunk(&chunk) { Step::Shard(chunk.shard) } else { Step::Chunk })
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<()> {
        let run = self.run;
        let tensor = &run.plan.tensors[chunk.tensor];
        let needed = &run.needed[chunk.tensor];
        let sources = needed
            .iter()
            .map(|&i| run.inputs.source(i, tensor.sources[i].shard))
            .collect::<Result<Vec<_>>>()?;
        let range = |ingredient: usize| {
            let source = &tensor.sources[ingredient];
            let size = source.dtype.bytes().expect("no planned tensor has elements below a byte") as u64;
            (source.offset + chunk.first * size, (chunk.elements * size) as usize)
        };
        let mut inputs: Vec<Option<(&[u8], Dtype)>> = vec![None; run.plan.checkpoints.len()];
        for ((&ingredient, source), scratch) in needed.iter().zip(&sources).zip(&mut self.scratch) {
            let (offset, length) = range(ingredient);
            inputs[ingredient] =
                Some((source.read(offset, length, scratch)?, tensor.sources[ingredient].dtype));
        }
        let files = self.outputs.open(tensor.shard)?;
        for (recipe, file) in files.iter().enumerate() {
            let mut tally = Tally::new(inputs.len());
            tally.base = chunk.first;
            let bytes: &[u8] = match &tensor.fate {
                Fate::Copied => inputs[0].expect("copied from the first ingredient").0,
                Fate::Averaged { rows } => {
                    let mix = &run.plan.request.recipes[recipe].rows[rows[recipe]].mix;
                    self.output.resize((chunk.elements * tensor.element_bytes()) as usize, 0);
                    mix_chunk(run.kernels, mix, &inputs, tensor.dtype, &mut self.output, &mut tally);
                    &self.output
                }
            };
            run.progress.record(recipe, &chunk, bytes, &tally);
            // A fault under a map gave zeros: they must not reach the output.
            sources.iter().try_for_each(|source| source.check())?;
            file.write_at(tensor.offset + chunk.first * tensor.element_bytes(), bytes)?;
            run.control.advance(bytes.len() as u64);
        }
        for (&ingredient, source) in needed.iter().zip(&sources) {
            let (offset, length) = range(ingredient);
            source.release(offset, length);
        }
        Ok(())
    }
}

/// One chunk by one row. `inputs` holds the chunk's bytes of every ingredient with a numerator in the row; one
/// ingredient that is the whole result is copied, NaN payloads included.
fn mix_chunk(
    kernels: &Kernels,
    mix: &Mix,
    inputs: &[Option<(&[u8], Dtype)>],
    output_dtype: Dtype,
    output: &mut [u8],
    tally: &mut Tally,
) {
    let used: Vec<usize> = (0..inputs.len()).filter(|&i| mix.numerators()[i] != 0).collect();
    let input = |i: usize| inputs[i].expect("an ingredient with a numerator was read");
    let mut counts = Tally::new(used.len());
    counts.base = tally.base;
    match mix.sole() {
        Some(sole) if input(sole).1 == output_dtype => {
            output.copy_from_slice(input(sole).0);
            count_non_finite(output, output_dtype, &mut counts);
        }
        _ => {
            let bytes: Vec<&[u8]> = used.iter().map(|&i| input(i).0).collect();
            let dtypes: Vec<Dtype> = used.iter().map(|&i| input(i).1).collect();
            let numerators: Vec<i64> = used.iter().map(|&i| mix.numerators()[i]).collect();
            let request = Request {
                inputs: &bytes,
                dtypes: &dtypes,
                numerators: &numerators,
                whole: mix.whole(),
                output_dtype,
            };
            kernels.mean(&request, output, &mut counts);
        }
    }
    if !counts.is_clean() {
        tally.spread(&counts, &used);
    }
}
