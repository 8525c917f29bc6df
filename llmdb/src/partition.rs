//! Partitions by name.
//!
//! A name is an ordinary record of the database's own partition, [`META`]:
//!
//! ```text
//! _meta/partition/{name} -> {"id": number}        JSON
//! ```
//!
//! Numbers are given once, in order, from [`NAMED_MIN`] on, which leaves the ones below to users
//! who number their partitions themselves.

use crate::op::META;
use crate::{Db, Error, Key, PartitionId, Result, Value, WriteTx};
use llmdb_temporal::{Op, When};
use serde::Deserialize;

/// The first number that a name can get.
const NAMED_MIN: u32 = 1 << 16;
const PREFIX: &str = "_meta/partition/";

#[derive(Deserialize)]
struct Record {
    id: u32,
}

impl Db {
    /// The partition of that name; it is created, by a transaction of its own, when it is asked
    /// for first. Named partitions are numbered from 65,536 on: whoever also uses numbers of their
    /// own should stay below.
    ///
    /// # Errors
    /// [`Error::EmptyName`]; [`Error::KeyTooLong`] for names that make no key; those of a write.
    pub fn partition(&self, name: &str) -> Result<PartitionId> {
        if name.is_empty() {
            return Err(Error::EmptyName);
        }
        if let Some(id) = self.core().names.lock().get(name) {
            return Ok(*id);
        }
        let id = self.write(|tx| find_or_create(tx, name))?.value;
        self.core().names.lock().insert(name.to_owned(), id);
        Ok(id)
    }

    /// All named partitions, by name.
    ///
    /// # Errors
    /// Damage.
    pub fn partitions(&self) -> Result<Vec<(String, PartitionId)>> {
        let mut partitions = Vec::new();
        for row in self.scan(META, PREFIX)? {
            let row = row?;
            let name = String::from_utf8_lossy(&row.key[PREFIX.len()..]).into_owned();
            partitions.push((name, id(&row.fact.value)?));
        }
        Ok(partitions)
    }
}

fn find_or_create(tx: &mut WriteTx<'_>, name: &str) -> Result<PartitionId> {
    let key = format!("{PREFIX}{name}");
    if let Some(fact) = tx.get(Key::new(META, key.as_str()))? {
        return id(&fact.value);
    }
    // The scan makes it conflict with whoever takes the same number at the same time.
    let mut next = PartitionId(NAMED_MIN);
    for row in tx.scan(META, PREFIX)? {
        let taken = id(&row?.fact.value)?;
        next = next.max(PartitionId(taken.0.saturating_add(1)));
    }
    if next == META {
        return Err(Error::ReservedPartition { partition: META });
    }
    let record = Value::Json(serde_json::json!({ "id": next.0 }));
    tx.push_meta(Op::put(META, key, record.encode()?, When::FromNow))?;
    Ok(next)
}

fn id(record: &Value) -> Result<PartitionId> {
    record.to::<Record>().map(|record| PartitionId(record.id))
}
