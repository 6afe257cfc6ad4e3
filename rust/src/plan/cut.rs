//! Which tensors share a file: the donor's files without those left empty, or new files of at most a given size.

use crate::checkpoint::TensorInfo;
use crate::dtype::Dtype;

use super::Treatment;
use super::remarks::Remarks;

/// How every shard's name ends.
pub(super) const SHARD_SUFFIX: &str = ".safetensors";

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
/// are numbered anew, for a set with a hole is taken for an unfinished download.
pub(super) fn without_empty(drafts: Vec<Draft<'_>>) -> Vec<Draft<'_>> {
    let before = drafts.len();
    let mut kept: Vec<_> = drafts.into_iter().filter(|draft| !draft.items.is_empty()).collect();
    let after = kept.len();
    if after == before {
        return kept;
    }
    let stems: Option<Vec<String>> = kept.iter().map(|draft| numbered_stem(&draft.name, before)).collect();
    for (i, (draft, stem)) in kept.iter_mut().zip(stems.unwrap_or_default()).enumerate() {
        draft.name = shard_name(&stem, i, after);
    }
    kept
}

/// The stem of `stem-00001-of-00003.safetensors` for a set of `of` files.
fn numbered_stem(name: &str, of: usize) -> Option<String> {
    let stem = name.strip_suffix(&format!("-of-{of:05}{SHARD_SUFFIX}"))?;
    let (stem, number) = stem.rsplit_once('-')?;
    (number.len() == 5 && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| stem.to_owned())
}

/// New files of at most `most` bytes of tensors each, filled in the donor's order of files and tensors. The header
/// is not counted, as in the field's other writers. Inside a file: dtype descending, then name, as the reference
/// writer sorts.
pub(super) fn cut<'a>(
    drafts: Vec<Draft<'a>>,
    most: u64,
    stem: &str,
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
            "{oversized} tensors are larger than the shard size of {most} bytes: each gets a shard of its own"
        ));
    }
    let count = cuts.len();
    let drafts = cuts.into_iter().enumerate().map(|(i, mut items)| {
        items.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.info.name.cmp(&b.info.name)));
        Draft { name: shard_name(stem, i, count), items }
    });
    drafts.collect()
}

fn shard_name(stem: &str, i: usize, count: usize) -> String {
    if count == 1 {
        format!("{stem}{SHARD_SUFFIX}")
    } else {
        format!("{stem}-{:05}-of-{count:05}{SHARD_SUFFIX}", i + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{numbered_stem, shard_name};

    #[test]
    fn shards_are_numbered_from_one() {
        assert_eq!(shard_name("model", 0, 1), "model.safetensors");
        assert_eq!(shard_name("model", 0, 3), "model-00001-of-00003.safetensors");
        assert_eq!(shard_name("m", 99_999, 100_000), "m-100000-of-100000.safetensors");
    }

    #[test]
    fn only_complete_numberings_have_a_stem() {
        let check = |name: &str, of: usize, expected: Option<&str>| {
            assert_eq!(numbered_stem(name, of).as_deref(), expected, "{name}");
        };
        check("model-00002-of-00003.safetensors", 3, Some("model"));
        check("a-b-00002-of-00003.safetensors", 3, Some("a-b"));
        check("model-00002-of-00003.safetensors", 4, None);
        check("model-x-of-00003.safetensors", 3, None);
        check("model.safetensors", 1, None);
        check("model-0002-of-00003.safetensors", 3, None);
        check("model-abcde-of-00003.safetensors", 3, None);
    }
}
