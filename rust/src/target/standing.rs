//! Whether a soup may be put where it was asked for.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::paths::{existing_parent, is_missing, split};
use super::tree;
use crate::digest::Digest;
use crate::error::{Problem, ProblemKind};
use crate::escape::listing;
use crate::manifest::{Brief, FILE_NAME};

/// What may lie in a soup beside what its manifest lists: its model card, and scores for the Hub.
const CARD: &str = "README.md";
const CARD_SCORES: &str = ".eval_results";
/// Longest card that is looked at.
const LONGEST_CARD: u64 = 1 << 22;

/// What is at the target now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Absent,
    EmptyDirectory,
    /// A soup with nothing else in it.
    Soup,
}

/// Whether a soup may be written at `target`, by all that can be said without a plan.
///
/// # Errors
/// A [`Problem`] of kind [`ProblemKind::Output`]: no parent, a link, a mount point, something there that may not be
/// replaced.
pub fn check_target(target: &Path, overwrite: bool) -> Result<(), Problem> {
    match check_place(target)? {
        (target, Standing::Soup) if !overwrite => Err(occupied(&target)),
        _ => Ok(()),
    }
}

/// The target as its parent calls it, and what stands there, if it may be replaced at all.
fn check_place(target: &Path) -> Result<(PathBuf, Standing), Problem> {
    let (parent, target) = split(target)?;
    check_parent(&parent)?;
    let standing = examine(&target)?;
    check_owner(&parent, &target, standing)?;
    Ok((target, standing))
}

/// What stands at `target`, for a run that may find its own soup there, and that first makes the parent, if
/// `makes_parent`, where it is missing.
pub(crate) fn check_planned(target: &Path, makes_parent: bool) -> Result<Standing, Problem> {
    let (parent, _) = split(target)?;
    if makes_parent && is_missing(&parent) {
        return check_parent(existing_parent(target)).map(|()| Standing::Absent);
    }
    check_place(target).map(|(_, standing)| standing)
}

/// The refusal of a soup that stands where another was asked for.
pub(crate) fn occupied(target: &Path) -> Problem {
    refusal(target, "already exists and holds a soup")
        .hint("choose another name, or replace it with `--overwrite`")
}

fn check_parent(parent: &Path) -> Result<(), Problem> {
    match fs::metadata(parent) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(refusal(parent, "is not a directory").hint("choose another place for the output"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(
                refusal(parent, "does not exist").hint("make this directory first, or correct the path")
            );
        }
        Err(error) => return Err(refusal(parent, format!("cannot be examined: {error}"))),
    }
    if let Err(error) = rustix::fs::access(parent, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
    {
        let message = format!("nothing can be made in it: {}", io::Error::from(error));
        return Err(refusal(parent, message).hint("choose another place for the output"));
    }
    Ok(())
}

/// Refuse what the rename at the end would fail for. A directory that gets another parent is written itself, for its
/// `..` changes; in a sticky directory only the owner of a name, or of the directory, may take it away.
fn check_owner(parent: &Path, target: &Path, standing: Standing) -> Result<(), Problem> {
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{Access, AtFlags, CWD, accessat};
    if standing == Standing::Absent {
        return Ok(());
    }
    let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.mode() & 0o1000 != 0));
    let cannot = |error| refusal(target, format!("cannot be examined: {error}"));
    let ((above, sticky), (own, _)) = (owner(parent).map_err(cannot)?, owner(target).map_err(cannot)?);
    let me = rustix::process::geteuid().as_raw();
    if sticky && me != 0 && ![above, own].contains(&me) {
        let message = "belongs to another user, and only they may replace it in this directory";
        return Err(refusal(target, message).hint("choose another name"));
    }
    if standing == Standing::Soup
        && let Err(error) = accessat(CWD, target, Access::WRITE_OK, AtFlags::EACCESS)
    {
        let message = format!("cannot be replaced: {}", io::Error::from(error));
        return Err(refusal(target, message).hint("make it writable (`chmod u+w`), or choose another name"));
    }
    Ok(())
}

/// What is at `target`, or why it stays there.
pub(crate) fn examine(target: &Path) -> Result<Standing, Problem> {
    let by_hand = "choose another name, or remove it by hand";
    let metadata = match fs::symlink_metadata(target) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Absent),
        Err(error) => return Err(refusal(target, format!("cannot be examined: {error}"))),
    };
    if metadata.is_symlink() {
        return Err(refusal(target, "is a symbolic link").hint("give the path that it leads to"));
    }
    if !metadata.is_dir() {
        return Err(refusal(target, "already exists and is not a directory").hint(by_hand));
    }
    if is_mount(target) {
        return Err(refusal(target, "is a mount point").hint("give a directory inside it"));
    }
    let found = tree::list(target).map_err(|error| refusal(target, format!("cannot be listed: {error}")))?;
    if found.is_empty() {
        return Ok(Standing::EmptyDirectory);
    }
    if !found.files.iter().any(|name| name == FILE_NAME) {
        return Err(refusal(target, "already exists, is not empty and is not a soup").hint(by_hand));
    }
    let listed = files_of(target)?;
    let belongs = belongs(target)?;
    let own = |name: &&String| !belongs(name);
    let directory = |name: &&String| {
        *name != CARD_SCORES && !listed.iter().any(|file| file.starts_with(&format!("{name}/")))
    };
    let unlisted: Vec<&str> = (found.files.iter().filter(own))
        .chain(found.directories.iter().filter(directory))
        .chain(&found.others)
        .map(String::as_str)
        .collect();
    if unlisted.is_empty() {
        return Ok(Standing::Soup);
    }
    let message = format!("already exists and holds what its manifest does not list: {}", listing(&unlisted));
    Err(refusal(target, message).hint("move these files elsewhere, or choose another name"))
}

/// Tells whether a file belongs to the soup at `directory`, by its manifest or as its card; nothing does if there is none.
pub(crate) fn belongs(directory: &Path) -> Result<impl Fn(&str) -> bool, Problem> {
    let listed = match fs::symlink_metadata(directory.join(FILE_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        _ => Some(files_of(directory)?),
    };
    Ok(move |name: &str| {
        let Some(listed) = &listed else { return false };
        name == FILE_NAME || listed.contains(name) || is_card(directory, name)
    })
}

/// The names that the manifest of the soup in `directory` lists, relative to it.
fn files_of(directory: &Path) -> Result<BTreeSet<String>, Problem> {
    let refuse = |what: String| {
        let hint = "choose another name, or remove the directory by hand";
        refusal(&directory.join(FILE_NAME), what).hint(hint)
    };
    let files = Brief::of(directory).map_err(refuse)?.files();
    files.ok_or_else(|| refuse("lists no `result.files`".to_owned()))
}

/// Whether this file is part of a model card as soce has written it. A card's last line is a comment with the SHA-256 of
/// all before it, so one that holds a word of anybody else is not taken for soce's own.
fn is_card(target: &Path, name: &str) -> bool {
    let scores = name.strip_prefix(CARD_SCORES).is_some_and(|rest| {
        rest.starts_with('/') && Path::new(rest).extension().is_some_and(|extension| extension == "yaml")
    });
    if name != CARD && !scores {
        return false;
    }
    let path = target.join(name);
    let is_short =
        fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= LONGEST_CARD);
    is_short && fs::read(&path).is_ok_and(|bytes| is_sealed(&bytes))
}

/// Whether the last line says the digest of all before it.
fn is_sealed(bytes: &[u8]) -> bool {
    let Some(text) = bytes.strip_suffix(b"\n") else { return false };
    let start = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let (body, last) = text.split_at(start);
    let digest = Digest::sha256(body);
    let seal = format!("soce:seal sha256:{digest}");
    last == format!("<!-- {seal} -->").as_bytes() || last == format!("# {seal}").as_bytes()
}

pub(crate) fn refusal(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Output, message).at(path)
}

/// A rename onto a mount point fails, with EBUSY, after all the work.
fn is_mount(directory: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        statx(CWD, directory, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
            .is_ok_and(|answer| answer.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(text: &str) -> String {
        format!("{text}<!-- soce:seal sha256:{} -->\n", Digest::sha256(text.as_bytes()))
    }

    /// A soup that lists nothing, with one more file in it.
    fn standing(name: &str, content: &str) -> Result<Standing, Problem> {
        let target = tempfile::tempdir().expect("a temporary directory");
        fs::write(target.path().join(FILE_NAME), r#"{"result": {"files": []}}"#).expect("a new file");
        let path = target.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a new directory");
        fs::write(path, content).expect("a new file");
        examine(target.path())
    }

    #[test]
    fn a_card_that_soce_has_written_belongs_to_the_soup() {
        let yaml = sealed("- value: 1\n").replace("<!-- ", "# ").replace(" -->", "");
        assert_eq!(standing("README.md", &sealed("# soup\n")).expect("a soup"), Standing::Soup);
        assert_eq!(standing(".eval_results/soce.yaml", &yaml).expect("a soup"), Standing::Soup);
    }

    #[test]
    fn a_card_with_a_word_of_somebody_else_stays() {
        let card = sealed("# soup\n");
        for (name, content) in [
            ("README.md", String::new()),
            ("README.md", "\n".to_owned()),
            ("README.md", "# soup\n".to_owned()),
            ("README.md", card.replace("# soup", "# my soup")),
            ("README.md", format!("{card}More.\n")),
            ("README.md", format!("{card}\n")),
            ("README.md", card.trim_end().to_owned()),
            ("OTHER.md", card.clone()),
            (".eval_results/soce.txt", card.clone()),
            (".eval_results/mine.yaml", "- value: 1\n".to_owned()),
            ("x/README.md", card.clone()),
        ] {
            let problem = standing(name, &content).expect_err(name);
            let top = name.split('/').next().expect("a name");
            assert!(problem.to_string().contains(top), "{name}: {problem}");
        }
    }
}
