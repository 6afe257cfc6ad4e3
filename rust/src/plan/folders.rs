//! Ingredients of several parts: they must have the same ones, and what lies in each folder is compared and copied as for a
//! model of its own.

use std::collections::BTreeMap;

use crate::checkpoint::folder::join;
use crate::checkpoint::{Checkpoint, MODULES, PIPELINE, Part};
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::{quoted, shown};

use super::config::Config;
use super::remarks::Remarks;
use super::side_files::{self, SideFiles};
use super::{MergeRequest, differences, quantised, tied, tokenizer};

const HINT: &str = "ingredients must be loaded by the same classes, each in the same folder";

/// Compare the parts of each ingredient with the first's.
pub(super) fn check(checkpoints: &[Checkpoint], remarks: &mut Remarks) {
    let Some((first, others)) = checkpoints.split_first() else { return };
    for other in others {
        for part in first.parts.iter().filter(|part| class_of(other, part).is_none()) {
            remarks.problem(missing(part, other, first));
        }
        for part in &other.parts {
            match class_of(first, part) {
                None => remarks.problem(missing(part, first, other)),
                Some(class) if class != part.class => {
                    let (expected, got) = (named(class), named(&part.class));
                    let message =
                        format!("expected a {expected}, as in {}, got a {got}", quoted(&first.root));
                    let problem = Problem::new(ProblemKind::Incompatible, message);
                    remarks.problem(problem.at(part.path(&other.root)).hint(HINT));
                }
                Some(_) => {}
            }
        }
    }
}

/// A class in words.
fn named(class: &str) -> String {
    if class.is_empty() { "plain model".to_owned() } else { shown(class) }
}

fn class_of<'a>(checkpoint: &'a Checkpoint, part: &Part) -> Option<&'a str> {
    let found = checkpoint.parts.iter().find(|found| found.folder == part.folder)?;
    Some(&found.class)
}

fn missing(part: &Part, without: &Checkpoint, with: &Checkpoint) -> Problem {
    let place = if part.folder.is_empty() { String::new() } else { format!(" in `{}`", shown(&part.folder)) };
    let message = format!("lacks the {}{place} that {} has", named(&part.class), quoted(&with.root));
    Problem::new(ProblemKind::Incompatible, message).at(&without.root).hint(format!(
        "{HINT}: leave one of the two out of the recipe, or take the part out of `{MODULES}` or `{PIPELINE}` in a copy"
    ))
}

/// Compare configs and tokenizers in every folder below the ingredients' own, and collect what the donor has there. Returns
/// the donor's configs by folder.
pub(super) fn collect(
    request: &MergeRequest,
    checkpoints: &[Checkpoint],
    side: &mut SideFiles,
    remarks: &mut Remarks,
) -> Result<BTreeMap<String, Config>> {
    let donor = request.options.config_from;
    let mut donors = BTreeMap::new();
    for folder in checkpoints.get(donor).map(Checkpoint::folders).unwrap_or_default() {
        let here: Vec<Checkpoint> = checkpoints.iter().map(|checkpoint| checkpoint.within(folder)).collect();
        let mut configs = Config::of_each(&here, request.options.open, remarks);
        quantised::check_configs(&configs, remarks);
        tied::check_flags(&configs, remarks);
        differences::check(&configs, donor, request.options.allow_different_configs, remarks);
        tokenizer::check(&here, &request.options, remarks)?;
        let config = configs.get_mut(donor).and_then(Option::take);
        let SideFiles { files, left_out } =
            side_files::collect(&here[donor], config.as_ref(), &request.options, remarks)?;
        side_files::compare(&here, donor, &files, request.options.open, remarks);
        side.files.extend(files.into_iter().map(|file| file.in_folder(folder)));
        let is_part = |name: &str| checkpoints[donor].folders().contains(name.trim_end_matches('/'));
        let left_out = left_out.iter().map(|name| join(folder, name));
        side.left_out.extend(left_out.filter(|name| !is_part(name)));
        donors.extend(config.map(|config| (folder.to_owned(), config)));
    }
    Ok(donors)
}
