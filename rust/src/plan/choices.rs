//! What the user decided about single tensors: patterns of those that stay out of the soup, and of those that one
//! ingredient gives unchanged. Neither is then compared with other ingredients, nor has to be there in all of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::Checkpoint;
use crate::dtype::DtypeClass;
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::escape::{listing, quoted, shown};
use crate::glob;
use crate::mix::Mix;

use super::remarks::Remarks;
use super::{Recipe, Row, discrete};

/// Names looked through for those near to a pattern, and the characters of each that are looked at.
const LOOKED_THROUGH: usize = 20_000;
const LOOKED_AT: usize = 256;
/// How many near names are told, and how many characters in a row they have in common with the pattern.
const NEAR: usize = 3;
const IN_COMMON: usize = 3;

/// Decisions by pattern on names, with `*` and `?` as in a [`Row`]. Their order says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Patterns of tensors that stay out of the soup.
    pub leave_out: Vec<String>,
    /// Patterns of tensors that are taken byte for byte from one ingredient, and its number.
    pub take: Vec<(String, usize)>,
}

/// The tensors that were decided about.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Name → the pattern that leaves it out.
    pub(super) left_out: BTreeMap<String, String>,
    /// Name → the ingredient that gives it.
    pub(super) taken: BTreeMap<String, usize>,
}

impl Choices {
    /// The rows that stand for what is taken, before those of a recipe: one ingredient is the whole.
    ///
    /// # Errors
    /// The number of an ingredient that is not there.
    pub(super) fn rows(&self, ingredients: usize) -> Result<Vec<Row>> {
        let take: BTreeSet<&(String, usize)> = self.take.iter().collect();
        let row = |(pattern, from): &(String, usize)| {
            if *from >= ingredients {
                let message = format!("take: expected an ingredient below {ingredients}, got {from}");
                return Err(Error::from(
                    Problem::new(ProblemKind::Recipe, message).hint("ingredients are counted from 0"),
                ));
            }
            let parts: Vec<u64> = (0..ingredients).map(|i| u64::from(i == *from)).collect();
            Ok(Row { pattern: pattern.clone(), mixture: Mix::average(&parts)?.into() })
        };
        take.into_iter().map(row).collect()
    }

    /// The tensors that the patterns match. A pattern without a tensor is a problem, and so are two decisions about one
    /// tensor, and a tensor that is to be taken from an ingredient without it.
    pub(super) fn resolve(&self, checkpoints: &[Checkpoint], remarks: &mut Remarks) -> Chosen {
        let names: BTreeSet<&str> =
            checkpoints.iter().flat_map(|c| c.tensors.keys()).map(String::as_str).collect();
        let mut chosen = Chosen::default();
        let leave_out: BTreeSet<&String> = self.leave_out.iter().collect();
        for pattern in leave_out {
            for name in matched("leave_out", pattern, &names, remarks) {
                chosen.left_out.entry(name.to_owned()).or_insert_with(|| pattern.clone());
            }
        }
        let take: BTreeSet<&(String, usize)> = self.take.iter().collect();
        for (pattern, from) in take {
            let found = matched("take", pattern, &names, remarks);
            chosen.take(pattern, *from, &found, checkpoints, remarks);
        }
        chosen
    }
}

impl Chosen {
    /// Whether anything was decided about a tensor.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.left_out.contains_key(name) || self.taken.contains_key(name)
    }

    /// Also take what the rows of all `recipes` give to one ingredient alone, where that has no mean: a tensor that others
    /// lack, or one of integers that differ. A row for every tensor says nothing of any one.
    ///
    /// # Errors
    /// [`Error::Io`] if integers cannot be read.
    pub(super) fn take_by_rows(&mut self, recipes: &[Recipe], checkpoints: &[Checkpoint]) -> Result<()> {
        let names: BTreeSet<&str> =
            checkpoints.iter().flat_map(|c| c.tensors.keys()).map(String::as_str).collect();
        for name in names.into_iter().filter(|name| !self.left_out.contains_key(*name)) {
            let giver = |recipe: &Recipe| {
                let row = recipe.rows.iter().find(|row| glob::matches(&row.pattern, name))?;
                (row.pattern != "*").then(|| row.mixture.sole())?
            };
            let mut givers = recipes.iter().map(giver);
            let Some(from) = givers.next().flatten() else { continue };
            let Some(tensor) = checkpoints.get(from).and_then(|giver| giver.tensor(name)) else { continue };
            if !givers.all(|other| other == Some(from)) {
                continue;
            }
            let is_shared = checkpoints.iter().all(|c| c.tensors.contains_key(name));
            let is_discrete = tensor.dtype.class() == DtypeClass::Discrete;
            if !is_shared || is_discrete && !discrete::is_equal(name, checkpoints)? {
                self.taken.entry(name.to_owned()).or_insert(from);
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        pattern: &str,
        from: usize,
        names: &[&str],
        checkpoints: &[Checkpoint],
        remarks: &mut Remarks,
    ) {
        let giver = &checkpoints[from];
        let mut problems = Vec::new();
        for &name in names {
            let message = if let Some(left_out) = self.left_out.get(name) {
                format!("is to be left out (`{}`) and to be taken (`{}`)", shown(left_out), shown(pattern))
            } else if let Some(&other) = self.taken.get(name).filter(|other| **other != from) {
                let (one, two) = (quoted(&checkpoints[other].root), quoted(&giver.root));
                format!("is to be taken from {one} and from {two}")
            } else if giver.tensors.contains_key(name) {
                self.taken.insert(name.to_owned(), from);
                continue;
            } else {
                let has = checkpoints.iter().filter(|c| c.tensors.contains_key(name));
                let holders: Vec<String> = has.map(|c| c.root.to_string_lossy().into_owned()).collect();
                format!("cannot be taken from {}: only {} has it", quoted(&giver.root), listing(&holders))
            };
            let hint = "narrow the pattern, or take the tensor from an ingredient that has it";
            problems.push(Problem::new(ProblemKind::Recipe, message).tensor(name).hint(hint));
        }
        remarks.tensors(&giver.root, problems, "tensors cannot be taken as asked");
    }
}

/// The names that a pattern matches.
fn matched<'a>(
    option: &str,
    pattern: &str,
    names: &BTreeSet<&'a str>,
    remarks: &mut Remarks,
) -> Vec<&'a str> {
    let found: Vec<&str> = names.iter().copied().filter(|name| glob::matches(pattern, name)).collect();
    if found.is_empty() {
        let message =
            format!("{option}: the pattern `{}` matches no tensor of any ingredient", shown(pattern));
        let near: Vec<String> = near(pattern, names).into_iter().map(str::to_owned).collect();
        let hint = match near.as_slice() {
            [] => "`*` is any run of characters, `?` any one; a pattern must match the whole name".to_owned(),
            near => format!("near: {}", listing(near)),
        };
        remarks.problem(Problem::new(ProblemKind::Recipe, message).hint(hint));
    }
    found
}

/// The names that have the longest run of characters in common with a pattern.
fn near<'a>(pattern: &str, names: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let pattern: Vec<char> = pattern.chars().take(LOOKED_AT).collect();
    let mut ranked: Vec<(usize, &str)> = names
        .iter()
        .take(LOOKED_THROUGH)
        .map(|name| (in_common(&pattern, name), *name))
        .filter(|(length, _)| *length >= IN_COMMON)
        .collect();
    ranked.sort_by_key(|(length, name)| (std::cmp::Reverse(*length), name.len()));
    ranked.into_iter().take(NEAR).map(|(_, name)| name).collect()
}

/// The length of the longest run of characters that both have.
fn in_common(pattern: &[char], name: &str) -> usize {
    // Lengths of the runs that end at each character of the pattern and at the last one of the name.
    let mut ends = vec![0usize; pattern.len() + 1];
    let mut longest = 0;
    for character in name.chars().take(LOOKED_AT) {
        for place in (0..pattern.len()).rev() {
            ends[place + 1] = if pattern[place] == character { ends[place] + 1 } else { 0 };
            longest = longest.max(ends[place + 1]);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::near;

    #[test]
    fn near_names_share_a_run_of_characters() {
        let names = BTreeSet::from(["mtp.fc.weight", "mtp.norm.weight", "lm_head.weight", "model.w"]);
        assert_eq!(near("mtp.fc.bias", &names), ["mtp.fc.weight", "mtp.norm.weight"]);
        assert_eq!(near("zzz", &names), Vec::<&str>::new());
        assert_eq!(near("", &names), Vec::<&str>::new());
    }
}
