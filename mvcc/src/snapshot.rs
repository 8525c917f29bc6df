//! A snapshot: one state of the database, unchanged for as long as it is held.

use crate::publish::{Published, State};
use crate::slots::{Reading, Slot, Tenure};
use llmdb_storage::{
    Cursor, Entry, Error, Pager, Reader, Result, TreeCursor, TreeId, ValueRef, Version, View,
};
use std::fmt;

/// One state of the database, unchanged for as long as it is held.
///
/// Beginning one takes no lock and waits for nobody. It pins the pages that only it still
/// reaches, and nothing else. What it lends it lends for as long as it lives, so its pages stay
/// until it is dropped, however long that takes; whoever may forget it takes a
/// [`LeasedSnapshot`](crate::LeasedSnapshot).
pub struct Snapshot<'e> {
    state: &'e State,
    pager: &'e Pager,
    hold: Hold<'e>,
}

/// What keeps the version live for as long as the snapshot.
enum Hold<'e> {
    /// A firm slot of its own.
    Own(#[allow(dead_code, reason = "held, not looked at")] Slot<'e>),
    /// A read under a lease.
    Reading(Reading<'e>),
    /// A firm slot that is borrowed for as long.
    Lent,
}

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.state.version)
            .field("seq", &self.state.seq)
            .field("mark", &self.state.mark)
            .finish()
    }
}

impl<'e> Snapshot<'e> {
    pub(crate) fn new(published: &'e Published, pager: &'e Pager) -> Self {
        let (slot, state) = published.pin(Tenure::Firm);
        Snapshot { state, pager, hold: Hold::Own(slot) }
    }

    /// A snapshot on the slot of a lease that is borrowed for `'e`: firm, or being read.
    pub(crate) fn lent(state: &'e State, pager: &'e Pager, reading: Option<Reading<'e>>) -> Self {
        let hold = reading.map_or(Hold::Lent, Hold::Reading);
        Snapshot { state, pager, hold }
    }

    /// The version pinned.
    pub fn version(&self) -> Version {
        self.state.version
    }

    /// Number of the newest commit it contains.
    pub fn seq(&self) -> u64 {
        self.state.seq
    }

    /// The mark of the newest commit it contains.
    pub fn mark(&self) -> i64 {
        self.state.mark
    }

    /// The tree that was named `name` in this state.
    pub fn tree(&self, name: &str) -> Option<TreeId> {
        self.state.names.get(name).copied()
    }

    /// All trees of this state, by name.
    pub fn trees(&self) -> impl Iterator<Item = (&str, TreeId)> {
        self.state.names.iter().map(|(name, tree)| (name.as_str(), *tree))
    }

    /// Its trees. What is read through this does not notice that a lease ends.
    pub fn reader(&self) -> Reader<'_> {
        // SAFETY: the version is live for as long as `self` is borrowed: its slot is firm and not
        // dropped before, or a read under its lease is under way. The sequencer keeps the pages and
        // frames of live versions (I1 of the storage crate).
        unsafe { Reader::new(self.pager, &self.state.roots) }
    }

    /// The read that ends early when its lease does, if it is one.
    fn reading(&self) -> Option<&Reading<'e>> {
        match &self.hold {
            Hold::Reading(reading) => Some(reading),
            Hold::Own(_) | Hold::Lent => None,
        }
    }
}

/// Ends a read whose lease has ended: one load, of a line that only its readers write.
fn check(reading: Option<&Reading<'_>>) -> Result<()> {
    match reading.is_some_and(Reading::is_expired) {
        true => Err(Error::SnapshotTooOld),
        false => Ok(()),
    }
}

impl View for Snapshot<'_> {
    type Cursor<'v>
        = SnapshotCursor<'v>
    where
        Self: 'v;

    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'_>>> {
        check(self.reading())?;
        self.reader().find(tree, key)
    }

    fn cursor(&self, tree: TreeId) -> SnapshotCursor<'_> {
        SnapshotCursor { cursor: self.reader().walk(tree), reading: self.reading() }
    }

    fn entry(&self, tree: TreeId, key: &[u8]) -> Result<Option<Entry<'_>>> {
        check(self.reading())?;
        self.reader().find_entry(tree, key)
    }

    fn unborn(&self, descriptor: &[u8]) -> Result<Entry<'_>> {
        self.pager.unborn(descriptor)
    }
}

/// A position in a tree of a snapshot. Its moves fail once the snapshot is too old; what it stands
/// on stays readable.
#[derive(Debug)]
pub struct SnapshotCursor<'v> {
    cursor: TreeCursor<'v>,
    reading: Option<&'v Reading<'v>>,
}

impl Cursor for SnapshotCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        check(self.reading)?;
        self.cursor.seek(key)
    }

    fn seek_at_most(&mut self, key: &[u8]) -> Result<bool> {
        check(self.reading)?;
        self.cursor.seek_at_most(key)
    }

    fn first(&mut self) -> Result<bool> {
        check(self.reading)?;
        self.cursor.first()
    }

    fn last(&mut self) -> Result<bool> {
        check(self.reading)?;
        self.cursor.last()
    }

    fn next(&mut self) -> Result<bool> {
        check(self.reading)?;
        self.cursor.next()
    }

    fn prev(&mut self) -> Result<bool> {
        check(self.reading)?;
        self.cursor.prev()
    }

    fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    fn value(&self) -> Result<ValueRef<'_>> {
        self.cursor.value()
    }

    fn entry(&self) -> Result<Entry<'_>> {
        self.cursor.entry()
    }
}
