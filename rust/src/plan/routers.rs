//! Routers of mixtures of experts: their mean may send tokens to experts that neither of them meant.

use crate::escape::shown;

use super::{Plan, Treatment};

/// What to say about routers that are averaged, if there are any.
pub(super) fn warning(plan: &Plan) -> Option<String> {
    let is_mixture =
        plan.tensors.iter().any(|tensor| parts(&tensor.name).any(|part| EXPERTS.contains(&part)));
    let is_router = |name: &str| parts(name).any(|part| part == "router" || is_mixture && part == "gate");
    let mut averaged = plan.tensors.iter().filter(|tensor| {
        let is_mean = matches!(tensor.treatment, Treatment::Averaged { .. }) && plan.needed(tensor).len() > 1;
        is_mean && is_router(&tensor.name)
    });
    let first = averaged.next()?;
    let pattern = if parts(&first.name).any(|part| part == "router") { "*.router.*" } else { "*.gate.*" };
    let more = match averaged.count() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Some(format!(
        "routers of a mixture of experts are averaged (`{}`{more}), which may break routing (arXiv:2606.03391): compare \
         the soup with its ingredients, or take the routers from one of them with `--take '{pattern}=INGREDIENT'`",
        shown(&first.name)
    ))
}

/// Parts of names that only mixtures of experts have.
const EXPERTS: [&str; 3] = ["experts", "block_sparse_moe", "moe"];

fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split('.')
}
