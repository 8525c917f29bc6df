//! Keeping the budget of memory: who is charged, and what happens as it fills.
//!
//! ```text
//!   as much is changed as is left    the keeper makes a checkpoint, writers go on
//!   an eighth is left                writers wait for that checkpoint, or make it
//!   readers hold what it cleared     writers wait for them, at most `WAITS` times; the oldest
//!                                    snapshots are given up, where they may get too old at all
//!   still nothing                    pages are spilled; a commit that finds no frames at all is
//!                                    taken back and refused: `CacheFull`, worth a retry
//! ```

use crate::engine::Shared;
use crate::{Error, Result};
use llmdb_storage::{Budget, MemoryUse};
use std::sync::Arc;
use std::time::Duration;

/// How often, and how long each time, a writer waits for readers to let go of memory.
const WAITS: u32 = 20;
const WAIT: Duration = Duration::from_millis(2);
/// Memory is not taken back from snapshots that were not held for longer than this after they were
/// superseded: those end by themselves.
const YOUNG: Duration = Duration::from_millis(20);
/// How often a commit that found no frames is tried again.
pub(crate) const ATTEMPTS: u32 = 5;
/// Memory is charged in steps, so that most writes of a transaction do not touch the account.
const STEP: u64 = 4 << 10;

/// Memory that is charged to the budget until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    what: MemoryUse,
    bytes: u64,
}

impl Charge {
    pub(crate) fn new(budget: &Arc<Budget>, what: MemoryUse) -> Self {
        Charge { budget: budget.clone(), what, bytes: 0 }
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Sees to it that `bytes` are charged. `false` if the budget does not hold the difference:
    /// then it stays as it was.
    #[must_use]
    pub(crate) fn cover(&mut self, bytes: u64) -> bool {
        let wanted = bytes.next_multiple_of(STEP);
        if wanted <= self.bytes {
            return true;
        }
        let taken = self.budget.try_take(self.what, wanted - self.bytes);
        if taken {
            self.bytes = wanted;
        }
        taken
    }

    /// Gives back what is more than `bytes`.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let wanted = bytes.next_multiple_of(STEP);
        if wanted < self.bytes {
            self.budget.give_back(self.what, self.bytes - wanted);
            self.bytes = wanted;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.what, self.bytes);
    }
}

impl Shared {
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.options.store.budget
    }

    /// Holds a writer back while memory is short, for a bounded time. What is short afterwards is
    /// told by what needs it.
    pub(crate) fn hold_back_writers(&self) -> Result<()> {
        if !self.options.auto_checkpoint {
            return Ok(());
        }
        let short = || self.budget().left() < self.budget().limit() / 8;
        for _ in 0..WAITS {
            if !short() {
                return Ok(());
            }
            // Whoever comes second finds the memory freed by the one before.
            let mut last = self.checkpointing.lock();
            if !short() {
                return Ok(());
            }
            self.sequencer.lock().check_writable()?;
            if self.load.dirty_bytes() >= self.budget().limit() / 16 {
                self.checkpoint_in_turn(&mut last)?;
            } else {
                drop(last);
                self.let_go()?;
                if short() {
                    std::thread::sleep(WAIT);
                }
            }
        }
        Ok(())
    }

    /// Makes room for a commit that found none: everything that can be written is, and whatever no
    /// reader holds any more is free.
    pub(crate) fn relieve(&self) -> Result<()> {
        if self.options.auto_checkpoint {
            self.checkpoint()?;
        }
        for wait in 0..WAITS {
            self.let_go()?;
            if self.budget().left() >= self.budget().limit() / 8 {
                break;
            }
            // A reader that is about to pin holds everything for a moment.
            std::thread::sleep(WAIT * wait / WAITS);
        }
        Ok(())
    }

    /// Publishes a version after whatever was cleared, so that what only older ones reach is free.
    fn let_go(&self) -> Result<()> {
        let mut sequencer = self.sequencer.lock();
        sequencer.check_sound()?;
        if let Some(age_max) = self.options.snapshot_age_max {
            sequencer.expire_oldest(self, age_max.min(YOUNG));
        }
        sequencer.seal_anew();
        sequencer.settle_log_charge();
        sequencer.publish_ready(self);
        Ok(())
    }
}

/// Whether a commit failed for want of frames, and nothing of it happened.
pub(crate) fn is_short(error: &Error) -> bool {
    matches!(error, Error::Storage(llmdb_storage::Error::CacheFull))
}

/// What a commit that finds no memory says.
pub(crate) fn short() -> Error {
    Error::Storage(llmdb_storage::Error::CacheFull)
}
