//! The paths that belong to an output, by its name alone.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Problem, ProblemKind};

/// What the state directory's name has more than the target's.
const STATE_SUFFIX: &str = ".soce-partial";
/// Where the old directory waits if two directories cannot be exchanged.
const OLD_SUFFIX: &str = ".soce-old";
/// Where whatever came into an old soup while it was replaced is kept.
const KEPT_SUFFIX: &str = ".soce-kept";
/// What is to become the target, within the state directory.
pub(crate) const PAYLOAD: &str = "payload";
/// Longest file name on the filesystems that matter.
const LONGEST_NAME: usize = 255;

/// An output and what a run keeps beside it.
#[derive(Debug)]
pub(crate) struct TargetPaths {
    /// The directory to be made.
    pub(crate) target: PathBuf,
    /// The state directory of a run.
    pub(crate) state: PathBuf,
    /// The directory that becomes the target.
    pub(crate) payload: PathBuf,
    /// Where the old soup waits while it is replaced by two renames.
    pub(crate) old: PathBuf,
}

impl TargetPaths {
    pub(crate) fn of(target: &Path) -> Self {
        let state = with_suffix(target, STATE_SUFFIX);
        let payload = state.join(PAYLOAD);
        Self { target: target.to_owned(), payload, state, old: with_suffix(target, OLD_SUFFIX) }
    }

    /// Names for a directory of what is kept, in the order in which they are tried.
    pub(crate) fn kept(&self) -> impl Iterator<Item = PathBuf> {
        let suffix = |number| if number == 1 { String::new() } else { format!("-{number}") };
        (1..10).map(move |number| with_suffix(&self.target, &format!("{KEPT_SUFFIX}{}", suffix(number))))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether a run is at work at the output `target`, or left something beside it.
pub(crate) fn has_state(target: &Path) -> bool {
    split(target).is_ok_and(|(_, target)| fs::symlink_metadata(TargetPaths::of(&target).state).is_ok())
}

/// The directory in which an output is made.
pub(crate) fn parent(output: &Path) -> &Path {
    match output.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => output,
    }
}

/// The same, or where that is yet to be made, the directory in which it will be.
pub(crate) fn existing_parent(output: &Path) -> &Path {
    let own = parent(output);
    if is_missing(own) { parent(own) } else { own }
}

/// Whether there is nothing of this name, not even a link that leads nowhere.
pub(crate) fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Parent and target, the latter without trailing slash, which would follow a link.
pub(crate) fn split(target: &Path) -> Result<(PathBuf, PathBuf), Problem> {
    let refuse = |message: String| Problem::new(ProblemKind::Output, message).at(target);
    let Some(name) = target.file_name() else {
        let message = "names no directory that can be made".to_owned();
        return Err(refuse(message).hint("give the path of a new directory"));
    };
    let longest = LONGEST_NAME - STATE_SUFFIX.len();
    if name.len() > longest {
        let message = format!("its name has {} bytes, more than {longest}", name.len());
        return Err(refuse(message).hint("choose a shorter name"));
    }
    let parent = parent(target).to_owned();
    let bare = !target.is_absolute() && parent == Path::new(".");
    let target = if bare { name.into() } else { parent.join(name) };
    Ok((parent, target))
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
