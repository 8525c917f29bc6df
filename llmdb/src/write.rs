//! Write transactions.

use crate::core::Core;
use crate::op::writes;
use crate::{
    AsKey, Durability, Error, ErrorClass, Fact, Isolation, PartitionId, Result, Scan, TxTime,
    decode,
};
use llmdb_mvcc::{Savepoint, Savepoints, TxnId};
use llmdb_temporal::{At, KeyRange, Op, Pending, Reader, head_key};
use serde::de::DeserializeOwned;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Writes that become visible together, or not at all. Dropping it rolls it back.
///
/// It reads one snapshot and its own writes. Its now is the time that it would get if it committed
/// when it began; the writes from now get the transaction's final time at the commit, which is
/// that or later. When it commits, what it rests on must still hold ([`Isolation`]).
///
/// ```
/// use llmdb::{Clock, Options, TxTime, vfs::MemVfs};
/// use std::sync::Arc;
///
/// let memory = Arc::new(MemVfs::new());
/// let db = Options::new().vfs(memory).clock(Clock::Logical).open("/agent.llmdb")?;
/// let mut tx = db.begin()?;
/// tx.put("analysis", b"buy")?;
/// assert!(tx.get("analysis")?.is_some());
/// assert!(db.get("analysis")?.is_none());
/// assert_eq!(tx.commit()?, Some(TxTime(1)));
/// assert!(db.get("analysis")?.is_some());
/// # Ok::<(), llmdb::Error>(())
/// ```
#[must_use = "a transaction does nothing until it commits"]
pub struct WriteTx<'db> {
    tx: llmdb_mvcc::WriteTx<'db>,
    core: &'db Core,
    isolation: Isolation,
    durability: Durability,
    pending: Pending,
    /// Where it reads: all that its snapshot knows and its own writes, now.
    at: At,
    note: Option<Vec<u8>>,
    reads: RefCell<Reads>,
    broken: Broken,
    savepoints: Savepoints<Written>,
}

/// What a transaction had written when a savepoint was made.
#[derive(Debug)]
struct Written {
    ops: usize,
    note: Option<Vec<u8>>,
}

/// What a transaction rests on, in keys of `heads`.
#[derive(Default)]
struct Reads {
    keys: BTreeSet<Vec<u8>>,
    ranges: Vec<KeyRange>,
}

/// The first failed read of a transaction, after which nobody can tell what it would have done.
#[derive(Debug, Default)]
pub(crate) struct Broken(OnceCell<Arc<str>>);

impl Broken {
    /// Remembers a failure that is not the caller's own mistake.
    pub(crate) fn watch<T>(&self, read: Result<T>) -> Result<T> {
        if let Err(error) = &read
            && error.class() != ErrorClass::Validation
        {
            self.0.get_or_init(|| error.to_string().into());
        }
        read
    }
}

impl<'db> WriteTx<'db> {
    pub(crate) fn begin(core: &'db Core, isolation: Isolation) -> Result<Self> {
        let tx = core.engine.begin(isolation)?;
        let provisional = core.clock.provisional(TxTime(tx.snapshot().mark()))?;
        Ok(Self {
            savepoints: Savepoints::new(tx.id()),
            tx,
            core,
            isolation,
            durability: core.durability,
            pending: Pending::new(core.key_bytes_max()),
            at: At { valid: provisional.as_valid(), tx: provisional },
            note: None,
            reads: RefCell::default(),
            broken: Broken::default(),
        })
    }

    /// How durable it is to be when its commit returns, if not as the options say.
    pub fn durability(&mut self, durability: Durability) -> &mut Self {
        self.durability = durability;
        self
    }

    /// Who writes this, and why: any JSON. It is kept with the transaction and comes back with its
    /// history and changes; a second note replaces the first. A transaction that writes nothing
    /// keeps no note.
    ///
    /// # Errors
    /// [`Error::BadValue`], [`Error::ValueTooLong`]
    pub fn note(&mut self, note: serde_json::Value) -> Result<&mut Self> {
        self.note = Some(crate::value::encode_note(&note)?);
        Ok(self)
    }

    /// Where it reads that says nothing else: its provisional time on both axes.
    pub fn now(&self) -> At {
        self.at
    }

    /// Whether it wrote nothing yet.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// What names it in errors: a number, greater than those of transactions that began before.
    pub fn id(&self) -> TxnId {
        self.tx.id()
    }

    /// A place to roll back to, inside of all savepoints made before.
    ///
    /// ```
    /// # use llmdb::{Options, vfs::MemVfs};
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).open("/agent.llmdb")?;
    /// let mut tx = db.begin()?;
    /// tx.put("plan", b"A")?;
    /// let before = tx.savepoint();
    /// tx.put("plan", b"B")?;
    /// tx.rollback_to(&before)?;
    /// assert_eq!(tx.get_as::<String>("plan")?.unwrap(), "A");
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    pub fn savepoint(&mut self) -> Savepoint {
        self.savepoints.add(Written { ops: self.pending.len(), note: self.note.clone() })
    }

    /// Forgets what was written since `to`, the note included. What was read since is still
    /// remembered: the transaction may rest on it, if only by having rolled back. `to` stays
    /// good; savepoints made after it are gone. O(keys written).
    ///
    /// # Errors
    /// [`Error::NoSavepoint`]: nothing has happened.
    pub fn rollback_to(&mut self, to: &Savepoint) -> Result<()> {
        let written = self.savepoints.roll_back(to)?;
        self.pending.truncate(written.ops);
        self.note.clone_from(&written.note);
        Ok(())
    }

    /// Gives up a savepoint and those made after it; what was written stays.
    ///
    /// # Errors
    /// [`Error::NoSavepoint`]: nothing has happened.
    pub fn release(&mut self, savepoint: Savepoint) -> Result<()> {
        Ok(self.savepoints.release(&savepoint)?)
    }

    fn push(&mut self, op: Op) -> Result<()> {
        use llmdb_temporal::When;
        match op.when {
            When::FromNowTo(to) if to <= self.at.valid => {
                return Err(Error::EmptyInterval { from: self.at.valid, to });
            }
            When::FromNowFor(ttl) => drop(self.at.valid.after(ttl)?),
            _ => {}
        }
        self.pending.push(op)?;
        Ok(())
    }

    /// A write of the database's own records.
    pub(crate) fn push_meta(&mut self, op: Op) -> Result<()> {
        self.push(op)
    }

    /// The newest transaction that it reads, its own apart.
    pub(crate) fn newest_tx(&self) -> TxTime {
        TxTime(self.tx.snapshot().mark())
    }

    /// What was believed at `tx` must not have been retired.
    fn check_kept(&self, partition: PartitionId, tx: TxTime) -> Result<()> {
        if tx < self.newest_tx() {
            let reader = Reader::new(self.tx.snapshot(), &self.core.trees);
            match reader.check_kept(partition, tx).map_err(Error::from) {
                // It asked for what is not there, and knows it.
                Err(error @ Error::HistoryRetired { .. }) => return Err(error),
                checked => self.broken.watch(checked)?,
            }
        }
        Ok(())
    }

    /// Every partition must know what was believed at `tx`, and still know when it commits.
    pub(crate) fn rest_on_kept(&mut self, tx: TxTime) -> Result<()> {
        let reader = Reader::new(self.tx.snapshot(), &self.core.trees);
        reader.check_range_kept(tx..TxTime(tx.0.saturating_add(1)))?;
        self.tx.note_read_range(self.core.trees.kept, b"", None);
        Ok(())
    }

    /// What the key has now, or at the time that the key names, its own writes included.
    ///
    /// # Errors
    /// [`Error::EmptyKey`]; damage, after which it can only be rolled back.
    pub fn get(&self, key: impl AsKey) -> Result<Option<Fact>> {
        let key = key.as_key();
        self.note_read(key.partition, key.user_key)?;
        let at = At { valid: key.valid_from.unwrap_or(self.at.valid), ..self.at };
        self.broken.watch(self.get_at(key.partition, key.user_key, at))
    }

    fn get_at(&self, partition: PartitionId, user_key: &[u8], at: At) -> Result<Option<Fact>> {
        let (snapshot, trees) = (self.tx.snapshot(), &self.core.trees);
        if !self.pending.touches(partition, user_key)? {
            let segment = Reader::new(snapshot, trees).get(partition, user_key, at)?;
            return segment.as_ref().map(decode::fact).transpose();
        }
        let overlay = self.pending.overlay_key(snapshot, trees, self.at.tx, partition, user_key)?;
        let segment = Reader::new(&overlay, trees).get(partition, user_key, at)?;
        segment.as_ref().map(decode::fact).transpose()
    }

    /// The value of [`WriteTx::get`], as a `T`.
    ///
    /// # Errors
    /// Those of [`WriteTx::get`]; [`Error::ValueMismatch`].
    pub fn get_as<T: DeserializeOwned>(&self, key: impl AsKey) -> Result<Option<T>> {
        self.get(key)?.map(|fact| fact.value.to()).transpose()
    }

    /// The keys of `partition` that start with `prefix` and have a value now, its own writes
    /// included. It rests on all of the prefix, however few rows are asked for.
    ///
    /// # Errors
    /// Damage, after which it can only be rolled back.
    pub fn scan(&self, partition: PartitionId, prefix: impl AsRef<[u8]>) -> Result<Scan<'_>> {
        let range = KeyRange::prefix(partition, prefix.as_ref());
        if self.isolation == Isolation::Serializable {
            self.reads.borrow_mut().ranges.push(range.clone());
        }
        let (snapshot, trees) = (self.tx.snapshot(), &self.core.trees);
        let overlay = self.pending.overlay_range(snapshot, trees, self.at.tx, &range);
        let overlay = self.broken.watch(overlay.map_err(Error::from))?;
        Ok(Scan::of_write(overlay, self.core, &self.broken, partition, range, self.at))
    }

    /// The key along valid time, as known after transaction `tx`; or now, its own writes included.
    ///
    /// # Errors
    /// Those of [`WriteTx::get`].
    pub fn timeline(&self, key: impl AsKey, tx: Option<TxTime>) -> Result<Vec<Fact>> {
        let key = key.as_key();
        let (partition, user_key) = (key.partition, key.user_key);
        self.note_read(partition, user_key)?;
        if let Some(tx) = tx {
            self.check_kept(partition, tx)?;
        }
        let tx = tx.unwrap_or(self.at.tx);
        self.broken.watch(self.timeline_at(partition, user_key, tx))
    }

    fn timeline_at(
        &self,
        partition: PartitionId,
        user_key: &[u8],
        tx: TxTime,
    ) -> Result<Vec<Fact>> {
        let (snapshot, trees) = (self.tx.snapshot(), &self.core.trees);
        let overlay = self.pending.overlay_key(snapshot, trees, self.at.tx, partition, user_key)?;
        decode::facts(Reader::new(&overlay, trees).timeline(partition, user_key, tx)?)
    }

    fn note_read(&self, partition: PartitionId, user_key: &[u8]) -> Result<()> {
        let key = head_key(partition, user_key)?;
        if self.isolation == Isolation::Serializable {
            self.reads.borrow_mut().keys.insert(key);
        }
        Ok(())
    }

    /// Makes its writes visible and durable, and answers its time; `None` when it wrote nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`]: run it again. [`Error::Broken`] after a failed read. Full devices,
    /// clocks that leap. Except for [`Error::Poisoned`] an error means that nothing of it happened.
    pub fn commit(self) -> Result<Option<TxTime>> {
        let WriteTx { mut tx, core, durability, pending, note, reads, broken, .. } = self;
        if let Some(cause) = broken.0.into_inner() {
            return Err(Error::Broken { cause });
        }
        if pending.is_empty() {
            return Ok(None);
        }
        let Reads { keys, ranges } = reads.into_inner();
        let heads = core.trees.heads;
        keys.iter().for_each(|key| tx.note_read(heads, key));
        for range in &ranges {
            let (from, to) = range.head_keys();
            tx.note_read_range(heads, from, to);
        }
        for op in pending.ops() {
            tx.note_write(heads, &op.head_key()?);
        }
        core.commit(tx, pending.ops(), note.as_deref(), durability)
    }

    /// Forgets everything it wrote. The same as dropping it.
    pub fn rollback(self) {}
}

writes!(impl WriteTx<'_>, [mut] -> ());

impl fmt::Debug for WriteTx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTx")
            .field("now", &self.at)
            .field("isolation", &self.isolation)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}
