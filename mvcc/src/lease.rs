//! A snapshot that may be given up between two reads, so that who forgets one holds up nobody.
//!
//! It lends nothing by itself: whoever reads enters ([`LeasedSnapshot::read`]) and gets a
//! [`Snapshot`] that lives as long as the read, and with it whatever is borrowed from it. While one
//! is there the pages stay. When none is, they can go at any moment: `slots` tells how both sides
//! agree. A read that is under way when the lease ends notices at its next step.

use crate::Snapshot;
use crate::publish::{Published, State};
use crate::slots::{Slot, Tenure};
use llmdb_storage::{Error, Pager, Result, Version};
use std::fmt;
use std::sync::Arc;

/// One state of the database, unchanged for as long as it can be read: until it is dropped, or
/// until it is too old ([`EngineOptions::snapshot_age_max`](crate::EngineOptions)).
///
/// Beginning one takes no lock and waits for nobody.
pub struct LeasedSnapshot<'e> {
    state: &'e State,
    pager: &'e Pager,
    tenure: Tenure,
    /// Keeps a state that may never be published.
    _applied: Option<Arc<State>>,
    // Declared last: the pin goes after everything that rests on it.
    slot: Slot<'e>,
}

impl fmt::Debug for LeasedSnapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedSnapshot")
            .field("version", &self.state.version)
            .field("seq", &self.state.seq)
            .field("mark", &self.state.mark)
            .finish_non_exhaustive()
    }
}

impl<'e> LeasedSnapshot<'e> {
    pub(crate) fn new(published: &'e Published, pager: &'e Pager, tenure: Tenure) -> Self {
        let (slot, state) = published.pin(tenure);
        LeasedSnapshot { state, pager, tenure, _applied: None, slot }
    }

    /// A snapshot of a state that is sealed and not published. To be called by who holds the
    /// sequencer's lock: nothing is reclaimed meanwhile.
    pub(crate) fn applied(
        published: &'e Published,
        pager: &'e Pager,
        tenure: Tenure,
        state: Arc<State>,
    ) -> Self {
        let slot = published.pin_version(state.version, tenure);
        // SAFETY: the state is owned by the `Arc` beside it, which is neither changed nor dropped
        // before `self` is, and never moves. No borrow of the state outlives `self`: all that lend
        // parts of it borrow `self`.
        let kept = unsafe { &*Arc::as_ptr(&state) };
        LeasedSnapshot { state: kept, pager, tenure, _applied: Some(state), slot }
    }

    /// Begins a read: the state, for as long as what this answers lives. Reads may overlap, and
    /// last as long as they like; what they hold is not given up. Where no snapshot gets too old it
    /// costs nothing.
    ///
    /// # Errors
    /// [`Error::SnapshotTooOld`], from then on always.
    pub fn read(&self) -> Result<Snapshot<'_>> {
        match self.tenure {
            Tenure::Firm => Ok(Snapshot::lent(self.state, self.pager, None)),
            Tenure::Lease => {
                let reading = self.slot.enter().ok_or(Error::SnapshotTooOld)?;
                Ok(Snapshot::lent(self.state, self.pager, Some(reading)))
            }
        }
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
}
