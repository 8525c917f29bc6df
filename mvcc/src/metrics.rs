//! What an engine did since it was opened: counts and distributions, for whoever watches over it.
//!
//! Kept by the engine itself, nothing is global. A read costs one addition, to a counter of its
//! thread's; a commit reads the clock twice. See `histogram` for how they are kept.

use crate::histogram::{Counter, Distribution, Recorder};
use crate::{Durability, ShrinkReport};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What an engine counts while it runs.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) snapshots: Counter,
    pub(crate) expired_snapshots: Counter,
    commits: [Counter; 4],
    pub(crate) conflicts: Counter,
    pub(crate) log_bytes: Counter,
    commit: Recorder,
    sync: Recorder,
    group: Recorder,
    checkpoint: Recorder,
    checkpoint_pages: Counter,
    failed_checkpoints: Counter,
    shrinks: Counter,
    shrunk_pages: Counter,
    failed_shrinks: Counter,
    recovery_ns: AtomicU64,
    recovered_commits: AtomicU64,
}

/// What an engine did since it was opened. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineMetrics {
    /// Snapshots that were begun, those of write transactions included.
    pub snapshots: u64,
    /// Snapshots that were given up because they were too old, or because memory was short.
    pub expired_snapshots: u64,
    /// Commits that wrote something and waited to be durable.
    pub commits_sync: u64,
    /// Those that are durable some time after.
    pub commits_periodic: u64,
    /// Those that were handed over.
    pub commits_async: u64,
    /// Those that the next checkpoint makes durable.
    pub commits_checkpoint: u64,
    /// Commits that were refused because of others.
    pub conflicts: u64,
    /// Bytes of records that were logged.
    pub log_bytes: u64,
    /// From the call of a commit to its answer, of those that wrote.
    pub commit_ns: Distribution,
    /// Syncs of the log by committing threads.
    pub sync_ns: Distribution,
    /// Commits that were published by one sync.
    pub group_commits: Distribution,
    /// Checkpoints that wrote something, from beginning to end.
    pub checkpoint_ns: Distribution,
    /// Pages that they wrote.
    pub checkpoint_pages: u64,
    /// Checkpoints that failed.
    pub failed_checkpoints: u64,
    /// Times that the file was made shorter by itself.
    pub shrinks: u64,
    /// Pages that were cut off then.
    pub shrunk_pages: u64,
    /// Times that this failed.
    pub failed_shrinks: u64,
    /// How long recovery took when it was opened.
    pub recovery_ns: u64,
    /// Commits that were brought back from the log then.
    pub recovered_commits: u64,
}

impl Metrics {
    pub(crate) fn committed(&self, durability: Durability, began: Instant) {
        let kind = match durability {
            Durability::Sync => 0,
            Durability::Periodic(_) => 1,
            Durability::Async => 2,
            Durability::Checkpoint => 3,
        };
        self.commits[kind].add_one();
        self.commit.record_time(began.elapsed());
    }

    /// A sync of the log for commits that become visible together.
    pub(crate) fn synced(&self, began: Instant, commits: u64) {
        self.sync.record_time(began.elapsed());
        self.group.record(commits);
    }

    pub(crate) fn checkpointed(&self, began: Instant, pages: Option<u64>) {
        match pages {
            Some(pages) => {
                self.checkpoint.record_time(began.elapsed());
                self.checkpoint_pages.add(pages);
            }
            None => self.failed_checkpoints.add_one(),
        }
    }

    /// Pages written by checkpoints so far.
    pub(crate) fn checkpoint_pages(&self) -> u64 {
        self.checkpoint_pages.get()
    }

    /// The file was made shorter by itself, or failed to be.
    pub(crate) fn shrunk_by_itself(&self, report: Option<&ShrinkReport>) {
        match report {
            Some(report) => {
                self.shrinks.add_one();
                self.shrunk_pages.add(report.pages_before.saturating_sub(report.pages_after));
            }
            None => self.failed_shrinks.add_one(),
        }
    }

    pub(crate) fn recovered(&self, time: Duration, commits: u64) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.recovery_ns.store(nanos, Ordering::Relaxed);
        self.recovered_commits.store(commits, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> EngineMetrics {
        let [sync, periodic, asynchronous, checkpoint] = &self.commits;
        EngineMetrics {
            snapshots: self.snapshots.get(),
            expired_snapshots: self.expired_snapshots.get(),
            commits_sync: sync.get(),
            commits_periodic: periodic.get(),
            commits_async: asynchronous.get(),
            commits_checkpoint: checkpoint.get(),
            conflicts: self.conflicts.get(),
            log_bytes: self.log_bytes.get(),
            commit_ns: self.commit.snapshot(),
            sync_ns: self.sync.snapshot(),
            group_commits: self.group.snapshot(),
            checkpoint_ns: self.checkpoint.snapshot(),
            checkpoint_pages: self.checkpoint_pages.get(),
            failed_checkpoints: self.failed_checkpoints.get(),
            shrinks: self.shrinks.get(),
            shrunk_pages: self.shrunk_pages.get(),
            failed_shrinks: self.failed_shrinks.get(),
            recovery_ns: self.recovery_ns.load(Ordering::Relaxed),
            recovered_commits: self.recovered_commits.load(Ordering::Relaxed),
        }
    }
}
