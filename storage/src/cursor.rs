//! A position in a tree, moved in both directions.
//!
//! The cursor remembers its path from the root, so a step costs a slot of the same leaf most of
//! the time. The key under it is assembled once per step from the leaf's prefix and the suffix.

use crate::node::Node;
use crate::pager::Where;
use crate::pin::Pinned;
use crate::read_ahead::{Direction, ReadAhead};
use crate::reader::Reader;
use crate::{Cursor, Entry, Error, PageId, Result, TreeId, ValueRef};
use std::cmp::Ordering;
use std::fmt;

/// A position in a tree of one snapshot.
pub struct TreeCursor<'s> {
    reader: Reader<'s>,
    tree: TreeId,
    /// From the root to the leaf; empty where the cursor stands nowhere.
    path: Vec<Step<'s>>,
    /// Why it stands nowhere, if a move failed: the next steps fail alike.
    failed: Option<Box<Error>>,
    key: Vec<u8>,
    /// Kept for its memory.
    spare: Vec<u8>,
    read_ahead: ReadAhead,
}

/// A page that the cursor stands on or came by; it stays in memory meanwhile.
struct Step<'s> {
    page: Pinned<'s>,
    index: usize,
    id: PageId,
    at: Where,
}

impl Step<'_> {
    fn node(&self) -> Node<'_> {
        Node::new(&self.page)
    }
}

impl fmt::Debug for TreeCursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeCursor")
            .field("tree", &self.tree)
            .field("standing", &!self.path.is_empty())
            .finish()
    }
}

impl<'s> TreeCursor<'s> {
    pub(crate) fn new(reader: Reader<'s>, tree: TreeId) -> Self {
        TreeCursor {
            reader,
            tree,
            path: Vec::new(),
            failed: None,
            key: Vec::new(),
            spare: Vec::new(),
            read_ahead: ReadAhead::new(),
        }
    }

    /// Walks down from the root; `choose` picks the entry of each branch. The leaf's index is 0.
    fn descend(&mut self, choose: impl Fn(Node<'_>) -> usize) -> Result<bool> {
        self.path.clear();
        self.failed = None;
        self.read_ahead.restart();
        let root = self.reader.root(self.tree);
        if root.is_none() {
            return Ok(false);
        }
        let mut at = Where::Anywhere;
        match self.reader.page(root, &mut at) {
            Ok(page) => self.path.push(Step { page, index: 0, id: root.id, at }),
            Err(error) => return Err(self.fail(error)),
        }
        self.descend_from_here(choose)?;
        Ok(true)
    }

    /// Walks on down from the last step.
    fn descend_from_here(&mut self, choose: impl Fn(Node<'_>) -> usize) -> Result<()> {
        loop {
            let step = self.path.last_mut().expect("a descent starts from a node");
            if step.node().is_leaf() {
                return Ok(());
            }
            step.index = choose(step.node());
            self.push_child()?;
        }
    }

    /// Enters the child that the last step's index leads to. On an error the cursor stands nowhere.
    fn push_child(&mut self) -> Result<()> {
        let step = self.path.last().expect("a child has a parent");
        let mut at = step.at;
        let child = step.node().child(step.index);
        match self.reader.child(step.node(), child, &mut at) {
            Ok(page) => {
                self.path.push(Step { page, index: 0, id: child.id, at });
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Stands nowhere from now on, and remembers why.
    fn fail(&mut self, error: Error) -> Error {
        self.path.clear();
        self.failed = Some(Box::new(error.clone()));
        error
    }

    /// What a step gives where the cursor stands nowhere.
    fn nowhere(&self) -> Result<bool> {
        match &self.failed {
            Some(error) => Err((**error).clone()),
            None => Ok(false),
        }
    }

    fn leaf(&mut self) -> &mut Step<'s> {
        self.path.last_mut().expect("the cursor stands in a leaf")
    }

    /// Takes the key of the entry under the cursor.
    fn arrive(&mut self) -> Result<bool> {
        let step = self.path.last().expect("the cursor stands in a leaf");
        Node::new(&step.page).key_into(step.index, &mut self.key);
        Ok(true)
    }

    /// Takes the key of the entry under the cursor, the first of a leaf that was entered sideways.
    /// Separators are not compared with keys on the way down, so a forged file may have leaves out
    /// of order; whoever seeks on from the last key would then go round in circles.
    fn arrive_beyond(&mut self, last: Vec<u8>, order: Ordering) -> Result<bool> {
        self.arrive()?;
        let in_order = self.key.cmp(&last) == order;
        self.spare = last;
        if in_order {
            return Ok(true);
        }
        let id = self.leaf().id;
        Err(self.fail(Error::corrupt(id, "its keys are out of order with the leaf beside it")))
    }

    /// Leaves the exhausted leaf upwards to the nearest branch with a further entry.
    fn next_leaf(&mut self) -> Result<bool> {
        let last = self.last_key();
        self.path.pop();
        while let Some(step) = self.path.last_mut() {
            if step.index + 1 < step.node().count() {
                step.index += 1;
                self.descend_sideways(Direction::Up)?;
                return self.arrive_beyond(last, Ordering::Greater);
            }
            self.path.pop();
        }
        Ok(false)
    }

    fn prev_leaf(&mut self) -> Result<bool> {
        let first = self.first_key();
        self.path.pop();
        while let Some(step) = self.path.last_mut() {
            if step.index > 0 {
                step.index -= 1;
                self.descend_sideways(Direction::Down)?;
                let leaf = self.leaf();
                leaf.index = leaf.node().count() - 1;
                return self.arrive_beyond(first, Ordering::Less);
            }
            self.path.pop();
        }
        Ok(false)
    }

    /// Walks down from the last step, whose index was moved by one, to the nearest leaf.
    fn descend_sideways(&mut self, direction: Direction) -> Result<()> {
        loop {
            let step = self.path.last().expect("a descent starts from a node");
            if step.node().level() == 1 && step.at == Where::InFile {
                let pager = self.reader.pager();
                self.read_ahead.enter(pager, step.node(), step.id, step.index, direction);
            }
            self.push_child()?;
            let step = self.path.last_mut().expect("just pushed");
            if step.node().is_leaf() {
                return Ok(());
            }
            step.index = match direction {
                Direction::Up => 0,
                Direction::Down => step.node().count() - 1,
            };
        }
    }

    /// The last key of the leaf under the cursor.
    fn last_key(&mut self) -> Vec<u8> {
        let mut key = std::mem::take(&mut self.spare);
        let node = self.leaf().node();
        node.key_into(node.count() - 1, &mut key);
        key
    }

    /// The first key of the leaf under the cursor.
    fn first_key(&mut self) -> Vec<u8> {
        let mut key = std::mem::take(&mut self.spare);
        self.leaf().node().key_into(0, &mut key);
        key
    }

    /// The value under the cursor, borrowed for as long as the snapshot.
    #[inline]
    pub fn value_ref(&self) -> Result<ValueRef<'s>> {
        let step = self.path.last().expect("the cursor stands on an entry");
        self.reader.value(&step.page, step.index, step.id)
    }
}

impl Cursor for TreeCursor<'_> {
    fn seek(&mut self, key: &[u8]) -> Result<bool> {
        if !self.descend(|node| node.child_index(key))? {
            return Ok(false);
        }
        let leaf = self.leaf();
        match leaf.node().search(key) {
            Ok(i) => leaf.index = i,
            Err(i) if i < leaf.node().count() => leaf.index = i,
            Err(_) => return self.next_leaf(),
        }
        self.arrive()
    }

    fn seek_at_most(&mut self, key: &[u8]) -> Result<bool> {
        if !self.descend(|node| node.child_index(key))? {
            return Ok(false);
        }
        let leaf = self.leaf();
        match leaf.node().search(key) {
            Ok(i) => leaf.index = i,
            Err(0) => return self.prev_leaf(),
            Err(i) => leaf.index = i - 1,
        }
        self.arrive()
    }

    fn first(&mut self) -> Result<bool> {
        Ok(self.descend(|_| 0)? && self.arrive()?)
    }

    fn last(&mut self) -> Result<bool> {
        if !self.descend(|node| node.count() - 1)? {
            return Ok(false);
        }
        let leaf = self.leaf();
        leaf.index = leaf.node().count() - 1;
        self.arrive()
    }

    fn next(&mut self) -> Result<bool> {
        let Some(leaf) = self.path.last_mut() else { return self.nowhere() };
        if leaf.index + 1 < leaf.node().count() {
            leaf.index += 1;
            return self.arrive();
        }
        self.next_leaf()
    }

    fn prev(&mut self) -> Result<bool> {
        let Some(leaf) = self.path.last_mut() else { return self.nowhere() };
        if leaf.index > 0 {
            leaf.index -= 1;
            return self.arrive();
        }
        self.prev_leaf()
    }

    fn key(&self) -> &[u8] {
        assert!(!self.path.is_empty(), "the cursor stands on no entry");
        &self.key
    }

    fn value(&self) -> Result<ValueRef<'_>> {
        self.value_ref()
    }

    fn entry(&self) -> Result<Entry<'_>> {
        let step = self.path.last().expect("the cursor stands on an entry");
        self.reader.entry(&step.page, step.index, step.id)
    }
}
