//! A point of view: what was true when, as it was known when.

use crate::held::Held;
use crate::{AsKey, Fact, PartitionId, Result, Scan, TxTime, ValidTime};
use llmdb_temporal::At;
use serde::de::DeserializeOwned;

/// A snapshot looked at from a point of both times.
///
/// ```
/// use llmdb::{Clock, Options, TxTime, ValidTime, vfs::MemVfs};
/// use std::sync::Arc;
///
/// let memory = Arc::new(MemVfs::new());
/// let db = Options::new().vfs(memory).clock(Clock::Logical).open("/agent.llmdb")?;
/// db.put_at("price", b"10", ValidTime(100))?;
/// db.put_at("price", b"12", ValidTime(200))?;
///
/// let then = db.as_of_valid(ValidTime(250)).as_of_transaction(TxTime(1));
/// assert_eq!(then.get("price")?.unwrap().value, (&b"10"[..]).into());
/// # Ok::<(), llmdb::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a point of view that asks nothing does nothing"]
pub struct View<'r> {
    held: Held<'r>,
    at: At,
}

impl<'r> View<'r> {
    pub(crate) fn new(held: Held<'r>, at: At) -> Self {
        Self { held, at }
    }

    /// The same snapshot from another point of valid time.
    pub fn as_of_valid(mut self, valid: ValidTime) -> Self {
        self.at.valid = valid;
        self
    }

    /// The same snapshot, as it was known after transaction `tx`. What is not in the snapshot is
    /// not known to it, however late `tx` is.
    pub fn as_of_transaction(mut self, tx: TxTime) -> Self {
        self.at.tx = tx;
        self
    }

    pub(crate) fn read(&self) -> &crate::ReadTx<'r> {
        self.held.read()
    }

    /// Where it stands.
    pub fn at(&self) -> At {
        self.at
    }

    /// What the key has there, or at the valid time that the key names.
    ///
    /// # Errors
    /// Those of [`ReadTx::get`](crate::ReadTx::get).
    pub fn get(&self, key: impl AsKey) -> Result<Option<Fact>> {
        self.held.read().get_at(key, self.at)
    }

    /// The value of [`View::get`], as a `T`.
    ///
    /// # Errors
    /// Those of [`ReadTx::get_as`](crate::ReadTx::get_as).
    pub fn get_as<T: DeserializeOwned>(&self, key: impl AsKey) -> Result<Option<T>> {
        self.get(key)?.map(|fact| fact.value.to()).transpose()
    }

    /// The keys of `partition` that start with `prefix` and have a value there, by their bytes.
    ///
    /// # Errors
    /// Damage, as the scan goes.
    pub fn scan(&self, partition: PartitionId, prefix: impl AsRef<[u8]>) -> Result<Scan<'_>> {
        self.held.read().check_kept(partition, self.at.tx)?;
        let held = Held::Borrowed(self.held.read());
        Ok(Scan::new(held, partition, prefix.as_ref(), self.at))
    }
}
