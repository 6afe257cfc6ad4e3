//! Whether ingredients can be mixed at all, apart from any recipe and any output.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::checkpoint::{Adapters, Checkpoint, OpenOptions};
use crate::error::Result;
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
    let everything = Recipe { rows: vec![Row { pattern: "*".to_owned(), mix }], output: PathBuf::new() };
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
