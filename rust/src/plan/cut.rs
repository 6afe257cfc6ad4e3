//! Which tensors share a file: the donor's files without those left empty, or new files of at most a given size.

use crate::checkpoint::folder::{join, within};
use crate::checkpoint::{TensorInfo, WeightFile, WeightSet};
use crate::dtype::Dtype;
use crate::escape::counted;

use super::Treatment;
use super::remarks::Remarks;

/// One output file before its header exists: a name and the tensors in it.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) name: String,
    pub(super) items: Vec<Item<'a>>,
}

/// One tensor of an output file, with its size there.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) info: &'a TensorInfo,
    pub(super) treatment: &'a Treatment,
    pub(super) dtype: Dtype,
    pub(super) elements: u64,
    pub(super) length: u64,
}

/// Leave out files that hold nothing any more (a shard of its own for a tied head). If the files were numbered, they
/// are numbered anew, for a set with a hole is taken for an unfinished download; so is one file that is a model by itself.
pub(super) fn without_empty<'a>(drafts: Vec<Draft<'a>>, folder: &str) -> Vec<Draft<'a>> {
    let before = drafts.len();
    let mut kept: Vec<_> = drafts.into_iter().filter(|draft| !draft.items.is_empty()).collect();
    let after = kept.len();
    let sets: Option<Vec<WeightSet>> =
        kept.iter().map(|draft| set_of(within(folder, &draft.name), before, after)).collect();
    for (i, (draft, set)) in kept.iter_mut().zip(sets.unwrap_or_default()).enumerate() {
        draft.name = join(folder, &set.shard(i, after));
    }
    kept
}

/// The set of a file that is one of `before` by its name, of which `after` are left; of one that is alone, whatever its
/// name says.
fn set_of(name: &str, before: usize, after: usize) -> Option<WeightSet> {
    let WeightFile { set, part } = WeightFile::of(name)?;
    let count = part?.count;
    ((before == 1 || count == before as u64) && count != after as u64).then_some(set)
}

/// New files of at most `most` bytes of tensors each, filled in the donor's order of files and tensors. The header
/// is not counted, as in the field's other writers. Inside a file: dtype descending, then name, as the reference
/// writer sorts.
pub(super) fn cut<'a>(
    drafts: Vec<Draft<'a>>,
    most: u64,
    (folder, set): (&str, &WeightSet),
    remarks: &mut Remarks,
) -> Vec<Draft<'a>> {
    let mut cuts: Vec<Vec<Item<'a>>> = Vec::new();
    let mut filled = 0u64;
    let mut oversized = 0;
    for item in drafts.into_iter().flat_map(|draft| draft.items) {
        oversized += usize::from(item.length > most);
        match cuts.last_mut() {
            Some(items) if filled.saturating_add(item.length) <= most => {
                filled += item.length;
                items.push(item);
            }
            _ => {
                filled = item.length;
                cuts.push(vec![item]);
            }
        }
    }
    if oversized > 0 {
        remarks.warn(format!(
            "{} than the shard size of {most} bytes: each gets a shard of its own",
            counted(oversized as u64, "tensor is larger", "tensors are larger")
        ));
    }
    let count = cuts.len();
    let drafts = cuts.into_iter().enumerate().map(|(i, mut items)| {
        items.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.info.name.cmp(&b.info.name)));
        Draft { name: join(folder, &set.shard(i, count)), items }
    });
    drafts.collect()
}
