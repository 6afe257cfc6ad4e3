//! What an earlier run left beside the output, and what may be done with it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::fingerprint::Fingerprint;
use super::journal::{self, History};
use super::manifest;
use super::rename::rename_new;
use super::staging::{Beginning, Places};
use super::state::{JOURNAL, PAYLOAD, PLAN, check_foreign};
use super::target::{self, refusal};
use crate::error::{Error, Result};
use crate::escape::shown;

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
pub(super) fn examine(places: &Places, ask: &Beginning<'_>) -> Result<Leftover> {
    let now = ask.plan;
    let state = &places.state;
    let refuse = |message: String| -> Result<Leftover> {
        let hint = format!(
            "discard it with `--restart`, or look at `{}` and remove it by hand",
            shown(&state.to_string_lossy())
        );
        Err(refusal(&places.target, message).hint(hint).into())
    };
    let plan = Fingerprint::read(&state.join(PLAN))?;
    let text = journal::read(&state.join(JOURNAL))?.unwrap_or_default();
    let parsed = journal::parse(&text);
    if let Ok(Some((history, _))) = &parsed {
        if history.swap {
            finish_swap(places)?;
        }
        if published(places, history) {
            check_foreign(state, target::belongs(&places.payload)?)?;
            return Ok(Leftover::Published { plan: history.plan.clone(), swapped: history.swap });
        }
    } else if !ask.overwrite
        && manifest::text_of(&places.target, "plan_digest").as_deref() == Some(now.digest())
    {
        // Stopped in the last moments of cleaning: the journal is gone already. Whoever wants the soup overwritten may
        // as well have been stopped in the first moments, so then it is made again.
        check_foreign(state, |_| false)?;
        return Ok(Leftover::Published { plan: now.digest().to_owned(), swapped: false });
    }
    let payload = state.join(PAYLOAD);
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
    let Some(plan) = plan.filter(|plan| plan.digest() == history.plan) else {
        return refuse("an interrupted run cannot be continued: its plan was changed".to_owned());
    };
    if let Some(difference) = plan.first_difference(now) {
        return refuse(format!(
            "an interrupted run of another plan is unfinished: {difference}: the first run's command continues it"
        ));
    }
    if fs::symlink_metadata(&payload).is_err() {
        return Ok(Leftover::Nothing); // somebody removed it
    }
    Ok(Leftover::Unfinished { history, good })
}

/// Whether the output is what this journal's run had made.
fn published(places: &Places, history: &History) -> bool {
    let Some(ready) = history.ready else { return false };
    // Numbers of inodes are given out again at once, so they alone tell nothing.
    if manifest::text_of(&places.target, "plan_digest").as_deref() != Some(&history.plan) {
        return false;
    }
    let moved = id(&places.target) == Some(ready) && id(&places.payload) != Some(ready);
    moved || fs::symlink_metadata(&places.payload).is_err()
}

/// Two renames stand for one exchange where the filesystem has none; a run may have been killed between them.
fn finish_swap(places: &Places) -> Result<()> {
    let there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if there(&places.target) || !there(&places.old) {
        return Ok(());
    }
    let from = if there(&places.payload) { &places.payload } else { &places.old };
    rename_new(from, &places.target)
        .map_err(|error| Error::io(&places.target, "cannot finish an interrupted exchange", error))
}

/// Whether a run is at work at the output `target`, or left something beside it.
pub fn has_state(target: &Path) -> bool {
    target::split(target).is_ok_and(|(_, target)| fs::symlink_metadata(Places::of(&target).state).is_ok())
}

/// How many shards an earlier run finished of the output `target`, as far as can be said without its lock.
pub fn finished_shards(target: &Path, now: &Fingerprint) -> Option<usize> {
    let (_, target) = target::split(target).ok()?;
    let places = Places::of(&target);
    let text = journal::read(&places.state.join(JOURNAL)).ok()??;
    let (history, _) = journal::parse(&text).ok()??;
    let usable = history.tainted.is_none()
        && history.plan == now.digest()
        && !history.shards.is_empty()
        && fs::symlink_metadata(&places.payload).is_ok()
        && !published(&places, &history);
    usable.then_some(history.shards.len())
}
