//! What a merge did.

use crate::manifest::Digests;
use crate::sink::journal::NonFiniteCounts;

/// Non-finite values of one tensor of one recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonFiniteTensor {
    /// Index of the recipe.
    pub recipe: usize,
    /// Index into [`crate::plan::Plan::tensors`].
    pub tensor: usize,
    /// How many there are.
    pub counts: NonFiniteCounts,
}

/// What was done.
#[derive(Debug)]
pub struct MergeReport {
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
    /// Level of the digests.
    pub digests: Digests,
    /// Shards that an interrupted run had finished, over all recipes.
    pub reused_shards: usize,
    /// Recipes whose soups an interrupted run had published.
    pub complete_before: Vec<usize>,
    /// Ready to be shown.
    pub warnings: Vec<String>,
}
