//! Any tensor of any mix, in blocks to whoever asked, without a file in between.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::checkpoint::{Adapters, Checkpoint, OpenOptions, Shard, TensorInfo};
use crate::control::Control;
use crate::digest::Digest;
use crate::dtype::{Dtype, DtypeClass};
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::escape::counted;
use crate::io::remote::Objects;
use crate::io::{Backend, Buffer, Cache, Source};
use crate::kernels::{Kernels, Tally, float_env};
use crate::mix::Mixture;
use crate::plan::{self, Agreement, Choices, TensorSource};
use crate::threads::{default_threads, start_some};

use super::chunk::{Mixing, chunk_bytes, count_taken, mix_chunk};
use super::read::{Files, Scratch};

/// Most bytes of a block: it is still in the cache of its core when it is taken away.
const BLOCK: usize = 256 << 10;

/// Checked ingredients whose tensors can be mixed on demand; the files stay open.
#[derive(Debug)]
pub struct Mixer {
    agreement: Agreement,
    /// By ingredient and shard.
    sources: Vec<Vec<Source>>,
    kernels: &'static Kernels,
}

/// How a tensor is mixed.
#[derive(Debug, Clone, Copy, Default)]
pub struct MixOptions {
    /// Dtype of what is written; the first ingredient's otherwise.
    pub dtype: Option<Dtype>,
    /// Element that comes first; what is written may then end before the tensor does. The whole tensor otherwise.
    pub start: Option<u64>,
    /// Worker threads; as many as the machine offers otherwise.
    pub num_threads: Option<usize>,
}

impl Mixer {
    /// Open `ingredients`, of which some shards may be `objects` and some have `adapters` on top, and prove that they agree, as
    /// for a merge; `config.json` and tokenizers are not looked at.
    ///
    /// # Errors
    /// Everything found wrong with the ingredients; I/O errors.
    pub fn open(
        ingredients: &[PathBuf],
        objects: &Objects,
        adapters: Adapters,
        backend: Option<Backend>,
        options: OpenOptions,
        choices: Choices,
    ) -> Result<Self> {
        let agreement = plan::agree(ingredients, objects, adapters, options, choices)?;
        let open = |shard: &Shard| Source::open(&shard.path, &shard.identity, backend, Cache::Keep);
        let open = |checkpoint: &Checkpoint| checkpoint.files().map(open).collect();
        let sources = agreement.checkpoints.iter().map(open).collect::<Result<_>>()?;
        Ok(Self { agreement, sources, kernels: Kernels::choose(None)? })
    }

    /// Name, dtype and shape of every tensor, in the first ingredient's file order and as it has them, or as the
    /// ingredient that gives them alone; at the end those that only others have.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Dtype, &[u64])> {
        let Agreement { checkpoints, dropped, taken, .. } = &self.agreement;
        let first = checkpoints.first();
        let shards = first.into_iter().flat_map(|first| &first.shards);
        let own = shards.flat_map(|shard| &shard.tensors).map(|info| &info.name);
        let of_others = move |name: &&String| first.is_none_or(|first| !first.tensors.contains_key(*name));
        own.filter(|name| !dropped.contains(*name))
            .chain(taken.keys().filter(of_others))
            .filter_map(|name| self.model(name))
            .map(|(info, dtype)| (info.name.as_str(), dtype, info.shape.as_slice()))
    }

    /// The ingredient that gives a tensor unchanged.
    pub fn giver(&self, name: &str) -> Option<usize> {
        self.agreement.taken.get(name).copied()
    }

    /// How many ingredients there are.
    pub(super) fn ingredients(&self) -> usize {
        self.agreement.checkpoints.len()
    }

    /// The kernel set.
    pub(super) fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// What is read of some ingredients, which have the tensor.
    pub(super) fn inputs(
        &self,
        name: &str,
        ingredients: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<Input<'_>>> {
        let input = |ingredient: usize| {
            let checkpoint = &self.agreement.checkpoints[ingredient];
            let at = TensorSource::of(checkpoint, &self.agreement.derived[ingredient], name);
            let at = at.expect("an ingredient that is needed has it");
            let files = Files::open(&at, |shard| Ok(&self.sources[ingredient][shard]))?;
            Ok(Input { ingredient, at, files })
        };
        ingredients.into_iter().map(input).collect()
    }

    /// The same, of a tensor that no adapter changes: its elements are numbers that a file holds or codes times scales.
    pub(super) fn stored_inputs(
        &self,
        name: &str,
        ingredients: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<Input<'_>>> {
        let inputs = self.inputs(name, ingredients)?;
        if let Some(input) = inputs.iter().find(|input| input.at.update.is_some()) {
            let label = self.agreement.checkpoints[input.ingredient].label();
            let message = "an adapter changes it, and masks are of stored elements";
            let hint =
                "merge this ingredient with its adapter first: `soce-merge BASE+ADAPTER --output DIRECTORY`";
            return Err(Problem::new(ProblemKind::Recipe, message).at(label).tensor(name).hint(hint).into());
        }
        Ok(inputs)
    }

    /// The tensor of a soup that has this shape in the ingredient that it is modelled on, and its dtype.
    pub(super) fn model(&self, name: &str) -> Option<(&TensorInfo, Dtype)> {
        let ingredient = self.giver(name).unwrap_or(0);
        let info = self.agreement.checkpoints.get(ingredient)?.tensor(name)?;
        if self.agreement.dropped.contains(name) {
            return None;
        }
        Some((info, self.agreement.derived[ingredient].written(info)))
    }

    /// For each ingredient what tells its values from others without reading them, and when the last of its files changed,
    /// in nanoseconds since 1970; 0 for objects.
    pub fn states(&self) -> Vec<(Digest, i128)> {
        self.agreement.states()
    }

    /// Whether the elements of a tensor are computed in some ingredient.
    pub fn is_derived(&self, name: &str, ingredient: usize) -> bool {
        self.agreement.derived.get(ingredient).is_some_and(|derived| derived.is_computed(name))
    }

    /// Dtype of tensor `name` in a soup: that of the first ingredient, or of the one that gives it.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.model(name).map(|(_, dtype)| dtype)
    }

    /// Compute a `mixture` of tensor `name`, or of a part of it: `length` bytes, little-endian elements. An integer or boolean
    /// tensor is copied, and one that is taken from an ingredient is that one's. The bytes are those a merge would
    /// write. `write` gets them in blocks, each with the place of its first byte, from several threads and in any order.
    ///
    /// # Errors
    /// No such tensor, another length, a row of another length, inputs that changed, cancellation.
    ///
    /// # Panics
    /// If a worker panics: a bug.
    pub fn mix(
        &self,
        name: &str,
        mixture: &Mixture,
        options: MixOptions,
        length: usize,
        write: &(dyn Fn(usize, &[u8]) + Sync),
        control: &Control,
    ) -> Result<Tally> {
        let checkpoints = &self.agreement.checkpoints;
        let refuse = |message: String| Problem::new(ProblemKind::Recipe, message).tensor(name);
        if mixture.parts().len() != checkpoints.len() {
            let message = format!("expected {} numerators, got {}", checkpoints.len(), mixture.parts().len());
            return Err(refuse(message).hint("one for each ingredient").into());
        }
        let Some((model, own)) = self.model(name) else {
            return Err(refuse("not a tensor of these ingredients".to_owned()).into());
        };
        let is_discrete = own.class() == DtypeClass::Discrete;
        let from = self.giver(name).or(is_discrete.then_some(0));
        let dtype = if from.is_some() { own } else { options.dtype.unwrap_or(own) };
        if dtype.class() == DtypeClass::Refused || is_discrete != (dtype.class() == DtypeClass::Discrete) {
            return Err(refuse(format!("cannot be written as {dtype}")).into());
        }
        if from.is_none()
            && let Some(misfit) = mixture.misfit(&model.shape)
        {
            return Err(refuse(misfit).into());
        }
        let size = dtype.bytes().expect("floats and integers have whole bytes");
        let elements = model.shape.iter().product::<u64>();
        let (begin, got) = (options.start.unwrap_or(0), length as u64);
        let Some(rest) = elements.checked_sub(begin).map(|count| count * size as u64) else {
            let message = format!("expected a start of at most {elements}, got {begin}");
            return Err(refuse(message).hint("elements are counted from 0").into());
        };
        if options.start.is_none() && got != rest {
            let message = format!("expected a buffer of {}, got {got}", counted(rest, "byte", "bytes"));
            return Err(refuse(message)
                .hint("the buffer must hold every element in the output dtype")
                .into());
        }
        if got > rest || !got.is_multiple_of(size as u64) {
            let message = format!(
                "expected a buffer of whole elements, at most {rest} bytes from {begin} on, got {got}"
            );
            return Err(refuse(message).hint("the part must end where the tensor does, or before").into());
        }

        let needed =
            (0..checkpoints.len()).filter(|&i| from.map_or_else(|| mixture.takes_part(i), |from| i == from));
        let needed = self.inputs(name, needed)?;
        let derived = needed.iter().filter(|input| input.at.is_computed()).count();
        let per_chunk = (chunk_bytes(checkpoints.len(), derived) as usize).min(BLOCK) / size;
        let chunk = |start: usize, block: &mut Buffer, scratch: &mut [Scratch]| -> Result<Tally> {
            control.check()?;
            let count = per_chunk.min(length / size - start);
            let range = (begin + start as u64, count);
            let mut inputs = vec![None; checkpoints.len()];
            for (input, scratch) in needed.iter().zip(scratch) {
                inputs[input.ingredient] = Some(input.files.read(&input.at, range, self.kernels, scratch)?);
            }
            let mut tally = Tally::new(checkpoints.len());
            tally.base = range.0;
            if let Some(from) = from {
                let bytes = inputs[from].expect("needed").stored;
                count_taken(bytes, dtype, from, &mut tally);
                write(start * size, bytes);
            } else {
                let no_memory = |error| Error::io(name, "no memory to compute it", error);
                let block = block.first(count * size).map_err(no_memory)?;
                let mixing = Mixing { mixture, elements, dtype };
                mix_chunk(self.kernels, &mixing, &inputs, block, &mut tally)?;
                write(start * size, block);
            }
            for input in &needed {
                input.files.check()?;
                input.files.release(&input.at, range);
            }
            Ok(tally)
        };
        let threads = options
            .num_threads
            .unwrap_or_else(default_threads)
            .clamp(1, length.div_ceil(per_chunk * size).max(1));
        let chunks = Mutex::new((0..length / size).step_by(per_chunk));
        let tally = on_workers(threads, checkpoints.len(), || {
            let mut block = Buffer::default();
            let mut scratch = needed.iter().map(|_| Scratch::default()).collect::<Vec<_>>();
            let mut tally = Tally::new(checkpoints.len());
            loop {
                let next = chunks.lock().expect("no panic while held").next();
                let Some(start) = next else { return Ok(tally) };
                tally.merge(&chunk(start, &mut block, &mut scratch)?);
            }
        })?;
        // Files that were opened hours ago perhaps: what somebody writes into one is mixed like what was there.
        needed.iter().try_for_each(|input| input.files.unchanged())?;
        Ok(tally)
    }
}

/// A tensor of one ingredient, to be read.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub(super) ingredient: usize,
    pub(super) at: TensorSource,
    pub(super) files: Files<&'a Source>,
}

/// Do the same work on up to `threads` threads and add what they count. They are always threads of our own: the caller's
/// floating-point mode is neither trusted nor changed.
pub(super) fn on_workers(
    threads: usize,
    ingredients: usize,
    work: impl Fn() -> Result<Tally> + Sync,
) -> Result<Tally> {
    let work = || {
        float_env::reset();
        work()
    };
    std::thread::scope(|scope| {
        let mut tally = Tally::new(ingredients);
        for worker in start_some(scope, threads, &work)? {
            tally.merge(&worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(tally)
    })
}
