//! Making room: an entry goes into a node, which is compacted or split where it must be.
//!
//! A full leaf spreads its entries over a neighbour first. A node that is divided gives even
//! halves, unless keys arrive in order: then what is in order stays full and only what comes next
//! moves on, so that sorted loads fill their pages.

use crate::edit::{Edit, Level};
use crate::entries::{Entries, Incoming};
use crate::node::{ENTRY, Form, Node, NodeMut, common_prefix, encode_child};
use crate::page::{self, HEADER};
use crate::trend::Trend;
use crate::{PageRef, Result};
use llmdb_vfs::planted;
use std::ops::Range;

impl Edit<'_> {
    /// Inserts an entry at index `i` of the path's leaf.
    pub(crate) fn insert(&mut self, i: usize, key: &[u8], body: &[u8], form: Form) -> Result<()> {
        let leaf = self.path.len() - 1;
        let incoming = Incoming { index: i, key, body, form };
        let trend = Trend(page::trend(self.node(leaf).bytes()));
        if self.fit(leaf, &incoming) {
            self.set_trend(leaf, trend.after(i));
            return Ok(());
        }
        let in_order = trend.continues_at(i) || self.is_rightmost(leaf, i);
        if !in_order && self.spread(leaf, &incoming)? {
            return Ok(());
        }
        let (separator, right) = self.split(leaf, &incoming, in_order)?;
        self.enter(leaf, separator, right, trend.continues_at(i))
    }

    /// Enters a child into the parent of `depth`, behind the entry that the path takes there.
    pub(crate) fn enter(
        &mut self,
        depth: usize,
        mut separator: Vec<u8>,
        mut right: PageRef,
        in_order: bool,
    ) -> Result<()> {
        // Each round is one level up; the last may put a new root on top.
        for depth in (0..depth).rev() {
            let index = self.path[depth].index + 1;
            let body = encode_child(right);
            let incoming = Incoming { index, key: &separator, body: &body, form: Form::INLINE };
            if self.fit(depth, &incoming) {
                self.path.clear();
                return Ok(());
            }
            let in_order = in_order || self.is_rightmost(depth, index);
            (separator, right) = self.split(depth, &incoming, in_order)?;
        }
        self.grow_root(&separator, right)
    }

    fn grow_root(&mut self, separator: &[u8], right: PageRef) -> Result<()> {
        let height = self.node(0).level() + 1;
        let left = self.path[0].page;
        let root = self.new_node(height, &[])?;
        let page = root.page;
        self.path.clear();
        self.path.push(root);
        let mut node = self.node_mut(0);
        let fits = node.insert(0, [&[], &[]], &encode_child(left), Form::INLINE)
            && node.insert(1, [separator, &[]], &encode_child(right), Form::INLINE);
        assert!(fits, "two entries fit in an empty node");
        self.set_root(page);
        self.path.clear();
        Ok(())
    }

    fn set_trend(&mut self, depth: usize, trend: Trend) {
        self.node_mut(depth).set_trend(trend);
    }

    /// Whether index `i` of the node at `depth` lies beyond all entries of the tree.
    fn is_rightmost(&self, depth: usize, i: usize) -> bool {
        i == self.node(depth).count()
            && (0..depth).all(|d| self.path[d].index + 1 == self.node(d).count())
    }

    /// Inserts without splitting, compacting or shortening the prefix if that is what it takes.
    pub(crate) fn fit(&mut self, depth: usize, new: &Incoming<'_>) -> bool {
        let node = self.node(depth);
        let prefix_len = node.prefix().len();
        if let Some(suffix) = new.key.strip_prefix(node.prefix()) {
            let needed = ENTRY + suffix.len() + new.body.len();
            if self.node_mut(depth).insert(new.index, [suffix, &[]], new.body, new.form) {
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
        let fits = node.insert(new.index, [&new.key[common..], &[]], new.body, new.form);
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
        let nodes = [Node::new(&old)];
        let entries = Entries::new(&nodes, new);
        let at = halve(&entries, new.index, in_order, self.pager.page_size - HEADER);
        let mut separator = entries.separator(at);
        if planted!("separator_too_far_right") && nodes[0].is_leaf() {
            separator.push(0xff);
        }
        let right = self.new_node(nodes[0].level(), &[])?;
        let left = self.path[depth].clone();
        self.fill(&left, &entries, 0..at);
        self.fill(&right, &entries, at..entries.count());
        if in_order {
            // The run goes on in the half that the new entry went to.
            let (half, start) = if new.index < at { (&left, 0) } else { (&right, at) };
            self.node_of(half).set_trend(Trend::running(new.index - start));
        }
        Ok((separator, right.page))
    }

    /// Makes the page at `level` a node of some of the entries, which are read from copies.
    pub(crate) fn fill(&mut self, level: &Level, entries: &Entries<'_>, range: Range<usize>) {
        let tree = self.tree;
        entries.write(range, tree, &mut self.node_of(level));
    }

    /// A node born now, wherever it hangs.
    fn node_of(&mut self, level: &Level) -> NodeMut<'_> {
        let frame = level.held.frame().expect("a page of the version being made is in a frame");
        assert!(level.own, "only pages of the version being made are edited");
        // SAFETY: the page is born in the version being made, which no reader can see, and
        // `&mut self` excludes any other reference that this writer has handed out.
        NodeMut::new(unsafe { self.pager.frames.bytes_mut(frame) })
    }
}

/// The index that the right half starts with.
fn halve(entries: &Entries<'_>, new: usize, in_order: bool, capacity: usize) -> usize {
    let count = entries.count();
    let fits = |at: &usize| {
        (1..count).contains(at)
            && entries.size(0..*at) <= capacity
            && entries.size(*at..count) <= capacity
    };
    // In order, what came before the new entry stays as it is; in descending order, what came after.
    if in_order && let Some(at) = [new + 1, new].into_iter().find(fits) {
        return at;
    }
    let half = entries.total() / 2;
    let even = entries.sums.partition_point(|&sum| sum < half).clamp(1, count - 1);
    // The even division fits but for a new key that shares no prefix with the rest; such a key is
    // the first or the last, and there is room for it alone.
    (0..count)
        .flat_map(|distance| [even.checked_sub(distance), even.checked_add(distance)])
        .flatten()
        .find(fits)
        .expect("any entry is shorter than half a node")
}
