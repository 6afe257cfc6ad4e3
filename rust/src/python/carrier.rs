//! Where a soup goes that is not to stay on this disk, as Python takes it there: each errand on the thread that called us.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;

use super::interrupt::Errands;
use crate::control::Control;
use crate::error::Result;
use crate::sink::{Carrier, SentShard};

/// An object with the methods of [`Carrier`].
pub(super) struct PyCarrier<'a> {
    pub(super) object: Arc<Py<PyAny>>,
    pub(super) errands: &'a Errands,
    pub(super) control: &'a Control,
}

impl PyCarrier<'_> {
    fn run<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T> + Send + 'static,
    ) -> Result<T> {
        let object = Arc::clone(&self.object);
        self.errands.run(self.control, move |py| errand(object.bind(py)))
    }
}

impl Carrier for PyCarrier<'_> {
    fn begin(&self, plan: &str) -> Result<Option<String>> {
        let plan = plan.to_owned();
        self.run(move |object| object.call_method1("begin", (plan,))?.extract())
    }

    fn still_there(&self, sent: &[SentShard]) -> Result<Vec<bool>> {
        let sent = pairs(sent);
        self.run(move |object| object.call_method1("still_there", (sent,))?.extract())
    }

    fn send(&self, name: &str, file: &Path) -> Result<String> {
        let (name, file) = (name.to_owned(), file.to_owned());
        self.run(move |object| object.call_method1("send", (name, file))?.extract())
    }

    fn complete(&self, payload: &Path, sent: &[SentShard]) -> Result<()> {
        let (payload, sent): (PathBuf, _) = (payload.to_owned(), pairs(sent));
        self.run(move |object| object.call_method1("complete", (payload, sent)).map(drop))
    }
}

fn pairs(sent: &[SentShard]) -> Vec<(String, String)> {
    sent.iter().map(|shard| (shard.name.clone(), shard.receipt.clone())).collect()
}
