//! Following what is written, as it is committed.

use crate::core::{Core, NO_TX};
use crate::retirer::Opened;
use crate::{Change, Cursor, Db, PartitionId, Result, TxTime, decode};
use llmdb_temporal::{EventId, KeyRange, Reader};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much is read from one snapshot before it is handed out.
const AHEAD_MAX: usize = 64;
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// Where following begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFrom {
    /// At the first write there is; where some of the past was retired, at the first from which on
    /// nothing is missing.
    Oldest,
    /// Behind everything that is committed now.
    Newest,
    /// Behind a write.
    After(Cursor),
}

/// The writes of a database in the order of commits, those to come included: see [`Db::watch`].
///
/// What it lists is committed and visible; nothing is skipped and nothing comes twice, whoever
/// writes meanwhile. It holds no snapshot while it waits or is put aside, and is a handle to the
/// database: that closes with the last of them.
///
/// After a crash a database that does not sync each commit may have lost the newest ones, and may
/// give their times to others: a [`Cursor`] that was remembered elsewhere is good for
/// [`Sync`](crate::Durability::Sync) commits. A [`Feed`](crate::Feed) remembers it in the database
/// itself, which is right in any case.
#[must_use = "it lists nothing unless asked"]
pub struct Watch {
    core: Arc<Opened>,
    within: Option<KeyRange>,
    /// The last write that was handed out, or left out behind the last one.
    position: Cursor,
    /// The last write that was read.
    read: Cursor,
    /// Read and not handed out.
    ahead: VecDeque<Change>,
    /// The newest commit that was read to its end; none while there is more in a snapshot.
    seen: Option<u64>,
}

impl Db {
    /// Follows what is written, from somewhere on.
    ///
    /// ```
    /// # use llmdb::{Clock, Options, WatchFrom, vfs::MemVfs};
    /// # use std::time::Duration;
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).clock(Clock::Logical).open("/agent.llmdb")?;
    /// let mut watch = db.watch(WatchFrom::Newest);
    /// db.put("mood", b"calm")?;
    /// let change = watch.next_timeout(Duration::from_secs(1))?.unwrap();
    /// assert_eq!(change.key, b"mood");
    /// assert!(watch.next()?.is_none());
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    pub fn watch(&self, from: WatchFrom) -> Watch {
        let core = self.share();
        let position = from.cursor(&core);
        Watch::new(core, position)
    }
}

impl WatchFrom {
    /// Behind which write that is.
    pub(crate) fn cursor(self, core: &Core) -> Cursor {
        match self {
            WatchFrom::Oldest => whole_from(core),
            WatchFrom::After(cursor) => cursor,
            WatchFrom::Newest => match core.engine.snapshot().mark() {
                NO_TX => Cursor::START,
                mark => Cursor { tx: TxTime(mark), op: u32::MAX },
            },
        }
    }
}

/// Behind which write nothing is missing.
fn whole_from(core: &Core) -> Cursor {
    let snapshot = core.engine.snapshot();
    let reader = Reader::new(&snapshot, &core.trees);
    match reader.check_range_kept(TxTime::MIN..TxTime::INFINITY) {
        Err(llmdb_temporal::Error::HistoryRetired { after: Some(from), .. }) => {
            Cursor { tx: TxTime(from.0 - 1), op: u32::MAX }
        }
        // Damage is met again, and told, when the first write is read.
        _ => Cursor::START,
    }
}

impl Watch {
    pub(crate) fn new(core: Arc<Opened>, position: Cursor) -> Self {
        let ahead = VecDeque::new();
        Self { core, within: None, position, read: position, ahead, seen: None }
    }

    /// Only writes to the keys of `partition` that begin with `prefix`.
    pub fn only(mut self, partition: PartitionId, prefix: impl AsRef<[u8]>) -> Self {
        self.within = Some(KeyRange::prefix(partition, prefix.as_ref()));
        self.seek(self.position);
        self
    }

    /// Behind which write it goes on: the last one handed out, or a later one that was left out.
    pub fn position(&self) -> Cursor {
        self.position
    }

    /// Goes on behind another write.
    pub fn seek(&mut self, position: Cursor) {
        self.ahead.clear();
        self.seen = None;
        (self.position, self.read) = (position, position);
    }

    /// The next write, if one is committed; it does not wait.
    ///
    /// # Errors
    /// [`Error::HistoryRetired`](crate::Error::HistoryRetired) where some of what follows was
    /// retired before it was read; damage.
    #[allow(clippy::should_implement_trait, reason = "there may be more after the end")]
    pub fn next(&mut self) -> Result<Option<Change>> {
        if self.ahead.is_empty() {
            self.read_ahead()?;
        }
        let change = self.ahead.pop_front();
        self.position = match &change {
            Some(change) => change.cursor(),
            None => self.read,
        };
        Ok(change)
    }

    /// The next write; waits for one for at most `timeout`, woken by its commit.
    ///
    /// # Errors
    /// Damage; [`Error::Poisoned`](crate::Error::Poisoned), when there will be none.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Change>> {
        // A time beyond what the system can say is no limit.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(change) = self.next()? {
                return Ok(Some(change));
            }
            let seen = self.seen.expect("nothing is left in the snapshot that was read");
            if !self.core.engine.wait_beyond(seen, deadline)? {
                return Ok(None);
            }
        }
    }

    /// The writes that are committed, at most `limit` (and at least one) of them; waits for the
    /// first for at most `timeout`. Where reading on fails after some, these come first and the error
    /// with the next call.
    ///
    /// # Errors
    /// Those of [`Watch::next_timeout`].
    pub fn next_batch(&mut self, limit: usize, timeout: Duration) -> Result<Vec<Change>> {
        let mut batch = Vec::new();
        batch.extend(self.next_timeout(timeout)?);
        while !batch.is_empty() && batch.len() < limit {
            match self.next() {
                Ok(Some(change)) => batch.push(change),
                // What failed is told by the next call: this one has something to hand out.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(batch)
    }

    /// Reads what follows, from a snapshot of its own.
    fn read_ahead(&mut self) -> Result<()> {
        let snapshot = self.core.engine.snapshot();
        let reader = Reader::new(&snapshot, &self.core.trees);
        let last = EventId { tx: self.read.tx, op: self.read.op };
        let from = TxTime(last.tx.0.saturating_add(i64::from(last.op == u32::MAX)));
        reader.check_range_kept(from..TxTime::INFINITY)?;
        let mut changes = reader.changes_after(last, TxTime::INFINITY);
        if let Some(within) = &self.within {
            changes = changes.within(within.clone());
        }
        let (mut ahead, mut bytes) = (VecDeque::new(), 0);
        let mut seen = Some(snapshot.seq());
        while let Some(change) = changes.next().transpose()? {
            bytes += change.value.as_ref().map_or(0, |value| value.len());
            ahead.push_back(decode::change(change)?);
            if ahead.len() >= AHEAD_MAX || bytes >= AHEAD_BYTES_MAX {
                seen = None;
                break;
            }
        }
        if let Some(EventId { tx, op }) = changes.passed() {
            self.read = Cursor { tx, op };
        }
        (self.ahead, self.seen) = (ahead, seen);
        Ok(())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("position", &self.position).finish_non_exhaustive()
    }
}
