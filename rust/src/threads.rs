//! How many threads there may be, and starting them where the system may refuse one: a limit of processes, a control group, no memory for a stack.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Error, Result};

/// Threads used if nothing is asked for: what the scheduler and the control group allow.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Start a scoped thread.
pub(crate) fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).map_err(Error::Thread)
}

/// Start up to `count` threads of the same work; fewer will do, but one.
pub(crate) fn start_some<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    work: impl Fn() -> T + Send + Clone + 'scope,
) -> Result<Vec<ScopedJoinHandle<'scope, T>>> {
    let mut started = vec![start(scope, work.clone())?];
    for _ in 1..count {
        match start(scope, work.clone()) {
            Ok(thread) => started.push(thread),
            Err(_) => break,
        }
    }
    Ok(started)
}
