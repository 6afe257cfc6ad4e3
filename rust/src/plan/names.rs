//! Every ingredient must have the same names: a tensor that only some have is never averaged over those that have it.

use std::collections::BTreeSet;

use crate::checkpoint::{Checkpoint, mend};
use crate::error::{Problem, ProblemKind};
use crate::escape::{quoted, shown};

use super::remarks::Remarks;
use super::tied::is_language_head;

const HINT: &str = "ingredients must come from one architecture and have the same tensors; for those that only some have, \
    `--leave-out PATTERN` leaves them out of the soup and `--take PATTERN=INGREDIENT` takes them from one as they are";

/// Compare each ingredient's names with the first's, but for what is in `decided`: left out, taken from one, or a tied copy.
pub(super) fn check(checkpoints: &[Checkpoint], decided: &BTreeSet<&str>, remarks: &mut Remarks) {
    let Some((first, others)) = checkpoints.split_first() else { return };
    for other in others {
        let missing = lacking(first, other, decided);
        let extra = lacking(other, first, decided);
        let renamed = renamed(first, other, &missing, &extra);
        let hint = |name: &str| renamed.clone().unwrap_or_else(|| hint(name));
        let lacks = |name: &&str| {
            Problem::new(ProblemKind::Incompatible, format!("missing, but {} has it", quoted(&first.root)))
                .at(&other.root)
                .tensor(*name)
                .hint(hint(name))
        };
        let surplus = |name: &&str| {
            Problem::new(ProblemKind::Incompatible, format!("missing in {}", quoted(&first.root)))
                .at(other.locate(name).map_or(&other.root, |found| &found.shard.path))
                .tensor(*name)
                .hint(hint(name))
        };
        remarks.tensors(&other.root, missing.iter().map(lacks).collect(), "tensors are missing");
        let rest = format!("tensors are missing in {}", quoted(&first.root));
        remarks.tensors(&other.root, extra.iter().map(surplus).collect(), &rest);
    }
}

fn lacking<'a>(with: &'a Checkpoint, without: &Checkpoint, decided: &BTreeSet<&str>) -> Vec<&'a str> {
    let names = with.tensors.keys().map(String::as_str);
    names.filter(|name| !without.tensors.contains_key(*name) && !decided.contains(name)).collect()
}

fn hint(name: &str) -> String {
    if is_language_head(name) {
        "a tied copy of the embedding is left out only where every config.json agrees and the output's says \
         `\"tie_word_embeddings\": true` or ties by default; else `--leave-out PATTERN` leaves the tensor out and \
         `--take PATTERN=INGREDIENT` takes it from one ingredient as it is"
            .to_owned()
    } else {
        HINT.to_owned()
    }
}

/// The hint for two checkpoints that hold the same tensors under other names.
fn renamed(first: &Checkpoint, other: &Checkpoint, missing: &[&str], extra: &[&str]) -> Option<String> {
    let (with, without, prefix) = match (prefix(missing, extra), prefix(extra, missing)) {
        (Some(prefix), _) => (other, first, prefix),
        (None, Some(prefix)) => (first, other, prefix),
        (None, None) => return saved_apart(first, other, missing, extra),
    };
    Some(format!(
        "the names in {} begin with `{}` where those in {} do not: rename them, e.g. in a copy with {}",
        quoted(&with.root),
        shown(&prefix),
        quoted(&without.root),
        mend::without_prefix(&with.root, &prefix)
    ))
}

/// The hint for two checkpoints of which each has what the other lacks, and as many values of it.
fn saved_apart(first: &Checkpoint, other: &Checkpoint, missing: &[&str], extra: &[&str]) -> Option<String> {
    let bytes = |checkpoint: &Checkpoint, names: &[&str]| -> u64 {
        names.iter().filter_map(|name| checkpoint.tensor(name)).map(|tensor| tensor.length).sum()
    };
    let (lacks, has) = (bytes(first, missing), bytes(other, extra));
    (lacks > 0 && lacks == has).then(|| {
        format!(
            "as many values have other names there: if one architecture was saved by two versions of a library, load and \
             save all with one version of transformers, and take what that writes: {}",
            mend::saved_again(&other.root)
        )
    })
}

/// What has to be put before each of `bare` to find it in `prefixed`.
fn prefix(bare: &[&str], prefixed: &[&str]) -> Option<String> {
    let shortest = bare.iter().min_by_key(|name| name.len())?;
    let all: BTreeSet<&str> = prefixed.iter().copied().collect();
    let candidates = prefixed.iter().filter_map(|name| name.strip_suffix(shortest));
    // A few candidates are enough for real models and keep hostile name sets from costing a product.
    let mut candidates = candidates.filter(|prefix| !prefix.is_empty()).take(16);
    candidates
        .find(|prefix| bare.iter().all(|name| all.contains(format!("{prefix}{name}").as_str())))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn a_common_prefix_is_found() {
        let check = |bare: &[&str], prefixed: &[&str], expected: Option<&str>| {
            assert_eq!(prefix(bare, prefixed).as_deref(), expected, "{bare:?} {prefixed:?}");
        };
        check(&["norm.weight", "embed.weight"], &["model.embed.weight", "model.norm.weight"], Some("model."));
        check(&["weight"], &["a.b.weight", "a.weight"], Some("a.b."));
        check(&["norm.weight", "x"], &["model.embed.weight", "model.norm.weight"], None);
        check(&["norm.weight"], &["model.norm.weight", "lm_head.weight"], Some("model."));
        check(&[], &["a"], None);
        check(&["a"], &[], None);
    }
}
