//! What planning found wrong or odd, collected so that all of it is reported at once.

use std::path::Path;

use crate::error::{Error, Problem, Result};

/// How many tensors are named for one kind of problem in one ingredient; the rest is counted.
const LISTED: usize = 20;

/// Problems and warnings so far.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// Each is a reason for a refusal.
    pub(super) problems: Vec<Problem>,
    /// Ready to be shown.
    pub(super) warnings: Vec<String>,
}

impl Remarks {
    /// One more reason for a refusal.
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// One more thing to be said.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The same problem of many tensors of the ingredient `root`: twenty of them, then a line `n more tensors ...`, which
    /// would take the place of a single one.
    pub(super) fn tensors(&mut self, root: &Path, mut problems: Vec<Problem>, rest: &str) {
        let told = if problems.len() == LISTED + 1 { LISTED + 1 } else { LISTED };
        let more = problems.len().saturating_sub(told);
        problems.truncate(told);
        let last = problems.last().map(|last| (last.kind, last.hint.clone()));
        self.problems.append(&mut problems);
        if let (Some((kind, hint)), 1..) = (last, more) {
            let mut line = Problem::new(kind, format!("{more} more {rest}")).at(root);
            line.hint = hint;
            self.problems.push(line);
        }
    }

    /// All problems as one error, if there are any.
    pub(super) fn refuse(&mut self) -> Result<()> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Error::Refused(std::mem::take(&mut self.problems)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Remarks;
    use crate::error::{Problem, ProblemKind};

    #[test]
    fn twenty_tensors_are_listed_and_the_rest_counted() {
        let mut remarks = Remarks::default();
        let problem =
            |i: usize| Problem::new(ProblemKind::Incompatible, "missing").tensor(i.to_string()).hint("mend");
        remarks.tensors(Path::new("a"), (0..20).map(problem).collect(), "tensors are missing");
        assert_eq!(remarks.problems.len(), 20);
        remarks.problems.clear();
        remarks.tensors(Path::new("a"), (0..21).map(problem).collect(), "tensors are missing");
        assert_eq!(remarks.problems[20].to_string(), "tensor `20`: missing");
        remarks.problems.clear();
        remarks.tensors(Path::new("a"), (0..25).map(problem).collect(), "tensors are missing");
        assert_eq!(remarks.problems.len(), 21);
        assert_eq!(remarks.problems[20].to_string(), "`a`: 5 more tensors are missing");
        assert_eq!(remarks.problems[20].hint.as_deref(), Some("mend"));
    }
}
