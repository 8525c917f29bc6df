//! Shrinking the file of a running database.
//!
//! Pages at its end are moved towards its front in bounded steps, between commits; checkpoints then
//! let go of what they were, and the file is cut once no retained meta page and no snapshot reaches
//! its end. Whatever is still held there stays: nothing waits for a snapshot.
//!
//! # By itself
//!
//! After a checkpoint that finds half of the file free, and enough of it to be worth the while, the
//! keeper does the same. It reads and moves no more pages than it frees, as there are no more in use;
//! and before half of the file is free again as many have to be written. So however the size of the
//! contents swings, shrinking adds no more than in proportion to what is written anyhow. What a
//! snapshot or a very long value holds at the end of the file is not tried again before as many pages
//! were written as are in use.

use crate::Result;
use crate::checkpoint::Checkpointing;
use crate::engine::Shared;
use llmdb_storage::{PageId, Relocation, SpaceUse};
use llmdb_vfs::planted;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// What is remembered of shrinking.
#[derive(Debug, Default)]
pub(crate) struct Shrinking {
    /// One at a time.
    turn: parking_lot::Mutex<()>,
    /// It does not start by itself before checkpoints have written so many pages.
    not_before: AtomicU64,
}

/// Pages of the file that could go.
fn free_pages(space: &SpaceUse) -> u64 {
    space.file_pages.saturating_sub(space.pages_used + space.pages_pending)
}

impl Shared {
    /// Moves pages and cuts the file.
    pub(crate) fn shrink(&self) -> Result<ShrinkReport> {
        self.shrink_while(&|| true)
    }

    /// As [`Shared::shrink`]; stops between two steps once `going_on` says so, with nothing cut.
    fn shrink_while(&self, going_on: &dyn Fn() -> bool) -> Result<ShrinkReport> {
        let _turn = self.shrinking.turn.lock();
        while going_on() && self.free_step()? {}
        let mut last = self.checkpointing.lock();
        let mut sequencer = self.sequencer.lock();
        sequencer.check_writable()?;
        // Slots are about to be written, and then say that the log is needed.
        sequencer.start_log(self)?;
        drop(sequencer);
        let pages_before = self.pager.file_pages();
        let mut report = ShrinkReport { pages_before, pages_after: pages_before, pages_moved: 0 };
        // What was dropped before is free from here on: there is room to move to.
        self.settle(&mut last)?;
        drop(last);
        let used = self.sequencer.lock().writer.space_use().pages_used;
        let mut at = Relocation::new(PageId(used + used / 64 + 16));
        // Others make their checkpoints meanwhile.
        loop {
            if !going_on() {
                return Ok(report);
            }
            let mut sequencer = self.sequencer.lock();
            sequencer.check_writable()?;
            let done = sequencer.writer.relocate(&mut at, STEP_LEAVES);
            sequencer.seal_anew();
            sequencer.publish_ready(self);
            self.load.set_dirty_bytes(sequencer.dirty_bytes());
            drop(sequencer);
            report.pages_moved = at.moved;
            if done? {
                break;
            }
            if self.load.dirty_bytes() >= self.budget().left() || self.checkpoint_is_due() {
                let mut last = self.checkpointing.lock();
                self.sequencer.lock().check_writable()?;
                last.forget();
                self.checkpoint_in_turn(&mut last)?;
            }
        }
        // Closing takes the same lock: once past this it waits.
        let mut last = self.checkpointing.lock();
        self.sequencer.lock().check_writable()?;
        self.settle(&mut last)?;
        self.sequencer.lock().writer.trim();
        last.forget();
        self.checkpoint_in_turn(&mut last)?;
        let mut sequencer = self.sequencer.lock();
        sequencer.check_writable()?;
        // The older of the two retained meta pages may count on a longer file.
        let incarnation = sequencer.incarnation;
        let rewritten = match planted!("file_cut_too_early") {
            true => Ok(()),
            false => sequencer.writer.rewrite_meta(last.start().get(), incarnation, false),
        };
        if let Err(error) = rewritten {
            let error = sequencer.poison(error);
            self.visible.give_up();
            return Err(error);
        }
        report.pages_after = sequencer.writer.cut()?;
        Ok(report)
    }

    /// Whether so much of the file is free that it should be cut, and that is worth a try.
    pub(crate) fn shrink_is_due(&self) -> bool {
        let Some(bytes_min) = self.options.auto_shrink_bytes else { return false };
        if !self.options.auto_checkpoint
            || self.metrics.checkpoint_pages() < self.shrinking.not_before.load(Ordering::Relaxed)
        {
            return false;
        }
        let space = self.sequencer.lock().writer.space_use();
        let free = free_pages(&space);
        free >= space.file_pages / 2 && free * space.page_size >= bytes_min
    }

    /// Shrinks the file if that is due; stops early once `going_on` says so.
    pub(crate) fn shrink_by_itself(&self, going_on: &dyn Fn() -> bool) {
        if !self.shrink_is_due() {
            return;
        }
        let shrunk = self.shrink_while(going_on);
        self.metrics.shrunk_by_itself(shrunk.as_ref().ok());
        if shrunk.is_err() || self.shrink_is_due() {
            // It cannot be had now.
            let used = self.sequencer.lock().writer.space_use().pages_used;
            let not_before = self.metrics.checkpoint_pages() + used;
            self.shrinking.not_before.store(not_before, Ordering::Relaxed);
        }
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
