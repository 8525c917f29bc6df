//! Reading: a view of all trees at one set of roots.

use crate::compress;
use crate::cursor::TreeCursor;
use crate::entry::{Entry, LongValue};
use crate::node::{Form, Node};
use crate::pager::{Pager, Where};
use crate::pin::Pinned;
use crate::roots::{Root, Roots, place_of};
use crate::{Error, PageId, PageRef, Result, TreeId, ValueRef, View};
use std::borrow::Cow;
use std::fmt;

/// All trees as one version has them.
#[derive(Clone, Copy)]
pub struct Reader<'s> {
    pager: &'s Pager,
    roots: &'s [Root],
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
    pub(crate) unsafe fn over(pager: &'s Pager, roots: &'s [Root]) -> Self {
        Reader { pager, roots }
    }

    pub(crate) fn pager(&self) -> &'s Pager {
        self.pager
    }

    /// The longest key.
    pub fn key_len_max(&self) -> usize {
        self.pager.key_len_max()
    }

    #[inline]
    pub(crate) fn root(&self, tree: TreeId) -> PageRef {
        place_of(self.roots, tree).map_or(PageRef::NONE, |at| self.roots[at].1)
    }

    /// The page that `page_ref`, found under these roots, names.
    #[inline]
    pub(crate) fn page(&self, page_ref: PageRef, at: &mut Where) -> Result<Pinned<'s>> {
        // SAFETY: the roots are live for 's (`new`), and `page_ref` was read under them.
        unsafe { self.pager.page(page_ref, at) }
    }

    /// The child of `node` that `child_ref` names, which must be one level below.
    #[inline]
    pub(crate) fn child(
        &self,
        node: Node<'_>,
        child_ref: PageRef,
        at: &mut Where,
    ) -> Result<Pinned<'s>> {
        let child = self.page(child_ref, at)?;
        if Node::new(&child).level() + 1 != node.level() {
            return Err(Error::corrupt(child_ref.id, "it is not one level below its parent"));
        }
        Ok(child)
    }

    /// The value that entry `i` of the leaf `id` holds or leads to.
    #[inline]
    pub(crate) fn value(&self, leaf: &Pinned<'s>, i: usize, id: PageId) -> Result<ValueRef<'s>> {
        if let Some(bytes) = leaf.unlimited() {
            let cell = Node::new(bytes).cell(i);
            if cell.form == Form::INLINE {
                return Ok(ValueRef::Borrowed(cell.body));
            }
        }
        self.entry(leaf, i, id)?.into_value()
    }

    /// What entry `i` of the leaf `id` holds, without the pages that a long value goes on in.
    #[inline(never)]
    pub(crate) fn entry(&self, leaf: &Pinned<'s>, i: usize, id: PageId) -> Result<Entry<'s>> {
        let cell = Node::new(leaf).cell(i);
        if cell.form.is_in_extents() {
            // SAFETY: the roots are live for 's, and the cell was read under them.
            let long = unsafe { LongValue::pinned(self.pager, cell.body, id)? };
            if cell.form.is_packed() {
                let bytes = compress::unpack_value(&long.tail()?, id)?;
                return Ok(Entry::Whole(ValueRef::Owned(bytes)));
            }
            // One that was written ahead begins in the leaf, also where it was moved since.
            return match long.is_logged() || !long.head().is_empty() {
                true => Ok(Entry::Long(long)),
                false => long.tail().map(Entry::Whole),
            };
        }
        if cell.form.is_packed() {
            let bytes = compress::unpack_value(cell.body, id)?;
            return Ok(Entry::Whole(ValueRef::Owned(bytes)));
        }
        let body = Node::new(leaf).body_range(i);
        Ok(Entry::Whole(match leaf.unlimited() {
            Some(bytes) => ValueRef::Borrowed(&bytes[body]),
            None => ValueRef::Pinned(leaf.clone().part(body)),
        }))
    }

    /// A page for whoever judges the file itself: what is in the file is read from there and
    /// verified, whatever is known of it.
    pub(crate) fn page_anew(&self, page_ref: PageRef, at: &mut Where) -> Result<Cow<'s, [u8]>> {
        // SAFETY: the roots are live for 's (`new`), and `page_ref` was read under them.
        if let Some(bytes) = unsafe { self.pager.page_in_frame(page_ref, at)? } {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = vec![0; self.pager.page_size];
        self.pager.read_page(page_ref, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    /// What is stored under `key`, borrowed for as long as the roots live; of a long value no more
    /// than its head is read.
    pub fn find_entry(&self, tree: TreeId, key: &[u8]) -> Result<Option<Entry<'s>>> {
        match self.find_leaf(tree, key)? {
            Some((leaf, i, id)) => self.entry(&leaf, i, id).map(Some),
            None => Ok(None),
        }
    }

    /// The value under `key`, borrowed for as long as the roots live.
    #[inline]
    pub fn find(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'s>>> {
        match self.find_leaf(tree, key)? {
            Some((leaf, i, id)) => self.value(&leaf, i, id).map(Some),
            None => Ok(None),
        }
    }

    /// The leaf that `key` lies in, and its place there.
    #[inline]
    fn find_leaf(&self, tree: TreeId, key: &[u8]) -> Result<Option<(Pinned<'s>, usize, PageId)>> {
        let root = self.root(tree);
        if root.is_none() {
            return Ok(None);
        }
        let mut at = Where::Anywhere;
        let mut page = self.page(root, &mut at)?;
        let mut id = root.id;
        loop {
            let node = Node::new(&page);
            if node.is_leaf() {
                break;
            }
            let child = node.child(node.child_index(key));
            id = child.id;
            page = self.child(node, child, &mut at)?;
        }
        match Node::new(&page).search(key) {
            Ok(i) => Ok(Some((page, i, id))),
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
