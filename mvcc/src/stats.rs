//! Sizes and counts of an open database.

use crate::engine::Shared;
use llmdb_storage::{MemoryStats, SpaceUse};
use llmdb_wal::LogStats;
use std::time::Duration;

/// Sizes and counts of an open database.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineStats {
    /// Pages and frames.
    pub space: SpaceUse,
    /// Memory in use, by what for.
    pub memory: MemoryStats,
    /// Pages whose newest bytes only memory and log hold.
    pub dirty_pages: u64,
    /// Number of the newest commit.
    pub seq: u64,
    /// Mark of the newest commit.
    pub mark: i64,
    /// The log, if there is one.
    pub log: Option<LogStats>,
    /// Trees.
    pub trees: u64,
    /// Write transactions that are open, the database's own not counted.
    pub transactions: u64,
    /// States held for snapshots, the published one included.
    pub states: u64,
    /// Versions between the oldest state held and the newest.
    pub oldest_lag: u64,
    /// For how long the oldest state held has not been the newest; `None` while only that is held.
    pub oldest_age: Option<Duration>,
    /// Pages that it holds back, and no state of a meta page before it.
    pub oldest_pages: u64,
}

impl EngineStats {
    pub(crate) fn of(shared: &Shared) -> Self {
        let mut sequencer = shared.sequencer.lock();
        sequencer.settle_log_charge();
        // What nobody holds any more is not counted.
        sequencer.reclaim(shared);
        let oldest = sequencer.states.superseded().next();
        let newest = sequencer.states.newest().map_or(0, |version| version.0);
        let log = sequencer.log.clone();
        let mut stats = EngineStats {
            space: sequencer.writer.space_use(),
            memory: shared.budget().stats(),
            dirty_pages: sequencer.writer.dirty_pages(),
            seq: sequencer.seq,
            mark: sequencer.mark,
            log: None,
            trees: sequencer.writer.trees().count() as u64,
            transactions: shared.active.lock().users() as u64,
            states: sequencer.states.len() as u64,
            oldest_lag: sequencer.states.oldest().map_or(0, |oldest| newest - oldest.0),
            oldest_age: oldest.map(|(_, age)| age),
            oldest_pages: oldest.map_or(0, |(version, _)| sequencer.writer.pages_held_by(version)),
        };
        drop(sequencer);
        // The log's counts wait for a sync that is under way; commits do not wait for them.
        stats.log = log.map(|log| log.stats());
        stats
    }
}
