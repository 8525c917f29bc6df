//! Reading ahead of a cursor that moves from leaf to leaf.
//!
//! The map is advised that access is random, and the page cache reads what is asked for, so a scan
//! would wait for each leaf by itself. A cursor that has entered a few leaves in a row therefore
//! asks for the coming children of the branch above them: pages that lie behind one another in the
//! file in one request. Point reads never ask.
//!
//! The `Mmap` source advises the operating system, which reads while the cursor goes on; leaves
//! that lie alone are asked for only if they were never touched since the file was opened, because
//! the call costs about as much as reading a leaf in memory. The `Buffered` source reads the batch
//! at once into frames of the page cache, which enter it by the small queue: a scan of any length
//! passes through a tenth of the cache.

use crate::cache::Ticket;
use crate::node::Node;
use crate::pager::Pager;
use crate::{PageId, PageRef, PageSource};

/// A scan is one after so many leaves in a row.
const SCAN_AFTER: u32 = 3;
/// Leaves asked for at first, and once the scan goes on.
const WINDOW_FIRST: usize = 4;
const WINDOW_MAX: usize = 32;
/// Bytes asked for at once, whatever the page size.
const WINDOW_BYTES_MAX: usize = 512 << 10;
/// So many pages that lie together are worth a call even if they may be in memory.
const RUN_MIN: u64 = 4;

/// Which way a cursor moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// What a cursor remembers of its moves from leaf to leaf.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    direction: Direction,
    in_a_row: u32,
    /// The branch whose children were asked for.
    parent: PageId,
    /// The entry of it that is the first not asked for, in the direction of the scan.
    asked_to: usize,
    window: usize,
}

impl ReadAhead {
    pub(crate) fn new() -> Self {
        let (parent, window) = (PageId(0), WINDOW_FIRST);
        ReadAhead { direction: Direction::Up, in_a_row: 0, parent, asked_to: 0, window }
    }

    /// The cursor was set down anew: no scan is under way.
    #[inline]
    pub(crate) fn restart(&mut self) {
        self.in_a_row = 0;
        self.window = WINDOW_FIRST;
    }

    /// The cursor is about to enter child `index` of the branch `id`, the parent of leaves, which
    /// was read from the file and its children with it. Asks for what comes next, if it is time.
    pub(crate) fn enter(
        &mut self,
        pager: &Pager,
        branch: Node<'_>,
        id: PageId,
        index: usize,
        direction: Direction,
    ) {
        if direction != self.direction {
            self.direction = direction;
            self.restart();
        }
        self.in_a_row += 1;
        if self.in_a_row < SCAN_AFTER {
            return;
        }
        // Steps from the first child in the direction of the scan.
        let steps = |i: usize| match direction {
            Direction::Up => i,
            Direction::Down => branch.count() - 1 - i,
        };
        let now = steps(index);
        if self.parent != id || self.asked_to < now {
            (self.parent, self.asked_to) = (id, now);
        }
        // What the operating system reads meanwhile is asked for while half of the last batch is
        // still to come.
        let lead = match pager.page_source() {
            PageSource::Mmap => self.window / 2,
            PageSource::Buffered => 0,
        };
        if self.asked_to > now + lead {
            return;
        }
        let window = self.window.min(pager.read_ahead_max());
        self.window = (self.window * 2).min(WINDOW_MAX);
        let to = (now + window).min(branch.count());
        let mut wanted: Vec<PageRef> =
            (self.asked_to..to).map(|i| branch.child(steps(i))).collect();
        self.asked_to = self.asked_to.max(to);
        wanted.sort_unstable_by_key(|page| page.id);
        for run in wanted.chunk_by(|a, b| a.id.0 + 1 == b.id.0) {
            pager.read_run_ahead(run);
        }
    }
}

impl Pager {
    /// The most pages to ask for at once.
    fn read_ahead_max(&self) -> usize {
        let pages = WINDOW_BYTES_MAX / self.page_size;
        match self.page_source() {
            PageSource::Mmap => pages,
            // Small enough that the batch is still there when the cursor arrives.
            PageSource::Buffered => pages.min(self.cache_frames() / 16),
        }
    }

    /// Asks for pages that lie behind one another. A hint: what cannot be read now is found out by
    /// whoever needs it.
    fn read_run_ahead(&self, run: &[PageRef]) {
        let Some(first) = run.first() else { return };
        if first.id.0.saturating_add(run.len() as u64) > self.file_pages() {
            return;
        }
        match self.map() {
            Some(map) => {
                let unseen = |page: &PageRef| !self.table.is_verified(page.id);
                if run.len() as u64 >= RUN_MIN || run.iter().any(unseen) {
                    let bytes = self.page_size as u64;
                    map.will_need(first.id.0 * bytes, run.len() as u64 * bytes);
                }
            }
            None => self.load_run(run),
        }
    }

    /// Reads those pages of the run that nobody has into the page cache, neighbours by one call.
    fn load_run(&self, run: &[PageRef]) {
        let Ok(cache) = self.cache() else { return };
        let mut batch: Vec<(PageRef, Ticket<'_>)> = Vec::new();
        for page in run {
            match cache.claim_ahead(page.id) {
                Some(ticket) => batch.push((*page, ticket)),
                None => self.load_batch(&mut batch),
            }
        }
        self.load_batch(&mut batch);
    }

    fn load_batch(&self, batch: &mut Vec<(PageRef, Ticket<'_>)>) {
        let Some((first, _)) = batch.first() else { return };
        let mut bytes = vec![0; batch.len() * self.page_size];
        let read = self.file.read_exact_at(&mut bytes, first.id.0 * self.page_size as u64);
        if let Err(error) = read {
            let error = error.into();
            batch.drain(..).for_each(|(_, ticket)| ticket.fail(&error));
            return;
        }
        for ((page, mut ticket), bytes) in batch.drain(..).zip(bytes.chunks_exact(self.page_size)) {
            match self.unpack(bytes, page, ticket.bytes_mut()) {
                Ok(()) => drop(ticket.land()),
                Err(error) => ticket.fail(&error),
            }
        }
    }
}
