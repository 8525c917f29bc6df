//! One budget for all memory that writing takes, whoever takes it.
//!
//! ```text
//!   limit  |==== frames ====|= cleared =|= transactions =|= recent =|= log =|= cache =|  headroom |
//!          |<----------------- `try_take`: for work that can wait ------------------->|           |
//!          |<------------- `try_take_last`: for checkpoints, which make room -------------------->|
//! ```
//!
//! Memory is taken before it is used and given back after. The last sixteenth is kept for what
//! makes room again, so that a budget that is used up never stops the checkpoint that frees it.
//! Counts are relaxed: they guard no other memory, and a sum is checked by the very operation that
//! changes it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What memory is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum MemoryUse {
    /// Frames with pages that are not in the file yet, and frames set aside for a batch under way.
    Changed,
    /// Frames whose pages are in the file, and that a snapshot may still look at.
    Cleared,
    /// What open transactions have buffered and remember.
    Transactions,
    /// Writes of recent commits, kept to find conflicts.
    Recent,
    /// Log that was not handed to the operating system yet.
    Log,
    /// Pages read from the file and kept.
    Cache,
}

const USES: usize = 6;

/// Memory in use against a limit.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    total: AtomicU64,
    peak: AtomicU64,
    uses: [AtomicU64; USES],
    #[cfg(feature = "faults")]
    refusals: Option<crate::Refusals>,
}

/// Bytes in use, by what for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MemoryStats {
    /// What all uses together may take.
    pub limit: u64,
    /// What all uses take.
    pub total: u64,
    /// The most that they ever took.
    pub peak: u64,
    /// [`MemoryUse::Changed`]
    pub changed: u64,
    /// [`MemoryUse::Cleared`]
    pub cleared: u64,
    /// [`MemoryUse::Transactions`]
    pub transactions: u64,
    /// [`MemoryUse::Recent`]
    pub recent: u64,
    /// [`MemoryUse::Log`]
    pub log: u64,
    /// [`MemoryUse::Cache`]
    pub cache: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Budget {
            limit: AtomicU64::new(limit),
            total: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            uses: [const { AtomicU64::new(0) }; USES],
            #[cfg(feature = "faults")]
            refusals: crate::Refusals::of_thread(),
        }
    }

    /// A budget that never runs out: it only counts.
    pub fn unlimited() -> Self {
        Budget::new(u64::MAX)
    }

    /// Takes memory, or answers `false` and takes nothing if too little is left.
    #[must_use]
    pub fn try_take(&self, what: MemoryUse, bytes: u64) -> bool {
        self.take_below(self.soft_limit(), what, bytes)
    }

    /// As [`Budget::try_take`], from the headroom too: for work that makes room.
    #[must_use]
    pub fn try_take_last(&self, what: MemoryUse, bytes: u64) -> bool {
        self.take_below(self.limit(), what, bytes)
    }

    fn take_below(&self, limit: u64, what: MemoryUse, bytes: u64) -> bool {
        if bytes == 0 {
            return true;
        }
        #[cfg(feature = "faults")]
        if self.refusals.as_ref().is_some_and(crate::Refusals::is_refused) {
            return false;
        }
        let fits = |total: u64| total.checked_add(bytes).filter(|total| *total <= limit);
        let Ok(before) = self.total.fetch_update(Relaxed, Relaxed, fits) else { return false };
        self.peak.fetch_max(before + bytes, Relaxed);
        self.uses[what as usize].fetch_add(bytes, Relaxed);
        true
    }

    /// Gives memory back.
    pub fn give_back(&self, what: MemoryUse, bytes: u64) {
        let before = self.uses[what as usize].fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "only what was taken is given back");
        self.total.fetch_sub(bytes, Relaxed);
    }

    /// The same memory serves something else from now on.
    pub fn shift(&self, from: MemoryUse, to: MemoryUse, bytes: u64) {
        self.uses[from as usize].fetch_sub(bytes, Relaxed);
        self.uses[to as usize].fetch_add(bytes, Relaxed);
    }

    /// What all uses together may take.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    fn soft_limit(&self) -> u64 {
        self.limit() - self.limit() / 16
    }

    /// Makes the budget at least `limit` bytes: less would be no use.
    pub fn raise(&self, limit: u64) {
        self.limit.fetch_max(limit, Relaxed);
    }

    /// What is left for work that can wait.
    pub fn left(&self) -> u64 {
        self.soft_limit().saturating_sub(self.total.load(Relaxed))
    }

    /// What one use takes.
    pub fn used_for(&self, what: MemoryUse) -> u64 {
        self.uses[what as usize].load(Relaxed)
    }

    /// All counts. Each is right by itself; together they are as of slightly different moments.
    pub fn stats(&self) -> MemoryStats {
        MemoryStats {
            limit: self.limit(),
            total: self.total.load(Relaxed),
            peak: self.peak.load(Relaxed),
            changed: self.used_for(MemoryUse::Changed),
            cleared: self.used_for(MemoryUse::Cleared),
            transactions: self.used_for(MemoryUse::Transactions),
            recent: self.used_for(MemoryUse::Recent),
            log: self.used_for(MemoryUse::Log),
            cache: self.used_for(MemoryUse::Cache),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_budget_is_for_what_makes_room() {
        let budget = Budget::new(1600);
        assert!(budget.try_take(MemoryUse::Transactions, 1500));
        assert!(!budget.try_take(MemoryUse::Changed, 1));
        assert!(budget.try_take_last(MemoryUse::Changed, 100));
        assert!(!budget.try_take_last(MemoryUse::Changed, 1));
        budget.shift(MemoryUse::Changed, MemoryUse::Cleared, 60);
        budget.give_back(MemoryUse::Cleared, 60);
        budget.give_back(MemoryUse::Transactions, 1500);
        let stats = budget.stats();
        assert_eq!((stats.total, stats.peak, stats.changed), (40, 1600, 40));
    }

    #[test]
    fn threads_together_never_take_more_than_there_is() {
        let budget = Budget::new(1 << 10);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for bytes in (0..10_000u64).map(|i| 1 + i % 300) {
                        if budget.try_take(MemoryUse::Log, bytes) {
                            budget.give_back(MemoryUse::Log, bytes);
                        }
                    }
                });
            }
        });
        let stats = budget.stats();
        assert_eq!(stats.total, 0);
        assert!(stats.peak <= 960);
    }
}
