//! Feeds with a name: they remember in the database how far their reader came.
//!
//! ```text
//! tree `llmdb.feeds`, made with the first feed: name, UTF-8 -> position
//! offset size field
//! 0      1    version of this record: 1
//! 1      8    tx of the last write that was acknowledged, i64
//! 9      4    op
//! ```
//!
//! Acknowledging is a commit without a transaction time, in a tree that holds no facts: it is in no
//! feed, no history and no digest.

use crate::core::Core;
use crate::retirer::Opened;
use crate::{Change, Cursor, Db, Error, PartitionId, Result, TxTime, Watch, WatchFrom};
use llmdb_storage::{Cursor as _, TreeId, View};
use std::time::Duration;

const TREE: &str = "llmdb.feeds";
const VERSION: u8 = 1;

/// A feed of changes with a name: see [`Db::feed`].
///
/// What was handed out and not acknowledged comes again after a crash, a close or
/// [`Feed::rewind`]: each write at least once, in the order of commits. Of several handles of one
/// feed each lists everything behind what was acknowledged when it was made; what counts is the
/// furthest acknowledgement.
#[derive(Debug)]
#[must_use = "it lists nothing unless asked"]
pub struct Feed {
    watch: Watch,
    core: std::sync::Arc<Opened>,
    name: String,
    acknowledged: Cursor,
}

/// A feed and how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedInfo {
    /// Its name.
    pub name: String,
    /// The last write that was acknowledged; [`Cursor::START`] for none.
    pub acknowledged: Cursor,
}

impl Db {
    /// The feed of that name, behind what was acknowledged. One that does not exist is made, to
    /// begin at the first write there is.
    ///
    /// ```
    /// # use llmdb::{Clock, Options, vfs::MemVfs};
    /// # let memory = std::sync::Arc::new(MemVfs::new());
    /// # let db = Options::new().vfs(memory).clock(Clock::Logical).open("/agent.llmdb")?;
    /// db.put("mood", b"calm")?;
    /// let mut feed = db.feed("indexer")?;
    /// while let Some(change) = feed.next()? {
    ///     // ... do what is to be done with it, and then:
    ///     feed.ack()?;
    /// }
    /// assert_eq!(db.feed("indexer")?.next()?, None, "it goes on where it was");
    /// # Ok::<(), llmdb::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::EmptyName`]; [`Error::KeyTooLong`] for names that make no key; for a new one those
    /// of a write.
    pub fn feed(&self, name: &str) -> Result<Feed> {
        self.feed_from(name, WatchFrom::Oldest)
    }

    /// The same, only that one that does not exist begins elsewhere.
    ///
    /// # Errors
    /// Those of [`Db::feed`]; [`Error::BadCursor`] for one of a write that is still to come.
    pub fn feed_from(&self, name: &str, from: WatchFrom) -> Result<Feed> {
        if name.is_empty() {
            return Err(Error::EmptyName);
        }
        let core = self.share();
        let acknowledged = match find(&core, name)? {
            Some(acknowledged) => acknowledged,
            None => {
                let from = from.cursor(&core);
                make(&core, name, from)?
            }
        };
        let watch = Watch::new(core.clone(), acknowledged);
        Ok(Feed { watch, core, name: name.to_owned(), acknowledged })
    }

    /// All feeds that have a name, by name.
    ///
    /// # Errors
    /// Damage.
    pub fn feeds(&self) -> Result<Vec<FeedInfo>> {
        let core = self.core();
        let Some(tree) = core.engine.tree(TREE) else { return Ok(Vec::new()) };
        let snapshot = core.engine.snapshot();
        let mut entries = snapshot.cursor(tree);
        let mut feeds = Vec::new();
        let mut on = entries.first()?;
        while on {
            let name = String::from_utf8(entries.key().to_vec());
            let name = name.map_err(|_| corrupt("the name of a feed is no text"))?;
            feeds.push(FeedInfo { name, acknowledged: decode(&entries.value()?)? });
            on = entries.next()?;
        }
        Ok(feeds)
    }

    /// Forgets a feed and how far it came; answers whether there was one.
    ///
    /// # Errors
    /// Those of a write.
    pub fn drop_feed(&self, name: &str) -> Result<bool> {
        let core = self.core();
        let Some(tree) = core.engine.tree(TREE) else { return Ok(false) };
        let mut found = false;
        core.commit_upkeep(|_, view, out| {
            found = view.get(tree, name.as_bytes())?.is_some();
            if found {
                out.delete(tree, name.as_bytes());
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl Feed {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Only writes to the keys of `partition` that begin with `prefix`. Acknowledging passes over
    /// the others as well.
    pub fn only(mut self, partition: PartitionId, prefix: impl AsRef<[u8]>) -> Self {
        self.watch = self.watch.only(partition, prefix);
        self
    }

    /// The last write that this handle knows to be acknowledged.
    pub fn acknowledged(&self) -> Cursor {
        self.acknowledged
    }

    /// See [`Watch::position`].
    pub fn position(&self) -> Cursor {
        self.watch.position()
    }

    /// See [`Watch::next`].
    ///
    /// # Errors
    /// Damage.
    #[allow(clippy::should_implement_trait, reason = "there may be more after the end")]
    pub fn next(&mut self) -> Result<Option<Change>> {
        self.watch.next()
    }

    /// See [`Watch::next_timeout`].
    ///
    /// # Errors
    /// Those of [`Watch::next_timeout`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Change>> {
        self.watch.next_timeout(timeout)
    }

    /// See [`Watch::next_batch`].
    ///
    /// # Errors
    /// Those of [`Watch::next_timeout`].
    pub fn next_batch(&mut self, limit: usize, timeout: Duration) -> Result<Vec<Change>> {
        self.watch.next_batch(limit, timeout)
    }

    /// Acknowledges everything that was handed out: it does not come again. As durable as a commit
    /// when it returns.
    ///
    /// # Errors
    /// Those of [`Feed::ack_to`].
    pub fn ack(&mut self) -> Result<()> {
        self.ack_to(self.position())
    }

    /// Acknowledges everything up to a write, and that one; an earlier one than before changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::FeedNotFound`] when it was dropped; [`Error::BadCursor`] for one of a write that
    /// is still to come; those of a write.
    pub fn ack_to(&mut self, cursor: Cursor) -> Result<()> {
        if cursor > self.acknowledged {
            acknowledge(&self.core, &self.name, cursor)?;
            self.acknowledged = cursor;
        }
        Ok(())
    }

    /// Goes on behind another write; what is acknowledged stays as it is.
    pub fn seek(&mut self, position: Cursor) {
        self.watch.seek(position);
    }

    /// Goes back to behind what was acknowledged.
    pub fn rewind(&mut self) {
        self.watch.seek(self.acknowledged);
    }
}

fn find(core: &Core, name: &str) -> Result<Option<Cursor>> {
    let Some(tree) = core.engine.tree(TREE) else { return Ok(None) };
    let snapshot = core.engine.snapshot();
    let record = snapshot.get(tree, name.as_bytes())?;
    record.as_deref().map(decode).transpose()
}

/// Makes a feed; where somebody else did so first, answers how far that one came.
fn make(core: &Core, name: &str, from: Cursor) -> Result<Cursor> {
    let tree = core.engine.create_tree(TREE)?;
    let mut acknowledged = from;
    core.commit_upkeep(|newest, view, out| {
        check(from, newest)?;
        match view.get(tree, name.as_bytes())? {
            Some(record) => acknowledged = decode(&record)?,
            None => out.put(tree, name.as_bytes(), &encode(from)),
        }
        Ok(())
    })?;
    Ok(acknowledged)
}

fn acknowledge(core: &Core, name: &str, cursor: Cursor) -> Result<()> {
    let missing = || Error::FeedNotFound { name: name.to_owned() };
    let tree: TreeId = core.engine.tree(TREE).ok_or_else(missing)?;
    core.commit_upkeep(|newest, view, out| {
        check(cursor, newest)?;
        let record = view.get(tree, name.as_bytes())?.ok_or_else(missing)?;
        if decode(&record)? < cursor {
            out.put(tree, name.as_bytes(), &encode(cursor));
        }
        Ok(())
    })
}

/// What is acknowledged was written: else it would be skipped when it comes.
fn check(cursor: Cursor, newest: TxTime) -> Result<()> {
    if cursor.tx > newest { Err(Error::BadCursor) } else { Ok(()) }
}

fn encode(cursor: Cursor) -> [u8; 13] {
    let mut record = [VERSION; 13];
    record[1..9].copy_from_slice(&cursor.tx.0.to_le_bytes());
    record[9..].copy_from_slice(&cursor.op.to_le_bytes());
    record
}

fn decode(record: &[u8]) -> Result<Cursor> {
    let Some((&VERSION, rest)) = record.split_first() else {
        return Err(corrupt("the record of a feed is unknown"));
    };
    let fields = rest.split_first_chunk::<8>();
    let fields = fields.and_then(|(tx, op)| Some((tx, <&[u8; 4]>::try_from(op).ok()?)));
    let (tx, op) = fields.ok_or_else(|| corrupt("the record of a feed is cut short"))?;
    Ok(Cursor { tx: TxTime(i64::from_le_bytes(*tx)), op: u32::from_le_bytes(*op) })
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt { path: None, page: None, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use llmdb_vfs::MemVfs;

    /// Two that look for it at once find none, and both make it.
    #[test]
    fn a_feed_that_somebody_made_meanwhile_stays_where_it_is() {
        let db = Options::new().vfs(std::sync::Arc::new(MemVfs::new())).open("/db").unwrap();
        let tx = db.put("k", b"v").unwrap();
        let far = Cursor { tx, op: 0 };
        assert_eq!(make(db.core(), "f", far).unwrap(), far);
        assert_eq!(make(db.core(), "f", Cursor::START).unwrap(), far);
        assert_eq!(find(db.core(), "f").unwrap(), Some(far));
    }

    #[test]
    fn a_records_bytes_are_where_the_format_says() {
        let cursor = Cursor { tx: TxTime(0x0102), op: 3 };
        let record = [1, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0];
        assert_eq!(encode(cursor), record);
        assert_eq!(decode(&record).unwrap(), cursor);
        assert_eq!(decode(&encode(Cursor::START)).unwrap(), Cursor::START);
        for len in 0..record.len() {
            assert!(matches!(decode(&record[..len]), Err(Error::Corrupt { .. })), "{len}");
        }
        assert!(decode(&[&record[..], &[0]].concat()).is_err());
        assert!(decode(&[2; 13]).is_err());
    }
}
