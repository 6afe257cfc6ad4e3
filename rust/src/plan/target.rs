//! Where the output may go: nowhere near an ingredient, nowhere near another output, and only where the parent exists.
//!
//! Paths are compared twice, by name after resolving links and by (device, inode), because a bind mount or a hard
//! link shows the same files under another name.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Problem, ProblemKind};
use crate::sink::{STATE_SUFFIX, check_target, has_state};

use super::Request;
use super::findings::{Findings, named};

/// Device and inode.
type Id = (u64, u64);

/// An output directory that may not exist yet.
struct Place<'a> {
    output: &'a Path,
    canonical: PathBuf,
    /// The target itself, seen through links, if it exists.
    own: Option<Id>,
    /// Its parent, the parent's parent, and so on.
    above: HashSet<Id>,
}

/// An ingredient's directory and files.
struct Held<'a> {
    checkpoint: &'a Checkpoint,
    /// Resolved paths of the directory or file given, and of every shard.
    canonical: Vec<PathBuf>,
    ids: HashSet<Id>,
    /// Every directory above one of them.
    above: HashSet<Id>,
}

/// Check all outputs; space is looked at later, when sizes are known.
pub(super) fn check(request: &Request, checkpoints: &[Checkpoint], findings: &mut Findings) {
    let held: Vec<Held<'_>> = checkpoints.iter().map(Held::new).collect();
    let places: Vec<Option<Place<'_>>> =
        request.recipes.iter().map(|recipe| Place::new(&recipe.output)).collect();
    // An interrupted run may have published some of its outputs; the next one looks at them under its lock.
    let interrupted = request.recipes.iter().any(|recipe| has_state(&recipe.output));
    for (i, recipe) in request.recipes.iter().enumerate() {
        let output = recipe.output.as_path();
        let place = places[i].as_ref();
        let near_ingredient =
            || held.iter().find_map(|held| Some((place?.relation(held)?, &held.checkpoint.root)));
        let near_output =
            || places[..i].iter().flatten().find_map(|other| Some((place?.near(other)?, other.output)));
        if let Some((relation, root)) = near_ingredient() {
            findings.problem(problem(output, format!("{relation} the ingredient {}", named(root))));
        } else if let Some((relation, other)) = near_output() {
            findings.problem(problem(output, format!("{relation} the output {}", named(other))));
        } else if let Err(problem) = check_target(output, request.options.overwrite || interrupted) {
            findings.problem(problem);
        } else if place.is_none() {
            findings.problem(problem(output, "its parent directory cannot be resolved"));
        }
    }
}

fn problem(output: &Path, message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Output, message).at(output).hint("choose another output directory")
}

/// The directory in which an output is made.
pub(super) fn parent(output: &Path) -> &Path {
    match output.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => output,
    }
}

impl<'a> Place<'a> {
    /// `None` where [`check_target`] has a reason to refuse.
    fn new(output: &'a Path) -> Option<Self> {
        let canonical = parent(output).canonicalize().ok()?;
        let above = canonical.ancestors().filter_map(id).collect();
        Some(Self { output, own: id(output), above, canonical: canonical.join(output.file_name()?) })
    }

    /// How the target lies to an ingredient, if they touch.
    fn relation(&self, held: &Held<'_>) -> Option<&'static str> {
        let is = |path: &PathBuf| *path == self.canonical;
        if held.canonical.iter().any(is) || self.own.is_some_and(|own| held.ids.contains(&own)) {
            return Some("is");
        }
        let inside = |path: &PathBuf| self.canonical.starts_with(path);
        if held.canonical.iter().any(inside) || !held.ids.is_disjoint(&self.above) {
            return Some("lies inside");
        }
        let around = |path: &PathBuf| path.starts_with(&self.canonical);
        let contains =
            held.canonical.iter().any(around) || self.own.is_some_and(|own| held.above.contains(&own));
        contains.then_some("contains")
    }

    /// How the target lies to another output, if they touch.
    fn near(&self, other: &Self) -> Option<&'static str> {
        let same = |a: Option<Id>, b: Option<Id>| a.is_some() && a == b;
        let inside = |a: &Self, b: &Self| {
            a.canonical.starts_with(&b.canonical)
                || b.own.is_some_and(|own| a.above.contains(&own))
                || a.canonical == partial(&b.canonical)
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

impl<'a> Held<'a> {
    fn new(checkpoint: &'a Checkpoint) -> Self {
        let paths =
            std::iter::once(&checkpoint.root).chain(checkpoint.shards.iter().map(|shard| &shard.path));
        let canonical: Vec<PathBuf> = paths.filter_map(|path| path.canonicalize().ok()).collect();
        let mut ids: HashSet<Id> =
            checkpoint.shards.iter().map(|shard| (shard.identity.device, shard.identity.inode)).collect();
        ids.extend(id(&checkpoint.root));
        let directories: HashSet<&Path> =
            canonical.iter().flat_map(|path| path.ancestors().skip(1)).collect();
        let above = directories.into_iter().filter_map(id).filter(|id| !ids.contains(id)).collect();
        Self { checkpoint, canonical, ids, above }
    }
}

fn id(path: impl AsRef<Path>) -> Option<Id> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Where the output `target` is made before it gets its name.
pub(super) fn partial(target: &Path) -> PathBuf {
    let mut name: OsString = target.as_os_str().to_owned();
    name.push(STATE_SUFFIX);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::parent;

    #[test]
    fn a_bare_name_is_made_in_the_current_directory() {
        assert_eq!(parent(Path::new("out")), Path::new("."));
        assert_eq!(parent(Path::new("a/out")), Path::new("a"));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }
}
