//! The published state: what a snapshot that begins now sees.
//!
//! States are kept by version. A reader gets at one through `current` and may use it as
//! long as its slot holds the version; the sequencer drops one only after a scan of the slots
//! in which no reader was pending and none held its version.

use crate::slots::{Pinned, Slot, Slots};
use llmdb_storage::{Roots, Version};
use std::collections::BTreeMap;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

/// One consistent state of the database.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) version: Version,
    pub(crate) roots: Roots,
    /// Number of the newest commit in it.
    pub(crate) seq: u64,
    /// The layer above's mark of that commit.
    pub(crate) mark: i64,
}

/// The half of publication that readers use.
#[derive(Debug)]
pub(crate) struct Published {
    slots: Slots,
    current: AtomicPtr<State>,
}

/// The half that only the sequencer uses: the owner of all states.
#[derive(Debug, Default)]
pub(crate) struct States(BTreeMap<Version, Arc<State>>);

/// The versions that are live on account of readers.
#[derive(Debug)]
pub(crate) struct Live {
    /// Pinned versions and the published one, ascending.
    pub(crate) versions: Vec<Version>,
}

impl States {
    /// Number of the newest published commit.
    pub(crate) fn newest_seq(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, state)| state.seq)
    }

    /// How many states are held for readers, the published one included.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The newest version: the published one.
    pub(crate) fn newest(&self) -> Option<Version> {
        self.0.last_key_value().map(|(version, _)| *version)
    }

    /// The mark of the oldest state held.
    pub(crate) fn oldest_mark(&self) -> i64 {
        self.0.first_key_value().map_or(i64::MAX, |(_, state)| state.mark)
    }

    /// The oldest version held.
    pub(crate) fn oldest(&self) -> Option<Version> {
        self.0.first_key_value().map(|(version, _)| *version)
    }
}

impl Published {
    pub(crate) fn new() -> Self {
        Published { slots: Slots::new(), current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Pins the published state: no lock, no system call, no allocation.
    pub(crate) fn pin(&self) -> (Slot<'_>, &State) {
        let slot = self.slots.take();
        // Pairs with the store in `publish`; see the drawing in `slots`.
        let state = self.current.load(Ordering::SeqCst);
        // SAFETY: something is published before the database is handed out, so the pointer leads
        // to an entry of `States`. The entry is not dropped: while the slot is PENDING no scan lets
        // anything go, and once it holds the version no scan lets this one go.
        let state = unsafe { &*state };
        slot.pin(state.version.0);
        (slot, state)
    }

    /// Pins a version that the caller knows to be live; see [`Published::live`] for why the
    /// caller holds the sequencer's lock.
    pub(crate) fn pin_version(&self, version: Version) -> Slot<'_> {
        let slot = self.slots.take();
        slot.pin(version.0);
        slot
    }

    /// Makes `state` what new snapshots see.
    pub(crate) fn publish(&self, states: &mut States, state: Arc<State>) {
        let pointer = Arc::as_ptr(&state).cast_mut();
        states.0.insert(state.version, state);
        self.current.store(pointer, Ordering::SeqCst);
    }

    /// The versions that readers may look at, and the published one; drops the states of all
    /// others. `None` while a reader is about to pin. Called with the sequencer's lock.
    pub(crate) fn live(&self, states: &mut States) -> Option<Live> {
        let Pinned::Versions(pinned) = self.slots.scan() else { return None };
        let newest = *states.0.last_key_value()?.0;
        states
            .0
            .retain(|version, _| *version == newest || pinned.binary_search(&version.0).is_ok());
        let mut versions: Vec<Version> = pinned.into_iter().map(Version).collect();
        // Behind it come those that are pinned before they are published.
        if let Err(at) = versions.binary_search(&newest) {
            versions.insert(at, newest);
        }
        Some(Live { versions })
    }
}
