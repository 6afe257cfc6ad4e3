//! `plan(...)` and the class `Plan`.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::{Value, json};

use super::adapters::{self, Adapting};
use super::args::{self, Numerators, Whole};
use super::carrier::PyCarrier;
use super::interrupt::{run_interruptible, run_with_errands};
use super::remote::{self, RemoteShard};
use crate::checkpoint::OpenOptions;
use crate::error::Result;
use crate::kernels::Kernels;
use crate::merge::{self, MergeOptions, MergeReport, Provenance};
use crate::plan::{self as planning, Choices, MergeRequest, PlanOptions, Recipe, Row};
use crate::sink::Carrier;

/// Pattern, numerators, whole.
type RowArguments = (String, Numerators, Whole);

/// A dictionary with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches, set by name")]
pub(super) struct Planning {
    dtype: Option<String>,
    max_shard_size: Option<u64>,
    config_from: usize,
    overwrite: bool,
    allow_different_tokenizers: bool,
    allow_different_configs: bool,
    copy_code: Option<bool>,
    follow_links: bool,
    ignore_unreferenced: bool,
    leave_out: Vec<String>,
    /// Pattern and number of an ingredient.
    take: Vec<(String, usize)>,
    makes_parent: bool,
    #[pyo3(default)]
    sent: bool,
    skip_space_check: bool,
    remarks: Vec<String>,
    #[pyo3(default)]
    remote: Vec<RemoteShard>,
    #[pyo3(default)]
    refresh: Option<Py<PyAny>>,
    #[pyo3(default)]
    adapters: Vec<Adapting>,
}

/// An object with these attributes: `MergeOptions` of Python.
#[derive(FromPyObject)]
struct Executing {
    num_threads: Option<usize>,
    chunk_bytes: Option<u64>,
    io: String,
    cache: String,
    kernels: Option<String>,
    sync: bool,
    digests: String,
    differences: bool,
    nonfinite: String,
    restart: bool,
}

#[pyfunction]
pub(super) fn plan(
    py: Python<'_>,
    ingredients: Vec<PathBuf>,
    recipes: Vec<(PathBuf, Vec<RowArguments>)>,
    options: Planning,
) -> PyResult<PyPlan> {
    let remarks = options.remarks;
    let objects = remote::objects(options.remote, options.refresh)?;
    let adapters = adapters::adapters(options.adapters, ingredients.len())?;
    let options = PlanOptions {
        dtype: args::float_dtype(options.dtype.as_deref())?,
        max_shard_size: options.max_shard_size,
        config_from: options.config_from,
        overwrite: options.overwrite,
        allow_different_tokenizers: options.allow_different_tokenizers,
        allow_different_configs: options.allow_different_configs,
        copy_code: options.copy_code,
        choices: Choices { leave_out: options.leave_out, take: options.take },
        makes_parent: options.makes_parent,
        sent: options.sent,
        skip_space_check: options.skip_space_check,
        open: OpenOptions {
            follow_links: options.follow_links,
            ignore_unreferenced: options.ignore_unreferenced,
        },
    };
    let recipe = |(output, rows): (PathBuf, Vec<RowArguments>)| -> PyResult<Recipe> {
        let row = |(pattern, numerators, whole): RowArguments| {
            Ok(Row { pattern, mixture: numerators.over(whole)? })
        };
        Ok(Recipe { output, rows: rows.into_iter().map(row).collect::<PyResult<_>>()? })
    };
    let recipes = recipes.into_iter().map(recipe).collect::<PyResult<_>>()?;
    let request = MergeRequest { ingredients, recipes, objects: objects.clone(), adapters, options };
    let work = |control: &_| {
        let _session = objects.session(control);
        planning::make(request)
    };
    let mut plan = run_interruptible(py, |_, _| Ok(()), work)?;
    plan.warnings.splice(0..0, remarks);
    Ok(PyPlan(plan))
}

#[pyfunction]
pub(super) fn config_differences(
    ingredients: Vec<PathBuf>,
    follow_links: bool,
    ignore_unreferenced: bool,
) -> Vec<String> {
    planning::config_differences(&ingredients, OpenOptions { follow_links, ignore_unreferenced })
}

#[pyclass(frozen, name = "Plan", module = "soce._core")]
pub(super) struct PyPlan(planning::Plan);

#[pymethods]
impl PyPlan {
    #[pyo3(signature = (*, kernels))]
    fn to_json(&self, kernels: Option<&str>) -> PyResult<String> {
        let num_threads = crate::threads::default_threads();
        let mut json = self.0.to_json();
        json["num_threads"] = num_threads.into();
        json["memory_bytes"] = merge::Load::of(&self.0).memory_bound(num_threads).into();
        json["kernels"] = Kernels::choose(kernels)?.name.into();
        Ok(json.to_string())
    }

    #[pyo3(signature = (*, digests, differences))]
    fn finished_shards(&self, digests: &str, differences: bool) -> PyResult<Vec<usize>> {
        Ok(merge::finished_shards(&self.0, args::digests(digests)?, differences)?)
    }

    #[pyo3(signature = (*, digests, differences))]
    fn plan_digests(&self, digests: &str, differences: bool) -> PyResult<Vec<String>> {
        let (plan, digests) = (&self.0, args::digests(digests)?);
        let fingerprint = |recipe| plan.fingerprint(recipe, digests, differences);
        let found: Result<Vec<_>> = (0..plan.request.recipes.len()).map(fingerprint).collect();
        Ok(found?.iter().map(|fingerprint| fingerprint.digest().to_string()).collect())
    }

    #[pyo3(signature = (options, *, recipe_texts, run_info, on_progress, carrier=None))]
    fn execute(
        &self,
        py: Python<'_>,
        options: Executing,
        recipe_texts: Vec<String>,
        run_info: &str,
        on_progress: Option<Py<PyAny>>,
        carrier: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let options = MergeOptions {
            num_threads: options.num_threads,
            chunk_bytes: options.chunk_bytes,
            backend: args::backend(&options.io)?,
            cache: args::cache(&options.cache)?,
            kernels: options.kernels,
            sync: options.sync,
            digests: args::digests(&options.digests)?,
            differences: options.differences,
            allow_non_finite: args::flag("nonfinite", &options.nonfinite, ["error", "warn"])?,
            restart: options.restart,
        };
        let run = serde_json::from_str(run_info).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let provenance = Provenance { recipe_texts, run };
        let total = self.0.total_size * self.0.request.recipes.len() as u64;
        let mut told = None;
        let on_tick = |py: Python<'_>, done: u64| {
            if let Some(on_progress) = &on_progress
                && told.replace(done) != Some(done)
            {
                on_progress.call1(py, (done, total))?;
            }
            Ok(())
        };
        let object = carrier.map(Arc::new);
        let work = |control: &_, errands: &_| {
            let carrier = object.map(|object| PyCarrier { object, errands, control });
            let carrier = carrier.as_ref().map(|carrier| carrier as &dyn Carrier);
            merge::execute(&self.0, &options, &provenance, carrier, control)
        };
        let report = run_with_errands(py, on_tick, work)?;
        Ok(self.report(&report).to_string())
    }
}

impl PyPlan {
    fn report(&self, report: &MergeReport) -> Value {
        let plan = &self.0;
        let root = |ingredient: usize| plan.checkpoints[ingredient].label().to_string_lossy().into_owned();
        let output = |recipe: usize| plan.request.recipes[recipe].output.to_string_lossy();
        let mut non_finite = Vec::new();
        for found in &report.non_finite {
            let tensor = &plan.tensors[found.tensor].name;
            let output = output(found.recipe);
            for (ingredient, counts) in
                found.counts.inputs.iter().enumerate().filter(|(_, counts)| counts.total() > 0)
            {
                non_finite.push(json!({
                    "output": output, "tensor": tensor, "ingredient": root(ingredient), "nan": counts.nan,
                    "pos_inf": counts.positive, "neg_inf": counts.negative, "created": 0, "first": counts.first,
                }));
            }
            if found.counts.created > 0 {
                non_finite.push(json!({
                    "output": output, "tensor": tensor, "ingredient": null, "nan": 0, "pos_inf": 0, "neg_inf": 0,
                    "created": found.counts.created, "first": found.counts.first_created,
                }));
            }
        }
        let described = plan.to_json();
        let warnings = [&plan.warnings[..], &report.warnings].concat();
        json!({
            "outputs": (0..plan.request.recipes.len()).map(output).collect::<Vec<_>>(),
            "seconds": report.seconds,
            "bytes_read": report.bytes_read,
            "bytes_written": report.bytes_written,
            "num_threads": report.num_threads,
            "kernels": report.kernels,
            "counts": described["counts"],
            "side_files": described["side_files"],
            "left_out": described["left_out"],
            "nonfinite": non_finite,
            "warnings": warnings,
            "result_digests": report.result_digests,
            "reused_shards": report.reused_shards,
            "complete_before": report.complete_before.iter().map(|&r| output(r)).collect::<Vec<_>>(),
        })
    }
}
