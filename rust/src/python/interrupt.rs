//! Long work off the interpreter: the GIL is released, Ctrl-C is noticed, progress is told, and we always join.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use pyo3::prelude::*;

use crate::control::Control;
use crate::error::{Error, Result};
use crate::threads::start;

use super::errors::add_hint;

/// How often signals are looked for and progress is told.
const TICK: Duration = Duration::from_millis(50);

/// Run `work` on a thread of its own while this one polls signals and calls `on_tick` with the bytes done. Whatever
/// either raises cancels the work, is kept until the work has stopped, and is raised then.
pub(super) fn run_interruptible<T: Send>(
    py: Python<'_>,
    mut on_tick: impl FnMut(Python<'_>, u64) -> PyResult<()>,
    work: impl FnOnce(&Control) -> Result<T> + Send,
) -> PyResult<T> {
    let control = Control::default();
    let done = Done::default();
    std::thread::scope(|scope| {
        let worker = start(scope, || {
            let _ring = RingOnDrop(&done); // also if `work` panics
            work(&control)
        })?;
        let _stop = CancelOnDrop(&control); // a panicking callback must not leave the worker running
        let mut raised = None;
        while !py.detach(|| done.wait(TICK)) {
            if raised.is_none()
                && let Err(error) = py.check_signals().and_then(|()| on_tick(py, control.bytes_done()))
            {
                control.cancel();
                raised = Some(error);
            }
        }
        let result = py.detach(|| worker.join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let Some(error) = raised {
            if let Err(Error::Unfinished { hint, .. }) = &result {
                add_hint(py, &error, hint);
            }
            return Err(error);
        }
        let value = result?;
        on_tick(py, control.bytes_done())?;
        Ok(value)
    })
}

#[derive(Default)]
struct Done {
    flag: Mutex<bool>,
    bell: Condvar,
}

impl Done {
    /// Wait at most `tick`. Whether the work is done.
    fn wait(&self, tick: Duration) -> bool {
        let flag = self.flag.lock().expect("no panic while held");
        *self.bell.wait_timeout_while(flag, tick, |done| !*done).expect("no panic while held").0
    }
}

struct RingOnDrop<'a>(&'a Done);

impl Drop for RingOnDrop<'_> {
    fn drop(&mut self) {
        *self.0.flag.lock().expect("no panic while held") = true;
        self.0.bell.notify_all();
    }
}

struct CancelOnDrop<'a>(&'a Control);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
