//! Reading: a view of all trees at one set of roots.

use crate::cursor::TreeCursor;
use crate::entry::{Entry, LongValue};
use crate::node::{Cell, Node};
use crate::pager::{Pager, Where};
use crate::{Error, PageId, PageRef, Result, TreeId, ValueRef, View};
use std::fmt;
use std::sync::Arc;

/// The root of every tree at one version, by tree number; cheap to clone.
#[derive(Clone, Default)]
pub struct Roots(pub(crate) Arc<[PageRef]>);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({} trees)", self.0.len())
    }
}

/// All trees as one version has them.
#[derive(Clone, Copy)]
pub struct Reader<'s> {
    pager: &'s Pager,
    roots: &'s [PageRef],
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} trees)", self.roots.len())
    }
}

impl<'s> Reader<'s> {
    /// A view of the trees that `roots` lead to.
    ///
    /// # Safety
    /// For as long as `'s`, the version that `roots` belong to is a live root: none of the pages
    /// that it reaches is edited, freed or written (I1, I5).
    pub unsafe fn new(pager: &'s Pager, roots: &'s Roots) -> Self {
        Reader { pager, roots: &roots.0 }
    }

    /// As [`Reader::new`], over roots that are no `Roots` yet: the writer's own.
    ///
    /// # Safety
    /// As [`Reader::new`].
    pub(crate) unsafe fn over(pager: &'s Pager, roots: &'s [PageRef]) -> Self {
        Reader { pager, roots }
    }

    pub(crate) fn pager(&self) -> &'s Pager {
        self.pager
    }

    pub(crate) fn root(&self, tree: TreeId) -> PageRef {
        self.roots.get(tree.0 as usize).copied().unwrap_or(PageRef::NONE)
    }

    /// The node that `page_ref`, found under these roots, names.
    pub(crate) fn node(&self, page_ref: PageRef, at: &mut Where) -> Result<Node<'s>> {
        // SAFETY: the roots are live for 's (`new`), and `page_ref` was read under them.
        unsafe { self.pager.node(page_ref, at) }
    }

    /// The child that entry `i` of `node` leads to, which must be one level below.
    pub(crate) fn child(&self, node: Node<'s>, i: usize, at: &mut Where) -> Result<Node<'s>> {
        let child_ref = node.child(i);
        let child = self.node(child_ref, at)?;
        if child.level() + 1 != node.level() {
            return Err(Error::corrupt(child_ref.id, "it is not one level below its parent"));
        }
        Ok(child)
    }

    /// The value that a leaf's cell holds or leads to.
    pub(crate) fn value(&self, cell: Cell<'s>, leaf: PageId) -> Result<ValueRef<'s>> {
        if !cell.overflow {
            return Ok(ValueRef::Borrowed(cell.body));
        }
        self.long(cell, leaf)?.into_value()
    }

    /// What a leaf's cell holds, without the pages that a long value goes on in.
    pub(crate) fn entry(&self, cell: Cell<'s>, leaf: PageId) -> Result<Entry<'s>> {
        if !cell.overflow {
            return Ok(Entry::Whole(ValueRef::Borrowed(cell.body)));
        }
        match self.long(cell, leaf)? {
            Entry::Long(long) if !long.is_logged() => long.tail().map(Entry::Whole),
            entry => Ok(entry),
        }
    }

    fn long(&self, cell: Cell<'s>, leaf: PageId) -> Result<Entry<'s>> {
        // SAFETY: the roots are live for 's, and the cell was read under them.
        unsafe { LongValue::pinned(self.pager, cell.body, leaf).map(Entry::Long) }
    }

    /// What is stored under `key`, borrowed for as long as the roots live; of a long value no more
    /// than its head is read.
    pub fn find_entry(&self, tree: TreeId, key: &[u8]) -> Result<Option<Entry<'s>>> {
        match self.find_cell(tree, key)? {
            Some((cell, leaf)) => self.entry(cell, leaf).map(Some),
            None => Ok(None),
        }
    }

    /// The value under `key`, borrowed for as long as the roots live.
    #[inline]
    pub fn find(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'s>>> {
        match self.find_cell(tree, key)? {
            Some((cell, leaf)) => self.value(cell, leaf).map(Some),
            None => Ok(None),
        }
    }

    /// The cell of `key`, and the leaf that it lies in.
    #[inline]
    fn find_cell(&self, tree: TreeId, key: &[u8]) -> Result<Option<(Cell<'s>, PageId)>> {
        let root = self.root(tree);
        if root.is_none() {
            return Ok(None);
        }
        let mut at = Where::Anywhere;
        let mut node = self.node(root, &mut at)?;
        let mut id = root.id;
        while !node.is_leaf() {
            let i = node.child_index(key);
            id = node.child(i).id;
            node = self.child(node, i, &mut at)?;
        }
        match node.search(key) {
            Ok(i) => Ok(Some((node.cell(i), id))),
            Err(_) => Ok(None),
        }
    }

    /// A cursor over `tree` that lives as long as the roots.
    pub fn walk(&self, tree: TreeId) -> TreeCursor<'s> {
        TreeCursor::new(*self, tree)
    }
}

impl<'s> View for Reader<'s> {
    type Cursor<'v>
        = TreeCursor<'s>
    where
        Self: 'v;

    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'_>>> {
        self.find(tree, key)
    }

    fn cursor(&self, tree: TreeId) -> TreeCursor<'s> {
        self.walk(tree)
    }

    fn entry(&self, tree: TreeId, key: &[u8]) -> Result<Option<Entry<'_>>> {
        self.find_entry(tree, key)
    }

    fn unborn(&self, descriptor: &[u8]) -> Result<Entry<'_>> {
        self.pager.unborn(descriptor)
    }
}
