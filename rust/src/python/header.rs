//! `header(...)`: the tensors of one file.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;

use crate::checkpoint::{Checkpoint, MAX_HEADERS_BYTES, OpenOptions};
use crate::error::{Error, Problem, ProblemKind};

/// Name, dtype, shape, and where in the file it begins.
type Stored = (String, &'static str, Vec<u64>, u64);

#[pyfunction]
pub(super) fn header(path: PathBuf) -> PyResult<Vec<Stored>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Problem::new(ProblemKind::Checkpoint, "expected a file").at(&path));
    let options = OpenOptions { follow_links: true, ..OpenOptions::default() };
    let found = name
        .and_then(|name| Checkpoint::open_shard(folder, name, options, &mut MAX_HEADERS_BYTES.clone()))
        .map_err(Error::from)?;
    let stored = |tensor: crate::checkpoint::TensorInfo| {
        (tensor.name, tensor.dtype.name(), tensor.shape, tensor.offset)
    };
    Ok(found.tensors.into_iter().map(stored).collect())
}
