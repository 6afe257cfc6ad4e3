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
use crate::sink::staging;

use super::Request;
use super::findings::{Findings, named};

/// Longest file name of the usual filesystems.
const MAX_NAME_BYTES: usize = 255;
/// What is appended to a target's name while it is being made.
pub(super) const PARTIAL_SUFFIX: &str = ".soce-partial";

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
    let mut places = Vec::with_capacity(request.recipes.len());
    for recipe in &request.recipes {
        match Place::new(&recipe.output) {
            Ok(place) => places.push(place),
            Err(problem) => findings.problem(problem),
        }
    }
    for (i, place) in places.iter().enumerate() {
        let relation = held.iter().find_map(|held| Some((place.relation(held)?, &held.checkpoint.root)));
        if let Some((relation, root)) = relation {
            findings.problem(problem(place.output, format!("{relation} the ingredient {}", named(root))));
        } else if let Some((relation, other)) =
            places[..i].iter().find_map(|other| Some((place.near(other)?, other.output)))
        {
            findings.problem(problem(place.output, format!("{relation} the output {}", named(other))));
        } else if let Err(problem) = staging::check_target(place.output, request.options.overwrite) {
            findings.problem(problem);
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
    fn new(output: &'a Path) -> Result<Self, Problem> {
        let Some(name) = output.file_name() else {
            return Err(problem(output, "expected the name of a directory to be made"));
        };
        let most = MAX_NAME_BYTES - PARTIAL_SUFFIX.len();
        if name.len() > most {
            let message = format!("expected a name of at most {most} bytes, got {}", name.len());
            return Err(problem(output, message).hint("choose a shorter name"));
        }
        let parent = parent(output);
        let refuse = |message: String| Problem::new(ProblemKind::Output, message).at(output);
        let metadata = fs::metadata(parent).map_err(|error| {
            refuse(format!("the parent directory {} cannot be used: {error}", named(parent)))
                .hint("make it first, with `mkdir -p`")
        })?;
        if !metadata.is_dir() {
            return Err(refuse(format!("the parent {} is not a directory", named(parent))));
        }
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        let writable = rustix::fs::access(parent, access);
        let canonical = writable.map_err(std::io::Error::from).and_then(|()| parent.canonicalize());
        let canonical = canonical.map_err(|error| {
            refuse(format!("the parent directory {} cannot be written to: {error}", named(parent)))
        })?;
        let above = canonical.ancestors().filter_map(id).collect();
        Ok(Self { output, own: id(output), above, canonical: canonical.join(name) })
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
        let contains = held.canonical.iter().any(around) || self.own.is_some_and(|own| held.above.contains(&own));
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
        let paths = std::iter::once(&checkpoint.root).chain(checkpoint.shards.iter().map(|shard| &shard.path));
        let canonical: Vec<PathBuf> = paths.filter_map(|path| path.canonicalize().ok()).collect();
        let mut ids: HashSet<Id> =
            checkpoint.shards.iter().map(|shard| (shard.identity.device, shard.identity.inode)).collect();
        ids.extend(id(&checkpoint.root));
        let directories: HashSet<&Path> = canonical.iter().flat_map(|path| path.ancestors().skip(1)).collect();
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
    name.push(PARTIAL_SUFFIX);
    PathBuf::from(name)
}
