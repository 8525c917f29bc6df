//! Overwriting pages that hold nothing any more.
//!
//! A page is written when it is used, not when it is freed: until then the file keeps what it held.
//! Whoever wants that gone takes down all pages whose bytes in the file may be of long ago, and
//! crosses them off: free ones as they are overwritten with zeros, others once a checkpoint has
//! written them.
//!
//! ```text
//!   stale:  free -- taken, zeroed, given back --> crossed off
//!           changed, not written -- checkpoint --> crossed off
//!           dropped, or not committed yet -- freed some time --> free
//! ```

use crate::pager::Pager;
use crate::space::{Bitmap, RunId};
use crate::writer::Writer;
use crate::{PageId, Result, Version};
use std::io::IoSlice;

/// How much is read and zeroed by one call.
const CHUNK: usize = 1 << 20;

/// Pages whose bytes in the file may be of long ago.
#[derive(Debug)]
pub struct Stale {
    pages: Bitmap,
    /// Where the next search begins.
    next: u64,
}

/// Free pages that nobody else gets while they are overwritten.
#[derive(Debug)]
#[must_use = "ends in end_wipe"]
pub struct Wipe {
    id: RunId,
    start: PageId,
    pages: u64,
}

impl Stale {
    /// Whether all are crossed off.
    pub fn is_empty(&self) -> bool {
        self.pages.count_ones() == 0
    }
}

impl Writer {
    /// The pages of the file whose bytes may be of long ago. Not to be called while a checkpoint is
    /// under way, nor is [`Writer::next_wipe`].
    pub fn stale_pages(&mut self) -> Stale {
        assert!(self.in_flight.is_none(), "what a checkpoint writes is not known to be written");
        // A crash may have left pages behind the end that the newest meta page knows of.
        self.space.extend_to(self.pager.file_pages());
        let mut pages = Bitmap::new(self.space.used().region_pages());
        for (start, len) in self.space.used().gaps(0, self.space.page_count()) {
            pages.set_run(start, len);
        }
        for page in self.dirty.ones().chain(self.space.idle().ones()) {
            pages.set(page);
        }
        Stale { pages, next: 0 }
    }

    /// Takes the next free run of stale pages, at most so many. `None` at the end: what is left of
    /// them then is in use and not written, or dropped and not free.
    pub fn next_wipe(&mut self, stale: &mut Stale, pages_max: u64) -> Option<Wipe> {
        assert!(self.in_flight.is_none(), "what a checkpoint writes is not known to be written");
        let is_free = |writer: &Self, page| !writer.space.is_used(PageId(page));
        while let Some(page) = stale.pages.first_one_from(stale.next) {
            stale.next = page + 1;
            if !is_free(self, page) {
                if !self.space.idle().test(page) && !self.dirty.test(page) {
                    stale.pages.clear(page);
                }
                continue;
            }
            let mut pages = 1;
            while pages < pages_max && stale.pages.test(page + pages) && is_free(self, page + pages)
            {
                pages += 1;
            }
            stale.pages.clear_run(page, pages);
            stale.next = page + pages;
            let start = PageId(page);
            let id = self.space.adopt_run(&[(start, pages)]).expect("free pages can be taken");
            return Some(Wipe { id, start, pages });
        }
        stale.next = 0;
        None
    }

    /// The pages are free again.
    pub fn end_wipe(&mut self, wipe: Wipe) {
        self.space.abandon_run(wipe.id);
    }

    /// The older of the versions that the retained meta pages lead to.
    pub fn oldest_retained(&self) -> Option<Version> {
        self.retained.first().copied()
    }
}

impl Wipe {
    /// Overwrites the pages with zeros, but for those that are zero already. Not synced.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, pager: &Pager) -> Result<()> {
        let page_size = pager.page_size as u64;
        // What the file has no room for yet holds nothing.
        let end = (self.start.0 + self.pages).min(pager.file_pages()) * page_size;
        let (mut at, mut buffer) = (self.start.0 * page_size, vec![0; CHUNK]);
        while at < end {
            let len = CHUNK.min((end - at) as usize);
            let bytes = &mut buffer[..len];
            pager.file.read_exact_at(bytes, at)?;
            if bytes.iter().any(|byte| *byte != 0) {
                bytes.fill(0);
                pager.file.write_all_at(&[IoSlice::new(bytes)], at)?;
            }
            at += len as u64;
        }
        Ok(())
    }
}

impl Pager {
    /// Makes what was overwritten durable. After a failure writing has to stop.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync_file(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}
