//! Free space: what all outputs need on each filesystem, against what is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::{Error, Problem, ProblemKind, Result};
use crate::target::{TargetPaths, existing_parent, tree};

use super::Plan;
use super::remarks::Remarks;

/// Compare free space with what every output that is still to be made needs on this disk plus 1 %, less what an interrupted run
/// already holds.
pub(super) fn check(plan: &Plan, remarks: &mut Remarks) -> Result<()> {
    if plan.request.options.skip_space_check {
        return Ok(());
    }
    let bytes = plan.disk_bytes_per_output();
    let with_margin = bytes.saturating_add(bytes.div_ceil(100));
    let mut needed: BTreeMap<u64, (&Path, u64)> = BTreeMap::new();
    let recipes = plan.request.recipes.iter().enumerate();
    for (_, recipe) in recipes.filter(|(number, _)| !plan.complete.contains(number)) {
        let parent = existing_parent(&recipe.output);
        let metadata = fs::metadata(parent).map_err(|error| Error::io(parent, "cannot look at", error))?;
        let held = held(&TargetPaths::of(&recipe.output).payload);
        let entry = needed.entry(metadata.dev()).or_insert((parent, 0));
        entry.1 = entry.1.saturating_add(with_margin.saturating_sub(held));
    }
    for (parent, needed) in needed.into_values() {
        let found = rustix::fs::statvfs(parent)
            .map_err(|error| Error::io(parent, "cannot ask for space", error.into()))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        remarks.problems.extend(missing(parent, needed, free, plan.request.options.sent));
    }
    Ok(())
}

/// A soup that is `sent` lies here only until it is sent.
fn missing(parent: &Path, needed: u64, free: u64, sent: bool) -> Option<Problem> {
    let missing = needed.checked_sub(free).filter(|&missing| missing > 0)?;
    let message = format!("not enough space: {needed} bytes needed, {free} free, {missing} missing");
    let elsewhere = if sent { "another folder with `--work-dir`" } else { "an output elsewhere" };
    let hint = format!("make room, or choose {elsewhere}");
    Some(Problem::new(ProblemKind::Output, message).at(parent).hint(hint))
}

/// Bytes on disk that files of an earlier, interrupted run already hold.
fn held(payload: &Path) -> u64 {
    let Ok(found) = tree::list(payload) else { return 0 };
    let files = found.files.iter().filter_map(|name| fs::symlink_metadata(payload.join(name)).ok());
    files.map(|file| file.blocks().saturating_mul(512).min(file.size())).sum()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{held, missing};

    #[test]
    fn what_an_interrupted_run_holds_is_what_its_files_take_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(held(&folder.path().join("payload")), 0);
        std::fs::write(folder.path().join("a"), [1; 4096]).unwrap();
        std::fs::write(folder.path().join("b"), [1; 100]).unwrap();
        std::fs::File::create(folder.path().join("sparse")).unwrap().set_len(1 << 30).unwrap();
        std::fs::create_dir(folder.path().join("part")).unwrap();
        std::fs::write(folder.path().join("part/c"), [1; 10]).unwrap();
        assert_eq!(held(folder.path()), 4206);
    }

    #[test]
    fn missing_space_is_told_in_bytes() {
        let at = |needed, free, sent| missing(Path::new("out"), needed, free, sent);
        let check = |needed: u64, free: u64| at(needed, free, false).map(|p| p.to_string());
        assert_eq!(check(5, 5), None);
        assert_eq!(check(0, 0), None);
        let text = check(1000, 400).unwrap();
        assert_eq!(text, "`out`: not enough space: 1000 bytes needed, 400 free, 600 missing");
        let hint = |sent| at(1000, 400, sent).unwrap().hint.unwrap();
        assert_eq!(hint(false), "make room, or choose an output elsewhere");
        assert_eq!(hint(true), "make room, or choose another folder with `--work-dir`");
    }
}
