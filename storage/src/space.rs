//! Free space: which pages of the file may be written, and when a dropped page may be used again.
//!
//! There is no free list on disk. In memory one bit a page says *used*; a checkpoint stores the
//! bits of its version, region by region, and only the regions that changed. Between "dropped" and
//! "free" a page is *pending*: it waits for the versions that can still reach it, and for no others.
//!
//! ```text
//!             alloc                      retire(born, dropped)                reclaim(live)
//!   free  ------------->  in use  ------------------------------>  pending  ---------------->  free
//!     \                    ^    \                                                             /
//!      \ reserve_run       |     `---- free_now: no root ever reached it --------------------'
//!       `---------->  unborn  --- abandon_run --> free
//!                commit_run
//! ```
//!
//! Nothing here does I/O, and nothing knows page headers.
//!
//! In reading order: [`Region`](region) (bits of one on-disk bitmap page), [`Bitmap`] (all of
//! them), [`Pending`](pending) (interval reclamation), [`Space`] (the allocator).
//!
//! # Invariants
//!
//! S1. A set bit lies below `page_count`; a clear bit below `page_count` is a page that no live
//!     version, no unborn run and no retained meta reaches.
//! S2. Every pending page and every page of an unborn run has its used bit set. No page is both
//!     pending and unborn, and none is either twice.
//! S3. A page with the lifetime `[born, dropped)` is freed exactly when `dropped` is at or below the newest
//!     live version and no live version `v` has `born <= v < dropped`.
//! S4. A run filed under a version `v` has `born <= v < dropped`, `v` was live at the last
//!     `reclaim`, and no smaller version live then reaches the run.
//! S5. Versions enter the live list only at or above the newest version it ever held. With S4 this
//!     is why a filed run need not be looked at before its holder leaves the list.
//! S6. A word of a region is full exactly when its summary bit is set; the counts of ones agree
//!     with the words.
//! S7. Reserved pages (the meta slots) are used for ever: never allocated, retired or freed.
//! S8. Frozen copies never change: they share regions with the working bitmap, which copies a
//!     region before it changes one that is shared.
//!
//! # Not here
//!
//! No bitmap pages, no directory of them, no file growth: the pager owns these. Relocation of tail
//! pages is one level up. No locks: the caller serialises access.

mod alloc;
mod bitmap;
mod error;
mod pending;
mod region;

pub use alloc::{Freed, Reservation, RunId, Space, SpaceConfig, SpaceStats};
pub use bitmap::{Bitmap, changed_regions};
pub use error::SpaceError;
pub(crate) use pending::Pending;

/// Consecutive pages: the first and how many.
pub type Run = (crate::ids::PageId, u64);

/// Appends `run`, growing the last run of `runs` where the two touch.
fn push_run(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.0.0 + last.1 == run.0.0 => last.1 += run.1,
        _ => runs.push(run),
    }
}
