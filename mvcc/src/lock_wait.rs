//! Waiting for locks of keys, and what a lock that was granted promises.

use crate::active::TxnId;
use crate::engine::Shared;
use crate::locks::{LockKey, LockTable, Standing};
use crate::{Error, Result};
use llmdb_storage::TreeId;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The locks of one database, and those who sleep until they get one.
#[derive(Debug, Default)]
pub(crate) struct KeyLocks {
    table: Mutex<LockTable>,
    changed: Condvar,
    /// How many keys are locked. Who locks one writes it before taking the sequencer's lock; a
    /// commit reads it under that lock: it sees every lock granted before its turn.
    locked: AtomicUsize,
}

impl KeyLocks {
    /// Whether any key is locked.
    pub(crate) fn any(&self) -> bool {
        self.locked.load(Ordering::Relaxed) > 0
    }

    /// Takes the lock of `key` for `tx`, which keeps it until it ends.
    ///
    /// # Errors
    /// [`Error::Deadlock`], [`Error::LockTimeout`]: `tx` keeps the locks that it had.
    pub(crate) fn lock(&self, tx: TxnId, key: LockKey, wait_max: Duration) -> Result<()> {
        let start = Instant::now();
        // No deadline where it lies beyond what the clock can tell.
        let until = start.checked_add(wait_max);
        let mut table = self.table.lock();
        if table.ask(tx, key) {
            self.changed.notify_all();
        }
        self.locked.store(table.len(), Ordering::Relaxed);
        loop {
            match table.standing(tx) {
                Standing::Granted => return Ok(()),
                Standing::Deadlock(waited_for) => return Err(Error::Deadlock { tx, waited_for }),
                Standing::Waits(_) => {}
            }
            let timed_out = match until {
                Some(until) => self.changed.wait_until(&mut table, until).timed_out(),
                None => {
                    self.changed.wait(&mut table);
                    false
                }
            };
            // Granted, or chosen as a victim, at the last moment: that counts.
            if timed_out && let Standing::Waits(_) = table.standing_now(tx) {
                let waited_for = table.leave(tx);
                return Err(Error::LockTimeout { tx, waited_for, waited: start.elapsed() });
            }
        }
    }

    /// Gives up all locks of a transaction that ends.
    pub(crate) fn release(&self, tx: TxnId) {
        let mut table = self.table.lock();
        let granted = table.release(tx);
        self.locked.store(table.len(), Ordering::Relaxed);
        drop(table);
        if granted {
            self.changed.notify_all();
        }
    }

    /// The first of `keys` that somebody else than `tx` has locked.
    ///
    /// # Errors
    /// Those of `keys`.
    pub(crate) fn first_locked<E>(
        &self,
        tx: TxnId,
        keys: impl FnOnce(&mut dyn FnMut(TreeId, &[u8])) -> Result<(), E>,
    ) -> Result<Option<LockKey>, E> {
        let table = self.table.lock();
        let mut first = None;
        keys(&mut |tree, key| {
            if first.is_none() {
                let key = (tree, key.to_vec());
                first = table.is_held_by_another(tx, &key).then_some(key);
            }
        })?;
        Ok(first)
    }

    /// A key of `tree` that somebody else than `tx` has locked.
    pub(crate) fn held_in(&self, tx: TxnId, tree: TreeId) -> Option<LockKey> {
        self.table.lock().held_in(tx, tree)
    }
}

impl Shared {
    /// The newest commit after `since` (for a transaction without a snapshot: that is not published
    /// yet) that wrote a key which has just been locked: whatever comes later waits for the lock.
    pub(crate) fn newest_write_of(
        &self,
        tree: TreeId,
        key: &[u8],
        since: Option<u64>,
    ) -> Option<u64> {
        let sequencer = self.sequencer.lock();
        let since = since.unwrap_or_else(|| sequencer.published_seq());
        sequencer.recent.newest_write_of(tree, key, since)
    }
}
