//! What a database did since it was opened.

use crate::Db;
use llmdb_mvcc::{Counter, Distribution};
use serde::Serialize;

/// What the facade counts itself.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) gets: Counter,
    pub(crate) scans: Counter,
    pub(crate) retries: Counter,
}

/// What a database did since it was opened: see [`Db::metrics`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Single keys that were asked for, in whichever way and time.
    pub gets: u64,
    /// Scans that were begun.
    pub scans: u64,
    /// Snapshots that were begun: by reads that are their own, read and write transactions, and the
    /// database itself.
    pub snapshots: u64,
    /// Commits that wrote, by durability; the database's own (names of partitions, trees that a new
    /// file gets are not counted) included.
    pub commits: Commits,
    /// Commits that were refused because of others.
    pub conflicts: u64,
    /// Times that [`Db::write`] ran a transaction again.
    pub retries: u64,
    /// Bytes that commits logged.
    pub log_bytes: u64,
    /// From the call of a commit to its answer.
    pub commit: Latency,
    /// Syncs of the log by committing threads.
    pub sync: Latency,
    /// Commits that became visible with one sync: mean and most.
    pub group_mean: f64,
    /// The most.
    pub group_max: u64,
    /// Checkpoints that wrote something.
    pub checkpoint: Latency,
    /// Pages that they wrote.
    pub checkpoint_pages: u64,
    /// Checkpoints that failed.
    pub failed_checkpoints: u64,
    /// Times that the file was made shorter [by itself](crate::Options::auto_shrink_bytes).
    pub shrinks: u64,
    /// Pages that were cut off then.
    pub shrunk_pages: u64,
    /// Times that this failed.
    pub failed_shrinks: u64,
    /// Runs of retention that came [by themselves](crate::Options::retire_every).
    pub retention_runs: u64,
    /// Rectangles and events that they took out.
    pub retention_removed: u64,
    /// Such runs that failed.
    pub failed_retention_runs: u64,
    /// How long opening took to recover, in microseconds.
    pub recovery_us: f64,
    /// Commits that were brought back from the log then.
    pub recovered_commits: u64,
}

/// Commits by durability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Commits {
    /// [`Durability::Sync`](crate::Durability::Sync)
    pub sync: u64,
    /// [`Durability::Periodic`](crate::Durability::Periodic)
    pub periodic: u64,
    /// [`Durability::Async`](crate::Durability::Async)
    pub asynchronous: u64,
    /// [`Durability::Checkpoint`](crate::Durability::Checkpoint)
    pub checkpoint: u64,
}

/// How long something took, in microseconds. Quantiles are rounded up, by at most 12.5 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// How often it was done.
    pub count: u64,
    /// On average.
    pub mean_us: f64,
    /// Half of them took at most this long.
    pub p50_us: f64,
    /// 99 of 100 did.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Db {
    /// What was done since the database was opened: counts that are exact, and how long things
    /// took. Keeping them costs a read one addition; asking for them takes no lock.
    ///
    /// ```
    /// # use llmdb::{Options, vfs::MemVfs};
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).open("/agent.llmdb")?;
    /// db.put("mood", b"calm")?;
    /// db.get("mood")?;
    /// let metrics = db.metrics();
    /// assert_eq!((metrics.gets, metrics.commits.sync, metrics.commit.count), (1, 1, 1));
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        let core = self.core();
        let engine = core.engine.metrics();
        let group = &engine.group_commits;
        Metrics {
            gets: core.asked.gets.get(),
            scans: core.asked.scans.get(),
            snapshots: engine.snapshots,
            commits: Commits {
                sync: engine.commits_sync,
                periodic: engine.commits_periodic,
                asynchronous: engine.commits_async,
                checkpoint: engine.commits_checkpoint,
            },
            conflicts: engine.conflicts,
            retries: core.asked.retries.get(),
            log_bytes: engine.log_bytes,
            commit: Latency::of(&engine.commit_ns),
            sync: Latency::of(&engine.sync_ns),
            group_mean: group.sum as f64 / group.count.max(1) as f64,
            group_max: group.max,
            checkpoint: Latency::of(&engine.checkpoint_ns),
            checkpoint_pages: engine.checkpoint_pages,
            failed_checkpoints: engine.failed_checkpoints,
            shrinks: engine.shrinks,
            shrunk_pages: engine.shrunk_pages,
            failed_shrinks: engine.failed_shrinks,
            retention_runs: core.retirer.runs.get(),
            retention_removed: core.retirer.removed.get(),
            failed_retention_runs: core.retirer.failed.get(),
            recovery_us: us(engine.recovery_ns),
            recovered_commits: engine.recovered_commits,
        }
    }
}

impl Latency {
    fn of(nanos: &Distribution) -> Self {
        Self {
            count: nanos.count,
            mean_us: us(nanos.mean()),
            p50_us: us(nanos.quantile(500)),
            p99_us: us(nanos.quantile(990)),
            max_us: us(nanos.max),
        }
    }
}

fn us(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}
