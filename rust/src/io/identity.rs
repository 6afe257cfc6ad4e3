//! Whether a file is still the one whose header was read.

use std::path::Path;

use crate::checkpoint::Identity;
use crate::error::{Problem, ProblemKind};

/// The refusal that names every field in which `found` differs, if one does.
pub(super) fn compare(path: &Path, expected: &Identity, found: &Identity) -> Option<Problem> {
    let mut changes = Vec::new();
    let mut field = |name: &str, old: i128, new: i128| {
        if old != new {
            changes.push(format!("{name} was {old}, is {new}"));
        }
    };
    field("size", expected.size.into(), found.size.into());
    field("mtime", expected.mtime_ns, found.mtime_ns);
    field("device", expected.device.into(), found.device.into());
    field("inode", expected.inode.into(), found.inode.into());
    field("ctime", expected.ctime_ns, found.ctime_ns);
    (!changes.is_empty())
        .then(|| changed(path, &format!("changed since its header was read: {}", changes.join(", "))))
}

/// A refusal because somebody else touched an input.
pub(super) fn changed(path: &Path, message: &str) -> Problem {
    Problem::new(ProblemKind::Checkpoint, message)
        .at(path)
        .hint("let whatever writes to this checkpoint finish, then run again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_field_is_named() {
        let old = Identity { device: 1, inode: 2, size: 3, mtime_ns: 4, ctime_ns: 5 };
        assert_eq!(compare(Path::new("a"), &old, &old), None);
        let new = Identity { size: 30, mtime_ns: 40, ..old.clone() };
        let problem = compare(Path::new("a"), &old, &new).expect("two fields differ");
        assert_eq!(
            problem.to_string(),
            "`a`: changed since its header was read: size was 3, is 30, mtime was 4, is 40"
        );
    }
}
