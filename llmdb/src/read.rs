//! A read transaction: every question, answered by one snapshot.

use crate::core::Core;
use crate::held::Held;
use crate::{
    AsKey, Changes, Cursor, DiffRow, Fact, PartitionId, Rectangle, Result, Scan, TxTime, ValidTime,
    Version, View, decode,
};
use llmdb_mvcc::{LeasedSnapshot, Snapshot};
use llmdb_storage::{Cursor as _, View as _};
use llmdb_temporal::{Absences, At, EventId, Interval, KeyRange, Reader, Trees};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::fmt;

/// One snapshot of the database. It never changes, and its now stands still: the clock's time
/// when it began, or its newest transaction's if that is later.
///
/// Beginning one waits for nobody. While it is held the pages that only it still reaches cannot be
/// used anew, so do not hold it for longer than needed. Where the options limit that
/// ([`Options::snapshot_age_max`](crate::Options::snapshot_age_max)) every question may answer
/// [`Error::SnapshotTooOld`](crate::Error::SnapshotTooOld), and from then on each does: begin
/// another. What was answered before stays good.
#[must_use = "a read transaction that asks nothing does nothing"]
pub struct ReadTx<'db> {
    snapshot: LeasedSnapshot<'db>,
    core: &'db Core,
    now: At,
}

/// A question under way: what it reads stays as long.
pub(crate) struct Asking<'r> {
    snapshot: Snapshot<'r>,
    trees: &'r Trees,
}

impl<'r> Asking<'r> {
    pub(crate) fn reader(&self) -> Reader<'_, Snapshot<'r>> {
        Reader::new(&self.snapshot, self.trees)
    }

    /// What it reads from.
    pub(crate) fn trees(&self) -> (&Snapshot<'r>, &Trees) {
        (&self.snapshot, self.trees)
    }
}

impl<'db> ReadTx<'db> {
    pub(crate) fn new(core: &'db Core) -> Self {
        let snapshot = core.engine.lease();
        let now = core.clock.now(TxTime(snapshot.mark()));
        Self { snapshot, core, now }
    }

    /// Begins to answer a question.
    pub(crate) fn ask(&self) -> Result<Asking<'_>> {
        Ok(Asking { snapshot: self.snapshot.read()?, trees: &self.core.trees })
    }

    pub(crate) fn key_bytes_max(&self) -> usize {
        self.core.key_bytes_max()
    }

    /// What was believed at `tx` must not have been retired.
    pub(crate) fn check_kept(&self, partition: PartitionId, tx: TxTime) -> Result<()> {
        // The newest belief is never given up.
        if tx < self.now.tx {
            self.ask()?.reader().check_kept(partition, tx)?;
        }
        Ok(())
    }

    /// The newest transaction that it knows.
    pub fn newest_tx(&self) -> TxTime {
        self.now.tx
    }

    /// Its now: where reads stand that say nothing else.
    pub fn now(&self) -> At {
        self.now
    }

    /// What was true at another time, as far as is known now.
    pub fn as_of_valid(&self, valid: ValidTime) -> View<'_> {
        View::new(Held::Borrowed(self), self.now).as_of_valid(valid)
    }

    /// What was known after transaction `tx`, and nothing later, of what is true now.
    pub fn as_of_transaction(&self, tx: TxTime) -> View<'_> {
        View::new(Held::Borrowed(self), self.now).as_of_transaction(tx)
    }

    /// What the key has now, or at the time that the key names, and how far around that it holds;
    /// `None` where it is absent or unknown.
    ///
    /// # Errors
    /// [`Error::EmptyKey`](crate::Error::EmptyKey); damage. At a T that was retired,
    /// [`Error::HistoryRetired`](crate::Error::HistoryRetired).
    pub fn get(&self, key: impl AsKey) -> Result<Option<Fact>> {
        self.get_at(key, self.now)
    }

    pub(crate) fn core(&self) -> &'db Core {
        self.core
    }

    pub(crate) fn get_at(&self, key: impl AsKey, at: At) -> Result<Option<Fact>> {
        let key = key.as_key();
        let at = At { valid: key.valid_from.unwrap_or(at.valid), ..at };
        self.check_kept(key.partition, at.tx)?;
        self.core.asked.gets.add_one();
        let asking = self.ask()?;
        let segment = asking.reader().get(key.partition, key.user_key, at)?;
        segment.as_ref().map(decode::fact).transpose()
    }

    /// The value of [`ReadTx::get`], as a `T`.
    ///
    /// # Errors
    /// Those of [`ReadTx::get`]; [`Error::ValueMismatch`](crate::Error::ValueMismatch).
    pub fn get_as<T: DeserializeOwned>(&self, key: impl AsKey) -> Result<Option<T>> {
        self.get(key)?.map(|fact| fact.value.to()).transpose()
    }

    /// The keys of `partition` that start with `prefix` and have a value now, by their bytes.
    ///
    /// # Errors
    /// Damage, as the scan goes.
    pub fn scan(&self, partition: PartitionId, prefix: impl AsRef<[u8]>) -> Result<Scan<'_>> {
        Ok(Scan::new(Held::Borrowed(self), partition, prefix.as_ref(), self.now))
    }

    /// The key along valid time, as known after transaction `tx`, or now: the maximal stretches
    /// over which one write answers, ascending. Where it is absent or unknown there is none.
    ///
    /// # Errors
    /// Those of [`ReadTx::get`].
    pub fn timeline(&self, key: impl AsKey, tx: Option<TxTime>) -> Result<Vec<Fact>> {
        let key = key.as_key();
        let tx = tx.unwrap_or(self.now.tx);
        self.check_kept(key.partition, tx)?;
        decode::facts(self.ask()?.reader().timeline(key.partition, key.user_key, tx)?)
    }

    /// Everything that was ever believed about the key, by when it was first believed: disjoint
    /// rectangles of valid and transaction time, recorded absences included. Where part of that
    /// was retired: the rectangles that hold any T that is [kept](ReadTx::kept), each whole.
    ///
    /// # Errors
    /// Those of [`ReadTx::get`].
    pub fn history(&self, key: impl AsKey) -> Result<Vec<Rectangle>> {
        let key = key.as_key();
        let asking = self.ask()?;
        let reader = asking.reader();
        let history = reader.history(key.partition, key.user_key, Absences::Include)?;
        history.map(|rectangle| decode::rectangle(rectangle?)).collect()
    }

    /// What the key has at any time from `a` up to and including `b`: SQL's `BETWEEN a AND b`.
    ///
    /// # Errors
    /// Those of [`ReadTx::get`]; [`Error::EmptyInterval`](crate::Error::EmptyInterval).
    pub fn between(&self, key: impl AsKey, a: ValidTime, b: ValidTime) -> Result<Vec<Fact>> {
        self.within(key, Interval::closed(a, b)?)
    }

    /// What the key has at any time from `a` up to and not including `b`: SQL's `FROM a TO b`.
    ///
    /// # Errors
    /// Those of [`ReadTx::between`].
    pub fn from_to(&self, key: impl AsKey, a: ValidTime, b: ValidTime) -> Result<Vec<Fact>> {
        self.within(key, Interval::new(a, b)?)
    }

    fn within(&self, key: impl AsKey, window: Interval) -> Result<Vec<Fact>> {
        let key = key.as_key();
        let tx = self.now.tx;
        decode::facts(self.ask()?.reader().between(key.partition, key.user_key, window, tx)?)
    }

    /// Every write of the key, newest first, whatever became of it. Writes that their own
    /// transaction overwrote completely left no trace.
    ///
    /// # Errors
    /// Those of [`ReadTx::get`].
    pub fn get_versions(&self, key: impl AsKey) -> Result<Vec<Version>> {
        let key = key.as_key();
        let asking = self.ask()?;
        let reader = asking.reader();
        let versions = reader.versions_of(key.partition, key.user_key)?;
        versions.map(|version| decode::version(version?)).collect()
    }

    /// Every write of the keys of `partition` that start with `prefix`: by key, newest first for
    /// each.
    ///
    /// # Errors
    /// Damage.
    pub fn get_versions_with_prefix(
        &self,
        partition: PartitionId,
        prefix: impl AsRef<[u8]>,
    ) -> Result<Vec<Version>> {
        let range = KeyRange::prefix(partition, prefix.as_ref());
        let asking = self.ask()?;
        asking.reader().versions(range).map(|version| decode::version(version?)).collect()
    }

    /// The keys of `partition` that start with `prefix` and whose value differs between two points
    /// of both times, by their bytes.
    ///
    /// # Errors
    /// Damage.
    pub fn diff(
        &self,
        partition: PartitionId,
        prefix: impl AsRef<[u8]>,
        a: At,
        b: At,
    ) -> Result<Vec<DiffRow>> {
        let range = KeyRange::prefix(partition, prefix.as_ref());
        self.check_kept(partition, a.tx)?;
        self.check_kept(partition, b.tx)?;
        let asking = self.ask()?;
        asking.reader().diff(range, a, b).map(|row| decode::diff_row(row?)).collect()
    }

    /// The writes of the transactions from `from` up to and not including `to` (`None`: to the
    /// newest), of all partitions, oldest first; at most `limit` of them. O(output).
    ///
    /// # Errors
    /// [`Error::HistoryRetired`](crate::Error::HistoryRetired) where any partition has retired any
    /// T in between: its `after` is the first T from which on the rest is whole. Damage.
    pub fn changes(
        &self,
        from: TxTime,
        to: Option<TxTime>,
        limit: Option<usize>,
    ) -> Result<Changes> {
        let to = to.unwrap_or(TxTime::INFINITY);
        let asking = self.ask()?;
        asking.reader().check_range_kept(from..to)?;
        collect(asking.reader().changes(from..to), limit)
    }

    /// The same feed, going on behind where it was cut short.
    ///
    /// # Errors
    /// Damage.
    pub fn changes_after(
        &self,
        cursor: Cursor,
        to: Option<TxTime>,
        limit: Option<usize>,
    ) -> Result<Changes> {
        let last = EventId { tx: cursor.tx, op: cursor.op };
        let to = to.unwrap_or(TxTime::INFINITY);
        let asking = self.ask()?;
        asking.reader().check_range_kept(last.tx..to)?;
        collect(asking.reader().changes_after(last, to), limit)
    }

    /// The feed of what is still there: like [`changes`](ReadTx::changes) from the first
    /// transaction on, or behind `cursor`, except that it goes on over what was retired. What lies
    /// there is not all that was written, and becomes less.
    ///
    /// # Errors
    /// Damage.
    pub fn changes_left(&self, cursor: Option<Cursor>, limit: Option<usize>) -> Result<Changes> {
        let asking = self.ask()?;
        let feed = match cursor {
            Some(Cursor { tx, op }) => {
                asking.reader().changes_after(EventId { tx, op }, TxTime::INFINITY)
            }
            None => asking.reader().changes(TxTime::MIN..TxTime::INFINITY),
        };
        collect(feed, limit)
    }

    /// Every key that was ever written, whatever it has now, by partition and bytes.
    ///
    /// # Errors
    /// Damage.
    pub fn keys(&self) -> Result<Vec<(PartitionId, Vec<u8>)>> {
        let mut keys = Vec::new();
        let asking = self.ask()?;
        let mut heads = asking.snapshot.cursor(asking.trees.heads);
        let mut on = heads.first()?;
        while on {
            keys.push(llmdb_temporal::user_key(heads.key())?);
            on = heads.next()?;
        }
        Ok(keys)
    }

    /// The note of a transaction, if it has one.
    ///
    /// # Errors
    /// Damage.
    pub fn note_of(&self, tx: TxTime) -> Result<Option<Json>> {
        decode::note(self.ask()?.reader().note(tx)?.as_deref())
    }
}

pub(crate) fn collect<V: llmdb_storage::View>(
    mut feed: llmdb_temporal::Changes<'_, V>,
    limit: Option<usize>,
) -> Result<Changes> {
    let mut changes = Vec::new();
    let mut last = None;
    while limit.is_none_or(|limit| changes.len() < limit) {
        let Some(change) = feed.next().transpose()? else {
            return Ok(Changes { changes, next: None });
        };
        last = Some(Cursor { tx: change.tx, op: change.op });
        changes.push(decode::change(change)?);
    }
    let more = feed.next().transpose()?.is_some();
    Ok(Changes { changes, next: last.filter(|_| more) })
}

impl fmt::Debug for ReadTx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadTx").field("now", &self.now).finish()
    }
}
