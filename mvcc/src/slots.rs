//! Reader slots: which versions snapshots are looking at, told without locks.
//!
//! ```text
//! reader                                reclaimer (the sequencer)
//! slot: FREE -> PENDING                 current = new root
//! root = current                        scan the slots:
//! slot: PENDING -> root's version         PENDING: free nothing in this round
//! ...read...                              version: it is live, unless it was given up
//! slot: -> FREE                           FREE: whoever takes the slot later sees `current`
//! ```
//!
//! All of these are sequentially consistent: a reader whose PENDING the scan did not see loads
//! `current` after the scan, and so gets a root that was published before it or later, never one
//! that the scan let go.
//!
//! A slot on [`Tenure::Lease`] can be taken back from its holder. Beside the version it has a
//! *guard*: how often it changed hands, how many reads are under way, and two flags.
//!
//! ```text
//!   bits   63..32    31..2   1     0
//!          holders   reads   FIRM  EXPIRED
//!
//!   holder                                sequencer
//!   enter: reads + 1, if not EXPIRED      expire: + EXPIRED, if not FIRM
//!   ...read...                            scan: EXPIRED and no reads: not live any more
//!   leave: reads - 1
//! ```
//!
//! The guard is one word that is changed by read-modify-writes alone while it is held, so they have
//! one order: a read that entered before the expiry is counted by it, one that comes after it is
//! refused, and from then on the count only falls. A scan, which comes after the expiry in the
//! sequencer's own order, that finds no reads has therefore seen the end of the last one there will
//! ever be. It costs a read of a leased slot two such operations on a line of its own.
//!
//! The number of holders is for whoever expires: it reads guard, version, and then changes the
//! guard as it was read. If the slot changed hands in between, so did the number, and the new holder
//! keeps its lease.

use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, fence};

const FREE: u64 = u64::MAX;
const PENDING: u64 = u64::MAX - 1;
const CHUNK: usize = 64;

const EXPIRED: u64 = 1;
const FIRM: u64 = 1 << 1;
const READ: u64 = 1 << 2;
const HOLDER: u64 = 1 << 32;
/// Reads under way, as far as they fit below the holders.
const READS: u64 = HOLDER - READ;

/// The slots of one database; they grow by chunks and never shrink.
#[derive(Debug)]
pub(crate) struct Slots {
    first: Chunk,
}

#[derive(Debug)]
struct Chunk {
    places: [CachePadded<Place>; CHUNK],
    next: OnceLock<Box<Chunk>>,
}

#[derive(Debug)]
struct Place {
    version: AtomicU64,
    guard: AtomicU64,
}

/// How long a slot's version is live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tenure {
    /// Until the slot is freed.
    Firm,
    /// Until it expires and no read is under way, if that comes first.
    Lease,
}

/// A slot that its holder frees.
#[derive(Debug)]
pub(crate) struct Slot<'s>(&'s Place);

/// A read under way: until it is dropped the version is live.
#[derive(Debug)]
pub(crate) struct Reading<'s>(&'s Place);

/// What a scan of the slots found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pinned {
    /// A slot is changing hands: nothing may be freed in this round.
    Unsettled,
    /// Versions, ascending, without repetition.
    Versions {
        /// Those that are pinned.
        live: Vec<u64>,
        /// Those of slots that expired and still have their holders. They may be pinned, too.
        expired: Vec<u64>,
    },
}

impl Place {
    fn new() -> Self {
        Place { version: AtomicU64::new(FREE), guard: AtomicU64::new(0) }
    }

    fn is_expired(&self) -> bool {
        // Relaxed: what is read under a lease is live until the lease's last read has ended; this
        // only says when to stop.
        self.guard.load(Ordering::Relaxed) & EXPIRED != 0
    }
}

impl Chunk {
    fn new() -> Self {
        let places = std::array::from_fn(|_| CachePadded::new(Place::new()));
        Chunk { places, next: OnceLock::new() }
    }
}

impl Slots {
    pub(crate) fn new() -> Self {
        Slots { first: Chunk::new() }
    }

    /// Takes a slot, marked PENDING. Wait-free and without allocation while no more than 64
    /// snapshots are open; beyond, a chunk is added once.
    pub(crate) fn take(&self, tenure: Tenure) -> Slot<'_> {
        thread_local! {
            /// Where this thread last found a free slot.
            static HINT: Cell<usize> = const { Cell::new(0) };
        }
        let hint = HINT.get();
        let mut chunk = &self.first;
        loop {
            for i in 0..CHUNK {
                let i = (hint + i) % CHUNK;
                let place = &*chunk.places[i];
                let free = place.version.load(Ordering::Relaxed) == FREE;
                if free
                    && place
                        .version
                        .compare_exchange(FREE, PENDING, Ordering::SeqCst, Ordering::Relaxed)
                        .is_ok()
                {
                    HINT.set(i);
                    return Slot::held_anew(place, tenure);
                }
            }
            chunk = chunk.next.get_or_init(|| Box::new(Chunk::new()));
            // Pairs with the fence in `scan`: a scan that missed the chunk comes before the load
            // of `current` that follows.
            fence(Ordering::SeqCst);
        }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        let chunks =
            std::iter::successors(Some(&self.first), |chunk| chunk.next.get().map(|next| &**next));
        chunks.flat_map(|chunk| chunk.places.iter().map(|place| &**place))
    }

    /// Looks at all slots. Called with the sequencer's lock, as [`Slots::expire`].
    pub(crate) fn scan(&self) -> Pinned {
        // Pairs with the fence in `take`.
        fence(Ordering::SeqCst);
        let (mut live, mut expired) = (Vec::new(), Vec::new());
        for place in self.places() {
            // Pairs with the stores of `take` and `pin`: see the drawing above.
            let version = place.version.load(Ordering::SeqCst);
            match version {
                FREE => continue,
                PENDING => return Pinned::Unsettled,
                _ => {}
            }
            // Pairs with the Release of `Reading`: the last read is over. And with that of
            // `held_anew`: if this is the guard of a later holder, the version is that one's below.
            let guard = place.guard.load(Ordering::Acquire);
            if place.version.load(Ordering::SeqCst) != version {
                return Pinned::Unsettled;
            }
            match guard & EXPIRED != 0 {
                true => {
                    expired.push(version);
                    if guard & READS != 0 {
                        live.push(version);
                    }
                }
                false => live.push(version),
            }
        }
        for versions in [&mut live, &mut expired] {
            versions.sort_unstable();
            versions.dedup();
        }
        Pinned::Versions { live, expired }
    }

    /// Ends the leases of versions up to `version`, and answers how many those are.
    pub(crate) fn expire(&self, version: u64) -> u64 {
        let mut ended = 0;
        for place in self.places() {
            loop {
                // In this order: see the header.
                let guard = place.guard.load(Ordering::Acquire);
                let held = place.version.load(Ordering::SeqCst);
                if held > version || guard & (FIRM | EXPIRED) != 0 {
                    break;
                }
                let expire = place.guard.compare_exchange_weak(
                    guard,
                    guard | EXPIRED,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
                // Else a read began or ended, or the slot changed hands.
                if expire.is_ok() {
                    ended += 1;
                    break;
                }
            }
        }
        ended
    }
}

impl<'s> Slot<'s> {
    /// Makes a slot that was just marked PENDING its new holder's.
    fn held_anew(place: &'s Place, tenure: Tenure) -> Self {
        // Nobody else changes it now, but for an EXPIRED that came too late for the last holder.
        let last = place.guard.load(Ordering::Relaxed);
        let flags = if tenure == Tenure::Firm { FIRM } else { 0 };
        let guard = (last & !(HOLDER - 1)).wrapping_add(HOLDER) | flags;
        // Release: whoever sees it sees that the slot is PENDING, or what came later.
        place.guard.store(guard, Ordering::Release);
        Slot(place)
    }

    /// Settles on a version.
    pub(crate) fn pin(&self, version: u64) {
        debug_assert!(version < PENDING);
        self.0.version.store(version, Ordering::SeqCst);
    }

    /// Begins a read under a lease; `None` once it has expired.
    pub(crate) fn enter(&self) -> Option<Reading<'_>> {
        let guard = &self.0.guard;
        let mut now = guard.load(Ordering::Relaxed);
        while now & EXPIRED == 0 {
            assert!(now & READS != READS, "reads under way are fewer than 2^30");
            // Acquire: what is read comes after it.
            match guard.compare_exchange_weak(now, now + READ, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Some(Reading(self.0)),
                Err(found) => now = found,
            }
        }
        None
    }
}

impl Reading<'_> {
    /// Whether the lease has expired, so that the read should end.
    pub(crate) fn is_expired(&self) -> bool {
        self.0.is_expired()
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        // Release: all that was read comes before a scan that finds no reads.
        self.0.guard.fetch_sub(READ, Ordering::Release);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // Release: all reads through the snapshot come before a scan that sees FREE.
        self.0.version.store(FREE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Tenure::{Firm, Lease};

    fn live(versions: impl IntoIterator<Item = u64>) -> Pinned {
        Pinned::Versions { live: versions.into_iter().collect(), expired: vec![] }
    }

    #[test]
    fn a_pending_reader_stops_the_round() {
        let slots = Slots::new();
        let slot = slots.take(Firm);
        assert_eq!(slots.scan(), Pinned::Unsettled);
        slot.pin(7);
        assert_eq!(slots.scan(), live([7]));
        drop(slot);
        assert_eq!(slots.scan(), live([]));
    }

    #[test]
    fn more_readers_than_a_chunk_holds_are_all_seen() {
        let slots = Slots::new();
        let taken: Vec<_> = (0..200)
            .map(|version| {
                let slot = slots.take(if version % 2 == 0 { Lease } else { Firm });
                slot.pin(version);
                slot
            })
            .collect();
        assert_eq!(slots.scan(), live(0..200));
        assert_eq!(slots.expire(99), 50);
        let expired: Vec<u64> = (0..100).step_by(2).collect();
        let Pinned::Versions { live: left, expired: found } = slots.scan() else { panic!() };
        assert_eq!((left.len(), found), (150, expired));
        drop(taken);
        assert_eq!(slots.scan(), live([]));
    }

    #[test]
    fn an_expired_lease_is_live_until_its_last_read_ends() {
        let slots = Slots::new();
        let slot = slots.take(Lease);
        slot.pin(7);
        let reads = (slot.enter().unwrap(), slot.enter().unwrap());
        assert_eq!((slots.expire(6), slots.expire(7), slots.expire(7)), (0, 1, 0));
        assert!(slot.enter().is_none());
        for read in [reads.0, reads.1] {
            assert!(read.is_expired());
            assert_eq!(slots.scan(), Pinned::Versions { live: vec![7], expired: vec![7] });
        }
        assert_eq!(slots.scan(), Pinned::Versions { live: vec![], expired: vec![7] });
        assert!(slot.enter().is_none());
    }

    #[test]
    fn who_takes_an_expired_slot_has_a_lease_of_its_own() {
        let slots = Slots::new();
        let slot = slots.take(Lease);
        slot.pin(7);
        assert_eq!(slots.expire(7), 1);
        drop(slot);
        let slot = slots.take(Lease);
        slot.pin(8);
        drop(slot.enter().unwrap());
        assert_eq!(slots.scan(), live([8]));
        assert_eq!(slots.expire(7), 0);
        assert_eq!(slots.expire(8), 1);
    }

    #[test]
    fn a_late_expiry_does_not_meet_the_next_holder() {
        let slots = Slots::new();
        let place = &*slots.first.places[0];
        // What `expire` does, with a change of hands between its looks and its mark.
        let guard = place.guard.load(Ordering::Acquire);
        let slot = slots.take(Lease);
        slot.pin(9);
        let mark = place.guard.compare_exchange(
            guard,
            guard | EXPIRED,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        assert!(mark.is_err());
        assert!(slot.enter().is_some());
    }
}
