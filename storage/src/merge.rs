//! Shrinking: nodes that deletions have emptied are removed, thin ones are merged with a sibling.

use crate::edit::Edit;
use crate::node::{Form, Node, NodeMut, common_prefix};
use crate::page::{self, HEADER};
use crate::pager::Where;
use crate::{Error, PageRef, Result, TreeId};
use llmdb_vfs::planted;

/// A node that uses less than a third of its page looks for a sibling to merge with.
const THIN: usize = 3;

impl Edit<'_> {
    /// Restores the shape of the tree after an entry of the path's leaf was removed. The path is
    /// forgotten if any node above the leaf changed.
    pub(crate) fn rebalance(&mut self) -> Result<()> {
        let mut depth = self.path.len() - 1;
        while depth > 0 {
            let node = self.node(depth);
            if node.count() == 0 {
                self.remove_from_parent(depth, self.path[depth - 1].index)?;
            } else if node.used() * THIN >= self.pager.page_size - HEADER
                || !self.merge_with_sibling(depth)?
            {
                return Ok(());
            }
            self.path.truncate(depth);
            depth -= 1;
        }
        self.shrink_root()
    }

    /// Drops the page that entry `index` of the parent of `depth` leads to, and the entry.
    fn remove_from_parent(&mut self, depth: usize, index: usize) -> Result<()> {
        let page = self.node(depth - 1).child(index).id;
        // Both nodes of a merge, and any node emptied, were made writable: born now.
        self.writer.drop_page(page, self.writer.version)?;
        self.node_mut(depth - 1).remove(index);
        self.node_mut(depth - 1).tidy_branch();
        Ok(())
    }

    /// Merges the node at `depth` with a neighbour if both fit in one page; answers whether it did.
    fn merge_with_sibling(&mut self, depth: usize) -> Result<bool> {
        let (parent, index) = (self.node(depth - 1), self.path[depth - 1].index);
        let left_index = match index {
            index if index + 1 < parent.count() => index,
            0 => return Ok(false),
            index => index - 1,
        };
        let sibling_index = if left_index == index { index + 1 } else { left_index };
        let mut separator = Vec::new();
        parent.key_into(left_index + 1, &mut separator);
        let sibling = parent.child(sibling_index);
        let sibling = self.load_beside(depth, sibling)?;
        let node = self.bytes_of(&sibling).to_vec();
        let born = page::born(&node);
        let own = self.node(depth).bytes().to_vec();
        let (left, right) = if left_index == index { (&own, &node) } else { (&node, &own) };
        let joined = Joined::new(Node::new(left), Node::new(right), &separator);
        if !joined.is_ordered() {
            return Err(Error::corrupt(sibling.page.id, "its keys lie beyond its separator"));
        }
        if joined.size() > self.pager.page_size - HEADER {
            return Ok(false);
        }
        self.judge_again(&sibling)?;
        // The merged node takes the place of the one that is writable already.
        let mut merged = self.node_mut(depth);
        joined.write(&mut merged);
        let page = self.path[depth].page;
        self.set_child(depth - 1, left_index, page);
        if !planted!("merged_page_leaks") {
            self.writer.drop_page(sibling.page.id, born)?;
        }
        self.node_mut(depth - 1).remove(left_index + 1);
        self.node_mut(depth - 1).tidy_branch();
        Ok(true)
    }

    /// A root without entries is no root; a branch with one child hands its place to it.
    fn shrink_root(&mut self) -> Result<()> {
        let node = self.node(0);
        match (node.count(), node.is_leaf()) {
            (0, _) => {
                let page = self.path[0].page;
                self.writer.drop_page(page.id, self.writer.version)?;
                self.set_root(PageRef::NONE);
            }
            (1, false) => {
                let child = node.child(0);
                let page = self.path[0].page;
                self.writer.drop_page(page.id, self.writer.version)?;
                self.set_root(child);
                // The child may be such a branch itself, from merges further down.
                let level = self.load(child, Where::Anywhere, 0)?;
                self.path.clear();
                self.path.push(level);
                if !self.node(0).is_leaf() && self.node(0).count() == 1 {
                    self.make_writable()?;
                    return self.shrink_root();
                }
            }
            _ => return Ok(()),
        }
        self.path.clear();
        Ok(())
    }
}

/// Two neighbours as one node.
struct Joined<'a> {
    left: Node<'a>,
    right: Node<'a>,
    /// The key that the parent divided them by: the key of a right branch's first entry.
    separator: &'a [u8],
    prefix: Vec<u8>,
}

impl<'a> Joined<'a> {
    fn new(left: Node<'a>, right: Node<'a>, separator: &'a [u8]) -> Self {
        let (mut first, mut last) = (separator.to_vec(), separator.to_vec());
        let keyless = usize::from(!left.is_leaf());
        if left.count() > keyless {
            left.key_into(keyless, &mut first);
        }
        if right.count() > keyless {
            right.key_into(right.count() - 1, &mut last);
        }
        first.truncate(common_prefix(&first, &last));
        Joined { left, right, separator, prefix: first }
    }

    /// Whether the separator divides the two: each is in order, but was not compared with the other.
    fn is_ordered(&self) -> bool {
        let keyless = usize::from(!self.left.is_leaf());
        let below = self.left.count() <= keyless
            || self.left.compare(self.separator, self.left.count() - 1).is_gt();
        let above =
            self.right.count() <= keyless || self.right.compare(self.separator, keyless).is_le();
        below && above
    }

    fn size(&self) -> usize {
        let prefix = self.prefix.len();
        let size = |node: Node<'_>| node.size_of_range(0, node.count(), prefix);
        let key = if self.left.is_leaf() { 0 } else { self.separator.len() - prefix };
        prefix + size(self.left) + size(self.right) + key
    }

    fn write(&self, to: &mut NodeMut<'_>) {
        let tree = TreeId(page::tree(self.left.bytes()));
        to.init(self.left.level(), tree, &self.prefix);
        to.append(self.left, 0, self.left.count());
        let mut from = 0;
        if !self.right.is_leaf() {
            to.push(self.separator, self.right.cell(0).body, Form::INLINE);
            from = 1;
        }
        to.append(self.right, from, self.right.count());
    }
}
