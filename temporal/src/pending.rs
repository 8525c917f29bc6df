//! What a transaction has written and not yet committed, and how it reads that itself.

use crate::codec::key::EncodedKey;
use crate::overlay::Overlay;
use crate::resolve::{resolve, resolve_key};
use crate::{KeyRange, Op, PartitionId, Result, Trees, TxTime};
use llmdb_storage::{Batch, View};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Included, Unbounded};

/// What an operation costs beside its key and value, about.
const OP_BYTES: usize = 160;

/// The operations of an open transaction, in order.
///
/// A transaction reads its own writes by having them resolved against its snapshot, as they would
/// be at commit, at a provisional time of its own; and by reading the snapshot with that laid
/// over it. At commit they are resolved anew, against the newest state and at the final time:
/// writes from now begin later then.
#[derive(Default, Clone)]
pub struct Pending {
    ops: Vec<Op>,
    /// The operations on each encoded key, by their numbers.
    by_key: BTreeMap<Vec<u8>, Vec<u32>>,
    key_bytes_max: usize,
    /// Memory that the operations take, about: what is taken back still counts.
    bytes: u64,
}

impl Pending {
    /// Nothing written yet, for trees whose keys have at most `key_bytes_max` bytes.
    pub fn new(key_bytes_max: usize) -> Self {
        Self { key_bytes_max, ..Self::default() }
    }

    /// Adds an operation.
    ///
    /// # Errors
    /// Those of [`Op::check`]; the operation is not added then.
    pub fn push(&mut self, op: Op) -> Result<()> {
        op.check(self.key_bytes_max)?;
        let key = EncodedKey::new(op.partition, &op.key)?;
        let number = self.ops.len() as u32;
        match self.by_key.get_mut(key.bytes()) {
            Some(numbers) => numbers.push(number),
            None => {
                self.by_key.insert(key.bytes().to_vec(), vec![number]);
            }
        }
        self.bytes += (OP_BYTES + 2 * op.key.len() + op.value().len()) as u64;
        self.ops.push(op);
        Ok(())
    }

    /// Takes back all but the first `len` operations: a rollback to a savepoint.
    pub fn truncate(&mut self, len: usize) {
        self.ops.truncate(len);
        self.by_key.retain(|_, numbers| {
            numbers.retain(|&number| (number as usize) < len);
            !numbers.is_empty()
        });
    }

    /// The operations, as [`resolve`] takes them at commit.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Memory that the operations take, about.
    pub fn memory_bytes(&self) -> u64 {
        self.bytes
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether the key was written to: if not, the snapshot alone answers for it.
    ///
    /// # Errors
    /// [`EmptyKey`](crate::Error::EmptyKey)
    pub fn touches(&self, partition: PartitionId, user_key: &[u8]) -> Result<bool> {
        let key = EncodedKey::new(partition, user_key)?;
        Ok(self.by_key.contains_key(key.bytes()))
    }

    /// Whether any key of the range was written to.
    pub fn touches_range(&self, range: &KeyRange) -> bool {
        self.groups(range).next().is_some()
    }

    /// `view` as one key of it would be after a commit at `tx`, newer than all that it shows.
    ///
    /// # Errors
    /// Those of [`resolve`].
    pub fn overlay_key<'v, V: View>(
        &self,
        view: &'v V,
        trees: &Trees,
        tx: TxTime,
        partition: PartitionId,
        user_key: &[u8],
    ) -> Result<Overlay<'v, V>> {
        let key = EncodedKey::new(partition, user_key)?;
        let mut batch = Batch::new();
        if let Some(group) = self.by_key.get(key.bytes()) {
            resolve_key(view, trees, &self.ops, group, tx, &mut batch)?;
        }
        Ok(Overlay::new(view, batch))
    }

    /// `view` as the keys of `range` in it would be after a commit at `tx`.
    ///
    /// # Errors
    /// Those of [`resolve`].
    pub fn overlay_range<'v, V: View>(
        &self,
        view: &'v V,
        trees: &Trees,
        tx: TxTime,
        range: &KeyRange,
    ) -> Result<Overlay<'v, V>> {
        let mut batch = Batch::new();
        for group in self.groups(range) {
            resolve_key(view, trees, &self.ops, group, tx, &mut batch)?;
        }
        Ok(Overlay::new(view, batch))
    }

    /// All of `view` as it would be after a commit at `tx`.
    ///
    /// # Errors
    /// Those of [`resolve`].
    pub fn overlay<'v, V: View>(
        &self,
        view: &'v V,
        trees: &Trees,
        tx: TxTime,
    ) -> Result<Overlay<'v, V>> {
        let mut batch = Batch::new();
        resolve(view, trees, &self.ops, tx, None, &mut batch)?;
        Ok(Overlay::new(view, batch))
    }

    fn groups(&self, range: &KeyRange) -> impl Iterator<Item = &[u32]> {
        let from = self.by_key.range::<[u8], _>((Included(range.from()), Unbounded));
        from.take_while(|(key, _)| range.reaches(key)).map(|(_, numbers)| numbers.as_slice())
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({} operations on {} keys)", self.ops.len(), self.by_key.len())
    }
}
