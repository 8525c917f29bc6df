//! What was read and what was lost.

/// What was salvaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Whether any meta page can be read. Without one, what was there when is not known.
    pub meta_readable: bool,
    /// Whether the catalog could be read wholly.
    pub catalog_whole: bool,
    /// Whether the file was searched for leaves that nothing leads to.
    pub searched: bool,
    /// Bytes of a page.
    pub page_size: usize,
    /// Pages that were read and are good.
    pub pages: u64,
    /// Pages that something led to and that are not good.
    pub pages_bad: u64,
    /// Trees, by name.
    pub trees: Vec<TreeSalvage>,
    /// Entries and writes that are good by themselves and belong to no tree that is known.
    pub unplaced: u64,
}

/// What was salvaged of one tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeSalvage {
    /// Its name.
    pub name: String,
    /// Entries that were read.
    pub entries: u64,
    /// Those of them from leaves that nothing leads to.
    pub entries_searched: u64,
    /// Pages that its parents lead to and that are not good.
    pub pages_bad: u64,
    /// Where keys may be missing: ascending, disjoint.
    pub lost: Vec<LostRange>,
    /// Values that are lost, but not their keys.
    pub values_lost: u64,
    /// Their keys, at most [`TreeSalvage::KEYS_MAX`].
    pub values_lost_keys: Vec<Vec<u8>>,
}

impl TreeSalvage {
    /// More keys of lost values than this are not listed.
    pub const KEYS_MAX: usize = 1000;

    pub(super) fn new(name: &str) -> Self {
        TreeSalvage { name: name.to_owned(), ..TreeSalvage::default() }
    }

    /// Whether all of it was there.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.values_lost == 0
    }

    pub(super) fn lose_value(&mut self, key: &[u8]) {
        self.values_lost += 1;
        if self.values_lost_keys.len() < Self::KEYS_MAX {
            self.values_lost_keys.push(key.to_vec());
        }
    }

    /// Adds a range that lies behind all before it.
    pub(super) fn lose(&mut self, from: Vec<u8>, to: Option<Vec<u8>>) {
        match self.lost.last_mut() {
            Some(last) if last.to.as_ref() == Some(&from) => last.to = to,
            _ => self.lost.push(LostRange { from, to }),
        }
    }

    pub(super) fn has_lost(&self, key: &[u8]) -> bool {
        let behind = self.lost.partition_point(|range| range.from.as_slice() <= key);
        behind.checked_sub(1).is_some_and(|at| self.lost[at].contains(key))
    }
}

/// Keys between which entries may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRange {
    /// The first.
    pub from: Vec<u8>,
    /// Just past the last; `None` for the end of the tree.
    pub to: Option<Vec<u8>>,
}

impl LostRange {
    /// Whether it holds `key`.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.to.as_ref().is_none_or(|to| key < to.as_slice())
    }

    /// Whether it holds any key that starts with `prefix`.
    pub fn touches(&self, prefix: &[u8]) -> bool {
        let before = self.from.as_slice() <= prefix || self.from.starts_with(prefix);
        before && self.to.as_ref().is_none_or(|to| prefix < to.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_beginning_and_not_their_end() {
        let range = LostRange { from: b"b".to_vec(), to: Some(b"d".to_vec()) };
        assert!(range.contains(b"b") && range.contains(b"cz") && !range.contains(b"d"));
        assert!(range.touches(b"b") && range.touches(b"c") && !range.touches(b"d"));
        assert!(!range.touches(b"a") && range.touches(b""));
        let range = LostRange { from: b"ab".to_vec(), to: None };
        assert!(range.touches(b"a") && range.touches(b"z") && !range.touches(b"aa"));
    }

    #[test]
    fn neighbours_become_one() {
        let mut tree = TreeSalvage::new("t");
        tree.lose(b"a".to_vec(), Some(b"c".to_vec()));
        tree.lose(b"c".to_vec(), Some(b"d".to_vec()));
        tree.lose(b"x".to_vec(), None);
        assert_eq!(tree.lost.len(), 2);
        assert!(tree.has_lost(b"cc") && !tree.has_lost(b"d") && tree.has_lost(b"y"));
        assert!(!tree.has_lost(b""));
    }
}
