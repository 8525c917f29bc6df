//! Undo by root: what a batch did to the version being made is taken back as a whole.
//!
//! Before the batch the version being made gets a new number, so that no page of before is edited
//! in place: the roots of before still lead to all that was there. Going back is then a matter of
//! accounts alone. Pages that are in use now and were not before are free; pages that were dropped
//! since are in use again. Numbers of versions are not given twice: what is made next is stamped
//! anew, wherever the spilled pages of the batch lie in the file.

use crate::roots::RootList;
use crate::space::Bitmap;
use crate::writer::Writer;
use crate::{PageId, Version};
use llmdb_vfs::planted;

/// The version being made, before a batch.
pub(crate) struct Undo {
    roots: RootList,
    used: Bitmap,
    /// Born in or after it: made by the batch.
    since: Version,
}

impl Writer {
    /// Takes down where everything is. O(regions of the file + trees).
    pub(crate) fn begin_undo(&mut self) -> Undo {
        self.version = self.version.next();
        self.taken_runs.clear();
        let used = self.space.used().clone();
        Undo { roots: self.roots.clone(), used, since: self.version }
    }

    /// Goes back to where everything was.
    pub(crate) fn undo(&mut self, undo: Undo) {
        self.roots = undo.roots;
        let used = match planted!("undone_pages_leak") {
            true => self.space.used().clone(),
            false => undo.used,
        };
        let (made, restored) = self.space.undo(&used, undo.since);
        // Values that were written ahead belong to their transaction again.
        for parts in std::mem::take(&mut self.taken_runs) {
            self.space.return_run(parts);
        }
        for (start, pages) in made {
            (start.0..start.0 + pages).for_each(|page| self.drop_frame(PageId(page)));
        }
        for (start, pages) in restored {
            // Dropping a page had it written by no checkpoint to come.
            for page in start.0..start.0 + pages {
                if self.pager.table.get(PageId(page)).is_some() {
                    self.dirty.set(page);
                }
            }
        }
        self.version = self.version.next();
    }
}
