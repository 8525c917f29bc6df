//! Changing one tree: descents that remember their path, copy-on-write, puts and deletes.
//!
//! A page born in the version being made is edited in place; any other page is copied first, and
//! with it the path from the root, because a parent names its child's place and stamp. Keys come
//! in ascending order, so the path to one key is most of the path to the next.

use crate::extent::Extents;
use crate::node::{Form, Node, NodeMut, encode_child};
use crate::page;
use crate::pager::{Held, Pager, Where};
use crate::writer::Writer;
use crate::{Error, PageId, PageRef, Result, TreeId};
use llmdb_vfs::planted;
use std::sync::Arc;

/// The edits of one tree, keys ascending.
pub(crate) struct Edit<'w> {
    pub(crate) writer: &'w mut Writer,
    pub(crate) pager: Arc<Pager>,
    pub(crate) tree: TreeId,
    /// From the root to the leaf of the last key; empty when that is not known.
    pub(crate) path: Vec<Level>,
}

/// One node of the path.
#[derive(Clone)]
pub(crate) struct Level {
    pub(crate) page: PageRef,
    pub(crate) held: Held,
    /// Born in the version being made: edited in place.
    pub(crate) own: bool,
    at: Where,
    /// The entry taken.
    pub(crate) index: usize,
}

impl<'w> Edit<'w> {
    pub(crate) fn new(writer: &'w mut Writer, tree: TreeId) -> Self {
        let pager = writer.pager.clone();
        Edit { writer, pager, tree, path: Vec::new() }
    }

    fn root(&self) -> PageRef {
        self.writer.roots.get(self.tree).expect("only trees that are there are edited")
    }

    pub(crate) fn set_root(&mut self, root: PageRef) {
        self.writer.roots.set(self.tree, root);
    }

    /// The node at a level of the path.
    pub(crate) fn node(&self, depth: usize) -> Node<'_> {
        Node::new(self.bytes_of(&self.path[depth]))
    }

    /// The bytes of a node that was loaded.
    pub(crate) fn bytes_of<'b>(&'b self, level: &'b Level) -> &'b [u8] {
        // SAFETY: the newest state reaches the page, and only this writer edits or frees it, which
        // takes `&mut self`; pages of the file that the newest state reaches stay (I1).
        unsafe { self.pager.held(level.page.id, &level.held) }
    }

    /// A node with the same parent as the one at `depth`.
    pub(crate) fn load_beside(&self, depth: usize, page: PageRef) -> Result<Level> {
        let level = self.load(page, self.path[depth - 1].at, 0)?;
        if Node::new(self.bytes_of(&level)).level() != self.node(depth).level() {
            return Err(Error::corrupt(page.id, "it is not one level below its parent"));
        }
        Ok(level)
    }

    /// The node at a level of the path, to be edited.
    pub(crate) fn node_mut(&mut self, depth: usize) -> NodeMut<'_> {
        let level = &self.path[depth];
        assert!(level.own, "only pages of the version being made are edited");
        let frame = level.held.frame().expect("a page of the version being made is in a frame");
        // SAFETY: the page is born in the version being made, which no reader can see, and
        // `&mut self` excludes any other reference that this writer has handed out.
        NodeMut::new(unsafe { self.pager.frames.bytes_mut(frame) })
    }

    pub(crate) fn load(&self, page: PageRef, mut at: Where, index: usize) -> Result<Level> {
        // SAFETY: the newest state reaches the page; nothing is edited or freed meanwhile.
        let held = unsafe { self.pager.page_to_edit(page, &mut at)? };
        let mut level = Level { page, held, own: false, at, index };
        let born = page::birth(self.bytes_of(&level));
        level.own = level.held.frame().is_some() && born == self.writer.version.0;
        Ok(level)
    }

    /// Leads the path to the leaf that covers `key`. `false` if the tree is empty.
    pub(crate) fn position(&mut self, key: &[u8]) -> Result<bool> {
        self.keep_what_covers(key);
        if self.path.is_empty() {
            let root = self.root();
            if root.is_none() {
                return Ok(false);
            }
            let level = self.load(root, Where::Anywhere, 0)?;
            self.path.push(level);
        }
        loop {
            let depth = self.path.len() - 1;
            let node = self.node(depth);
            if node.is_leaf() {
                return Ok(true);
            }
            let (height, index) = (node.level(), node.child_index(key));
            let child = node.child(index);
            self.path[depth].index = index;
            let level = self.load(child, self.path[depth].at, 0)?;
            self.path.push(level);
            if self.node(depth + 1).level() + 1 != height {
                self.path.clear();
                return Err(Error::corrupt(child.id, "it is not one level below its parent"));
            }
        }
    }

    /// Cuts the path to the nodes that cover `key`, which is not below the path's last key: the
    /// separator after the entry taken bounds all that lies below it.
    fn keep_what_covers(&mut self, key: &[u8]) {
        let mut keep = self.path.len();
        for depth in (0..self.path.len().saturating_sub(1)).rev() {
            let (node, next) = (self.node(depth), self.path[depth].index + 1);
            if next < node.count() {
                if node.compare(key, next).is_lt() {
                    break;
                }
                keep = depth + 1;
            }
        }
        self.path.truncate(keep);
    }

    /// Copies the nodes of the path that older versions reach, top down.
    pub(crate) fn make_writable(&mut self) -> Result<()> {
        for depth in 0..self.path.len() {
            if !self.path[depth].own {
                self.path[depth] = self.copy(&self.path[depth].clone())?;
                let page = self.path[depth].page;
                match depth.checked_sub(1) {
                    None => self.set_root(page),
                    Some(parent) => {
                        let index = self.path[parent].index;
                        self.set_child(parent, index, page);
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn set_child(&mut self, depth: usize, index: usize, child: PageRef) {
        let same_length = self.node_mut(depth).overwrite(index, &encode_child(child), Form::INLINE);
        assert!(same_length, "all child references are of one length");
    }

    /// Judges a node of the map whose bytes are about to get a checksum of their own elsewhere: it was
    /// judged when it was first touched, perhaps long ago, and what has rotted since must not.
    pub(crate) fn judge_again(&self, level: &Level) -> Result<()> {
        match level.held {
            Held::InMap => self.pager.seed.verify(self.bytes_of(level), level.page),
            Held::Frame(_) | Held::Copy(_) => Ok(()),
        }
    }

    /// A copy of a node, born now; the original is dropped.
    pub(crate) fn copy(&mut self, level: &Level) -> Result<Level> {
        self.judge_again(level)?;
        let (page, frame) = self.writer.alloc_page()?;
        // SAFETY: the new frame is this writer's alone; see `alloc_page`.
        let new = unsafe { self.pager.frames.bytes_mut(frame) };
        let old = self.bytes_of(level);
        new.copy_from_slice(old);
        let born = page::born(old);
        self.writer.identify(new, page);
        self.writer.drop_page(level.page.id, born)?;
        // Its children may get frames of their own from now on.
        let (held, at) = (Held::Frame(frame), Where::Anywhere);
        Ok(Level { page, held, own: true, at, index: level.index })
    }

    /// An empty node, born now.
    pub(crate) fn new_node(&mut self, height: u8, prefix: &[u8]) -> Result<Level> {
        let (page, frame) = self.writer.alloc_page()?;
        let (held, at) = (Held::Frame(frame), Where::Anywhere);
        let level = Level { page, held, own: true, at, index: 0 };
        // SAFETY: the new frame is this writer's alone; see `alloc_page`.
        let bytes = unsafe { self.pager.frames.bytes_mut(frame) };
        NodeMut::new(bytes).init(height, self.tree, prefix);
        Ok(level)
    }

    /// `key` has the value that `body` stands for from now on.
    pub(crate) fn put(&mut self, key: &[u8], body: &[u8], form: Form) -> Result<()> {
        if !self.position(key)? {
            let leaf = self.new_node(0, &[])?;
            self.set_root(leaf.page);
            self.path.push(leaf);
        }
        let leaf = self.path.len() - 1;
        let found = self.node(leaf).search(key);
        self.make_writable()?;
        let (Ok(i) | Err(i)) = found;
        if found.is_ok() {
            self.drop_extents(i)?;
            if self.node_mut(leaf).overwrite(i, body, form) {
                return Ok(());
            }
            self.node_mut(leaf).remove(i);
        }
        self.insert(i, key, body, form)
    }

    /// `key` has the value from now on that was written ahead, into a run that is reserved.
    pub(crate) fn put_reference(&mut self, key: &[u8], body: &[u8]) -> Result<()> {
        let (extents, head) = Extents::decode(body, PageId(0), self.pager.page_size)?;
        self.writer.take_run(&extents)?;
        let birth = self.writer.version;
        self.put(key, &Extents { birth, logged: true, ..extents }.encode(head), Form::EXTENTS)
    }

    /// `key` is absent from now on.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<()> {
        if !self.position(key)? {
            return Ok(());
        }
        let leaf = self.path.len() - 1;
        let Ok(i) = self.node(leaf).search(key) else { return Ok(()) };
        self.make_writable()?;
        self.drop_extents(i)?;
        self.node_mut(leaf).remove(i);
        self.rebalance()
    }

    /// Drops the pages of the value of entry `i` of the leaf, if it has any.
    fn drop_extents(&mut self, i: usize) -> Result<()> {
        let leaf = self.path.len() - 1;
        let cell = self.node(leaf).cell(i);
        if !cell.form.is_in_extents() || planted!("extents_leak") {
            return Ok(());
        }
        let id: PageId = self.path[leaf].page.id;
        let (extents, _) = Extents::decode(cell.body, id, self.pager.page_size)?;
        self.writer.drop_value(&extents)
    }
}
