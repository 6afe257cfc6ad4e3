//! Where the output may go: nowhere near an ingredient, nowhere near another output, and only where the parent exists.
//!
//! Paths are compared twice, by name after resolving links and by (device, inode), because a bind mount or a hard
//! link shows the same files under another name.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::paths::{TargetPaths, existing_parent, has_state, is_missing, parent};
use super::standing::{Standing, check_planned};
use crate::checkpoint::Checkpoint;
use crate::error::{Problem, ProblemKind};
use crate::escape::quoted;

/// Device and inode.
type Id = (u64, u64);

/// An output directory that may not exist yet.
struct Output<'a> {
    path: &'a Path,
    canonical: PathBuf,
    /// The target itself, seen through links, if it exists.
    own: Option<Id>,
    /// Its parent, the parent's parent, and so on.
    above: HashSet<Id>,
}

/// An ingredient's directory and files.
struct Ingredient<'a> {
    root: &'a Path,
    /// Resolved paths of the directory or file given, and of every shard.
    canonical: Vec<PathBuf>,
    ids: HashSet<Id>,
    /// Every directory above one of them.
    above: HashSet<Id>,
}

/// Whether soups may be written at all of `outputs`: which hold a soup already that is not to be overwritten, and one
/// problem for each that may not be written even so.
pub(crate) fn check_outputs(
    outputs: &[&Path],
    checkpoints: &[Checkpoint],
    overwrite: bool,
    makes_parent: bool,
) -> (Vec<usize>, Vec<Problem>) {
    let ingredients: Vec<Ingredient<'_>> = checkpoints.iter().map(Ingredient::new).collect();
    let resolved: Vec<Option<Output<'_>>> =
        outputs.iter().map(|path| Output::new(path, makes_parent)).collect();
    // An interrupted run may have published some of its outputs; the next one looks at them under its lock.
    let overwrite = overwrite || outputs.iter().any(|path| has_state(path));
    let mut occupied = Vec::new();
    let mut problems = Vec::new();
    for (i, (&path, output)) in outputs.iter().zip(&resolved).enumerate() {
        let output = output.as_ref();
        let near_ingredient =
            || ingredients.iter().find_map(|other| Some((output?.relation(other)?, other.root)));
        let near_output =
            || resolved[..i].iter().flatten().find_map(|other| Some((output?.near(other)?, other.path)));
        if let Some((relation, root)) = near_ingredient() {
            problems.push(problem(path, format!("{relation} the ingredient {}", quoted(root))));
        } else if let Some((relation, other)) = near_output() {
            problems.push(problem(path, format!("{relation} the output {}", quoted(other))));
        } else {
            match check_planned(path, makes_parent) {
                Err(problem) => problems.push(problem),
                Ok(_) if output.is_none() => {
                    problems.push(problem(path, "its parent directory cannot be resolved"));
                }
                Ok(Standing::Soup) if !overwrite => occupied.push(i),
                Ok(_) => {}
            }
        }
    }
    (occupied, problems)
}

fn problem(output: &Path, message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Output, message).at(output).hint("choose another output directory")
}

impl<'a> Output<'a> {
    /// `None` where [`check_planned`] has a reason to refuse.
    fn new(path: &'a Path, makes_parent: bool) -> Option<Self> {
        let parent = parent(path);
        let canonical = if makes_parent && is_missing(parent) {
            existing_parent(path).canonicalize().ok()?.join(parent.file_name()?)
        } else {
            parent.canonicalize().ok()?
        };
        let above = canonical.ancestors().filter_map(id).collect();
        Some(Self { path, own: id(path), above, canonical: canonical.join(path.file_name()?) })
    }

    /// How the target lies to an ingredient, if they touch.
    fn relation(&self, ingredient: &Ingredient<'_>) -> Option<&'static str> {
        let is = |path: &PathBuf| *path == self.canonical;
        if ingredient.canonical.iter().any(is) || self.own.is_some_and(|own| ingredient.ids.contains(&own)) {
            return Some("is");
        }
        let inside = |path: &PathBuf| self.canonical.starts_with(path);
        if ingredient.canonical.iter().any(inside) || !ingredient.ids.is_disjoint(&self.above) {
            return Some("lies inside");
        }
        let around = |path: &PathBuf| path.starts_with(&self.canonical);
        let contains = ingredient.canonical.iter().any(around)
            || self.own.is_some_and(|own| ingredient.above.contains(&own));
        contains.then_some("contains")
    }

    /// How the target lies to another output, if they touch.
    fn near(&self, other: &Self) -> Option<&'static str> {
        let same = |a: Option<Id>, b: Option<Id>| a.is_some() && a == b;
        let inside = |a: &Self, b: &Self| {
            a.canonical.starts_with(&b.canonical)
                || b.own.is_some_and(|own| a.above.contains(&own))
                || a.canonical == TargetPaths::of(&b.canonical).state
        };
        if self.canonical == other.canonical || same(self.own, other.own) {
            Some("is")
        } else if inside(self, other) {
            Some("lies inside")
        } else {
            inside(other, self).then_some("contains")
        }
    }
}

impl<'a> Ingredient<'a> {
    fn new(checkpoint: &'a Checkpoint) -> Self {
        let paths = std::iter::once(&checkpoint.root).chain(checkpoint.files().map(|shard| &shard.path));
        let canonical: Vec<PathBuf> = paths.filter_map(|path| path.canonicalize().ok()).collect();
        let files = checkpoint.files().filter_map(|shard| shard.identity.file());
        let mut ids: HashSet<Id> = files.map(|file| (file.device, file.inode)).collect();
        ids.extend(id(&checkpoint.root));
        let directories: HashSet<&Path> =
            canonical.iter().flat_map(|path| path.ancestors().skip(1)).collect();
        let above = directories.into_iter().filter_map(id).filter(|id| !ids.contains(id)).collect();
        Self { root: &checkpoint.root, canonical, ids, above }
    }
}

fn id(path: impl AsRef<Path>) -> Option<Id> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
