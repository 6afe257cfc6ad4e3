//! Adapters on top of ingredients, as Python describes them.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::checkpoint::{Adapters, By, Change, Changes};

/// A dictionary with these keys: what one file changes in one tensor of one ingredient.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct Adapting {
    ingredient: usize,
    tensor: String,
    path: PathBuf,
    #[pyo3(default)]
    a: Option<String>,
    #[pyo3(default)]
    b: Option<String>,
    #[pyo3(default)]
    scale: Option<f64>,
    #[pyo3(default)]
    transposed: bool,
    #[pyo3(default)]
    replacement: Option<String>,
}

/// The changes of `ingredients` ingredients.
pub(super) fn adapters(changes: Vec<Adapting>, ingredients: usize) -> PyResult<Adapters> {
    let mut adapters = Adapters::default();
    for Adapting { ingredient, tensor, path, a, b, scale, transposed, replacement } in changes {
        let by = match (a, b, scale, replacement) {
            (Some(a), Some(b), Some(scale), None) => By::Factors { a, b, scale, transposed },
            (None, None, None, Some(name)) => By::Replacement(name),
            _ => {
                let message = "adapters: expected `a`, `b` and `scale`, or `replacement`";
                return Err(PyValueError::new_err(message));
            }
        };
        let changes = adapters
            .entry(ingredient)
            .or_insert_with(|| Changes { path: path.clone(), ..Changes::default() });
        if changes.path != path {
            let message = format!("adapters: ingredient {ingredient} has two: expected at most one");
            return Err(PyValueError::new_err(message));
        }
        changes.changes.push(Change { tensor, by });
    }
    match adapters.keys().next_back() {
        Some(last) if *last >= ingredients => Err(PyValueError::new_err(format!(
            "adapters: expected an ingredient below {ingredients}, got {last}"
        ))),
        _ => Ok(adapters),
    }
}
