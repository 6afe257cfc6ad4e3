//! Errors of the core as exceptions: classes written in Python, system errors as `OSError` with errno and file name.

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;

use crate::error::{Error, Problem, ProblemKind};

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        Python::attach(|py| to_exception(py, &error).unwrap_or_else(|raised| raised))
    }
}

fn to_exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    match error {
        Error::Io { path, what, source } => {
            let name = path.to_string_lossy().into_owned();
            let Some(number) = source.raw_os_error() else {
                return Ok(PyOSError::new_err(error.to_string()));
            };
            let text: String = py.import("os")?.call_method1("strerror", (number,))?.extract()?;
            let exception = PyOSError::new_err((number, format!("{what}: {text}"), name));
            if number == libc::EMFILE {
                add_hint(py, &exception, "raise the limit of open files: `ulimit -n 4096`");
            }
            Ok(exception)
        }
        Error::Thread(source) => Ok(PyOSError::new_err((source.raw_os_error(), error.to_string()))),
        Error::Refused(problems) => {
            let first = problems.first().expect("a refusal has a problem");
            let class = py.import("soce.exceptions")?.getattr(class_name(first.kind))?;
            let list: Vec<_> = problems.iter().map(as_tuple).collect();
            let list = pyo3::types::PyTuple::new(py, list)?;
            let exception =
                class.call1((error.to_string(), path_of(first), first.tensor.as_deref(), list))?;
            Ok(PyErr::from_value(exception))
        }
        // Whoever cancels has an exception of their own to raise; this is for a cancelled flag without one.
        Error::Cancelled => Ok(PyKeyboardInterrupt::new_err(())),
        Error::Unfinished { source, hint } => {
            let exception = to_exception(py, source)?;
            add_hint(py, &exception, hint);
            Ok(exception)
        }
    }
}

/// Say on an exception what can be done: a note, which tracebacks show and commands print as a hint.
pub(super) fn add_hint(py: Python<'_>, exception: &PyErr, hint: &str) {
    let add = || -> PyResult<_> {
        let note = py.import("soce.exceptions")?.getattr("Hint")?.call1((hint,))?;
        exception.value(py).call_method1("add_note", (note,))
    };
    // Without the note the exception still says what went wrong.
    let _ = add();
}

fn class_name(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Checkpoint => "CheckpointError",
        ProblemKind::Incompatible => "IncompatibleError",
        ProblemKind::UnsupportedDtype => "UnsupportedDtypeError",
        ProblemKind::Recipe => "RecipeError",
        ProblemKind::Output => "OutputError",
    }
}

fn kind_name(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Checkpoint => "checkpoint",
        ProblemKind::Incompatible => "incompatible",
        ProblemKind::UnsupportedDtype => "unsupported_dtype",
        ProblemKind::Recipe => "recipe",
        ProblemKind::Output => "output",
    }
}

fn path_of(problem: &Problem) -> Option<String> {
    problem.path.as_ref().map(|path| path.to_string_lossy().into_owned())
}

type ProblemTuple<'a> = (&'a str, Option<String>, Option<&'a str>, &'a str, Option<&'a str>);

fn as_tuple(problem: &Problem) -> ProblemTuple<'_> {
    (
        kind_name(problem.kind),
        path_of(problem),
        problem.tensor.as_deref(),
        &problem.message,
        problem.hint.as_deref(),
    )
}
