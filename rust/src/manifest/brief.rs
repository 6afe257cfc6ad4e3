//! What a manifest says in short, for whoever wants to know what a directory is. Nothing of it is proved.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::document::{FILE_NAME, MAX_BYTES};
use crate::json;

/// The parts that every version writes alike; `None` where one is missing.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Brief {
    pub(crate) result_digest: Option<String>,
    pub(crate) plan_digest: Option<String>,
    #[serde(default)]
    result: BriefResult,
}

#[derive(Debug, Default, Deserialize)]
struct BriefResult {
    files: Option<BTreeSet<String>>,
    #[serde(default)]
    tensors: BTreeMap<String, BriefTensor>,
}

#[derive(Debug, Deserialize)]
struct BriefTensor {
    non_finite: Option<IgnoredAny>,
}

impl Brief {
    /// Of the soup in `directory`, whoever owns the file; of one that cannot be read, nothing.
    pub(crate) fn of_any(directory: &Path) -> Self {
        Self::of(directory).unwrap_or_default()
    }

    /// Of the soup in `directory`, whoever owns the file.
    ///
    /// # Errors
    /// Why there is none, ready to be shown.
    pub(crate) fn of(directory: &Path) -> Result<Self, String> {
        let bytes = read(&directory.join(FILE_NAME))?;
        json::parse(&bytes).map_err(|what| format!("is no manifest: {what}"))
    }

    /// Whether it is the manifest of the run with this fingerprint.
    pub(crate) fn is_of(&self, plan_digest: &str) -> bool {
        self.plan_digest.as_deref() == Some(plan_digest)
    }

    /// Whether any tensor of the soup holds NaN or an infinity.
    pub(crate) fn holds_non_finite(&self) -> bool {
        self.result.tensors.values().any(|tensor| tensor.non_finite.is_some())
    }

    /// The files that belong to the soup beside the manifest, relative to its directory.
    pub(crate) fn files(self) -> Option<BTreeSet<String>> {
        self.result.files
    }
}

/// All bytes of a regular file that is not too long.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    if !fs::symlink_metadata(path).map_err(failed)?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is no manifest: expected at most {MAX_BYTES} bytes, got more"));
    }
    Ok(bytes)
}
