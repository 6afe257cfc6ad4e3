//! Where every tensor of the output lies: the first ingredient's shards, or new ones of at most a given size.
//!
//! The layout is the same for every recipe. Headers are built here, byte for byte as the reference writer makes them,
//! so that the size of every file is known before anything is written.

use crate::checkpoint::{Checkpoint, LocatedTensor, Shard, WeightFile, WeightSet, header, index};
use crate::dtype::Dtype;
use crate::error::{Problem, ProblemKind};
use crate::escape::quoted;

use super::cut::{Draft, Item, cut, without_empty};
use super::remarks::Remarks;
use super::treatments::Treatments;
use super::{MergeRequest, PlannedShard, PlannedTensor, TensorSource, Treatment};

/// The output's files, but for side files.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) tensors: Vec<PlannedTensor>,
    pub(super) shards: Vec<PlannedShard>,
    pub(super) index: Option<Vec<u8>>,
    pub(super) index_name: String,
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
    let drafts = donor_drafts(request, checkpoints, treatments, remarks);
    let recut = request.options.max_shard_size;
    let drafts = match recut {
        Some(most) => cut(drafts, most, &set_of(first), remarks),
        None => without_empty(drafts),
    };
    let mut layout = Layout { index_name: set_of(first).index(), ..Layout::default() };
    for draft in &drafts {
        add_shard(&mut layout, draft, checkpoints, request, remarks);
    }
    if layout.shards.len() > 1 || first.index_name.is_some() {
        let shard_of =
            |tensor: &PlannedTensor| layout.shards.get(tensor.shard).map_or("", |shard| &shard.name);
        let entries = layout.tensors.iter().map(|tensor| (tensor.name.as_str(), shard_of(tensor)));
        layout.index = Some(index::write(entries, layout.total_size, layout.total_parameters));
    }
    layout
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
            let Some(treatment) = treatments.by_name.get(&info.name) else { continue };
            match item(checkpoints, &info.name, treatment, request.options.dtype) {
                Ok(item) => items.push(item),
                Err(problem) => remarks.problem(problem),
            }
        }
        drafts.push(Draft { name: shard.name.clone(), items });
    }
    // What only others have goes to the last file, behind what is as wide, so that all stays aligned there.
    let lacking = treatments.by_name.iter().filter(|(name, _)| !first.tensors.contains_key(*name));
    for (name, treatment) in lacking {
        match (drafts.last_mut(), item(checkpoints, name, treatment, request.options.dtype)) {
            (Some(Draft { items, .. }), Ok(item)) => {
                let narrower = items.iter().position(|before| before.dtype.bytes() < item.dtype.bytes());
                items.insert(narrower.unwrap_or(items.len()), item);
            }
            (_, Err(problem)) => remarks.problem(problem),
            (None, Ok(_)) => {}
        }
    }
    drafts
}

/// A tensor as it is written.
fn item<'a>(
    checkpoints: &'a [Checkpoint],
    name: &str,
    treatment: &'a Treatment,
    asked: Option<Dtype>,
) -> Result<Item<'a>, Problem> {
    let giver = if let Treatment::Taken { from } = treatment { *from } else { 0 };
    let LocatedTensor { shard, tensor: info } =
        checkpoints[giver].locate(name).expect("a tensor of its giver");
    let dtype = match treatment {
        Treatment::Averaged { .. } => asked.unwrap_or(info.dtype),
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

/// What the output's files are called: as the index of the first ingredient says, or its one file, or its set.
fn set_of(first: &Checkpoint) -> WeightSet {
    let from_index = first.index_name.as_deref().and_then(WeightSet::of_index);
    let from_shard = || {
        let of = |shard: &Shard| WeightFile::of(&shard.name).filter(|_| first.directory().is_some());
        match first.shards.as_slice() {
            [only] => of(only).map(|file| file.set),
            several => several.first().and_then(of).map(|file| file.set).filter(WeightSet::is_looked_for),
        }
    };
    from_index.or_else(from_shard).unwrap_or_else(WeightSet::usual)
}

/// Fix offsets and header of one file.
fn add_shard(
    layout: &mut Layout,
    draft: &Draft<'_>,
    checkpoints: &[Checkpoint],
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
    if draft.name.len() > index::MAX_FILE_NAME_BYTES {
        refuse(
            format!("file name of {} bytes, at most 255 are possible", draft.name.len()),
            "rename the shards",
        );
    }
    if draft.items.iter().any(|item| item.info.name == "__metadata__") {
        refuse("a tensor called `__metadata__` cannot be written".to_owned(), "rename the tensor");
    }
    let entries = draft
        .items
        .iter()
        .map(|item| (item.info.name.as_str(), item.dtype, item.info.shape.as_slice(), item.length));
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
            sources: sources(checkpoints, item),
        });
        offset = offset.saturating_add(item.length);
        layout.total_size = layout.total_size.saturating_add(item.length);
        layout.total_parameters = layout.total_parameters.saturating_add(item.elements);
    }
    let tensors = (start..layout.tensors.len()).collect();
    layout.shards.push(PlannedShard { name: draft.name.clone(), header, size: offset, tensors });
}

fn sources(checkpoints: &[Checkpoint], item: &Item<'_>) -> Vec<TensorSource> {
    let name = &item.info.name;
    let checkpoints = match item.treatment {
        Treatment::Taken { from } => std::slice::from_ref(&checkpoints[*from]),
        _ => checkpoints,
    };
    let source = |checkpoint: &Checkpoint| {
        let shard = checkpoint.tensors.get(name)?.shard;
        let info = checkpoint.tensor(name)?;
        Some(TensorSource { shard, offset: info.offset, dtype: info.dtype })
    };
    checkpoints.iter().filter_map(source).collect()
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
    use crate::checkpoint::TensorInfo;
    use crate::dtype::Dtype;
    use crate::plan::remarks::Remarks;
    use crate::plan::{MergeRequest, PlanOptions, Treatment};

    /// The problem of a file `name` with `count` empty tensors called `tensor`.
    fn refusal(name: &str, tensor: &str, count: usize) -> Option<String> {
        let info =
            TensorInfo { name: tensor.into(), dtype: Dtype::F32, shape: vec![0], offset: 0, length: 0 };
        let item =
            || Item { info: &info, treatment: &Treatment::Copied, dtype: Dtype::F32, elements: 0, length: 0 };
        let draft = Draft { name: name.into(), items: (0..count).map(|_| item()).collect() };
        let request = MergeRequest { ingredients: vec![], recipes: vec![], options: PlanOptions::default() };
        let mut remarks = Remarks::default();
        add_shard(&mut Layout::default(), &draft, &[], &request, &mut remarks);
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
