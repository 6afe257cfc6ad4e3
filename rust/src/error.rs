//! One error type. Every message names the place (file, tensor), what was expected and found, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::escape::{quoted, shown};

/// Result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a merge did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused an operation on a file.
    #[error("{}: {what}: {source}", quoted(path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done, e.g. "cannot open" or "cannot write at offset 4096".
        what: String,
        /// What the system answered.
        source: io::Error,
    },
    /// Everything found wrong before the first byte was written; never empty.
    #[error("{}", list(.0))]
    Refused(Vec<Problem>),
    /// [`crate::Control::cancel`] was called.
    #[error("cancelled")]
    Cancelled,
    /// The system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// A run failed after it had finished a part of its work.
    #[error("{source}\nhint: {hint}")]
    Unfinished {
        /// Why it failed; never itself unfinished.
        source: Box<Error>,
        /// What the next run can use, and how.
        hint: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl AsRef<Path>, what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), what: what.into(), source }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(vec![problem])
    }
}

impl From<Error> for Problem {
    /// The first reason of an error, for whoever collects them.
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(problems) => problems.into_iter().next().expect("a refusal has a problem"),
            other => Self::new(ProblemKind::Checkpoint, other.to_string()),
        }
    }
}

/// What kind of thing is wrong; each kind is one exception class in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// An ingredient's files are malformed, incomplete or changed: `CheckpointError`.
    Checkpoint,
    /// Ingredients cannot be averaged with each other: `IncompatibleError`.
    Incompatible,
    /// A tensor's dtype cannot be averaged: `UnsupportedDtypeError`.
    UnsupportedDtype,
    /// The recipe (parts, patterns, options) makes no sense: `RecipeError`.
    Recipe,
    /// The output cannot be put where it was asked for: `OutputError`.
    Output,
}

/// One reason for a refusal: where, what, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub kind: ProblemKind,
    /// The file or directory concerned.
    pub path: Option<PathBuf>,
    /// The tensor concerned.
    pub tensor: Option<String>,
    /// One sentence without full stop, in lower case; names from files already escaped.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with neither place nor hint yet.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, path: None, tensor: None, message: message.into(), hint: None }
    }

    /// Name the file.
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.path = Some(path.as_ref().to_owned());
        self
    }

    /// Name the tensor.
    #[must_use]
    pub fn tensor(mut self, name: impl Into<String>) -> Self {
        self.tensor = Some(name.into());
        self
    }

    /// Say what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", quoted(path))?;
        }
        if let Some(tensor) = &self.tensor {
            write!(f, "tensor `{}`: ", shown(tensor))?;
        }
        f.write_str(&self.message)
    }
}

/// Problems as one text: each on its line, each followed by its hint; a hint shared by neighbours is said once.
fn list(problems: &[Problem]) -> String {
    let mut text = String::new();
    for (i, problem) in problems.iter().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        text.push_str(&problem.to_string());
        let repeated = problems.get(i + 1).is_some_and(|next| next.hint == problem.hint);
        if let (Some(hint), false) = (&problem.hint, repeated) {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
    }
    text
}
