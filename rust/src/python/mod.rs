//! The Python module `soce._core`: arguments in, plans and reports out. No Python object crosses into the work.
#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

mod adapters;
mod args;
mod buffer;
mod carrier;
mod errors;
mod header;
mod interrupt;
mod memory;
mod plan;
mod remote;
mod verify;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::glob;
use crate::kernels::Kernels;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<plan::PyPlan>()?;
    module.add_class::<buffer::PyMixer>()?;
    module.add_function(wrap_pyfunction!(plan::plan, module)?)?;
    module.add_function(wrap_pyfunction!(plan::config_differences, module)?)?;
    module.add_function(wrap_pyfunction!(verify::verify, module)?)?;
    module.add_function(wrap_pyfunction!(header::header, module)?)?;
    module.add_function(wrap_pyfunction!(matches, module)?)?;
    module.add_function(wrap_pyfunction!(build_info, module)?)?;
    Ok(())
}

/// Whether a recipe's pattern matches the whole of a tensor's name.
#[pyfunction]
fn matches(pattern: &str, name: &str) -> bool {
    glob::matches(pattern, name)
}

/// Version, kernel sets this CPU runs (slowest first) and whether the core was compiled with optimisation.
#[pyfunction]
fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("kernels", Kernels::available().iter().map(|set| set.name).collect::<Vec<_>>())?;
    info.set_item("optimised", !cfg!(debug_assertions))?;
    info.set_item("num_threads", crate::threads::default_threads())?;
    Ok(info)
}
