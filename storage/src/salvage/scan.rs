//! Looking for leaves that nothing leads to, in the whole file.

use super::{Salvage, TreeSalvage};
use crate::catalog::Named;
use crate::node::Node;
use crate::page;
use crate::space::Bitmap;
use crate::{PageId, Result, TreeId, Version};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A leaf that nothing leads to.
struct Orphan {
    tree: TreeId,
    born: Version,
    id: PageId,
}

/// Ranges of keys, both ends included, of which a younger leaf has said all.
#[derive(Default)]
struct Covered(BTreeMap<Vec<u8>, Vec<u8>>);

impl Covered {
    fn contains(&self, key: &[u8]) -> bool {
        self.at_most(key).is_some_and(|(_, last)| key <= last.as_slice())
    }

    /// The last range that begins at `key` or before.
    fn at_most(&self, key: &[u8]) -> Option<(&Vec<u8>, &Vec<u8>)> {
        self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()
    }

    fn add(&mut self, mut first: Vec<u8>, mut last: Vec<u8>) {
        // What overlaps becomes one.
        while let Some((from, to)) = self.at_most(&last)
            && *to >= first
        {
            let from = from.clone();
            let to = self.0.remove(&from).expect("it was just found");
            first = first.min(from);
            last = last.max(to);
        }
        self.0.insert(first, last);
    }
}

impl Salvage {
    /// The trees that leaves of the catalog name to which nothing leads. Where they began is long
    /// past.
    pub(super) fn search_catalog(
        &mut self,
        lost: &TreeSalvage,
        reached: &Bitmap,
    ) -> Result<Vec<Named>> {
        let mut trees = Vec::new();
        let orphans = self.orphans(reached, |tree| tree == TreeId(0))?;
        self.take_orphans(&orphans, lost, &mut |_, key, value| {
            trees.extend(value.and_then(|value| Named::decode(key, value)));
            Ok(())
        })?;
        Ok(trees)
    }

    /// Fills the lost ranges of `trees`, if there are any.
    pub(super) fn search(&mut self, trees: &[TreeId], reached: &Bitmap) -> Result<()> {
        let mut lost = BTreeMap::new();
        for tree in trees {
            let report = &self.report.trees[self.places[tree].0];
            if !report.lost.is_empty() {
                lost.insert(*tree, report.clone());
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        let orphans = self.orphans(reached, |tree| lost.contains_key(&tree))?;
        for orphans in orphans.chunk_by(|a, b| a.tree == b.tree) {
            let tree = orphans[0].tree;
            let put = &mut |all: &mut Salvage, key: &[u8], value: Option<&[u8]>| {
                value.map_or(Ok(()), |value| all.put(tree, key, value))
            };
            let (entries, values_lost) = self.take_orphans(orphans, &lost[&tree], put)?;
            let report = &mut self.report.trees[self.places[&tree].0];
            report.entries += entries;
            report.entries_searched += entries;
            for key in values_lost {
                report.lose_value(&key);
            }
        }
        Ok(())
    }

    /// The leaves that nothing leads to, of some trees; by tree, the youngest first.
    fn orphans(
        &mut self,
        reached: &Bitmap,
        wanted: impl Fn(TreeId) -> bool,
    ) -> Result<Vec<Orphan>> {
        self.report.searched = true;
        let (mut orphans, mut buf) = (Vec::new(), Vec::new());
        for id in (1..self.source.pages).map(PageId) {
            if reached.test(id.0) || !self.source.leaf(id, &mut buf)? {
                continue;
            }
            let (tree, born) = (TreeId(page::tree(&buf)), page::born(&buf));
            if wanted(tree) && born <= self.newest() {
                orphans.push(Orphan { tree, born, id });
            }
        }
        orphans.sort_by_key(|orphan| (orphan.tree, std::cmp::Reverse(orphan.born), orphan.id));
        Ok(orphans)
    }

    /// Gives what leaves of one tree, the youngest first, hold in lost ranges; answers how many
    /// entries, and the keys of values that are lost.
    fn take_orphans(
        &mut self,
        orphans: &[Orphan],
        lost: &TreeSalvage,
        take: super::walk::Take<'_>,
    ) -> Result<(u64, Vec<Vec<u8>>)> {
        let mut covered = Covered::default();
        let (mut entries, mut values_lost) = (0, Vec::new());
        let (mut buf, mut key) = (Vec::new(), Vec::new());
        for orphan in orphans {
            if !self.source.leaf(orphan.id, &mut buf)? {
                continue;
            }
            let leaf = Node::new(&buf);
            for i in 0..leaf.count() {
                leaf.key_into(i, &mut key);
                if !lost.has_lost(&key) || covered.contains(&key) {
                    continue;
                }
                let Some(value) = self.source.value(&leaf.cell(i), orphan.id)? else {
                    // Its pages may be another's by now.
                    values_lost.push(key.clone());
                    continue;
                };
                take(self, &key, Some(&value))?;
                entries += 1;
            }
            let (mut first, mut last) = (Vec::new(), Vec::new());
            leaf.key_into(0, &mut first);
            leaf.key_into(leaf.count() - 1, &mut last);
            covered.add(first, last);
        }
        Ok((entries, values_lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn covered_is_the_union_of_its_ranges(ranges in prop::collection::vec((0u8..60, 0u8..8), 0..20)) {
            let (mut covered, mut model) = (Covered::default(), BTreeSet::new());
            for (first, len) in ranges {
                covered.add(vec![first], vec![first + len]);
                model.extend(first..=first + len);
            }
            for key in 0..80 {
                prop_assert_eq!(covered.contains(&[key]), model.contains(&key), "{}", key);
            }
            let ranges: Vec<_> = covered.0.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
