//! The ingredients' shards, opened when first needed and closed when nothing of them is needed any more, or when too
//! many others are.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::Result;
use crate::io::remote::{BLOCK, Fetch, Stretch};
use crate::io::{Backend, Cache, Source, platform};
use crate::plan::{Plan, PlannedTensor};

use super::options::MergeOptions;
use super::work::Work;

/// One shard.
struct InputShard {
    /// Tensors still to be read.
    left: usize,
    source: Option<Arc<Source>>,
    /// When it was last asked for.
    used: u64,
}

/// The stream of an ingredient and shard in what is fetched ahead.
type Streams = HashMap<(usize, usize), usize>;

/// Open shards of all ingredients.
pub(super) struct Inputs<'a> {
    plan: &'a Plan,
    backend: Option<Backend>,
    cache: Cache,
    /// What is fetched ahead of the work, if anything is.
    fetch: Option<Arc<Fetch>>,
    streams: Streams,
    /// By ingredient and shard.
    shards: Vec<Vec<Mutex<InputShard>>>,
    /// Counts what is asked for.
    clock: AtomicU64,
    /// Shards that are open.
    open: Mutex<HashSet<(usize, usize)>>,
    /// Most shards kept open that nobody reads at the moment.
    most: usize,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(plan: &'a Plan, work: &Work, needed: &[Vec<usize>], options: &MergeOptions) -> Self {
        let mut uses: Vec<Vec<usize>> = plan.checkpoints.iter().map(|c| vec![0; c.files().count()]).collect();
        for (tensor, needed) in plan.tensors.iter().zip(needed) {
            for &ingredient in needed {
                tensor.source(ingredient).shards().for_each(|shard| uses[ingredient][shard] += 1);
            }
        }
        let entry = |left| Mutex::new(InputShard { left, source: None, used: 0 });
        let shards = uses.into_iter().map(|uses| uses.into_iter().map(entry).collect()).collect();
        let most = platform::descriptors_to_spare();
        let (fetch, streams) = ahead(plan, work, needed);
        let MergeOptions { backend, cache, .. } = *options;
        let (clock, open) = (AtomicU64::new(0), Mutex::default());
        Self { plan, backend, cache, fetch, streams, shards, clock, open, most }
    }

    /// What is fetched ahead of the work, if anything is.
    pub(super) fn fetch(&self) -> Option<&Arc<Fetch>> {
        self.fetch.as_ref()
    }

    /// A shard of an ingredient, opened if it is not.
    pub(super) fn source(&self, ingredient: usize, shard: usize) -> Result<Arc<Source>> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let place = (ingredient, shard);
        {
            let mut entry = self.entry(place);
            entry.used = now;
            if let Some(source) = &entry.source {
                return Ok(Arc::clone(source));
            }
        }
        self.make_room();
        let mut entry = self.entry(place);
        if let Some(source) = &entry.source {
            return Ok(Arc::clone(source)); // another worker was faster
        }
        let shard = self.plan.checkpoints[ingredient].file(shard);
        let source = match (&self.fetch, self.streams.get(&place)) {
            (Some(fetch), Some(stream)) => Source::Ahead(Arc::clone(fetch), *stream),
            _ => Source::open(&shard.path, &shard.identity, self.backend, self.cache)?,
        };
        let source = Arc::new(source);
        entry.source = Some(Arc::clone(&source));
        drop(entry);
        self.open.lock().expect("no panic while held").insert(place);
        Ok(source)
    }

    fn entry(&self, (ingredient, shard): (usize, usize)) -> MutexGuard<'_, InputShard> {
        self.shards[ingredient][shard].lock().expect("no panic while held")
    }

    /// Close the shard that was not asked for the longest, if too many are open. Whoever reads it keeps it a while.
    fn make_room(&self) {
        let mut open = self.open.lock().expect("no panic while held");
        if open.len() < self.most {
            return;
        }
        let oldest = open.iter().copied().min_by_key(|&place| self.entry(place).used);
        if let Some(place) = oldest {
            open.remove(&place);
            self.entry(place).source = None;
        }
    }

    /// A tensor was read to its end: close the shards that nobody needs after it.
    pub(super) fn close_finished(&self, plan: &Plan, tensor: usize, needed: &[usize]) {
        let tensor = &plan.tensors[tensor];
        for &ingredient in needed {
            if let (Some(fetch), Some(kept)) = (&self.fetch, kept(&self.streams, ingredient, tensor)) {
                fetch.give_up(kept.stream, kept.bytes);
            }
        }
        let used = needed.iter().flat_map(|&i| tensor.source(i).shards().map(move |shard| (i, shard)));
        for (ingredient, shard) in used {
            let mut entry = self.entry((ingredient, shard));
            entry.left -= 1;
            if entry.left == 0 {
                entry.source = None;
                drop(entry);
                self.open.lock().expect("no panic while held").remove(&(ingredient, shard));
            }
        }
    }
}

/// Everything that `work` will read of objects, in its order; and the number of each object in that.
fn ahead(plan: &Plan, work: &Work, needed: &[Vec<usize>]) -> (Option<Arc<Fetch>>, Streams) {
    let (mut objects, mut streams) = (Vec::new(), Streams::new());
    for (ingredient, checkpoint) in plan.checkpoints.iter().enumerate() {
        for (number, shard) in checkpoint.shards.iter().enumerate() {
            if let Some(object) = shard.identity.object() {
                streams.insert((ingredient, number), objects.len());
                objects.push((ingredient, Arc::clone(object)));
            }
        }
    }
    if objects.is_empty() {
        return (None, streams);
    }
    let stretches = work.chunks().flat_map(|chunk| {
        let tensor = &plan.tensors[chunk.tensor];
        let streams = &streams;
        needed[chunk.tensor].iter().flat_map(move |&ingredient| {
            let own = streams.get(&(ingredient, tensor.source(ingredient).shard)).map(|&stream| {
                let (offset, length) = chunk.range(tensor, ingredient);
                Stretch { stream, bytes: offset..offset + length as u64, is_kept: false }
            });
            let with = if chunk.number == 0 { kept(streams, ingredient, tensor) } else { None };
            own.into_iter().chain(with)
        })
    });
    let fetch = Fetch::new(objects, stretches, BLOCK);
    (Some(Arc::new(fetch)), streams)
}

/// The scales of a tensor of codes: every chunk wants some of them, so they are kept until the last. Those of which there
/// are too many are got when they are wanted.
fn kept(streams: &Streams, ingredient: usize, tensor: &PlannedTensor) -> Option<Stretch> {
    let part = tensor.source(ingredient).scales.as_ref()?.part();
    let stream = *streams.get(&(ingredient, part.shard))?;
    let bytes = part.offset..part.offset + part.bytes();
    (part.bytes() <= BLOCK).then_some(Stretch { stream, bytes, is_kept: true })
}
