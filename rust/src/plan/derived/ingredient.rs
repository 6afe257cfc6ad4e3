//! What is computed of one ingredient.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::scales::Scales;
use crate::checkpoint::TensorInfo;
use crate::dtype::Dtype;

/// What computed elements are handed over as: it holds all of them exactly.
pub(crate) const VALUES: Dtype = Dtype::F64;
/// What they are written as, unless somebody asks for more.
pub(crate) const WRITTEN: Dtype = Dtype::BF16;

/// The derived tensors of one ingredient.
#[derive(Debug, Clone, Default)]
pub struct Derived {
    /// By the name of the tensor.
    pub(super) scales: BTreeMap<String, Arc<Scales>>,
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

    /// The dtype of the elements of a tensor.
    pub(in super::super) fn dtype(&self, info: &TensorInfo) -> Dtype {
        if self.scales.contains_key(&info.name) { VALUES } else { info.dtype }
    }

    /// The dtype that a tensor is written in unless another one is asked for.
    pub(crate) fn written(&self, info: &TensorInfo) -> Dtype {
        if self.scales.contains_key(&info.name) { WRITTEN } else { info.dtype }
    }

    /// Whether anything of the ingredient is derived.
    pub(crate) fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// The names of derived tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.scales.keys()
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
        json!(blocks.collect::<BTreeMap<_, _>>())
    }
}
