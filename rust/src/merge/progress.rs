//! What is known of each output tensor so far: digests of its chunks, non-finite values met.

use std::sync::Mutex;

use crate::error::{Error, Problem, ProblemKind, Result};
use crate::kernels::{NonFinite, Tally};
use crate::plan::Plan;
use crate::sink::digest::{ChunkDigest, Leaf};
use crate::sink::manifest::TensorResult;

use super::work::{Chunk, Work};

/// Non-finite values of one tensor of one recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonFiniteTensor {
    /// Index of the recipe.
    pub recipe: usize,
    /// Index into [`Plan::tensors`].
    pub tensor: usize,
    /// Counts per ingredient, in the recipe's order.
    pub inputs: Vec<NonFinite>,
    /// Infinite outputs of finite inputs.
    pub created: u64,
    /// First element with such an output.
    pub first_created: Option<u64>,
}

/// State of every tensor of every recipe.
pub(super) struct Progress {
    /// By tensor.
    tensors: Vec<Mutex<TensorState>>,
    digests: bool,
    chunk_bytes: u64,
    lengths: Vec<u64>,
}

struct TensorState {
    chunks_left: u64,
    recipes: Vec<RecipeState>,
}

#[derive(Default)]
struct RecipeState {
    /// By chunk; emptied once combined, so that memory holds the leaves of unfinished tensors only.
    leaves: Vec<Option<Leaf>>,
    digest: Option<[u8; 32]>,
    tally: Option<Tally>,
}

impl Progress {
    pub(super) fn new(plan: &Plan, work: &Work, digests: bool) -> Self {
        let recipes = plan.request.recipes.len();
        let state = |tensor| TensorState {
            chunks_left: work.chunks_of(tensor),
            recipes: (0..recipes).map(|_| RecipeState::default()).collect(),
        };
        Self {
            tensors: (0..plan.tensors.len()).map(|tensor| Mutex::new(state(tensor))).collect(),
            digests,
            chunk_bytes: work.chunk_bytes(),
            lengths: plan.tensors.iter().map(|tensor| tensor.length).collect(),
        }
    }

    fn digest_of(&self, tensor: usize) -> ChunkDigest {
        ChunkDigest::new(self.lengths[tensor], self.chunk_bytes)
    }

    /// Hash a chunk's output and keep what was counted. The hash is taken outside the lock.
    pub(super) fn record(&self, recipe: usize, chunk: &Chunk, bytes: &[u8], tally: &Tally) {
        let digest = self.digests.then(|| self.digest_of(chunk.tensor));
        let leaf = digest.map(|digest| digest.leaf(bytes, chunk.number * self.chunk_bytes));
        if leaf.is_none() && tally.is_clean() {
            return;
        }
        let mut state = self.tensors[chunk.tensor].lock().expect("no panic while held");
        let state = &mut state.recipes[recipe];
        if let (Some(digest), Some(leaf)) = (digest, leaf) {
            state.leaves.resize(digest.leaves(), None);
            state.leaves[chunk.number as usize] = Some(leaf);
        }
        if !tally.is_clean() {
            state.tally.get_or_insert_with(|| Tally::new(tally.inputs.len())).merge(tally);
        }
    }

    /// Count a chunk as done for every recipe. The tensor's index if it was its last one.
    pub(super) fn finish_chunk(&self, chunk: &Chunk) -> Option<usize> {
        let mut state = self.tensors[chunk.tensor].lock().expect("no panic while held");
        state.chunks_left -= 1;
        if state.chunks_left > 0 {
            return None;
        }
        if self.digests {
            let digest = self.digest_of(chunk.tensor);
            for recipe in &mut state.recipes {
                let leaves: Option<Vec<Leaf>> = std::mem::take(&mut recipe.leaves).into_iter().collect();
                recipe.digest = leaves.map(|leaves| *digest.combine(&leaves).as_bytes());
            }
        }
        Some(chunk.tensor)
    }

    /// An error if a finished tensor met a non-finite value.
    pub(super) fn refuse_non_finite(&self, plan: &Plan, tensor: usize) -> Result<()> {
        let state = self.tensors[tensor].lock().expect("no panic while held");
        let problems: Vec<Problem> = state
            .recipes
            .iter()
            .filter_map(|recipe| recipe.tally.as_ref())
            .flat_map(|tally| problems(plan, tensor, tally))
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::Refused(distinct(problems))) }
    }

    /// Digests by recipe and tensor, and what was not finite.
    pub(super) fn into_results(self, plan: &Plan) -> (Vec<Vec<TensorResult>>, Vec<NonFiniteTensor>) {
        let mut results: Vec<Vec<TensorResult>> = vec![Vec::new(); plan.request.recipes.len()];
        let mut non_finite = Vec::new();
        let empty = self.digests.then(|| *blake3::hash(b"").as_bytes());
        for (tensor, state) in self.tensors.into_iter().enumerate() {
            for (recipe, state) in
                state.into_inner().expect("no panic while held").recipes.into_iter().enumerate()
            {
                let digest = if self.lengths[tensor] == 0 { empty } else { state.digest };
                let found = state.tally.map(|tally| {
                    let Tally { inputs, created, first_created, .. } = tally;
                    NonFiniteTensor { recipe, tensor, inputs, created, first_created }
                });
                results[recipe].push(TensorResult { digest, non_finite: found.clone() });
                non_finite.extend(found);
            }
        }
        (results, non_finite)
    }
}

/// One problem per ingredient with non-finite values, and one for those that rounding created.
fn problems(plan: &Plan, tensor: usize, tally: &Tally) -> Vec<Problem> {
    const HINT: &str = "`--nonfinite warn` completes the merge and records the counts";
    let planned = &plan.tensors[tensor];
    let mut problems = Vec::new();
    for (ingredient, counts) in tally.inputs.iter().enumerate().filter(|(_, counts)| counts.total() > 0) {
        let shard = &plan.checkpoints[ingredient].shards[planned.sources[ingredient].shard];
        let NonFinite { nan, positive, negative, first } = counts;
        let first = first.unwrap_or(0);
        let message = format!(
            "{} of {} values are not finite ({nan} NaN, {positive} +inf, {negative} -inf), the first at element {first}",
            counts.total(),
            planned.elements
        );
        problems.push(
            Problem::new(ProblemKind::Checkpoint, message).at(&shard.path).tensor(&planned.name).hint(HINT),
        );
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
