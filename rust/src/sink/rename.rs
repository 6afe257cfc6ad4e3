//! Renames that say what may be at the destination.

use std::io;
use std::path::Path;

/// Rename a directory to a name that nothing has. Where the system cannot promise that, a plain rename still refuses to
/// replace anything but an empty directory.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match with_flags(from, to, rustix::fs::RenameFlags::NOREPLACE) {
        Err(error) if flags_unsupported(&error) => {}
        answer => return answer,
    }
    std::fs::rename(from, to)
}

/// Exchange two directories.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    with_flags(one, other, rustix::fs::RenameFlags::EXCHANGE)
}

/// The same by two renames, where an exchange is not supported: what was at `target` goes to `old`. On an error the
/// target is as before; a process killed in between leaves both directories complete.
pub(super) fn move_aside(payload: &Path, target: &Path, old: &Path) -> io::Result<()> {
    rename_new(target, old)?;
    rename_new(payload, target).or_else(|error| {
        rename_new(old, target)?;
        Err(error)
    })
}

/// Whether the filesystem or the kernel does not know such renames.
pub(super) fn flags_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

fn with_flags(from: &Path, to: &Path, flags: rustix::fs::RenameFlags) -> io::Result<()> {
    rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn two_renames_replace_a_directory_or_leave_it() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let [payload, target, old] = ["payload", "target", "old"].map(|name| parent.path().join(name));
        fs::create_dir(&target).expect("a new directory");
        fs::write(target.join("a"), "old").expect("a new file");
        move_aside(&payload, &target, &old).expect_err("there is no payload");
        assert_eq!(fs::read_to_string(target.join("a")).expect("the old file"), "old");

        fs::create_dir(&payload).expect("a new directory");
        fs::write(payload.join("a"), "new").expect("a new file");
        move_aside(&payload, &target, &old).expect("nothing is in the way");
        assert_eq!(fs::read_to_string(target.join("a")).expect("the new file"), "new");
        assert_eq!(fs::read_to_string(old.join("a")).expect("the old file"), "old");
        assert!(!payload.exists());
    }

    #[test]
    fn a_new_name_is_never_one_that_exists() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let [from, to] = ["from", "to"].map(|name| parent.path().join(name));
        for directory in [&from, &to] {
            fs::create_dir(directory).expect("a new directory");
            fs::write(directory.join("a"), "").expect("a new file");
        }
        rename_new(&from, &to).expect_err("the name is taken");
        assert!(from.exists());
    }
}
