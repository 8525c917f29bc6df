//! One number for all that is stored.

use crate::{Db, PartitionId, ReadTx, Result, TxTime, ValidTime};
use llmdb_temporal::{Absences, Kept, KeyRange};
use std::collections::BTreeSet;
use std::fmt;

/// FNV-1a of 128 bits (Fowler, Noll, Vo; RFC 9923): good against chance, none against malice.
struct Fnv(u128);

impl Fnv {
    fn new() -> Self {
        Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }

    /// Bytes whose length is part of what is hashed: none run into each other.
    fn field(&mut self, bytes: &[u8]) {
        self.write(&(bytes.len() as u64).to_le_bytes());
        self.write(bytes);
    }

    /// A field that may be missing.
    fn maybe(&mut self, bytes: Option<&[u8]>) {
        self.write(&[u8::from(bytes.is_some())]);
        self.field(bytes.unwrap_or_default());
    }

    fn valid(&mut self, from: ValidTime, to: ValidTime) {
        self.write(&from.0.to_le_bytes());
        self.write(&to.0.to_le_bytes());
    }

    fn tx(&mut self, tx: TxTime) {
        self.write(&tx.0.to_le_bytes());
    }
}

impl fmt::Display for Fnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Db {
    /// A hash of everything that was ever written and believed: the same for the same content,
    /// whatever became of the pages that hold it. Not a defence against forgery.
    ///
    /// Reads all of the database.
    ///
    /// # Errors
    /// Damage.
    pub fn digest(&self) -> Result<String> {
        let read = self.read();
        let asking = read.ask()?;
        let reader = asking.reader();
        let mut fnv = Fnv::new();
        let mut partitions: BTreeSet<PartitionId> = BTreeSet::new();
        for change in reader.changes(TxTime::MIN..TxTime::INFINITY) {
            let change = change?;
            partitions.insert(change.partition);
            fnv.tx(change.tx);
            fnv.write(&change.op.to_le_bytes());
            fnv.field(crate::ChangeKind::from(change.kind).as_str().as_bytes());
            fnv.write(&change.partition.0.to_le_bytes());
            fnv.field(&change.key);
            fnv.valid(change.valid_from, change.valid_to);
            fnv.maybe(change.value.as_deref());
            fnv.maybe(change.note.as_deref());
        }
        // The feed says what was written; the histories, kept elsewhere, what came of it.
        for partition in partitions {
            let mut last: Option<Vec<u8>> = None;
            for version in reader.versions(KeyRange::prefix(partition, b"")) {
                let version = version?;
                if last.as_ref() == Some(&version.key) {
                    continue;
                }
                fnv.field(&version.key);
                for rectangle in reader.history(partition, &version.key, Absences::Include)? {
                    let rectangle = rectangle?;
                    fnv.valid(rectangle.valid_from, rectangle.valid_to);
                    fnv.tx(rectangle.tx_from);
                    fnv.tx(rectangle.tx_to);
                    fnv.tx(rectangle.tx);
                    fnv.write(&rectangle.op.to_le_bytes());
                    fnv.maybe(rectangle.value.as_deref());
                }
                last = Some(version.key);
            }
        }
        Ok(fnv.to_string())
    }
}

impl ReadTx<'_> {
    /// A hash of everything that was known after transaction `tx`: of every key along valid time.
    /// No later write changes it, and no retention that keeps `tx`.
    ///
    /// Reads all keys.
    ///
    /// # Errors
    /// [`Error::HistoryRetired`](crate::Error::HistoryRetired) where a partition gave it up;
    /// damage.
    pub fn digest_at(&self, tx: TxTime) -> Result<String> {
        let asking = self.ask()?;
        let reader = asking.reader();
        let mut fnv = Fnv::new();
        // Also where no key is left of a partition that gave something up.
        let (view, trees) = asking.trees();
        for partition in Kept::load_all(view, trees)?.into_keys() {
            self.check_kept(partition, tx)?;
        }
        for (partition, key) in self.keys()? {
            for segment in reader.timeline(partition, &key, tx)? {
                fnv.write(&partition.0.to_le_bytes());
                fnv.field(&key);
                fnv.valid(segment.valid_from, segment.valid_to);
                fnv.tx(segment.tx);
                fnv.field(&segment.value);
            }
        }
        Ok(fnv.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        let hash = |bytes: &[u8]| {
            let mut fnv = Fnv::new();
            fnv.write(bytes);
            fnv.to_string()
        };
        // Test vectors of RFC 9923.
        assert_eq!(hash(b""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(hash(b"a"), "d228cb696f1a8caf78912b704e4a8964");
    }
}
