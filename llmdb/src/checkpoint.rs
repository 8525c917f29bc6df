//! Named checkpoints: names that pin a point of transaction time.
//!
//! A name is an ordinary record of the database's own partition, so it has a history itself:
//!
//! ```text
//! _meta/checkpoint/{name} -> {"tx": number}        JSON
//! ```

use crate::op::META;
use crate::{Db, Error, Key, ReadTx, Result, TxTime, Value, View, WriteTx};
use llmdb_temporal::{Op, When};
use serde::Deserialize;
use std::fmt;

pub(crate) const PREFIX: &str = "_meta/checkpoint/";

#[derive(Deserialize)]
struct Record {
    tx: i64,
}

/// A name and the T that it pins.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedCheckpoint {
    /// The name.
    pub name: String,
    /// What was known after this transaction.
    pub tx: TxTime,
}

impl fmt::Debug for NamedCheckpoint {
    /// Without the name: it is the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedCheckpoint(name of {} bytes, {})", self.name.len(), self.tx)
    }
}

impl Db {
    /// Pins what was known after transaction `tx`, or is known now, under a name: whatever is
    /// retired later, that is kept, in every partition, until the name is dropped. Answers the
    /// time that is pinned.
    ///
    /// ```
    /// # use llmdb::{Options, vfs::MemVfs};
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).open("/agent.llmdb")?;
    /// db.put("plan", b"draft")?;
    /// db.name_checkpoint("before-merge", None)?;
    /// db.put("plan", b"merged")?;
    /// let before = db.as_of_checkpoint("before-merge")?;
    /// assert_eq!(before.get_as::<String>("plan")?.unwrap(), "draft");
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::EmptyName`]; [`Error::NameTaken`]: drop it first; [`Error::UnknownTransaction`]
    /// where `tx` is still to come; [`Error::HistoryRetired`]; [`Error::KeyTooLong`]; those of a
    /// write.
    pub fn name_checkpoint(&self, name: &str, tx: Option<TxTime>) -> Result<TxTime> {
        if name.is_empty() {
            return Err(Error::EmptyName);
        }
        let pin = |write: &mut WriteTx<'_>| {
            if record(write.get(key(name))?)?.is_some() {
                return Err(Error::NameTaken { name: name.to_owned() });
            }
            let newest = write.newest_tx();
            let tx = tx.unwrap_or(newest);
            if tx > newest {
                return Err(Error::UnknownTransaction { tx, newest });
            }
            write.rest_on_kept(tx)?;
            let record = Value::Json(serde_json::json!({ "tx": tx.0 }));
            let key = format!("{PREFIX}{name}");
            write.push_meta(Op::put(META, key, record.encode()?, When::FromNow))?;
            Ok(tx)
        };
        Ok(self.write(pin)?.value)
    }

    /// Drops a name; what it pinned may be retired from now on. Answers what that was.
    ///
    /// # Errors
    /// [`Error::UnknownCheckpoint`]; those of a write.
    pub fn drop_checkpoint(&self, name: &str) -> Result<TxTime> {
        let unpin = |write: &mut WriteTx<'_>| {
            let found = if name.is_empty() { None } else { record(write.get(key(name))?)? };
            let tx = found.ok_or_else(|| unknown(name))?;
            let key = format!("{PREFIX}{name}");
            write.push_meta(Op::absent(META, key, When::FromNow))?;
            Ok(tx)
        };
        Ok(self.write(unpin)?.value)
    }

    /// See [`ReadTx::checkpoints`].
    ///
    /// # Errors
    /// Damage.
    pub fn checkpoints(&self) -> Result<Vec<NamedCheckpoint>> {
        self.read().checkpoints()
    }

    /// What was known at a named checkpoint, and nothing later, of what is true now: a view of a
    /// fresh snapshot.
    ///
    /// # Errors
    /// [`Error::UnknownCheckpoint`]; damage.
    pub fn as_of_checkpoint(&self, name: &str) -> Result<View<'_>> {
        let tx = self.read().checkpoint(name)?;
        Ok(self.as_of_transaction(tx))
    }
}

impl ReadTx<'_> {
    /// All named checkpoints, by name.
    ///
    /// # Errors
    /// Damage.
    pub fn checkpoints(&self) -> Result<Vec<NamedCheckpoint>> {
        let mut checkpoints = Vec::new();
        for row in self.scan(META, PREFIX)? {
            let row = row?;
            let name = String::from_utf8_lossy(&row.key[PREFIX.len()..]).into_owned();
            checkpoints.push(NamedCheckpoint { name, tx: tx(&row.fact.value)? });
        }
        Ok(checkpoints)
    }

    /// The T that a name pins.
    ///
    /// # Errors
    /// [`Error::UnknownCheckpoint`]; damage.
    pub fn checkpoint(&self, name: &str) -> Result<TxTime> {
        if name.is_empty() || name.len() > self.key_bytes_max() {
            return Err(unknown(name));
        }
        record(self.get(key(name))?)?.ok_or_else(|| unknown(name))
    }

    /// What was known at a named checkpoint, and nothing later, of what is true now.
    ///
    /// # Errors
    /// [`Error::UnknownCheckpoint`]; damage.
    pub fn as_of_checkpoint(&self, name: &str) -> Result<View<'_>> {
        Ok(self.as_of_transaction(self.checkpoint(name)?))
    }
}

fn key(name: &str) -> Key {
    Key::new(META, format!("{PREFIX}{name}"))
}

fn unknown(name: &str) -> Error {
    Error::UnknownCheckpoint { name: name.to_owned() }
}

fn record(fact: Option<crate::Fact>) -> Result<Option<TxTime>> {
    fact.map(|fact| tx(&fact.value)).transpose()
}

fn tx(record: &Value) -> Result<TxTime> {
    record.to::<Record>().map(|record| TxTime(record.tx))
}
