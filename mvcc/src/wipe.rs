//! Leaving nothing of what is gone in any file.
//!
//! What was deleted is still in pages that older states reach, in free pages, in separators and in
//! the log. To be rid of it, in this order:
//!
//! ```text
//!   dropped trees all of their pages are given back             a step a lock
//!   separators    made of keys that are there                   a step a lock
//!   log           what comes next begins a segment of its own
//!   checkpoints   two: both retained meta pages lead to states of now on, the log before is given
//!                 up and overwritten
//!   snapshots     none may be older, else: held
//!   free pages    overwritten; those that are written by a checkpoint first are not free
//! ```
//!
//! Nothing in here changes what any reader sees, and nothing of it is needed after a crash: it is
//! begun anew.

use crate::checkpoint::Checkpointing;
use crate::engine::{Engine, Shared};
use crate::{Error, Result};
use llmdb_storage::{TreeId, Version};

/// Leaves that one step looks at while commits wait.
const LEAVES: usize = 512;
/// Bytes that are overwritten by one step, while commits go on.
const STEP_BYTES: u64 = 8 << 20;
/// Pages that writers use and drop again and again may have to be looked for once more.
const ROUNDS_MAX: usize = 8;

/// How an [`Engine::wipe`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wiped {
    /// Nothing is left of what was gone when it began.
    Done,
    /// A snapshot that began before still looks at some of it.
    HeldBySnapshot,
    /// Writers kept taking pages before they could be overwritten.
    HeldByWriters,
}

impl Engine {
    /// Overwrites all that files still hold of entries that are in no state from now on: in pages,
    /// free or dropped, and in the log. Reads all of the trees and of what is free. Commits go on
    /// as long as there is memory: no other checkpoint is made meanwhile.
    ///
    /// # Errors
    /// Those of a checkpoint. What was done stays done.
    pub fn wipe(&self) -> Result<Wiped> {
        let shared = self.shared();
        // Without that lock: it may take long, and checkpoints go on.
        shared.free_dropped()?;
        let mut last = shared.checkpointing.lock();
        let wiped = shared.wipe(&mut last);
        last.wipes_log = false;
        wiped
    }

    /// The mark of the oldest state that a snapshot still looks at.
    pub fn oldest_mark(&self) -> i64 {
        let shared = self.shared();
        let mut sequencer = shared.sequencer.lock();
        sequencer.publish_ready(shared);
        sequencer.states.oldest_mark()
    }
}

impl Shared {
    fn wipe(&self, last: &mut Checkpointing) -> Result<Wiped> {
        self.sequencer.lock().writer.check_dropped()?;
        self.renew_separators()?;
        {
            let mut sequencer = self.sequencer.lock();
            sequencer.check_writable()?;
            sequencer.start_log(self)?.turn()?;
        }
        last.wipes_log = true;
        for _ in 0..2 {
            last.forget();
            self.checkpoint_in_turn(last)?;
        }
        if self.is_held_back() {
            return Ok(Wiped::HeldBySnapshot);
        }
        let mut stale = self.sequencer.lock().writer.stale_pages();
        for _ in 0..ROUNDS_MAX {
            let pages_max = STEP_BYTES / self.pager.page_size() as u64;
            while let Some(wipe) = {
                let mut sequencer = self.sequencer.lock();
                sequencer.check_writable()?;
                sequencer.writer.next_wipe(&mut stale, pages_max)
            } {
                let written = wipe.write(&self.pager);
                self.sequencer.lock().writer.end_wipe(wipe);
                written?;
            }
            if stale.is_empty() {
                return self.sync_wiped();
            }
            last.forget();
            self.checkpoint_in_turn(last)?;
        }
        Ok(if self.is_held_back() { Wiped::HeldBySnapshot } else { Wiped::HeldByWriters })
    }

    fn renew_separators(&self) -> Result<()> {
        let trees: Vec<TreeId> = self.sequencer.lock().writer.trees().map(|(_, id)| id).collect();
        for tree in trees {
            let mut from = Some(Vec::new());
            while let Some(next) = from {
                let mut sequencer = self.sequencer.lock();
                sequencer.check_writable()?;
                if !sequencer.writer.trees().any(|(_, id)| id == tree) {
                    break; // dropped meanwhile
                }
                from = sequencer.writer.renew_separators(tree, &next, LEAVES)?;
            }
        }
        Ok(())
    }

    /// Whether any snapshot looks at a state before those that the meta pages lead to.
    fn is_held_back(&self) -> bool {
        let mut sequencer = self.sequencer.lock();
        sequencer.publish_ready(self);
        let retained: Option<Version> = sequencer.writer.oldest_retained();
        sequencer.states.oldest() < retained
    }

    fn sync_wiped(&self) -> Result<Wiped> {
        match self.pager.sync_file() {
            Ok(()) => Ok(Wiped::Done),
            Err(error) => {
                let error = self.sequencer.lock().poison(Error::from(error));
                self.visible.give_up();
                Err(error)
            }
        }
    }
}
