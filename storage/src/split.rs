//! Making room: an entry goes into a node, which is compacted or split where it must be.
//!
//! A full node is divided so that its halves are even, unless keys arrive in order: then the left
//! node stays full and only the new entry moves on, so that sorted loads fill their pages.

use crate::edit::{Edit, Level};
use crate::node::{CHILD, ENTRY, Node, NodeMut, common_prefix, encode_child};
use crate::page::HEADER;
use crate::{PageRef, Result};

/// An entry on its way into a node.
struct Incoming<'a> {
    index: usize,
    key: &'a [u8],
    body: &'a [u8],
    overflow: bool,
}

impl Edit<'_> {
    /// Inserts an entry at index `i` of the path's leaf.
    pub(crate) fn insert(
        &mut self,
        i: usize,
        key: &[u8],
        body: &[u8],
        overflow: bool,
    ) -> Result<()> {
        let leaf = self.path.len() - 1;
        let page = self.path[leaf].page.id;
        let in_order = self.is_in_order(leaf, i);
        let incoming = Incoming { index: i, key, body, overflow };
        self.writer.last_insert = Some((page, i));
        if self.fit(leaf, &incoming) {
            return Ok(());
        }
        let (mut separator, mut right) = self.split(leaf, &incoming, in_order)?;
        // Each round is one level up; the last may put a new root on top.
        for depth in (0..leaf).rev() {
            let index = self.path[depth].index + 1;
            let body = encode_child(right);
            let incoming = Incoming { index, key: &separator, body: &body, overflow: false };
            if self.fit(depth, &incoming) {
                self.path.clear();
                return Ok(());
            }
            let in_order = self.is_rightmost(depth, index);
            (separator, right) = self.split(depth, &incoming, in_order)?;
        }
        self.grow_root(&separator, right)
    }

    fn grow_root(&mut self, separator: &[u8], right: PageRef) -> Result<()> {
        let height = self.node(0).level() + 1;
        let left = self.path[0].page;
        let root = self.new_node(height, &[])?;
        self.path.clear();
        self.path.push(root);
        let mut node = self.node_mut(0);
        let fits = node.insert(0, [&[], &[]], &encode_child(left), false)
            && node.insert(1, [separator, &[]], &encode_child(right), false);
        assert!(fits, "two entries fit in an empty node");
        self.set_root(root.page);
        self.path.clear();
        Ok(())
    }

    /// Whether the new entry continues a run of entries that arrive in key order.
    fn is_in_order(&self, depth: usize, i: usize) -> bool {
        let page = self.path[depth].page.id;
        let follows = i.checked_sub(1).is_some_and(|i| self.writer.last_insert == Some((page, i)));
        follows || self.is_rightmost(depth, i)
    }

    /// Whether index `i` of the node at `depth` lies beyond all entries of the tree.
    fn is_rightmost(&self, depth: usize, i: usize) -> bool {
        i == self.node(depth).count()
            && (0..depth).all(|d| self.path[d].index + 1 == self.node(d).count())
    }

    /// Inserts without splitting, compacting or shortening the prefix if that is what it takes.
    fn fit(&mut self, depth: usize, new: &Incoming<'_>) -> bool {
        let node = self.node(depth);
        let prefix_len = node.prefix().len();
        if let Some(suffix) = new.key.strip_prefix(node.prefix()) {
            let needed = ENTRY + suffix.len() + new.body.len();
            if self.node_mut(depth).insert(new.index, [suffix, &[]], new.body, new.overflow) {
                return true;
            }
            if self.node(depth).free_total() < needed {
                return false;
            }
        }
        let node = self.node(depth);
        let common = common_prefix(node.prefix(), new.key);
        let size = node.size_of_range(0, node.count(), common)
            + common
            + ENTRY
            + (new.key.len() - common)
            + new.body.len();
        if size > self.pager.page_size - HEADER {
            return false;
        }
        debug_assert!(common <= prefix_len);
        let old = node.bytes().to_vec();
        let old = Node::new(&old);
        let (height, tree) = (old.level(), self.tree);
        let mut node = self.node_mut(depth);
        node.init(height, tree, &new.key[..common]);
        node.append(old, 0, old.count());
        let fits = node.insert(new.index, [&new.key[common..], &[]], new.body, new.overflow);
        assert!(fits, "the sizes were summed up");
        true
    }

    /// Divides the node at `depth`, the new entry included, in two. Answers the separator and the
    /// right node, which the caller enters into the parent.
    fn split(
        &mut self,
        depth: usize,
        new: &Incoming<'_>,
        in_order: bool,
    ) -> Result<(Vec<u8>, PageRef)> {
        let old = self.node(depth).bytes().to_vec();
        let halves = Halves::new(Node::new(&old), new, self.pager.page_size - HEADER);
        let at = halves.choose(in_order);
        let separator = halves.separator(at);
        let right = self.new_node(halves.old.level(), &[])?;
        let left = self.path[depth];
        self.fill(left, &halves, 0, at);
        self.fill(right, &halves, at, halves.count());
        if new.index >= at {
            // A run of entries in order goes on in the right node.
            let moved = self.writer.last_insert.filter(|last| last.0 == left.page.id);
            if moved.is_some() {
                self.writer.last_insert = Some((right.page.id, new.index - at));
            }
        }
        Ok((separator, right.page))
    }

    fn fill(&mut self, level: Level, halves: &Halves<'_>, from: usize, to: usize) {
        let frame = level.frame.expect("both halves are born now");
        // SAFETY: both halves are pages of the version being made, and `halves` reads a copy.
        let mut node = NodeMut::new(unsafe { self.pager.frames.bytes_mut(frame) });
        node.init(halves.old.level(), self.tree, &halves.prefix(from, to));
        let new = halves.new;
        node.append(halves.old, from.min(new.index), to.min(new.index));
        if (from..to).contains(&new.index) {
            node.push(new.key, new.body, new.overflow);
            node.append(halves.old, new.index, to - 1);
        } else if from > new.index {
            node.append(halves.old, from - 1, to - 1);
        }
    }
}

/// The entries of a node and the new one, in order, and the ways to divide them.
struct Halves<'a> {
    old: Node<'a>,
    new: &'a Incoming<'a>,
    capacity: usize,
    /// Bytes of the entries before each index, keys counted whole.
    sums: Vec<usize>,
}

impl<'a> Halves<'a> {
    fn new(old: Node<'a>, new: &'a Incoming<'a>, capacity: usize) -> Self {
        let mut halves = Halves { old, new, capacity, sums: vec![0] };
        let mut sum = 0;
        for i in 0..halves.count() {
            let body = match halves.original(i) {
                Some(i) => halves.old.cell(i).body.len(),
                None => new.body.len(),
            };
            sum += ENTRY + halves.key_len(i) + body;
            halves.sums.push(sum);
        }
        halves
    }

    fn count(&self) -> usize {
        self.old.count() + 1
    }

    /// The index in the old node; `None` for the new entry.
    fn original(&self, i: usize) -> Option<usize> {
        match i.cmp(&self.new.index) {
            std::cmp::Ordering::Less => Some(i),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(i - 1),
        }
    }

    fn key_len(&self, i: usize) -> usize {
        match self.original(i) {
            Some(i) => self.old.prefix().len() + self.old.cell(i).suffix.len(),
            None => self.new.key.len(),
        }
    }

    fn key(&self, i: usize) -> Vec<u8> {
        match self.original(i) {
            Some(i) => [self.old.prefix(), self.old.cell(i).suffix].concat(),
            None => self.new.key.to_vec(),
        }
    }

    /// The first entry of a branch stands for everything below the second: its key is not kept.
    fn keyless(&self) -> usize {
        usize::from(!self.old.is_leaf())
    }

    fn prefix(&self, from: usize, to: usize) -> Vec<u8> {
        let first = from + self.keyless();
        if first >= to {
            return Vec::new();
        }
        let mut key = self.key(first);
        let len = common_prefix(&key, &self.key(to - 1));
        key.truncate(len);
        key
    }

    fn size(&self, from: usize, to: usize) -> usize {
        let prefix = self.prefix(from, to).len();
        let mut size = self.sums[to] - self.sums[from] + prefix;
        if self.keyless() == 1 {
            size = self.sums[to] - self.sums[from + 1] + prefix + ENTRY + CHILD;
        }
        size - prefix * (to - from - self.keyless())
    }

    fn fits(&self, at: usize) -> bool {
        self.size(0, at) <= self.capacity && self.size(at, self.count()) <= self.capacity
    }

    /// The index that the right half starts with.
    fn choose(&self, in_order: bool) -> usize {
        let (i, count) = (self.new.index, self.count());
        if in_order {
            let ends_with_new = i + 1;
            for at in [ends_with_new, i] {
                if (1..count).contains(&at) && self.fits(at) {
                    return at;
                }
            }
        }
        let half = self.sums[count] / 2;
        let even = self.sums.partition_point(|&sum| sum < half).clamp(1, count - 1);
        // The even division fits but for a new key that shares no prefix with the rest; such a
        // key is the first or the last, and there is room for it alone.
        (0..count)
            .flat_map(|distance| [even.checked_sub(distance), even.checked_add(distance)])
            .flatten()
            .find(|at| (1..count).contains(at) && self.fits(*at))
            .expect("any entry is shorter than half a node")
    }

    /// The shortest key that divides the halves; in a branch, the key that moves up.
    fn separator(&self, at: usize) -> Vec<u8> {
        let mut right = self.key(at);
        if self.old.is_leaf() {
            let shared = common_prefix(&self.key(at - 1), &right);
            right.truncate(shared + 1);
        }
        right
    }
}
