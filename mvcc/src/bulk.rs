//! Commits that are in no log: who goes on without, and who waits for a checkpoint first.
//!
//! ```text
//!   commits    1 logged | 2 3 4 5 unlogged | checkpoint with 5 | 6 logged
//!   a crash at    ^ 1            ^ 1                  ^ 5          ^ 6, or 5
//! ```
//!
//! The log never holds a commit after one that it does not hold, unless a durable meta page holds
//! that: what is found after a crash is always a prefix. The checkpoint writes its meta page twice,
//! so that the older of the two retained is not without what no log can add.

use crate::Durability;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a commit is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Logging {
    /// As its durability says.
    Do(Durability),
    /// Not at all: the next checkpoint makes it durable.
    Skip,
}

/// Commits under way that are to be logged: as long as there are any, all are.
#[derive(Debug, Default)]
pub(crate) struct Bulk {
    /// Relaxed: whoever misses a change logs, or waits for a checkpoint, once more than it must.
    logging: AtomicU64,
}

/// Counts as a commit under way that is to be logged.
#[derive(Debug)]
pub(crate) struct Hold<'b>(&'b Bulk);

impl Bulk {
    pub(crate) fn hold(&self) -> Hold<'_> {
        self.logging.fetch_add(1, Ordering::Relaxed);
        Hold(self)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.logging.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.logging.fetch_sub(1, Ordering::Relaxed);
    }
}
