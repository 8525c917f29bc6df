//! Write transactions. How they read is in `reads`.

mod reads;

use crate::core::{Asks, Core, write_ahead};
use crate::op::{META, writes};
use crate::{AsKey, Durability, Error, ErrorClass, Isolation, Result, TxTime};
use llmdb_mvcc::{Savepoint, Savepoints, TxnId};
use llmdb_temporal::{At, Op, Pending, Reader, head_key};
pub(crate) use reads::Own;
use reads::Reads;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Writes that become visible together, or not at all. Dropping it rolls it back.
///
/// It reads one snapshot and its own writes; below [`Isolation::Snapshot`] a new snapshot at each
/// read. Its now is the time that it would get if it committed
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
    /// Its now when it began: all that its snapshot knows and its own writes.
    at: At,
    note: Option<Vec<u8>>,
    reads: RefCell<Reads>,
    broken: Broken,
    savepoints: Savepoints<Written>,
}

/// Where memory is short, operations are spilled once they are this part of what a transaction buffers.
const SPILL_PART: u64 = 8;

/// What a transaction had written when a savepoint was made.
#[derive(Debug)]
struct Written {
    ops: usize,
    note: Option<Vec<u8>>,
}

/// The first failed read of a transaction, after which nobody can tell what it would have done.
#[derive(Debug, Default)]
pub(crate) struct Broken(OnceCell<Cause>);

#[derive(Debug)]
enum Cause {
    TooOld,
    Failed(Arc<str>),
}

impl Broken {
    /// Remembers a failure that is not the caller's own mistake.
    pub(crate) fn watch<T>(&self, read: Result<T>) -> Result<T> {
        if let Err(error) = &read
            && error.class() != ErrorClass::Validation
            // It asked for what is not there, and knows it.
            && !matches!(error, Error::HistoryRetired { .. })
        {
            self.0.get_or_init(|| match error {
                Error::SnapshotTooOld => Cause::TooOld,
                error => Cause::Failed(error.to_string().into()),
            });
        }
        read
    }
}

/// The now of a transaction that sees all transactions up to `newest`: the time that it would get
/// if it committed right now.
fn provisional(core: &Core, newest: i64) -> Result<At> {
    let tx = core.clock.provisional(TxTime(newest))?;
    Ok(At { valid: tx.as_valid(), tx })
}

impl<'db> WriteTx<'db> {
    pub(crate) fn begin(core: &'db Core, isolation: Isolation) -> Result<Self> {
        let tx = core.engine.begin(isolation)?;
        let at = provisional(core, tx.rests_on().1)?;
        Ok(Self {
            savepoints: Savepoints::new(tx.id()),
            pending: Pending::new(core.key_bytes_max()).spilling_to(tx.new_runs()),
            tx,
            core,
            isolation,
            durability: core.durability,
            at,
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

    /// Where it reads that says nothing else: its provisional time on both axes. Where each read
    /// takes a snapshot of its own ([`Isolation::ReadCommitted`]), where a read would now.
    pub fn now(&self) -> At {
        match self.isolation.is_repeatable() {
            true => self.at,
            false => self.seen().map_or(self.at, |seen| seen.now),
        }
    }

    /// Whether it wrote nothing yet.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// What names it in errors: a number, greater than those of transactions that began before.
    pub fn id(&self) -> TxnId {
        self.tx.id()
    }

    /// How long it waits for a lock, if not as the options say.
    pub fn lock_wait_max(&mut self, wait_max: Duration) -> &mut Self {
        self.tx.lock_wait_max(wait_max);
        self
    }

    /// Locks a key, with all of its times and whether it has a value or not, until the transaction
    /// ends: no other transaction commits a write of it meanwhile, at any isolation, and none gets
    /// the lock. Those who ask, and commits that write the key without asking, queue in the order
    /// in which they came. Reading is not held up. A lock that it holds already is granted again.
    ///
    /// Once it is granted, reads see the newest value of the key, and the commit does not conflict
    /// on its account. For that a transaction that has read nothing yet moves to the newest
    /// state, its now included; lock first, read then. One that has read, and whose key was
    /// written since, conflicts at once.
    ///
    /// Do not write a key that an open transaction of the same thread has locked: that waits for
    /// itself, up to [`Options::lock_wait_max`](crate::Options::lock_wait_max).
    ///
    /// ```
    /// # use llmdb::{Options, Value, vfs::MemVfs};
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).open("/agent.llmdb")?;
    /// let mut tx = db.begin()?;
    /// tx.lock_for_update("visits")?;
    /// let visits = tx.get_as::<u64>("visits")?.unwrap_or(0);
    /// tx.put("visits", Value::of(&(visits + 1))?)?;
    /// tx.commit()?; // does not conflict
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Deadlock`] for the youngest of those who wait in a circle;
    /// [`Error::LockTimeout`]; [`Error::Conflict`]. It keeps the locks that it has until it ends,
    /// so roll it back and run it again. [`Error::EmptyKey`], [`Error::ReservedPartition`].
    pub fn lock_for_update(&mut self, key: impl AsKey) -> Result<()> {
        let key = key.as_key();
        if key.partition == META {
            return Err(Error::ReservedPartition { partition: META });
        }
        self.lock_head(&head_key(key.partition, key.user_key)?)
    }

    /// Locks what stands for a key.
    pub(crate) fn lock_head(&mut self, head: &[u8]) -> Result<()> {
        self.tx.lock_for_update(self.core.trees.heads, head)?;
        let now = provisional(self.core, self.tx.rests_on().1)?;
        // Now does not go back with a clock that does.
        self.at = At { valid: self.at.valid.max(now.valid), tx: self.at.tx.max(now.tx) };
        Ok(())
    }

    /// What stands for the keys that it read and wrote so far.
    pub(crate) fn heads(&self) -> Result<BTreeSet<Vec<u8>>> {
        let mut heads = self.reads.borrow().keys().clone();
        // Of one that spilled they are too many to be locked.
        for op in self.pending.ops().unwrap_or_default() {
            heads.insert(op.head_key()?);
        }
        Ok(heads)
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

    pub(crate) fn push(&mut self, op: Op) -> Result<()> {
        self.check(&op)?;
        if self.pending.buffered_bytes() >= self.tx.tx_memory_bytes() {
            self.pending.spill()?;
        }
        let op = write_ahead(&mut self.tx, op)?;
        self.pending.push(op)?;
        let Err(short) = self.weigh() else { return Ok(()) };
        // What is buffered is spilled where others need the memory; not one operation at a time.
        let much = self.pending.buffered_bytes() > self.tx.tx_memory_bytes() / SPILL_PART;
        let weighed = match much {
            true => self.pending.spill().map_err(Error::from).and_then(|()| self.weigh()),
            false => Err(short),
        };
        if weighed.is_err() {
            self.pending.truncate(self.pending.len() - 1);
        }
        weighed
    }

    fn weigh(&mut self) -> Result<()> {
        let memory = self.pending.memory_bytes() + self.reads.borrow().memory_bytes();
        Ok(self.tx.weigh_above(memory)?)
    }

    /// What it belongs to.
    pub(crate) fn core(&self) -> &'db Core {
        self.core
    }

    /// Takes a value as it comes.
    pub(crate) fn stream(&self, len_hint: u64) -> llmdb_mvcc::ValueWriter<'db> {
        self.tx.value_writer(len_hint)
    }

    /// Keeps a long value that an operation names.
    pub(crate) fn keep(&mut self, ahead: llmdb_mvcc::Ahead<'db>) {
        self.tx.keep(ahead);
    }

    /// Refuses what can be refused before the transaction's time is known.
    pub(crate) fn check(&self, op: &Op) -> Result<()> {
        use llmdb_temporal::When;
        match op.when {
            When::FromNowTo(to) if to <= self.at.valid => {
                return Err(Error::EmptyInterval { from: self.at.valid, to });
            }
            When::FromNowFor(ttl) => drop(self.at.valid.after(ttl)?),
            _ => {}
        }
        Ok(op.check(self.core.key_bytes_max())?)
    }

    /// A write of the database's own records.
    pub(crate) fn push_meta(&mut self, op: Op) -> Result<()> {
        self.push(op)
    }

    /// The newest transaction that it reads, its own apart.
    pub(crate) fn newest_tx(&self) -> TxTime {
        TxTime(self.tx.rests_on().1)
    }

    /// Every partition must know what was believed at `tx`, and still know when it commits.
    pub(crate) fn rest_on_kept(&mut self, tx: TxTime) -> Result<()> {
        let view = self.tx.view();
        let snapshot = view.read()?;
        let reader = Reader::new(&snapshot, &self.core.trees);
        reader.check_range_kept(tx..TxTime(tx.0.saturating_add(1)))?;
        drop(snapshot);
        drop(view);
        self.tx.note_read_range(self.core.trees.kept, b"", None);
        Ok(())
    }

    /// Makes its writes visible and durable, and answers its time; `None` when it wrote nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`], and [`Error::SnapshotTooOld`] after a read that failed with it: run it
    /// again. [`Error::Broken`] after any other failed read. Full devices,
    /// clocks that leap. Except for [`Error::Poisoned`] an error means that nothing of it happened.
    pub fn commit(self) -> Result<Option<TxTime>> {
        let WriteTx { mut tx, core, durability, mut pending, note, reads, broken, .. } = self;
        match broken.0.into_inner() {
            Some(Cause::TooOld) => return Err(Error::SnapshotTooOld),
            Some(Cause::Failed(cause)) => return Err(Error::Broken { cause }),
            None => {}
        }
        if pending.is_empty() {
            return Ok(None);
        }
        if pending.ops().is_none() {
            pending.spill()?;
            tx.weigh_above(pending.memory_bytes())?;
        }
        reads.into_inner().tell(&mut tx, core.trees.heads);
        core.commit(tx, Asks::Many(&pending), note.as_deref(), durability).map(Some)
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
