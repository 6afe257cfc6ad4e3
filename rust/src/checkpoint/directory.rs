//! Which files of a directory are the shards of its model. Where loaders would differ, this refuses.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::entries::{Names, other_format};
use super::index::{self, Index};
use super::mend;
use super::open::{OpenOptions, kind, open, read_capped};
use super::parts::Part;
use super::weight_set::{Numbered, Readers, SHARD, WeightFile, WeightSet};
use crate::error::{Problem, ProblemKind};
use crate::escape::{LISTED, listing, listing_of, quoted, shown};
use crate::io::remote::Objects;

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

fn problem(message: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Checkpoint, message)
}

/// A refusal of a single file by its name.
pub(super) fn check_single(path: &Path) -> Result<String, Problem> {
    let name = path.file_name().unwrap_or_default();
    let shown_name = name.to_string_lossy();
    let refuse = |message: &str| Err(problem(message).at(path));
    match name.to_str() {
        Some(name) if WeightSet::of_index(name).is_some() => {
            refuse("expected a directory or a .safetensors file, got an index")
                .map_err(|problem| problem.hint("give the directory that holds it"))
        }
        Some(name) if name.starts_with(mend::ADAPTER) => Err(adapter(path).at(path)),
        Some(name) if name.ends_with(SHARD) => Ok(name.to_owned()),
        _ if other_format(&shown_name) => {
            let found = shown(&shown_name);
            Err(problem(format!("no safetensors checkpoint (found `{found}`)"))
                .at(path)
                .hint(mend::convert(path, None)))
        }
        _ => refuse("expected a directory or a .safetensors file, got another file"),
    }
}

/// How many shards the set has that `name` is one of.
pub(super) fn set_size(name: &str) -> Option<u64> {
    Some(WeightFile::of(name)?.part?.count)
}

/// Chooses the shards of `part`, which lies in the directory `root` of the checkpoint in `home`. Those of `objects` count as
/// lying there.
pub(super) fn select(
    (root, home): (&Path, &Path),
    part: &Part,
    options: OpenOptions,
    objects: &Objects,
) -> Selection {
    let mut selection = Selection::default();
    let names = match Names::read(root, objects) {
        Ok(names) => names,
        Err(problem) => {
            selection.problems.push(problem);
            return selection;
        }
    };
    let refusal = if !part.class.is_empty() && names.shards.is_empty() && names.indexes.is_empty() {
        without_shards(root, part, &names)
    } else {
        choose(root, &names).and_then(|(set, files)| match &files.index {
            Some(index) => with_index((root, home), &set, index, &names, options, &mut selection),
            None => without_index(root, &set, &files, &names, options, &mut selection),
        })
    };
    selection.problems.extend(refusal.err().map(|problem| problem.at(root)));
    selection
}

/// A part may do without tensors, unless it has them in a format that is not read.
fn without_shards(root: &Path, part: &Part, names: &Names) -> Result<(), Problem> {
    if names.others.is_empty() && part.needs_tensors() {
        let message = format!("expected the tensors of a {}, got none", shown(&part.class));
        return Err(problem(message).hint("download the folder again"));
    }
    names.others.first().map_or(Ok(()), |first| Err(in_other_format(root, first, names.others.len())))
}

fn in_other_format(root: &Path, first: &str, count: usize) -> Problem {
    let rest = if count > 1 { ", ..." } else { "" };
    problem(format!("no safetensors checkpoint (found `{}`{rest})", shown(first)))
        .hint(mend::convert(&root.join(first), Some(root)))
}

fn several_models(root: &Path, names: &Names) -> Problem {
    let first = names.folders.first().map(|folder| root.join(folder)).unwrap_or_default();
    problem(format!("expected one model, got subfolders with safetensors files: {}", listing(&names.folders)))
        .hint(format!("merge each model by itself, e.g. {}", quoted(&first)))
}

/// The files of one set.
#[derive(Debug, Default)]
struct SetFiles<'a> {
    index: Option<&'a String>,
    numbered: Vec<(&'a String, Numbered)>,
    whole: Option<&'a String>,
}

/// The set that most programs read, one with an index before one without.
fn choose<'a>(root: &Path, names: &'a Names) -> Result<(WeightSet, SetFiles<'a>), Problem> {
    match names.shards.as_slice() {
        [] if names.indexes.is_empty() => return Err(nothing_found(root, names)),
        [only] if only.starts_with(mend::ADAPTER) => return Err(adapter(root)),
        _ => {}
    }
    let mut sets = BTreeMap::<WeightSet, SetFiles<'a>>::new();
    for (name, set) in names.indexes.iter().filter_map(|name| Some((name, WeightSet::of_index(name)?))) {
        sets.entry(set).or_default().index = Some(name);
    }
    for (name, file) in names.shards.iter().filter_map(|name| Some((name, WeightFile::of(name)?))) {
        let files = sets.entry(file.set).or_default();
        match file.part {
            Some(part) => files.numbered.push((name, part)),
            None => files.whole = Some(name),
        }
    }
    for files in sets.values_mut() {
        files.numbered.sort_by_key(|(_, part)| part.number); // names without zeros are in another order
    }
    let rank = |set: &WeightSet, files: &SetFiles<'_>| {
        (set.readers(), files.index.is_none(), files.numbered.is_empty())
    };
    let first: Option<(Readers, bool, bool)> = sets.iter().map(|(set, files)| rank(set, files)).min();
    let mut chosen: Vec<_> =
        sets.into_iter().filter(|(set, files)| Some(rank(set, files)) == first).collect();
    match (chosen.pop(), first) {
        (Some(only), _) if chosen.is_empty() => Ok(only),
        (_, Some((_, false, _))) => {
            Err(problem(format!("expected one index, got {}", listing(&names.indexes)))
                .hint("keep the index of the model that is meant"))
        }
        _ => Err(several_files(names)),
    }
}

fn several_files(names: &Names) -> Problem {
    problem(format!("expected one model, got several files without an index: {}", listing(&names.shards)))
        .hint("give the file that is meant, or remove the others")
}

fn with_index(
    (root, home): (&Path, &Path),
    set: &WeightSet,
    index_name: &str,
    names: &Names,
    options: OpenOptions,
    selection: &mut Selection,
) -> Result<(), Problem> {
    let path = root.join(index_name);
    let read = open(&path, home, options).map_err(|problem| vec![problem]).and_then(|mut opened| {
        selection.warnings.extend(opened.note(&path));
        let text = read_capped(&mut opened, index::MAX_INDEX_BYTES).map_err(|problem| vec![problem])?;
        index::parse(&text)
    });
    let mut index = match read {
        Ok(index) => index,
        Err(problems) => {
            selection.problems.extend(problems.into_iter().map(|problem| problem.at(&path)));
            return Ok(());
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
        selection.problems.push(problem(message).at(root).hint(mend::download(root)));
    }
    let whole = set.shard(0, 1);
    let rival = names.shards.contains(&whole) && index.shards != [whole.as_str()];
    let read: Vec<_> = index.shards.iter().filter(is_there).cloned().collect();
    selection.index = Some((index_name.to_owned(), index));
    if rival {
        selection.shards = read;
        return Err(problem(format!("expected either `{index_name}` or `{whole}`, got both"))
            .hint("loaders disagree about which of them is the model: remove one"));
    }
    take(root, set, read, names, options, selection)
}

fn without_index(
    root: &Path,
    set: &WeightSet,
    files: &SetFiles<'_>,
    names: &Names,
    options: OpenOptions,
    selection: &mut Selection,
) -> Result<(), Problem> {
    let chosen: Vec<String> = match (files.numbered.as_slice(), files.whole) {
        ([], Some(whole)) => vec![whole.clone()],
        (parts @ [(_, first), ..], None)
            if parts.iter().all(|(_, part)| (part.count, part.digits) == (first.count, first.digits))
                && parts.is_sorted_by(|(_, a), (_, b)| a.number < b.number) =>
        {
            parts.iter().map(|(name, _)| (*name).clone()).collect()
        }
        _ => return Err(several_files(names)),
    };
    let incomplete = incomplete_set(root, &files.numbered);
    selection.problems.extend(incomplete.map(|problem| problem.at(root)));
    take(root, set, chosen, names, options, selection)
}

/// Choose the shards `chosen`. Other forms of the model are left, with a word; what nobody mentions is refused unless
/// the user allows it.
fn take(
    root: &Path,
    set: &WeightSet,
    chosen: Vec<String>,
    names: &Names,
    options: OpenOptions,
    selection: &mut Selection,
) -> Result<(), Problem> {
    let index = selection.index.as_ref();
    let is_read = |name: &str| match index {
        Some((_, index)) => index.shards.binary_search_by(|shard| shard.as_str().cmp(name)).is_ok(),
        None => chosen.iter().any(|read| read == name),
    };
    let is_other_form = |name: &str| {
        let file = WeightSet::of_index(name).or_else(|| Some(WeightFile::of(name)?.set));
        file.is_some_and(|other| other.is_other_form_of(set))
    };
    let (mut left, unread): (Vec<&str>, Vec<&str>) = (names.shards.iter().map(String::as_str))
        .filter(|name| !is_read(name))
        .partition(|name| is_other_form(name));
    let has_index = index.is_some();
    let read = index.map_or_else(|| chosen.first().cloned(), |(name, _)| Some(name.clone()));
    left.extend(names.indexes.iter().filter(|name| Some(*name) != read.as_ref()).map(String::as_str));
    if let (Some(read), false) = (read, left.is_empty()) {
        selection.warnings.push(format!(
            "{}: `{}` is the model, as loaders take it; left aside: {}",
            quoted(root),
            shown(&read),
            listing(&left)
        ));
    }
    selection.shards = chosen;
    if unread.is_empty() {
        return Ok(());
    }
    let which = if has_index { "that the index does not mention" } else { "beside the model" };
    let files = if unread.len() == 1 { "a safetensors file" } else { "safetensors files" };
    let text = format!("{files} {which}: {}", listing(&unread));
    if options.ignore_unreferenced {
        selection.warnings.push(format!("ignored {text}"));
        return Ok(());
    }
    Err(problem(format!("found {text}"))
        .hint("remove what is left over, or allow it with `--ignore-unreferenced`"))
}

fn nothing_found(root: &Path, names: &Names) -> Problem {
    if names.others.iter().any(|name| name.starts_with(mend::ADAPTER)) {
        return adapter(root);
    }
    if let Some(first) = names.others.first() {
        return in_other_format(root, first, names.others.len());
    }
    match names.folders.as_slice() {
        [] => {}
        [only] => {
            return problem(format!("no safetensors checkpoint, but there is one in `{}`", shown(only)))
                .hint(mend::give(&root.join(only)));
        }
        _ => return several_models(root, names),
    }
    let found = match names.entries {
        0 => "the directory is empty".to_owned(),
        1 => "found 1 other entry".to_owned(),
        n => format!("found {n} other entries"),
    };
    let mut refusal = problem(format!("no safetensors checkpoint ({found})"));
    refusal.hint = mend::incomplete_snapshot(root);
    refusal
}

fn adapter(path: &Path) -> Problem {
    problem("a PEFT adapter, not a model").hint(mend::adapter(path))
}

/// Which numbers a set without an index lacks.
fn incomplete_set(root: &Path, files: &[(&String, Numbered)]) -> Option<Problem> {
    let &(name, Numbered { number, count, digits }) = files.first()?;
    let numbers: Vec<u64> = files.iter().map(|(_, part)| part.number).collect();
    // What the others are called: the first one's name with another number.
    let width = if name.contains(&format!("-{number}-of-{count}")) { 0 } else { digits };
    let place = |number: u64| format!("-{number:0width$}-of-{count:0width$}");
    let called = |other: u64| name.replace(&place(number), &place(other));
    if let Some(&outside) = numbers.iter().find(|number| !(1..=count).contains(number)) {
        let name = called(outside);
        return Some(problem(format!("expected shards 1 to {count}, got {outside}: `{}`", shown(&name))));
    }
    let missing = count - numbers.len() as u64;
    if missing == 0 {
        return None;
    }
    let first: Vec<_> = (1..=count)
        .filter(|number| numbers.binary_search(number).is_err())
        .take(LISTED + 1)
        .map(called)
        .collect();
    let list = listing_of(&first, missing);
    Some(problem(format!("{missing} of {count} shards are missing: {list}")).hint(mend::download(root)))
}

/// Whether a directory is at `root`, or else a file, which may be one of `objects`.
pub(super) fn check_kind(root: &Path, objects: &Objects) -> Result<bool, Problem> {
    if objects.get(root).is_some() {
        return Ok(false);
    }
    let found = fs::metadata(root).map_err(|error| {
        let mut refusal = problem(format!("cannot be read: {error}")).at(root);
        refusal.hint = (error.kind() == ErrorKind::NotFound).then(|| mend::nowhere(root)).flatten();
        refusal
    })?;
    if found.is_dir() || found.is_file() {
        return Ok(found.is_dir());
    }
    let got = kind(found.file_type());
    Err(problem(format!("expected a directory or a .safetensors file, got {got}")).at(root))
}
