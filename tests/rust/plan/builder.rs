//! Small checkpoints on disk, made tensor by tensor.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use _core::checkpoint::Adapters;
use _core::io::remote::Objects;
use _core::plan::{MergeRequest, Plan, PlanOptions, Recipe, Row, make};
use _core::{Error, Mix, Problem};
use tempfile::TempDir;

/// One tensor of a test checkpoint.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<u64>,
    pub(crate) data: Vec<u8>,
}

/// A tensor with given bytes.
pub(crate) fn tensor(name: &str, dtype: &'static str, shape: &[u64], data: &[u8]) -> Tensor {
    Tensor { name: name.into(), dtype, shape: shape.into(), data: data.into() }
}

/// A BF16 tensor whose elements all have the bits `0x3f80 + salt`.
pub(crate) fn bf16(name: &str, shape: &[u64], salt: u8) -> Tensor {
    let elements = shape.iter().product::<u64>() as usize;
    tensor(name, "BF16", shape, &[0x80 + salt, 0x3f].repeat(elements))
}

/// A safetensors file, tensors in the order given.
pub(crate) fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let mut header = String::from(r#"{"__metadata__":{"format":"pt","note":"from a test"}"#);
    let mut data = Vec::new();
    for tensor in tensors {
        let name = serde_json::Value::from(tensor.name.as_str());
        let (dtype, shape, start) = (tensor.dtype, &tensor.shape, data.len());
        data.extend_from_slice(&tensor.data);
        let end = data.len();
        write!(header, r#",{name}:{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
            .unwrap();
    }
    header.push('}');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    file
}

/// A directory for ingredients and outputs, removed at the end of a test.
pub(crate) struct Kitchen {
    directory: TempDir,
}

impl Kitchen {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Write a file, making its directories.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// A model of one file.
    pub(crate) fn model(&self, name: &str, tensors: &[Tensor]) -> &Self {
        self.file(&format!("{name}/model.safetensors"), safetensors(tensors))
    }

    /// A model of numbered files with an index.
    pub(crate) fn sharded(&self, name: &str, shards: &[&[Tensor]]) -> &Self {
        let mut map = serde_json::Map::new();
        for (i, tensors) in shards.iter().enumerate() {
            let file = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
            self.file(&format!("{name}/{file}"), safetensors(tensors));
            map.extend(tensors.iter().map(|tensor| (tensor.name.clone(), file.clone().into())));
        }
        let index = serde_json::json!({"metadata": {}, "weight_map": map});
        self.file(&format!("{name}/model.safetensors.index.json"), index.to_string())
    }

    /// A uniform average of `ingredients`, to be written to `out`.
    pub(crate) fn request(&self, ingredients: &[&str]) -> MergeRequest {
        self.weighted(ingredients, &vec![1; ingredients.len()])
    }

    /// An average of `ingredients`, to be written to `out`.
    pub(crate) fn weighted(&self, ingredients: &[&str], parts: &[u64]) -> MergeRequest {
        let row = Row { pattern: "*".into(), mixture: Mix::average(parts).unwrap().into() };
        MergeRequest {
            ingredients: ingredients.iter().map(|name| self.path(name)).collect(),
            recipes: vec![Recipe { rows: vec![row], output: self.path("out") }],
            objects: Objects::default(),
            adapters: Adapters::default(),
            options: PlanOptions::default(),
        }
    }

    /// The plan of a uniform average.
    pub(crate) fn plan(&self, ingredients: &[&str]) -> Plan {
        let plan = make(self.request(ingredients)).unwrap_or_else(|error| panic!("{error}"));
        let union: BTreeSet<_> =
            plan.checkpoints.iter().flat_map(|checkpoint| checkpoint.tensors.keys()).collect();
        assert_eq!(plan.tensors.len() + plan.tied.len(), union.len(), "every tensor is accounted for");
        plan
    }

    /// The problems of a uniform average, with paths relative to the kitchen.
    pub(crate) fn refusal(&self, ingredients: &[&str]) -> String {
        self.refused(self.request(ingredients))
    }

    /// The text of a refusal, with paths relative to the kitchen.
    pub(crate) fn refused(&self, request: MergeRequest) -> String {
        let error = make(request).map(|plan| plan.to_json().to_string()).unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error}");
        self.relative(&error.to_string())
    }

    /// The problems themselves.
    pub(crate) fn problems(&self, ingredients: &[&str]) -> Vec<Problem> {
        match make(self.request(ingredients)) {
            Err(Error::Refused(problems)) => problems,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// `text` without the path of the kitchen.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }

    /// The warnings of a plan with paths relative to the kitchen.
    pub(crate) fn warnings(&self, plan: &Plan) -> Vec<String> {
        plan.warnings.iter().map(|warning| self.relative(warning)).collect()
    }
}

/// Assert that `text` holds `expected`.
pub(crate) fn says(text: &str, expected: &str) {
    assert!(text.contains(expected), "expected to read\n  {expected}\nin\n  {text}");
}

/// Write into an existing file without changing its size.
pub(crate) fn overwrite(path: &Path, from_end: usize, byte: u8) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() - from_end;
    bytes[at] = byte;
    fs::write(path, bytes).unwrap();
}
