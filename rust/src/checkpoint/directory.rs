//! Which files of a directory are the shards of its model. Where loaders would differ, this refuses.

use std::fs;
use std::path::Path;

use super::index::{self, Index};
use super::open::{OpenOptions, kind, open, read_capped};
use crate::error::{Problem, ProblemKind};
use crate::escape::{LISTED, listing, listing_of, quoted, shown};
use crate::io::platform;

/// Suffix of shards.
pub(super) const SHARD: &str = ".safetensors";
const INDEX: &str = ".safetensors.index.json";
/// Other formats of weights. None is ever opened: most of them run code when they are read.
const OTHER_FORMATS: [&str; 8] = [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npz", ".h5", ".gguf"];
const CONVERT: &str = "convert them where running the file's code is acceptable: transformers from_pretrained + \
                       save_pretrained, or huggingface.co/spaces/safetensors/convert";

/// The shards chosen, with all that was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// File names, sorted; those that are missing are left out.
    pub(super) shards: Vec<String>,
    /// The index and its file name.
    pub(super) index: Option<(String, Index)>,
    /// Reasons for a refusal.
    pub(super) problems: Vec<Problem>,
    /// Odd but harmless findings.
    pub(super) warnings: Vec<String>,
}

/// File names in a directory that matter here, each list sorted.
#[derive(Debug, Default)]
struct Names {
    shards: Vec<String>,
    indexes: Vec<String>,
    others: Vec<String>,
    folders: Vec<String>,
    entries: usize,
    pipeline: bool,
}

fn problem(message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Checkpoint, message)
}

/// A refusal of a single file by its name.
pub(super) fn check_single(path: &Path) -> Result<String, Problem> {
    let name = path.file_name().unwrap_or_default();
    let shown_name = name.to_string_lossy();
    let refuse = |message: &str| Err(problem(message).at(path));
    match name.to_str() {
        Some(name) if name.ends_with(INDEX) => {
            refuse("expected a directory or a .safetensors file, got an index")
                .map_err(|problem| problem.hint("give the directory that holds it"))
        }
        Some("adapter_model.safetensors") => refuse("a PEFT adapter, not a model"),
        Some(name) if name.ends_with(SHARD) => Ok(name.to_owned()),
        _ if other_format(&shown_name) => {
            let found = shown(&shown_name);
            Err(problem(format!("no safetensors checkpoint (found `{found}`)")).at(path).hint(CONVERT))
        }
        _ => refuse("expected a directory or a .safetensors file, got another file"),
    }
}

/// How many shards the set has that `name` is one of.
pub(super) fn set_size(name: &str) -> Option<u64> {
    numbered(name).map(|part| part.count)
}

/// Chooses the shards of the directory `root`.
pub(super) fn select(root: &Path, options: OpenOptions) -> Selection {
    let mut selection = Selection::default();
    let names = match Names::read(root) {
        Ok(names) => names,
        Err(problem) => {
            selection.problems.push(problem);
            return selection;
        }
    };
    let refusal = match names.indexes.as_slice() {
        _ if names.pipeline && !names.folders.is_empty() => Some(several_models(root, &names)),
        [] => without_index(root, &names, options, &mut selection),
        [only] => with_index(root, only, &names, options, &mut selection),
        several => Some(
            problem(format!("expected one index, got {}", listing(several)))
                .hint("keep the index of the model that is meant"),
        ),
    };
    selection.problems.extend(refusal.map(|problem| problem.at(root)));
    selection
}

impl Names {
    fn read(root: &Path) -> Result<Self, Problem> {
        let refuse = |error: std::io::Error| problem(format!("cannot be read: {error}")).at(root);
        let mut names = Self::default();
        for entry in platform::read_dir(root).map_err(refuse)? {
            let entry = entry.map_err(refuse)?;
            let name = entry.file_name();
            names.entries += 1;
            let Some(name) = name.to_str() else {
                if name.to_string_lossy().ends_with(SHARD) {
                    return Err(problem("expected a file name in UTF-8").at(entry.path()));
                }
                continue;
            };
            names.pipeline |= name == "model_index.json";
            let list = if name.starts_with('.') {
                continue;
            } else if name.ends_with(SHARD) {
                &mut names.shards
            } else if name.ends_with(INDEX) {
                &mut names.indexes
            } else if other_format(name) {
                &mut names.others
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) && holds_shards(&entry.path()) {
                &mut names.folders
            } else {
                continue;
            };
            list.push(name.to_owned());
        }
        for list in [&mut names.shards, &mut names.indexes, &mut names.others, &mut names.folders] {
            list.sort_unstable();
        }
        Ok(names)
    }
}

fn other_format(name: &str) -> bool {
    OTHER_FORMATS.iter().any(|suffix| name.ends_with(suffix))
}

fn holds_shards(folder: &Path) -> bool {
    platform::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(SHARD)))
    })
}

fn several_models(root: &Path, names: &Names) -> Problem {
    let first = names.folders.first().map(|folder| root.join(folder)).unwrap_or_default();
    problem(format!("expected one model, got subfolders with safetensors files: {}", listing(&names.folders)))
        .hint(format!("merge each model by itself, e.g. {}", quoted(&first)))
}

fn with_index(
    root: &Path,
    index_name: &str,
    names: &Names,
    options: OpenOptions,
    selection: &mut Selection,
) -> Option<Problem> {
    let path = root.join(index_name);
    let read = open(&path, root, options).map_err(|problem| vec![problem]).and_then(|mut opened| {
        selection.warnings.extend(opened.note(&path));
        let text = read_capped(&mut opened, index::MAX_INDEX_BYTES).map_err(|problem| vec![problem])?;
        index::parse(&text)
    });
    let mut index = match read {
        Ok(index) => index,
        Err(problems) => {
            selection.problems.extend(problems.into_iter().map(|problem| problem.at(&path)));
            return None;
        }
    };
    let place = quoted(&path);
    selection
        .warnings
        .extend(std::mem::take(&mut index.warnings).into_iter().map(|text| format!("{place}: {text}")));

    let is_there = |name: &&String| names.shards.binary_search(name).is_ok();
    let missing: Vec<_> = index.shards.iter().filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        let message =
            format!("{} of {} shards are missing: {}", missing.len(), index.shards.len(), listing(&missing));
        selection.problems.push(problem(message).at(root).hint("download them again"));
    }
    let unread: Vec<_> =
        names.shards.iter().filter(|name| index.shards.binary_search(name).is_err()).collect();
    let whole = index_name.trim_end_matches(".index.json");
    let rival = names.shards.iter().any(|name| name == whole) && index.shards != [whole];
    selection.shards = index.shards.iter().filter(is_there).cloned().collect();
    selection.index = Some((index_name.to_owned(), index));
    if rival {
        return Some(
            problem(format!("expected either `{index_name}` or `{whole}`, got both"))
                .hint("loaders disagree about which of them is the model: remove one"),
        );
    }
    refuse_unread(&unread, options, "that the index does not mention", selection)
}

fn without_index(
    root: &Path,
    names: &Names,
    options: OpenOptions,
    selection: &mut Selection,
) -> Option<Problem> {
    match names.shards.as_slice() {
        [] => return Some(nothing_found(root, names)),
        [only] if only == "adapter_model.safetensors" => return Some(problem("a PEFT adapter, not a model")),
        [only] if set_size(only).is_none() => {
            selection.shards = vec![only.clone()];
            return None;
        }
        _ => {}
    }
    let whole = ["model.safetensors", "diffusion_pytorch_model.safetensors"]
        .into_iter()
        .find(|whole| names.shards.iter().any(|name| name == whole));
    let mut sets: Vec<_> =
        names.shards.iter().filter_map(|name| numbered(name)).map(|part| part.set()).collect();
    sets.dedup();
    sets.sort_unstable();
    sets.dedup();
    let chosen: Vec<_> = match (sets.as_slice(), whole) {
        ([set], None) => names
            .shards
            .iter()
            .filter(|name| numbered(name).is_some_and(|part| part.set() == *set))
            .cloned()
            .collect(),
        ([], Some(whole)) => vec![whole.to_owned()],
        _ => {
            return Some(
                problem(format!(
                    "expected one model, got several files without an index: {}",
                    listing(&names.shards)
                ))
                .hint("give the file that is meant, or remove the others"),
            );
        }
    };
    let unread: Vec<_> = names.shards.iter().filter(|name| chosen.binary_search(name).is_err()).collect();
    let incomplete = incomplete_set(&chosen);
    selection.problems.extend(incomplete.map(|problem| problem.at(root)));
    selection.shards = chosen;
    refuse_unread(&unread, options, "beside the model", selection)
}

fn refuse_unread(
    unread: &[&String],
    options: OpenOptions,
    which: &str,
    selection: &mut Selection,
) -> Option<Problem> {
    if unread.is_empty() {
        return None;
    }
    let files = if unread.len() == 1 { "a safetensors file" } else { "safetensors files" };
    let text = format!("{files} {which}: {}", listing(unread));
    if options.ignore_unreferenced {
        selection.warnings.push(format!("ignored {text}"));
        return None;
    }
    Some(
        problem(format!("found {text}"))
            .hint("remove what is left over, or allow it with `--ignore-unreferenced`"),
    )
}

fn nothing_found(root: &Path, names: &Names) -> Problem {
    if let Some(first) = names.others.first() {
        let rest = if names.others.len() > 1 { ", ..." } else { "" };
        return problem(format!("no safetensors checkpoint (found `{}`{rest})", shown(first))).hint(CONVERT);
    }
    if !names.folders.is_empty() {
        return several_models(root, names);
    }
    let found = match names.entries {
        0 => "the directory is empty".to_owned(),
        1 => "found 1 other entry".to_owned(),
        n => format!("found {n} other entries"),
    };
    problem(format!("no safetensors checkpoint ({found})"))
}

/// A name such as `model-00002-of-00004.safetensors`.
struct Numbered<'a> {
    stem: &'a str,
    number: u64,
    count: u64,
    digits: usize,
}

impl<'a> Numbered<'a> {
    fn set(&self) -> (&'a str, u64, usize) {
        (self.stem, self.count, self.digits)
    }
}

fn numbered(name: &str) -> Option<Numbered<'_>> {
    let (rest, count) = name.strip_suffix(SHARD)?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| (1..10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(count) || !digits(number) || count.len() != number.len() {
        return None;
    }
    Some(Numbered { stem, number: number.parse().ok()?, count: count.parse().ok()?, digits: count.len() })
}

/// Which numbers a set without an index lacks.
fn incomplete_set(names: &[String]) -> Option<Problem> {
    let parts: Vec<_> = names.iter().filter_map(|name| numbered(name)).collect();
    let Numbered { stem, count, digits, .. } = *parts.first()?;
    let mut numbers: Vec<_> = parts.iter().map(|part| part.number).collect();
    numbers.sort_unstable();
    if let Some(outside) = parts.iter().find(|part| !(1..=count).contains(&part.number)) {
        let (number, name) =
            (outside.number, format!("{stem}-{:0digits$}-of-{count:0digits$}{SHARD}", outside.number));
        return Some(problem(format!("expected shards 1 to {count}, got {number}: `{}`", shown(&name))));
    }
    let missing = count - numbers.len() as u64;
    if missing == 0 {
        return None;
    }
    let first: Vec<_> = (1..=count)
        .filter(|number| numbers.binary_search(number).is_err())
        .take(LISTED + 1)
        .map(|number| format!("{stem}-{number:0digits$}-of-{count:0digits$}{SHARD}"))
        .collect();
    let list = listing_of(&first, missing);
    Some(problem(format!("{missing} of {count} shards are missing: {list}")).hint("download them again"))
}

/// What stands at `root` if it is neither a directory nor a file.
pub(super) fn check_kind(root: &Path) -> Result<bool, Problem> {
    let found = fs::metadata(root).map_err(|error| problem(format!("cannot be read: {error}")).at(root))?;
    if found.is_dir() || found.is_file() {
        return Ok(found.is_dir());
    }
    let got = kind(found.file_type());
    Err(problem(format!("expected a directory or a .safetensors file, got {got}")).at(root))
}
