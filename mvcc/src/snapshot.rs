//! A snapshot: one state of the database, unchanged for as long as it is held.

use crate::publish::{Published, State};
use crate::slots::Slot;
use llmdb_storage::{Entry, Pager, Reader, Result, TreeCursor, TreeId, ValueRef, Version, View};
use std::fmt;
use std::sync::Arc;

/// One state of the database, unchanged for as long as it is held.
///
/// Beginning one takes no lock and waits for nobody. It pins the pages that only it still
/// reaches, and nothing else.
pub struct Snapshot<'e> {
    state: &'e State,
    pager: &'e Pager,
    /// Keeps a state that may never be published.
    _applied: Option<Arc<State>>,
    // Declared last: the pin goes after everything that rests on it.
    _slot: Slot<'e>,
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
        let (slot, state) = published.pin();
        Snapshot { state, pager, _applied: None, _slot: slot }
    }

    /// A snapshot of a state that is sealed and not published. To be called by who holds the
    /// sequencer's lock: nothing is reclaimed meanwhile.
    pub(crate) fn applied(published: &'e Published, pager: &'e Pager, state: Arc<State>) -> Self {
        let slot = published.pin_version(state.version);
        // SAFETY: the state is owned by the `Arc` beside it, which is neither changed nor dropped
        // before `self` is, and never moves. No borrow of the state outlives `self`: all that lend
        // parts of it borrow `self`.
        let kept = unsafe { &*Arc::as_ptr(&state) };
        Snapshot { state: kept, pager, _applied: Some(state), _slot: slot }
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

    /// Its trees.
    pub fn reader(&self) -> Reader<'_> {
        // SAFETY: the slot pins the version for as long as `self` is borrowed; the sequencer keeps
        // the pages and frames of pinned versions (I1 of the storage crate).
        unsafe { Reader::new(self.pager, &self.state.roots) }
    }
}

impl View for Snapshot<'_> {
    type Cursor<'v>
        = TreeCursor<'v>
    where
        Self: 'v;

    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'_>>> {
        self.reader().find(tree, key)
    }

    fn cursor(&self, tree: TreeId) -> TreeCursor<'_> {
        self.reader().walk(tree)
    }

    fn entry(&self, tree: TreeId, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.reader().find_entry(tree, key)
    }

    fn unborn(&self, descriptor: &[u8]) -> Result<Entry<'_>> {
        self.pager.unborn(descriptor)
    }
}
