//! Headers against each other and against the index: every name once, every claim true.

use std::collections::BTreeMap;
use std::path::Path;

use super::index::Index;
use super::shard::{Location, Shard};
use crate::error::{Problem, ProblemKind};
use crate::escape::{LISTED, counted, shown};

/// Problems of one sort: the first few in full, the rest as a number.
struct Repeated {
    problems: Vec<Problem>,
    unlisted: usize,
}

impl Repeated {
    fn new() -> Self {
        Self { problems: Vec::new(), unlisted: 0 }
    }

    fn push(&mut self, problem: impl FnOnce() -> Problem) {
        if self.problems.len() < LISTED {
            self.problems.push(problem());
        } else {
            self.unlisted += 1;
        }
    }

    fn finish(mut self, place: &Path) -> Vec<Problem> {
        if self.unlisted > 0 {
            let more = counted(self.unlisted as u64, "more tensor has", "more tensors have");
            let message = format!("{more} the same fault");
            self.problems.push(Problem::new(ProblemKind::Checkpoint, message).at(place));
        }
        self.problems
    }
}

/// Every tensor by name; a name in two shards is a problem.
pub(super) fn gather(root: &Path, shards: &[Shard]) -> (BTreeMap<String, Location>, Vec<Problem>) {
    let mut tensors = BTreeMap::<String, Location>::new();
    let mut twice = Repeated::new();
    for (shard_number, shard) in shards.iter().enumerate() {
        for (tensor_number, tensor) in shard.tensors.iter().enumerate() {
            let location = Location { shard: shard_number, tensor: tensor_number };
            let Some(first) = tensors.insert(tensor.name.clone(), location) else { continue };
            twice.push(|| {
                let first = shards.get(first.shard).map_or("", |shard| shard.name.as_str());
                let message = format!(
                    "expected it in one shard, got two: `{}` and `{}`",
                    shown(first),
                    shown(&shard.name)
                );
                Problem::new(ProblemKind::Checkpoint, message).at(root).tensor(tensor.name.clone())
            });
        }
    }
    (tensors, twice.finish(root))
}

/// Compares an index with the headers. Shards that could not be read are in `index` only and say nothing.
pub(super) fn compare(
    index: &Index,
    index_path: &Path,
    shards: &[Shard],
    tensors: &BTreeMap<String, Location>,
) -> Vec<Problem> {
    let name_of = |location: &Location| shards.get(location.shard).map(|shard| shard.name.as_str());
    let is_read = |name: &str| shards.binary_search_by(|shard| shard.name.as_str().cmp(name)).is_ok();
    let (mut misplaced, mut unlisted) = (Repeated::new(), Repeated::new());
    for (tensor, number) in &index.tensors {
        let claimed = index.shards.get(*number as usize).map_or("", String::as_str);
        let found = tensors.get(tensor).and_then(name_of);
        if !is_read(claimed) || found == Some(claimed) {
            continue;
        }
        misplaced.push(|| {
            let got =
                found.map_or("no such tensor there".to_owned(), |found| format!("it in `{}`", shown(found)));
            let message = format!("expected it in `{}`, as the index says, got {got}", shown(claimed));
            Problem::new(ProblemKind::Checkpoint, message).at(index_path).tensor(tensor.clone())
        });
    }
    for (tensor, location) in tensors {
        if index.tensors.binary_search_by(|(name, _)| name.cmp(tensor)).is_err() {
            unlisted.push(|| {
                let holder = shown(name_of(location).unwrap_or_default());
                let message = format!("expected it in the index, as `{holder}` holds it, got no entry");
                Problem::new(ProblemKind::Checkpoint, message).at(index_path).tensor(tensor.clone())
            });
        }
    }
    let mut problems = misplaced.finish(index_path);
    problems.extend(unlisted.finish(index_path));
    problems
}
