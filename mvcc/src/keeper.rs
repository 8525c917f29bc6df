//! The keeper: a thread for what happens some time after a commit. It hands the log to the
//! operating system for `Async` commits, syncs it for `Periodic` ones, and makes checkpoints when
//! they are due. It starts with the first commit that needs it; no `Sync` commit waits for it.

use crate::engine::Shared;
use crate::{Durability, Result};
use llmdb_wal::Log;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An `Async` commit is with the operating system after at most twice this.
const WRITE_OUT_AFTER: Duration = Duration::from_millis(5);
/// More buffered log than this is written by the committing thread itself.
const BUFFERED_BYTES_MAX: usize = 4 << 20;
/// After a checkpoint that failed, the next is not tried sooner.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Keeper {
    todo: Mutex<Todo>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Todo {
    started: bool,
    stop: bool,
    write_out: bool,
    sync_by: Option<Instant>,
    checkpoint: bool,
    not_before: Option<Instant>,
}

impl Keeper {
    /// Leaves to the keeper what a commit asks to be done later.
    pub(crate) fn after_commit(
        &self,
        shared: &Shared,
        durability: Durability,
        log: &Log,
    ) -> Result<()> {
        if durability != Durability::Sync && log.buffered_bytes() > BUFFERED_BYTES_MAX {
            log.write_out()?;
        }
        let checkpoint = shared.checkpoint_is_due();
        if durability == Durability::Sync && !checkpoint {
            return Ok(());
        }
        let mut todo = self.todo.lock();
        let idle = !todo.write_out && !todo.checkpoint && todo.sync_by.is_none();
        todo.checkpoint |= checkpoint;
        match durability {
            Durability::Sync => {}
            Durability::Async => todo.write_out = true,
            Durability::Periodic(interval) => {
                todo.write_out = true;
                let by = Instant::now() + interval;
                todo.sync_by = Some(todo.sync_by.map_or(by, |earlier| earlier.min(by)));
            }
        }
        if !todo.started && !todo.stop {
            todo.started = true;
            self.start(shared);
        }
        drop(todo);
        if idle {
            self.wake.notify_one();
        }
        Ok(())
    }

    fn start(&self, shared: &Shared) {
        let Some(shared) = shared.this.upgrade() else { return };
        let thread = std::thread::Builder::new()
            .name("llmdb-keeper".into())
            .spawn(move || shared.keeper.run(&shared));
        // Without the thread, commits write out what they buffer and checkpoints are by hand.
        *self.thread.lock() = thread.ok();
    }

    fn run(&self, shared: &Arc<Shared>) {
        loop {
            let mut todo = self.todo.lock();
            if todo.stop {
                return;
            }
            let now = Instant::now();
            let checkpoint = todo.checkpoint && todo.not_before.is_none_or(|at| at <= now);
            let sync = todo.sync_by.is_some_and(|by| by <= now);
            if !todo.write_out && !sync && !checkpoint {
                let until = match (todo.sync_by, todo.checkpoint) {
                    (Some(by), _) => by,
                    (None, true) => todo.not_before.unwrap_or(now),
                    (None, false) => now + Duration::from_secs(3600),
                };
                self.wake.wait_until(&mut todo, until);
                continue;
            }
            if todo.write_out {
                // Commits of the next moments share the write.
                self.wake.wait_for(&mut todo, WRITE_OUT_AFTER);
            }
            todo.write_out = false;
            if sync {
                todo.sync_by = None;
            }
            if checkpoint {
                todo.checkpoint = false;
            }
            drop(todo);
            // A failure here poisons the log, which tells every later commit.
            let log = shared.sequencer.lock().log.clone();
            if let Some(log) = log {
                let _ = if sync { log.sync(log.end()).map(drop) } else { log.write_out() };
            }
            if checkpoint && shared.checkpoint_is_due() && shared.checkpoint().is_err() {
                let mut todo = self.todo.lock();
                todo.checkpoint = true;
                todo.not_before = Some(Instant::now() + RETRY_AFTER);
            }
        }
    }

    /// Ends the thread after what it is doing.
    pub(crate) fn stop(&self) {
        self.todo.lock().stop = true;
        self.wake.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
