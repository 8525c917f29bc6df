//! Shrinking the file of a running database.
//!
//! Pages at its end are moved towards its front in bounded steps, between commits; checkpoints then
//! let go of what they were, and the file is cut once no retained meta page and no snapshot reaches
//! its end. Whatever is still held there stays: nothing waits for a snapshot.

use crate::Result;
use crate::checkpoint::Checkpointing;
use crate::engine::Shared;
use llmdb_storage::{PageId, Relocation};

/// Leaves looked at in one hold of the lock.
const STEP_LEAVES: usize = 64;

/// What shrinking did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ShrinkReport {
    /// Length of the file before, in pages.
    pub pages_before: u64,
    /// Length of the file afterwards.
    pub pages_after: u64,
    /// Pages that were moved.
    pub pages_moved: u64,
}

impl Shared {
    /// Moves pages and cuts the file.
    pub(crate) fn shrink(&self) -> Result<ShrinkReport> {
        let mut last = self.checkpointing.lock();
        let mut sequencer = self.sequencer.lock();
        sequencer.check_writable()?;
        // Slots are about to be written, and then say that the log is needed.
        sequencer.start_log(self)?;
        drop(sequencer);
        let pages_before = self.pager.file_pages();
        // What was dropped before is free from here on: there is room to move to.
        self.settle(&mut last)?;
        let used = self.sequencer.lock().writer.space_use().pages_used;
        let mut at = Relocation::new(PageId(used + used / 64 + 16));
        loop {
            let mut sequencer = self.sequencer.lock();
            sequencer.check_writable()?;
            let done = sequencer.writer.relocate(&mut at, STEP_LEAVES);
            sequencer.seal_anew();
            sequencer.publish_ready(self);
            self.load.set_dirty_bytes(sequencer.dirty_bytes());
            drop(sequencer);
            if done? {
                break;
            }
            if self.load.dirty_bytes() >= self.budget().left() {
                last.forget();
                self.checkpoint_in_turn(&mut last)?;
            }
        }
        self.settle(&mut last)?;
        self.sequencer.lock().writer.trim();
        last.forget();
        self.checkpoint_in_turn(&mut last)?;
        let mut sequencer = self.sequencer.lock();
        sequencer.check_writable()?;
        // The older of the two retained meta pages may count on a longer file.
        let incarnation = sequencer.incarnation;
        if let Err(error) = sequencer.writer.rewrite_meta(last.start().get(), incarnation, false) {
            let error = sequencer.poison(error);
            self.visible.give_up();
            return Err(error);
        }
        let pages_after = sequencer.writer.cut()?;
        Ok(ShrinkReport { pages_before, pages_after, pages_moved: at.moved })
    }

    /// Two checkpoints, after which no retained meta page reaches what was dropped before.
    fn settle(&self, last: &mut Checkpointing) -> Result<()> {
        for _ in 0..2 {
            last.forget();
            self.checkpoint_in_turn(last)?;
        }
        let mut sequencer = self.sequencer.lock();
        sequencer.check_sound()?;
        sequencer.seal_anew();
        sequencer.publish_ready(self);
        Ok(())
    }
}
