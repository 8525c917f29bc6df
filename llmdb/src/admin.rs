//! Checkpoints, verification, figures, closing.

use crate::{Db, Error, Progress, Result, TreeOptions, TxTime};
use llmdb_temporal::verify;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Pages read and judged.
    pub pages: u64,
    /// Trees.
    pub trees: u64,
    /// Entries of all trees.
    pub entries: u64,
    /// What is wrong: where, and what.
    pub problems: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Sizes and counts of an open database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Length of the file.
    pub file_bytes: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Pages that the newest state reaches.
    pub pages_used: u64,
    /// Pages that only older snapshots or the fallback state reach.
    pub pages_pending: u64,
    /// Pages ready for use.
    pub pages_free: u64,
    /// Memory that holds pages: changed ones, and those that a snapshot may still look at.
    pub cache_bytes: u64,
    /// The part of it that is not in the file yet: what a checkpoint would write.
    pub dirty_bytes: u64,
    /// Memory that writing takes, all together.
    pub memory_bytes: u64,
    /// The most that it ever took since the database was opened.
    pub memory_bytes_peak: u64,
    /// What it may take.
    pub memory_bytes_max: u64,
    /// The part of it that open transactions take.
    pub transaction_bytes: u64,
    /// Length of the log's files.
    pub log_bytes: u64,
    /// The newest transaction; 0 before the first.
    pub newest_tx: i64,
    /// Commits since the file was made, maintenance included.
    pub commits: u64,
    /// Write transactions that are open, the database's own not counted.
    pub transactions: u64,
    /// States held for snapshots, the newest one included.
    pub states: u64,
    /// For how long the oldest of them has not been the newest, in microseconds; 0 while only the
    /// newest is held.
    pub oldest_snapshot_us: u64,
    /// Bytes of pages that it holds back.
    pub oldest_snapshot_bytes: u64,
    /// The code of what the newest run of retention that came [by
    /// itself](crate::Options::retire_every) failed with, if it did.
    pub retention_error: Option<&'static str>,
    /// Read and write transactions that were taken back since the database was opened: see
    /// [`Options::snapshot_age_max`](crate::Options::snapshot_age_max).
    pub expired_snapshots: u64,
}

impl Db {
    /// Writes everything committed to the file and lets go of the log before it. Readers and
    /// writers go on.
    ///
    /// # Errors
    /// A full device abandons it, and it can be tried again; a failed sync stops writing for good.
    pub fn checkpoint(&self) -> Result<()> {
        self.core().engine.checkpoint()?;
        Ok(())
    }

    /// Makes the file as short as what it holds allows, and answers by how many bytes: pages at its
    /// end are moved to its front in steps, while readers and writers go on, and the end is cut
    /// off. What views hold there stays until it is called again. Reads the whole database.
    ///
    /// # Errors
    /// Those of [`Db::checkpoint`]. The contents never change.
    pub fn shrink(&self) -> Result<u64> {
        let engine = &self.core().engine;
        let report = engine.shrink()?;
        let pages = report.pages_before.saturating_sub(report.pages_after);
        Ok(pages * engine.pager().page_size() as u64)
    }

    /// Reads and judges every page of the newest state, and every entry against the others. Reads
    /// all of the database, while reading, commits and checkpoints go on.
    ///
    /// # Errors
    /// A page that cannot be read while entries are compared. What is wrong otherwise is in the
    /// report.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_with(&mut |_| ())
    }

    /// As [`Db::verify`], told of each step of its first half, in pages.
    ///
    /// # Errors
    /// Those of [`Db::verify`].
    pub fn verify_with(&self, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport> {
        let core = self.core();
        let found = core.engine.verify_with(progress)?;
        let mut report = VerifyReport {
            pages: found.pages,
            trees: found.trees,
            entries: found.entries,
            problems: found.problems.iter().map(ToString::to_string).collect(),
        };
        // Entries on damaged pages cannot be compared.
        if report.is_clean() {
            let problems = verify(&core.engine.snapshot(), &core.trees)?;
            report.problems.extend(problems.iter().map(ToString::to_string));
        }
        Ok(report)
    }

    /// How values are stored that are written from now on.
    pub fn compression(&self) -> TreeOptions {
        self.core().compression()
    }

    /// Sizes and counts.
    ///
    /// # Errors
    /// None yet; kept for file systems that must be asked.
    pub fn stats(&self) -> Result<Stats> {
        let stats = self.core().engine.stats();
        let page_bytes = stats.space.page_size;
        let TxTime(newest_tx) = self.newest_tx();
        Ok(Stats {
            file_bytes: stats.space.file_pages * page_bytes,
            page_bytes,
            pages_used: stats.space.pages_used,
            pages_pending: stats.space.pages_pending,
            pages_free: stats.space.pages_free,
            cache_bytes: stats.space.frames * page_bytes,
            dirty_bytes: stats.dirty_pages * page_bytes,
            memory_bytes: stats.memory.total,
            memory_bytes_peak: stats.memory.peak,
            memory_bytes_max: stats.memory.limit,
            transaction_bytes: stats.memory.transactions,
            log_bytes: stats.log.map_or(0, |log| log.file_bytes),
            newest_tx,
            commits: stats.seq,
            transactions: stats.transactions,
            states: stats.states,
            oldest_snapshot_us: stats.oldest_age.map_or(0, us),
            oldest_snapshot_bytes: stats.oldest_pages * page_bytes,
            retention_error: self.core().retirer.error(),
            expired_snapshots: self.core().engine.metrics().expired_snapshots,
        })
    }

    /// Lets go of this handle. The last one closes the database: everything is in the one file
    /// then, and the log is gone. The same happens when handles are dropped, only without the
    /// answer.
    ///
    /// # Errors
    /// The failure of the last checkpoint. Nothing is lost: the log stays, and the next open
    /// recovers from it.
    pub fn close(self) -> Result<()> {
        match Arc::into_inner(self.into_opened()) {
            Some(opened) => {
                opened.retirer.stop();
                opened.engine.close().map_err(Error::from)
            }
            None => Ok(()),
        }
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
