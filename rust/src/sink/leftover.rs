//! What an earlier run left beside the output, and what may be done with it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::beginning::Beginning;
use super::journal::{self, History};
use super::rename::rename_new;
use super::state::{self, JOURNAL, PLAN, check_foreign};
use crate::error::{Error, Result};
use crate::escape::{quoted, shown};
use crate::manifest::{Brief, Fingerprint};
use crate::target::{TargetPaths, belongs, refusal, split};

/// What is left of an earlier run.
#[derive(Debug)]
pub(super) enum Leftover {
    /// Nothing that a run could use.
    Nothing,
    /// It had published the output of this plan and was stopped while cleaning.
    Published {
        plan: String,
        /// By two renames, so the old soup may lie beside it.
        swapped: bool,
    },
    /// Some shards are finished.
    Unfinished {
        history: History,
        /// Bytes of the journal that are good.
        good: usize,
    },
}

/// Device and inode.
pub(super) fn id(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Look at what is in a locked state directory and finish or undo an exchange that was interrupted.
///
/// # Errors
/// [`Error::Refused`] if it belongs to another plan, cannot be believed, or is not ours; [`Error::Io`].
pub(super) fn examine(paths: &TargetPaths, ask: &Beginning<'_>) -> Result<Leftover> {
    let now = ask.plan;
    let state = paths.state.as_path();
    let refuse = |message: String| -> Result<Leftover> {
        let hint = format!("discard it with `--restart`, or look at {} and remove it by hand", quoted(state));
        Err(refusal(&paths.target, message).hint(hint).into())
    };
    let plan = state::read_if_there(&state.join(PLAN), Fingerprint::MAX_BYTES)?;
    let plan = plan.and_then(|bytes| Fingerprint::parse(&bytes));
    let text = journal::read(&state.join(JOURNAL))?.unwrap_or_default();
    let parsed = journal::parse(&text);
    if let Ok(Some((history, _))) = &parsed {
        if history.swap {
            finish_swap(paths)?;
        }
        if published(paths, history) {
            check_foreign(state, belongs(&paths.payload)?)?;
            return Ok(Leftover::Published { plan: history.plan.clone(), swapped: history.swap });
        }
    } else if !ask.overwrite && Brief::of_any(&paths.target).is_of(&now.digest().to_string()) {
        // Stopped in the last moments of cleaning: the journal is gone already. Whoever wants the soup overwritten may
        // as well have been stopped in the first moments, so then it is made again.
        check_foreign(state, |_| false)?;
        return Ok(Leftover::Published { plan: now.digest().to_string(), swapped: false });
    }
    check_foreign(state, |name| plan.as_ref().is_some_and(|plan| plan.writes(name)))?;
    let (history, good) = match parsed {
        _ if ask.restart => return Ok(Leftover::Nothing),
        Err(doubt) => return refuse(format!("an interrupted run cannot be continued: its journal: {doubt}")),
        Ok(None) => return Ok(Leftover::Nothing),
        Ok(Some((history, _))) if history.shards.is_empty() => return Ok(Leftover::Nothing),
        Ok(Some(found)) => found,
    };
    if let Some(reason) = &history.tainted {
        return refuse(format!("an interrupted run cannot be continued: {}", shown(reason)));
    }
    let Some(plan) = plan.filter(|plan| plan.digest().to_string() == history.plan) else {
        return refuse("an interrupted run cannot be continued: its plan was changed".to_owned());
    };
    if let Some(difference) = plan.first_difference(now) {
        return refuse(format!(
            "an interrupted run of another plan is unfinished: {difference}: the first run's command continues it"
        ));
    }
    if fs::symlink_metadata(&paths.payload).is_err() {
        return Ok(Leftover::Nothing); // somebody removed it
    }
    Ok(Leftover::Unfinished { history, good })
}

/// Whether the output is what this journal's run had made.
fn published(paths: &TargetPaths, history: &History) -> bool {
    let Some(ready) = history.ready else { return false };
    // Numbers of inodes are given out again at once, so they alone tell nothing.
    if !Brief::of_any(&paths.target).is_of(&history.plan) {
        return false;
    }
    let moved = id(&paths.target) == Some(ready) && id(&paths.payload) != Some(ready);
    moved || fs::symlink_metadata(&paths.payload).is_err()
}

/// Two renames stand for one exchange where the filesystem has none; a run may have been killed between them.
fn finish_swap(paths: &TargetPaths) -> Result<()> {
    let there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if there(&paths.target) || !there(&paths.old) {
        return Ok(());
    }
    let from = if there(&paths.payload) { &paths.payload } else { &paths.old };
    rename_new(from, &paths.target)
        .map_err(|error| Error::io(&paths.target, "cannot finish an interrupted exchange", error))
}

/// How many shards an earlier run finished of the output `target`, as far as can be said without its lock.
pub fn finished_shards(target: &Path, now: &Fingerprint) -> Option<usize> {
    let (_, target) = split(target).ok()?;
    let paths = TargetPaths::of(&target);
    let text = journal::read(&paths.state.join(JOURNAL)).ok()??;
    let (history, _) = journal::parse(&text).ok()??;
    let usable = history.tainted.is_none()
        && history.plan == now.digest().to_string()
        && !history.shards.is_empty()
        && fs::symlink_metadata(&paths.payload).is_ok()
        && !published(&paths, &history);
    usable.then_some(history.shards.len())
}
