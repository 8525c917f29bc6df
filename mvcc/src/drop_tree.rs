//! Dropping a tree.
//!
//! ```text
//!   lock       wait until nobody else has locked a key of it
//!              log it, take its name and root out of the version being made
//!   visible    the log is durable: from here on no snapshot begins that has the tree
//!   steps      its pages are given back, so many nodes in one hold of the lock
//! ```
//!
//! What is left over when that is interrupted, by a crash or because the database is closed, is
//! part of every checkpoint, and is given back by later ones. For whoever wants all of it gone, by
//! shrinking and wiping, too.

use crate::active::BegunBy;
use crate::engine::Shared;
use crate::record::Record;
use crate::sequencer::Sequencer;
use crate::written::Written;
use crate::{Engine, Isolation, Result};
use llmdb_storage::TreeId;
use parking_lot::MutexGuard;

/// Nodes given back in one hold of the lock.
const STEP_NODES: usize = 64;
/// So many steps go with a checkpoint, which is not to wait for long.
const STEPS_EACH: usize = 256;

impl Engine {
    /// Drops the tree named `name`, durably; `false` where there is none.
    ///
    /// It is a commit of its own. Snapshots that are older go on reading the tree; to later ones it
    /// is a tree that never was. A transaction that wrote to it, or at [`Isolation::Serializable`]
    /// read it, and commits later gets [`Error::Conflict`](crate::Error::Conflict), or, where its
    /// isolation looks for none,
    /// [`NoSuchTree`](llmdb_storage::Error::NoSuchTree). A tree that is made with the same name
    /// again is another one: numbers are never reused.
    ///
    /// Like a write of every key it waits for whoever has [locked](crate::WriteTx::lock_for_update)
    /// one. When this returns, the pages are given back as well, but for those that cannot be read:
    /// these are named by [`Engine::verify`]. That is done in steps between which commits go on,
    /// and reads every page of the tree that is not a long value's: O(pages).
    ///
    /// # Errors
    /// [`Error::Deadlock`](crate::Error::Deadlock) and
    /// [`Error::LockTimeout`](crate::Error::LockTimeout) while it waits; a full device,
    /// [`Error::Poisoned`](crate::Error::Poisoned), [`Error::Closed`](crate::Error::Closed).
    pub fn drop_tree(&self, name: &str) -> Result<bool> {
        let shared = self.shared();
        let dropped = {
            // Whoever it waits for learns its name.
            let tx = self.begin_by(BegunBy::Database, Isolation::ReadCommitted)?;
            let _hold = shared.bulk.hold();
            loop {
                let mut sequencer = shared.logged_sequencer()?;
                sequencer.check_writable()?;
                let Some(tree) = sequencer.writer.tree(name) else {
                    // Another thread's, which may still be waiting for the sync.
                    let seq = sequencer.seq;
                    drop(sequencer);
                    shared.wait_until_visible(seq)?;
                    break false;
                };
                if let Some(key) = shared.locks.held_in(tx.id(), tree) {
                    drop(sequencer);
                    shared.locks.lock(tx.id(), key, tx.lock_wait_max)?;
                    continue;
                }
                sequencer.drop_tree(shared, tree)?;
                let seq = sequencer.seq;
                drop(sequencer);
                shared.wait_until_visible(seq)?;
                break true;
            }
        };
        if dropped {
            // What cannot be read now goes with a later checkpoint.
            let _ = shared.free_dropped();
        }
        Ok(dropped)
    }
}

impl Sequencer {
    /// Drops a tree that is there, as a commit of its own.
    fn drop_tree(&mut self, shared: &Shared, tree: TreeId) -> Result<()> {
        let log = self.start_log(shared)?;
        let lsn = self.enter(&log, Record::DropTree { mark: self.mark, tree }, None)?;
        self.writer.drop_tree(tree).expect("it is there, and the lock is held");
        self.recent.push(self.seq, Written::All(tree));
        self.applied(Some(lsn));
        Ok(())
    }
}

impl Shared {
    /// Gives back what is left of dropped trees.
    pub(crate) fn free_dropped(&self) -> Result<()> {
        while self.free_step()? {}
        Ok(())
    }

    /// As [`Shared::free_dropped`], for as long as a checkpoint may wait.
    pub(crate) fn free_left_over(&self) {
        for _ in 0..STEPS_EACH {
            // What cannot be read now is tried again by the next checkpoint.
            if !self.free_step().unwrap_or(false) {
                return;
            }
        }
    }

    /// One step; answers whether there is more to do.
    pub(crate) fn free_step(&self) -> Result<bool> {
        let mut sequencer = self.sequencer.lock();
        if sequencer.check_writable().is_err() || !sequencer.writer.has_dropped() {
            return Ok(false);
        }
        let more = sequencer.writer.free_dropped(STEP_NODES);
        sequencer.seal_anew();
        sequencer.publish_ready(self);
        self.load.set_dirty_bytes(sequencer.dirty_bytes());
        // Commits that wait go first: else the next step would be there before they are awake.
        MutexGuard::unlock_fair(sequencer);
        Ok(more?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, EngineOptions, Error};
    use llmdb_storage::MemoryUse;
    use llmdb_vfs::MemVfs;
    use std::path::Path;
    use std::sync::Arc;

    fn open(vfs: &MemVfs) -> Engine {
        let vfs = Arc::new(vfs.clone());
        let options = EngineOptions { vfs, auto_checkpoint: false, ..EngineOptions::default() };
        Engine::open(Path::new("/t.llmdb"), options).unwrap()
    }

    fn put(engine: &Engine, tree: TreeId) {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.put(tree, b"k", b"v").unwrap();
        tx.commit(Durability::Sync).unwrap();
    }

    /// A tree that was made and not logged was answered by the next call, and what was then written
    /// to it made the log one that could not be replayed.
    #[test]
    fn a_tree_that_cannot_be_logged_is_neither_made_nor_dropped() {
        let vfs = MemVfs::new();
        let engine = open(&vfs);
        let tree = engine.create_tree("t").unwrap();
        put(&engine, tree);
        let budget = engine.shared().budget();
        // What the log's buffer took is given back before it is taken again.
        engine.stats();
        let mut taken = Vec::new();
        for bytes in (0..40).rev().map(|bit| 1 << bit) {
            taken.extend(budget.try_take(MemoryUse::Changed, bytes).then_some(bytes));
        }
        let is_short =
            |error: &Error| matches!(error, Error::Storage(llmdb_storage::Error::CacheFull));
        assert!(is_short(&engine.create_tree("new").unwrap_err()));
        assert!(is_short(&engine.drop_tree("t").unwrap_err()));
        assert_eq!(engine.trees(), [("t".to_owned(), tree)]);
        taken.into_iter().for_each(|bytes| budget.give_back(MemoryUse::Changed, bytes));

        put(&engine, tree);
        let new = engine.create_tree("new").unwrap();
        put(&engine, new);
        let engine = open(&vfs.crash_losing_all());
        assert_eq!(engine.trees(), [("new".to_owned(), new), ("t".to_owned(), tree)]);
    }
}
