//! `config.json`: read as Python writes it, asked three things (tied embeddings, quantisation, custom code), and changed
//! in nothing but its dtype, byte for byte.

use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;

use crate::checkpoint::{Checkpoint, OpenOptions, read_small};
use crate::dtype::Dtype;
use crate::error::{Problem, ProblemKind};
use crate::json::{self, Reader, Step};

use super::declared;
use super::remarks::Remarks;

/// Largest `config.json`, and largest of the small JSON files that are looked into.
pub(super) const MAX_BYTES: u64 = 16 << 20;

const DTYPE_KEYS: [&str; 2] = ["dtype", "torch_dtype"];
/// Where composite models keep the config of their language model.
const LANGUAGE_MODELS: [&str; 5] =
    ["text_config", "llm_config", "language_config", "thinker_config", "decoder"];

/// A parsed `config.json`.
#[derive(Debug)]
pub(super) struct Config {
    /// Where it was read.
    pub(super) path: PathBuf,
    text: String,
    value: Value,
}

impl Config {
    /// The config beside a checkpoint's shards; `None` without one, or for a checkpoint that is a single file.
    pub(super) fn read(checkpoint: &Checkpoint, options: OpenOptions) -> Result<Option<Self>, Problem> {
        let Some(directory) = checkpoint.directory() else { return Ok(None) };
        let path = directory.join("config.json");
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let bytes = read_small(&path, directory, MAX_BYTES, &options)?;
        Self::parse(path, bytes).map(Some)
    }

    /// Those of all ingredients, in their order; one that cannot be read is a problem.
    pub(super) fn of_each(
        checkpoints: &[Checkpoint],
        options: OpenOptions,
        remarks: &mut Remarks,
    ) -> Vec<Option<Self>> {
        let read = |checkpoint: &Checkpoint| {
            Self::read(checkpoint, options).unwrap_or_else(|problem| {
                remarks.problem(problem);
                None
            })
        };
        checkpoints.iter().map(read).collect()
    }

    fn parse(path: PathBuf, bytes: Vec<u8>) -> Result<Self, Problem> {
        let wrong = |what: String| {
            Problem::new(ProblemKind::Checkpoint, what)
                .at(&path)
                .hint("mend the file: JSON as Python writes it, without repeated keys and byte order mark")
        };
        let value = json::parse_python(&bytes).map_err(|what| wrong(format!("not valid JSON: {what}")))?;
        if !value.is_object() {
            return Err(wrong("expected a JSON object".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { path, text, value })
    }

    /// What it says.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// The bytes as they were read.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.text.clone().into_bytes()
    }

    /// What the config says about tied embeddings, also inside the config of a language model; several statements
    /// that disagree count as "not tied".
    pub(super) fn tied(&self) -> Option<bool> {
        let mut stated = Vec::new();
        collect_tied(&self.value, &mut stated);
        (!stated.is_empty()).then(|| stated.iter().all(|&tied| tied))
    }

    /// The model type, and those inside of language models.
    pub(super) fn model_types(&self) -> Vec<&str> {
        let mut types = Vec::new();
        collect_types(&self.value, &mut types);
        types
    }

    /// The key that declares a quantisation, and what it declares.
    pub(super) fn quantisation(&self) -> Option<(&'static str, &Value)> {
        quantisation(&self.value)
    }

    /// The sizes of blocks that share a scale, lines and columns.
    pub(super) fn block_sizes(&self) -> Vec<[u64; 2]> {
        self.quantisation().map(|(_, declared)| declared::block_sizes(declared)).unwrap_or_default()
    }

    /// The config of the same model without quantisation.
    ///
    /// # Errors
    /// None: what is left is a config.
    pub(super) fn without_quantisation(&self) -> Result<Self, Problem> {
        Self::parse(self.path.clone(), declared::without(&self.text, &LANGUAGE_MODELS).into_bytes())
    }

    /// Whether loading the model runs code from its directory.
    pub(super) fn has_auto_map(&self) -> bool {
        self.value.get("auto_map").is_some_and(|value| !value.is_null())
    }

    /// The text with every dtype that is no longer true replaced by `written`; `None` if nothing changes. A key at
    /// the top is changed whenever it names another dtype; one in a sub-config only if it named the old dtype, which
    /// is what the top said, or `before`, the dtype of the first ingredient's tensors.
    pub(super) fn with_dtype(&self, written: Dtype, before: Option<Dtype>) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        collect_dtypes(&mut Reader::of_python(&self.text, usize::MAX), 0, &mut found).ok()?;
        let top = found.iter().find(|key| key.depth == 0).map(|key| key.dtype);
        let old = top.or(before);
        let untrue = |key: &&DtypeKey| key.dtype != written && (key.depth == 0 || Some(key.dtype) == old);
        let mut text = self.text.clone();
        for key in found.iter().filter(untrue).rev() {
            let prefix = if self.text[key.place.clone()].starts_with("\"torch.") { "torch." } else { "" };
            text.replace_range(key.place.clone(), &format!("\"{prefix}{}\"", torch_name(written)));
        }
        (text != self.text).then(|| text.into_bytes())
    }
}

fn collect_tied(value: &Value, stated: &mut Vec<bool>) {
    stated.extend(value.get("tie_word_embeddings").and_then(Value::as_bool));
    for key in LANGUAGE_MODELS {
        if let Some(inner) = value.get(key) {
            collect_tied(inner, stated);
        }
    }
}

fn collect_types<'a>(value: &'a Value, types: &mut Vec<&'a str>) {
    types.extend(value.get("model_type").and_then(Value::as_str));
    for inner in LANGUAGE_MODELS.iter().filter_map(|key| value.get(key)) {
        collect_types(inner, types);
    }
}

fn quantisation(value: &Value) -> Option<(&'static str, &Value)> {
    for key in declared::KEYS {
        if let Some(declared) = value.get(key).filter(|declared| !declared.is_null()) {
            return Some((key, declared));
        }
    }
    LANGUAGE_MODELS.iter().find_map(|key| quantisation(value.get(key)?))
}

/// A dtype key: where its value stands (with quotes), what it names, and how deep it lies.
struct DtypeKey {
    place: Range<usize>,
    dtype: Dtype,
    depth: usize,
}

/// The dtype keys of the object at the cursor and of its sub-configs, in the order of the text.
fn collect_dtypes(reader: &mut Reader<'_>, depth: usize, found: &mut Vec<DtypeKey>) -> Step<()> {
    reader.object("an object", |reader, key| {
        let start = reader.position();
        if DTYPE_KEYS.contains(&&*key) {
            let value = reader.raw()?;
            let name = Reader::string_at(value, 0).ok();
            let dtype = name.and_then(|name| from_torch_name(&name));
            let place = start..start + value.len();
            found.extend(dtype.map(|dtype| DtypeKey { place, dtype, depth }));
            return Ok(());
        }
        let is_config = key.ends_with("_config") || key == "encoder" || key == "decoder";
        if is_config && reader.peek() == Some(b'{') {
            return collect_dtypes(reader, depth + 1, found);
        }
        reader.skip()
    })
}

fn torch_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F64 => "float64",
        Dtype::F16 => "float16",
        Dtype::BF16 => "bfloat16",
        _ => "float32",
    }
}

fn from_torch_name(name: &str) -> Option<Dtype> {
    match name.strip_prefix("torch.").unwrap_or(name) {
        "float64" | "double" => Some(Dtype::F64),
        "float32" | "float" => Some(Dtype::F32),
        "float16" | "half" => Some(Dtype::F16),
        "bfloat16" => Some(Dtype::BF16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::dtype::Dtype;

    fn config(text: &str) -> Config {
        Config::parse("config.json".into(), text.into()).unwrap()
    }

    #[test]
    fn tied_flags_are_found_at_the_top_and_in_the_text_config() {
        let check = |text: &str, tied: Option<bool>| assert_eq!(config(text).tied(), tied, "{text}");
        check("{}", None);
        check(r#"{"tie_word_embeddings": true}"#, Some(true));
        check(r#"{"tie_word_embeddings": false}"#, Some(false));
        check(r#"{"text_config": {"tie_word_embeddings": true}}"#, Some(true));
        check(r#"{"thinker_config": {"text_config": {"tie_word_embeddings": true}}}"#, Some(true));
        check(r#"{"tie_word_embeddings": false, "text_config": {"tie_word_embeddings": true}}"#, Some(false));
        check(r#"{"vision_config": {"tie_word_embeddings": true}}"#, None);
        check(r#"{"tie_word_embeddings": null}"#, None);
    }

    #[test]
    fn quantisation_is_found_by_its_key() {
        let check = |text: &str, expected: Option<&'static str>| {
            assert_eq!(config(text).quantisation().map(|(key, _)| key), expected, "{text}");
        };
        check(r#"{"quantization_config": {"quant_method": "gptq"}}"#, Some("quantization_config"));
        check(r#"{"compression_config": {}}"#, Some("compression_config"));
        check(r#"{"text_config": {"quantization_config": {}}}"#, Some("quantization_config"));
        check(r#"{"quantization_config": null}"#, None);
        check("{}", None);
    }

    #[test]
    fn only_the_value_of_the_dtype_key_changes() {
        let check = |text: &str, written: Dtype, expected: Option<&str>| {
            let bytes = config(text).with_dtype(written, Some(Dtype::BF16));
            assert_eq!(bytes.map(|bytes| String::from_utf8(bytes).unwrap()).as_deref(), expected, "{text}");
        };
        check(
            "{ \"a\" :1.50,\n\t\"torch_dtype\":  \"bfloat16\" , \"b\":\"\\u0041\"}\n",
            Dtype::F32,
            Some("{ \"a\" :1.50,\n\t\"torch_dtype\":  \"float32\" , \"b\":\"\\u0041\"}\n"),
        );
        check(r#"{"dtype": "float32"}"#, Dtype::BF16, Some(r#"{"dtype": "bfloat16"}"#));
        check(r#"{"dtype": "torch.float32"}"#, Dtype::F16, Some(r#"{"dtype": "torch.float16"}"#));
        check(r#"{"dtype": "double"}"#, Dtype::F32, Some(r#"{"dtype": "float32"}"#));
        check(r#"{"dtype": "float64"}"#, Dtype::F32, Some(r#"{"dtype": "float32"}"#));
        check(r#"{"dtype": "float"}"#, Dtype::F32, None);
        check(r#"{"dtype": "half"}"#, Dtype::F32, Some(r#"{"dtype": "float32"}"#));
        check(r#"{"dtype": "torch.float16"}"#, Dtype::F16, None);
        check(
            r#"{"dtype": "float32", "torch_dtype": "float16"}"#,
            Dtype::F64,
            Some(r#"{"dtype": "float64", "torch_dtype": "float64"}"#),
        );
        check(r#"{"\u0064type": "float32"}"#, Dtype::F64, Some(r#"{"\u0064type": "float64"}"#));
        check(r#"{"dtype": "bfloat16"}"#, Dtype::BF16, None);
        check(r#"{"dtype": "auto"}"#, Dtype::F32, None);
        check(r#"{"dtype": null, "a": 1}"#, Dtype::F32, None);
        check(r#"{"a": 1}"#, Dtype::F32, None);
    }

    #[test]
    fn numbers_that_are_not_finite_stay_as_they_are() {
        let text = r#"{"limit": [0.0, Infinity], "torch_dtype": "bfloat16", "x": {"y": NaN}}"#;
        let bytes = config(text).with_dtype(Dtype::F32, None).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), text.replace("bfloat16", "float32"));
    }

    #[test]
    fn sub_configs_follow_if_they_named_the_old_dtype() {
        let check = |text: &str, expected: &str| {
            let bytes = config(text).with_dtype(Dtype::F32, Some(Dtype::BF16)).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        };
        check(
            r#"{"text_config": {"dtype": "bfloat16"}, "dtype": "bfloat16", "vision_config": {"dtype": "float16"}}"#,
            r#"{"text_config": {"dtype": "float32"}, "dtype": "float32", "vision_config": {"dtype": "float16"}}"#,
        );
        check(
            r#"{"encoder": {"dtype": "bfloat16"}, "decoder": {"dtype": "bfloat16"}, "x": {"dtype": "bfloat16"}}"#,
            r#"{"encoder": {"dtype": "float32"}, "decoder": {"dtype": "float32"}, "x": {"dtype": "bfloat16"}}"#,
        );
        check(
            r#"{"text_config": {"torch_dtype": "bfloat16"}}"#,
            r#"{"text_config": {"torch_dtype": "float32"}}"#,
        );
    }

    #[test]
    fn repeated_keys_and_other_roots_are_refused() {
        let check = |text: &str, expected: &str| {
            let problem = Config::parse("c/config.json".into(), text.into()).unwrap_err().to_string();
            assert!(problem.starts_with("`c/config.json`: ") && problem.contains(expected), "{problem}");
        };
        check(r#"{"a": 1, "a": 2}"#, "`a` is there twice");
        check("[]", "expected a JSON object");
        check(r#"{"x": inf}"#, "not valid JSON");
    }
}
