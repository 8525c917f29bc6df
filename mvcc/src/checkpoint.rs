//! Checkpoints of a running database.

use crate::archive::{Archived, Source, bring_up};
use crate::engine::Shared;
use crate::span::span;
use crate::{Error, Result};
use llmdb_storage::{Checkpoint, CheckpointReport};
use llmdb_vfs::planted;
use llmdb_wal::Lsn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What has to be remembered between checkpoints; the lock makes them one at a time.
#[derive(Debug, Default)]
pub(crate) struct Checkpointing {
    /// Where the log is needed from by the older of the two retained meta pages.
    keep_from: Lsn,
    /// Where the newest checkpoint ended.
    lsn: Lsn,
    seq: Option<u64>,
    /// How far the archive has come, once that is known.
    archived: Option<Archived>,
    /// What the log gives up is overwritten, not kept to be used again.
    pub(crate) wipes_log: bool,
}

impl Checkpointing {
    /// Whether the newest checkpoint holds everything up to commit `seq`.
    pub(crate) fn holds(&self, seq: u64) -> bool {
        self.seq == Some(seq)
    }

    /// Where the newest checkpoint ended.
    pub(crate) fn start(&self) -> Lsn {
        self.lsn
    }

    /// The next checkpoint is made even if nothing was committed since the last one.
    pub(crate) fn forget(&mut self) {
        self.seq = None;
    }

    pub(crate) fn starting_at(lsn: Lsn, seq: Option<u64>) -> Self {
        Checkpointing { keep_from: lsn, lsn, seq, archived: None, wipes_log: false }
    }
}

impl Shared {
    /// Writes the newest state to the file while commits go on, and lets go of the log before it.
    /// Does nothing if nothing was committed since the last one.
    pub(crate) fn checkpoint(&self) -> Result<CheckpointReport> {
        self.free_left_over();
        let mut last = self.checkpointing.lock();
        self.sequencer.lock().check_writable()?;
        let report = self.checkpoint_in_turn(&mut last)?;
        drop(last);
        if self.shrink_is_due() {
            self.keeper.shrink_soon(self);
        }
        Ok(report)
    }

    /// A checkpoint by whoever holds the lock of checkpoints; the last one, of a database that is
    /// being closed, too.
    pub(crate) fn checkpoint_in_turn(&self, last: &mut Checkpointing) -> Result<CheckpointReport> {
        let mut sequencer = self.sequencer.lock();
        sequencer.check_sound()?;
        if last.seq == Some(sequencer.seq) {
            return Ok(CheckpointReport::default());
        }
        span!("checkpoint");
        let began = Instant::now();
        let mark = sequencer.commit_mark();
        let log = sequencer.log.clone();
        let checkpoint = sequencer.writer.begin_checkpoint(mark)?;
        sequencer.push_sealed(checkpoint.sealed.clone());
        drop(sequencer);

        let report = match self.write_checkpoint(&checkpoint, log.as_deref(), last) {
            Ok(report) => report,
            Err((error, must_poison)) => {
                self.metrics.checkpointed(began, None);
                let mut sequencer = self.sequencer.lock();
                sequencer.writer.abandon_checkpoint(checkpoint);
                let must_poison = must_poison && !planted!("meta_failure_forgotten");
                let error = if must_poison { sequencer.poison(error) } else { error };
                sequencer.publish_ready(self);
                if must_poison {
                    self.visible.give_up();
                }
                return Err(error);
            }
        };
        let mut sequencer = self.sequencer.lock();
        // A commit that failed meanwhile left half a batch: nothing is sealed any more, and the
        // pages in flight stay where readers find them.
        sequencer.check_sound()?;
        let sealed = sequencer.writer.finish_checkpoint(checkpoint);
        sequencer.push_sealed(sealed);
        let unlogged = sequencer.unlogged.filter(|seq| *seq <= mark.seq);
        if unlogged.is_some() && !planted!("unlogged_commits_in_one_meta") {
            // No log leads from the older meta page to this one: both are to say the same.
            let incarnation = sequencer.incarnation;
            if let Err(error) = sequencer.writer.rewrite_meta(mark.lsn, incarnation, false) {
                let error = sequencer.poison(error);
                self.visible.give_up();
                return Err(error);
            }
            sequencer.unlogged = None;
        }
        sequencer.publish_ready(self);
        self.load.set_dirty_bytes(sequencer.dirty_bytes());
        self.load.set_log_start(Lsn::new(mark.lsn));
        // With the lock: who holds it may count on the room that there is.
        let spares = log.as_ref().map(|log| match last.wipes_log {
            true => log.take_spares(),
            false => log.take_surplus(),
        });
        drop(sequencer);
        // The meta page before the new one is still retained: its log stays (I3 of the storage
        // crate).
        let to_newest = unlogged.is_some() || planted!("log_given_up_too_early");
        last.keep_from = if to_newest { Lsn::new(mark.lsn) } else { last.lsn };
        last.lsn = Lsn::new(mark.lsn);
        last.seq = Some(mark.seq);
        if let Some((log, spares)) = log.zip(spares) {
            if last.wipes_log {
                log.wipe(last.keep_from, spares)?;
            } else {
                log.remove_spares(spares);
                log.recycle(last.keep_from)?;
            }
        }
        self.metrics.checkpointed(began, Some(report.pages));
        Ok(report)
    }

    /// Archives what the log holds, where there is an archive. This comes before the meta page: until
    /// that is written the pages of values that the log names are not used again, and afterwards the
    /// archive has all that the log may let go of.
    fn archive(&self, last: &mut Checkpointing, log: &llmdb_wal::Log) -> Result<()> {
        let Some(dir) = &self.options.archive_dir else { return Ok(()) };
        let (lineage, incarnation) = {
            let sequencer = self.sequencer.lock();
            (sequencer.writer.lineage(), sequencer.incarnation)
        };
        let source = Source {
            vfs: self.vfs.clone(),
            pager: self.pager.clone(),
            log_dir: self.log_dir.clone(),
            uuid: self.uuid,
            lineage,
            incarnation,
            keep_from: last.keep_from,
            durable: log.durable(),
        };
        bring_up(dir, &source, &mut last.archived)
    }

    /// Pages, then the log up to the same point, then the meta page. The flag says whether
    /// writing has to stop.
    fn write_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        log: Option<&llmdb_wal::Log>,
        last: &mut Checkpointing,
    ) -> Result<CheckpointReport, (Error, bool)> {
        let failed =
            |failed: llmdb_storage::CheckpointError| (failed.error.into(), failed.must_poison);
        let report = checkpoint.write(&self.pager).map_err(failed)?;
        if let Some(log) = log {
            if !planted!("checkpoint_before_the_log") {
                log.sync(Lsn::new(checkpoint.lsn())).map_err(|error| (error.into(), true))?;
            }
            self.archive(last, log).map_err(|error| (error, false))?;
        }
        // What the meta page leads to is published before it is written: readers never lag behind
        // the file.
        self.sequencer.lock().publish_ready(self);
        if let Some(log) = log
            && planted!("log_given_up_before_the_meta")
        {
            log.recycle(Lsn::new(checkpoint.lsn())).map_err(|error| (error.into(), false))?;
        }
        checkpoint.commit(&self.pager).map_err(failed)?;
        Ok(report)
    }

    /// Whether it is time for a checkpoint: as many pages are changed as there is room left for.
    pub(crate) fn checkpoint_is_due(&self) -> bool {
        let budget = self.budget();
        self.options.auto_checkpoint
            && (self.load.dirty_bytes() >= budget.left().max(budget.limit() / 16)
                || self.load.log_bytes() >= self.options.log_bytes)
    }
}

/// How much a checkpoint would write and let go of; read without the sequencer's lock, a little
/// late.
#[derive(Debug, Default)]
pub(crate) struct Load {
    dirty_bytes: AtomicU64,
    log_end: AtomicU64,
    log_start: AtomicU64,
}

impl Load {
    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes.load(Ordering::Relaxed)
    }

    fn log_bytes(&self) -> u64 {
        let end = self.log_end.load(Ordering::Relaxed);
        end.saturating_sub(self.log_start.load(Ordering::Relaxed))
    }

    pub(crate) fn set_dirty_bytes(&self, bytes: u64) {
        self.dirty_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_log_end(&self, end: Lsn) {
        self.log_end.store(end.get(), Ordering::Relaxed);
    }

    pub(crate) fn set_log_start(&self, start: Lsn) {
        self.log_start.store(start.get(), Ordering::Relaxed);
    }
}
