//! Whether ingredients can be mixed at all, apart from any recipe and any output.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::error::Result;
use crate::mix::Mix;

use super::findings::Findings;
use super::{PlanOptions, Recipe, Request, Row, fates, make};

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
    let request = Request {
        ingredients: ingredients.to_vec(),
        recipes: vec![everything],
        options: PlanOptions { open, ..PlanOptions::default() },
    };
    let mut findings = Findings::default();
    let checkpoints = make::open(&request, &mut findings);
    findings.refuse()?;
    let configs = make::read_configs(&request, &checkpoints, &mut findings);
    let fates = fates::decide(&request, &checkpoints, &configs, &mut findings)?;
    findings.refuse()?;
    let tied = fates.tied.into_iter().map(|(name, _)| name).collect();
    Ok(Agreement { checkpoints, tied, warnings: findings.warnings })
}
