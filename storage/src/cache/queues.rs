//! Which page goes when another needs its frame: S3-FIFO.
//!
//! Three first-in-first-out queues (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need
//! for cache eviction", SOSP 2023). A page that was never seen goes to the *small* queue, a tenth of
//! the cache. Pages that are asked for again while they are there move on to *main*; the others,
//! every page of a scan among them, leave after a tenth of the cache and without having touched
//! what is in main. Of those that left, the *ghost* remembers names: a page that comes back soon
//! goes to main at once. Nothing is moved on a hit, which only counts, up to three, in a byte of the
//! frame; so hits take no lock. Why this one, with figures: decision record 0005.

use crate::PageId;
use std::collections::VecDeque;

/// A page that is asked for again so often leaves the small queue for main.
const PROMOTED_FROM: u8 = 2;
/// Hits beyond this are not counted: main gives a page at most so many further rounds.
pub(crate) const HITS_MAX: u8 = 3;
/// The small queue's part of all frames.
const SMALL_PART: usize = 10;

/// What the queues know of frames, and the one right that they need: to take one.
pub(crate) trait Residents {
    /// Hits counted since this was last set.
    fn hits(&self, frame: u32) -> u8;
    fn set_hits(&self, frame: u32, hits: u8);
    /// Takes the frame away from readers to come; `false` while a reader holds it.
    fn take(&self, frame: u32) -> bool;
    /// The page in the frame, `None` if it holds none that counts any more.
    fn page(&self, frame: u32) -> Option<PageId>;
}

/// The order of all frames that hold a page.
#[derive(Debug)]
pub(crate) struct Queues {
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    ghost: Ghost,
    small_target: usize,
}

impl Queues {
    pub(crate) fn new(frames: usize) -> Self {
        let small_target = (frames / SMALL_PART).max(1);
        Queues {
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: Ghost::new(frames - small_target),
            small_target,
        }
    }

    /// `frame` holds `page` from now on.
    pub(crate) fn admit(&mut self, frame: u32, page: PageId) {
        match self.ghost.remembers(page) {
            true => self.main.push_back(frame),
            false => self.small.push_back(frame),
        }
    }

    /// Takes the frame that is needed least. `None` while readers hold every one.
    pub(crate) fn evict(&mut self, residents: &impl Residents) -> Option<u32> {
        // Each frame of `small` is looked at once, each of `main` as often as it has hits.
        let mut small_left = self.small.len();
        let mut main_left = (self.main.len() + small_left) * (usize::from(HITS_MAX) + 1);
        loop {
            let small_is_due = self.small.len() >= self.small_target || main_left == 0;
            if small_left > 0 && (small_is_due || self.main.is_empty()) {
                small_left -= 1;
                let frame = self.small.pop_front().expect("counted");
                let page = residents.page(frame);
                if page.is_some() && residents.hits(frame) >= PROMOTED_FROM {
                    residents.set_hits(frame, 0);
                    self.main.push_back(frame);
                } else if residents.take(frame) {
                    if let Some(page) = page {
                        self.ghost.remember(page);
                    }
                    return Some(frame);
                } else {
                    self.small.push_back(frame);
                }
            } else if main_left > 0 && !self.main.is_empty() {
                main_left -= 1;
                let frame = self.main.pop_front().expect("not empty");
                let hits = residents.hits(frame);
                if hits > 0 && residents.page(frame).is_some() {
                    residents.set_hits(frame, hits - 1);
                } else if residents.take(frame) {
                    return Some(frame);
                }
                self.main.push_back(frame);
            } else {
                return None;
            }
        }
    }
}

/// The names of pages that left the small queue, as many as main has places. A table of fixed size:
/// where two names meet, the newer stays.
#[derive(Debug)]
struct Ghost {
    /// A name (never 0) and when it came, by count of names that came.
    names: Box<[(u32, u32)]>,
    room: u32,
    now: u32,
}

impl Ghost {
    fn new(room: usize) -> Self {
        let names = vec![(0, 0); (room * 2).next_power_of_two()].into_boxed_slice();
        Ghost { names, room: room as u32, now: 0 }
    }

    /// Where a page's name is kept, and the name.
    fn place(&self, page: PageId) -> (usize, u32) {
        let hash = page.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((hash >> 32) as usize & (self.names.len() - 1), hash as u32 | 1)
    }

    fn remember(&mut self, page: PageId) {
        let (at, name) = self.place(page);
        self.now = self.now.wrapping_add(1);
        self.names[at] = (name, self.now);
    }

    /// Whether the page is among the last that left; it is forgotten then.
    fn remembers(&mut self, page: PageId) -> bool {
        let (at, name) = self.place(page);
        let (found, came) = self.names[at];
        let known = found == name && self.now.wrapping_sub(came) < self.room;
        if known {
            self.names[at] = (0, 0);
        }
        known
    }
}

#[cfg(test)]
mod tests;
