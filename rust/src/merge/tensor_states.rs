//! What is known of each output tensor so far: digests of its chunks, non-finite values met, largest differences.

use std::borrow::Cow;
use std::sync::Mutex;

use crate::digest::{ChunkDigest, Digest, Leaf};
use crate::dtype::Dtype;
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::kernels::{Differences, NonFinite, Tally};
use crate::manifest::Digests;
use crate::plan::{Plan, Treatment};
use crate::sink::journal::{NonFiniteCounts, TensorResult};

use super::options::MergeOptions;
use super::work::{Chunk, Work};

/// State of every tensor of every recipe.
pub(super) struct TensorStates<'a> {
    plan: &'a Plan,
    /// By tensor.
    tensors: Vec<Mutex<TensorState>>,
    digests: Digests,
    differences: bool,
    chunk_bytes: u64,
}

struct TensorState {
    chunks_left: u64,
    /// By ingredient.
    inputs: Vec<Hashing>,
    recipes: Vec<RecipeState>,
}

/// The digest of a tensor, as far as its chunks have passed.
#[derive(Default, Clone)]
struct Hashing {
    /// By chunk; emptied once combined, so that memory holds the leaves of unfinished tensors only.
    leaves: Vec<Option<Leaf>>,
    digest: Option<Digest>,
}

#[derive(Default)]
struct RecipeState {
    output: Hashing,
    tally: Option<Tally>,
    differences: Option<Differences>,
}

/// One recipe's chunk when it is computed.
pub(super) struct Computed<'a> {
    pub(super) recipe: usize,
    pub(super) bytes: &'a [u8],
    pub(super) tally: &'a Tally,
    pub(super) differences: Option<&'a Differences>,
}

impl<'a> TensorStates<'a> {
    pub(super) fn new(plan: &'a Plan, work: &Work, options: &MergeOptions) -> Self {
        let recipes = plan.request.recipes.len();
        let state = |tensor| TensorState {
            chunks_left: work.chunks_of(tensor),
            inputs: vec![Hashing::default(); plan.checkpoints.len()],
            recipes: (0..recipes).map(|_| RecipeState::default()).collect(),
        };
        Self {
            plan,
            tensors: (0..plan.tensors.len()).map(|tensor| Mutex::new(state(tensor))).collect(),
            digests: options.digests,
            differences: options.differences,
            chunk_bytes: work.chunk_bytes(),
        }
    }

    /// How the digest of a tensor is put together, if its elements have this dtype.
    fn digest_of(&self, tensor: usize, dtype: Dtype) -> ChunkDigest {
        let planned = &self.plan.tensors[tensor];
        let size = dtype.bytes().expect("no planned tensor has elements below a byte") as u64;
        ChunkDigest::new(planned.elements * size, self.chunk_bytes / planned.element_bytes() * size)
    }

    fn leaf(&self, chunk: &Chunk, dtype: Dtype, bytes: &[u8]) -> Leaf {
        let size = dtype.bytes().expect("no planned tensor has elements below a byte") as u64;
        self.digest_of(chunk.tensor, dtype).leaf(bytes, chunk.first * size)
    }

    /// Hash a chunk of an ingredient, if that was asked for. The hash is taken outside the lock.
    pub(super) fn record_input(&self, ingredient: usize, chunk: &Chunk, bytes: &[u8]) {
        let tensor = &self.plan.tensors[chunk.tensor];
        let is_averaged = matches!(tensor.treatment, Treatment::Averaged { .. });
        if self.digests != Digests::Full || !is_averaged {
            return;
        }
        let dtype = tensor.source(ingredient).dtype;
        let leaf = self.leaf(chunk, dtype, bytes);
        let mut state = self.tensors[chunk.tensor].lock().expect("no panic while held");
        let count = self.digest_of(chunk.tensor, dtype).leaves();
        state.inputs[ingredient].add(count, chunk, leaf);
    }

    /// Hash a chunk's output and keep what was counted.
    pub(super) fn record(&self, chunk: &Chunk, computed: &Computed<'_>) {
        let dtype = self.plan.tensors[chunk.tensor].dtype;
        let hashed = self.digests != Digests::None;
        let leaf = hashed.then(|| self.leaf(chunk, dtype, computed.bytes));
        if leaf.is_none() && computed.tally.is_clean() && computed.differences.is_none() {
            return;
        }
        let mut state = self.tensors[chunk.tensor].lock().expect("no panic while held");
        let state = &mut state.recipes[computed.recipe];
        if let Some(leaf) = leaf {
            state.output.add(self.digest_of(chunk.tensor, dtype).leaves(), chunk, leaf);
        }
        if !computed.tally.is_clean() {
            let inputs = computed.tally.inputs.len();
            state.tally.get_or_insert_with(|| Tally::new(inputs)).merge(computed.tally);
        }
        if let Some(found) = computed.differences {
            match &mut state.differences {
                Some(differences) => differences.merge(found),
                none => *none = Some(found.clone()),
            }
        }
    }

    /// Count a chunk as done for every recipe. The tensor's index if it was its last one.
    pub(super) fn finish_chunk(&self, chunk: &Chunk) -> Option<usize> {
        let mut state = self.tensors[chunk.tensor].lock().expect("no panic while held");
        state.chunks_left -= 1;
        if state.chunks_left > 0 {
            return None;
        }
        let planned = &self.plan.tensors[chunk.tensor];
        let TensorState { inputs, recipes, .. } = &mut *state;
        for (ingredient, source) in planned.sources() {
            inputs[ingredient].combine(self.digest_of(chunk.tensor, source.dtype));
        }
        for recipe in recipes {
            recipe.output.combine(self.digest_of(chunk.tensor, planned.dtype));
        }
        Some(chunk.tensor)
    }

    /// An error if a finished tensor met a non-finite value.
    pub(super) fn refuse_non_finite(&self, tensor: usize) -> Result<()> {
        let state = self.tensors[tensor].lock().expect("no panic while held");
        let problems: Vec<Problem> = state
            .recipes
            .iter()
            .filter_map(|recipe| recipe.tally.as_ref())
            .flat_map(|tally| problems(self.plan, tensor, tally))
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::Refused(distinct(problems))) }
    }

    /// What became of a tensor of one recipe, once all its chunks are done.
    pub(super) fn result(&self, recipe: usize, tensor: usize) -> TensorResult {
        let planned = &self.plan.tensors[tensor];
        let empty = |digest: Option<Digest>| match self.digests {
            Digests::None => None,
            _ if planned.elements == 0 => Some(Digest::of(b"")),
            _ => digest,
        };
        let state = self.tensors[tensor].lock().expect("no panic while held");
        let found = &state.recipes[recipe];
        let mut inputs = Vec::new();
        let mut differences = Vec::new();
        if let Treatment::Averaged { rows } = &planned.treatment {
            let mixture = &self.plan.request.recipes[recipe].rows[rows[recipe]].mixture;
            if self.digests == Digests::Full {
                let digest = |(hashing, &part): (&Hashing, &i64)| {
                    if part == 0 { None } else { empty(hashing.digest) }
                };
                inputs = state.inputs.iter().zip(mixture.parts()).map(digest).collect();
            }
            if self.differences {
                let none = || Differences::new(self.plan.checkpoints.len());
                differences = found.differences.clone().unwrap_or_else(none).texts();
            }
        }
        let non_finite = found.tally.as_ref().map(|tally| NonFiniteCounts {
            inputs: tally.inputs.clone(),
            created: tally.created,
            first_created: tally.first_created,
        });
        TensorResult { blake3: empty(found.output.digest), inputs, differences, non_finite }
    }
}

impl Hashing {
    fn add(&mut self, count: usize, chunk: &Chunk, leaf: Leaf) {
        self.leaves.resize(count, None);
        self.leaves[chunk.number as usize] = Some(leaf);
    }

    fn combine(&mut self, digest: ChunkDigest) {
        let leaves: Option<Vec<Leaf>> = std::mem::take(&mut self.leaves).into_iter().collect();
        self.digest = leaves.filter(|leaves| !leaves.is_empty()).map(|leaves| digest.combine(&leaves).into());
    }
}

/// One problem per ingredient with non-finite values, and one for those that rounding created.
fn problems(plan: &Plan, tensor: usize, tally: &Tally) -> Vec<Problem> {
    const HINT: &str = "`--nonfinite warn` completes the merge and records the counts";
    let planned = &plan.tensors[tensor];
    let mut problems = Vec::new();
    for (ingredient, counts) in tally.inputs.iter().enumerate().filter(|(_, counts)| counts.total() > 0) {
        let (checkpoint, source) = (&plan.checkpoints[ingredient], planned.source(ingredient));
        // Of W + s·B·A nobody knows here which of the three it was.
        let place = if source.update.is_some() {
            checkpoint.label()
        } else {
            Cow::Borrowed(checkpoint.file(source.shard).path.as_path())
        };
        let NonFinite { nan, positive, negative, first } = counts;
        let first = first.unwrap_or(0);
        let message = format!(
            "{} of {} values are not finite ({nan} NaN, {positive} +inf, {negative} -inf), the first at element {first}",
            counts.total(),
            planned.elements
        );
        problems
            .push(Problem::new(ProblemKind::Checkpoint, message).at(&place).tensor(&planned.name).hint(HINT));
    }
    if tally.created > 0 {
        let first = tally.first_created.unwrap_or(0);
        let message = format!(
            "{} of {} results are too large for {}, the first at element {first}",
            tally.created, planned.elements, planned.dtype
        );
        let hint = format!("a wider `--dtype` holds them; {HINT}");
        problems.push(Problem::new(ProblemKind::Incompatible, message).tensor(&planned.name).hint(hint));
    }
    problems
}

/// Several recipes meet the same values in the same ingredient.
fn distinct(problems: Vec<Problem>) -> Vec<Problem> {
    let mut seen = Vec::new();
    for problem in problems {
        if !seen.contains(&problem) {
            seen.push(problem);
        }
    }
    seen
}
