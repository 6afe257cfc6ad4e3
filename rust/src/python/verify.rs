//! `verify(...)`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use serde_json::{Map, Value, json};

use super::adapters::{self, Adapting};
use super::args;
use super::interrupt::run_interruptible;
use super::remote::{self, RemoteShard};
use crate::verify::{self as verifying, Finding, Verification, VerifyOptions};

/// A dictionary with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct Verifying {
    quick: bool,
    recompute: Option<Vec<PathBuf>>,
    num_threads: Option<usize>,
    io: String,
    follow_links: bool,
    #[pyo3(default)]
    remote: Vec<RemoteShard>,
    #[pyo3(default)]
    refresh: Option<Py<PyAny>>,
    #[pyo3(default)]
    adapters: Vec<Adapting>,
}

#[pyfunction]
#[pyo3(signature = (directory, options, *, on_progress))]
pub(super) fn verify(
    py: Python<'_>,
    directory: PathBuf,
    options: Verifying,
    on_progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let ingredients = options.recompute.as_ref().map_or(0, Vec::len);
    let options = VerifyOptions {
        quick: options.quick,
        recompute: options.recompute,
        objects: remote::objects(options.remote, options.refresh)?,
        adapters: adapters::adapters(options.adapters, ingredients)?,
        num_threads: options.num_threads,
        backend: args::backend(&options.io)?,
        follow_links: options.follow_links,
    };
    let total = AtomicU64::new(0);
    let mut told = None;
    let on_tick = |py: Python<'_>, done: u64| {
        // Before the headers are read nobody knows how much there is to read.
        let total = total.load(Ordering::Relaxed);
        if let Some(on_progress) = &on_progress
            && total > 0
            && told.replace((done, total)) != Some((done, total))
        {
            on_progress.call1(py, (done, total))?;
        }
        Ok(())
    };
    let work = |control: &_| verifying::verify(&directory, &options, control, &total);
    let found = run_interruptible(py, on_tick, work)?;
    Ok(report(&found).to_string())
}

fn report(found: &Verification) -> Value {
    let checked: Map<String, Value> =
        found.checked.iter().map(|(what, number)| ((*what).to_owned(), (*number).into())).collect();
    json!({
        "has_manifest": found.has_manifest,
        "level": found.level,
        "result_digest": found.result_digest,
        "checked": checked,
        "findings": found.findings.iter().map(finding).collect::<Vec<_>>(),
        "notes": found.notes,
        "data_read": found.data_read,
        "bytes_read": found.bytes_read,
        "seconds": found.seconds,
    })
}

fn finding(finding: &Finding) -> Value {
    let problem = &finding.problem;
    json!({
        "check": finding.check.name(),
        "path": problem.path.as_ref().map(|path| path.to_string_lossy()),
        "tensor": problem.tensor,
        "message": problem.message,
        "hint": problem.hint,
    })
}
