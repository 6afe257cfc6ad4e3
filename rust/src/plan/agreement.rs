//! Whether ingredients can be mixed at all, apart from any recipe and any output.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::json;

use crate::checkpoint::{Adapters, Checkpoint, OpenOptions, Shard};
use crate::digest::Digest;
use crate::error::Result;
use crate::io::Identity;
use crate::io::remote::Objects;
use crate::mix::Mix;

use super::config::Config;
use super::remarks::Remarks;
use super::{Choices, Derived, MergeRequest, PlanOptions, Recipe, Row, Treatment, make, treatments};

/// Ingredients that agree in names, shapes, dtypes and integers.
#[derive(Debug)]
pub struct Agreement {
    /// The ingredients, opened and checked.
    pub checkpoints: Vec<Checkpoint>,
    /// What is computed of each ingredient, in their order.
    pub derived: Vec<Derived>,
    /// Tensors that are no part of a soup: left out, or tied to another one.
    pub dropped: BTreeSet<String>,
    /// Tensors that one ingredient gives unchanged, and its number.
    pub taken: BTreeMap<String, usize>,
    /// Ready to be shown.
    pub warnings: Vec<String>,
}

/// Open `ingredients`, of which some shards may be `objects` and some have `adapters` on top, and compare each with the first; every one of them counts, as
/// with equal parts.
///
/// # Errors
/// [`crate::Error::Refused`] with everything that is wrong; [`crate::Error::Io`] if the system refuses to read.
pub fn agree(
    ingredients: &[PathBuf],
    objects: &Objects,
    adapters: Adapters,
    open: OpenOptions,
    choices: Choices,
) -> Result<Agreement> {
    let mix = Mix::average(&vec![1; ingredients.len()])?;
    let everything =
        Recipe { rows: vec![Row { pattern: "*".to_owned(), mixture: mix.into() }], output: PathBuf::new() };
    let mut request = MergeRequest {
        ingredients: ingredients.to_vec(),
        recipes: vec![everything],
        objects: objects.clone(),
        adapters,
        options: PlanOptions { choices, open, ..PlanOptions::default() },
    };
    make::put_choices_first(&mut request)?;
    let mut remarks = Remarks::default();
    let checkpoints = make::open(&request, &mut remarks);
    remarks.refuse()?;
    let configs = Config::of_each(&checkpoints, open, &mut remarks);
    let treatments = treatments::decide(&request, &checkpoints, &configs, &mut remarks)?;
    remarks.refuse()?;
    let derived = treatments.derived;
    let tied = treatments.tied.into_iter().map(|(name, _)| name);
    let dropped = treatments.left_out.into_keys().chain(tied).collect();
    let giver = |(name, treatment)| match treatment {
        Treatment::Taken { from } => Some((name, from)),
        _ => None,
    };
    let taken = treatments.by_name.into_iter().filter_map(giver).collect();
    Ok(Agreement { checkpoints, derived, dropped, taken, warnings: remarks.warnings })
}

impl Agreement {
    /// For each ingredient what tells the values in it from others without reading them, like [`super::Plan::fingerprint`]
    /// but for good: that file, in that state. Beside it when the last of its files changed, in nanoseconds since 1970.
    pub(crate) fn states(&self) -> Vec<(Digest, i128)> {
        let shard = |shard: &Shard| match &shard.identity {
            Identity::File(file) => {
                let place = [file.device, file.inode, file.size];
                let times = [file.mtime_ns, file.ctime_ns].map(|time| time.to_string());
                json!([shard.header_sha256, place, times])
            }
            Identity::Object(object) => json!([shard.header_sha256, object.identity()]),
        };
        let changed = |shard: &Shard| shard.identity.file().map(|file| file.mtime_ns.max(file.ctime_ns));
        let state = |(checkpoint, derived): (&Checkpoint, &Derived)| {
            let shards: Vec<_> = checkpoint.files().map(shard).collect();
            let value = json!([shards, derived.brief()]).to_string();
            let last = checkpoint.files().filter_map(changed).max();
            (Digest::of(value.as_bytes()), last.unwrap_or(0))
        };
        self.checkpoints.iter().zip(&self.derived).map(state).collect()
    }
}
