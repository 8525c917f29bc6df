//! Retention that runs by itself: a thread of an open database in which any partition has a policy.
//!
//! It begins when the first policy is known, and ends before the database closes: between two steps
//! of a run, each of which is a small commit like any other. What goes wrong is counted, and shown
//! until a run succeeds; the next run tries again.

use crate::core::Core;
use crate::retire::Sweep;
use crate::{ReadTx, retire};
use llmdb_mvcc::Counter;
use parking_lot::{Condvar, Mutex};
use std::ops::Deref;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it runs, unless told otherwise: as long as nobody minds that what a policy gives up is
/// still there, and long enough that looking for it costs nothing.
pub(crate) const EVERY: Duration = Duration::from_secs(3600);
/// The first run comes so soon, so that databases that are never open for long have theirs.
const FIRST: Duration = Duration::from_secs(60);

/// An open database and what runs in it by itself. What is shared by handles is this: the thread
/// ends with the last of them.
#[derive(Debug)]
pub(crate) struct Opened(Arc<Core>);

/// Runs of retention.
#[derive(Debug)]
pub(crate) struct Retirer {
    every: Option<Duration>,
    todo: Mutex<Todo>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) runs: Counter,
    pub(crate) removed: Counter,
    pub(crate) failed: Counter,
}

#[derive(Debug, Default)]
struct Todo {
    started: bool,
    stop: bool,
    /// What the last run failed with.
    error: Option<&'static str>,
}

impl Opened {
    pub(crate) fn new(core: Core) -> Self {
        let opened = Self(Arc::new(core));
        // A policy that cannot be read is met again by whoever asks for it.
        if opened.retirer.every.is_some()
            && ReadTx::new(&opened).retentions().is_ok_and(|policies| !policies.is_empty())
        {
            opened.retire_from_now_on();
        }
        opened
    }

    /// There is a policy.
    pub(crate) fn retire_from_now_on(&self) {
        let mut todo = self.retirer.todo.lock();
        if todo.started || todo.stop || self.retirer.every.is_none() {
            return;
        }
        let core = self.0.clone();
        let thread = std::thread::Builder::new().name("llmdb-retire".into());
        match thread.spawn(move || core.retirer.run(&core)) {
            Ok(thread) => {
                todo.started = true;
                *self.retirer.thread.lock() = Some(thread);
            }
            // The next policy tries again; until then it is as with no runs at all, and seen.
            Err(_) => {
                todo.error = Some("io");
                self.retirer.failed.add_one();
            }
        }
    }
}

impl Deref for Opened {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.retirer.stop();
    }
}

impl Retirer {
    /// Runs come at this interval, or never.
    pub(crate) fn new(every: Option<Duration>) -> Self {
        Self {
            every,
            todo: Mutex::default(),
            wake: Condvar::new(),
            thread: Mutex::default(),
            runs: Counter::default(),
            removed: Counter::default(),
            failed: Counter::default(),
        }
    }

    /// The code of what the last run failed with.
    pub(crate) fn error(&self) -> Option<&'static str> {
        self.todo.lock().error
    }

    fn is_stopped(&self) -> bool {
        self.todo.lock().stop
    }

    /// Ends the thread after the step that it is at.
    pub(crate) fn stop(&self) {
        self.todo.lock().stop = true;
        self.wake.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }

    /// Sleeps for `pause`, and answers whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now().checked_add(pause);
        let mut todo = self.todo.lock();
        while !todo.stop {
            match until {
                // A time beyond what the system can say never comes.
                None => self.wake.wait(&mut todo),
                Some(until) if self.wake.wait_until(&mut todo, until).timed_out() => break,
                Some(_) => {}
            }
        }
        !todo.stop
    }

    fn run(&self, core: &Core) {
        let Some(every) = self.every else { return };
        let mut pause = every.min(FIRST);
        while self.pause(pause) {
            pause = every;
            let done = retire::run(core, None, Sweep::IfNeeded, &|| !self.is_stopped());
            if let Ok(report) = &done {
                self.runs.add_one();
                self.removed.add(report.removed);
            } else {
                self.failed.add_one();
            }
            self.todo.lock().error = done.err().map(|error| error.code());
        }
    }
}
