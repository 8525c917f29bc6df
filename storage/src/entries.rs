//! Entries on their way into nodes: those of one or two full nodes and a new one, in order, and
//! what any stretch of them would take as a node of its own.

use crate::TreeId;
use crate::node::{CHILD, ENTRY, Form, Node, NodeMut, common_prefix};
use std::ops::Range;

/// An entry on its way into a node.
pub(crate) struct Incoming<'a> {
    pub(crate) index: usize,
    pub(crate) key: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) form: Form,
}

/// The entries of neighbours and a new one, in order.
pub(crate) struct Entries<'a> {
    nodes: &'a [Node<'a>],
    new: &'a Incoming<'a>,
    /// Bytes of the entries before each index, keys counted whole.
    pub(crate) sums: Vec<usize>,
}

/// Where an entry comes from.
enum Origin<'a> {
    New,
    Old(Node<'a>, usize),
}

impl<'a> Entries<'a> {
    /// Those of `nodes`, with `new` at its index among them all. Several nodes must be leaves.
    pub(crate) fn new(nodes: &'a [Node<'a>], new: &'a Incoming<'a>) -> Self {
        debug_assert!(nodes.len() == 1 || nodes.iter().all(|node| node.is_leaf()));
        let mut entries = Entries { nodes, new, sums: vec![0] };
        let mut sum = 0;
        for i in 0..entries.count() {
            let body = match entries.origin(i) {
                Origin::Old(node, i) => node.cell(i).body.len(),
                Origin::New => new.body.len(),
            };
            sum += ENTRY + entries.key_len(i) + body;
            entries.sums.push(sum);
        }
        entries
    }

    pub(crate) fn count(&self) -> usize {
        self.nodes.iter().map(|node| node.count()).sum::<usize>() + 1
    }

    /// Bytes of all of them, keys counted whole.
    pub(crate) fn total(&self) -> usize {
        self.sums[self.count()]
    }

    fn origin(&self, i: usize) -> Origin<'a> {
        let mut i = match i.cmp(&self.new.index) {
            std::cmp::Ordering::Less => i,
            std::cmp::Ordering::Equal => return Origin::New,
            std::cmp::Ordering::Greater => i - 1,
        };
        for node in self.nodes {
            match i.checked_sub(node.count()) {
                Some(beyond) => i = beyond,
                None => return Origin::Old(*node, i),
            }
        }
        unreachable!("indices are below `count`")
    }

    fn key_len(&self, i: usize) -> usize {
        match self.origin(i) {
            Origin::Old(node, i) => node.prefix().len() + node.cell(i).suffix.len(),
            Origin::New => self.new.key.len(),
        }
    }

    fn key(&self, i: usize) -> Vec<u8> {
        match self.origin(i) {
            Origin::Old(node, i) => [node.prefix(), node.cell(i).suffix].concat(),
            Origin::New => self.new.key.to_vec(),
        }
    }

    fn is_leaf(&self) -> bool {
        self.nodes[0].is_leaf()
    }

    /// The first entry of a branch stands for everything below the second: its key is not kept.
    fn keyless(&self) -> usize {
        usize::from(!self.is_leaf())
    }

    fn prefix(&self, range: &Range<usize>) -> Vec<u8> {
        let first = range.start + self.keyless();
        if first >= range.end {
            return Vec::new();
        }
        let mut key = self.key(first);
        let len = common_prefix(&key, &self.key(range.end - 1));
        key.truncate(len);
        key
    }

    /// Bytes that a node of these entries uses.
    pub(crate) fn size(&self, range: Range<usize>) -> usize {
        let prefix = self.prefix(&range).len();
        let mut size = self.sums[range.end] - self.sums[range.start] + prefix;
        if self.keyless() == 1 {
            size = self.sums[range.end] - self.sums[range.start + 1] + prefix + ENTRY + CHILD;
        }
        size - prefix * (range.len() - self.keyless())
    }

    /// The shortest key that divides the entries before `at` from the others; in a branch, the
    /// key that moves up.
    pub(crate) fn separator(&self, at: usize) -> Vec<u8> {
        let mut right = self.key(at);
        if self.is_leaf() {
            let shared = common_prefix(&self.key(at - 1), &right);
            right.truncate(shared + 1);
        }
        right
    }

    /// Makes `to` a node of these entries.
    pub(crate) fn write(&self, range: Range<usize>, tree: TreeId, to: &mut NodeMut<'_>) {
        to.init(self.nodes[0].level(), tree, &self.prefix(&range));
        let mut i = range.start;
        while i < range.end {
            match self.origin(i) {
                Origin::New => {
                    to.push(self.new.key, self.new.body, self.new.form);
                    i += 1;
                }
                Origin::Old(node, from) => {
                    let before_new = self.new.index.checked_sub(i).unwrap_or(usize::MAX);
                    let run = (range.end - i).min(before_new).min(node.count() - from);
                    to.append(node, from, from + run);
                    i += run;
                }
            }
        }
    }
}
