//! Folders of several parts: `modules.json` of sentence-transformers and `model_index.json` of diffusers name folders that
//! are loaded together. What they name is followed, or refused with its place; nothing of it is dropped.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder::{check_folder, join};
use super::open::{OpenOptions, read_small};
use crate::error::{Problem, ProblemKind};
use crate::escape::{quoted, shown};
use crate::io::platform;
use crate::json;

/// Most parts of one checkpoint.
const MAX_PARTS: usize = 256;
/// Longest description of parts.
const MAX_BYTES: u64 = 1 << 20;

pub(crate) const MODULES: &str = "modules.json";
pub(crate) const PIPELINE: &str = "model_index.json";
/// Where a module of several routes names those of each route: today, and as its forerunner did.
const ROUTERS: [(&str, &str); 2] = [("Router", "router_config.json"), ("Asym", "config.json")];
/// Modules that save no file: where they were saved is an empty folder, and a download has none.
const WITHOUT_FILES: [&str; 1] = ["Normalize"];
/// What the names of classes with parameters hold.
const WITH_TENSORS: [&str; 9] =
    ["Model", "Transformer", "Encoder", "encoder", "UNet", "Dense", "Embedding", "LSTM", "LayerNorm"];

/// A folder of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Relative to the checkpoint, with `/` between names; empty for the checkpoint's own folder.
    pub folder: String,
    /// The class that loads it, without its module; empty for a checkpoint that is one model.
    pub class: String,
    /// File name of its index, if it has one.
    pub index_name: Option<String>,
}

impl Part {
    /// Where it lies, for a checkpoint in the directory `root`.
    pub(crate) fn path(&self, root: &Path) -> PathBuf {
        if self.folder.is_empty() { root.to_owned() } else { root.join(&self.folder) }
    }

    /// Whether it cannot be loaded without tensors, as far as the name of its class tells.
    pub(super) fn needs_tensors(&self) -> bool {
        WITH_TENSORS.iter().any(|word| self.class.contains(word))
    }
}

/// The parts of the checkpoint in the directory `root`, in the order in which they are named; `None` if it is one model.
/// In the folder of the checkpoint itself there is a model only if a part says so.
pub(super) fn find(root: &Path, options: OpenOptions) -> Result<Option<Vec<Part>>, Vec<Problem>> {
    let mut found = Found { root, options, parts: Vec::new(), problems: Vec::new() };
    if is_there(&root.join(MODULES)) {
        found.modules();
    } else if is_there(&root.join(PIPELINE)) {
        found.pipeline();
    } else {
        return Ok(None);
    }
    if found.problems.is_empty() { Ok(Some(found.parts)) } else { Err(found.problems) }
}

struct Found<'a> {
    root: &'a Path,
    options: OpenOptions,
    parts: Vec<Part>,
    problems: Vec<Problem>,
}

impl Found<'_> {
    /// A list of objects with `path` and `type`.
    fn modules(&mut self) {
        let Some(value) = self.read(MODULES) else { return };
        let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
        if entries.is_empty() {
            return self.refuse(MODULES, "expected a list of modules, got something else".to_owned());
        }
        for entry in entries {
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            match (text("path"), text("type")) {
                (Some(path), Some(class)) => self.module(MODULES, path, class),
                _ => self.refuse(MODULES, "expected `path` and `type` of every module".to_owned()),
            }
        }
    }

    /// An object in which every pair of two names is a component.
    fn pipeline(&mut self) {
        let Some(value) = self.read(PIPELINE) else { return };
        let Some(entries) = value.as_object() else {
            return self.refuse(PIPELINE, "expected an object, got something else".to_owned());
        };
        for (name, entry) in entries.iter().filter(|(name, _)| !name.starts_with('_')) {
            let Some([library, class]) = entry.as_array().map(Vec::as_slice) else { continue };
            match (library.as_str(), class.as_str()) {
                (Some(_), Some(class)) => self.component(name, class),
                (None, None) => {} // a component that this pipeline does without
                _ => self.refuse(PIPELINE, format!("`{}`: expected library and class", shown(name))),
            }
        }
        if self.parts.is_empty() && self.problems.is_empty() {
            self.refuse(PIPELINE, "expected the components of a pipeline, got none".to_owned());
        }
    }

    /// One component; of several of a kind, such as `MultiControlNetModel`, the others lie beside it, counted from 1.
    fn component(&mut self, name: &str, class: &str) {
        self.add(PIPELINE, name, class);
        if class.starts_with("Multi") {
            let others = (1..MAX_PARTS).map(|i| format!("{name}_{i}"));
            for other in others.take_while(|other| self.root.join(other).is_dir()) {
                self.add(PIPELINE, &other, class);
            }
        }
    }

    /// One module and, if it is a router, those of its routes.
    fn module(&mut self, named_in: &str, folder: &str, class: &str) {
        let before = self.parts.len();
        self.add(named_in, folder, class);
        let Some(part) = self.parts.get(before).cloned() else { return };
        let Some((_, config)) = ROUTERS.into_iter().find(|(router, _)| part.class == *router) else { return };
        let config = join(&part.folder, config);
        let Some(value) = self.read(&config) else { return };
        let Some(types) = value.get("types").and_then(Value::as_object) else {
            return self.refuse(&config, "expected `types`, the modules of every route".to_owned());
        };
        for (name, class) in types {
            match class.as_str() {
                Some(class) => self.module(&config, &join(&part.folder, name), class),
                None => self.refuse(&config, format!("`{}`: expected the name of a class", shown(name))),
            }
        }
    }

    fn add(&mut self, named_in: &str, folder: &str, class: &str) {
        let class = class.rsplit('.').next().unwrap_or(class).to_owned();
        if folder.is_empty() {
            // The checkpoint's own folder.
        } else if let Err(message) = check_folder(folder) {
            return self.refuse(named_in, message);
        } else if WITHOUT_FILES.contains(&class.as_str()) && !holds_any(&self.root.join(folder)) {
            return;
        } else if !self.root.join(folder).is_dir() {
            let message = format!("names the folder `{}`, which is not there", shown(folder));
            return self.refuse(named_in, message);
        } else if let Some(place) = self.elsewhere(folder) {
            let message =
                format!("names `{}`, a link to {}, outside the checkpoint", shown(folder), quoted(&place));
            return self.refuse(named_in, message);
        }
        if self.parts.len() == MAX_PARTS {
            return self.refuse(named_in, format!("expected at most {MAX_PARTS} parts, got more"));
        }
        if !self.parts.iter().any(|part| part.folder == folder) {
            self.parts.push(Part { folder: folder.to_owned(), class, index_name: None });
        }
    }

    /// Where a folder really is, if it is not inside the checkpoint and links may not be followed.
    fn elsewhere(&self, folder: &str) -> Option<PathBuf> {
        let place = self.root.join(folder).canonicalize().ok()?;
        let inside = self.root.canonicalize().is_ok_and(|root| place.starts_with(root));
        (!inside && !self.options.follow_links).then_some(place)
    }

    fn read(&mut self, name: &str) -> Option<Value> {
        let path = self.root.join(name);
        let bytes = match read_small(&path, self.root, MAX_BYTES, &self.options) {
            Ok(bytes) => bytes,
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        match json::parse(&bytes) {
            Ok(value) => Some(value),
            Err(what) => {
                self.refuse(name, format!("not valid JSON: {what}"));
                None
            }
        }
    }

    fn refuse(&mut self, name: &str, message: String) {
        let problem = Problem::new(ProblemKind::Checkpoint, message).at(self.root.join(name));
        self.problems.push(problem.hint("complete the folder, or give one of its parts alone"));
    }
}

/// Whether there is a folder at `path` and anything in it.
fn holds_any(path: &Path) -> bool {
    platform::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
