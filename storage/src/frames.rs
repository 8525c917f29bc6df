//! Frames: memory of one page each, for the write-back cache and for the page cache; and the page
//! table that leads to those of the write-back cache.
//!
//! Raw pointers are followed in this file alone; the other files that say `unsafe` pass on or
//! discharge the contracts stated here.
//!
//! A frame of the write-back cache belongs to one page from [`Frames::alloc`] to [`Frames::free`]. While the page's birth
//! version is unsealed, the one writer edits it through [`Frames::bytes_mut`]; from then on it is
//! only read, until no snapshot can reach it any more and the writer frees it.
//!
//! ```text
//! writer:  fill frame -> table[page] = frame (Release) -> ... -> publish the root (Release)
//! reader:  pin, load the root (Acquire) -> table[page] (Acquire) -> read the frame
//! ```
//!
//! Both arrays are reserved address space: the kernel backs what is touched.

use crate::{Error, PageId, Result};
use llmdb_vfs::Map;
use memmap2::{MmapMut, MmapOptions};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A frame: its place in the frame memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FrameId(pub(crate) u32);

/// The memory of the frames of one cache, shared by all who use them.
pub(crate) struct Frames {
    memory: Reserved,
    page_size: usize,
    capacity: u32,
}

/// Which frames are free; the writer's alone.
#[derive(Default)]
pub(crate) struct FreeFrames {
    free: Vec<FrameId>,
    /// Frames below this have been handed out at least once.
    touched: u32,
}

/// Zeroed address space that is backed as it is touched.
struct Reserved {
    /// Kept for its lifetime; all access to the bytes goes through `base`.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "kept for its lifetime"))]
    map: MmapMut,
    base: *mut u8,
    len: usize,
}

// SAFETY: the memory lives as long as the value, moving the value does not move the memory, and
// all access is through atomics or follows the protocol in this file's header.
unsafe impl Send for Reserved {}
// SAFETY: as above.
unsafe impl Sync for Reserved {}

impl Reserved {
    fn new(len: usize) -> Result<Self> {
        let mut map = MmapOptions::new().len(len).no_reserve_swap().map_anon().map_err(|_| {
            Error::BadOption { what: "the address space for the page cache cannot be reserved" }
        })?;
        let base = map.as_mut_ptr();
        Ok(Reserved { map, base, len })
    }
}

impl Frames {
    /// Reserves room for `capacity` frames.
    pub(crate) fn new(page_size: usize, capacity: u32) -> Result<Self> {
        let memory = Reserved::new(page_size * capacity as usize)?;
        // Fewer faults while frames are first used, fewer TLB misses ever after. Not to be had on
        // every system, and then it is as it was.
        #[cfg(target_os = "linux")]
        let _ = memory.map.advise(memmap2::Advice::HugePage);
        Ok(Frames { memory, page_size, capacity })
    }

    /// Takes a frame; its bytes are whatever they were. `None` when all are in use.
    pub(crate) fn alloc(&self, free: &mut FreeFrames) -> Option<FrameId> {
        if let Some(frame) = free.free.pop() {
            return Some(frame);
        }
        if free.touched == self.capacity {
            return None;
        }
        free.touched += 1;
        Some(FrameId(free.touched - 1))
    }

    /// Whether so many more frames can be taken.
    pub(crate) fn has_room(&self, free: &FreeFrames, frames: usize) -> bool {
        free.free.len() + (self.capacity - free.touched) as usize >= frames
    }

    /// Gives a frame back.
    pub(crate) fn free(&self, free: &mut FreeFrames, frame: FrameId) {
        free.free.push(frame);
    }

    pub(crate) fn page_size(&self) -> usize {
        self.page_size
    }

    fn at(&self, frame: FrameId) -> *mut u8 {
        debug_assert!(frame.0 < self.capacity);
        let offset = frame.0 as usize * self.page_size;
        debug_assert!(offset + self.page_size <= self.memory.len);
        // SAFETY: frames are numbered below `capacity`, for which the memory was reserved.
        unsafe { self.memory.base.add(offset) }
    }

    /// The bytes of a frame.
    ///
    /// # Safety
    /// The frame is not freed, and not edited by [`Frames::bytes_mut`], while the bytes are used.
    pub(crate) unsafe fn bytes(&self, frame: FrameId) -> &[u8] {
        // SAFETY: inside the reserved memory (`at`); not written meanwhile, by the contract.
        unsafe { std::slice::from_raw_parts(self.at(frame), self.page_size) }
    }

    /// The bytes of a frame, to be edited.
    ///
    /// # Safety
    /// The caller is the one writer, the frame's page is born in the version it is making, so no
    /// reader can reach it, and no other reference to the frame's bytes is used meanwhile.
    #[allow(clippy::mut_from_ref, reason = "exclusive by the contract, not by the borrow")]
    pub(crate) unsafe fn bytes_mut(&self, frame: FrameId) -> &mut [u8] {
        // SAFETY: inside the reserved memory (`at`); exclusive, by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.at(frame), self.page_size) }
    }
}

impl FreeFrames {
    /// Frames that were ever in use: the memory that they took stays.
    pub(crate) fn touched(&self) -> u64 {
        u64::from(self.touched)
    }

    /// Whether a frame was given back and not taken again.
    pub(crate) fn has_listed(&self) -> bool {
        !self.free.is_empty()
    }

    /// The numbers of the frames that were given back.
    #[cfg(test)]
    pub(crate) fn listed(&self) -> impl Iterator<Item = u32> {
        self.free.iter().map(|frame| frame.0)
    }

    /// Frames in use.
    pub(crate) fn in_use(&self) -> u64 {
        u64::from(self.touched) - self.free.len() as u64
    }
}

/// For each page, the frame that holds it, if its newest bytes are not in the file yet; and one
/// bit that says whether the file's bytes have been verified since they were written or opened.
pub(crate) struct PageTable {
    entries: Reserved,
    verified: Reserved,
    pages: u64,
}

impl PageTable {
    pub(crate) fn new(pages: u64) -> Result<Self> {
        let entries = Reserved::new(pages as usize * size_of::<AtomicU32>())?;
        let verified = Reserved::new((pages.div_ceil(64) * 8) as usize)?;
        Ok(PageTable { entries, verified, pages })
    }

    /// How many pages the table covers.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    fn entry(&self, page: PageId) -> &AtomicU32 {
        assert!(page.0 < self.pages, "page numbers are checked where they are read");
        // SAFETY: in bounds by the assertion; aligned (a map starts on an OS page); zeroed memory
        // is a valid AtomicU32; nothing but atomics ever touches it.
        unsafe { &*self.entries.base.cast::<AtomicU32>().add(page.0 as usize) }
    }

    fn word(&self, page: PageId) -> (&AtomicU64, u64) {
        assert!(page.0 < self.pages, "page numbers are checked where they are read");
        // SAFETY: as in `entry`, for the bitmap's words.
        let word = unsafe { &*self.verified.base.cast::<AtomicU64>().add(page.0 as usize / 64) };
        (word, 1 << (page.0 % 64))
    }

    /// The frame of `page`, if it has one. Pairs with the Release in `set`.
    pub(crate) fn get(&self, page: PageId) -> Option<FrameId> {
        self.entry(page).load(Ordering::Acquire).checked_sub(1).map(FrameId)
    }

    /// Leads `page` to `frame`, or back to the file. Pairs with the Acquire in `get`.
    pub(crate) fn set(&self, page: PageId, frame: Option<FrameId>) {
        self.entry(page).store(frame.map_or(0, |f| f.0 + 1), Ordering::Release);
    }

    /// Whether the file's bytes of `page` were found good. A stale "no" costs a second check.
    pub(crate) fn is_verified(&self, page: PageId) -> bool {
        let (word, bit) = self.word(page);
        word.load(Ordering::Relaxed) & bit != 0
    }

    pub(crate) fn set_verified(&self, page: PageId) {
        let (word, bit) = self.word(page);
        word.fetch_or(bit, Ordering::Relaxed);
    }

    /// Forgets that `page` was good: it is about to get other bytes.
    pub(crate) fn clear_verified(&self, page: PageId) {
        let (word, bit) = self.word(page);
        if word.load(Ordering::Relaxed) & bit != 0 {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

/// The file's bytes of `len` at `offset`, through the map.
///
/// # Safety
/// The range lies within the file and the reserved map, and is not written while the bytes are
/// used: it belongs to a page or extent that a pinned root reaches (invariant I1 of the crate).
pub(crate) unsafe fn mapped(map: &Map, offset: u64, len: usize) -> &[u8] {
    assert!(offset + len as u64 <= map.reserved(), "the map covers the file");
    // SAFETY: within the map and the file, and unchanged meanwhile, by the contract.
    unsafe { std::slice::from_raw_parts(map.as_ptr().add(offset as usize), len) }
}
