//! What lies in a directory that may hold a model, by its names.

use std::path::Path;

use super::weight_set::{SHARD, WeightSet};
use crate::error::{Problem, ProblemKind};
use crate::io::platform;
use crate::io::remote::Objects;

/// Other formats of weights. None is ever opened: most of them run code when they are read.
const OTHER_FORMATS: [&str; 10] =
    [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npz", ".h5", ".gguf", ".onnx", ".msgpack"];

/// File names in a directory that matter here, each list sorted.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) shards: Vec<String>,
    pub(super) indexes: Vec<String>,
    pub(super) others: Vec<String>,
    pub(super) folders: Vec<String>,
    pub(super) entries: usize,
}

fn refusal(message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Checkpoint, message)
}

impl Names {
    /// Those in `root`; shards among `objects` count as lying there.
    pub(super) fn read(root: &Path, objects: &Objects) -> Result<Self, Problem> {
        let refuse = |error: std::io::Error| refusal(format!("cannot be read: {error}")).at(root);
        let mut names = Self::default();
        for entry in platform::read_dir(root).map_err(refuse)? {
            let entry = entry.map_err(refuse)?;
            let name = entry.file_name();
            names.entries += 1;
            let Some(name) = name.to_str() else {
                if name.to_string_lossy().ends_with(SHARD) {
                    return Err(refusal("expected a file name in UTF-8").at(entry.path()));
                }
                continue;
            };
            let list = if name.starts_with('.') {
                continue;
            } else if name.ends_with(SHARD) {
                &mut names.shards
            } else if WeightSet::of_index(name).is_some() {
                &mut names.indexes
            } else if other_format(name) {
                &mut names.others
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && holds_shards(&entry.path(), objects)
            {
                &mut names.folders
            } else {
                continue;
            };
            list.push(name.to_owned());
        }
        names.shards.extend(objects.names(root).map(str::to_owned));
        for list in [&mut names.shards, &mut names.indexes, &mut names.others, &mut names.folders] {
            list.sort_unstable();
        }
        names.shards.dedup(); // an object stands for what is here of it
        Ok(names)
    }
}

/// Whether it is a file of weights that is never read.
pub(super) fn other_format(name: &str) -> bool {
    OTHER_FORMATS.iter().any(|suffix| name.ends_with(suffix))
}

fn holds_shards(folder: &Path, objects: &Objects) -> bool {
    let mut remote = objects.names(folder);
    remote.next().is_some()
        || platform::read_dir(folder).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(SHARD)))
        })
}
