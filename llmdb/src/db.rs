//! The handle of an open database.

use crate::core::Core;
use crate::held::Held;
use crate::noted::Noted;
use crate::op::writes;
use crate::retirer::Opened;
use crate::{
    AsKey, Changes, Cursor, DiffRow, Fact, Isolation, Options, PartitionId, ReadTx, Rectangle,
    Result, Scan, TxTime, ValidTime, Version, View, WriteTx,
};
use llmdb_temporal::{At, Op};
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// An open database. Clones are handles to the same one; it closes with the last of them.
///
/// Every write is a transaction of its own, durable when it returns (unless the
/// [options](Options::durability) say otherwise), and answers its time. Every read takes a
/// snapshot of its own: to ask several questions of one state, [`read`](Db::read).
#[derive(Clone)]
pub struct Db {
    core: Arc<Opened>,
}

/// What a transaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// What the closure answered.
    pub value: T,
    /// The transaction's time; `None` when it wrote nothing.
    pub tx: Option<TxTime>,
}

impl Db {
    pub(crate) fn new(core: Core) -> Self {
        Self { core: Arc::new(Opened::new(core)) }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn share(&self) -> Arc<Opened> {
        self.core.clone()
    }

    pub(crate) fn into_opened(self) -> Arc<Opened> {
        self.core
    }

    /// A partition was given a policy of retention.
    pub(crate) fn retire_from_now_on(&self) {
        self.core.retire_from_now_on();
    }

    /// Opens the database at `path` with default [`Options`]; a missing one is created.
    ///
    /// # Errors
    /// Those of [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    fn push(&self, op: Op) -> Result<TxTime> {
        self.core.commit_one(op, None)
    }

    /// Lets the next write carry a note: who makes it, and why; any JSON.
    ///
    /// ```
    /// # use llmdb::{Options, vfs::MemVfs};
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).open("/agent.llmdb")?;
    /// let tx = db.with_note("checked by Ada".into()).put("analysis", b"sell")?;
    /// assert_eq!(db.note_of(tx)?.unwrap(), "checked by Ada");
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    pub fn with_note(&self, note: serde_json::Value) -> Noted<'_> {
        Noted::new(&self.core, note)
    }

    /// Takes a snapshot to read from.
    pub fn read(&self) -> ReadTx<'_> {
        ReadTx::new(&self.core)
    }

    fn held(&self) -> Held<'_> {
        Held::Owned(Box::new(self.read()))
    }

    /// What was true at another time, as far as is known now: a view of a fresh snapshot.
    pub fn as_of_valid(&self, valid: ValidTime) -> View<'_> {
        let now = self.read();
        let at = now.now();
        View::new(Held::Owned(Box::new(now)), at).as_of_valid(valid)
    }

    /// What was known after transaction `tx`, and nothing later, of what is true now: a view of a
    /// fresh snapshot.
    pub fn as_of_transaction(&self, tx: TxTime) -> View<'_> {
        let now = self.read();
        let at = now.now();
        View::new(Held::Owned(Box::new(now)), at).as_of_transaction(tx)
    }

    /// See [`ReadTx::get`].
    ///
    /// # Errors
    /// Those of [`ReadTx::get`].
    pub fn get(&self, key: impl AsKey) -> Result<Option<Fact>> {
        self.read().get(key)
    }

    /// See [`ReadTx::get_as`].
    ///
    /// # Errors
    /// Those of [`ReadTx::get_as`].
    pub fn get_as<T: DeserializeOwned>(&self, key: impl AsKey) -> Result<Option<T>> {
        self.read().get_as(key)
    }

    /// See [`ReadTx::scan`]; the scan holds a snapshot of its own.
    ///
    /// # Errors
    /// Those of [`ReadTx::scan`].
    pub fn scan(&self, partition: PartitionId, prefix: impl AsRef<[u8]>) -> Result<Scan<'_>> {
        let held = self.held();
        let at = held.read().now();
        Ok(Scan::new(held, partition, prefix.as_ref(), at))
    }

    /// See [`ReadTx::timeline`].
    ///
    /// # Errors
    /// Those of [`ReadTx::timeline`].
    pub fn timeline(&self, key: impl AsKey, tx: Option<TxTime>) -> Result<Vec<Fact>> {
        self.read().timeline(key, tx)
    }

    /// See [`ReadTx::history`].
    ///
    /// # Errors
    /// Those of [`ReadTx::history`].
    pub fn history(&self, key: impl AsKey) -> Result<Vec<Rectangle>> {
        self.read().history(key)
    }

    /// See [`ReadTx::between`].
    ///
    /// # Errors
    /// Those of [`ReadTx::between`].
    pub fn between(&self, key: impl AsKey, a: ValidTime, b: ValidTime) -> Result<Vec<Fact>> {
        self.read().between(key, a, b)
    }

    /// See [`ReadTx::from_to`].
    ///
    /// # Errors
    /// Those of [`ReadTx::from_to`].
    pub fn from_to(&self, key: impl AsKey, a: ValidTime, b: ValidTime) -> Result<Vec<Fact>> {
        self.read().from_to(key, a, b)
    }

    /// See [`ReadTx::get_versions`].
    ///
    /// # Errors
    /// Those of [`ReadTx::get_versions`].
    pub fn get_versions(&self, key: impl AsKey) -> Result<Vec<Version>> {
        self.read().get_versions(key)
    }

    /// See [`ReadTx::get_versions_with_prefix`].
    ///
    /// # Errors
    /// Those of [`ReadTx::get_versions_with_prefix`].
    pub fn get_versions_with_prefix(
        &self,
        partition: PartitionId,
        prefix: impl AsRef<[u8]>,
    ) -> Result<Vec<Version>> {
        self.read().get_versions_with_prefix(partition, prefix)
    }

    /// See [`ReadTx::diff`].
    ///
    /// # Errors
    /// Those of [`ReadTx::diff`].
    pub fn diff(
        &self,
        partition: PartitionId,
        prefix: impl AsRef<[u8]>,
        a: At,
        b: At,
    ) -> Result<Vec<DiffRow>> {
        self.read().diff(partition, prefix, a, b)
    }

    /// See [`ReadTx::changes`].
    ///
    /// # Errors
    /// Those of [`ReadTx::changes`].
    pub fn changes(
        &self,
        from: TxTime,
        to: Option<TxTime>,
        limit: Option<usize>,
    ) -> Result<Changes> {
        self.read().changes(from, to, limit)
    }

    /// See [`ReadTx::changes_after`].
    ///
    /// # Errors
    /// Those of [`ReadTx::changes_after`].
    pub fn changes_after(
        &self,
        cursor: Cursor,
        to: Option<TxTime>,
        limit: Option<usize>,
    ) -> Result<Changes> {
        self.read().changes_after(cursor, to, limit)
    }

    /// See [`ReadTx::note_of`].
    ///
    /// # Errors
    /// Those of [`ReadTx::note_of`].
    pub fn note_of(&self, tx: TxTime) -> Result<Option<serde_json::Value>> {
        self.read().note_of(tx)
    }

    /// The newest transaction; 0 before the first.
    pub fn newest_tx(&self) -> TxTime {
        self.read().newest_tx()
    }

    /// Begins a write transaction, isolated as the options say.
    ///
    /// # Errors
    /// [`Error::Poisoned`](crate::Error::Poisoned),
    /// [`Error::TxExhausted`](crate::Error::TxExhausted)
    pub fn begin(&self) -> Result<WriteTx<'_>> {
        self.begin_with(self.core.isolation)
    }

    /// Begins a write transaction.
    ///
    /// # Errors
    /// Those of [`Db::begin`].
    pub fn begin_with(&self, isolation: Isolation) -> Result<WriteTx<'_>> {
        WriteTx::begin(&self.core, isolation)
    }
}

writes!(impl Db, [] -> TxTime);

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("newest_tx", &self.newest_tx()).finish_non_exhaustive()
    }
}
