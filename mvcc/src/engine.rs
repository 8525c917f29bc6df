//! An open database: opening, recovery, closing.

use crate::active::{Active, BegunBy};
use crate::bulk::Bulk;
use crate::checkpoint::{Checkpointing, Load};
use crate::keeper::Keeper;
use crate::lock_wait::KeyLocks;
use crate::metrics::{EngineMetrics, Metrics};
use crate::publish::{Published, State};
use crate::record::Record;
use crate::sequencer::Sequencer;
use crate::shrink::Shrinking;
use crate::slots::Tenure;
use crate::span::span;
use crate::stats::EngineStats;
use crate::visible::Visible;
use crate::writes::{SpillFiles, remove_spill_file};
use crate::{
    EngineOptions, Error, Isolation, LeasedSnapshot, Result, ShrinkReport, Snapshot, WriteTx,
};
use llmdb_storage::{
    Budget, CheckpointReport, CommitMark, OnProgress, Opened, Pager, TreeId, TreeOptions,
    Verification, VerifyReport, Writer, copy_trees,
};
use llmdb_vfs::planted;
use llmdb_vfs::{EntryKind, File, Lock, LockMode, OpenMode, Vfs};
use llmdb_wal::{Log, LogConfig, Lsn, Recovery, ReplayError, Replayed};
use parking_lot::Mutex;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// An open database. Dropping it closes it cleanly.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all threads that use a database share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) this: Weak<Shared>,
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) log_dir: PathBuf,
    /// For what transactions spill.
    pub(crate) spill_files: SpillFiles,
    pub(crate) uuid: [u8; 16],
    pub(crate) pager: Arc<Pager>,
    pub(crate) options: EngineOptions,
    pub(crate) published: Published,
    pub(crate) sequencer: Mutex<Sequencer>,
    pub(crate) active: Mutex<Active>,
    pub(crate) locks: KeyLocks,
    pub(crate) visible: Visible,
    pub(crate) checkpointing: Mutex<Checkpointing>,
    pub(crate) load: Load,
    pub(crate) shrinking: Shrinking,
    pub(crate) bulk: Bulk,
    pub(crate) keeper: Keeper,
    pub(crate) metrics: Metrics,
    lock: Mutex<Option<Held>>,
}

/// What keeps others away: from writing the file, and from reading it while it is written.
#[derive(Debug)]
struct Held {
    /// The one on the file itself. It goes first: whoever gets the other gets this one.
    _file: Arc<dyn File>,
    /// The one that names its holder; a reader of a file at rest makes none.
    _name: Option<Box<dyn Lock>>,
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The process that has the database open for writing, if its lock file says so.
fn writer_of(vfs: &dyn Vfs, path: &Path) -> Option<u32> {
    let file = vfs.open(&beside(path, "-lock"), OpenMode::Read).ok()?;
    let mut text = [0; 16];
    let len = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..len]).ok()?.lines().next()?.parse().ok()
}

/// Locks the file itself, by a handle that is used for nothing else.
fn lock_file(vfs: &dyn Vfs, path: &Path, how: LockMode) -> Result<Arc<dyn File>> {
    if vfs.kind(path)? == Some(EntryKind::Directory) {
        let what = "this is a directory; a database is one file";
        return Err(llmdb_storage::Error::NotADatabase { path: path.to_owned(), what }.into());
    }
    let file = vfs.open(path, OpenMode::Read)?;
    file.lock(how)?;
    Ok(file)
}

impl Engine {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Opens the database at `path`, creating it if the options say so, and brings back every
    /// commit that its log holds.
    ///
    /// # Errors
    /// [`Error::Busy`] while another handle has it open; [`Error::NotFound`]; damage to file or
    /// log; the file system's. With `read_only`, [`Error::NeedsRecovery`] for a file that was not
    /// closed.
    pub fn open(path: &Path, mut options: EngineOptions) -> Result<Engine> {
        // One account for this database, whatever else was opened with the same options.
        options.store.budget = Arc::new(Budget::new(options.memory_bytes));
        if options.store.read_only {
            return Engine::open_at_rest(path, options);
        }
        let vfs = options.vfs.clone();
        let missing = vfs.kind(path)?.is_none();
        if missing && !options.create {
            return Err(Error::NotFound { path: path.to_owned() });
        }
        let lock = vfs.lock(&beside(path, "-lock")).map_err(|error| match Error::from(error) {
            Error::Busy { pid, .. } => Error::Busy { path: path.to_owned(), pid },
            error => error,
        })?;
        // Looked at again under the lock: another process may have created it meanwhile.
        if vfs.kind(path)?.is_none() {
            llmdb_storage::create(&vfs, path, &options.store)?;
        }
        // Readers of a file at rest lock the file alone: they may not be able to make another.
        let lock = Held { _file: lock_file(&*vfs, path, LockMode::Exclusive)?, _name: Some(lock) };
        remove_spill_file(&*vfs, path)?;
        let opened = llmdb_storage::open(&vfs, path, &options.store)?;
        let log_dir = beside(path, "-wal");
        let start = Lsn::new(opened.mark.lsn);
        let (uuid, pager) = (opened.uuid, opened.pager.clone());
        let (began, in_file) = (Instant::now(), opened.mark.seq);
        let (mut sequencer, as_in_file) = recover(&options, &log_dir, opened)?;
        sequencer.account_to(&options.store.budget);
        let recovered = sequencer.seq.saturating_sub(in_file);
        let took = began.elapsed();
        let seq = as_in_file.then_some(sequencer.seq);
        let last = Checkpointing::starting_at(start, seq);
        let engine = Engine::over(options, path, (uuid, pager), sequencer, last, lock);
        engine.shared.metrics.recovered(took, recovered);
        Ok(engine)
    }

    /// Opens a file that was closed cleanly, and writes nothing at all.
    fn open_at_rest(path: &Path, options: EngineOptions) -> Result<Engine> {
        let vfs = options.vfs.clone();
        if vfs.kind(path)?.is_none() {
            return Err(Error::NotFound { path: path.to_owned() });
        }
        let lock = lock_file(&*vfs, path, LockMode::Shared).map_err(|error| match error {
            Error::Busy { path, .. } => Error::Busy { pid: writer_of(&*vfs, &path), path },
            error => error,
        })?;
        let lock = Held { _file: lock, _name: None };
        let opened = llmdb_storage::open(&vfs, path, &options.store)?;
        if !opened.clean {
            return Err(Error::NeedsRecovery { path: path.to_owned() });
        }
        let log_dir = beside(path, "-wal");
        if vfs.kind(&log_dir)?.is_some() {
            check_unneeded(&vfs, &log_dir, opened.uuid, opened.mark)?;
        }
        let (uuid, pager, mark) = (opened.uuid, opened.pager.clone(), opened.mark);
        let mut sequencer = Sequencer::new(opened.writer, mark, None);
        sequencer.at_rest = Some(path.to_owned());
        let last = Checkpointing::starting_at(Lsn::new(mark.lsn), Some(mark.seq));
        let engine = Engine::over(options, path, (uuid, pager), sequencer, last, lock);
        engine.shared.visible.give_up();
        Ok(engine)
    }

    fn over(
        options: EngineOptions,
        path: &Path,
        (uuid, pager): ([u8; 16], Arc<Pager>),
        sequencer: Sequencer,
        last: Checkpointing,
        lock: Held,
    ) -> Engine {
        let start = last.start();
        let shared = Arc::new_cyclic(|this| Shared {
            this: this.clone(),
            vfs: options.vfs.clone(),
            log_dir: beside(path, "-wal"),
            spill_files: SpillFiles::beside(options.vfs.clone(), path),
            uuid,
            pager,
            options,
            published: Published::new(),
            sequencer: Mutex::new(sequencer),
            active: Mutex::default(),
            locks: KeyLocks::default(),
            visible: Visible::default(),
            checkpointing: Mutex::new(last),
            load: Load::default(),
            shrinking: Shrinking::default(),
            bulk: Bulk::default(),
            keeper: Keeper::default(),
            metrics: Metrics::default(),
            lock: Mutex::new(Some(lock)),
        });
        let mut sequencer = shared.sequencer.lock();
        let sealed = sequencer.writer.seal();
        let (seq, mark) = (sequencer.seq, sequencer.mark);
        let state = State::of(sealed, seq, mark);
        sequencer.publish(&shared.published, Arc::new(state));
        shared.visible.announce(seq);
        shared.load.set_dirty_bytes(sequencer.dirty_bytes());
        shared.load.set_log_start(start);
        shared.load.set_log_end(sequencer.lsn);
        drop(sequencer);
        Engine { shared }
    }

    /// A snapshot of everything that is visible now. Takes no lock. Its pages stay until it is
    /// dropped: for who lets go of it soon.
    pub fn snapshot(&self) -> Snapshot<'_> {
        self.shared.snapshot()
    }

    /// A snapshot of everything that is visible now, that may be given up between reads when it is
    /// too old. Takes no lock.
    pub fn lease(&self) -> LeasedSnapshot<'_> {
        self.shared.lease()
    }

    /// Sleeps until a commit behind number `seq` is visible, woken by that commit; `false` when
    /// `deadline` came first. Without one it waits for as long as it takes.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`]: no further commit will become visible.
    pub fn wait_beyond(&self, seq: u64, deadline: Option<Instant>) -> Result<bool> {
        if self.shared.visible.wait_beyond(seq, deadline) {
            return Ok(true);
        }
        if self.shared.visible.is_over() {
            self.shared.sequencer.lock().check_writable()?;
            return Err(Error::Closed);
        }
        Ok(false)
    }

    /// Begins a write transaction.
    ///
    /// # Errors
    /// [`Error::TooManyTransactions`]: worth a retry once one of them has ended;
    /// [`Error::Closed`], [`Error::Poisoned`].
    pub fn begin(&self, isolation: Isolation) -> Result<WriteTx<'_>> {
        self.begin_by(BegunBy::User, isolation)
    }

    /// Begins a write transaction of the database's own: it does not count as one of those that may
    /// be open at a time, and is not kept from beginning by them.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`].
    pub fn begin_upkeep(&self, isolation: Isolation) -> Result<WriteTx<'_>> {
        self.begin_by(BegunBy::Database, isolation)
    }

    pub(crate) fn begin_by(&self, by: BegunBy, isolation: Isolation) -> Result<WriteTx<'_>> {
        if self.shared.visible.is_over() {
            self.shared.sequencer.lock().check_writable()?;
        }
        // The snapshot is taken inside the lock: commits that it does not see are remembered from
        // here on.
        let mut active = self.shared.active.lock();
        if by == BegunBy::User {
            active.check(self.shared.options.max_active_transactions)?;
        }
        let snapshot = isolation.is_repeatable().then(|| self.lease());
        let id = active.enter(by, snapshot.as_ref().map(LeasedSnapshot::seq));
        drop(active);
        Ok(WriteTx::new(&self.shared, (id, by), snapshot, isolation))
    }

    /// The tree named `name`, if it exists.
    pub fn tree(&self, name: &str) -> Option<TreeId> {
        self.shared.sequencer.lock().writer.tree(name)
    }

    /// Makes a tree, durably; one of that name that exists already is answered.
    ///
    /// # Errors
    /// A name out of limits, a full device, [`Error::Poisoned`].
    pub fn create_tree(&self, name: &str) -> Result<TreeId> {
        self.create_trees(&[name]).map(|trees| trees[0])
    }

    /// Makes trees, durably, with one sync for all of them; those that exist already are answered.
    /// After an error some of them may exist.
    ///
    /// # Errors
    /// As [`Engine::create_tree`].
    pub fn create_trees(&self, names: &[&str]) -> Result<Vec<TreeId>> {
        self.shared.create_trees(names)
    }

    /// Changes, durably, how what is written to a tree from now on is stored. What was written stays
    /// as it is until it is written again.
    ///
    /// # Errors
    /// A tree that is not there, a compression that this build was made without, a full device,
    /// [`Error::Poisoned`].
    pub fn set_tree_options(&self, tree: TreeId, options: TreeOptions) -> Result<()> {
        self.shared.set_tree_options(tree, options)
    }

    /// How what is written to a tree is stored.
    pub fn tree_options(&self, tree: TreeId) -> TreeOptions {
        self.shared.sequencer.lock().writer.tree_options(tree)
    }

    /// What readers share: page size and limits.
    pub fn pager(&self) -> &Pager {
        &self.shared.pager
    }

    /// Makes everything applied so far durable, whatever the durability it was committed with.
    ///
    /// # Errors
    /// A failed sync stops writing for good.
    pub fn sync(&self) -> Result<()> {
        let _hold = self.shared.bulk.hold();
        self.shared.settle_unlogged()?;
        let log = self.shared.sequencer.lock().log.clone();
        if let Some(log) = log
            && let Err(error) = log.sync(log.end())
        {
            let error = self.shared.sequencer.lock().poison(error);
            self.shared.visible.give_up();
            return Err(error);
        }
        self.shared.sync_and_publish()
    }

    /// Writes everything committed to the file and lets go of the log before it, while readers and
    /// writers go on.
    ///
    /// # Errors
    /// A full device abandons the checkpoint: it can be tried again. A failed sync stops writing
    /// for good.
    pub fn checkpoint(&self) -> Result<CheckpointReport> {
        self.shared.checkpoint()
    }

    /// Makes the file as short as what it holds allows: pages at its end are moved to its front in
    /// steps, while readers and writers go on, and the end is cut off. What snapshots, or values of
    /// more than 64 MiB, hold there stays. Reads all leaves.
    ///
    /// # Errors
    /// As [`Engine::checkpoint`]. What was done by then stays done; the contents never change.
    pub fn shrink(&self) -> Result<ShrinkReport> {
        self.shared.shrink()
    }

    /// Reads and judges every page of the newest state, while commits and checkpoints go on: they
    /// wait only while what is in use is noted down.
    ///
    /// # Errors
    /// [`Error::Closed`]; what is wrong with the pages is in the report.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_with(&mut |_| ())
    }

    /// As [`Engine::verify`], told of each step.
    ///
    /// # Errors
    /// Those of [`Engine::verify`].
    pub fn verify_with(&self, progress: OnProgress<'_>) -> Result<VerifyReport> {
        let shared = &self.shared;
        // A checkpoint under way holds pages that nothing leads to yet.
        let no_checkpoint = shared.checkpointing.lock();
        let mut sequencer = shared.sequencer.lock();
        if sequencer.closed {
            return Err(Error::Closed);
        }
        if sequencer.check_sound().is_err() {
            // Writing has stopped for good: nobody waits.
            return Ok(sequencer.writer.verify());
        }
        let (verification, sealed) = sequencer.writer.begin_verify();
        sequencer.push_sealed(sealed);
        drop(sequencer);
        drop(no_checkpoint);
        let judged = Judged { shared, verification };
        // What came before is published from here on, so that versions go on in order. Where that
        // fails writing has stopped, which whoever writes is told.
        let _ = shared.sync_and_publish();
        Ok(judged.verification.run(progress))
    }

    /// Copies everything that is visible now to a new database at `dest`, with full pages and
    /// nothing else: closed cleanly, and another database by its UUID.
    ///
    /// # Errors
    /// Those of [`copy_trees`](llmdb_storage::copy_trees).
    pub fn compact_into(&self, dest: &Path, progress: OnProgress<'_>) -> Result<u64> {
        let snapshot = self.snapshot();
        let trees: Vec<_> = {
            let writer = &self.shared.sequencer.lock().writer;
            let trees = snapshot.trees();
            trees.map(|(name, tree)| (name.to_owned(), tree, writer.tree_options(tree))).collect()
        };
        let (mark, vfs) = ((snapshot.seq(), snapshot.mark()), &self.shared.vfs);
        Ok(copy_trees(&snapshot.reader(), &trees, mark, vfs, dest, progress)?)
    }

    /// All trees by name.
    pub fn trees(&self) -> Vec<(String, TreeId)> {
        let sequencer = self.shared.sequencer.lock();
        sequencer.writer.trees().map(|(name, tree)| (name.to_owned(), tree)).collect()
    }

    /// What was done since it was opened.
    pub fn metrics(&self) -> EngineMetrics {
        self.shared.metrics.snapshot()
    }

    /// Sizes and counts.
    pub fn stats(&self) -> EngineStats {
        EngineStats::of(&self.shared)
    }

    /// Closes the database: everything is in the one file, marked clean, and the log is gone. A
    /// commit that comes later is refused; one that came before is in the file. Snapshots go on
    /// reading, and therefore the file stays locked until the engine is dropped. Closing again
    /// does nothing.
    ///
    /// # Errors
    /// The failure of the last checkpoint, or [`Error::Poisoned`]: the log stays then, and the next
    /// open recovers what it holds.
    pub fn close(&self) -> Result<()> {
        self.shared.keeper.stop();
        let closed = self.shared.close();
        self.shared.visible.give_up();
        closed
    }
}

/// A version that is judged, held until that is done.
struct Judged<'e> {
    shared: &'e Shared,
    verification: Verification,
}

impl Drop for Judged<'_> {
    fn drop(&mut self) {
        self.shared.sequencer.lock().writer.end_verify(&self.verification);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // What cannot be written here is still in the log.
        let _ = self.close();
        // Only now: snapshots borrow the engine, so none is left to be written under.
        self.shared.lock.lock().take();
    }
}

impl Shared {
    /// A snapshot of everything that is visible now.
    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        self.metrics.snapshots.add_one();
        Snapshot::new(&self.published, &self.pager)
    }

    /// As [`Shared::snapshot`], on lease where there is a limit to its age.
    pub(crate) fn lease(&self) -> LeasedSnapshot<'_> {
        self.metrics.snapshots.add_one();
        LeasedSnapshot::new(&self.published, &self.pager, self.tenure())
    }

    /// A snapshot of everything that is applied now, durable or not. After a commit that failed
    /// half-way, of everything before it.
    pub(crate) fn lease_applied(&self) -> LeasedSnapshot<'_> {
        let mut sequencer = self.sequencer.lock();
        match sequencer.newest_unpublished() {
            Some(state) => {
                LeasedSnapshot::applied(&self.published, &self.pager, self.tenure(), state)
            }
            None => self.lease(),
        }
    }

    fn tenure(&self) -> Tenure {
        match self.options.snapshot_age_max {
            Some(_) => Tenure::Lease,
            None => Tenure::Firm,
        }
    }

    fn close(&self) -> Result<()> {
        // Held to the end: no checkpoint is under way when the file is marked, and none begins.
        let mut last = self.checkpointing.lock();
        let mut sequencer = self.sequencer.lock();
        if std::mem::replace(&mut sequencer.closed, true) {
            return Ok(());
        }
        // What was not durable when writing stopped may be lost: closing says so.
        sequencer.check_sound()?;
        if sequencer.log.is_none() {
            return Ok(());
        }
        drop(sequencer);
        self.checkpoint_in_turn(&mut last)?;
        let mut sequencer = self.sequencer.lock();
        assert!(last.holds(sequencer.seq), "no commit gets in while the database is closed");
        let (lsn, incarnation) = (sequencer.lsn.get(), sequencer.incarnation);
        if planted!("log_removed_before_the_mark") {
            Log::discard(&*self.vfs, &self.log_dir)?;
            return Ok(sequencer.writer.mark_clean(lsn, incarnation)?);
        }
        sequencer.writer.mark_clean(lsn, incarnation)?;
        match sequencer.log.take().map(Arc::try_unwrap) {
            Some(Ok(log)) => Ok(log.remove()?),
            // Somebody is still syncing it: the next open discards it.
            Some(Err(_)) | None => Ok(()),
        }
    }
}

/// Brings back what the log holds beyond the newest checkpoint. The flag says whether that was
/// nothing.
fn recover(options: &EngineOptions, dir: &Path, opened: Opened) -> Result<(Sequencer, bool)> {
    span!("recovery");
    let vfs = &options.vfs;
    let Opened { mut writer, mark, clean, uuid, pager } = opened;
    let there = vfs.kind(dir)?.is_some();
    let config = options.log_config(uuid);
    let from = Lsn::new(mark.lsn);
    if clean {
        if there {
            check_unneeded(vfs, dir, uuid, mark)?;
            Log::discard(&**vfs, dir)?;
        }
        return Ok((Sequencer::new(writer, mark, None), true));
    }
    if !there {
        let what = "the log is missing, and the file was not closed cleanly".into();
        return Err(Error::CorruptLog { path: dir.to_owned(), what });
    }
    let mut recovery = Recovery::open(vfs.clone(), dir, config, mark.incarnation, from)?;
    take_named(&mut recovery, &mut writer)?;
    let mut reached = mark;
    let outcome = recovery.replay_bounded(whole_max(&pager), |commit| -> Result<()> {
        let seq = match &commit {
            Replayed::Whole(commit) => commit.seq,
            Replayed::Large(commit) => commit.seq,
        };
        if seq != reached.seq + 1 {
            let what = format!("commit {seq} follows commit {}", reached.seq);
            return Err(Error::CorruptLog { path: dir.to_owned(), what });
        }
        reached.mark = match commit {
            _ if seq % 8 == 0 && planted!("a_commit_not_replayed") => reached.mark,
            Replayed::Whole(commit) => Record::replay(commit.payload, &mut writer)?,
            Replayed::Large(commit) => Record::replay_large(commit, &mut writer)?,
        };
        reached.seq = seq;
        Ok(())
    });
    outcome.map_err(from_replay)?;
    // What was read and not proven durable is now to be relied on; the log's own part of it is
    // made durable by `resume`.
    if !planted!("recovered_values_not_synced") {
        pager.sync_written()?;
    }
    let incarnation = mark.incarnation + 1;
    let log = recovery.resume(incarnation)?.with_prerequisite(move || pager.sync_written());
    declare(&mut writer, mark, incarnation)?;
    reached.incarnation = incarnation;
    let as_in_file = reached.seq == mark.seq;
    Ok((Sequencer::new(writer, reached, Some(log)), as_in_file))
}

/// Beside a file that was closed cleanly a log was about to be removed, or was made and not yet
/// declared: it holds nothing that is needed. One that was in use since the file was closed, or that
/// belongs to another file, is somebody's data.
fn check_unneeded(vfs: &Arc<dyn Vfs>, dir: &Path, uuid: [u8; 16], mark: CommitMark) -> Result<()> {
    use llmdb_wal::Error::{MissingLog, MissingSegment};
    let (config, from) = (LogConfig::new(uuid), Lsn::new(mark.lsn));
    match Recovery::open(vfs.clone(), dir, config, mark.incarnation, from) {
        Ok(_) | Err(MissingLog { .. } | MissingSegment { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes the pages of every value in the file that the log names, before anything is applied and
/// could be given one of them (M9). Ends the log before the first commit that was not proven
/// durable and whose value is not all there.
fn take_named(recovery: &mut Recovery, writer: &mut Writer) -> Result<()> {
    let pager = writer.pager().clone();
    let mut named = Vec::new();
    let outcome = recovery.replay_bounded(whole_max(&pager), |commit| -> Result<()> {
        let (start, end, references) = match commit {
            Replayed::Whole(commit) => {
                let references = Record::references(commit.payload, pager.page_size())?;
                (commit.start, commit.end, references)
            }
            Replayed::Large(commit) => {
                let (start, end) = (commit.start, commit.end);
                (start, end, Record::references_large(commit, pager.page_size())?)
            }
        };
        if !references.is_empty() {
            named.push((start, end, references));
        }
        Ok(())
    });
    let proven = outcome.map_err(from_replay)?.proven;
    for (start, end, references) in named {
        if end > proven {
            for reference in &references {
                if !pager.is_whole(reference)? && !planted!("missing_values_not_looked_for") {
                    recovery.cut_before(start);
                    return Ok(());
                }
            }
        }
        writer.adopt(&references)?;
    }
    Ok(())
}

/// A logged commit of more bytes than this is replayed in pieces.
pub(crate) fn whole_max(pager: &Pager) -> usize {
    usize::try_from(pager.budget().limit() / 8).unwrap_or(usize::MAX)
}

fn from_replay(error: ReplayError<Error>) -> Error {
    match error {
        ReplayError::Log(error) => error.into(),
        ReplayError::Apply(error) => error,
    }
}

/// Records the log's new incarnation in every slot: from here on the recovered log is the log.
fn declare(writer: &mut Writer, mark: CommitMark, incarnation: u32) -> Result<()> {
    for _ in 0..if planted!("recovery_declared_in_one_meta") { 1 } else { 3 } {
        writer.rewrite_meta(mark.lsn, incarnation, false)?;
    }
    Ok(())
}
