//! Where every tensor of the output lies: the first ingredient's shards, or new ones of at most a given size.
//!
//! The layout is the same for every recipe. Headers are built here, byte for byte as the reference writer makes them,
//! so that the size of every file is known before anything is written.

use crate::checkpoint::folder::{folder_of, join, within};
use crate::checkpoint::{Checkpoint, LocatedTensor, Part, WeightFile, WeightSet, header, index};
use crate::dtype::Dtype;
use crate::error::{Problem, ProblemKind};
use crate::escape::quoted;

use super::cut::{Draft, Item, cut, without_empty};
use super::remarks::Remarks;
use super::treatments::Treatments;
use super::{Derived, MergeRequest, PlannedIndex, PlannedShard, PlannedTensor, TensorSource, Treatment};

/// The output's files, but for side files.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) tensors: Vec<PlannedTensor>,
    pub(super) shards: Vec<PlannedShard>,
    pub(super) indexes: Vec<PlannedIndex>,
    pub(super) total_size: u64,
    pub(super) total_parameters: u64,
}

/// Lay the output out. The ingredients are known to agree.
pub(super) fn lay_out(
    request: &MergeRequest,
    checkpoints: &[Checkpoint],
    treatments: &Treatments,
    remarks: &mut Remarks,
) -> Layout {
    let Some(first) = checkpoints.first() else { return Layout::default() };
    let mut drafts = donor_drafts(request, checkpoints, treatments, remarks);
    let mut layout = Layout::default();
    for part in &first.parts {
        let here = drafts.extract_if(.., |draft| folder_of(&draft.name) == part.folder).collect();
        let here = match request.options.max_shard_size {
            Some(most) => cut(here, most, (&part.folder, &set_of(first, part)), remarks),
            None => without_empty(here, &part.folder),
        };
        let before = layout.shards.len();
        for draft in &here {
            add_shard(&mut layout, draft, (checkpoints, &treatments.derived), request, remarks);
        }
        if here.len() > 1 || (!here.is_empty() && part.index_name.is_some()) {
            layout.indexes.push(PlannedIndex {
                name: join(&part.folder, &set_of(first, part).index()),
                bytes: index_of(&layout, before, &part.folder),
            });
        }
    }
    layout
}

/// The index of the part in `folder`, whose shards are those from number `first` on.
fn index_of(layout: &Layout, first: usize, folder: &str) -> Vec<u8> {
    let here = || layout.tensors.iter().filter(|tensor| tensor.shard >= first);
    let shard_of = |tensor: &PlannedTensor| layout.shards.get(tensor.shard).map_or("", |shard| &shard.name);
    let entries = here().map(|tensor| (within(folder, &tensor.name), within(folder, shard_of(tensor))));
    let total = |size: fn(&PlannedTensor) -> u64| here().map(size).fold(0, u64::saturating_add);
    index::write(entries, total(|tensor| tensor.length), total(|tensor| tensor.elements))
}

/// The first ingredient's shards with the tensors that stay, in file order.
fn donor_drafts<'a>(
    request: &MergeRequest,
    checkpoints: &'a [Checkpoint],
    treatments: &'a Treatments,
    remarks: &mut Remarks,
) -> Vec<Draft<'a>> {
    let first = &checkpoints[0];
    let mut drafts = Vec::with_capacity(first.shards.len());
    for shard in &first.shards {
        let mut items = Vec::with_capacity(shard.tensors.len());
        for info in &shard.tensors {
            if !treatments.by_name.contains_key(&info.name) {
                continue;
            }
            match item(checkpoints, treatments, &info.name, request.options.dtype) {
                Ok(item) => items.push(item),
                Err(problem) => remarks.problem(problem),
            }
        }
        drafts.push(Draft { name: shard.name.clone(), items });
    }
    // What only others have goes to the last file of its part, behind what is as wide, so that all stays aligned there.
    let lacking = treatments.by_name.iter().filter(|(name, _)| !first.tensors.contains_key(*name));
    for (name, treatment) in lacking {
        let item = match item(checkpoints, treatments, name, request.options.dtype) {
            Ok(item) => item,
            Err(problem) => {
                remarks.problem(problem);
                continue;
            }
        };
        let holder = &giver(checkpoints, name, treatment).shard;
        let in_part = |draft: &Draft<'_>| folder_of(&draft.name) == holder.folder();
        let place = drafts.iter().rposition(in_part).unwrap_or_else(|| {
            let file = WeightFile::of(within(holder.folder(), &holder.name));
            // One file, whatever the set that the giver's is one of.
            let whole = file.map(|file| join(holder.folder(), &file.set.shard(0, 1)));
            let name = whole.unwrap_or_else(|| holder.name.clone());
            drafts.push(Draft { name, items: Vec::new() });
            drafts.len() - 1
        });
        let items = &mut drafts[place].items;
        let narrower = items.iter().position(|before| before.dtype.bytes() < item.dtype.bytes());
        items.insert(narrower.unwrap_or(items.len()), item);
    }
    drafts
}

/// The tensor that decides how it is written: that of the ingredient it is taken from, or the first's.
fn giver<'a>(checkpoints: &'a [Checkpoint], name: &str, treatment: &Treatment) -> LocatedTensor<'a> {
    let ingredient = if let Treatment::Taken { from } = treatment { *from } else { 0 };
    checkpoints[ingredient].locate(name).expect("a tensor of its giver")
}

/// A tensor as it is written.
fn item<'a>(
    checkpoints: &'a [Checkpoint],
    treatments: &'a Treatments,
    name: &str,
    asked: Option<Dtype>,
) -> Result<Item<'a>, Problem> {
    let treatment = &treatments.by_name[name];
    let LocatedTensor { shard, tensor: info } = giver(checkpoints, name, treatment);
    let dtype = match treatment {
        Treatment::Averaged { .. } => asked.unwrap_or_else(|| treatments.derived[0].written(info)),
        Treatment::Copied | Treatment::Taken { .. } => info.dtype,
    };
    let elements = info.shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
    let sizes = elements.and_then(|n| Some((n, n.checked_mul(dtype.bytes()? as u64)?)));
    let Some((elements, length)) = sizes else {
        let message = format!("is too large to be written as {dtype}");
        return Err(Problem::new(ProblemKind::Output, message).at(&shard.path).tensor(name));
    };
    Ok(Item { info, treatment, dtype, elements, length })
}

/// What a part's files are called: as the index of the first ingredient says, or its one file, or its set.
fn set_of(first: &Checkpoint, part: &Part) -> WeightSet {
    let from_index = part.index_name.as_deref().and_then(WeightSet::of_index);
    let from_shard = || {
        first.directory()?;
        let mut here = first.shards.iter().filter(|shard| shard.folder() == part.folder);
        let file = WeightFile::of(within(&part.folder, &here.next()?.name))?;
        (here.next().is_none() || file.set.is_looked_for()).then_some(file.set)
    };
    from_index.or_else(from_shard).unwrap_or_else(WeightSet::usual)
}

/// Fix offsets and header of one file.
fn add_shard(
    layout: &mut Layout,
    draft: &Draft<'_>,
    (checkpoints, derived): (&[Checkpoint], &[Derived]),
    request: &MergeRequest,
    remarks: &mut Remarks,
) {
    let mut refuse = |message: String, hint: &str| {
        let output = request.recipes.first().map(|recipe| recipe.output.join(&draft.name));
        let problem = Problem::new(ProblemKind::Output, message).hint(hint);
        remarks.problem(match output {
            Some(path) => problem.at(path),
            None => problem,
        });
    };
    let folder = folder_of(&draft.name);
    let file_name = within(folder, &draft.name);
    if file_name.len() > index::MAX_FILE_NAME_BYTES {
        refuse(
            format!("file name of {} bytes, at most 255 are possible", file_name.len()),
            "rename the shards",
        );
    }
    if draft.items.iter().any(|item| within(folder, &item.info.name) == "__metadata__") {
        refuse("a tensor called `__metadata__` cannot be written".to_owned(), "rename the tensor");
    }
    let entries = draft
        .items
        .iter()
        .map(|item| (within(folder, &item.info.name), item.dtype, item.info.shape.as_slice(), item.length));
    let header = header::write(entries);
    let header_bytes = header.len() as u64 - header::LENGTH_BYTES;
    if header_bytes > header::MAX_HEADER_BYTES {
        let message =
            format!("header of {header_bytes} bytes, at most {} are possible", header::MAX_HEADER_BYTES);
        refuse(message, "cut smaller shards with `--max-shard-size`");
    }
    let shard = layout.shards.len();
    let start = layout.tensors.len();
    let mut offset = header.len() as u64;
    for item in &draft.items {
        layout.tensors.push(PlannedTensor {
            name: item.info.name.clone(),
            dtype: item.dtype,
            shape: item.info.shape.clone(),
            elements: item.elements,
            shard,
            offset,
            length: item.length,
            treatment: item.treatment.clone(),
            sources: sources(checkpoints, derived, item),
        });
        offset = offset.saturating_add(item.length);
        layout.total_size = layout.total_size.saturating_add(item.length);
        layout.total_parameters = layout.total_parameters.saturating_add(item.elements);
    }
    let tensors = (start..layout.tensors.len()).collect();
    layout.shards.push(PlannedShard { name: draft.name.clone(), header, size: offset, tensors });
}

fn sources(checkpoints: &[Checkpoint], derived: &[Derived], item: &Item<'_>) -> Vec<TensorSource> {
    let ingredients = match item.treatment {
        Treatment::Taken { from } => *from..from + 1,
        _ => 0..checkpoints.len(),
    };
    ingredients.filter_map(|i| TensorSource::of(&checkpoints[i], &derived[i], &item.info.name)).collect()
}

/// A note on where the layout comes from, when it is not where the config comes from.
pub(super) fn note(request: &MergeRequest, checkpoints: &[Checkpoint]) -> Option<String> {
    let donor = checkpoints.get(request.options.config_from)?;
    let first = checkpoints.first()?;
    (request.options.config_from != 0).then(|| {
        format!(
            "config and tokenizer come from {}, shard layout and dtypes from {}",
            quoted(&donor.root),
            quoted(&first.root)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Draft, Item, Layout, add_shard};
    use crate::checkpoint::{Adapters, TensorInfo};
    use crate::dtype::Dtype;
    use crate::io::remote::Objects;
    use crate::plan::remarks::Remarks;
    use crate::plan::{MergeRequest, PlanOptions, Treatment};

    /// The problem of a file `name` with `count` empty tensors called `tensor`.
    fn refusal(name: &str, tensor: &str, count: usize) -> Option<String> {
        let info =
            TensorInfo { name: tensor.into(), dtype: Dtype::F32, shape: vec![0], offset: 0, length: 0 };
        let item =
            || Item { info: &info, treatment: &Treatment::Copied, dtype: Dtype::F32, elements: 0, length: 0 };
        let draft = Draft { name: name.into(), items: (0..count).map(|_| item()).collect() };
        let request = MergeRequest {
            ingredients: vec![],
            recipes: vec![],
            objects: Objects::default(),
            adapters: Adapters::default(),
            options: PlanOptions::default(),
        };
        let mut remarks = Remarks::default();
        add_shard(&mut Layout::default(), &draft, (&[], &[]), &request, &mut remarks);
        remarks.problems.first().map(ToString::to_string)
    }

    #[test]
    fn what_readers_refuse_is_not_laid_out() {
        assert_eq!(refusal("m.safetensors", "w", 1), None);
        assert_eq!(refusal(&"x".repeat(255), "w", 1), None);
        let around =
            r#"{"__metadata__":{"format":"pt"},"":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
        let longest = "x".repeat(100_000_000 - around.len());
        assert_eq!(refusal("m.safetensors", &longest, 1), None);
        let check = |name: &str, tensor: &str, count: usize, expected: &str| {
            let problem = refusal(name, tensor, count).unwrap_or_default();
            assert!(problem.contains(expected), "{problem}");
        };
        check("m.safetensors", "__metadata__", 1, "a tensor called `__metadata__` cannot be written");
        check(&"x".repeat(256), "w", 1, "file name of 256 bytes, at most 255 are possible");
        check(
            "m.safetensors",
            &(longest + "x"),
            1,
            "header of 100000008 bytes, at most 100000000 are possible",
        );
        check("m.safetensors", &"x".repeat(4096), 24_500, "bytes, at most 100000000 are possible");
    }
}
