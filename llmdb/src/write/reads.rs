//! How a write transaction reads: others as its isolation shows them, with its own writes laid over
//! that.

use super::{WriteTx, provisional};
use crate::core::Core;
use crate::{
    AsKey, Changes, Cursor, DiffRow, Fact, Isolation, PartitionId, Rectangle, Result, Scan, TxTime,
    ValueReader, decode,
};
use llmdb_mvcc::{LeasedSnapshot, Snapshot, TxView};
use llmdb_storage::{Batch, TreeId};
use llmdb_temporal::{Absences, At, EventId, KeyRange, Overlay, Pending, Reader, Trees, head_key};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// What a transaction rests on, in keys of `heads`.
#[derive(Default)]
pub(super) struct Reads {
    keys: BTreeSet<Vec<u8>>,
    ranges: Vec<KeyRange>,
    /// It rests on there being no other commit.
    everything: bool,
    /// Memory that these take, about.
    bytes: u64,
}

/// What remembering a read costs beside its bytes, about.
const READ_BYTES: u64 = 48;
/// Of the budget of memory, what one transaction remembers of its reads takes this part at most.
const READS_PART: u64 = 8;

impl Reads {
    pub(super) fn keys(&self) -> &BTreeSet<Vec<u8>> {
        &self.keys
    }

    /// Memory that these take, about.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.bytes
    }

    fn key(&mut self, key: Vec<u8>, core: &Core) {
        let bytes = READ_BYTES + key.len() as u64;
        if !self.everything && self.keys.insert(key) {
            self.add(bytes, core);
        }
    }

    fn range(&mut self, range: &KeyRange, core: &Core) {
        if !self.everything {
            self.ranges.push(range.clone());
            let (from, to) = range.head_keys();
            let bytes = from.len() + to.map_or(0, <[u8]>::len);
            self.add(2 * READ_BYTES + bytes as u64, core);
        }
    }

    /// Where single reads take too much memory it rests on everything: it may conflict with more
    /// than it must, never with less.
    fn add(&mut self, bytes: u64, core: &Core) {
        self.bytes += bytes;
        if self.bytes > core.engine.pager().budget().limit() / READS_PART {
            *self = Reads { everything: true, ..Reads::default() };
        }
    }

    /// Tells the engine, to be validated at the commit.
    pub(super) fn tell(self, tx: &mut llmdb_mvcc::WriteTx<'_>, heads: TreeId) {
        if self.everything {
            return tx.note_read_range(heads, &[], None);
        }
        self.keys.iter().for_each(|key| tx.note_read(heads, key));
        for range in &self.ranges {
            let (from, to) = range.head_keys();
            tx.note_read_range(heads, from, to);
        }
    }
}

/// A transaction's own writes, to be laid over what it sees a part of the keys at a time.
#[derive(Clone, Copy)]
pub(crate) struct Own<'t> {
    pending: &'t Pending,
    trees: &'t Trees,
    /// When they happen.
    tx: TxTime,
    /// About so many bytes of entries at a time.
    bytes_max: u64,
}

impl Own<'_> {
    /// [`Pending::resolve_part`]
    pub(crate) fn resolve_part(
        &self,
        view: &LeasedSnapshot<'_>,
        range: KeyRange,
    ) -> Result<(Batch, KeyRange, Option<KeyRange>)> {
        Ok(self.pending.resolve_part(&view.read()?, self.trees, self.tx, range, self.bytes_max)?)
    }
}

/// What one read sees: a state of others, and where it stands that says nothing else.
pub(super) struct Seen<'t, 'db> {
    pub(super) view: TxView<'t, 'db>,
    pub(super) now: At,
}

impl Seen<'_, '_> {
    /// What was believed at `tx` must not have been retired.
    fn check_kept(&self, core: &Core, partition: PartitionId, tx: TxTime) -> Result<()> {
        if tx < TxTime(self.view.mark()) {
            Reader::new(&self.view.read()?, &core.trees).check_kept(partition, tx)?;
        }
        Ok(())
    }
}

impl<'db> WriteTx<'db> {
    pub(super) fn seen(&self) -> Result<Seen<'_, 'db>> {
        let view = self.tx.view();
        let now = match view {
            TxView::Kept(_) => self.at,
            TxView::Own(_) => provisional(self.core, view.mark())?,
        };
        Ok(Seen { view, now })
    }

    /// Its own writes, as of `now`.
    fn own(&self, now: At) -> Own<'_> {
        let (pending, trees) = (&self.pending, &self.core.trees);
        Own { pending, trees, tx: now.tx, bytes_max: self.tx.tx_memory_bytes() }
    }

    fn note_key(&self, partition: PartitionId, user_key: &[u8]) -> Result<()> {
        let key = head_key(partition, user_key)?;
        if self.isolation == Isolation::Serializable {
            self.reads.borrow_mut().key(key, self.core);
        }
        Ok(())
    }

    fn note_range(&self, range: &KeyRange) {
        if self.isolation == Isolation::Serializable {
            self.reads.borrow_mut().range(range, self.core);
        }
    }

    /// What the key has now, or at the time that the key names, its own writes included.
    ///
    /// # Errors
    /// [`Error::EmptyKey`](crate::Error::EmptyKey); damage, after which it can only be rolled back.
    pub fn get(&self, key: impl AsKey) -> Result<Option<Fact>> {
        self.get_known(key, None)
    }

    /// As [`WriteTx::get`], as known after transaction `tx`. Its own writes are known at
    /// [`TxTime::INFINITY`] and at the time that it would get if it committed right now.
    ///
    /// # Errors
    /// Those of [`WriteTx::get`].
    pub fn get_as_of(&self, key: impl AsKey, tx: TxTime) -> Result<Option<Fact>> {
        self.get_known(key, Some(tx))
    }

    fn get_known(&self, key: impl AsKey, tx: Option<TxTime>) -> Result<Option<Fact>> {
        let key = key.as_key();
        let (partition, user_key) = (key.partition, key.user_key);
        self.note_key(partition, user_key)?;
        self.core.asked.gets.add_one();
        self.broken.watch(self.seen().and_then(|seen| {
            let now = seen.now;
            let at = At { valid: key.valid_from.unwrap_or(now.valid), tx: tx.unwrap_or(now.tx) };
            seen.check_kept(self.core, partition, at.tx)?;
            let view = seen.view.read()?;
            let trees = &self.core.trees;
            if !self.pending.touches(partition, user_key)? {
                let segment = Reader::new(&view, trees).get(partition, user_key, at)?;
                return segment.as_ref().map(decode::fact).transpose();
            }
            let overlay = self.pending.overlay_key(&view, trees, now.tx, partition, user_key)?;
            let segment = Reader::new(&overlay, trees).get(partition, user_key, at)?;
            segment.as_ref().map(decode::fact).transpose()
        }))
    }

    /// Hands the value of [`WriteTx::get`], or that as known after transaction `tx`, to `read`, piece
    /// by piece: its own writes included, and in little memory however long it is. `None` where
    /// there is none.
    ///
    /// # Errors
    /// Those of [`WriteTx::get`], and of `read`.
    pub fn with_value_reader<R>(
        &self,
        key: impl AsKey,
        tx: Option<TxTime>,
        read: impl FnOnce(&mut ValueReader<'_>) -> Result<R>,
    ) -> Result<Option<R>> {
        let key = key.as_key();
        let (partition, user_key) = (key.partition, key.user_key);
        self.note_key(partition, user_key)?;
        self.core.asked.gets.add_one();
        self.broken.watch(self.seen().and_then(|seen| {
            let now = seen.now;
            let at = At { valid: key.valid_from.unwrap_or(now.valid), tx: tx.unwrap_or(now.tx) };
            seen.check_kept(self.core, partition, at.tx)?;
            let view = seen.view.read()?;
            let trees = &self.core.trees;
            let ask = |opened| read(&mut ValueReader::within(opened)?);
            if !self.pending.touches(partition, user_key)? {
                return Reader::new(&view, trees)
                    .open(partition, user_key, at)?
                    .map(ask)
                    .transpose();
            }
            let overlay = self.pending.overlay_key(&view, trees, now.tx, partition, user_key)?;
            Reader::new(&overlay, trees).open(partition, user_key, at)?.map(ask).transpose()
        }))
    }

    /// The value of [`WriteTx::get`], as a `T`.
    ///
    /// # Errors
    /// Those of [`WriteTx::get`]; [`Error::ValueMismatch`](crate::Error::ValueMismatch).
    pub fn get_as<T: DeserializeOwned>(&self, key: impl AsKey) -> Result<Option<T>> {
        self.get(key)?.map(|fact| fact.value.to()).transpose()
    }

    /// The keys of `partition` that start with `prefix` and have a value now, its own writes
    /// included. It rests on all of the prefix, however few rows are asked for.
    ///
    /// # Errors
    /// Damage, after which it can only be rolled back.
    pub fn scan(&self, partition: PartitionId, prefix: impl AsRef<[u8]>) -> Result<Scan<'_>> {
        self.scan_with(partition, prefix.as_ref(), |now| now)
    }

    /// As [`WriteTx::scan`], at a point of both times. Its own writes are known at
    /// [`TxTime::INFINITY`].
    ///
    /// # Errors
    /// Those of [`WriteTx::scan`].
    pub fn scan_at(
        &self,
        partition: PartitionId,
        prefix: impl AsRef<[u8]>,
        at: At,
    ) -> Result<Scan<'_>> {
        self.scan_with(partition, prefix.as_ref(), |_| at)
    }

    fn scan_with(
        &self,
        partition: PartitionId,
        prefix: &[u8],
        at: impl Fn(At) -> At,
    ) -> Result<Scan<'_>> {
        let range = KeyRange::prefix(partition, prefix);
        self.note_range(&range);
        self.broken.watch(self.seen().and_then(|seen| {
            let at = at(seen.now);
            seen.check_kept(self.core, partition, at.tx)?;
            let Seen { view, now } = seen;
            let own = self.own(now);
            Scan::of_write(view, own, self.core, &self.broken, partition, range, at)
        }))
    }

    /// The key along valid time, as known after transaction `tx`; or now, its own writes included.
    ///
    /// # Errors
    /// Those of [`WriteTx::get`].
    pub fn timeline(&self, key: impl AsKey, tx: Option<TxTime>) -> Result<Vec<Fact>> {
        self.with_key(key, tx, |reader, partition, user_key, now| {
            decode::facts(reader.timeline(partition, user_key, tx.unwrap_or(now.tx))?)
        })
    }

    /// Everything that was ever believed about the key, and would be if the transaction committed
    /// right now: see [`ReadTx::history`](crate::ReadTx::history).
    ///
    /// # Errors
    /// Those of [`WriteTx::get`].
    pub fn history(&self, key: impl AsKey) -> Result<Vec<Rectangle>> {
        self.with_key(key, None, |reader, partition, user_key, now| {
            let history = reader.history(partition, user_key, Absences::Include)?;
            let mut history: Vec<Rectangle> =
                history.map(|rectangle| decode::rectangle(rectangle?)).collect::<Result<_>>()?;
            for own in history.iter_mut().filter(|rectangle| rectangle.tx == now.tx) {
                own.note = decode::note(self.note.as_deref())?;
            }
            Ok(history)
        })
    }

    fn with_key<T>(
        &self,
        key: impl AsKey,
        tx: Option<TxTime>,
        read: impl for<'v> FnOnce(
            Reader<'v, Overlay<'v, Snapshot<'v>>>,
            PartitionId,
            &[u8],
            At,
        ) -> Result<T>,
    ) -> Result<T> {
        let key = key.as_key();
        let (partition, user_key) = (key.partition, key.user_key);
        self.note_key(partition, user_key)?;
        self.broken.watch(self.seen().and_then(|seen| {
            if let Some(tx) = tx {
                seen.check_kept(self.core, partition, tx)?;
            }
            let Seen { view, now } = seen;
            let (view, trees) = (view.read()?, &self.core.trees);
            let overlay = self.pending.overlay_key(&view, trees, now.tx, partition, user_key)?;
            read(Reader::new(&overlay, trees), partition, user_key, now)
        }))
    }

    /// The keys of `partition` that start with `prefix` and whose value differs between two points
    /// of both times, by their bytes. Its own writes are known at [`TxTime::INFINITY`]. It rests on
    /// all of the prefix.
    ///
    /// # Errors
    /// Damage, after which it can only be rolled back.
    pub fn diff(
        &self,
        partition: PartitionId,
        prefix: impl AsRef<[u8]>,
        a: At,
        b: At,
    ) -> Result<Vec<DiffRow>> {
        let range = KeyRange::prefix(partition, prefix.as_ref());
        self.note_range(&range);
        self.broken.watch(self.seen().and_then(|seen| {
            seen.check_kept(self.core, partition, a.tx)?;
            seen.check_kept(self.core, partition, b.tx)?;
            let Seen { view, now } = seen;
            let trees = &self.core.trees;
            let own = self.own(now);
            let (mut all, mut rest) = (Vec::new(), Some(range));
            while let Some(range) = rest {
                let (batch, part, behind) = own.resolve_part(&view, range)?;
                rest = behind;
                let seen = view.read()?;
                let overlay = Overlay::over(&seen, &batch);
                for row in Reader::new(&overlay, trees).diff(part, a, b) {
                    all.push(decode::diff_row(row?)?);
                }
            }
            Ok(all)
        }))
    }

    /// The writes of the transactions from `from` up to and not including `to` (`None`: to the
    /// newest, which is this one), of all partitions, oldest first; at most `limit` of them. Its own
    /// writes come last, at the time that it would get if it committed right now. At
    /// `Serializable` it rests on there being no other commit, unless `to` is in the past.
    ///
    /// # Errors
    /// Damage, after which it can only be rolled back. [`Error::CacheFull`](crate::Error::CacheFull)
    /// where it has spilled its writes ([`Options::tx_memory_bytes`](crate::Options::tx_memory_bytes)).
    pub fn changes(
        &self,
        from: TxTime,
        to: Option<TxTime>,
        limit: Option<usize>,
    ) -> Result<Changes> {
        self.feed(from, to, limit, |reader, to| reader.changes(from..to))
    }

    /// The same feed, going on behind where it was cut short.
    ///
    /// # Errors
    /// Those of [`WriteTx::changes`].
    pub fn changes_after(
        &self,
        cursor: Cursor,
        to: Option<TxTime>,
        limit: Option<usize>,
    ) -> Result<Changes> {
        let last = EventId { tx: cursor.tx, op: cursor.op };
        self.feed(last.tx, to, limit, |reader, to| reader.changes_after(last, to))
    }

    fn feed(
        &self,
        from: TxTime,
        to: Option<TxTime>,
        limit: Option<usize>,
        feed: impl for<'v> FnOnce(
            Reader<'v, Overlay<'v, Snapshot<'v>>>,
            TxTime,
        ) -> llmdb_temporal::Changes<'v, Overlay<'v, Snapshot<'v>>>,
    ) -> Result<Changes> {
        let to = to.unwrap_or(TxTime::INFINITY);
        self.broken.watch(self.seen().and_then(|Seen { view, now }| {
            if self.isolation == Isolation::Serializable && to.0 > view.mark().saturating_add(1) {
                self.reads.borrow_mut().everything = true;
            }
            let (view, trees) = (view.read()?, &self.core.trees);
            Reader::new(&view, trees).check_range_kept(from..to)?;
            let overlay = self.pending.overlay(&view, trees, now.tx)?;
            let mut page = crate::read::collect(feed(Reader::new(&overlay, trees), to), limit)?;
            for own in page.changes.iter_mut().filter(|change| change.tx == now.tx) {
                own.note = decode::note(self.note.as_deref())?;
            }
            Ok(page)
        }))
    }
}
