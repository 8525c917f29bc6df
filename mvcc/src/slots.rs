//! Reader slots: which versions snapshots are looking at, told without locks.
//!
//! ```text
//! reader                                reclaimer (the sequencer)
//! slot: FREE -> PENDING                 current = new root
//! root = current                        scan the slots:
//! slot: PENDING -> root's version         PENDING: free nothing in this round
//! ...read...                              version: it is live
//! slot: -> FREE                           FREE: whoever takes the slot later sees `current`
//! ```
//!
//! All of these are sequentially consistent: a reader whose PENDING the scan did not see loads
//! `current` after the scan, and so gets a root that was published before it or later, never one
//! that the scan let go.

use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, fence};

const FREE: u64 = u64::MAX;
const PENDING: u64 = u64::MAX - 1;
const CHUNK: usize = 64;

/// The slots of one database; they grow by chunks and never shrink.
#[derive(Debug)]
pub(crate) struct Slots {
    first: Chunk,
}

#[derive(Debug)]
struct Chunk {
    slots: [CachePadded<AtomicU64>; CHUNK],
    next: OnceLock<Box<Chunk>>,
}

/// A slot that its holder frees.
#[derive(Debug)]
pub(crate) struct Slot<'s>(&'s AtomicU64);

/// What a scan of the slots found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// A reader is about to pin a version: nothing may be freed in this round.
    Unsettled,
    /// The versions pinned, ascending, without repetition.
    Versions(Vec<u64>),
}

impl Chunk {
    fn new() -> Self {
        let slots = std::array::from_fn(|_| CachePadded::new(AtomicU64::new(FREE)));
        Chunk { slots, next: OnceLock::new() }
    }
}

impl Slots {
    pub(crate) fn new() -> Self {
        Slots { first: Chunk::new() }
    }

    /// Takes a slot, marked PENDING. Wait-free and without allocation while no more than 64
    /// snapshots are open; beyond, a chunk is added once.
    pub(crate) fn take(&self) -> Slot<'_> {
        thread_local! {
            /// Where this thread last found a free slot.
            static HINT: Cell<usize> = const { Cell::new(0) };
        }
        let hint = HINT.get();
        let mut chunk = &self.first;
        loop {
            for i in 0..CHUNK {
                let i = (hint + i) % CHUNK;
                let slot = &chunk.slots[i];
                let free = slot.load(Ordering::Relaxed) == FREE;
                if free
                    && slot
                        .compare_exchange(FREE, PENDING, Ordering::SeqCst, Ordering::Relaxed)
                        .is_ok()
                {
                    HINT.set(i);
                    return Slot(slot);
                }
            }
            chunk = chunk.next.get_or_init(|| Box::new(Chunk::new()));
            // Pairs with the fence in `scan`: a scan that missed the chunk comes before the load
            // of `current` that follows.
            fence(Ordering::SeqCst);
        }
    }

    /// Looks at all slots.
    pub(crate) fn scan(&self) -> Pinned {
        // Pairs with the fence in `take`.
        fence(Ordering::SeqCst);
        let mut versions = Vec::new();
        let mut chunk = Some(&self.first);
        while let Some(now) = chunk {
            for slot in &now.slots {
                // Pairs with the stores of `take` and `pin`: see the drawing above.
                match slot.load(Ordering::SeqCst) {
                    FREE => {}
                    PENDING => return Pinned::Unsettled,
                    version => versions.push(version),
                }
            }
            chunk = now.next.get().map(|next| &**next);
        }
        versions.sort_unstable();
        versions.dedup();
        Pinned::Versions(versions)
    }
}

impl Slot<'_> {
    /// Settles on a version.
    pub(crate) fn pin(&self, version: u64) {
        debug_assert!(version < PENDING);
        self.0.store(version, Ordering::SeqCst);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // Release: all reads through the snapshot come before a scan that sees FREE.
        self.0.store(FREE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_reader_stops_the_round() {
        let slots = Slots::new();
        let slot = slots.take();
        assert_eq!(slots.scan(), Pinned::Unsettled);
        slot.pin(7);
        assert_eq!(slots.scan(), Pinned::Versions(vec![7]));
        drop(slot);
        assert_eq!(slots.scan(), Pinned::Versions(vec![]));
    }

    #[test]
    fn more_readers_than_a_chunk_holds_are_all_seen() {
        let slots = Slots::new();
        let taken: Vec<_> = (0..200)
            .map(|version| {
                let slot = slots.take();
                slot.pin(version);
                slot
            })
            .collect();
        assert_eq!(slots.scan(), Pinned::Versions((0..200).collect()));
        drop(taken);
        assert_eq!(slots.scan(), Pinned::Versions(vec![]));
    }
}
