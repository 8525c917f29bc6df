//! The keeper: threads for what happens some time after a commit. One hands the log to the
//! operating system for `Async` commits and syncs it for `Periodic` ones, another makes
//! checkpoints when they are due, and cuts the file when much of it is free. They start with the first commit that needs them; no `Sync`
//! commit waits for them.

use crate::bulk::Logging;
use crate::engine::Shared;
use crate::{Durability, Result};
use llmdb_wal::Log;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An `Async` commit is with the operating system after at most twice this.
const WRITE_OUT_AFTER: Duration = Duration::from_millis(5);
/// More buffered log than this is written by the committing thread itself.
const BUFFERED_BYTES_MAX: u64 = 4 << 20;
/// After a checkpoint that failed, the next is not tried sooner.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Work for two threads: one keeps deadlines, which must not wait for the other's checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    todo: Mutex<Todo>,
    log_wake: Condvar,
    checkpoint_wake: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Todo {
    started: bool,
    stop: bool,
    write_out: bool,
    sync_by: Option<Instant>,
    checkpoint: bool,
    shrink: bool,
}

impl Keeper {
    /// Leaves to the keeper what a commit asks to be done later.
    pub(crate) fn after_commit(&self, shared: &Shared, logging: Logging, log: &Log) -> Result<()> {
        let buffered_max = (shared.budget().limit() / 16).min(BUFFERED_BYTES_MAX) as usize;
        let later = !matches!(logging, Logging::Skip | Logging::Do(Durability::Sync));
        if later && log.buffered_bytes() > buffered_max {
            log.write_out()?;
        }
        let checkpoint = shared.checkpoint_is_due();
        if !later && !checkpoint {
            return Ok(());
        }
        let mut todo = self.todo.lock();
        if checkpoint && !todo.checkpoint {
            todo.checkpoint = true;
            self.checkpoint_wake.notify_one();
        }
        let mut earlier = false;
        if let Logging::Do(Durability::Periodic(interval)) = logging {
            let by = Instant::now() + interval;
            earlier = todo.sync_by.is_none_or(|now| by < now);
            todo.sync_by = Some(todo.sync_by.map_or(by, |now| now.min(by)));
        }
        let writes = later && !todo.write_out;
        todo.write_out |= writes;
        if writes || earlier {
            self.log_wake.notify_one();
        }
        self.start_once(shared, &mut todo);
        Ok(())
    }

    /// Leaves it to the keeper to make the file shorter.
    pub(crate) fn shrink_soon(&self, shared: &Shared) {
        let mut todo = self.todo.lock();
        todo.shrink = true;
        self.checkpoint_wake.notify_one();
        self.start_once(shared, &mut todo);
    }

    fn start_once(&self, shared: &Shared, todo: &mut Todo) {
        if !todo.started && !todo.stop {
            todo.started = true;
            self.start(shared, "llmdb-log", Keeper::run_log);
            self.start(shared, "llmdb-checkpoint", Keeper::run_checkpoints);
        }
    }

    fn start(&self, shared: &Shared, name: &str, run: fn(&Keeper, &Shared)) {
        let Some(shared) = shared.this.upgrade() else { return };
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || run(&shared.keeper, &shared));
        // Without the threads, commits write out what they buffer, and hold back for checkpoints.
        self.threads.lock().extend(thread.ok());
    }

    /// Writes the log out soon after an `Async` commit, and syncs it in time for `Periodic` ones.
    fn run_log(&self, shared: &Shared) {
        let mut todo = self.todo.lock();
        while !todo.stop {
            let due = |by: Option<Instant>| by.is_some_and(|by| by <= Instant::now());
            if !todo.write_out && !due(todo.sync_by) {
                match todo.sync_by {
                    Some(by) => drop(self.log_wake.wait_until(&mut todo, by)),
                    None => self.log_wake.wait(&mut todo),
                }
                continue;
            }
            if todo.write_out && !due(todo.sync_by) {
                // Commits of the next moments share the write.
                let until = Instant::now() + WRITE_OUT_AFTER;
                let until = todo.sync_by.map_or(until, |by| by.min(until));
                while !todo.stop && !self.log_wake.wait_until(&mut todo, until).timed_out() {}
            }
            let sync = due(todo.sync_by);
            todo.write_out = false;
            if sync {
                todo.sync_by = None;
            }
            MutexGuard::unlocked(&mut todo, || {
                let log = shared.sequencer.lock().log.clone();
                // A failure poisons the log, which tells every later commit.
                if let Some(log) = log {
                    let _ = if sync { log.sync(log.end()).map(drop) } else { log.write_out() };
                }
            });
        }
    }

    fn run_checkpoints(&self, shared: &Shared) {
        let mut todo = self.todo.lock();
        while !todo.stop {
            if !todo.checkpoint {
                if std::mem::take(&mut todo.shrink) {
                    MutexGuard::unlocked(&mut todo, || {
                        shared.shrink_by_itself(&|| !self.todo.lock().stop);
                    });
                } else {
                    self.checkpoint_wake.wait(&mut todo);
                }
                continue;
            }
            let made = MutexGuard::unlocked(&mut todo, || {
                !shared.checkpoint_is_due() || shared.checkpoint().is_ok()
            });
            todo.checkpoint = !made;
            if !made {
                let until = Instant::now() + RETRY_AFTER;
                while !todo.stop && !self.checkpoint_wake.wait_until(&mut todo, until).timed_out() {
                }
            }
        }
    }

    /// Ends the threads after what they are doing.
    pub(crate) fn stop(&self) {
        self.todo.lock().stop = true;
        self.log_wake.notify_all();
        self.checkpoint_wake.notify_all();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            let _ = thread.join();
        }
    }
}
