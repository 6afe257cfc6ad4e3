//! What to do about a path where no safetensors checkpoint is. Every command here was tried.

use std::path::{Component, Path};

use super::origin;
use crate::escape::{quoted, shown};

/// What people call the file of a PEFT adapter.
pub(super) const ADAPTER: &str = "adapter_model.";
const PYTORCH: [&str; 4] = [".bin", ".pt", ".pth", ".ckpt"];
/// How names begin of what is somewhere else.
const SCHEMES: [&str; 6] = ["hf", "s3", "gs", "az", "https", "http"];
/// Where the pages of models are.
const PAGES: &str = "huggingface.co";

/// For a path that does not exist.
pub(super) fn nowhere(path: &Path) -> Option<String> {
    let names: Vec<&str> = path.components().filter_map(|part| part.as_os_str().to_str()).collect();
    let is_drive = |name: &str| matches!(name.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic());
    if names.iter().any(|name| name.contains('\\') || is_drive(name)) {
        let example = "`C:\\models\\A` is `/mnt/c/models/A` in WSL";
        return Some(format!("a path of Windows: write it as this system has it; {example}"));
    }
    if names.iter().any(|name| name.starts_with('$')) {
        return Some("environment variables are not replaced here: write the path itself".to_owned());
    }
    if let Some(url) = as_url(&names) {
        return Some(format!("write `{url}`"));
    }
    let there = path.ancestors().find(|above| above.as_os_str().is_empty() || above.exists())?;
    let missing: Vec<&str> = path.strip_prefix(there).ok()?.iter().filter_map(|name| name.to_str()).collect();
    let (owner, last) = match (missing.as_slice(), names.as_slice()) {
        ([_], &[owner, last]) => (owner, last),
        (&[owner, last], _) if !there.components().eq([Component::RootDir]) => (owner, last),
        _ => return None,
    };
    let name = on_the_hub(owner, last)?;
    Some(format!("if it is a model of the Hugging Face Hub, write `hf://{name}`"))
}

/// A URL that was written as a path, or what stands for it.
fn as_url(names: &[&str]) -> Option<String> {
    let &[first, ref rest @ ..] = names else { return None };
    if let (PAGES, &[owner, last, ..]) = (first, rest) {
        return Some(format!("hf://{}", on_the_hub(owner, last)?));
    }
    if let Some((owner, name)) = names.last()?.strip_prefix("models--").and_then(|id| id.split_once("--")) {
        return Some(format!("hf://{}", on_the_hub(owner, name)?));
    }
    let (scheme, begin) = first.split_once(':').filter(|(scheme, _)| SCHEMES.contains(scheme))?;
    let parts: Vec<_> = [begin].iter().chain(rest).filter(|part| !part.is_empty()).copied().collect();
    Some(format!("{scheme}://{}", pasted(&parts.join("/"))))
}

/// A model of the Hub as it is named, whatever stands before its revision; `None` if it can be none.
fn on_the_hub(owner: &str, last: &str) -> Option<String> {
    let signs = ['@', ':', '#'];
    let (name, revision) = last.split_once(signs).unwrap_or((last, ""));
    let revision = match revision {
        "" => String::new(),
        wrong if wrong.contains(signs) => "@REVISION".to_owned(),
        revision => format!("@{}", pasted(revision)),
    };
    (origin::is_hub_name(owner) && origin::is_hub_name(name)).then(|| format!("{owner}/{name}{revision}"))
}

/// For a directory or file that holds an adapter.
pub(super) fn adapter(path: &Path) -> String {
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    let folder = folder.map_or_else(|| ".".into(), |folder| pasted(&folder.to_string_lossy()));
    format!(
        "name it on its base, `BASE+{folder}`, average adapters of one base with `soce-merge --adapters`, \
         or merge it into its model: python3 -c \"import peft; \
         peft.AutoPeftModelForCausalLM.from_pretrained('{folder}', dtype='auto').merge_and_unload()\
         .save_pretrained('{folder}-merged')\" (or the class of its task)"
    )
}

/// For weights in another format: `first` is one of the files, in `folder` if that is a checkpoint's.
pub(super) fn convert(first: &Path, folder: Option<&Path>) -> String {
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".gguf") {
        return "GGUF is made from a checkpoint to run it, rounded as a rule, and does not lead back: take the original"
            .to_owned();
    }
    if !PYTORCH.iter().any(|suffix| name.ends_with(suffix)) {
        return "load it with the library that wrote it, and save it with safetensors".to_owned();
    }
    match folder {
        // Files of other names, such as those of diffusers, transformers does not load.
        Some(folder) if name.starts_with("pytorch_model") && folder.join("config.json").is_file() => {
            format!("convert it: {}", transformers(folder, "d"))
        }
        _ => {
            let target = match folder {
                Some(folder) if !name.starts_with("diffusion_") => folder.join("model.safetensors"),
                _ => first.with_extension("safetensors"),
            };
            let [from, to] = [first, &target].map(|path| pasted(&path.to_string_lossy()));
            format!(
                "convert it: python3 -c \"import torch, safetensors.torch as s; d = torch.load('{from}', \
                 weights_only=True); s.save_file({{k: v.contiguous().clone() for k, v in d.get('state_dict', \
                 d).items()}}, '{to}', {{'format': 'pt'}})\""
            )
        }
    }
}

/// The command that loads a model and saves it under the names that this version of transformers has for its tensors.
/// Unasked, version 5 saves the names that it read.
pub(crate) fn saved_again(folder: &Path) -> String {
    transformers(folder, "d + '-saved', save_original_format=False")
}

fn transformers(folder: &Path, target: &str) -> String {
    let folder = pasted(&folder.to_string_lossy());
    format!(
        "python3 -c \"import transformers as t; d = '{folder}'; \
         getattr(t, t.AutoConfig.from_pretrained(d).architectures[0]).from_pretrained(d, \
         dtype='auto').save_pretrained({target})\""
    )
}

/// The command that takes `prefix` off the names of all tensors.
pub(crate) fn without_prefix(root: &Path, prefix: &str) -> String {
    let (place, prefix) = (pasted(&root.to_string_lossy()), pasted(prefix));
    let files = if root.is_dir() { format!("{place}/*.safetensors") } else { place };
    format!(
        "python3 -c \"import glob, os, safetensors.torch as s; [(s.save_file({{k.removeprefix('{prefix}'): v for k, v \
         in s.load_file(f).items()}}, f + '.new', {{'format': 'pt'}}), os.replace(f + '.new', f)) for f in \
         glob.glob('{files}')]\", and remove its index if there is one"
    )
}

/// For shards that are missing.
pub(super) fn download(root: &Path) -> String {
    incomplete_snapshot(root).unwrap_or_else(|| "download them again".to_owned())
}

/// For a snapshot of the Hub's cache that lacks files.
pub(super) fn incomplete_snapshot(root: &Path) -> Option<String> {
    let home = root.canonicalize().ok()?;
    let (_, id, revision) = origin::snapshot(&home)?;
    Some(format!("`hf download {id} --revision {revision}` fetches what is missing"))
}

/// For a directory with a model in its only subfolder.
pub(super) fn give(folder: &Path) -> String {
    format!("give {}", quoted(folder))
}

/// A text that means itself between quotes of a shell and of Python, or a word in its place.
pub(crate) fn pasted(text: &str) -> String {
    let means_itself = |c: char| c.is_alphanumeric() || "/._-+=@,:~ ".contains(c);
    if text.chars().all(means_itself) { shown(text) } else { "DIR".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{convert, nowhere, pasted};

    #[test]
    fn ids_of_the_hub_are_told_from_misspelt_paths() {
        let check = |path: &str, told: Option<&str>| {
            let hint = nowhere(Path::new(path));
            assert_eq!(hint.is_some(), told.is_some(), "{path}: {hint:?}");
            assert!(hint.unwrap_or_default().contains(told.unwrap_or_default()), "{path}");
        };
        check("org/name", Some("`hf://org/name`"));
        check("/tmp/org/name", Some("`hf://org/name`"));
        check("org/name@v1", Some("`hf://org/name@v1`"));
        check("org/name:v1", Some("`hf://org/name@v1`"));
        check("org/name@", Some("`hf://org/name`"));
        check("org/name@@v1", Some("`hf://org/name@REVISION`"));
        check("hf:/org/name@v1", Some("`hf://org/name@v1`"));
        check("s3:bucket/prefix", Some("`s3://bucket/prefix`"));
        check("huggingface.co/org/name/tree/main", Some("`hf://org/name`"));
        check("models--org--name", Some("`hf://org/name`"));
        check("none", None);
        check("/none/there", None);
        check("a/b/c", None);
        check("rust/none", Some("`hf://rust/none`"));
        check("/tmp/none", None);
        check("C:\\models\\A", Some("Windows"));
        check("$HOME/A", Some("environment"));
    }

    #[test]
    fn nothing_that_a_shell_reads_is_pasted() {
        assert_eq!(pasted("a b/C-1.x"), "a b/C-1.x");
        assert_eq!(pasted("a'; import os #"), "DIR");
        assert_eq!(pasted("$(x)"), "DIR");
        assert!(convert(Path::new("x/`y`.bin"), None).contains("'DIR'"));
    }
}
