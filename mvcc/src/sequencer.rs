//! The sequencer: a role of whichever thread commits, one at a time, under one lock.
//!
//! It validates, resolves, numbers, applies and copies to the log's buffer; nothing in it waits for
//! a sync, unless the log has no room left although commits make it ahead of need. What it applied is visible only once published:
//!
//! ```text
//!   commits --> open group --seal--> sealed groups (in order) --log durable--> published
//! ```
//!
//! A group is a run of commits that become visible together. Commits of the open group share a
//! version of the trees, so they edit each other's pages in place; sealing ends that. A group
//! that holds a `Sync` commit is published when the log is durable up to it, and every group
//! after the ones before it.

use crate::bulk::Logging;
use crate::conflict::Recent;
use crate::engine::Shared;
use crate::long::Ahead;
use crate::memory::{self, Charge};
use crate::publish::{Published, State, States};
use crate::record::{HEADER, Record};
use crate::span::span;
use crate::transaction::{Committed, Intent, WriteTx};
use crate::writes::Writes;
use crate::{Durability, Error, Isolation, Result};
use llmdb_storage::{
    Batch, Budget, CommitMark, MemoryUse, Sealed, TreeId, TreeOptions, Version, Writer,
};
use llmdb_vfs::planted;
use llmdb_wal::{Log, Lsn};
use parking_lot::MutexGuard;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A commit leaves room for another of twice its size in the log's segments, or of so much.
const LOG_AHEAD_BYTES: usize = 64 << 10;
const LOG_AHEAD_BYTES_MAX: usize = 64 << 20;
/// A commit that takes more than this part of the budget is applied and logged in pieces.
const LARGE_PART: u64 = 16;
/// Of the budget of memory, one transaction buffers this part unless it is told otherwise, and so
/// much at least.
const TX_PART: u64 = 8;
const TX_BYTES_MIN: u64 = 4 << 10;

/// What the committing thread owns while it holds the lock.
#[derive(Debug)]
pub(crate) struct Sequencer {
    pub(crate) writer: Writer,
    /// Made at the first commit; a database at rest is one file.
    pub(crate) log: Option<Arc<Log>>,
    pub(crate) incarnation: u32,
    /// Number and mark of the newest applied commit, and where the log ends after it.
    pub(crate) seq: u64,
    pub(crate) mark: i64,
    pub(crate) lsn: Lsn,
    pub(crate) states: States,
    /// Applied and not sealed: whether there is anything, and what must be durable first.
    open: Option<Needs>,
    sealed: VecDeque<Group>,
    pub(crate) recent: Recent,
    /// The newest commit that no log and no durable meta page holds.
    pub(crate) unlogged: Option<u64>,
    /// The log's buffer, as of the last look at it.
    log_charge: Option<Charge>,
    pub(crate) closed: bool,
    /// The file, if it was opened to be read alone.
    pub(crate) at_rest: Option<PathBuf>,
}

/// What must be durable before a group is published: the last `Sync` commit in it.
#[derive(Clone, Copy, Default, Debug)]
struct Needs(Option<Lsn>);

/// A sealed group, waiting to be published.
#[derive(Debug)]
struct Group {
    state: Arc<State>,
    needs: Needs,
}

impl Sequencer {
    pub(crate) fn new(writer: Writer, mark: CommitMark, log: Option<Log>) -> Self {
        let lsn = log.as_ref().map_or(Lsn::new(mark.lsn), Log::end);
        Sequencer {
            writer,
            log: log.map(Arc::new),
            incarnation: mark.incarnation,
            seq: mark.seq,
            mark: mark.mark,
            lsn,
            states: States::default(),
            open: None,
            sealed: VecDeque::new(),
            recent: Recent::starting_at(mark.seq),
            unlogged: None,
            log_charge: None,
            closed: false,
            at_rest: None,
        }
    }

    /// Counts the memory that commits leave behind against a budget.
    pub(crate) fn account_to(&mut self, budget: &Arc<Budget>) {
        self.recent.account_to(budget);
        self.log_charge = Some(Charge::new(budget, MemoryUse::Log));
    }

    /// Makes room in the budget for `bytes` more in the log's buffer: what is in it is handed to the
    /// operating system where memory is short.
    fn charge_log(&mut self, log: &Log, bytes: usize) -> Result<()> {
        let Some(charge) = &mut self.log_charge else { return Ok(()) };
        if !charge.cover((log.buffered_bytes() + bytes) as u64) {
            log.write_out()?;
            charge.shrink(0);
            if !charge.cover(bytes as u64) {
                return Err(memory::short());
            }
        }
        Ok(())
    }

    /// Gives back what the log's buffer took and was written since.
    pub(crate) fn settle_log_charge(&mut self) {
        let buffered = self.log.as_ref().map_or(0, |log| log.buffered_bytes());
        if let Some(charge) = &mut self.log_charge {
            charge.shrink(buffered as u64);
        }
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_sound()?;
        match &self.at_rest {
            Some(path) => Err(Error::ReadOnly { path: path.clone() }),
            None if self.closed => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Whether the newest state is whole and the disk is known.
    pub(crate) fn check_sound(&self) -> Result<()> {
        match self.writer.poisoned() {
            Some(cause) => Err(Error::Poisoned { cause }),
            None => Ok(()),
        }
    }

    /// Stops writing for good after a failure that leaves the disk or the newest state unknown.
    pub(crate) fn poison<E: Into<Error>>(&mut self, error: E) -> Error {
        let error = error.into();
        match &error {
            Error::Poisoned { cause } => self.writer.poison(cause),
            error => self.writer.poison(error),
        }
        error
    }

    /// Makes the log if this is the first commit since the file was opened cleanly.
    pub(crate) fn start_log(&mut self, shared: &Shared) -> Result<Arc<Log>> {
        if let Some(log) = &self.log {
            return Ok(log.clone());
        }
        let incarnation = self.incarnation + 1;
        // An attempt that failed half-way left a log of this incarnation without a commit.
        Log::discard(&*shared.vfs, &shared.log_dir)?;
        let config = shared.options.log_config(shared.uuid);
        let vfs = shared.vfs.clone();
        let pager = shared.pager.clone();
        let log = Log::create(vfs, &shared.log_dir, config, incarnation, self.lsn)?
            .with_prerequisite(move || pager.sync_written());
        // Before anything is logged every slot says that the log is needed.
        for _ in 0..if planted!("log_declared_in_one_meta") { 1 } else { 3 } {
            self.writer.rewrite_meta(self.lsn.get(), incarnation, false)?;
        }
        self.incarnation = incarnation;
        let log = Arc::new(log);
        self.log = Some(log.clone());
        Ok(log)
    }

    /// Logs and applies one record; answers where the log ends after it.
    pub(crate) fn enter(
        &mut self,
        log: &Log,
        record: Record<'_>,
        batch: Option<&Batch>,
    ) -> Result<Lsn> {
        self.make_room(log, record.encode().1.len())?;
        if let Some(batch) = batch {
            self.writer.apply(batch)?;
        }
        self.append(log, record)
    }

    /// Sees to it that a record with so long a body can be appended, with memory for it.
    fn make_room(&mut self, log: &Log, body_len: usize) -> Result<()> {
        log.reserve(HEADER + body_len)?;
        self.settle_log_charge();
        self.charge_log(log, HEADER + body_len)
    }

    /// Logs a record for which room was made, and what it says was done; answers where the log ends
    /// after it. What was done and cannot be logged stops writing.
    fn append(&mut self, log: &Log, record: Record<'_>) -> Result<Lsn> {
        let (header, body) = record.encode();
        match log.append(self.seq + 1, &[&header, body]) {
            Ok(lsn) => {
                self.seq += 1;
                self.lsn = lsn;
                Ok(lsn)
            }
            Err(error) => Err(self.poison(error)),
        }
    }

    /// Makes a tree that does not exist yet, as a commit of its own.
    fn create_tree(&mut self, shared: &Shared, name: &str) -> Result<TreeId> {
        self.check_writable()?;
        shared.pager.check_sizes(name.as_bytes(), &[])?;
        let log = self.start_log(shared)?;
        if self.writer.next_tree().is_none() {
            return Err(llmdb_storage::Error::TooManyTrees.into());
        }
        // Before the tree is made: one that is there and not in the log would take commits that no
        // recovery can bring back.
        self.make_room(&log, name.len())?;
        let tree = self.writer.create_tree(name);
        if planted!("new_trees_not_logged") {
            return Ok(tree);
        }
        let lsn = self.append(&log, Record::NewTree { mark: self.mark, tree, name })?;
        self.applied(Some(lsn));
        Ok(tree)
    }

    /// As [`Sequencer::enter`], without a record: the next checkpoint makes it durable.
    fn enter_unlogged(&mut self, writes: &Writes) -> Result<Lsn> {
        match writes.is_spilled() {
            true => self.writer.attempt(|writer| -> Result<()> {
                Ok(writer.apply_more(&mut *writes.source()?)?)
            })?,
            false => self.writer.apply(writes.in_memory())?,
        }
        self.seq += 1;
        self.unlogged = Some(self.seq);
        Ok(self.lsn)
    }

    /// As [`Sequencer::enter`], for writes that are applied and logged piece by piece, in bounded
    /// memory: they come twice. The room for them is made here.
    fn enter_large(&mut self, log: &Log, mark: i64, writes: &Writes) -> Result<Lsn> {
        if let Err(error) = log.reserve_pieces(HEADER + writes.payload_len()) {
            // What there was room for is of no use, and the disk may be full of it.
            log.remove_spares(log.take_surplus());
            return Err(error.into());
        }
        let record = Record::Large { mark, has_references: writes.has_references() };
        let buffered_max = self.writer.pager().budget().limit() / 32;
        // What is buffered besides: a piece, and the frame that it is copied into.
        self.settle_log_charge();
        self.charge_log(log, buffered_max as usize)?;
        let seq = self.seq + 1;
        let entered = self.writer.attempt(|writer| -> Result<Lsn> {
            writer.apply_more(&mut *writes.source()?)?;
            let mut appending = log.append_pieces(seq, buffered_max as usize);
            let mut bytes = Vec::new();
            appending.add(&record.encode().0)?;
            let mut source = writes.source()?;
            while let Some(write) = source.next_write()? {
                bytes.clear();
                write.encode(&mut bytes);
                appending.add(&bytes)?;
            }
            Ok(appending.finish()?)
        });
        match entered {
            Ok(lsn) => {
                self.seq = seq;
                self.lsn = lsn;
                Ok(lsn)
            }
            Err(error) if log.is_poisoned() => Err(self.poison(error)),
            Err(error) => Err(error),
        }
    }

    /// Changes how a tree is stored, as a commit of its own.
    fn set_tree_options(
        &mut self,
        shared: &Shared,
        tree: TreeId,
        options: TreeOptions,
    ) -> Result<()> {
        self.check_writable()?;
        let log = self.start_log(shared)?;
        log.reserve(HEADER + TreeOptions::BYTES)?;
        let before = self.writer.tree_options(tree);
        self.writer.set_tree_options(tree, options)?;
        let options = &options.encode();
        match self.enter(&log, Record::Options { mark: self.mark, tree, options }, None) {
            Ok(lsn) => {
                self.applied(Some(lsn));
                Ok(())
            }
            Err(error) => {
                self.writer.set_tree_options(tree, before)?;
                Err(error)
            }
        }
    }

    /// Takes note that a commit was applied; `needs` where it has to be durable to be seen.
    pub(crate) fn applied(&mut self, needs: Option<Lsn>) {
        let open = self.open.get_or_insert_default();
        open.0 = open.0.max(needs);
    }

    /// Whether nothing that is applied has to wait for the log.
    fn nothing_waits(&self) -> bool {
        self.sealed.is_empty() && self.open.is_none_or(|open| open.0.is_none())
    }

    /// Takes up what was sealed as the newest group; open commits are part of it.
    pub(crate) fn push_sealed(&mut self, sealed: Sealed) {
        let needs = self.open.take().unwrap_or_default();
        let state = Arc::new(State::of(sealed, self.seq, self.mark));
        self.sealed.push_back(Group { state, needs });
    }

    /// Seals the open group, if there is one. After a failure half a batch may be in it: it is
    /// never seen.
    fn seal(&mut self) {
        if self.open.is_some() && self.check_sound().is_ok() {
            let sealed = self.writer.seal();
            self.push_sealed(sealed);
        }
    }

    /// Seals the newest state, whether or not anything was applied since the last seal: pages and
    /// frames that only states before it reach can go once it is published.
    pub(crate) fn seal_anew(&mut self) {
        let sealed = self.writer.seal();
        self.push_sealed(sealed);
    }

    /// The log position that the sealed groups need.
    fn needed(&self) -> Option<Lsn> {
        self.sealed.iter().filter_map(|group| group.needs.0).max()
    }

    /// Publishes all groups that may be seen, and frees what nobody can reach any more.
    pub(crate) fn publish_ready(&mut self, shared: &Shared) {
        let durable = self.log.as_ref().map(|log| log.durable());
        let ready = |needs: Needs| {
            needs.0.is_none_or(|needs| Some(needs) <= durable)
                || planted!("published_before_durable")
        };
        let mut newest = None;
        while self.sealed.front().is_some_and(|group| ready(group.needs)) {
            let passed_over = std::mem::replace(&mut newest, self.sealed.pop_front());
            self.pass_over(passed_over);
        }
        // Commits that need not be durable were only waiting for those before them.
        if self.nothing_waits() && self.open.is_some() {
            self.seal();
            if let Some(group) = self.sealed.pop_front() {
                self.pass_over(newest.replace(group));
            }
        }
        if let Some(group) = newest {
            self.publish(&shared.published, group.state);
            shared.visible.announce(self.published_seq());
            let oldest = shared.active.lock().oldest();
            self.recent.prune(oldest.unwrap_or(u64::MAX).min(self.published_seq()));
        }
        self.reclaim(shared);
    }

    fn pass_over(&mut self, group: Option<Group>) {
        if let Some(group) = group {
            self.states.pass_over(group.state);
        }
    }

    /// The newest state that is applied and not published, if there is one: durable or not, but
    /// whole.
    pub(crate) fn newest_unpublished(&mut self) -> Option<Arc<State>> {
        self.seal();
        self.sealed.back().map(|group| group.state.clone())
    }

    pub(crate) fn publish(&mut self, published: &Published, state: Arc<State>) {
        published.publish(&mut self.states, state);
    }

    pub(crate) fn published_seq(&self) -> u64 {
        self.states.newest_seq()
    }

    /// Frees what no snapshot, sealed group or meta page reaches any more.
    pub(crate) fn reclaim(&mut self, shared: &Shared) {
        let Some(mut live) = shared.published.live(&mut self.states) else { return };
        let too_old = |age_max| self.states.newest_older_than(age_max);
        if let Some(version) = shared.options.snapshot_age_max.and_then(too_old)
            && self.expire(shared, version)
        {
            let Some(left) = shared.published.live(&mut self.states) else { return };
            live = left;
        }
        let unpublished: Vec<Version> =
            self.sealed.iter().map(|group| group.state.version).collect();
        self.writer.reclaim(&live.versions, &unpublished);
    }

    /// Gives up the snapshots of `version` and older ones, as far as they are leased; answers
    /// whether there were any. What they alone hold is free once no read of them is under way.
    fn expire(&self, shared: &Shared, version: Version) -> bool {
        let expired = shared.published.expire(version);
        shared.metrics.expired_snapshots.add(expired);
        expired > 0
    }

    /// Gives up the oldest snapshots, if they are leased and of a state that was superseded for
    /// at least `age`.
    pub(crate) fn expire_oldest(&self, shared: &Shared, age: Duration) {
        let mut old = self.states.superseded().take_while(|(_, since)| *since >= age);
        old.find(|(version, _)| self.expire(shared, *version));
    }

    /// What a checkpoint of the newest state records.
    pub(crate) fn commit_mark(&self) -> CommitMark {
        CommitMark {
            seq: self.seq,
            mark: self.mark,
            lsn: self.lsn.get(),
            incarnation: self.incarnation,
        }
    }

    /// Bytes of changed pages that only memory holds.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.writer.dirty_pages() * self.writer.pager().page_size() as u64
    }
}

impl Shared {
    /// Commits a transaction: see the module's header. One that finds no memory is tried again after
    /// room was made.
    pub(crate) fn commit<I: Intent>(
        &self,
        tx: &mut WriteTx<'_>,
        mut writes: Writes,
        ahead: &mut [Ahead<'_>],
        intent: &mut I,
        durability: Durability,
    ) -> Result<Committed, I::Error> {
        span!("commit");
        let began = Instant::now();
        self.hold_back_writers()?;
        writes.settle(&self.pager)?;
        if writes.payload_len() > LOG_AHEAD_BYTES && durability != Durability::Checkpoint {
            self.make_log_room(&writes)?;
        }
        let own = writes.len();
        // While a commit waits to be logged, so is every other: they all wait for one checkpoint.
        // And an archive has what the log had: where there is one, all are logged.
        let unlogged = durability == Durability::Checkpoint
            && self.options.archive_dir.is_none()
            && !self.bulk.is_held();
        let _hold = (!unlogged).then(|| self.bulk.hold());
        for _ in 0..memory::ATTEMPTS {
            if !unlogged {
                self.settle_unlogged()?;
            }
            let logging = if unlogged { Logging::Skip } else { Logging::Do(durability) };
            if let Some(committed) = self.commit_in_turn(tx, &mut writes, ahead, intent, logging)? {
                if committed.wrote {
                    self.metrics.committed(durability, began);
                }
                return Ok(committed);
            }
            self.relieve()?;
            // What the intent added was resolved against a state that may have changed.
            if !writes.go_back(own) {
                break;
            }
        }
        Err(memory::short().into())
    }

    /// Commits a transaction, or finds no memory to do so (`None`): nothing has happened then.
    fn commit_in_turn<I: Intent>(
        &self,
        tx: &mut WriteTx<'_>,
        writes: &mut Writes,
        ahead: &mut [Ahead<'_>],
        intent: &mut I,
        logging: Logging,
    ) -> Result<Option<Committed>, I::Error> {
        let mut sequencer = self.enter_past_locks(tx, writes, intent)?;
        if logging != Logging::Skip
            && sequencer.unlogged.is_some()
            && !planted!("unlogged_commits_not_settled")
        {
            return Ok(None);
        }
        let since = tx.since();
        // What came between is a conflict only for a transaction that turns out to write.
        let conflict = match tx.isolation {
            Isolation::Serializable => sequencer.recent.conflict(&tx.reads, since),
            Isolation::Snapshot => {
                let recent = &sequencer.recent;
                match writes.is_spilled() {
                    true => recent.first_write_of(since, |each| writes.each_key(each))?,
                    false => recent.overlap(writes.in_memory(), since),
                }
                .or(recent.first_write_of(since, |each| intent.keys(each))?)
            }
            Isolation::ReadCommitted | Isolation::ReadUncommitted => None,
        };
        let last_mark = sequencer.mark;
        let resolved = intent.resolve(last_mark, &sequencer.writer.reader(), writes);
        if resolved.is_err() && writes.is_short() {
            return Ok(None);
        }
        if resolved.is_ok() && writes.is_empty() {
            drop(sequencer);
            let (seq, mark) = tx.rests_on();
            return Ok(Some(Committed { seq, mark, wrote: false }));
        }
        if let Some(seq) = conflict.filter(|_| !planted!("conflicts_not_looked_for")) {
            self.metrics.conflicts.add_one();
            return Err(Error::Conflict { seq }.into());
        }
        let mark = resolved?;
        let log = sequencer.start_log(self)?;
        writes.settle(&self.pager)?;
        for write in writes.in_memory().iter() {
            let value = write.value.bytes().unwrap_or_default();
            let sizes = self.pager.check_sizes(write.key, value);
            sizes.map_err(Error::from)?;
        }
        if !tx.weigh_resolved(writes) {
            return Ok(None);
        }
        let payload_len = writes.payload_len();
        let large = payload_len as u64 > self.budget().limit() / LARGE_PART;
        let entered = match large || writes.is_spilled() {
            _ if logging == Logging::Skip => sequencer.enter_unlogged(writes),
            true => sequencer.enter_large(&log, mark, writes),
            false => {
                let batch = writes.in_memory();
                let record = Record::Commit { mark, batch: batch.bytes() };
                sequencer.enter(&log, record, Some(batch))
            }
        };
        let lsn = match entered {
            Err(error) if memory::is_short(&error) => return Ok(None),
            entered => entered?,
        };
        for ahead in ahead {
            ahead.settle(sequencer.writer.is_reserved(ahead.reference().run()));
        }
        sequencer.mark = mark;
        let seq = sequencer.seq;
        // The same memory is remembered as that of a recent commit, not as the transaction's.
        tx.give_back();
        sequencer.recent.push(seq, writes.take_written());
        let needs_sync =
            logging == Logging::Do(Durability::Sync) && !planted!("acknowledged_before_durable");
        sequencer.applied(needs_sync.then_some(lsn));
        if sequencer.nothing_waits() {
            sequencer.publish_ready(self);
        }
        self.load.set_dirty_bytes(sequencer.dirty_bytes());
        self.load.set_log_end(lsn);
        drop(sequencer);
        self.keeper.after_commit(self, logging, &log)?;
        self.wait_until_visible(seq)?;
        if logging == Logging::Skip {
            return Ok(Some(Committed { seq, mark, wrote: true }));
        }
        // Room for what may come next is made here, where nobody waits for it. Should that fail,
        // the next commit will say so.
        let _ = log.reserve(LOG_AHEAD_BYTES.max(2 * payload_len).min(LOG_AHEAD_BYTES_MAX));
        self.metrics.log_bytes.add((HEADER + payload_len) as u64);
        Ok(Some(Committed { seq, mark, wrote: true }))
    }

    /// Makes commits that are in no log durable by a checkpoint, if there are any: what is logged
    /// from here on never comes after something that a crash may lose.
    pub(crate) fn settle_unlogged(&self) -> Result<()> {
        while self.sequencer.lock().unlogged.is_some() && !planted!("unlogged_commits_not_settled")
        {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Takes the sequencer's lock once nobody else has locked a key that the transaction writes; it
    /// queues for those locks like everybody.
    fn enter_past_locks<I: Intent>(
        &self,
        tx: &WriteTx<'_>,
        writes: &Writes,
        intent: &I,
    ) -> Result<MutexGuard<'_, Sequencer>, I::Error> {
        loop {
            let sequencer = self.sequencer.lock();
            sequencer.check_writable()?;
            if !self.locks.any() {
                return Ok(sequencer);
            }
            let locked = self.locks.first_locked(tx.id(), |each| {
                writes.each_key(each)?;
                intent.keys(each)
            })?;
            let Some(key) = locked else { return Ok(sequencer) };
            drop(sequencer);
            self.locks.lock(tx.id(), key, tx.lock_wait_max)?;
        }
    }

    /// Makes room for a large commit before the lock is taken: zeroing and syncing a new segment
    /// takes long. If somebody else takes the room meanwhile, it is made again under the lock.
    fn make_log_room(&self, writes: &Writes) -> Result<()> {
        let log = {
            let mut sequencer = self.sequencer.lock();
            sequencer.check_writable()?;
            sequencer.start_log(self)?
        };
        let reserved = match writes.is_spilled() {
            true => log.reserve_pieces(HEADER + writes.payload_len()),
            false => log.reserve(HEADER + writes.payload_len()),
        };
        if reserved.is_err() {
            let _sequencer = self.sequencer.lock();
            log.remove_spares(log.take_surplus());
        }
        Ok(reserved?)
    }

    /// Nothing written yet.
    pub(crate) fn new_writes(&self) -> Writes {
        Writes::new(self.spill_files.runs(), self.tx_memory_bytes(), self.budget())
    }

    /// What a transaction buffers of its writes before it spills them.
    pub(crate) fn tx_memory_bytes(&self) -> u64 {
        let wanted = self.options.tx_memory_bytes;
        wanted.unwrap_or(self.budget().limit() / TX_PART).max(TX_BYTES_MIN)
    }

    /// The sequencer, at a moment when all that was committed is in the log or in the file.
    pub(crate) fn logged_sequencer(&self) -> Result<MutexGuard<'_, Sequencer>> {
        loop {
            self.settle_unlogged()?;
            let sequencer = self.sequencer.lock();
            if sequencer.unlogged.is_none() {
                return Ok(sequencer);
            }
        }
    }

    /// Makes trees, durably, with one sync for all; those that exist already are answered.
    pub(crate) fn create_trees(&self, names: &[&str]) -> Result<Vec<TreeId>> {
        let _hold = self.bulk.hold();
        let mut sequencer = self.logged_sequencer()?;
        let mut trees = Vec::with_capacity(names.len());
        for name in names {
            trees.push(match sequencer.writer.tree(name) {
                Some(tree) => tree,
                None => sequencer.create_tree(self, name)?,
            });
        }
        // A tree that was there may be another thread's, which is still waiting for the sync.
        let seq = sequencer.seq;
        drop(sequencer);
        self.wait_until_visible(seq)?;
        Ok(trees)
    }

    /// Changes how a tree is stored, durably.
    pub(crate) fn set_tree_options(&self, tree: TreeId, options: TreeOptions) -> Result<()> {
        let _hold = self.bulk.hold();
        let mut sequencer = self.logged_sequencer()?;
        if !sequencer.writer.has_tree(tree) {
            return Err(llmdb_storage::Error::NoSuchTree { tree }.into());
        }
        if sequencer.writer.tree_options(tree) == options {
            return Ok(());
        }
        sequencer.set_tree_options(self, tree, options)?;
        let seq = sequencer.seq;
        drop(sequencer);
        self.wait_until_visible(seq)
    }

    /// Waits until commit `seq` is published. If nobody is syncing for it, this thread does: it
    /// seals what is applied, syncs the log for all of it, and publishes it.
    pub(crate) fn wait_until_visible(&self, seq: u64) -> Result<()> {
        while let Some(_leading) = self.visible.wait_or_lead(seq) {
            self.sync_and_publish()?;
        }
        match self.visible.has(seq) {
            true => Ok(()),
            false => self.sequencer.lock().check_writable().and(Err(Error::Closed)),
        }
    }

    /// One round of group commit: everything applied so far becomes durable and visible.
    pub(crate) fn sync_and_publish(&self) -> Result<()> {
        let mut sequencer = self.sequencer.lock();
        sequencer.check_sound()?;
        sequencer.seal();
        let (log, needed) = (sequencer.log.clone(), sequencer.needed());
        if let (Some(log), Some(needed)) = (log, needed) {
            let (began, first) = (Instant::now(), sequencer.published_seq());
            let last = sequencer.sealed.back().map_or(first, |group| group.state.seq);
            if planted!("published_before_durable") {
                sequencer.publish_ready(self);
            }
            drop(sequencer);
            let synced = log.sync(needed);
            self.metrics.synced(began, last.saturating_sub(first));
            sequencer = self.sequencer.lock();
            if let Err(error) = synced {
                let error = sequencer.poison(error);
                self.visible.give_up();
                return Err(error);
            }
        }
        sequencer.publish_ready(self);
        Ok(())
    }
}
