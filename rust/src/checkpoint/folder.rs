//! Names across the folders of a checkpoint: what lies in the folder of a part is called by a path within the checkpoint.

use crate::escape::shown;

/// Deepest folder of a part, counted from the checkpoint's own.
pub(crate) const MAX_DEPTH: usize = 4;
/// Longest name of a folder.
const MAX_NAME_BYTES: usize = 255;

/// The name of a file or a tensor of the part in `folder`, within the checkpoint.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The same within its part.
pub(crate) fn within<'a>(folder: &str, name: &'a str) -> &'a str {
    if folder.is_empty() {
        return name; // which may begin with a `/`, if it is that of a tensor
    }
    name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

/// The folder that a file of a checkpoint lies in; empty for the checkpoint's own.
pub(crate) fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// What is wrong with the path of a part.
pub(crate) fn check_folder(folder: &str) -> Result<(), String> {
    let wrong = |name: &str| {
        matches!(name, "" | "." | "..")
            || name.starts_with('.')
            || name.contains(['\\', ':'])
            || name.chars().any(char::is_control)
            || name.len() > MAX_NAME_BYTES
    };
    if !folder.split('/').any(wrong) && folder.split('/').count() <= MAX_DEPTH {
        return Ok(());
    }
    let expected = "expected the path of a folder inside the checkpoint";
    Err(format!("{expected}, at most {MAX_DEPTH} deep, got `{}`", shown(folder)))
}

#[cfg(test)]
mod tests {
    use super::{check_folder, folder_of, join, within};

    #[test]
    fn names_within_a_part_and_within_the_checkpoint() {
        for (folder, name, full) in [("", "w", "w"), ("a/b", "w", "a/b/w")] {
            assert_eq!(join(folder, name), full);
            assert_eq!((folder_of(full), within(folder, full)), (folder, name));
        }
        for (folder, name, full) in [("", "/w", "/w"), ("a", "/w", "a//w"), ("a", "a/w", "a/a/w")] {
            assert_eq!((join(folder, name).as_str(), within(folder, full)), (full, name));
        }
    }

    #[test]
    fn folders_stay_inside() {
        for folder in ["unet", "0_Router/query_0_Dense", "a/b/c/d", "2_Dense v1.0"] {
            assert_eq!(check_folder(folder), Ok(()), "{folder}");
        }
        for folder in
            ["/etc", "..", "a/../..", "a//b", "./a", "a/", "a\\b", "C:a", "a\u{1b}", ".git", "a/b/c/d/e"]
        {
            assert!(check_folder(folder).is_err(), "{folder}");
        }
        assert!(check_folder(&"x".repeat(256)).is_err());
    }
}
