//! Which frame holds a page: a hash table of fixed size that is searched without a lock.
//!
//! Entries are changed under the cache's lock alone. A search that runs meanwhile may miss an entry
//! that is being moved, or find one that was just removed: whoever searches without the lock checks
//! the frame after pinning it, and asks again under the lock before it believes that a page is not
//! there.

use crate::PageId;
use std::sync::atomic::{AtomicU64, Ordering};

const FRAME_BITS: u32 = 24;
/// No cache has more frames.
pub(super) const FRAMES_MAX: usize = (1 << FRAME_BITS) - 1;
/// No page number of a cached page is larger: 2^40 pages are 4 PiB at the least.
const PAGES_MAX: u64 = 1 << (64 - FRAME_BITS);

/// Linear probing; an entry is a page number and its frame, 0 is none (page 0 is never cached).
#[derive(Debug)]
pub(super) struct Index {
    entries: Box<[AtomicU64]>,
}

impl Index {
    pub(super) fn new(frames: usize) -> Self {
        let len = (frames * 2).next_power_of_two();
        Index { entries: (0..len).map(|_| AtomicU64::new(0)).collect() }
    }

    fn mask(&self) -> usize {
        self.entries.len() - 1
    }

    fn home(&self, page: u64) -> usize {
        (page.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask()
    }

    fn at(&self, i: usize) -> u64 {
        // Relaxed: what the entry says is believed only after the frame is pinned, and the pin
        // synchronises with whoever filled the frame.
        self.entries[i].load(Ordering::Relaxed)
    }

    fn position(&self, page: PageId) -> Option<usize> {
        let mut i = self.home(page.0);
        for _ in 0..self.entries.len() {
            match self.at(i) {
                0 => return None,
                entry if entry >> FRAME_BITS == page.0 => return Some(i),
                _ => i = (i + 1) & self.mask(),
            }
        }
        None
    }

    /// The frame that may hold `page`.
    pub(super) fn find(&self, page: PageId) -> Option<u32> {
        let i = self.position(page)?;
        // Read again: an entry that is moved meanwhile leads to another frame, whose page differs.
        let entry = self.at(i);
        (entry != 0).then_some(entry as u32 & FRAMES_MAX as u32)
    }

    /// Enters a page that is not in the table. Under the cache's lock.
    pub(super) fn insert(&self, page: PageId, frame: u32) {
        assert!(page.0 != 0 && page.0 < PAGES_MAX, "page numbers are checked where they are read");
        let mut i = self.home(page.0);
        while self.at(i) != 0 {
            i = (i + 1) & self.mask();
        }
        self.entries[i].store(page.0 << FRAME_BITS | u64::from(frame), Ordering::Relaxed);
    }

    /// Removes a page; answers its frame. Under the cache's lock.
    pub(super) fn remove(&self, page: PageId) -> Option<u32> {
        let mut hole = self.position(page)?;
        let frame = self.at(hole) as u32 & FRAMES_MAX as u32;
        let mut i = hole;
        loop {
            i = (i + 1) & self.mask();
            let entry = self.at(i);
            if entry == 0 {
                break;
            }
            // An entry whose home lies behind the hole is found without being moved.
            let home = self.home(entry >> FRAME_BITS);
            let behind = i.wrapping_sub(home) & self.mask() < i.wrapping_sub(hole) & self.mask();
            if !behind {
                self.entries[hole].store(entry, Ordering::Relaxed);
                hole = i;
            }
        }
        self.entries[hole].store(0, Ordering::Relaxed);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few places and many collisions, wrapped around the end included.
        #[test]
        fn the_index_behaves_as_a_map(ops in prop::collection::vec((any::<bool>(), 1u64..60), 1..200)) {
            let (index, mut model) = (Index::new(12), BTreeMap::new());
            for (insert, page) in ops {
                if insert && model.len() < 12 && !model.contains_key(&page) {
                    index.insert(PageId(page), page as u32 + 100);
                    model.insert(page, page as u32 + 100);
                } else if !insert {
                    prop_assert_eq!(index.remove(PageId(page)), model.remove(&page));
                }
                for page in 1..60 {
                    prop_assert_eq!(index.find(PageId(page)), model.get(&page).copied());
                }
            }
        }
    }
}
