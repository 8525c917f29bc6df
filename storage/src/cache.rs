//! The page cache: pages of the file in memory of a fixed size.
//!
//! It holds what the `Buffered` source has read. It does no I/O: whoever misses a page is told
//! to [`Load`](Claim::Load) it, once however many want it, and the others wait for the outcome.
//!
//! ```text
//! hit, no lock:   index -> frame | state += 1 (Acquire) | not LOCKED, frame.page == page? -> bytes
//! done reading:   state -= 1 (Release)
//! miss, locked:   state 0 -> LOCKED (Acquire), index forgets the page that was there
//!   unlocked:     bytes are read into the frame and judged
//!   locked:       frame.page = page, LOCKED goes (Release), index leads to it
//! ```
//!
//! A frame with a pin is never taken: the exchange from 0 fails. A reader that raises the count of
//! a frame that is LOCKED, or that has got another page meanwhile, lowers it again and asks under the
//! lock. The pages of one thread's path and values are all that it pins; where every frame is pinned,
//! a miss is [`Error::PagesHeld`].

use crate::budget::{Budget, MemoryUse};
use crate::frames::{FrameId, Frames, FreeFrames};
use crate::pin::{LOCKED, Pinned, Tenancy};
use crate::{Error, PageId, Result};
use index::Index;
use parking_lot::{Condvar, Mutex};
use queues::{HITS_MAX, Queues, Residents};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

mod index;
mod queues;

/// The smallest cache: three readers, each on a path of five pages, and a page to come.
pub(crate) const FRAMES_MIN: usize = 16;
/// What a frame takes beside its page: its tenancy, its entries in index and queues, its ghost.
const FRAME_OVERHEAD: usize = 96;
/// A pin seen while every frame is taken may be a reader's that looks and lets go.
const TRIES: usize = 100;

/// Pages of the file in memory.
pub(crate) struct Cache {
    frames: Frames,
    tenancies: Box<[Tenancy]>,
    index: Index,
    budget: Arc<Budget>,
    state: Mutex<State>,
    /// A load that somebody waits for has ended.
    landed: Condvar,
}

struct State {
    free: FreeFrames,
    queues: Queues,
    /// Loads under way, and loads that ended and whose outcome somebody has yet to see.
    flights: Vec<Flight>,
    flown: u64,
    evicted: u64,
}

struct Flight {
    number: u64,
    page: PageId,
    waiting: u32,
    /// The page got other bytes while it was being read: it is not to be found under its name.
    forgotten: bool,
    outcome: Option<Outcome>,
}

enum Outcome {
    /// Look again: the page is there, or somebody else has to judge what is wrong with it.
    Retry,
    /// The file could not be read.
    Failed(llmdb_vfs::Error),
}

/// What a reader that missed a page is to do.
#[derive(Debug)]
pub(crate) enum Claim<'c> {
    /// Nothing: it is there.
    Hit(Pinned<'c>),
    /// Read it.
    Load(Ticket<'c>),
}

/// The right and the duty to fill a frame.
#[must_use = "others may be waiting"]
pub(crate) struct Ticket<'c> {
    cache: &'c Cache,
    page: PageId,
    frame: FrameId,
    flight: u64,
}

/// How full the page cache is, and what it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct PageCacheUse {
    /// Bytes that it may take.
    pub bytes_max: u64,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Pages read into it.
    pub loads: u64,
    /// Pages that made room for others.
    pub evictions: u64,
}

/// How many pages a cache of so many bytes holds.
///
/// # Errors
/// [`Error::BadOption`] for fewer than 16.
pub(crate) fn frames_for(bytes: u64, page_size: usize) -> Result<usize> {
    let frames = bytes / (page_size + FRAME_OVERHEAD) as u64;
    let frames = usize::try_from(frames).unwrap_or(usize::MAX).min(index::FRAMES_MAX);
    if frames < FRAMES_MIN {
        return Err(Error::BadOption { what: "the page cache must have room for 16 pages" });
    }
    Ok(frames)
}

/// What the smallest cache takes.
pub(crate) fn bytes_min(page_size: usize) -> u64 {
    (FRAMES_MIN * (page_size + FRAME_OVERHEAD)) as u64
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.usage().fmt(f)
    }
}

impl fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("page", &self.page).finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache of so many frames. The first 16 are taken from the budget now, so that reading never
    /// takes what checkpoints need; the others as they are used.
    ///
    /// # Errors
    /// [`Error::CacheFull`] where the budget has no room for the first.
    pub(crate) fn new(page_size: usize, frames: usize, budget: Arc<Budget>) -> Result<Self> {
        assert!((FRAMES_MIN..=index::FRAMES_MAX).contains(&frames), "checked where it is set");
        if !budget.try_take(MemoryUse::Cache, bytes_min(page_size)) {
            return Err(Error::CacheFull);
        }
        Ok(Cache {
            frames: Frames::new(page_size, frames as u32)?,
            tenancies: (0..frames).map(|_| Tenancy::default()).collect(),
            index: Index::new(frames),
            budget,
            state: Mutex::new(State {
                free: FreeFrames::default(),
                queues: Queues::new(frames),
                flights: Vec::new(),
                flown: 0,
                evicted: 0,
            }),
            landed: Condvar::new(),
        })
    }

    pub(crate) fn frames(&self) -> usize {
        self.tenancies.len()
    }

    pub(crate) fn usage(&self) -> PageCacheUse {
        let frame = self.frame_bytes();
        let state = self.state.lock();
        PageCacheUse {
            bytes_max: self.frames() as u64 * frame,
            bytes: state.free.touched() * frame,
            loads: state.flown,
            evictions: state.evicted,
        }
    }

    /// The page, if it is there; `None` may also mean that it was just moved. Takes no lock.
    #[inline]
    pub(crate) fn hit(&self, page: PageId) -> Option<Pinned<'_>> {
        let frame = self.index.find(page)?;
        let tenancy = &self.tenancies[frame as usize];
        // Pairs with the Release in `Ticket::land`.
        let before = tenancy.state.fetch_add(1, Ordering::Acquire);
        // Acquire, the same pair: a pin raised before the frame was filled sees it full as well.
        if before & LOCKED != 0 || tenancy.page.load(Ordering::Acquire) != page.0 {
            tenancy.state.fetch_sub(1, Ordering::Release);
            return None;
        }
        // Relaxed, and lost updates are no loss: an estimate.
        let hits = tenancy.hits.load(Ordering::Relaxed);
        if hits < HITS_MAX {
            tenancy.hits.store(hits + 1, Ordering::Relaxed);
        }
        // SAFETY: the pin just raised keeps the frame from being taken, hence from being written.
        Some(Pinned::held(unsafe { self.frames.bytes(FrameId(frame)) }, tenancy))
    }

    /// The page, or the duty to read it; waits for whoever reads it already.
    ///
    /// # Errors
    /// [`Error::PagesHeld`]; the error of the one who was waited for, if the file failed.
    pub(crate) fn claim(&self, page: PageId) -> Result<Claim<'_>> {
        let mut state = self.state.lock();
        let mut tries = 0;
        loop {
            if let Some(pinned) = self.hit(page) {
                return Ok(Claim::Hit(pinned));
            }
            let flying = |flight: &&mut Flight| flight.page == page && flight.outcome.is_none();
            if let Some(flight) = state.flights.iter_mut().find(flying) {
                flight.waiting += 1;
                let number = flight.number;
                let outcome = loop {
                    self.landed.wait(&mut state);
                    if let Some(outcome) = state.see(number) {
                        break outcome;
                    }
                };
                match outcome {
                    Outcome::Retry => continue,
                    Outcome::Failed(error) => return Err(error.into()),
                }
            }
            if let Some(ticket) = self.take_off(&mut state, page) {
                return Ok(Claim::Load(ticket));
            }
            tries += 1;
            if tries == TRIES {
                return Err(Error::PagesHeld { pages: self.frames() });
            }
            parking_lot::MutexGuard::unlocked(&mut state, std::thread::yield_now);
        }
    }

    /// The duty to read a page that nobody has asked for yet; `None` if it is there or on its way,
    /// or if there is no room.
    pub(crate) fn claim_ahead(&self, page: PageId) -> Option<Ticket<'_>> {
        let mut state = self.state.lock();
        let known = self.index.find(page).is_some()
            || state.flights.iter().any(|flight| flight.page == page);
        if known { None } else { self.take_off(&mut state, page) }
    }

    fn take_off(&self, state: &mut State, page: PageId) -> Option<Ticket<'_>> {
        let frame = match self.unused_frame(state) {
            Some(frame) => {
                self.tenancies[frame.0 as usize].state.fetch_add(LOCKED, Ordering::Acquire);
                frame
            }
            None => {
                let frame = state.queues.evict(&Tenants(self))?;
                let before = self.tenancies[frame as usize].page.swap(0, Ordering::Relaxed);
                if before != 0 {
                    self.index.remove(PageId(before));
                }
                state.evicted += 1;
                FrameId(frame)
            }
        };
        state.flown += 1;
        let number = state.flown;
        let outcome = None;
        state.flights.push(Flight { number, page, waiting: 0, forgotten: false, outcome });
        Some(Ticket { cache: self, page, frame, flight: number })
    }

    /// A frame without a page: one given back, or one more from the budget. A cache that gets no
    /// more from it goes on with what it has.
    fn unused_frame(&self, state: &mut State) -> Option<FrameId> {
        if !state.free.has_listed() {
            let touched = state.free.touched() as usize;
            let granted = touched < FRAMES_MIN
                || touched < self.frames()
                    && self.budget.try_take(MemoryUse::Cache, self.frame_bytes());
            if !granted {
                return None;
            }
        }
        self.frames.alloc(&mut state.free)
    }

    fn frame_bytes(&self) -> u64 {
        (self.frames.page_size() + FRAME_OVERHEAD) as u64
    }

    /// `page` is about to get other bytes, or was found to have got them.
    pub(crate) fn forget(&self, page: PageId) {
        let mut state = self.state.lock();
        if let Some(frame) = self.index.remove(page) {
            // Its place in the queues is found empty when its turn comes.
            self.tenancies[frame as usize].page.store(0, Ordering::Relaxed);
        }
        for flight in state.flights.iter_mut().filter(|flight| flight.page == page) {
            flight.forgotten = true;
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let frames = self.state.get_mut().free.touched().max(FRAMES_MIN as u64);
        let bytes = frames * self.frame_bytes();
        self.budget.give_back(MemoryUse::Cache, bytes);
    }
}

impl State {
    /// The outcome of a load, for one of those who waited.
    fn see(&mut self, number: u64) -> Option<Outcome> {
        let at = self.flights.iter().position(|flight| flight.number == number)?;
        let flight = &mut self.flights[at];
        let outcome = match flight.outcome.as_ref()? {
            Outcome::Retry => Outcome::Retry,
            Outcome::Failed(error) => Outcome::Failed(error.clone()),
        };
        flight.waiting -= 1;
        if flight.waiting == 0 {
            self.flights.swap_remove(at);
        }
        Some(outcome)
    }

    /// A load has ended; answers whether its page may be found under its name.
    fn end(&mut self, number: u64, outcome: Outcome) -> bool {
        let at = self.flights.iter().position(|flight| flight.number == number);
        let at = at.expect("a flight ends once");
        let flight = &mut self.flights[at];
        let listed = !flight.forgotten;
        match flight.waiting {
            0 => {
                self.flights.swap_remove(at);
            }
            _ => flight.outcome = Some(outcome),
        }
        listed
    }
}

impl<'c> Ticket<'c> {
    /// The frame to fill.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the frame is LOCKED and had no pin, or held no page, when it became so: nobody
        // reads it, and there is one ticket for it.
        unsafe { self.cache.frames.bytes_mut(self.frame) }
    }

    /// The page is there: others may have it too.
    pub(crate) fn land(self) -> Pinned<'c> {
        let (cache, frame) = (self.cache, self.frame);
        let tenancy = &cache.tenancies[frame.0 as usize];
        let mut state = cache.state.lock();
        let listed = state.end(self.flight, Outcome::Retry);
        tenancy.hits.store(0, Ordering::Relaxed);
        if listed {
            // Pairs with the Acquire in `hit`, as the next line does.
            tenancy.page.store(self.page.0, Ordering::Release);
        }
        // LOCKED goes, this reader's pin comes; pins raised in vain meanwhile are lowered by those
        // who raised them.
        tenancy.state.fetch_sub(LOCKED - 1, Ordering::Release);
        if listed {
            cache.index.insert(self.page, frame.0);
        }
        state.queues.admit(frame.0, self.page);
        drop(state);
        cache.landed.notify_all();
        std::mem::forget(self);
        // SAFETY: the pin just raised keeps the frame.
        Pinned::held(unsafe { cache.frames.bytes(frame) }, tenancy)
    }

    /// The page could not be read. A failure of the file is told to those who waited; what is wrong
    /// with its bytes they find out themselves, because they may be looking for another allocation.
    pub(crate) fn fail(self, error: &Error) {
        match error {
            Error::Vfs(error) => self.give_up(Outcome::Failed(error.clone())),
            _ => self.give_up(Outcome::Retry),
        }
        std::mem::forget(self);
    }

    fn give_up(&self, outcome: Outcome) {
        let mut state = self.cache.state.lock();
        state.end(self.flight, outcome);
        let tenancy = &self.cache.tenancies[self.frame.0 as usize];
        tenancy.state.fetch_sub(LOCKED, Ordering::Release);
        self.cache.frames.free(&mut state.free, self.frame);
        drop(state);
        self.cache.landed.notify_all();
    }
}

impl Drop for Ticket<'_> {
    /// Whoever was to fill the frame panicked: those who wait try themselves.
    fn drop(&mut self) {
        self.give_up(Outcome::Retry);
    }
}

/// The frames as the queues see them, under the cache's lock.
struct Tenants<'c>(&'c Cache);

impl Residents for Tenants<'_> {
    fn hits(&self, frame: u32) -> u8 {
        self.0.tenancies[frame as usize].hits.load(Ordering::Relaxed)
    }

    fn set_hits(&self, frame: u32, hits: u8) {
        self.0.tenancies[frame as usize].hits.store(hits, Ordering::Relaxed);
    }

    fn take(&self, frame: u32) -> bool {
        let state = &self.0.tenancies[frame as usize].state;
        // Pairs with the Release of a pin that is dropped.
        state.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn page(&self, frame: u32) -> Option<PageId> {
        let page = self.0.tenancies[frame as usize].page.load(Ordering::Relaxed);
        (page != 0).then_some(PageId(page))
    }
}

#[cfg(test)]
mod tests;
