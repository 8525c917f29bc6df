//! What a commit wrote, as far as that is remembered to find conflicts.

use llmdb_storage::{Batch, TreeId};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What a commit wrote, as far as that is remembered.
#[derive(Debug)]
pub(crate) enum Written {
    /// All of it.
    Few(Arc<Batch>),
    /// At least so much.
    Many(Arc<Touched>),
    /// Every key of a tree: it was dropped.
    All(TreeId),
}

impl Written {
    pub(crate) fn memory_bytes(&self) -> u64 {
        match self {
            Written::Few(batch) => batch.memory_bytes(),
            Written::Many(touched) => touched.memory_bytes(),
            Written::All(_) => 0,
        }
    }

    pub(crate) fn touches_key(&self, tree: TreeId, key: &[u8]) -> bool {
        match self {
            Written::Few(batch) => batch.touches_key(tree, key),
            Written::Many(touched) => touched.touches_key(tree, key),
            Written::All(dropped) => tree == *dropped,
        }
    }

    pub(crate) fn touches(&self, tree: TreeId, from: &[u8], to: Option<&[u8]>) -> bool {
        match self {
            Written::Few(batch) => batch.touches(tree, from, to),
            Written::Many(touched) => touched.touches(tree, from, to),
            Written::All(dropped) => tree == *dropped,
        }
    }
}

/// Which keys may have been written: all that were, and others. Single keys by a filter (Bloom,
/// 1970), ranges by stretches of keys that follow one another.
#[derive(Debug)]
pub(crate) struct Touched {
    filter: Vec<u64>,
    stretches: Vec<Stretch>,
    /// So many keys make a stretch.
    keys_each: u64,
    /// In the last one.
    keys_last: u64,
}

#[derive(Debug)]
struct Stretch {
    tree: TreeId,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// Bits of the filter for each key, where there is memory for that, and how many of them a key sets.
const FILTER_BITS: u64 = 10;
const FILTER_PROBES: u64 = 6;
/// Of the budget of memory, the filter of one commit takes this part at most.
const FILTER_PART: u64 = 64;
/// Of so many stretches two become one.
const STRETCHES_MAX: usize = 512;

impl Touched {
    /// No key yet, of at most `keys`.
    pub(crate) fn new(keys: u64, budget: u64) -> Self {
        let words = (keys.saturating_mul(FILTER_BITS) / 64).min(budget / FILTER_PART / 8);
        let filter = vec![0; words as usize + 1];
        Touched { filter, stretches: Vec::new(), keys_each: 1, keys_last: 0 }
    }

    /// Adds a key, behind those before it.
    pub(crate) fn add(&mut self, tree: TreeId, key: &[u8]) {
        for bit in self.bits(tree, key) {
            self.filter[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        match self.stretches.last_mut() {
            Some(last) if last.tree == tree && self.keys_last < self.keys_each => {
                last.last.clear();
                last.last.extend_from_slice(key);
                self.keys_last += 1;
            }
            _ => {
                self.stretches.push(Stretch { tree, first: key.to_vec(), last: key.to_vec() });
                self.keys_last = 1;
                if self.stretches.len() > STRETCHES_MAX {
                    self.join_stretches();
                }
            }
        }
    }

    fn join_stretches(&mut self) {
        let mut joined: Vec<Stretch> = Vec::with_capacity(self.stretches.len() / 2 + 1);
        let mut open = false;
        for stretch in self.stretches.drain(..) {
            match joined.last_mut() {
                Some(last) if open && last.tree == stretch.tree => {
                    last.last = stretch.last;
                    open = false;
                }
                _ => {
                    joined.push(stretch);
                    open = true;
                }
            }
        }
        self.stretches = joined;
        self.keys_each *= 2;
    }

    /// The bits of the filter that a key sets.
    fn bits(&self, tree: TreeId, key: &[u8]) -> impl Iterator<Item = u64> + use<> {
        let mut hasher = DefaultHasher::new();
        (tree, key).hash(&mut hasher);
        let (hash, bits) = (hasher.finish(), self.filter.len() as u64 * 64);
        // Two hashes are as good as many (Kirsch and Mitzenmacher, 2006).
        let step = hash.rotate_left(32) | 1;
        (0..FILTER_PROBES).map(move |i| hash.wrapping_add(i.wrapping_mul(step)) % bits)
    }

    fn touches_key(&self, tree: TreeId, key: &[u8]) -> bool {
        self.bits(tree, key).all(|bit| self.filter[(bit / 64) as usize] & 1 << (bit % 64) != 0)
            && self.stretch_from(tree, key).is_some_and(|stretch| stretch.first.as_slice() <= key)
    }

    fn touches(&self, tree: TreeId, from: &[u8], to: Option<&[u8]>) -> bool {
        self.stretch_from(tree, from)
            .is_some_and(|stretch| to.is_none_or(|to| stretch.first.as_slice() < to))
    }

    /// The first stretch of `tree` that does not end before `key`.
    fn stretch_from(&self, tree: TreeId, key: &[u8]) -> Option<&Stretch> {
        let before = |stretch: &Stretch| (stretch.tree, stretch.last.as_slice()) < (tree, key);
        self.stretches.get(self.stretches.partition_point(before)).filter(|s| s.tree == tree)
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let stretches = self.stretches.iter().map(|s| s.first.len() + s.last.len() + 64);
        (self.filter.len() * 8 + stretches.sum::<usize>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 20_000;

    /// Every hundredth number, in two trees.
    fn touched(budget: u64) -> Touched {
        let mut touched = Touched::new(2 * KEYS, budget);
        for tree in [TreeId(1), TreeId(3)] {
            (0..KEYS).for_each(|i| touched.add(tree, &(i * 100).to_be_bytes()));
        }
        touched
    }

    #[test]
    fn no_key_that_was_written_is_missed_and_few_others_are_found() {
        let touched = touched(1 << 30);
        assert!(touched.stretches.len() <= STRETCHES_MAX);
        let mut others = 0;
        for i in 0..KEYS {
            for tree in [TreeId(1), TreeId(3)] {
                let (key, to) = ((i * 100).to_be_bytes(), (i * 100 + 1).to_be_bytes());
                assert!(touched.touches_key(tree, &key));
                assert!(
                    touched.touches(tree, &key, Some(&to)) && touched.touches(tree, &key, None)
                );
                others += u64::from(touched.touches_key(tree, &(i * 100 + 7).to_be_bytes()));
            }
            assert!(!touched.touches_key(TreeId(2), &(i * 100).to_be_bytes()));
        }
        assert!(others < KEYS / 20, "{others} of {}", 2 * KEYS);
        let behind = (KEYS * 100).to_be_bytes();
        for tree in [TreeId(0), TreeId(2), TreeId(4)] {
            assert!(!touched.touches(tree, &[], None));
        }
        assert!(!touched.touches(TreeId(1), &behind, None));
    }

    /// With too little memory for single keys it says yes more often, and never no for what it has.
    #[test]
    fn too_little_memory_finds_more_and_misses_nothing() {
        let touched = touched(1 << 10);
        assert!(touched.filter.len() < 10);
        assert!((0..KEYS).all(|i| touched.touches_key(TreeId(1), &(i * 100).to_be_bytes())));
    }
}
