//! What is computed of one ingredient.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::scales::Scales;
use super::update::{Replacement, Update};
use crate::checkpoint::TensorInfo;
use crate::dtype::Dtype;

/// What computed elements are handed over as: it holds all of them exactly.
pub(crate) const VALUES: Dtype = Dtype::F64;
/// What they are written as, unless somebody asks for more.
pub(crate) const WRITTEN: Dtype = Dtype::BF16;

/// Whether elements of a dtype are codes that scales make numbers of.
pub(crate) fn is_codes(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F8_E4M3 | Dtype::F8_E5M2)
}

/// The derived tensors of one ingredient.
#[derive(Debug, Clone, Default)]
pub struct Derived {
    /// By the name of the tensor.
    pub(super) scales: BTreeMap<String, Arc<Scales>>,
    /// What an adapter adds, by the name of the tensor.
    pub(super) updates: BTreeMap<String, Arc<Update>>,
    /// What stands in the place of a tensor, by the name of that.
    pub(super) replaced: BTreeMap<String, Replacement>,
    /// Tensors that were found wrong, and reported.
    pub(super) refused: BTreeSet<String>,
    /// What they are computed with, and scales of activations: no tensors of a soup.
    pub(super) parts: BTreeSet<String>,
}

impl Derived {
    /// The scales that a tensor of codes is multiplied by.
    pub(crate) fn scales(&self, name: &str) -> Option<&Arc<Scales>> {
        self.scales.get(name)
    }

    /// What an adapter adds to a tensor.
    pub(crate) fn update(&self, name: &str) -> Option<&Arc<Update>> {
        self.updates.get(name)
    }

    /// What stands in the place of a tensor.
    pub(crate) fn replacement(&self, name: &str) -> Option<&Replacement> {
        self.replaced.get(name)
    }

    /// Whether an adapter changes a tensor.
    pub(crate) fn is_adapted(&self, name: &str) -> bool {
        self.updates.contains_key(name) || self.replaced.contains_key(name)
    }

    /// All that an adapter adds.
    pub(crate) fn updates(&self) -> impl Iterator<Item = &Update> {
        self.updates.values().map(|update| &**update)
    }

    /// How many tensors an adapter puts others in the place of.
    pub(crate) fn replacements(&self) -> usize {
        self.replaced.len()
    }

    /// How many tensors an adapter changes.
    pub(crate) fn adapted(&self) -> usize {
        self.updates.len() + self.replaced.keys().filter(|name| !self.updates.contains_key(*name)).count()
    }

    /// Whether a tensor is another than the one that is stored under its name.
    pub(crate) fn is_computed(&self, name: &str) -> bool {
        self.scales.contains_key(name) || self.is_adapted(name)
    }

    /// The dtype of the elements of a tensor.
    pub(in super::super) fn dtype(&self, info: &TensorInfo) -> Dtype {
        if self.scales.contains_key(&info.name) || self.updates.contains_key(&info.name) {
            return VALUES;
        }
        self.replacement(&info.name).map_or(info.dtype, |replacement| replacement.dtype)
    }

    /// The dtype that a tensor is written in unless another one is asked for.
    pub(crate) fn written(&self, info: &TensorInfo) -> Dtype {
        let has_numbers = self.scales.contains_key(&info.name) || self.is_adapted(&info.name);
        if has_numbers && is_codes(info.dtype) { WRITTEN } else { info.dtype }
    }

    /// Whether anything of the ingredient is derived.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.scales.is_empty() && self.updates.is_empty() && self.replaced.is_empty()
    }

    /// How many tensors are codes with scales.
    pub(in super::super) fn codes(&self) -> usize {
        self.scales.len()
    }

    /// Whether a tensor was found wrong.
    pub(in super::super) fn is_refused(&self, name: &str) -> bool {
        self.refused.contains(name)
    }

    /// Whether it has derived tensors, also wrong ones.
    pub(in super::super) fn was_tried(&self) -> bool {
        !self.scales.is_empty() || !self.refused.is_empty()
    }

    /// What is no tensor of a soup, by name.
    pub(in super::super) fn parts(&self) -> &BTreeSet<String> {
        &self.parts
    }

    /// For a fingerprint: all that decides about values and is in no header.
    pub(in super::super) fn brief(&self) -> Value {
        let blocks = self.scales.iter().map(|(name, scales)| (name, json!([scales.name, scales.block])));
        let blocks = blocks.collect::<BTreeMap<_, _>>();
        if self.adapted() == 0 {
            return json!(blocks);
        }
        let update = |(name, update): (&String, &Arc<Update>)| {
            let Update { shard, a, b, scale, transposed, .. } = &**update;
            json!([name, shard, a.name, b.name, format!("{scale:e}"), transposed])
        };
        let replaced = |(name, found): (&String, &Replacement)| json!([name, found.shard, found.offset]);
        json!({
            "scales": blocks,
            "updates": self.updates.iter().map(update).collect::<Vec<_>>(),
            "replaced": self.replaced.iter().map(replaced).collect::<Vec<_>>(),
        })
    }
}
