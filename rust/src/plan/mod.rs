//! The plan of a merge: proof that the ingredients agree, a treatment for every tensor, and the layout of the output.
//!
//! Planning reads headers and side files, and compares the tensors that must be equal (integers, tied heads). It
//! writes nothing. A plan that exists can only fail by I/O errors, changed inputs or non-finite data.

mod agreement;
mod buffers;
mod choices;
mod config;
mod cut;
mod declared;
mod derived;
mod differences;
mod discrete;
mod fingerprint;
mod folders;
mod layout;
mod make;
mod names;
mod quantised;
mod remarks;
mod routers;
mod rows;
mod side_files;
mod source;
mod space;
mod summary;
mod tied;
mod tied_by_default;
mod tokenizer;
mod treatments;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use agreement::{Agreement, agree};
pub use choices::Choices;
pub use derived::{Derived, Factor, Scales, Update};
pub(crate) use derived::{Part, TILE, VALUES, of as derived_of};
pub use differences::config_differences;
pub use make::make;
pub use source::TensorSource;

use crate::checkpoint::{Adapters, Checkpoint, OpenOptions};
use crate::dtype::Dtype;
use crate::io::remote::Objects;
use crate::manifest::How;
use crate::mix::Mixture;

/// A row of a coefficient table: the mixture of every tensor whose name matches and no earlier row matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Glob on tensor names: `*` is any run of characters, `?` any one.
    pub pattern: String,
    /// Numerators of every ingredient.
    pub mixture: Mixture,
}

/// One soup to be made. A plain average is a table of one row with pattern `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// First matching row wins; a float tensor without a match is refused.
    pub rows: Vec<Row>,
    /// The directory to be made.
    pub output: PathBuf,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct MergeRequest {
    /// Checkpoints, in the recipes' order.
    pub ingredients: Vec<PathBuf>,
    /// One or more soups over these ingredients, made in one pass.
    pub recipes: Vec<Recipe>,
    /// Shards of ingredients that lie on a server.
    pub objects: Objects,
    /// Adapters on top of ingredients.
    pub adapters: Adapters,
    /// Everything else.
    pub options: PlanOptions,
}

/// Options that change what is written.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches, set by name")]
pub struct PlanOptions {
    /// Output dtype of averaged tensors; each tensor's own in the first ingredient otherwise.
    pub dtype: Option<Dtype>,
    /// Re-cut shards to at most this many bytes; the first ingredient's layout otherwise.
    pub max_shard_size: Option<u64>,
    /// Which ingredient gives config, tokenizer and other side files.
    pub config_from: usize,
    /// Replace an existing soup.
    pub overwrite: bool,
    /// Accept tokenizers that map tokens to different ids.
    pub allow_different_tokenizers: bool,
    /// Accept configs of another model type, or with labels in another order.
    pub allow_different_configs: bool,
    /// `Some(true)`: copy `*.py` beside a config with `auto_map`; `Some(false)`: leave it out; `None`: ask.
    pub copy_code: Option<bool>,
    /// The directory that holds the outputs may be missing: whoever executes the plan makes it before.
    pub makes_parent: bool,
    /// Tensors left out, and tensors taken from one ingredient.
    pub choices: Choices,
    /// Shards do not stay on this disk: each is taken to where the output is to be when it is finished.
    pub sent: bool,
    /// Do not compare free space with what will be written.
    pub skip_space_check: bool,
    /// How ingredients are opened.
    pub open: OpenOptions,
}

/// What happens to a tensor of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// Averaged; for recipe `r` with the row `rows[r]` of its table.
    Averaged {
        /// One row index per recipe.
        rows: Vec<usize>,
    },
    /// Integers or booleans, equal in all ingredients: copied from the first.
    Copied,
    /// Taken byte for byte from the one ingredient that was asked to give it.
    Taken {
        /// Its number.
        from: usize,
    },
}

/// One tensor of the output; the same for every recipe but for its row.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTensor {
    /// Name.
    pub name: String,
    /// Output dtype.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Vec<u64>,
    /// Number of elements.
    pub elements: u64,
    /// Index into [`Plan::shards`].
    pub shard: usize,
    /// Absolute offset in the output shard.
    pub offset: u64,
    /// Bytes in the output.
    pub length: u64,
    /// What happens to it.
    pub treatment: Treatment,
    /// Where it lies in each ingredient, in the recipes' order; one that is taken only in its giver.
    pub sources: Vec<TensorSource>,
}

/// One file of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedShard {
    /// Path relative to the output directory: a file name, behind the folder of its part if that has one.
    pub name: String,
    /// Length field and header, ready to be written at offset 0.
    pub header: Vec<u8>,
    /// Size of the whole file.
    pub size: u64,
    /// Indices into [`Plan::tensors`], in file order.
    pub tensors: Vec<usize>,
}

/// An index of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedIndex {
    /// Path relative to the output directory: under the donor's name, or the usual one.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A small file of the output other than shards, index and manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideFile {
    /// Path relative to the output directory.
    pub name: String,
    /// Content to be written: the donor's bytes, `config.json` with its dtype kept true.
    pub content: SideContent,
}

/// Where a side file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SideContent {
    /// Bytes made while planning.
    Bytes(Vec<u8>),
    /// Copied byte for byte from this file, of this size.
    CopyOf(PathBuf, u64),
}

/// Everything decided; nothing done.
#[derive(Debug)]
pub struct Plan {
    /// The request it answers; each table begins with a row for every pattern of tensors that are taken.
    pub request: MergeRequest,
    /// The ingredients, opened and checked.
    pub checkpoints: Vec<Checkpoint>,
    /// Output tensors sorted by (shard, offset).
    pub tensors: Vec<PlannedTensor>,
    /// Output shards; the same layout for every recipe.
    pub shards: Vec<PlannedShard>,
    /// The index of each part that has several shards, or whose donor had one.
    pub indexes: Vec<PlannedIndex>,
    /// What is computed of each ingredient, in their order.
    pub derived: Vec<Derived>,
    /// Config, tokenizer, licences, from the donor.
    pub side_files: Vec<SideFile>,
    /// The donor's files that are not copied, by name.
    pub left_out: Vec<String>,
    /// Tied heads that equal the embedding bit for bit and are not written: (name, ingredients that had it).
    pub tied: Vec<(String, Vec<usize>)>,
    /// Recipes whose output holds the soup of this plan already, by its manifest.
    pub complete: Vec<usize>,
    /// Tensors that are not written, with the pattern that says so; none for a buffer that loaders make anew, and for scales.
    pub tensors_left_out: BTreeMap<String, Option<String>>,
    /// Ready to be shown.
    pub warnings: Vec<String>,
    /// Bytes of tensors, the index's `total_size`.
    pub total_size: u64,
    /// Elements of tensors, the index's `total_parameters`.
    pub total_parameters: u64,
}

impl PlannedTensor {
    /// How it is made, in one word.
    pub(crate) fn how(&self) -> How {
        match self.treatment {
            Treatment::Averaged { .. } => How::Averaged,
            Treatment::Copied => How::Copied,
            Treatment::Taken { .. } => How::Taken,
        }
    }

    /// The ingredients that are looked at, each with the place where it has the tensor.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (usize, &TensorSource)> {
        let first = if let Treatment::Taken { from } = self.treatment { from } else { 0 };
        self.sources.iter().enumerate().map(move |(i, source)| (first + i, source))
    }

    /// Where an ingredient that is looked at has the tensor.
    pub(crate) fn source(&self, ingredient: usize) -> &TensorSource {
        match self.treatment {
            Treatment::Taken { .. } => &self.sources[0],
            _ => &self.sources[ingredient],
        }
    }

    /// Bytes that are read of it in an ingredient.
    pub(crate) fn bytes_read(&self, ingredient: usize) -> u64 {
        let source = self.source(ingredient);
        let with = source.parts().map(|part| part.bytes());
        with.fold(self.elements.saturating_mul(source.element_bytes()), u64::saturating_add)
    }

    /// Bytes of one element in the output.
    ///
    /// # Panics
    /// Never for a planned tensor: dtypes below a byte are refused.
    pub fn element_bytes(&self) -> u64 {
        self.dtype.bytes().expect("dtypes below a byte are refused") as u64
    }
}

impl Plan {
    /// The ingredients whose bytes of a tensor the merge reads: those with a numerator in any recipe's row.
    pub fn needed(&self, tensor: &PlannedTensor) -> Vec<usize> {
        let rows = match &tensor.treatment {
            Treatment::Averaged { rows } => rows,
            Treatment::Copied => return vec![0],
            Treatment::Taken { from } => return vec![*from],
        };
        let takes_part = |ingredient: &usize| {
            let recipes = &mut self.request.recipes.iter().zip(rows);
            recipes.any(|(recipe, &row)| recipe.rows[row].mixture.takes_part(*ingredient))
        };
        (0..tensor.sources.len()).filter(takes_part).collect()
    }
}
