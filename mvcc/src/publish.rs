//! The published state: what a snapshot that begins now sees.
//!
//! States are kept by version. A reader gets at one through `current` and may use it as
//! long as its slot holds the version; the sequencer drops one only after a scan of the slots
//! in which no reader was pending and none held its version. That goes for holders whose lease
//! expired, too: they may still look at the state itself, which is small, and at no page that it
//! leads to.

use crate::slots::{Pinned, Slot, Slots, Tenure};
use llmdb_storage::{Roots, Sealed, TreeId, Version};
use std::collections::BTreeMap;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

/// One consistent state of the database.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) version: Version,
    pub(crate) roots: Roots,
    /// Its trees by name.
    pub(crate) names: Arc<BTreeMap<String, TreeId>>,
    /// Number of the newest commit in it.
    pub(crate) seq: u64,
    /// The layer above's mark of that commit.
    pub(crate) mark: i64,
}

impl State {
    /// A version that was sealed, and the newest commit in it.
    pub(crate) fn of(sealed: Sealed, seq: u64, mark: i64) -> State {
        let Sealed { version, roots, names } = sealed;
        State { version, roots, names, seq, mark }
    }
}

/// The half of publication that readers use.
#[derive(Debug)]
pub(crate) struct Published {
    slots: Slots,
    current: AtomicPtr<State>,
}

/// The half that only the sequencer uses: the owner of all states.
#[derive(Debug, Default)]
pub(crate) struct States(BTreeMap<Version, Kept>);

#[derive(Debug)]
struct Kept {
    state: Arc<State>,
    /// Since when there is a state with newer commits, as far as anybody looks at this one.
    superseded: Option<Instant>,
    /// Its pages are kept for readers: they have no leases, or not expired ones.
    live: bool,
}

/// The versions that are live on account of readers.
#[derive(Debug)]
pub(crate) struct Live {
    /// Pinned versions and the published one, ascending.
    pub(crate) versions: Vec<Version>,
}

impl States {
    /// Number of the newest published commit.
    pub(crate) fn newest_seq(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, kept)| kept.state.seq)
    }

    fn live(&self) -> impl Iterator<Item = (Version, &Kept)> {
        self.0.iter().filter(|(_, kept)| kept.live).map(|(version, kept)| (*version, kept))
    }

    /// How many states are held for readers, the published one included.
    pub(crate) fn len(&self) -> usize {
        self.live().count()
    }

    /// The newest version: the published one.
    pub(crate) fn newest(&self) -> Option<Version> {
        self.0.last_key_value().map(|(version, _)| *version)
    }

    /// Takes up a state that is not published because a newer one is: whoever read it before holds
    /// it like any other.
    pub(crate) fn pass_over(&mut self, state: Arc<State>) {
        self.0.insert(state.version, Kept { state, superseded: None, live: true });
    }

    /// The mark of the oldest state held.
    pub(crate) fn oldest_mark(&self) -> i64 {
        self.live().next().map_or(i64::MAX, |(_, kept)| kept.state.mark)
    }

    /// The oldest version held.
    pub(crate) fn oldest(&self) -> Option<Version> {
        self.live().next().map(|(version, _)| version)
    }

    /// The states held that are not what new snapshots see, oldest first, and for how long each has
    /// been none.
    pub(crate) fn superseded(&self) -> impl Iterator<Item = (Version, Duration)> {
        self.live().filter_map(|(version, kept)| Some((version, kept.superseded?.elapsed())))
    }

    /// The newest state held that was superseded so long ago, if any was.
    pub(crate) fn newest_older_than(&self, age: Duration) -> Option<Version> {
        let old = self.superseded().take_while(|(_, since)| *since >= age);
        old.map(|(version, _)| version).last()
    }
}

impl Published {
    pub(crate) fn new() -> Self {
        Published { slots: Slots::new(), current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Pins the published state: no lock, no system call, no allocation.
    pub(crate) fn pin(&self, tenure: Tenure) -> (Slot<'_>, &State) {
        let slot = self.slots.take(tenure);
        // Pairs with the store in `publish`; see the drawing in `slots`.
        let state = self.current.load(Ordering::SeqCst);
        // SAFETY: something is published before the database is handed out, so the pointer leads
        // to an entry of `States`. The entry is not dropped: while the slot is PENDING no scan lets
        // anything go, and once it holds the version no scan lets this one go, expired or not.
        let state = unsafe { &*state };
        slot.pin(state.version.0);
        (slot, state)
    }

    /// Pins a version that the caller knows to be live; see [`Published::live`] for why the
    /// caller holds the sequencer's lock.
    pub(crate) fn pin_version(&self, version: Version, tenure: Tenure) -> Slot<'_> {
        let slot = self.slots.take(tenure);
        slot.pin(version.0);
        slot
    }

    /// Makes `state` what new snapshots see.
    pub(crate) fn publish(&self, states: &mut States, state: Arc<State>) {
        let pointer = Arc::as_ptr(&state).cast_mut();
        states.0.insert(state.version, Kept { state, superseded: None, live: true });
        self.current.store(pointer, Ordering::SeqCst);
    }

    /// The versions that readers may look at, and the published one; drops the states that nobody
    /// holds. `None` while a reader is about to pin. Called with the sequencer's lock.
    pub(crate) fn live(&self, states: &mut States) -> Option<Live> {
        let Pinned::Versions { live, expired } = self.slots.scan() else { return None };
        let (newest, newest_seq) = (*states.0.last_key_value()?.0, states.newest_seq());
        states.0.retain(|version, kept| {
            kept.live = *version == newest || live.binary_search(&version.0).is_ok();
            kept.live || expired.binary_search(&version.0).is_ok()
        });
        // What is superseded and held. Nobody is told the time while nobody holds anything.
        for kept in states.0.values_mut().rev() {
            if kept.superseded.is_some() {
                break;
            }
            if kept.state.seq < newest_seq {
                kept.superseded = Some(Instant::now());
            }
        }
        let mut versions: Vec<Version> = live.into_iter().map(Version).collect();
        // Behind it come those that are pinned before they are published.
        if let Err(at) = versions.binary_search(&newest) {
            versions.insert(at, newest);
        }
        Some(Live { versions })
    }

    /// Ends the leases of all who look at `version` or an older one, and answers how many those
    /// were. Called with the sequencer's lock.
    pub(crate) fn expire(&self, version: Version) -> u64 {
        self.slots.expire(version.0)
    }
}
