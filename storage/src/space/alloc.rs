//! The allocator: which page next, and which never again before its time.

use std::collections::BTreeMap;

use super::pending::Pending;
use super::{Bitmap, Run, SpaceError, push_run};
use crate::ids::{PageId, Version};

#[cfg(test)]
mod tests;
mod unborn;

pub use unborn::{Reservation, RunId};

/// Gaps that one search for a run looks at before it settles for parts or for the end of the file.
/// Two such searches cost 50 us where gaps lie close, 270 us where thousands of full words lie
/// between them (measured in a full file of 1 TiB, 4 KiB pages).
const GAPS_MAX: usize = 1024;

/// What a [`Space`] is told once.
#[derive(Clone, Debug)]
pub struct SpaceConfig {
    /// Bits that one stored bitmap page holds, a multiple of 64.
    pub region_pages: u64,
    /// Pages that are never allocated: the meta slots.
    pub reserved: Vec<PageId>,
    /// Pages the file may grow to.
    pub page_count_max: u64,
}

/// The pages of the file: free, in use, unborn or pending.
pub struct Space {
    used: Bitmap,
    /// The used pages that no published version reaches: pending, or of an unborn run (S2).
    idle: Bitmap,
    pending: Pending,
    unborn: BTreeMap<RunId, Vec<Run>>,
    unborn_pages: u64,
    page_count: u64,
    page_count_max: u64,
    reserved: Vec<PageId>,
    /// Where the next search for a page begins.
    page_hint: u64,
    /// Where the next search for a run begins: apart from `page_hint`, so that large values do
    /// not scatter the pages of a checkpoint.
    run_hint: u64,
}

/// How the pages of the file are used: `total = used + pending + free`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpaceStats {
    /// Pages of the file.
    pub total: u64,
    /// Pages the newest version reaches, reserved pages, and `unborn` ones.
    pub used: u64,
    /// Of `used`: pages of transactions that have not committed.
    pub unborn: u64,
    /// Dropped pages that an older version still reaches.
    pub pending: u64,
    /// Pages ready to be allocated.
    pub free: u64,
}

/// The pages that a [`Space::reclaim`] freed, already free when it returns.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Freed {
    runs: Vec<Run>,
}

impl Freed {
    /// The pages, in no order.
    pub fn pages(&self) -> impl Iterator<Item = PageId> + '_ {
        let pages = |(start, pages): &Run| (start.0..start.0 + pages).map(PageId);
        self.runs.iter().flat_map(pages)
    }

    /// The same pages as runs, in no order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many pages.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        self.runs.iter().map(|run| run.1).sum()
    }
}

impl Space {
    /// The space of a new file, which ends after its last reserved page.
    #[must_use]
    pub fn new(config: SpaceConfig) -> Self {
        let SpaceConfig { region_pages, mut reserved, page_count_max } = config;
        reserved.sort_unstable();
        reserved.dedup();
        let page_count = reserved.last().map_or(0, |page| page.0 + 1);
        assert!(page_count <= page_count_max);
        let mut used = Bitmap::new(region_pages);
        for page in &reserved {
            used.set(page.0);
        }
        Space {
            used,
            idle: Bitmap::new(region_pages),
            pending: Pending::default(),
            unborn: BTreeMap::new(),
            unborn_pages: 0,
            page_count,
            page_count_max,
            reserved,
            page_hint: 0,
            run_hint: 0,
        }
    }

    /// The space of a file of `page_count` pages, from the bitmaps of its retained metas.
    ///
    /// `metas` ascends by version, no version twice. A page that only an older meta uses is
    /// pending until that meta's version is live no more. A file longer than
    /// `page_count_max` opens and does not grow.
    ///
    /// # Errors
    /// [`SpaceError::BeyondEnd`] if a bitmap marks a page past the end.
    pub fn open(
        config: SpaceConfig,
        page_count: u64,
        metas: &[(Version, Bitmap)],
    ) -> Result<Self, SpaceError> {
        let mut space = Space::new(config);
        space.page_count = space.page_count.max(page_count);
        assert!(metas.is_sorted_by(|a, b| a.0 < b.0), "metas ascend");
        for (_, in_use) in metas {
            if let Some(page) = in_use.last_one().filter(|page| *page >= space.page_count) {
                return Err(SpaceError::BeyondEnd {
                    page: PageId(page),
                    page_count: space.page_count,
                });
            }
        }
        let mut newer: Option<Version> = None;
        for (version, in_use) in metas.iter().rev() {
            let only_here = in_use.difference(&space.used);
            space.used.or_assign(&only_here);
            if let Some(newer) = newer {
                for page in only_here.ones() {
                    space.retire(PageId(page), *version, newer);
                }
            }
            newer = Some(*version);
        }
        Ok(space)
    }

    /// Pages of the file; a page below it may still lie past the file's end on disk.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        self.page_count
    }

    /// Takes a page: the first free one at or after the last one taken, else the first free one of
    /// the file, else a new one at its end. The file grows only when no page is free.
    ///
    /// # Errors
    /// [`SpaceError::Full`] when the file may not grow.
    pub fn alloc(&mut self) -> Result<PageId, SpaceError> {
        let page = self.find_page().unwrap_or(self.page_count);
        if page >= self.page_count.max(self.page_count_max) {
            return Err(self.full(1));
        }
        self.take((PageId(page), 1));
        self.page_hint = page + 1;
        Ok(PageId(page))
    }

    /// Starts the next search for a page at the front of the file. Called where a checkpoint
    /// begins, it keeps the tail of the file empty and the pages taken from here on together.
    pub fn rewind(&mut self) {
        self.page_hint = 0;
    }

    /// As [`Space::rewind`], for runs too: what is taken from here on lies as far in front as it can.
    pub fn rewind_all(&mut self) {
        self.page_hint = 0;
        self.run_hint = 0;
    }

    /// Takes `pages` pages in at most `parts_max` runs, ascending: one run if a bounded search finds
    /// it, else the largest gaps it met, else one run at the end of the file. A file that may not
    /// grow that far is searched whole.
    ///
    /// # Errors
    /// [`SpaceError::Full`] when `parts_max` runs cannot hold it, though more might.
    pub fn alloc_run(&mut self, pages: u64, parts_max: usize) -> Result<Vec<Run>, SpaceError> {
        assert!(pages > 0 && parts_max > 0);
        let end = self.page_count;
        let hint = self.run_hint.min(end);
        let run = self.used.find_run(pages, hint, end, GAPS_MAX);
        let parts = run
            .map(|start| vec![(PageId(start), pages)])
            .or_else(|| {
                let gaps = self.used.gaps(hint, end).chain(self.used.gaps(0, hint));
                fit_in_gaps(gaps.take(GAPS_MAX), pages, parts_max)
            })
            .or_else(|| self.find_tail(pages).map(|start| vec![(start, pages)]))
            .or_else(|| {
                let end = self.page_count.max(self.page_count_max);
                fit_in_gaps(self.used.gaps(0, end), pages, parts_max)
            })
            .ok_or_else(|| self.full(pages))?;
        for part in &parts {
            self.take(*part);
            self.run_hint = part.0.0 + part.1;
        }
        debug_assert_eq!(parts.iter().map(|part| part.1).sum::<u64>(), pages);
        Ok(parts)
    }

    /// Takes up pages at the end of the file, as free ones, until there are so many.
    pub fn extend_to(&mut self, page_count: u64) {
        self.page_count = self.page_count.max(page_count.min(self.page_count_max));
    }

    /// The used pages that no published version reaches.
    #[must_use]
    pub fn idle(&self) -> &Bitmap {
        &self.idle
    }

    /// Frees a page that no root, published or not, ever reached.
    pub fn free_now(&mut self, page: PageId) {
        self.free_run_now(page, 1);
    }

    /// Frees pages that no root, published or not, ever reached.
    pub fn free_run_now(&mut self, start: PageId, pages: u64) {
        let busy = self.idle.meets_run(start.0, pages);
        assert!(!busy, "S2: {start:?}+{pages} is pending or unborn");
        self.give_back((start, pages));
    }

    /// Whether a version reaches all of these pages, as far as the bits know: they are allocated,
    /// neither pending nor unborn, and no meta slots. What a file says of its own pages is asked
    /// this before it is acted on.
    #[must_use]
    pub fn is_in_use(&self, start: PageId, pages: u64) -> bool {
        let Some(end) = start.0.checked_add(pages).filter(|end| *end <= self.page_count) else {
            return false;
        };
        let next = self.reserved.partition_point(|page| *page < start);
        self.used.holds_run(start.0, pages)
            && !self.idle.meets_run(start.0, pages)
            && self.reserved.get(next).is_none_or(|page| page.0 >= end)
    }

    /// Drops a page that the versions from `born` up to and without `dropped` reach. It is freed by a
    /// later [`Space::reclaim`], never by this call.
    pub fn retire(&mut self, page: PageId, born: Version, dropped: Version) {
        self.retire_run(page, 1, born, dropped);
    }

    /// Like [`Space::retire`], for consecutive pages of one lifetime.
    pub fn retire_run(&mut self, start: PageId, pages: u64, born: Version, dropped: Version) {
        self.assert_not_reserved((start, pages));
        self.mark_idle((start, pages));
        self.pending.retire((start, pages), born, dropped);
    }

    /// Frees every retired page that no version of `live` reaches, and whose dropping version is not
    /// newer than the newest version ever live.
    ///
    /// `live` ascends and holds every version that is published, applied, pinned by a snapshot or kept
    /// by a retained meta. A version that was not in the last list may only enter at or above the
    /// newest version ever given: snapshots begin at the newest published version, which is
    /// always listed.
    pub fn reclaim(&mut self, live: &[Version]) -> Freed {
        let runs = self.pending.reclaim(live);
        for run in &runs {
            self.unmark_idle(*run);
            self.give_back(*run);
        }
        Freed { runs }
    }

    /// Takes back what happened since `used` was the set of used pages: pages taken since then are
    /// free, and pages dropped by `since` or a later version are in use again. None of these
    /// versions was ever live. Answers both, ascending and in no order.
    pub fn undo(&mut self, used: &Bitmap, since: Version) -> (Vec<Run>, Vec<Run>) {
        let mut restored = Vec::new();
        for (run, born) in self.pending.take_back(since) {
            self.unmark_idle(run);
            if born < since {
                restored.push(run);
            }
        }
        let mut made = Vec::new();
        for page in self.used.difference(used).ones() {
            push_run(&mut made, (PageId(page), 1));
        }
        for run in &made {
            self.give_back(*run);
        }
        (made, restored)
    }

    /// What the bitmap pages of a checkpoint at version `v` say: the pages `v` reaches and the
    /// reserved ones.
    ///
    /// To be called while `v` is the newest version applied and no group is being built, since
    /// a page allocated for a later version counts as in use. Pages already dropped after `v` are
    /// in use, unborn runs are not. O(regions + runs dropped after `v`).
    #[must_use]
    pub fn in_use_at(&self, v: Version) -> Bitmap {
        let mut in_use = self.used.difference(&self.idle);
        for (start, pages) in self.pending.dropped_after(v) {
            in_use.set_run(start.0, pages);
        }
        debug_assert!(
            (self.pending.dropped_by(v)).all(|(start, _)| !in_use.test(start.0)),
            "a page dropped by {v:?} counts as in use"
        );
        in_use
    }

    /// Is the page allocated, whatever for?
    #[must_use]
    pub fn is_used(&self, page: PageId) -> bool {
        self.used.test(page.0)
    }

    /// The pages allocated, whatever for.
    #[must_use]
    pub fn used(&self) -> &Bitmap {
        &self.used
    }

    /// Retired pages not free yet.
    #[must_use]
    pub fn pending_pages(&self) -> u64 {
        self.pending.len()
    }

    /// Retired pages that the live version `v` reaches and no older live version does: the most
    /// that ending the snapshots of `v` can set free. As of the last [`Space::reclaim`].
    #[must_use]
    pub fn held_by(&self, v: Version) -> u64 {
        self.pending.held_by(v)
    }

    /// Retired runs that a checkpoint at `v` does not count as in use, in no order.
    pub fn pending_dropped_by(&self, v: Version) -> impl Iterator<Item = Run> + '_ {
        self.pending.dropped_by(v)
    }

    /// Lets go of the free pages at the end of the file and returns the new page count.
    pub fn trim(&mut self) -> u64 {
        self.page_count = self.used.last_one().map_or(0, |page| page + 1);
        self.page_count
    }

    /// Counts of pages. O(1).
    #[must_use]
    pub fn stats(&self) -> SpaceStats {
        let taken = self.used.count_ones();
        let pending = self.pending.len();
        SpaceStats {
            total: self.page_count,
            used: taken - pending,
            unborn: self.unborn_pages,
            pending,
            free: self.page_count - taken,
        }
    }

    fn find_page(&self) -> Option<u64> {
        if self.used.count_ones() == self.page_count {
            return None;
        }
        let ahead = self.used.first_zero_from(self.page_hint);
        if ahead < self.page_count {
            return Some(ahead);
        }
        let page = self.used.first_zero_from(0);
        debug_assert!(page < self.page_count, "S1: the counts say a page is free");
        Some(page)
    }

    /// Where a run fits that begins in the free tail of the file and may reach past its end.
    fn find_tail(&self, pages: u64) -> Option<PageId> {
        let start = self.used.last_one().map_or(0, |page| page + 1);
        let end = start.checked_add(pages)?;
        (end <= self.page_count.max(self.page_count_max)).then_some(PageId(start))
    }

    fn full(&self, pages: u64) -> SpaceError {
        SpaceError::Full { pages, page_count: self.page_count, page_count_max: self.page_count_max }
    }

    fn take(&mut self, run: Run) {
        let taken = self.used.set_run(run.0.0, run.1);
        assert_eq!(taken, run.1, "S1: {run:?} was allocated already");
        self.page_count = self.page_count.max(run.0.0 + run.1);
    }

    fn give_back(&mut self, run: Run) {
        self.assert_not_reserved(run);
        let freed = self.used.clear_run(run.0.0, run.1);
        assert_eq!(freed, run.1, "S1: {run:?} was free already");
    }

    fn mark_idle(&mut self, run: Run) {
        assert!(self.used.holds_run(run.0.0, run.1), "S2: {run:?} is not allocated");
        let marked = self.idle.set_run(run.0.0, run.1);
        assert_eq!(marked, run.1, "S2: {run:?} is pending or unborn already");
    }

    fn unmark_idle(&mut self, run: Run) {
        let unmarked = self.idle.clear_run(run.0.0, run.1);
        assert_eq!(unmarked, run.1, "S2: {run:?} is neither pending nor unborn");
    }

    fn assert_not_reserved(&self, (start, pages): Run) {
        let next = self.reserved.partition_point(|page| *page < start);
        let next = self.reserved.get(next);
        assert!(
            next.is_none_or(|page| page.0 >= start.0 + pages),
            "S7: {start:?}+{pages} holds a reserved page"
        );
    }
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Puts `pages` pages into the fewest of the largest `gaps`, ascending; none if `parts_max` of them
/// do not hold it. O(gaps * parts_max).
fn fit_in_gaps(
    gaps: impl Iterator<Item = (u64, u64)>,
    pages: u64,
    parts_max: usize,
) -> Option<Vec<Run>> {
    let mut largest: Vec<Run> = Vec::new();
    for (start, len) in gaps {
        let at = largest.partition_point(|run| run.1 >= len);
        if at < parts_max {
            largest.truncate(parts_max - 1);
            largest.insert(at, (PageId(start), len));
        }
    }
    let mut rest = pages;
    for run in &mut largest {
        run.1 = run.1.min(rest);
        rest -= run.1;
    }
    if rest > 0 {
        return None;
    }
    largest.retain(|run| run.1 > 0);
    largest.sort_unstable();
    let mut parts = Vec::new();
    for run in largest {
        push_run(&mut parts, run);
    }
    Some(parts)
}
