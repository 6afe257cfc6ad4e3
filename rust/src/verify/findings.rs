//! What a verification found.

use std::fmt;
use std::path::Path;

use crate::checkpoint::Shard;
use crate::error::{Problem, ProblemKind};

/// Which comparison a finding comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The manifest by itself.
    Manifest,
    /// Headers, index and names, by themselves and against the manifest.
    Structure,
    /// Files other than shards.
    Files,
    /// Bytes against digests.
    Data,
    /// Values that are not finite.
    NonFinite,
    /// Tensors against what the ingredients give.
    Recompute,
}

impl Check {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Structure => "structure",
            Self::Files => "files",
            Self::Data => "data",
            Self::NonFinite => "non_finite",
            Self::Recompute => "recompute",
        }
    }
}

/// One difference between what is there and what should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it comes from.
    pub check: Check,
    /// File, tensor, expected and got.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

/// What was looked at and what was found.
#[derive(Debug, Default)]
pub struct Verification {
    /// There is a manifest, readable or not.
    pub has_manifest: bool,
    /// Which digests the manifest has: `none`, `tensors` or `full`.
    pub level: Option<&'static str>,
    /// The manifest's, if it is right.
    pub result_digest: Option<String>,
    /// What was looked at, and how many of it.
    pub checked: Vec<(&'static str, u64)>,
    /// Every difference, in the order of the checks, then of files and tensors.
    pub findings: Vec<Finding>,
    /// What is worth saying but no difference.
    pub notes: Vec<String>,
    /// The soup's tensors were read, not only what is said about them.
    pub data_read: bool,
    /// Bytes of tensors and headers read.
    pub bytes_read: u64,
    /// Wall time.
    pub seconds: f64,
}

impl Verification {
    /// Nothing differs.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn add(&mut self, check: Check, problems: impl IntoIterator<Item = Problem>) {
        self.findings.extend(problems.into_iter().map(|problem| Finding { check, problem }));
    }

    pub(super) fn count(&mut self, what: &'static str, number: usize) {
        self.checked.push((what, number as u64));
    }
}

/// A finding about `path`; its kind matters to merges only.
pub(super) fn problem(path: &Path, message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Checkpoint, message).at(path)
}

/// A shard by name, of shards sorted by name.
pub(super) fn named<'a>(shards: &'a [Shard], name: &str) -> Option<&'a Shard> {
    shards.binary_search_by(|shard| shard.name.as_str().cmp(name)).ok().and_then(|place| shards.get(place))
}
