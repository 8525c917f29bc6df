//! Locks of keys: who holds which, who waits for whom. A protocol without threads or time.
//!
//! ```text
//!   queue of a key:   [ holder | first to wait | second to wait | ... ]      FIFO
//!   waits-for:        each transaction that waits -> the holder
//! ```
//!
//! A transaction waits for one key at a time, so the waits-for graph has at most one edge out of
//! each: a new edge closes at most one cycle, and walking it costs its length. Who waits also waits
//! for those before it in the queue, but these wait for the same holder: a circle through them is
//! one without them too, and making one of them the victim would not end it. A lock that is handed
//! on points edges at a transaction that waits for nothing, which closes no cycle.
//!
//! The victim of a deadlock is the youngest transaction of the cycle: it did the least.

use crate::active::TxnId;
use llmdb_storage::TreeId;
use std::collections::{HashMap, VecDeque};

/// What is locked.
pub(crate) type LockKey = (TreeId, Vec<u8>);

/// Who holds and who waits.
#[derive(Debug, Default)]
pub(crate) struct LockTable {
    /// Never empty; the first holds the lock.
    queues: HashMap<LockKey, VecDeque<TxnId>>,
    held: HashMap<TxnId, Vec<LockKey>>,
    waiting: HashMap<TxnId, LockKey>,
    /// Victims that were not told yet, and for whom they waited.
    victims: HashMap<TxnId, Vec<TxnId>>,
}

/// Where a request for a lock stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// The transaction holds it.
    Granted,
    /// It waits for those before it, the holder first.
    Waits(Vec<TxnId>),
    /// It was chosen to end a deadlock and waits no longer. It waited for these.
    Deadlock(Vec<TxnId>),
}

impl LockTable {
    /// How many keys are locked.
    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }

    /// `tx`, which waits for nothing, asks for a lock. Answers whether somebody else's standing
    /// changed.
    pub(crate) fn ask(&mut self, tx: TxnId, key: LockKey) -> bool {
        debug_assert!(!self.waiting.contains_key(&tx), "one wait at a time");
        let queue = self.queues.entry(key.clone()).or_default();
        if queue.front() == Some(&tx) {
            return false;
        }
        queue.push_back(tx);
        if queue.len() == 1 {
            self.held.entry(tx).or_default().push(key);
            return false;
        }
        self.waiting.insert(tx, key);
        let Some(victim) = self.cycle_through(tx).into_iter().max() else { return false };
        let waited_for = self.leave(victim);
        self.victims.insert(victim, waited_for);
        victim != tx
    }

    /// Where the newest request of `tx` stands. A deadlock is told once.
    pub(crate) fn standing(&mut self, tx: TxnId) -> Standing {
        let standing = self.standing_now(tx);
        self.victims.remove(&tx);
        standing
    }

    /// As [`LockTable::standing`], without telling of a deadlock.
    pub(crate) fn standing_now(&self, tx: TxnId) -> Standing {
        match (self.victims.get(&tx), self.waiting.get(&tx)) {
            (Some(waited_for), _) => Standing::Deadlock(waited_for.clone()),
            (None, Some(key)) => Standing::Waits(self.before(tx, key)),
            (None, None) => Standing::Granted,
        }
    }

    /// `tx` no longer waits; answers for whom it did, the holder first.
    pub(crate) fn leave(&mut self, tx: TxnId) -> Vec<TxnId> {
        let Some(key) = self.waiting.remove(&tx) else { return Vec::new() };
        let waited_for = self.before(tx, &key);
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.retain(|other| *other != tx);
        }
        waited_for
    }

    /// Gives up all that `tx` holds. Answers whether somebody else got a lock.
    pub(crate) fn release(&mut self, tx: TxnId) -> bool {
        self.leave(tx);
        self.victims.remove(&tx);
        let mut granted = false;
        for key in self.held.remove(&tx).unwrap_or_default() {
            let queue = self.queues.get_mut(&key).expect("a lock that is held has a queue");
            assert_eq!(queue.pop_front(), Some(tx), "the first of a queue holds the lock");
            match queue.front() {
                None => drop(self.queues.remove(&key)),
                Some(next) => {
                    granted = true;
                    self.waiting.remove(next);
                    self.held.entry(*next).or_default().push(key);
                }
            }
        }
        granted
    }

    /// Whether somebody else than `tx` holds the lock.
    pub(crate) fn is_held_by_another(&self, tx: TxnId, key: &LockKey) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.front() != Some(&tx))
    }

    /// A key of `tree` that somebody else than `tx` has locked.
    pub(crate) fn held_in(&self, tx: TxnId, tree: TreeId) -> Option<LockKey> {
        let in_tree = |(key, queue): &(&LockKey, &VecDeque<TxnId>)| {
            key.0 == tree && queue.front() != Some(&tx)
        };
        self.queues.iter().find(in_tree).map(|(key, _)| key.clone())
    }

    fn before(&self, tx: TxnId, key: &LockKey) -> Vec<TxnId> {
        let queue = self.queues.get(key).into_iter().flatten();
        queue.take_while(|other| **other != tx).copied().collect()
    }

    /// The transactions of the cycle that `tx` is part of; none if it is in none.
    fn cycle_through(&self, tx: TxnId) -> Vec<TxnId> {
        let mut cycle = vec![tx];
        let mut now = tx;
        // Each is visited once: a cycle that `tx` is not part of was broken when it was closed.
        while let Some(key) = self.waiting.get(&now) {
            now = self.queues[key][0];
            if now == tx {
                return cycle;
            }
            cycle.push(now);
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
