//! Where the trees of one version start, by number.

use crate::{PageRef, TreeId};
use std::fmt;
use std::sync::Arc;

/// A tree and where it starts.
pub(crate) type Root = (TreeId, PageRef);

/// The root of every tree at one version; cheap to clone.
#[derive(Clone, Default)]
pub struct Roots(pub(crate) Arc<[Root]>);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({} trees)", self.0.len())
    }
}

/// The place of a tree in a list that ascends, or where it would be.
///
/// Numbers are given one after the other, so that a tree's number is its place unless one before it
/// was dropped: then it is searched for.
#[inline]
pub(crate) fn place_of(roots: &[Root], tree: TreeId) -> Result<usize, usize> {
    let at = tree.0 as usize;
    match roots.get(at) {
        Some(root) if root.0 == tree => Ok(at),
        _ => roots.binary_search_by_key(&tree, |root| root.0),
    }
}

/// The roots of the version being made, ascending by tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct RootList(Vec<Root>);

impl RootList {
    /// The catalog alone, and the trees that it names.
    pub(crate) fn new(catalog: PageRef, trees: impl Iterator<Item = Root>) -> Self {
        let mut roots: Vec<Root> = std::iter::once((TreeId(0), catalog)).chain(trees).collect();
        roots.sort_unstable_by_key(|root| root.0);
        RootList(roots)
    }

    pub(crate) fn as_slice(&self) -> &[Root] {
        &self.0
    }

    /// Where a tree starts; `None` where there is no such tree.
    pub(crate) fn get(&self, tree: TreeId) -> Option<PageRef> {
        place_of(&self.0, tree).ok().map(|at| self.0[at].1)
    }

    /// A tree that is there starts elsewhere from now on.
    pub(crate) fn set(&mut self, tree: TreeId, root: PageRef) {
        let at = place_of(&self.0, tree).expect("only trees that are there are changed");
        self.0[at].1 = root;
    }

    /// Adds an empty tree, unless it is there.
    pub(crate) fn add(&mut self, tree: TreeId) {
        if let Err(at) = place_of(&self.0, tree) {
            self.0.insert(at, (tree, PageRef::NONE));
        }
    }

    /// Takes a tree out; answers where it started.
    pub(crate) fn remove(&mut self, tree: TreeId) -> Option<PageRef> {
        place_of(&self.0, tree).ok().map(|at| self.0.remove(at).1)
    }

    /// The first tree from `tree` on.
    pub(crate) fn first_from(&self, tree: TreeId) -> Option<TreeId> {
        let (Ok(at) | Err(at)) = place_of(&self.0, tree);
        self.0.get(at).map(|root| root.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PageId;

    #[test]
    fn trees_are_found_whichever_were_dropped() {
        let root = |i: u32| PageRef { id: PageId(u64::from(i) + 100), stamp: i };
        for dropped in 0u32..32 {
            let mut roots = RootList::new(root(0), std::iter::empty());
            for i in 1..=5 {
                roots.add(TreeId(i));
                roots.set(TreeId(i), root(i));
            }
            let is_there = |i: u32| i == 0 || (i <= 5 && dropped & 1 << (i - 1) == 0);
            for i in 1..=5 {
                if !is_there(i) {
                    assert_eq!(roots.remove(TreeId(i)), Some(root(i)));
                    assert_eq!(roots.remove(TreeId(i)), None);
                }
            }
            for i in 0..8 {
                assert_eq!(roots.get(TreeId(i)), is_there(i).then(|| root(i)), "{dropped:b}");
                let next = (i..8).find(|i| is_there(*i)).map(TreeId);
                assert_eq!(roots.first_from(TreeId(i)), next, "{dropped:b}");
            }
            roots.add(TreeId(9));
            assert_eq!(roots.get(TreeId(9)), Some(PageRef::NONE));
        }
    }
}
