//! Room for frames: taken from the budget ahead of need, and made by spilling.
//!
//! To spill is to write pages to their own places in the file before a checkpoint does, so that
//! their frames can hold others. Nothing leads to such a page yet but the version being made: no
//! meta page names it and it is not synced; a crash forgets it, and the next checkpoint, which
//! syncs the whole file, makes it durable with all others (I2).
//!
//! ```text
//!   spill:  all bytes written -> table entries cleared -> the version being made gets a new number
//! ```
//!
//! * **Below a page in the file is only the file.** Readers look no further into the table once
//!   they have left it. So what is spilled is closed downwards: all changed pages at once, or, while
//!   a checkpoint has pages in flight that must keep their frames, leaves alone. And bytes come
//!   before entries: a reader that misses the entry finds the bytes.
//! * **A spilled page is only ever copied**, and its place is not used again in the same version:
//!   its birth lies before the number of the version being made, so it counts as a page of an older
//!   version. Each allocation is thereby written once, whatever becomes of it.
//! * A frame that only the version being made could reach is free at once. Any other waits for the
//!   snapshots that may look at it, as after a checkpoint.

use crate::budget::MemoryUse;
use crate::frames::FrameId;
use crate::page::{self, Kind};
use crate::page_writes::write_pages;
use crate::writer::Writer;
use crate::{Error, PageId, PageRef, Result, Version};

/// Pages that one write may copy or make: two a level of a tree that no file outgrows.
pub(crate) const COPIES_MAX: usize = 16;
/// Frames that a large batch takes from the budget at a time, where there are as many.
const ROUND: u64 = 8 * COPIES_MAX as u64;

impl Writer {
    fn frame_bytes(&self) -> u64 {
        self.pager.page_size as u64
    }

    /// Makes sure that so many frames can be taken without asking again. Takes none if there are
    /// fewer.
    pub(crate) fn reserve_frames(&mut self, frames: u64) -> bool {
        let missing = frames.saturating_sub(self.credit);
        let there = self.pager.frames.has_room(&self.free_frames, frames as usize);
        let bytes = missing.saturating_mul(self.frame_bytes());
        let taken = there && self.pager.budget.try_take(MemoryUse::Changed, bytes);
        if taken {
            self.credit += missing;
        }
        taken
    }

    /// As [`Writer::reserve_frames`], from what is kept for checkpoints too.
    pub(crate) fn reserve_last_frames(&mut self, frames: u64) -> bool {
        let missing = frames.saturating_sub(self.credit);
        let there = self.pager.frames.has_room(&self.free_frames, frames as usize);
        let taken = there
            && self.pager.budget.try_take_last(MemoryUse::Changed, missing * self.frame_bytes());
        if taken {
            self.credit += missing;
        }
        taken
    }

    /// Gives back what was set aside and not used.
    pub(crate) fn return_credit(&mut self) {
        let bytes = std::mem::take(&mut self.credit) * self.frame_bytes();
        self.pager.budget.give_back(MemoryUse::Changed, bytes);
    }

    /// A frame, from what was set aside or from the budget.
    pub(crate) fn take_frame(&mut self) -> Option<FrameId> {
        if self.credit == 0 && !self.reserve_frames(1) {
            return None;
        }
        let frame = self.pager.frames.alloc(&mut self.free_frames)?;
        self.credit -= 1;
        Some(frame)
    }

    /// Gives back a frame that nothing can reach.
    pub(crate) fn free_frame(&mut self, frame: FrameId, what: MemoryUse) {
        self.pager.frames.free(&mut self.free_frames, frame);
        self.pager.budget.give_back(what, self.frame_bytes());
    }

    /// Sees to it that the next write finds its frames; answers whether pages were spilled for
    /// that, so that a path through the tree leads no longer to frames.
    pub(crate) fn make_room(&mut self, since_spill: &mut u64) -> Result<bool> {
        let least = COPIES_MAX as u64;
        if self.credit >= least {
            return Ok(false);
        }
        // A quarter of the budget is enough for one batch: the rest serves the others.
        let plenty = self.pager.budget.limit() / 4 / self.frame_bytes();
        if *since_spill < plenty.max(ROUND)
            && (self.reserve_frames(ROUND) || self.reserve_frames(least))
        {
            *since_spill += ROUND;
            return Ok(false);
        }
        *since_spill = 0;
        self.spill()?;
        if self.reserve_frames(ROUND) || self.reserve_frames(least) {
            return Ok(true);
        }
        Err(Error::CacheFull)
    }

    /// Writes changed pages to their places in the file and lets go of their frames.
    ///
    /// # Errors
    /// The file system's. The pages stay in their frames then.
    pub(crate) fn spill(&mut self) -> Result<()> {
        let pages: Vec<(PageId, FrameId)> = (self.dirty.ones())
            .filter_map(|page| Some((PageId(page), self.pager.table.get(PageId(page))?)))
            .filter(|(_, frame)| {
                // SAFETY: the newest state reaches the page, and only this writer edits frames.
                let bytes = unsafe { self.pager.frames.bytes(*frame) };
                self.in_flight.is_none_or(|version| {
                    page::born(bytes) > version && page::kind(bytes) == Kind::Leaf as u8
                })
            })
            .collect();
        let Some((last, _)) = pages.last() else { return Ok(()) };
        self.pager.grow(last.0 + 1)?;
        let bytes: Vec<(PageRef, &[u8])> = (pages.iter())
            .map(|(_, frame)| {
                // SAFETY: as above; nothing is edited before the bytes are written.
                let bytes = unsafe { self.pager.frames.bytes(*frame) };
                (page::own_ref(bytes), bytes)
            })
            .collect();
        write_pages(&self.pager, &bytes)?;
        drop(bytes);
        // What was born in the version being made is sealed by its new number: it is only copied.
        self.version = self.version.next();
        self.spilled_pages += pages.len() as u64;
        for (page, frame) in pages {
            // SAFETY: as above.
            let born = page::born(unsafe { self.pager.frames.bytes(frame) });
            self.pager.table.set(page, None);
            self.dirty.clear(page.0);
            if born > self.given_out {
                self.free_frame(frame, MemoryUse::Changed);
            } else {
                self.clear_frame(frame, born, self.version);
            }
        }
        Ok(())
    }

    /// A frame whose page, born in `born`, is read from the file in version `from` and later: it waits
    /// for the snapshots of those between.
    pub(crate) fn clear_frame(&mut self, frame: FrameId, born: Version, from: Version) {
        self.cleared.retire((PageId(u64::from(frame.0)), 1), born, from);
        self.pager.budget.shift(MemoryUse::Changed, MemoryUse::Cleared, self.frame_bytes());
    }
}
