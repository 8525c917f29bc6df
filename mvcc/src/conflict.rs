//! Conflicts: what a transaction read or writes, against what was committed since it began.
//!
//! Validation is by key and by key range, never by page. The writes of recent commits are kept as
//! the sorted batches that were applied, so remembering them costs a commit nothing; they go when
//! no transaction that is open or yet to begin can have missed them. Of a commit that was spilled
//! is kept what memory reaches for: which keys it may have written.

use crate::written::Written;
use llmdb_storage::{Batch, Budget, MemoryUse, TreeId};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Of the budget of memory, recent commits take this part at most. A transaction that was open for
/// longer than these reach back has to run again.
const RECENT_PART: u64 = 4;

/// What remembering a key costs beside its bytes, about.
const KEY_BYTES: u64 = 48;

/// What a transaction has to find unchanged.
#[derive(Debug, Default)]
pub(crate) struct Footprint {
    keys: Vec<(TreeId, Vec<u8>)>,
    ranges: Vec<(TreeId, Vec<u8>, Option<Vec<u8>>)>,
    bytes: u64,
}

impl Footprint {
    pub(crate) fn key(&mut self, tree: TreeId, key: &[u8]) {
        // Reading one key again and again, as loops do, is remembered once.
        if self.keys.last().is_none_or(|last| last.0 != tree || last.1 != key) {
            self.keys.push((tree, key.to_vec()));
            self.bytes += KEY_BYTES + key.len() as u64;
        }
    }

    pub(crate) fn range(&mut self, tree: TreeId, from: &[u8], to: Option<&[u8]>) {
        self.ranges.push((tree, from.to_vec(), to.map(<[u8]>::to_vec)));
        self.bytes += 2 * KEY_BYTES + (from.len() + to.map_or(0, <[u8]>::len)) as u64;
    }

    /// Memory that it takes, about.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.bytes
    }

    /// Rests on whole trees instead of keys and ranges of them, where memory is short: it conflicts
    /// with more than it must, never with less.
    pub(crate) fn coarsen(&mut self) {
        let keys = self.keys.drain(..).map(|(tree, _)| tree);
        let ranges = self.ranges.drain(..).map(|(tree, ..)| tree);
        let trees: BTreeSet<TreeId> = keys.chain(ranges).collect();
        self.keys.shrink_to_fit();
        self.bytes = 0;
        for tree in trees {
            self.range(tree, &[], None);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.ranges.is_empty()
    }

    fn is_touched_by(&self, written: &Written) -> bool {
        self.keys.iter().any(|(tree, key)| written.touches_key(*tree, key))
            || (self.ranges.iter())
                .any(|(tree, from, to)| written.touches(*tree, from, to.as_deref()))
    }
}

/// The commits that open transactions may have missed, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    commits: VecDeque<(u64, Written)>,
    bytes: u64,
    budget: Option<Arc<Budget>>,
    /// Commits up to this one are not remembered any more.
    forgotten: u64,
}

impl Recent {
    pub(crate) fn starting_at(seq: u64) -> Self {
        Recent { forgotten: seq, ..Recent::default() }
    }

    /// Counts what is remembered against a budget.
    pub(crate) fn account_to(&mut self, budget: &Arc<Budget>) {
        self.budget = Some(budget.clone());
    }

    /// Remembers a commit, as long as memory reaches: it and others may be forgotten at once.
    pub(crate) fn push(&mut self, seq: u64, written: Written) {
        let bytes = written.memory_bytes();
        let limit = self.budget.as_ref().map_or(u64::MAX, |budget| budget.limit() / RECENT_PART);
        while self.bytes + bytes > limit && !self.commits.is_empty() {
            self.forget_first();
        }
        let taken = |budget: &Arc<Budget>| budget.try_take(MemoryUse::Recent, bytes);
        if bytes > limit || !self.budget.as_ref().is_none_or(taken) {
            self.forget_all(seq);
            return;
        }
        self.bytes += bytes;
        self.commits.push_back((seq, written));
    }

    /// Forgets commits up to `seq`, which need not be among those remembered: transactions that do
    /// not see it have to run again.
    pub(crate) fn forget_all(&mut self, seq: u64) {
        while !self.commits.is_empty() {
            self.forget_first();
        }
        self.forgotten = self.forgotten.max(seq);
    }

    fn forget_first(&mut self) {
        if let Some((seq, written)) = self.commits.pop_front() {
            let bytes = written.memory_bytes();
            self.bytes -= bytes;
            if let Some(budget) = &self.budget {
                budget.give_back(MemoryUse::Recent, bytes);
            }
            self.forgotten = seq;
        }
    }

    /// Forgets the commits that every open and future transaction sees.
    pub(crate) fn prune(&mut self, seen_by_all: u64) {
        while self.commits.front().is_some_and(|(seq, _)| *seq <= seen_by_all) {
            self.forget_first();
        }
    }

    /// The commit after `since` that touches the footprint, if any.
    pub(crate) fn conflict(&self, footprint: &Footprint, since: u64) -> Option<u64> {
        if footprint.is_empty() {
            return None;
        }
        self.first_missed(since, |written| footprint.is_touched_by(written))
    }

    /// The commit after `since` that writes a key that a sorted batch writes too, if any.
    pub(crate) fn overlap(&self, writes: &Batch, since: u64) -> Option<u64> {
        if writes.is_empty() {
            return None;
        }
        self.first_missed(since, |written| match written {
            // The shorter of the two is looked up in the longer.
            Written::Few(batch) if batch.len() < writes.len() => {
                batch.iter().any(|write| writes.touches_key(write.tree, write.key))
            }
            written => writes.iter().any(|write| written.touches_key(write.tree, write.key)),
        })
    }

    /// The first commit after `since` that writes any of `keys`, which are not asked for unless
    /// there was one.
    ///
    /// # Errors
    /// Those of `keys`.
    pub(crate) fn first_write_of<E>(
        &self,
        since: u64,
        keys: impl FnOnce(&mut dyn FnMut(TreeId, &[u8])) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        if self.forgotten <= since && self.commits.back().is_none_or(|(seq, _)| *seq <= since) {
            return Ok(None);
        }
        let mut first: Option<u64> = None;
        keys(&mut |tree, key| {
            let earlier = |seq: u64| first.is_none_or(|first| seq < first);
            let found = if since < self.forgotten {
                Some(self.forgotten).filter(|seq| earlier(*seq))
            } else {
                let missed = self.commits.iter().filter(|(seq, _)| *seq > since && earlier(*seq));
                missed.filter(|(_, written)| written.touches_key(tree, key)).map(|c| c.0).next()
            };
            first = found.or(first);
        })?;
        Ok(first)
    }

    /// The newest commit after `since` that writes `key`, if any.
    pub(crate) fn newest_write_of(&self, tree: TreeId, key: &[u8], since: u64) -> Option<u64> {
        if since < self.forgotten {
            return Some(self.forgotten);
        }
        let missed = self.commits.iter().rev().take_while(|(seq, _)| *seq > since);
        missed.filter(|(_, written)| written.touches_key(tree, key)).map(|(seq, _)| *seq).next()
    }

    fn first_missed(&self, since: u64, is_conflict: impl Fn(&Written) -> bool) -> Option<u64> {
        if since < self.forgotten {
            return Some(self.forgotten);
        }
        let missed = self.commits.iter().rev().take_while(|(seq, _)| *seq > since);
        missed.filter(|(_, written)| is_conflict(written)).map(|(seq, _)| *seq).last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(keys: &[&[u8]]) -> Written {
        let mut batch = Batch::new();
        keys.iter().for_each(|key| batch.put(TreeId(1), key, b""));
        batch.sort();
        Written::Few(Arc::new(batch))
    }

    #[test]
    fn keys_and_ranges_conflict_with_later_commits_alone() {
        let mut recent = Recent::starting_at(0);
        recent.push(1, batch(&[b"a"]));
        recent.push(2, batch(&[b"b", b"m"]));
        let mut reads = Footprint::default();
        assert_eq!(recent.conflict(&reads, 0), None);
        reads.key(TreeId(1), b"a");
        assert_eq!(recent.conflict(&reads, 0), Some(1));
        assert_eq!(recent.conflict(&reads, 1), None);
        reads.range(TreeId(1), b"l", Some(b"m"));
        assert_eq!(recent.conflict(&reads, 1), None);
        reads.range(TreeId(1), b"m", None);
        assert_eq!(recent.conflict(&reads, 1), Some(2));
        assert_eq!(recent.conflict(&reads, 2), None);
    }

    #[test]
    fn what_was_forgotten_counts_as_a_conflict() {
        let mut recent = Recent::starting_at(0);
        recent.push(1, batch(&[b"a"]));
        recent.push(2, batch(&[b"b"]));
        recent.prune(1);
        let mut reads = Footprint::default();
        reads.key(TreeId(1), b"z");
        assert_eq!(recent.conflict(&reads, 0), Some(1));
        assert_eq!(recent.conflict(&reads, 1), None);
    }
}
