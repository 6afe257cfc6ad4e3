//! Shards that lie on a server, as Python describes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;

use crate::error::Result;
use crate::io::remote::{Description, Objects, Patience, Refresh};

/// A dictionary with these keys.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(super) struct RemoteShard {
    root: PathBuf,
    name: String,
    url: String,
    size: u64,
    etag: Option<String>,
    identity: String,
}

/// The shards; `refresh(root, name)` gives a new URL for one whose URL has expired.
pub(super) fn objects(shards: Vec<RemoteShard>, refresh: Option<Py<PyAny>>) -> Result<Objects> {
    let describe = |RemoteShard { root, name, url, size, etag, identity }| Description {
        root,
        name,
        url,
        size,
        etag,
        identity,
    };
    let refresh = refresh.map(|refresh| {
        let ask = move |root: &Path, name: &str| {
            Python::attach(|py| refresh.call1(py, (root.to_string_lossy(), name))?.extract(py))
                .map_err(|error: PyErr| error.to_string())
        };
        Arc::new(ask) as Arc<Refresh>
    });
    Objects::new(shards.into_iter().map(describe).collect(), refresh.as_ref(), Patience::default())
}
