//! Long work off the interpreter: the GIL is released, Ctrl-C is noticed, progress is told, and we always join.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
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
    on_tick: impl FnMut(Python<'_>, u64) -> PyResult<()>,
    work: impl FnOnce(&Control) -> Result<T> + Send,
) -> PyResult<T> {
    run_with_errands(py, on_tick, |control, _| work(control))
}

/// The same for work that has errands for this thread.
pub(super) fn run_with_errands<T: Send>(
    py: Python<'_>,
    mut on_tick: impl FnMut(Python<'_>, u64) -> PyResult<()>,
    work: impl FnOnce(&Control, &Errands) -> Result<T> + Send,
) -> PyResult<T> {
    let control = Control::default();
    let errands = Errands::default();
    std::thread::scope(|scope| {
        let worker = start(scope, || {
            let _ring = RingOnDrop(&errands); // also if `work` panics
            work(&control, &errands)
        })?;
        let _stop = CancelOnDrop(&control); // a panicking callback must not leave the worker running
        let mut raised = None;
        loop {
            let done = match py.detach(|| errands.wait(TICK)) {
                Woken::Done => break,
                _ if raised.is_some() => continue, // whoever asked learns that the errand is dropped
                Woken::Asked(errand) => errand(py),
                Woken::Tick => py.check_signals().and_then(|()| on_tick(py, control.bytes_done())),
            };
            if let Err(error) = done {
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

type Errand = Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send>;

/// What the work has for the thread that called us, one errand at a time, and whether it is done.
#[derive(Default)]
pub(super) struct Errands {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    done: bool,
    asked: Option<Errand>,
}

enum Woken {
    Done,
    Asked(Errand),
    Tick,
}

impl Errands {
    /// Have `errand` run on the thread that called us, and wait for it. What it raises is raised there, once the work has
    /// stopped; here it is [`Error::Cancelled`].
    pub(super) fn run<T: Send + 'static>(
        &self,
        control: &Control,
        errand: impl FnOnce(Python<'_>) -> PyResult<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = sync_channel(1);
        let asked: Errand = Box::new(move |py| {
            let found = errand(py)?;
            let _ = answer.send(found); // if nobody waits any more, nobody wants to know
            Ok(())
        });
        control.check()?;
        self.state.lock().expect("no panic while held").asked = Some(asked);
        self.bell.notify_all();
        loop {
            match answered.recv_timeout(TICK) {
                Ok(found) => return Ok(found),
                Err(RecvTimeoutError::Timeout) => control.check()?,
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Cancelled),
            }
        }
    }

    /// Wait at most `tick` for something to do.
    fn wait(&self, tick: Duration) -> Woken {
        let state = self.state.lock().expect("no panic while held");
        let idle = |state: &mut State| !state.done && state.asked.is_none();
        let mut state = self.bell.wait_timeout_while(state, tick, idle).expect("no panic while held").0;
        match state.asked.take() {
            Some(errand) => Woken::Asked(errand),
            None if state.done => Woken::Done,
            None => Woken::Tick,
        }
    }
}

struct RingOnDrop<'a>(&'a Errands);

impl Drop for RingOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state.lock().expect("no panic while held").done = true;
        self.0.bell.notify_all();
    }
}

struct CancelOnDrop<'a>(&'a Control);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
