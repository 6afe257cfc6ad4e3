//! The donor's small files: an allow-list is copied byte for byte, everything else is left behind and listed.
//!
//! What a loader may need comes along: configs, whatever belongs to a tokenizer, templates, licences. What is a fact about
//! one ingredient stays behind, for it is none about the soup: its scores, the state of its training, its model card.
//! Code is never copied unasked: a soup must not carry an ingredient's program under a new name.

use std::path::Path;

use serde_json::Value;

use crate::checkpoint::folder::join;
use crate::checkpoint::{Checkpoint, MODULES, OpenOptions, PIPELINE, read_small, small_file_size};
use crate::error::{Error, Problem, ProblemKind, Result};
use crate::escape::quoted;
use crate::io::platform;
use crate::json;
use crate::manifest;

use super::config::{Config, MAX_BYTES};
use super::differences::{differences, differs};
use super::remarks::Remarks;
use super::tokenizer::belongs;
use super::{PlanOptions, SideContent, SideFile};

/// Largest side file.
const MAX_SIDE_FILE_BYTES: u64 = 256 << 20;
/// The one directory that is looked into.
const TEMPLATES: &str = "additional_chat_templates";

/// The config of Mistral's own format, whose tensors are called `consolidated`; beside others, settings of a training.
const PARAMS: &str = "params.json";

/// Where `ModelOpt` writes how a model was quantised, as no soup is.
const MODELOPT: &str = "hf_quant_config.json";

/// Files beside the config whose `auto_map` is followed.
const WITH_AUTO_MAP: [&str; 4] = [
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
];

/// What comes along and what stays behind.
#[derive(Debug, Default)]
pub(super) struct SideFiles {
    pub(super) files: Vec<SideFile>,
    pub(super) left_out: Vec<String>,
}

/// Go through the donor's directory.
pub(super) fn collect(
    donor: &Checkpoint,
    config: Option<&Config>,
    options: &PlanOptions,
    remarks: &mut Remarks,
) -> Result<SideFiles> {
    let mut side_files = SideFiles::default();
    let Some(directory) = donor.directory() else {
        remarks.warn(format!(
            "{} is a single file: config, tokenizer and other side files are not written",
            quoted(&donor.root)
        ));
        return Ok(side_files);
    };
    let copy_code = options.copy_code == Some(true);
    let is_consolidated = donor.shards.iter().any(|shard| shard.name.starts_with("consolidated"));
    for name in names(directory)? {
        let path = directory.join(&name);
        let replaced = donor.shards.iter().any(|shard| shard.name == name)
            || donor
                .parts
                .iter()
                .any(|part| part.folder.is_empty() && part.index_name.as_deref() == Some(&name))
            || donor.folders().contains(name.as_str());
        if replaced {
            continue;
        }
        if path.is_dir() {
            if name == TEMPLATES {
                collect_templates(&mut side_files, directory, options.open, remarks)?;
            } else {
                side_files.left_out.push(format!("{name}/"));
            }
        } else if name == "config.json" {
            let content = config.map(|config| SideContent::Bytes(config.bytes()));
            side_files.files.extend(content.map(|content| SideFile { name, content }));
        } else if is_allowed(&name) || (copy_code && is_code(&name)) || (is_consolidated && name == PARAMS) {
            side_files.add(name, directory, options.open, remarks);
        } else {
            side_files.left_out.push(name);
        }
    }
    if options.copy_code.is_none() {
        ask_about_code(directory, config, options.open, remarks);
    }
    Ok(side_files)
}

/// Tell what the donor's other settings, `files`, say otherwise than those of an ingredient that has them too. What
/// belongs to a tokenizer is compared with it.
pub(super) fn compare(
    checkpoints: &[Checkpoint],
    config_from: usize,
    files: &[SideFile],
    open: OpenOptions,
    remarks: &mut Remarks,
) {
    let read = |root: &Path, name: &str| {
        let path = root.join(name);
        let bytes = path.is_file().then(|| read_small(&path, root, MAX_BYTES, &open).ok())??;
        json::parse_python(&bytes).ok()
    };
    let Some(donor) = checkpoints.get(config_from).and_then(Checkpoint::directory) else { return };
    let settings = |name: &str| has_extension(name, "json") && name != "config.json" && !belongs(name);
    for name in files.iter().map(|file| file.name.as_str()).filter(|name| settings(name)) {
        let Some(expected) = read(donor, name) else { continue };
        for root in checkpoints.iter().filter_map(Checkpoint::directory).filter(|root| *root != donor) {
            let told = read(root, name).and_then(|got| differences(&expected, &got));
            remarks.warnings.extend(told.map(|told| differs(&root.join(name), donor, &told)));
        }
    }
}

impl SideFiles {
    /// Size of everything that comes along.
    pub(super) fn bytes(files: &[SideFile]) -> u64 {
        let size = |file: &SideFile| match &file.content {
            SideContent::Bytes(bytes) => bytes.len() as u64,
            SideContent::CopyOf(_, size) => *size,
        };
        files.iter().map(size).sum()
    }

    fn add(&mut self, name: String, directory: &Path, options: OpenOptions, remarks: &mut Remarks) {
        let path = directory.join(&name);
        match small_file_size(&path, directory, MAX_SIDE_FILE_BYTES, options) {
            Ok(size) => self.files.push(SideFile { name, content: SideContent::CopyOf(path, size) }),
            Err(problem) => remarks.problem(problem),
        }
    }
}

impl SideFile {
    /// The file of a part within the output.
    pub(super) fn in_folder(self, folder: &str) -> Self {
        Self { name: join(folder, &self.name), ..self }
    }
}

fn collect_templates(
    side_files: &mut SideFiles,
    directory: &Path,
    options: OpenOptions,
    remarks: &mut Remarks,
) -> Result<()> {
    for name in names(&directory.join(TEMPLATES))? {
        let relative = format!("{TEMPLATES}/{name}");
        if has_extension(&name, "jinja") && !directory.join(&relative).is_dir() {
            side_files.add(relative, directory, options, remarks);
        } else {
            side_files.left_out.push(relative);
        }
    }
    Ok(())
}

/// Names in a directory, sorted. One that is not UTF-8 is on no list, so showing it approximately is enough.
pub(super) fn names(directory: &Path) -> Result<Vec<String>> {
    let failed = |error| Error::io(directory, "cannot list", error);
    let mut names = Vec::new();
    for entry in platform::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        match name.into_string() {
            Ok(name) => names.push(name),
            Err(name) => names.push(format!("{}\u{fffd}", name.to_string_lossy())),
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The allow-list.
fn is_allowed(name: &str) -> bool {
    let weight_index =
        name.ends_with(".index.json") || name.contains(".safetensors.index.") || name.contains(".bin.index.");
    if name.starts_with('.')
        || name == manifest::FILE_NAME
        || name == MODELOPT
        || name.starts_with("adapter_")
        || weight_index
    {
        return false;
    }
    if belongs(name) || name.starts_with("LICENSE") || name.starts_with("NOTICE") {
        return true;
    }
    [".json", ".txt", ".jinja"].iter().any(|ending| name.ends_with(ending)) && !is_fact(name)
}

/// Whether a file tells of one ingredient what does not hold for a soup.
fn is_fact(name: &str) -> bool {
    const FIRST: [&str; 7] =
        ["trainer_", "training_", "train_", "eval_", "test_", "predict", "generated_predictions"];
    const WITHIN: [&str; 6] = ["results", "metrics", "predictions", "checksum", "sha256", "md5"];
    name == PARAMS
        || FIRST.iter().any(|first| name.starts_with(first))
        || WITHIN.iter().any(|part| name.contains(part))
}

fn is_code(name: &str) -> bool {
    has_extension(name, "py")
}

fn has_extension(name: &str, expected: &str) -> bool {
    !name.starts_with('.') && Path::new(name).extension().is_some_and(|extension| extension == expected)
}

/// A model that is loaded by code of its own: the user decides whether that code comes along.
fn ask_about_code(directory: &Path, config: Option<&Config>, options: OpenOptions, remarks: &mut Remarks) {
    let has_auto_map = |value: &Value| value.get("auto_map").is_some_and(|map| !map.is_null());
    let model = config.filter(|config| config.has_auto_map()).map(|config| config.path.clone());
    let others = || WITH_AUTO_MAP.into_iter().filter(|name| is_so(directory, name, options, has_auto_map));
    let auto_map = model.or_else(|| others().next().map(|name| directory.join(name)));
    let parts = || {
        let has_code = |value: &Value| part_code(value).iter().any(|file| directory.join(file).is_file());
        [MODULES, PIPELINE].into_iter().find(|name| is_so(directory, name, options, has_code))
    };
    let found = auto_map
        .map(|path| (path, "`auto_map` names code"))
        .or_else(|| parts().map(|name| (directory.join(name), "names code beside it")));
    if let Some((path, what)) = found {
        let message = format!("{what} that is run when the model is loaded");
        remarks.problem(Problem::new(ProblemKind::Recipe, message).at(path).hint(
            "read the `*.py` files, then copy them with `--copy-code` or leave them out with `--no-code`",
        ));
    }
}

/// Whether something is so of a small JSON file.
fn is_so(directory: &Path, name: &str, options: OpenOptions, so: impl Fn(&Value) -> bool) -> bool {
    let path = directory.join(name);
    // A file that cannot be read is reported where it is copied, one that is no JSON where it is compared.
    let bytes = path.is_file().then(|| read_small(&path, directory, MAX_BYTES, &options).ok()).flatten();
    bytes.and_then(|bytes| json::parse_python(&bytes).ok()).is_some_and(|value| so(&value))
}

/// Where the code of each part would lie if the folder had it: modules of sentence-transformers beside `modules.json`,
/// components of a pipeline in their own folder, the pipeline itself beside `model_index.json`.
fn part_code(description: &Value) -> Vec<String> {
    let file = |module: &str| format!("{}.py", module.split('.').next().unwrap_or(module));
    match description {
        Value::Array(modules) => {
            modules.iter().filter_map(|module| Some(file(module.get("type")?.as_str()?))).collect()
        }
        Value::Object(components) => {
            let of = |(name, entry): (&String, &Value)| {
                let folder = if name == "_class_name" { "" } else { name };
                Some(join(folder, &file(entry.get(0)?.as_str()?)))
            };
            components.iter().filter_map(of).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_allowed, is_code, part_code};

    #[test]
    fn the_allow_list_takes_what_loaders_need() {
        for name in [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.json",
            "tokenizer.model",
            "merges.txt",
            "vocab.txt",
            "chat_template.jinja",
            "LICENSE",
            "LICENSE.md",
            "NOTICE",
            "NOTICE.txt",
            "special_tokens_map.json",
            "source.spm",
            "qwen.tiktoken",
            "bpe.codes",
            "spiece.model",
            "tokenizer.model.v3",
            "tekken.json",
            "preprocessor_config.json",
            "added_tokens.json",
            "dict.txt",
        ] {
            assert!(is_allowed(name), "{name}");
        }
    }

    #[test]
    fn everything_else_stays_behind() {
        for name in [
            "model.safetensors.index.json",
            "pytorch_model.bin.index.json",
            "model.safetensors.index.fp16.json",
            "adapter_config.json",
            "adapter_model.safetensors",
            "soce.json",
            "README.md",
            ".gitattributes",
            ".config.json",
            "modeling_x.py",
            "pytorch_model.bin",
            "training_args.bin",
            "x.png",
            "old.safetensors",
            "trainer_state.json",
            "all_results.json",
            "eval_results.json",
            "train_results.txt",
            "predict_results.json",
            "generated_predictions.txt",
            "metrics.json",
            "sha256sums.txt",
            "params.json",
            "hf_quant_config.json",
            "vocab.pkl",
            "tokenizer.py",
            "optimizer.pt",
            "rng_state.pth",
        ] {
            assert!(!is_allowed(name), "{name}");
        }
    }

    #[test]
    fn code_of_parts_lies_beside_what_names_it() {
        let check = |value: serde_json::Value, expected: &[&str]| assert_eq!(part_code(&value), expected);
        check(json!([{"type": "custom_st.Transformer"}, {"path": ""}]), &["custom_st.py"]);
        check(
            json!({"_class_name": ["mine", "P"], "unet": ["my_unet", "U"], "flag": true, "vae": [null, null]}),
            &["mine.py", "unet/my_unet.py"],
        );
        check(json!({"_class_name": "P"}), &[]);
    }

    #[test]
    fn code_is_known_by_its_ending() {
        assert!(is_code("modeling_x.py"));
        assert!(!is_code(".hidden.py") && !is_code("x.pyc") && !is_code("py"));
    }
}
