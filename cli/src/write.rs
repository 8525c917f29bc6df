//! From a write, as it is asked for, to the call it means.

use crate::error::{Error, Result};
use crate::exec::request::{Partition, Write};
use llmdb::{Db, Key, LongValue, PartitionId, ValidTime, WriteTx};
use std::time::Duration;

/// Adds a write to a transaction, in a partition that is known by now.
///
/// | | neither time | `valid_from` | `valid_to` | both |
/// |---|---|---|---|---|
/// | put with `ttl` | `put_for` | | | |
/// | put | `put` | `put_at` | `put_until` | `put_range` |
/// | end | `end` | `end_at` | | |
/// | deletion | `delete` | `delete_range`, to infinity | `delete_until` | `delete_range` |
///
/// # Errors
/// Those of the calls.
pub fn apply(tx: &mut WriteTx<'_>, partition: PartitionId, write: Write) -> Result<()> {
    use crate::exec::request::What::{Deletion, End, Value};
    let Write { target, what, valid_from, valid_to, ttl, note } = write;
    let key = Key::new(partition, target.key);
    let ttl = lasting(ttl)?;
    match (what, valid_from, valid_to) {
        (Value(value), ..) if let Some(ttl) = ttl => tx.put_for(key, value, ttl),
        (Value(value), None, None) => tx.put(key, value),
        (Value(value), Some(from), None) => tx.put_at(key, value, from),
        (Value(value), None, Some(to)) => tx.put_until(key, value, to),
        (Value(value), Some(from), Some(to)) => tx.put_range(key, value, from, to),
        (End, None, _) => tx.end(key),
        (End, Some(from), _) => tx.end_at(key, from),
        (Deletion, None, None) => tx.delete(key),
        (Deletion, Some(from), None) => tx.delete_range(key, from, ValidTime::INFINITY),
        (Deletion, None, Some(to)) => tx.delete_until(key, to),
        (Deletion, Some(from), Some(to)) => tx.delete_range(key, from, to),
    }?;
    if let Some(note) = note {
        tx.note(note)?;
    }
    Ok(())
}

/// The same for a put whose value was taken piece by piece, in place of the one in `write`. Answers
/// its length.
///
/// # Errors
/// Those of the calls.
pub fn apply_long<'db>(
    tx: &mut WriteTx<'db>,
    partition: PartitionId,
    write: Write,
    value: LongValue<'db>,
) -> Result<u64> {
    let Write { target, valid_from, valid_to, ttl, note, .. } = write;
    let mut key = Key::new(partition, target.key);
    key.valid_from = valid_from;
    let len = match (lasting(ttl)?, valid_to) {
        (Some(ttl), _) => tx.put_long_for(key, value, ttl)?,
        (None, Some(to)) => tx.put_long_until(key, value, to)?,
        (None, None) => tx.put_long(key, value)?,
    };
    if let Some(note) = note {
        tx.note(note)?;
    }
    Ok(len)
}

fn lasting(ttl: Option<i64>) -> llmdb::Result<Option<Duration>> {
    let micros = |ttl| u64::try_from(ttl).map_err(|_| llmdb::Error::BadTtl { ttl });
    Ok(ttl.map(micros).transpose()?.map(Duration::from_micros))
}

/// The number of a partition that is written to: a name gets one at its first use.
///
/// # Errors
/// Those of recording the name.
pub fn partition_to_write(db: &Db, partition: &Partition) -> Result<PartitionId> {
    match partition {
        Partition::Id(id) => Ok(*id),
        Partition::Name(name) => Ok(db.partition(name)?),
    }
}

/// The number of a partition that is read.
///
/// # Errors
/// [`Error::NoPartition`] for a name that was never used.
pub fn partition_to_read(db: &Db, partition: &Partition) -> Result<PartitionId> {
    match partition {
        Partition::Id(id) => Ok(*id),
        Partition::Name(name) => {
            let known = db.partitions()?.into_iter().find(|(known, _)| known == name);
            known.map(|(_, id)| id).ok_or_else(|| Error::NoPartition { name: name.clone() })
        }
    }
}
