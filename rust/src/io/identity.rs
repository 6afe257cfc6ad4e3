//! What tells one state of a file from another.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::remote::Object;
use crate::error::{Problem, ProblemKind};

/// Which file or object, and in which state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A file here.
    File(FileIdentity),
    /// An object on a server.
    Object(Arc<Object>),
}

impl Identity {
    /// The state of a file that `metadata` tells.
    pub fn of(metadata: &Metadata) -> Self {
        Self::File(FileIdentity::of(metadata))
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.size,
            Self::Object(object) => object.size(),
        }
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&FileIdentity> {
        if let Self::File(file) = self { Some(file) } else { None }
    }

    /// The object, if it is one.
    pub fn object(&self) -> Option<&Arc<Object>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// Whether both are states of one file, or one object.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(a), Self::File(b)) => a.same_file(b),
            (Self::Object(a), Self::Object(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// Which file, and in which state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileIdentity {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Last change of the inode, nanoseconds since 1970.
    pub ctime_ns: i128,
}

impl FileIdentity {
    /// The state that `metadata` tells.
    pub fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether both are states of one file.
    pub(crate) fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Refuse a file that is no longer in this state, naming every field that is another now.
    pub(crate) fn check(&self, path: &Path, now: &Self) -> Result<(), Problem> {
        let fields = [
            ("device", i128::from(self.device), i128::from(now.device)),
            ("inode", i128::from(self.inode), i128::from(now.inode)),
            ("size", i128::from(self.size), i128::from(now.size)),
            ("mtime_ns", self.mtime_ns, now.mtime_ns),
            ("ctime_ns", self.ctime_ns, now.ctime_ns),
        ];
        let changes: Vec<String> = fields
            .into_iter()
            .filter(|(_, before, now)| before != now)
            .map(|(field, before, now)| format!("{field} was {before}, is {now}"))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        Err(changed(path, format!("changed since it was opened: {}", changes.join("; "))))
    }
}

/// The refusal of an input that somebody else touched.
pub(crate) fn changed(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Checkpoint, message)
        .at(path)
        .hint("let whatever writes to this checkpoint finish, then run again; start a server that has it open again too")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_field_is_named() {
        let old = FileIdentity { device: 1, inode: 2, size: 3, mtime_ns: 4, ctime_ns: 5 };
        assert_eq!(old.check(Path::new("a"), &old), Ok(()));
        let new = FileIdentity { size: 30, mtime_ns: 40, ..old.clone() };
        let problem = old.check(Path::new("a"), &new).expect_err("two fields differ");
        assert_eq!(
            problem.to_string(),
            "`a`: changed since it was opened: size was 3, is 30; mtime_ns was 4, is 40"
        );
    }
}
