//! The keys of `soce.json`, as they are written and read. What is not here is no manifest of this format, but for `run`,
//! where later versions may say more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::digests::Digests;
use super::masks::MasksEntry;
use crate::checkpoint::origin::ClaimSource;
use crate::digest::Digest;
use crate::dtype::Dtype;
use crate::mix::{Filters, Mix, Mixture};

/// The manifest's file name.
pub(crate) const FILE_NAME: &str = "soce.json";
/// The recipe as mergekit would read it.
pub(crate) const RECIPE_FILE: &str = "mergekit_config.yml";
/// Number of the schema of `result`.
pub(crate) const FORMAT: u64 = 1;
/// Number of the schema of a `result` that the first one has no words for: tensors that were taken or left out, and parts
/// in folders.
pub(crate) const FORMAT_OF_CHOICES: u64 = 2;
/// Number of the schema of a `result` with a row that has several mixes.
pub(crate) const FORMAT_OF_MIXTURES: u64 = 3;
/// The one folder that a `result` of the first schema may have.
const TEMPLATES: &str = "additional_chat_templates";
/// Number of the bit contract: docs/numerics.md.
pub(crate) const NUMERICS: u64 = 1;
/// Longest manifest read; one of a million tensors has a third of this.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// All of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) result: Outcome,
    pub(crate) result_digest: Digest,
    pub(crate) plan_digest: Digest,
    pub(crate) sources: Vec<SourceEntry>,
    pub(crate) run: RunEntry,
    /// Of everything else; `None` until that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) file_digest: Option<Digest>,
}

/// What was made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    pub(crate) format: u64,
    pub(crate) numerics: u64,
    pub(crate) recipe: RecipeEntry,
    /// In the order of the recipe's parts; only if the ingredients' bytes were hashed as they passed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) ingredients: Option<Vec<IngredientEntry>>,
    pub(crate) donor: DonorEntry,
    pub(crate) tensors: BTreeMap<String, TensorEntry>,
    pub(crate) tied: Vec<String>,
    /// The pattern that left a tensor out, by name; none for a buffer that loaders make anew.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) left_out: BTreeMap<String, Option<String>>,
    pub(crate) shards: Vec<ShardEntry>,
    pub(crate) files: Vec<String>,
    pub(crate) counts: Counts,
}

impl Outcome {
    /// The number of the oldest schema that has words for all of it.
    pub(crate) fn needed_format(&self) -> u64 {
        let is_of_a_part =
            |name: &String| name.split_once('/').is_some_and(|(folder, _)| folder != TEMPLATES);
        let says_more =
            self.counts.taken > 0 || !self.left_out.is_empty() || self.files.iter().any(is_of_a_part);
        if self.recipe.rows.iter().any(|row| !row.is_one()) {
            FORMAT_OF_MIXTURES
        } else if says_more {
            FORMAT_OF_CHOICES
        } else {
            FORMAT
        }
    }
}

/// How the tensors were mixed. The order of parts does not depend on the one the ingredients were given in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipeEntry {
    pub(crate) method: String,
    pub(crate) rows: Vec<RowEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowEntry {
    pub(crate) pattern: String,
    /// [`Mixture::parts`], by column.
    pub(crate) parts: Vec<i64>,
    pub(crate) whole: u64,
    /// The parts of each filter, if there is a mix for each.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) filters: Option<Vec<Vec<i64>>>,
    /// What those are divided by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) wholes: Option<Vec<u64>>,
    /// Who takes part in which element, if that is not everyone in every one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) masks: Option<MasksEntry>,
}

impl RowEntry {
    /// A row of which the ingredients with these numbers are the columns.
    pub(crate) fn new(pattern: &str, mixture: &Mixture, columns: &[usize]) -> Self {
        let pick = |numbers: &[i64]| columns.iter().map(|&i| numbers[i]).collect::<Vec<_>>();
        let (filters, wholes) = match mixture {
            Mixture::Filters(filters) => {
                (Some(filters.numerators().map(pick).collect()), Some(filters.wholes().to_vec()))
            }
            Mixture::One(_) | Mixture::Masked(_) => (None, None),
        };
        let masks = match mixture {
            Mixture::Masked(masked) => Some(MasksEntry::new(masked, columns)),
            Mixture::One(_) | Mixture::Filters(_) => None,
        };
        let (parts, whole) = (pick(mixture.parts()), mixture.whole());
        Self { pattern: pattern.to_owned(), parts, whole, filters, wholes, masks }
    }

    /// Whether it has no more than its parts.
    pub(crate) fn is_one(&self) -> bool {
        self.filters.is_none() && self.wholes.is_none() && self.masks.is_none()
    }

    /// What it says, over its columns.
    ///
    /// # Errors
    /// Why it makes no sense, ready to be shown.
    pub(crate) fn mixture(&self) -> Result<Mixture, String> {
        let read = match (&self.filters, &self.wholes, &self.masks) {
            (None, None, None) => Mix::new(&self.parts, self.whole).map(Mixture::One),
            (None, None, Some(masks)) => return masks.masked(&self.parts, self.whole).map(Mixture::Masked),
            (_, _, Some(_)) => return Err("has both filters and masks".to_owned()),
            (filters, wholes, None) => {
                let (filters, wholes) = (filters.as_deref(), wholes.as_deref());
                Filters::new(filters.unwrap_or_default(), wholes.unwrap_or_default()).map(Mixture::Filters)
            }
        };
        let mixture = read.map_err(|error| error.to_string())?;
        if self.is_one() || mixture.parts() == self.parts && mixture.whole() == self.whole {
            return Ok(mixture);
        }
        Err(format!("expected parts {:?} of {}, as its filters sum to", mixture.parts(), mixture.whole()))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IngredientEntry {
    /// See [`super::Content`].
    pub(crate) content: Digest,
}

/// What came along with config and tokenizer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DonorEntry {
    /// SHA-256 by name.
    pub(crate) side_files: BTreeMap<String, Digest>,
    pub(crate) left_out: Vec<String>,
}

/// How a tensor was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    Averaged,
    Copied,
    /// Byte for byte from the one ingredient of its row.
    Taken,
}

impl How {
    /// Its name in plans and manifests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Averaged => "averaged",
            Self::Copied => "copied",
            Self::Taken => "taken",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TensorEntry {
    #[serde(rename = "fate")]
    pub(crate) how: How,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    pub(crate) shard: String,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) blake3: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) non_finite: Option<NonFiniteEntry>,
    /// Largest difference to each ingredient, `null` where it has no part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) differences: Option<Vec<Option<String>>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NonFiniteEntry {
    /// NaN, +inf, -inf of each ingredient.
    pub(crate) ingredients: Vec<[u64; 3]>,
    /// Infinite results of finite inputs.
    pub(crate) created: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShardEntry {
    pub(crate) name: String,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) sha256: Option<Digest>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) averaged: u64,
    pub(crate) copied: u64,
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) taken: u64,
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) left_out: u64,
    pub(crate) tied: u64,
    pub(crate) refused: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where an ingredient came from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceEntry {
    /// One per row.
    pub(crate) parts: Vec<i64>,
    pub(crate) gave_config: bool,
    /// Which of the recipe's parts are its own, if a row has more than these.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) column: Option<u64>,
    /// Which entry of the result's `ingredients` it is: that order is not the one given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) content: Option<Digest>,
    pub(crate) shards: Vec<SourceShard>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) hub: Option<HubEntry>,
    /// What was on top of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) adapter: Option<AdapterEntry>,
}

/// An adapter; its file is the last of the ingredient's `shards`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdapterEntry {
    pub(crate) file: String,
    /// Tensors that something was added to.
    pub(crate) modules: u64,
    /// Tensors in whose place another one stood.
    pub(crate) replaced: u64,
    /// Every scale that occurs, in decimals that are read back as the same number.
    pub(crate) scales: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) hub: Option<HubEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceShard {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) header_sha256: Digest,
    /// As somebody else says, who is [`SourceShard::sha256_source`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) sha256_source: Option<ClaimSource>,
    /// What tells this state of it from every other, if it was read from a server: as whoever looked it up wrote it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) identity: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HubEntry {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) id: Option<String>,
    pub(crate) revision: String,
}

/// How it was done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunEntry {
    /// What the caller adds: versions, command line. Written first, so that it hides nothing of the rest.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
    pub(crate) core: String,
    pub(crate) kernels: String,
    pub(crate) digests: Digests,
    pub(crate) num_threads: usize,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    pub(crate) os: String,
    pub(crate) architecture: String,
    pub(crate) warnings: Vec<String>,
    /// Paths as given.
    pub(crate) ingredients: Vec<String>,
    /// Runs that were interrupted before this one.
    pub(crate) resumes: usize,
}
