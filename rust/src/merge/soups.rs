//! The soups of a plan as a run finds them: published before, begun by an interrupted run, or new.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::checkpoint::Checkpoint;
use crate::control::Control;
use crate::error::{Error, Problem, Result};
use crate::escape::{quoted, shown};
use crate::manifest::{Brief, Digests, Fingerprint};
use crate::plan::{Plan, Treatment};
use crate::sink::journal::{FileState, History, ShardRecord};
use crate::sink::{self, Beginning, Begun, Carrier, SentShard, Staging, read_back};
use crate::target::has_state;
use crate::threads::{default_threads, start_some};

use super::options::MergeOptions;

/// One soup.
pub(super) struct Soup {
    pub(super) fingerprint: Fingerprint,
    /// `None` if an earlier run has published it.
    pub(super) staging: Option<Box<Staging>>,
    /// By shard; what an earlier run finished and this one found whole.
    pub(super) finished: Vec<Option<ShardRecord>>,
    /// Those of them that are where the output is to be, and not here any more.
    pub(super) sent: Vec<SentShard>,
    /// The `result_digest`, if an earlier run has published it.
    pub(super) published: Option<String>,
    /// Runs before this one.
    pub(super) resumes: usize,
}

impl Soup {
    /// Whether a shard must be made.
    pub(super) fn needs(&self, shard: usize) -> bool {
        self.staging.is_some() && self.finished[shard].is_none()
    }

    /// Whether a finished shard is still to be taken to where the output is to be.
    pub(super) fn waits(&self, plan: &Plan, shard: usize) -> bool {
        let name = &plan.shards[shard].name;
        self.finished[shard].is_some() && !self.sent.iter().any(|sent| sent.name == *name)
    }
}

/// Begin every soup of `plan`, or go on where an interrupted run stopped. Also returns what the user should know.
pub(super) fn begin(
    plan: &Plan,
    options: &MergeOptions,
    carrier: Option<&dyn Carrier>,
    control: &Control,
) -> Result<(Vec<Soup>, Vec<String>)> {
    let recipes = &plan.request.recipes;
    let fingerprints = (0..recipes.len())
        .map(|recipe| plan.fingerprint(recipe, options.digests, options.differences))
        .collect::<Result<Vec<_>>>()?;
    // Soups appear one after the other. If a run was killed in between, those that it had published have no state
    // directory any more, but others of the same request have.
    let interrupted = recipes.iter().any(|recipe| has_state(&recipe.output));
    let inputs: Vec<Vec<FileState>> = plan.checkpoints.iter().map(states).collect();
    let mut notes = Vec::new();
    let mut soups = Vec::new();
    for (recipe, fingerprint) in recipes.iter().zip(fingerprints) {
        let published = || {
            let standing = Brief::of_any(&recipe.output);
            standing.is_of(&fingerprint.digest().to_string())
                && (options.allow_non_finite || !standing.holds_non_finite())
                && !has_state(&recipe.output)
        };
        let may_stand = interrupted || plan.complete.contains(&soups.len());
        let stage = || {
            Staging::begin(&Beginning {
                target: &recipe.output,
                overwrite: plan.request.options.overwrite,
                sync: options.sync,
                restart: options.restart,
                plan: &fingerprint,
                inputs: &inputs,
            })
        };
        let elsewhere = match carrier {
            Some(carrier) => carrier.begin(&fingerprint.digest().to_string())?,
            None => None,
        };
        let begun = if elsewhere.is_some() {
            if has_state(&recipe.output)
                && let Ok(Begun::Work(staging)) = stage()
            {
                staging.leave(); // killed after it was complete there, or made by somebody else meanwhile
                notes.extend(staging.clean());
            }
            Begun::Published
        } else if may_stand && published() {
            Begun::Published
        } else {
            stage()?
        };
        let staging = match begun {
            Begun::Work(staging) => Some(staging),
            Begun::Published => None,
        };
        if let Some(staging) = &staging {
            notes.extend_from_slice(staging.notes());
        } else {
            let output = if carrier.is_some() { "the soup".to_owned() } else { quoted(&recipe.output) };
            notes.push(format!("{output}: already complete: an earlier run of this merge had published it"));
        }
        let resumes = staging.as_ref().and_then(|staging| staging.history()).map_or(0, |found| found.runs);
        let published = staging
            .is_none()
            .then(|| elsewhere.or_else(|| Brief::of_any(&recipe.output).result_digest).unwrap_or_default());
        let (finished, sent) = (vec![None; plan.shards.len()], Vec::new());
        soups.push(Soup { fingerprint, staging, finished, sent, published, resumes });
    }
    for (recipe, soup) in soups.iter_mut().enumerate() {
        notes.extend(accept(plan, recipe, soup, &inputs, options, carrier, control)?);
    }
    Ok((soups, notes))
}

fn states(checkpoint: &Checkpoint) -> Vec<FileState> {
    // What tells one object from another is in the fingerprint.
    let state = |shard: &crate::checkpoint::Shard| {
        shard.identity.file().map_or((0, 0, 0), |file| (file.device, file.inode, file.ctime_ns as i64))
    };
    checkpoint.shards.iter().map(state).collect()
}

/// Take over the finished shards of an interrupted run that are still what its journal says, and whose inputs are the
/// same files, untouched. Everything else is removed.
fn accept(
    plan: &Plan,
    recipe: usize,
    soup: &mut Soup,
    inputs: &[Vec<FileState>],
    options: &MergeOptions,
    carrier: Option<&dyn Carrier>,
    control: &Control,
) -> Result<Vec<String>> {
    let Some((staging, history)) = soup.staging.as_ref().and_then(|s| Some((s, s.history()?))) else {
        return Ok(Vec::new());
    };
    let there = still_there(history, carrier)?;
    let doubts = Mutex::new(Vec::new());
    let found: Vec<Mutex<Option<ShardRecord>>> = plan.shards.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let shard = next.fetch_add(1, Ordering::Relaxed);
            let Some(planned) = plan.shards.get(shard) else { return Ok(()) };
            let Some((record, run)) = history.shards.get(&planned.name) else { continue };
            let mut doubt =
                reason_to_redo(plan, recipe, shard, (record, &history.inputs[*run]), inputs, options);
            if carrier.is_some() && history.sent.contains_key(&planned.name) {
                if doubt.is_none() && !there.iter().any(|sent| sent.name == planned.name) {
                    doubt = Some("it is not where it was sent any more".to_owned());
                }
            } else if doubt.is_none() {
                let sha256 = record.sha256.is_some();
                let read = read_back(staging.payload(), plan, planned, &record.tensors, sha256, control)?;
                doubt = read.difference;
                if doubt.is_none() && read.sha256 != record.sha256 {
                    doubt = Some("its SHA-256 is not the journal's".to_owned());
                }
            }
            if let Some(doubt) = doubt {
                doubts.lock().expect("no panic while held").push((shard, doubt));
            } else {
                *found[shard].lock().expect("no panic while held") = Some(record.clone());
                control.advance(planned.size - planned.header.len() as u64);
            }
        }
    };
    let threads = options.num_threads.unwrap_or_else(default_threads).clamp(1, plan.shards.len());
    std::thread::scope(|scope| {
        start_some(scope, threads, work)?
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    soup.finished =
        found.into_iter().map(|record| record.into_inner().expect("no panic while held")).collect();
    let usable: Vec<&str> = soup.finished.iter().flatten().map(|record| record.name.as_str()).collect();
    soup.sent = there.into_iter().filter(|sent| usable.contains(&sent.name.as_str())).collect();
    let is_here = |name: &&str| !soup.sent.iter().any(|sent| sent.name == *name);
    let here: Vec<&str> = usable.iter().copied().filter(is_here).collect();
    staging.keep_only(&here, soup.sent.len())?;
    let mut doubts = doubts.into_inner().expect("no panic while held");
    doubts.sort();
    let state = quoted(staging.state());
    let mut notes = vec![format!(
        "{state}: continued an interrupted run: {} of {} shards were finished",
        usable.len(),
        plan.shards.len()
    )];
    let again = |(shard, doubt): (usize, String)| {
        format!("{state}: made `{}` again: {doubt}", shown(&plan.shards[shard].name))
    };
    notes.extend(doubts.into_iter().map(again));
    Ok(notes)
}

/// What an interrupted run has taken to where the output is to be, and is there still.
fn still_there(history: &History, carrier: Option<&dyn Carrier>) -> Result<Vec<SentShard>> {
    let Some(carrier) = carrier else { return Ok(Vec::new()) };
    let sent = history.sent.iter().map(|(name, receipt)| (name.clone(), receipt.clone()));
    let sent: Vec<SentShard> = sent.map(|(name, receipt)| SentShard { name, receipt }).collect();
    if sent.is_empty() {
        return Ok(sent);
    }
    let there = carrier.still_there(&sent)?;
    Ok(sent.into_iter().zip(there).filter_map(|(sent, there)| there.then_some(sent)).collect())
}

/// Why a finished shard cannot be used, by all that can be said without reading it.
fn reason_to_redo(
    plan: &Plan,
    recipe: usize,
    shard: usize,
    (record, then): (&ShardRecord, &[Vec<FileState>]),
    now: &[Vec<FileState>],
    options: &MergeOptions,
) -> Option<String> {
    if options.digests == Digests::None {
        return Some("it has no digests".to_owned());
    }
    if !options.allow_non_finite && record.tensors.iter().any(|tensor| tensor.non_finite.is_some()) {
        return Some("it holds non-finite values".to_owned());
    }
    let mut read = BTreeSet::new();
    for tensor in plan.shards[shard].tensors.iter().map(|&tensor| &plan.tensors[tensor]) {
        let parts = match &tensor.treatment {
            Treatment::Copied | Treatment::Taken { .. } => None,
            Treatment::Averaged { rows } => {
                Some(plan.request.recipes[recipe].rows[rows[recipe]].mixture.parts())
            }
        };
        read.extend(
            tensor
                .sources()
                .filter(|(i, _)| parts.is_none_or(|parts| parts[*i] != 0))
                .map(|(i, s)| (i, s.shard)),
        );
    }
    let state = |states: &[Vec<FileState>], (i, s): (usize, usize)| states.get(i)?.get(s).copied();
    let touched = read.into_iter().find(|&file| state(then, file) != state(now, file))?;
    let path = &plan.checkpoints[touched.0].shards[touched.1].path;
    Some(format!("{} was touched since", quoted(path)))
}

/// For each soup of `plan`, how many of its shards an interrupted run of the same plan and options has finished.
///
/// # Errors
/// [`Error::Io`] if a side file cannot be read.
pub fn finished_shards(plan: &Plan, digests: Digests, differences: bool) -> Result<Vec<usize>> {
    let count = |recipe: usize| {
        let output = &plan.request.recipes[recipe].output;
        if !has_state(output) {
            return Ok(0);
        }
        let fingerprint = plan.fingerprint(recipe, digests, differences)?;
        Ok(sink::finished_shards(output, &fingerprint).unwrap_or(0))
    };
    (0..plan.request.recipes.len()).map(count).collect()
}

/// The inputs as they are now against those that were planned.
pub(super) fn unchanged(checkpoints: &[Checkpoint]) -> Result<()> {
    let problems: Vec<Problem> = checkpoints.iter().filter_map(|c| c.still_same().err()).flatten().collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Refused(problems)) }
}

/// A run failed: say what of it can be used. What cannot be used because the inputs changed is marked so.
pub(super) fn interrupted(plan: &Plan, soups: &[Soup], error: Error) -> Error {
    let staged: Vec<&Staging> = soups.iter().filter_map(|soup| soup.staging.as_deref()).collect();
    let finished: usize = staged.iter().map(|staging| staging.finished()).sum();
    if finished == 0 {
        return error;
    }
    if let Err(changed) = unchanged(&plan.checkpoints) {
        let reason = changed.to_string().lines().next().unwrap_or_default().to_owned();
        for staging in staged.iter().filter(|staging| staging.finished() > 0) {
            // Should this fail: times and inodes of the inputs are in plan and journal too.
            let _ = staging.taint(&reason);
        }
        let hint = "the shards finished so far cannot be used: discard them with `--restart`".to_owned();
        return Error::Unfinished { source: Box::new(error), hint };
    }
    let shards = plan.shards.len() * staged.len();
    let hint = format!(
        "{finished} of {shards} shards are finished and will be used: run the same command again, or discard them with `--restart`"
    );
    Error::Unfinished { source: Box::new(error), hint }
}
