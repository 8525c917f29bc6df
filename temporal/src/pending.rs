//! What a transaction has written and not yet committed, and how it reads that itself.

use crate::codec::key::EncodedKey;
use crate::codec::op as codec;
use crate::ops::Ops;
use crate::overlay::Overlay;
use crate::resolve::{check_tx, put_note, resolve, resolve_key};
use crate::{Error, KeyRange, Op, PartitionId, Result, Trees, TxTime};
use llmdb_storage::{Batch, NewValue, Reference, Runs, TreeId, View, Write};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound::{Included, Unbounded};
use std::ops::ControlFlow::{self, Break, Continue};

/// What an operation costs beside its key and value, about.
const OP_BYTES: usize = 160;
/// What an operation that was spilled and names a long value costs, about.
const LONG_BYTES: u64 = 64;
/// What stands for the operations in their runs.
const TREE: TreeId = TreeId(0);

/// The operations of an open transaction, in order.
///
/// A transaction reads its own writes by having them resolved against its snapshot, as they would
/// be at commit, at a provisional time of its own; and by reading the snapshot with that laid
/// over it. At commit they are resolved anew, against the newest state and at the final time:
/// writes from now begin later then.
///
/// The oldest of them may be spilled to runs: by key, and of one key in their order. Those of one key
/// are in memory together where they are resolved.
#[derive(Default)]
pub struct Pending {
    /// Those in memory: the newest.
    ops: Vec<Op>,
    /// The operations in memory on each encoded key, by their numbers.
    by_key: BTreeMap<Vec<u8>, Vec<u32>>,
    key_bytes_max: usize,
    /// Memory that the operations take, about: what is taken back still counts.
    bytes: u64,
    runs: Option<Runs>,
    /// The long values that spilled operations name.
    long: BTreeMap<u32, Reference>,
}

/// Where resolved entries go.
pub trait Sink {
    /// What stops it.
    type Error: From<Error>;

    /// Takes them.
    fn batch(&mut self) -> &mut Batch;

    /// Called before the entries of each key: some of those before may leave memory, where `more`
    /// bytes of operations are about to be resolved.
    ///
    /// # Errors
    /// Whatever stops it.
    fn make_room(&mut self, more: u64) -> Result<(), Self::Error>;
}

impl Pending {
    /// Nothing written yet, for trees whose keys have at most `key_bytes_max` bytes.
    pub fn new(key_bytes_max: usize) -> Self {
        Self { key_bytes_max, ..Self::default() }
    }

    /// The same, and where operations go that are [spilled](Pending::spill).
    #[must_use]
    pub fn spilling_to(self, runs: Runs) -> Self {
        Self { runs: Some(runs), ..self }
    }

    /// Adds an operation.
    ///
    /// # Errors
    /// Those of [`Op::check`]; `CacheFull` for more than there are numbers. The operation is not added
    /// then.
    pub fn push(&mut self, op: Op) -> Result<()> {
        op.check(self.key_bytes_max)?;
        let key = EncodedKey::new(op.partition, &op.key)?;
        let full = |_| Error::Storage(llmdb_storage::Error::CacheFull);
        let number = u32::try_from(self.len()).map_err(full)?;
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
        if len < self.spilled() {
            (self.ops, self.by_key, self.bytes) = (Vec::new(), BTreeMap::new(), 0);
            self.long.split_off(&(len as u32));
            if let Some(runs) = &mut self.runs {
                runs.truncate(len as u64);
            }
            return;
        }
        self.ops.truncate(len - self.spilled());
        self.by_key.retain(|_, numbers| {
            numbers.retain(|&number| (number as usize) < len);
            !numbers.is_empty()
        });
    }

    /// Moves the operations in memory to the runs, if there are any.
    ///
    /// # Errors
    /// The file system's. Everything is as it was then.
    pub fn spill(&mut self) -> Result<()> {
        let first = self.spilled() as u32;
        let Some(runs) = self.runs.as_mut().filter(|_| !self.ops.is_empty()) else {
            return Ok(());
        };
        let ops = Ops::from(first, &self.ops);
        let mut bytes = Vec::new();
        runs.add(u64::from(first) + self.ops.len() as u64, |add| {
            for (key, numbers) in &self.by_key {
                for &number in numbers {
                    bytes.clear();
                    codec::encode(ops.get(number), &mut bytes);
                    let value = NewValue::Bytes(&bytes);
                    add(u64::from(number), &Write { tree: TREE, key, value })?;
                }
            }
            Ok(())
        })?;
        for (op, number) in self.ops.drain(..).zip(first..) {
            if let Some(value) = op.long() {
                self.long.insert(number, value.clone());
            }
        }
        (self.ops, self.by_key, self.bytes) = (Vec::new(), BTreeMap::new(), 0);
        Ok(())
    }

    /// How many operations are in the runs.
    fn spilled(&self) -> usize {
        self.runs.as_ref().map_or(0, |runs| runs.len() as usize)
    }

    /// The operations, as [`resolve`] takes them at commit; `None` where some are not in memory.
    pub fn ops(&self) -> Option<&[Op]> {
        (self.spilled() == 0).then_some(&self.ops[..])
    }

    /// Memory that the operations which can be [spilled](Pending::spill) take, about.
    pub fn buffered_bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory that all this takes, about.
    pub fn memory_bytes(&self) -> u64 {
        let runs = self.runs.as_ref().map_or(0, Runs::memory_bytes);
        self.bytes + runs + self.long.len() as u64 * LONG_BYTES
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.spilled() + self.ops.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the key was written to: if not, the snapshot alone answers for it.
    ///
    /// # Errors
    /// [`EmptyKey`](crate::Error::EmptyKey); failed reads of what was spilled.
    pub fn touches(&self, partition: PartitionId, user_key: &[u8]) -> Result<bool> {
        let key = EncodedKey::new(partition, user_key)?;
        if self.by_key.contains_key(key.bytes()) {
            return Ok(true);
        }
        match &self.runs {
            Some(runs) => Ok(runs.newest(TREE, key.bytes(), |_| ())?.is_some()),
            None => Ok(false),
        }
    }

    /// `view` as one key of it would be after a commit at `tx`, newer than all that it shows.
    ///
    /// # Errors
    /// Those of [`resolve`]; failed reads of what was spilled.
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
        self.each_key(key.bytes(), |first, ops, group| {
            if first == key.bytes() {
                resolve_key(view, trees, ops, group, tx, &mut batch)?;
            }
            Ok::<_, Error>(Break(()))
        })?;
        Ok(Overlay::new(view, batch))
    }

    /// The keys of the first part of `range`, as they would be after a commit at `tx`: sorted
    /// entries to lay over `view`. The parts are the one that they are for and the one behind it,
    /// which is left out once the entries take more than `bytes_max`.
    ///
    /// # Errors
    /// Those of [`resolve`]; failed reads of what was spilled.
    pub fn resolve_part<V: View>(
        &self,
        view: &V,
        trees: &Trees,
        tx: TxTime,
        range: KeyRange,
        bytes_max: u64,
    ) -> Result<(Batch, KeyRange, Option<KeyRange>)> {
        let mut batch = Batch::new();
        let mut rest_from = None;
        self.each_key(range.from(), |key, ops, group| {
            if !range.reaches(key) {
                return Ok(Break(()));
            }
            if batch.memory_bytes() > bytes_max {
                rest_from = Some(key.to_vec());
                return Ok(Break(()));
            }
            resolve_key(view, trees, ops, group, tx, &mut batch)?;
            Ok::<_, Error>(Continue(()))
        })?;
        batch.sort();
        Ok(match rest_from {
            Some(key) => {
                let (part, rest) = range.split_at(&key);
                (batch, part, Some(rest))
            }
            None => (batch, range, None),
        })
    }

    /// All of `view` as it would be after a commit at `tx`.
    ///
    /// # Errors
    /// Those of [`resolve`]; `CacheFull` where operations were spilled: they do not fit in memory
    /// all at once.
    pub fn overlay<'v, V: View>(
        &self,
        view: &'v V,
        trees: &Trees,
        tx: TxTime,
    ) -> Result<Overlay<'v, V>> {
        let mut batch = Batch::new();
        let ops = self.ops().ok_or(Error::Storage(llmdb_storage::Error::CacheFull))?;
        resolve(view, trees, ops, tx, None, &mut batch)?;
        Ok(Overlay::new(view, batch))
    }

    /// As [`resolve`](crate::resolve()) does with the operations, key by key where they are not in
    /// memory.
    ///
    /// # Errors
    /// Those of [`resolve`](crate::resolve()); failed reads of what was spilled; those of `out`.
    pub fn resolve<V: View, S: Sink>(
        &self,
        view: &V,
        trees: &Trees,
        tx: TxTime,
        note: Option<&[u8]>,
        out: &mut S,
    ) -> Result<(), S::Error> {
        if let Some(ops) = self.ops() {
            return Ok(resolve(view, trees, ops, tx, note, out.batch())?);
        }
        check_tx(tx)?;
        self.each_key(&[], |key, ops, group| {
            let op_bytes = |&number| OP_BYTES + key.len() + ops.get(number).value().len();
            let bytes: usize = group.iter().map(op_bytes).sum();
            out.make_room(2 * bytes as u64)?;
            resolve_key(view, trees, ops, group, tx, out.batch())?;
            Ok::<_, S::Error>(Continue(()))
        })?;
        if let Some(note) = note {
            put_note(trees, tx, note, out.batch());
        }
        Ok(())
    }

    /// Tells the keys of `heads` that the operations rewrite, ascending.
    ///
    /// # Errors
    /// Failed reads of what was spilled.
    pub fn each_head(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut last: Vec<u8> = Vec::new();
        if let Some(runs) = &self.runs {
            let mut merge = runs.merge(None)?;
            while let Some((_, write)) = merge.current() {
                if write.key != last {
                    each(write.key);
                    last.clear();
                    last.extend_from_slice(write.key);
                }
                merge.advance()?;
            }
        }
        self.by_key.keys().for_each(|key| each(key));
        Ok(())
    }

    /// Gives the operations of each key, from `from` on and ascending, with their numbers to `visit`,
    /// as long as it goes on.
    fn each_key<E: From<Error>>(
        &self,
        from: &[u8],
        mut visit: impl FnMut(&[u8], Ops<'_>, &[u32]) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut in_memory = self.by_key.range::<[u8], _>((Included(from), Unbounded)).peekable();
        let newer = Ops::from(self.spilled() as u32, &self.ops);
        let Some(runs) = self.runs.as_ref().filter(|runs| !runs.is_empty()) else {
            for (key, numbers) in in_memory {
                if visit(key, newer, numbers)?.is_break() {
                    break;
                }
            }
            return Ok(());
        };
        let storage = |error: llmdb_storage::Error| Error::from(error);
        let mut spilled = runs.merge(Some((TREE, from))).map_err(storage)?;
        let (mut key, mut numbers, mut ops) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let spilled_key = spilled.current().map(|(_, write)| write.key);
            let newer_key = in_memory.peek().map(|(key, _)| key.as_slice());
            let Some(next) = spilled_key.into_iter().chain(newer_key).min() else { return Ok(()) };
            key.clear();
            key.extend_from_slice(next);
            numbers.clear();
            ops.clear();
            while let Some((number, write)) = spilled.current()
                && write.key == key
            {
                let (number, value) = (number as u32, write.value.bytes().unwrap_or_default());
                ops.push(codec::decode(write.key, value, self.long.get(&number))?);
                numbers.push(number);
                spilled.advance().map_err(storage)?;
            }
            if let Some((_, more)) = in_memory.next_if(|(newer, _)| **newer == key) {
                numbers.extend_from_slice(more);
                ops.extend(more.iter().map(|&number| newer.get(number).clone()));
            }
            if visit(&key, Ops::numbered(&numbers, &ops), &numbers)?.is_break() {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({} operations, {} of them spilled)", self.len(), self.spilled())
    }
}
