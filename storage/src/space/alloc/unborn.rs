//! Runs of transactions that have not committed: taken, and not in use by any version yet.

use super::Space;
use crate::ids::PageId;
use crate::space::{Run, SpaceError, push_run};

/// Names a run that belongs to a transaction not committed yet: by its first page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunId(pub(crate) PageId);

/// Pages that a transaction took before its commit.
///
/// Ends in `Space::commit_run` or `Space::abandon_run`; until then no checkpoint counts the
/// pages as in use, so that a crash gives them back.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "ends in commit_run or abandon_run"]
pub struct Reservation {
    /// What to end it by.
    pub id: RunId,
    /// The pages that were added, ascending.
    pub parts: Vec<Run>,
}

impl Space {
    /// Like [`Space::alloc_run`], for a transaction that has not committed.
    ///
    /// # Errors
    /// As [`Space::alloc_run`].
    pub fn reserve_run(&mut self, pages: u64, parts_max: usize) -> Result<Reservation, SpaceError> {
        let parts = self.alloc_run(pages, parts_max)?;
        let id = RunId(parts[0].0);
        self.unborn.insert(id, Vec::new());
        self.add_unborn(id, &parts);
        Ok(Reservation { id, parts })
    }

    /// Adds pages behind those that a run has.
    ///
    /// # Errors
    /// As [`Space::alloc_run`]; the run stays as it was then.
    pub fn extend_run(
        &mut self,
        id: RunId,
        pages: u64,
        parts_max: usize,
    ) -> Result<Reservation, SpaceError> {
        let parts = self.alloc_run(pages, parts_max)?;
        self.add_unborn(id, &parts);
        Ok(Reservation { id, parts })
    }

    /// Takes exactly these pages, for a transaction that a log names and that is still to be
    /// applied. `None` if any of them is taken, or none can be: nothing has changed then.
    pub fn adopt_run(&mut self, parts: &[Run]) -> Option<RunId> {
        let id = RunId(parts.first()?.0);
        let end_max = self.page_count.max(self.page_count_max);
        for (i, part) in parts.iter().enumerate() {
            let end = part.0.0.checked_add(part.1).filter(|end| *end <= end_max);
            if end.is_none() || part.1 == 0 || self.used.meets_run(part.0.0, part.1) {
                parts[..i].iter().for_each(|part| self.give_back(*part));
                return None;
            }
            self.take(*part);
        }
        self.unborn.insert(id, Vec::new());
        self.add_unborn(id, parts);
        Some(id)
    }

    fn add_unborn(&mut self, id: RunId, parts: &[Run]) {
        let run = self.unborn.get_mut(&id).expect("a run is extended before it ends");
        parts.iter().for_each(|part| push_run(run, *part));
        for part in parts {
            self.mark_idle(*part);
            self.unborn_pages += part.1;
        }
    }

    /// Frees the pages of a run behind the first `pages`.
    pub fn shorten_run(&mut self, id: RunId, mut pages: u64) {
        let run = self.unborn.get_mut(&id).expect("a run is shortened before it ends");
        assert!(pages > 0, "a run that is not wanted is abandoned");
        let mut freed = Vec::new();
        run.retain_mut(|part| {
            let kept = part.1.min(pages);
            pages -= kept;
            if kept < part.1 {
                freed.push((PageId(part.0.0 + kept), part.1 - kept));
            }
            part.1 = kept;
            kept > 0
        });
        for part in freed {
            self.unborn_pages -= part.1;
            self.unmark_idle(part);
            self.give_back(part);
        }
    }

    /// The pages of a run, in the order in which they were taken; `None` if there is none of the
    /// name.
    #[must_use]
    pub fn unborn_run(&self, id: RunId) -> Option<&[Run]> {
        self.unborn.get(&id).map(Vec::as_slice)
    }

    /// The pages now belong to the version being committed. Answers them.
    pub fn commit_run(&mut self, id: RunId) -> Vec<Run> {
        let parts = self.end_run(id);
        parts.iter().for_each(|part| self.unmark_idle(*part));
        parts
    }

    /// Undoes a [`Space::commit_run`] that answered these pages.
    pub fn return_run(&mut self, parts: Vec<Run>) {
        let id = RunId(parts[0].0);
        self.unborn.insert(id, Vec::new());
        self.add_unborn(id, &parts);
    }

    /// The transaction is gone and its pages are free.
    pub fn abandon_run(&mut self, id: RunId) {
        for part in self.end_run(id) {
            self.unmark_idle(part);
            self.give_back(part);
        }
    }

    fn end_run(&mut self, id: RunId) -> Vec<Run> {
        let parts = self.unborn.remove(&id).expect("a reservation ends once");
        self.unborn_pages -= parts.iter().map(|part| part.1).sum::<u64>();
        parts
    }
}
