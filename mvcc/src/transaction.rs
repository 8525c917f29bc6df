//! Write transactions: they read a snapshot, buffer what they write, and remember what they read.

use crate::active::{BegunBy, TxnId};
use crate::conflict::Footprint;
use crate::engine::Shared;
use crate::long::{Ahead, ValueWriter, Written};
use crate::memory::{self, Charge};
use crate::savepoint::{Savepoint, Savepoints};
use crate::writes::Writes;
use crate::{Durability, Error, Isolation, LeasedSnapshot, Result, TxView};
use llmdb_storage::{
    Cursor, MemoryUse, NewValue, REFERENCE_BYTES_MIN, Reader, Runs, TreeId, View, WriteSource,
};
use llmdb_vfs::planted;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Of the budget of memory, what one transaction remembers of its reads takes this part at most.
const READS_PART: u64 = 8;
/// Where memory is short, writes are spilled once they are this part of what a transaction buffers.
const SPILL_PART: u64 = 8;
/// What a buffered write costs beside its bytes, about.
const WRITE_BYTES: usize = 40;
/// What a long value costs beside its bytes, about.
const AHEAD_BYTES: u64 = 256;

/// A write transaction. Dropping it rolls it back.
#[must_use = "a transaction does nothing until it commits"]
pub struct WriteTx<'e> {
    pub(crate) shared: &'e Shared,
    id: TxnId,
    by: BegunBy,
    /// What it reads; none where every read takes one of its own.
    snapshot: Option<LeasedSnapshot<'e>>,
    pub(crate) isolation: Isolation,
    writes: Writes,
    /// Of the writes in memory, where each key was written last; made when own writes are first read.
    own: Option<BTreeMap<(TreeId, Vec<u8>), usize>>,
    pub(crate) reads: Footprint,
    broken: Option<Arc<str>>,
    /// It tried to read a snapshot that had been given up.
    too_old: bool,
    /// Whether it read anything of others: from then on its snapshot stays what it is.
    has_read: Cell<bool>,
    pub(crate) lock_wait_max: Duration,
    /// Each with the number of writes before it.
    savepoints: Savepoints<u64>,
    /// Long values that its writes name.
    ahead: Vec<Ahead<'e>>,
    charge: Charge,
    /// Memory that the layer above uses for the transaction.
    above_bytes: u64,
}

/// What a layer above wants to have done at the transaction's place in the commit order, where
/// nothing is between what it reads and what it writes.
pub trait Intent {
    /// The layer's own error.
    type Error: From<Error> + fmt::Display;

    /// Tells the keys that [`Intent::resolve`] will write, as far as they can be locked
    /// ([`WriteTx::lock_for_update`]) or conflict: asked only while there are locks, or where it
    /// reads a snapshot that is not the newest state.
    ///
    /// # Errors
    /// Whatever makes the commit impossible.
    fn keys(&self, _each: &mut dyn FnMut(TreeId, &[u8])) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Adds the resolved writes to `out`, given the newest state, and answers the mark of this
    /// commit. `last_mark` is that of the commit before. On an error nothing has happened. Whoever
    /// adds more than fits in memory [makes room](Writes::make_room) as it goes.
    ///
    /// # Errors
    /// Whatever makes the commit impossible.
    fn resolve(
        &mut self,
        last_mark: i64,
        view: &Reader<'_>,
        out: &mut Writes,
    ) -> Result<i64, Self::Error>;
}

/// A commit that is as durable as it asked to be, and visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Its place in the commit order; for a transaction that wrote nothing, that of its snapshot,
    /// or of the newest commit where it keeps none.
    pub seq: u64,
    /// Its mark; for a transaction that wrote nothing, the mark of commit `seq`.
    pub mark: i64,
    /// Whether it wrote anything.
    pub wrote: bool,
}

/// The intent of a transaction that only buffered plain writes: it keeps the mark.
struct Plain;

impl Intent for Plain {
    type Error = Error;

    fn resolve(&mut self, last_mark: i64, _: &Reader<'_>, _: &mut Writes) -> Result<i64> {
        Ok(last_mark)
    }
}

impl fmt::Debug for WriteTx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTx")
            .field("id", &self.id)
            .field("snapshot", &self.snapshot)
            .field("isolation", &self.isolation)
            .field("writes", &self.writes.len())
            .finish()
    }
}

impl<'e> WriteTx<'e> {
    pub(crate) fn new(
        shared: &'e Shared,
        (id, by): (TxnId, BegunBy),
        snapshot: Option<LeasedSnapshot<'e>>,
        isolation: Isolation,
    ) -> Self {
        WriteTx {
            shared,
            id,
            by,
            snapshot,
            isolation,
            writes: shared.new_writes(),
            own: None,
            reads: Footprint::default(),
            broken: None,
            too_old: false,
            has_read: Cell::new(false),
            lock_wait_max: shared.options.lock_wait_max,
            savepoints: Savepoints::new(id),
            ahead: Vec::new(),
            charge: Charge::new(shared.budget(), MemoryUse::Transactions),
            above_bytes: 0,
        }
    }

    /// Charges what the transaction holds and `more` bytes to the budget of memory. Where it is
    /// short, reads are remembered more coarsely, writes are spilled, and checkpoints make room.
    fn weigh(&mut self, more: u64) -> Result<()> {
        let buffered = self.buffered_bytes();
        let tx_memory = self.shared.tx_memory_bytes();
        if buffered + more > tx_memory && buffered > 0 {
            self.spill()?;
            self.charge.shrink(self.memory_bytes() + more);
        }
        let remembered = self.reads.memory_bytes();
        if remembered < self.shared.budget().limit() / READS_PART
            && self.charge.cover(self.memory_bytes() + more)
        {
            return Ok(());
        }
        self.reads.coarsen();
        if self.buffered_bytes() > tx_memory / SPILL_PART
            && !self.charge.cover(self.memory_bytes() + more)
        {
            self.spill()?;
        }
        self.charge.shrink(self.memory_bytes() + more);
        if self.charge.cover(self.memory_bytes() + more) {
            return Ok(());
        }
        self.shared.hold_back_writers()?;
        match self.charge.cover(self.memory_bytes() + more) {
            true => Ok(()),
            false => Err(memory::short()),
        }
    }

    /// Moves the writes in memory to the transaction's file.
    fn spill(&mut self) -> Result<()> {
        self.writes.spill()?;
        self.own = None;
        Ok(())
    }

    /// Charges the resolved writes of a commit under way; `false` where memory is short.
    pub(crate) fn weigh_resolved(&mut self, writes: &Writes) -> bool {
        self.charge.cover(self.memory_bytes() + writes.memory_bytes())
    }

    /// What was buffered is handed on.
    pub(crate) fn give_back(&mut self) {
        self.charge.shrink(0);
    }

    /// Memory of what can be spilled.
    fn buffered_bytes(&self) -> u64 {
        // The index of own writes takes about as much as they do.
        let copies = if self.own.is_some() { 2 } else { 1 };
        copies * self.writes.in_memory().memory_bytes()
    }

    fn memory_bytes(&self) -> u64 {
        self.buffered_bytes()
            + self.writes.runs().memory_bytes()
            + self.reads.memory_bytes()
            + self.ahead.len() as u64 * AHEAD_BYTES
            + self.above_bytes
    }

    /// How much of its writes the layer above may keep in memory: beyond that it spills them to
    /// [runs](WriteTx::new_runs) of its own.
    pub fn tx_memory_bytes(&self) -> u64 {
        self.shared.tx_memory_bytes()
    }

    /// For the layer above, to spill what it buffers; the file is made at the first run and goes with
    /// it.
    pub fn new_runs(&self) -> Runs {
        self.shared.spill_files.runs()
    }

    /// Charges memory that the layer above uses for the transaction.
    ///
    /// # Errors
    /// [`Error::Storage`] with `CacheFull`: memory is short. The transaction goes on without.
    pub fn weigh_above(&mut self, bytes: u64) -> Result<()> {
        if bytes < self.above_bytes {
            self.above_bytes = bytes;
            self.charge.shrink(self.memory_bytes());
            return Ok(());
        }
        self.weigh(bytes - self.above_bytes)?;
        self.above_bytes = bytes;
        Ok(())
    }

    /// What names it in errors and statistics.
    pub fn id(&self) -> TxnId {
        self.id
    }

    /// What one read of the transaction sees of others: always the same, or a state of its own,
    /// as its isolation says.
    pub fn view(&self) -> TxView<'_, 'e> {
        self.has_read.set(true);
        self.peek()
    }

    fn peek(&self) -> TxView<'_, 'e> {
        match (&self.snapshot, self.isolation) {
            (Some(snapshot), _) => TxView::Kept(snapshot),
            (None, Isolation::ReadUncommitted) => TxView::Own(self.shared.lease_applied()),
            (None, _) => TxView::Own(self.shared.lease()),
        }
    }

    /// The newest commit that it sees for good.
    fn seq(&self) -> Option<u64> {
        self.snapshot.as_ref().map(LeasedSnapshot::seq)
    }

    /// Commits after this one may conflict with it.
    pub(crate) fn since(&self) -> u64 {
        self.seq().unwrap_or(u64::MAX)
    }

    /// Number and mark of the newest commit that it sees. Asking is no read.
    pub fn rests_on(&self) -> (u64, i64) {
        let view = self.peek();
        (view.seq(), view.mark())
    }

    /// The value under `key`: the transaction's own write, or else that of [`WriteTx::view`].
    ///
    /// # Errors
    /// Damage on the way; the transaction can then only be rolled back.
    pub fn get(&mut self, tree: TreeId, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(i) = self.own_writes().get(&(tree, key.to_vec())).copied() {
            let own = self.own_value(self.writes.in_memory().get(i).value);
            return self.keep_whole(own);
        }
        if self.writes.is_spilled() {
            let runs = self.writes.runs();
            let own = runs.newest(tree, key, |write| self.own_value(write.value));
            if let Some(own) = self.keep_whole(own.and_then(Option::transpose))? {
                return Ok(own);
            }
        }
        self.note_read(tree, key);
        let view = self.view();
        let read = view.read().and_then(|seen| {
            let value = seen.get(tree, key)?;
            Ok(value.map(|value| value.into_vec()))
        });
        drop(view);
        self.keep_whole(read)
    }

    /// All entries of `tree` from `from` on and below `to`, own writes included.
    ///
    /// # Errors
    /// As [`WriteTx::get`].
    #[allow(clippy::type_complexity, reason = "a list of entries is what it is")]
    pub fn range(
        &mut self,
        tree: TreeId,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.note_read_range(tree, from, to);
        let read = self.read_range(tree, from, to);
        let mut entries = self.keep_whole(read)?;
        let below = |key: &[u8]| to.is_none_or(|to| key < to);
        let mut own = |key: &[u8], value: Option<Vec<u8>>| match value {
            Some(value) => entries.insert(key.to_vec(), value),
            None => entries.remove(key),
        };
        if self.writes.is_spilled() {
            let spilled = self.read_spilled(tree, from, below, &mut own);
            self.keep_whole(spilled)?;
        }
        self.own_writes();
        let newer = self.own.iter().flat_map(|own| own.range((tree, from.to_vec())..));
        for ((_, key), i) in newer.take_while(|((t, key), _)| *t == tree && below(key)) {
            own(key, self.own_value(self.writes.in_memory().get(*i).value)?);
        }
        Ok(entries.into_iter().collect())
    }

    /// Gives the own writes of a range that were spilled to `own`.
    fn read_spilled<T>(
        &self,
        tree: TreeId,
        from: &[u8],
        below: impl Fn(&[u8]) -> bool,
        own: &mut impl FnMut(&[u8], Option<Vec<u8>>) -> T,
    ) -> llmdb_storage::Result<()> {
        let mut spilled = self.writes.runs().newest_from(Some((tree, from)))?;
        while let Some(write) = spilled.next_write()?
            && write.tree == tree
            && below(write.key)
        {
            own(write.key, self.own_value(write.value)?);
        }
        Ok(())
    }

    /// What an own write gives its key.
    fn own_value(&self, value: NewValue<'_>) -> llmdb_storage::Result<Option<Vec<u8>>> {
        match value {
            NewValue::Absent => Ok(None),
            NewValue::Bytes(bytes) => Ok(Some(bytes.to_vec())),
            NewValue::Reference(descriptor) => {
                let entry = self.shared.pager.unborn(descriptor)?;
                Ok(Some(entry.into_value()?.into_vec()))
            }
        }
    }

    fn read_range(
        &self,
        tree: TreeId,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> llmdb_storage::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut entries = BTreeMap::new();
        let view = self.view();
        let seen = view.read()?;
        let mut cursor = seen.cursor(tree);
        let mut more = cursor.seek(from)?;
        while more && to.is_none_or(|to| cursor.key() < to) {
            entries.insert(cursor.key().to_vec(), cursor.value()?.into_vec());
            more = cursor.next()?;
        }
        Ok(entries)
    }

    /// After a storage error the transaction may have read too little: it must not commit.
    fn keep_whole<T>(&mut self, read: llmdb_storage::Result<T>) -> Result<T> {
        read.map_err(|error| {
            match error {
                llmdb_storage::Error::SnapshotTooOld => self.too_old = true,
                _ => self.break_off(&error),
            }
            error.into()
        })
    }

    /// Makes the transaction un-committable: a layer above met a storage error while reading.
    pub fn break_off(&mut self, cause: &dyn fmt::Display) {
        self.broken.get_or_insert_with(|| cause.to_string().into());
    }

    /// Buffers "`key` has `value`". A long value is written into the file at once.
    ///
    /// # Errors
    /// A key or value out of limits; no room for a long value, no memory left. The transaction goes on.
    pub fn put(&mut self, tree: TreeId, key: &[u8], value: &[u8]) -> Result<()> {
        self.shared.pager.check_sizes(key, value)?;
        if value.len() >= REFERENCE_BYTES_MIN {
            let mut writer = self.value_writer(value.len() as u64);
            writer.push(value)?;
            return self.put_written(tree, key, writer.finish()?);
        }
        self.weigh(2 * (WRITE_BYTES + key.len() + value.len()) as u64)?;
        self.writes.batch().put(tree, key, value);
        self.wrote(tree, key);
        Ok(())
    }

    /// Takes a value of about `len_hint` bytes (0 if nobody knows) as it comes.
    pub fn value_writer(&self, len_hint: u64) -> ValueWriter<'e> {
        ValueWriter::new(self.shared, len_hint)
    }

    /// Buffers "`key` has what was written".
    ///
    /// # Errors
    /// As [`WriteTx::put`].
    pub fn put_written(&mut self, tree: TreeId, key: &[u8], value: Written<'e>) -> Result<()> {
        match value {
            Written::Short(value) => {
                self.shared.pager.check_sizes(key, &value)?;
                self.weigh(2 * (WRITE_BYTES + key.len() + value.len()) as u64)?;
                self.writes.batch().put(tree, key, &value);
            }
            Written::Long(ahead) => {
                self.shared.pager.check_sizes(key, &[])?;
                self.weigh(AHEAD_BYTES + 2 * (WRITE_BYTES + key.len()) as u64)?;
                self.writes.batch().put_reference(tree, key, &[], ahead.reference());
                self.ahead.push(ahead);
            }
        }
        self.wrote(tree, key);
        Ok(())
    }

    /// Keeps a long value that the commit's [`Intent`] will name until the commit.
    pub fn keep(&mut self, ahead: Ahead<'e>) {
        self.ahead.push(ahead);
    }

    /// Buffers "`key` is absent".
    ///
    /// # Errors
    /// A key out of limits. The transaction goes on.
    pub fn delete(&mut self, tree: TreeId, key: &[u8]) -> Result<()> {
        self.shared.pager.check_sizes(key, &[])?;
        self.weigh(2 * (WRITE_BYTES + key.len()) as u64)?;
        self.writes.batch().delete(tree, key);
        self.wrote(tree, key);
        Ok(())
    }

    /// Keeps the index of own writes up to date, where there is one.
    fn wrote(&mut self, tree: TreeId, key: &[u8]) {
        let i = self.writes.in_memory().len() - 1;
        if let Some(own) = &mut self.own {
            own.insert((tree, key.to_vec()), i);
        }
    }

    fn own_writes(&mut self) -> &BTreeMap<(TreeId, Vec<u8>), usize> {
        let writes = self.writes.in_memory();
        self.own.get_or_insert_with(|| {
            let places = writes.iter().enumerate();
            places.map(|(i, write)| ((write.tree, write.key.to_vec()), i)).collect()
        })
    }

    /// Remembers that the transaction rests on what is, or is not, under `key`.
    pub fn note_read(&mut self, tree: TreeId, key: &[u8]) {
        if self.isolation == Isolation::Serializable {
            self.reads.key(tree, key);
            // Too little memory makes the reads coarse, and that is all it does.
            let _ = self.weigh(0);
        }
    }

    /// Remembers that the transaction rests on what is, and is not, in a range of keys.
    pub fn note_read_range(&mut self, tree: TreeId, from: &[u8], to: Option<&[u8]>) {
        if self.isolation == Isolation::Serializable {
            self.reads.range(tree, from, to);
            let _ = self.weigh(0);
        }
    }

    /// How long it waits for a lock, if not as the options say.
    pub fn lock_wait_max(&mut self, wait_max: Duration) -> &mut Self {
        self.lock_wait_max = wait_max;
        self
    }

    /// Locks `key`, whether it exists or not, until the transaction ends: no other transaction
    /// commits a write of it meanwhile, and none gets the lock. Those who ask, and commits that
    /// write the key without asking, queue in the order in which they came. Reading is not held
    /// up. A lock that the transaction holds already is granted again.
    ///
    /// Once it is granted, reads see the newest value of the key, and a commit does not conflict on
    /// its account:
    ///
    /// - A transaction that has read nothing yet moves its snapshot to the newest state, if the
    ///   key was written since. Locking all that it reads and writes before it reads makes it a
    ///   transaction that never conflicts.
    /// - One that has read and whose key was written since its snapshot can no longer see the newest
    ///   value: it conflicts at once.
    /// - Below [`Isolation::Snapshot`] the next read sees the newest state anyhow; no update of
    ///   the key is lost.
    ///
    /// # Errors
    /// [`Error::Deadlock`] for the youngest of those who wait in a circle;
    /// [`Error::LockTimeout`]; [`Error::Conflict`]. The transaction keeps the locks that it has
    /// until it ends, so roll it back and run it again.
    pub fn lock_for_update(&mut self, tree: TreeId, key: &[u8]) -> Result<()> {
        let shared = self.shared;
        shared.locks.lock(self.id, (tree, key.to_vec()), self.lock_wait_max)?;
        let Some(seq) = shared.newest_write_of(tree, key, self.seq()) else { return Ok(()) };
        if self.snapshot.is_some() && self.has_read.get() {
            return Err(Error::Conflict { seq });
        }
        // It may still be waiting to be durable.
        shared.wait_until_visible(seq)?;
        if self.snapshot.is_some() {
            let mut active = shared.active.lock();
            let newer = shared.lease();
            active.move_on(self.seq(), newer.seq());
            self.snapshot = Some(newer);
        }
        Ok(())
    }

    /// A place to roll back to, inside of all savepoints made before.
    pub fn savepoint(&mut self) -> Savepoint {
        self.savepoints.add(self.writes.len())
    }

    /// Forgets what was written since `to`. What was read since is still remembered: the
    /// transaction may rest on it, if only by having rolled back. `to` stays good; savepoints
    /// made after it are gone.
    ///
    /// # Errors
    /// [`Error::NoSavepoint`]: nothing has happened.
    pub fn rollback_to(&mut self, to: &Savepoint) -> Result<()> {
        let writes = *self.savepoints.roll_back(to)?;
        if writes < self.writes.len() && !planted!("savepoints_forget_nothing") {
            self.writes.truncate(writes);
            // Of a key that was written before and after, the earlier write counts again.
            self.own = None;
        }
        Ok(())
    }

    /// Gives up a savepoint and those made after it; what was written stays.
    ///
    /// # Errors
    /// [`Error::NoSavepoint`]: nothing has happened.
    pub fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        self.savepoints.release(&savepoint)
    }

    /// Makes the buffered writes visible, all or none.
    ///
    /// # Errors
    /// [`Error::Conflict`], and [`Error::SnapshotTooOld`] after a read that failed with it: run it
    /// again. One whose snapshot was given up after its last read commits like others: what it read
    /// is checked against later commits as ever. [`Error::Broken`] after a storage error. Full devices.
    /// Except after [`Error::Poisoned`], an error means that nothing has happened.
    pub fn commit(self, durability: Durability) -> Result<Committed> {
        self.commit_with(durability, &mut Plain)
    }

    /// Makes the buffered writes and those that `intent` resolves to visible, all or none.
    ///
    /// # Errors
    /// As [`WriteTx::commit`], and the intent's own.
    pub fn commit_with<I: Intent>(
        mut self,
        durability: Durability,
        intent: &mut I,
    ) -> Result<Committed, I::Error> {
        if let Some(cause) = self.broken.clone() {
            return Err(Error::Broken { cause }.into());
        }
        if self.too_old {
            return Err(Error::SnapshotTooOld.into());
        }
        let writes = std::mem::replace(&mut self.writes, self.shared.new_writes());
        self.own = None;
        let mut ahead = std::mem::take(&mut self.ahead);
        self.shared.commit(&mut self, writes, &mut ahead, intent, durability)
    }

    /// Forgets everything. The same as dropping it.
    pub fn rollback(self) {}
}

impl Drop for WriteTx<'_> {
    fn drop(&mut self) {
        // Its own locks it sees.
        if self.shared.locks.any() {
            self.shared.locks.release(self.id);
        }
        self.shared.active.lock().leave(self.by, self.seq());
    }
}
