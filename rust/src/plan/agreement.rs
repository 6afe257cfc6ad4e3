//! Whether ingredients can be mixed at all, apart from any recipe and any output.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::error::Result;
use crate::mix::Mix;

use super::remarks::Remarks;
use super::{MergeRequest, PlanOptions, Recipe, Row, make, treatments};

/// Ingredients that agree in names, shapes, dtypes and integers.
#[derive(Debug)]
pub struct Agreement {
    /// The ingredients, opened and checked.
    pub checkpoints: Vec<Checkpoint>,
    /// Tied heads that some ingredients have and that equal their embedding.
    pub tied: BTreeSet<String>,
    /// Ready to be shown.
    pub warnings: Vec<String>,
}

/// Open `ingredients` and compare each with the first; every one of them counts, as with equal parts.
///
/// # Errors
/// [`crate::Error::Refused`] with everything that is wrong; [`crate::Error::Io`] if the system refuses to read.
pub fn agree(ingredients: &[PathBuf], open: OpenOptions) -> Result<Agreement> {
    let mix = Mix::average(&vec![1; ingredients.len()])?;
    let everything = Recipe { rows: vec![Row { pattern: "*".to_owned(), mix }], output: PathBuf::new() };
    let request = MergeRequest {
        ingredients: ingredients.to_vec(),
        recipes: vec![everything],
        options: PlanOptions { open, ..PlanOptions::default() },
    };
    let mut remarks = Remarks::default();
    let checkpoints = make::open(&request, &mut remarks);
    remarks.refuse()?;
    let configs = make::read_configs(&request, &checkpoints, &mut remarks);
    let treatments = treatments::decide(&request, &checkpoints, &configs, &mut remarks)?;
    remarks.refuse()?;
    let tied = treatments.tied.into_iter().map(|(name, _)| name).collect();
    Ok(Agreement { checkpoints, tied, warnings: remarks.warnings })
}
