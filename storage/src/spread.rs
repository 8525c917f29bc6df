//! Spreading: a full leaf shares its entries with a neighbour before a page is added.
//!
//! Where the neighbour has room the two are evened out. Where it is full too, the two become
//! three, each two thirds full, instead of one becoming two halves: the *B\*-tree* of Knuth (The
//! Art of Computer Programming, volume 3, 6.2.4). Entries that arrive at random fill more than three
//! quarters of all pages instead of two thirds, for one more leaf written in each such round.

use crate::edit::Edit;
use crate::entries::{Entries, Incoming};
use crate::node::{CHILD, ENTRY, Form, Node, encode_child};
use crate::page::HEADER;
use crate::{Error, Result};
use llmdb_vfs::planted;

/// Two leaves are evened out if that leaves this part of a page free in each; else the next entry
/// would do it all over again.
const ROOM: usize = 8;

impl Edit<'_> {
    /// Makes room for an entry of the leaf at `depth` together with a neighbour under the same
    /// parent, and puts it in. Answers whether it did; nothing has changed if not. The path is
    /// forgotten if it did.
    pub(crate) fn spread(&mut self, depth: usize, new: &Incoming<'_>) -> Result<bool> {
        let Some(above) = depth.checked_sub(1) else { return Ok(false) };
        let (parent, index) = (self.node(above), self.path[above].index);
        let left_index = match index {
            index if index + 1 < parent.count() => index,
            0 => return Ok(false),
            index => index - 1,
        };
        let is_left = left_index == index;
        let mut old_separator = Vec::new();
        parent.key_into(left_index + 1, &mut old_separator);
        let neighbour = parent.child(if is_left { index + 1 } else { left_index });
        let neighbour = self.load_beside(depth, neighbour)?;
        let own = self.node(depth).bytes().to_vec();
        let other = self.bytes_of(&neighbour).to_vec();
        let (left, right) = if is_left { (&own, &other) } else { (&other, &own) };
        let nodes = [Node::new(left), Node::new(right)];
        let [left, right] = nodes;
        // Each is in order, but was not compared with the other.
        let ordered = left.compare(&old_separator, left.count() - 1).is_gt()
            && right.compare(&old_separator, 0).is_le();
        if !ordered {
            return Err(Error::corrupt(neighbour.page.id, "its keys lie beyond its separator"));
        }
        let index = if is_left { new.index } else { left.count() + new.index };
        let new = Incoming { index, ..*new };
        let entries = Entries::new(&nodes, &new);
        let capacity = self.pager.page_size - HEADER;
        let parts = if entries.total() <= 2 * (capacity - capacity / ROOM) { 2 } else { 3 };
        let Some(cuts) = divide(&entries, parts, capacity) else { return Ok(false) };
        let separators: Vec<Vec<u8>> = cuts.iter().map(|at| entries.separator(*at)).collect();
        if !self.has_room_above(above, left_index + 1, &separators) {
            return Ok(false);
        }

        let neighbour = if neighbour.own { neighbour } else { self.copy(&neighbour)? };
        let full = self.path[depth].clone();
        let (first, last) = if is_left { (full, neighbour) } else { (neighbour, full) };
        let mut levels = vec![first];
        if parts == 3 {
            levels.push(self.new_node(0, &[])?);
        }
        levels.push(last);
        let ends = cuts.iter().copied().chain([entries.count()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        for (level, (mut from, to)) in levels.iter().zip(starts.zip(ends)) {
            if from > 0 && from + 1 < to && planted!("spread_loses_an_entry") {
                from += 1;
            }
            self.fill(level, &entries, from..to);
        }
        self.set_child(above, left_index, levels[0].page);
        self.node_mut(above).remove(left_index + 1);
        for (i, (separator, level)) in separators.iter().zip(&levels[1..]).enumerate() {
            let body = encode_child(level.page);
            let entry = Incoming {
                index: left_index + 1 + i,
                key: separator,
                body: &body,
                form: Form::INLINE,
            };
            let fits = self.fit(above, &entry);
            assert!(fits, "room in the parent was counted before");
        }
        self.path.clear();
        Ok(true)
    }

    /// Whether entry `i` of the branch at `depth` can be replaced by one for each of `separators`.
    fn has_room_above(&self, depth: usize, i: usize, separators: &[Vec<u8>]) -> bool {
        let node = self.node(depth);
        let freed = ENTRY + node.cell(i).suffix.len() + CHILD;
        let mut needed = 0;
        for separator in separators {
            let Some(suffix) = separator.strip_prefix(node.prefix()) else { return false };
            needed += ENTRY + suffix.len() + CHILD;
        }
        needed <= node.free_total() + freed
    }
}

/// Where to cut the entries into so many parts of about the same size, if each fits in a page.
fn divide(entries: &Entries<'_>, parts: usize, capacity: usize) -> Option<Vec<usize>> {
    let (count, total) = (entries.count(), entries.total());
    let mut cuts = Vec::with_capacity(parts - 1);
    let mut from = 0;
    for part in 1..parts {
        let even = entries.sums.partition_point(|sum| *sum < total * part / parts);
        let at = even.clamp(from + 1, count - (parts - part));
        cuts.push(at);
        from = at;
    }
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([count]);
    starts.zip(ends).all(|(from, to)| entries.size(from..to) <= capacity).then_some(cuts)
}
