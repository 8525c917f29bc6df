//! A B+tree node, leaf or branch: a slotted page that is searched and edited in place.
//!
//! ```text
//! | header | heads: count x u32 | slots: count x u16 | free | cells ... | prefix |
//! 0        40                   40+4c                40+6c  size-cells_len    size
//!
//! cell := suffix_len u16 | value_len u16 (bit 15: the value lies in extents, 14: it is compressed) | suffix | value
//! ```
//!
//! All keys of a node share `prefix`, which is stored once. Of what follows, the *suffix*, the
//! first four bytes stand as a big-endian number (padded with zeros) in `heads`, so that a search
//! touches this one dense array and then, most often, a single cell. Entries are in key order;
//! cells lie in any order. The value of a branch entry is its child: page id (u48) and stamp
//! (u32). The key of a branch's first entry is never looked at: it stands for "below the second".
//!
//! What is free in a node, removed cells included, is zero: no page carries bytes of entries that
//! it no longer has.
//!
//! [`Node::validate`] is run once on bytes from the file; after it, every accessor may trust the
//! offsets it reads (a violation panics on a slice bound, it never reads outside the page).

use crate::page::{self, HEADER, Kind};
use crate::trend::Trend;
use crate::{Error, PageId, PageRef, Result, TreeId};
use std::cmp::Ordering;

const HEAD: usize = 4;
const SLOT: usize = 2;
/// What one entry takes beside its suffix and value.
pub(crate) const ENTRY: usize = HEAD + SLOT + CELL;
const CELL: usize = 4;
/// Bytes of a child reference in a branch.
pub(crate) const CHILD: usize = 10;
/// No tree is higher: 3 entries a node at the least give 3^40 leaves.
pub(crate) const LEVELS_MAX: usize = 40;

/// The first four bytes of a suffix as a number that orders as they do.
fn head_of(suffix: &[u8]) -> u32 {
    match suffix.first_chunk::<4>() {
        Some(head) => u32::from_be_bytes(*head),
        None => {
            let mut head = [0; 4];
            head[..suffix.len()].copy_from_slice(suffix);
            u32::from_be_bytes(head)
        }
    }
}

/// The longest key at a page size.
pub(crate) fn key_len_max(page_size: usize) -> usize {
    page_size / 4 - 24
}

/// The longest body: a quarter of a page, less where its length field would run over.
fn inline_max(page_size: usize) -> usize {
    (page_size / 4).min((1 << 14) - 1)
}

/// Whether a value lies in the leaf, beside its key. Two of the longest entries fit in a node.
pub(crate) fn is_inline(page_size: usize, key_len: usize, value_len: usize) -> bool {
    value_len <= inline_max(page_size) && key_len + value_len <= page_size / 16 * 7
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]) as usize
}

/// How many leading bytes two keys share.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A node as readers see it.
#[derive(Clone, Copy)]
pub(crate) struct Node<'p>(&'p [u8]);

/// How the body of an entry stands for its value: the two top bits of its length field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Form(u16);

impl Form {
    /// The value itself; in a branch, a child.
    pub(crate) const INLINE: Form = Form(0);
    /// The descriptor of the value's extents.
    pub(crate) const EXTENTS: Form = Form(1 << 15);
    const PACKED: u16 = 1 << 14;
    const MASK: u16 = Form::EXTENTS.0 | Form::PACKED;

    /// The same, of a value that is stored compressed.
    pub(crate) fn packed(self) -> Form {
        Form(self.0 | Form::PACKED)
    }

    pub(crate) fn is_in_extents(self) -> bool {
        self.0 & Form::EXTENTS.0 != 0
    }

    pub(crate) fn is_packed(self) -> bool {
        self.0 & Form::PACKED != 0
    }
}

/// What a leaf entry holds.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'p> {
    pub(crate) suffix: &'p [u8],
    /// The value itself, or the descriptor of its extents.
    pub(crate) body: &'p [u8],
    pub(crate) form: Form,
}

impl Cell<'_> {
    fn len(&self) -> usize {
        CELL + self.suffix.len() + self.body.len()
    }
}

impl<'p> Node<'p> {
    pub(crate) fn new(page: &'p [u8]) -> Self {
        Node(page)
    }

    pub(crate) fn bytes(self) -> &'p [u8] {
        self.0
    }

    pub(crate) fn count(self) -> usize {
        page::count(self.0) as usize
    }

    pub(crate) fn level(self) -> u8 {
        page::level(self.0)
    }

    pub(crate) fn is_leaf(self) -> bool {
        self.level() == 0
    }

    #[inline]
    pub(crate) fn prefix(self) -> &'p [u8] {
        &self.0[self.0.len() - page::prefix_len(self.0) as usize..]
    }

    #[inline]
    fn head(self, i: usize) -> u32 {
        let at = HEADER + HEAD * i;
        u32::from_le_bytes(self.0[at..at + HEAD].try_into().expect("four bytes"))
    }

    #[inline]
    fn slot(self, i: usize) -> usize {
        u16_at(self.0, HEADER + HEAD * self.count() + SLOT * i)
    }

    #[inline]
    pub(crate) fn cell(self, i: usize) -> Cell<'p> {
        let at = self.slot(i);
        let (suffix_len, value) = (u16_at(self.0, at), u16_at(self.0, at + 2) as u16);
        let (suffix, rest) = self.0[at + CELL..].split_at(suffix_len);
        let body = &rest[..(value & !Form::MASK) as usize];
        Cell { suffix, body, form: Form(value & Form::MASK) }
    }

    /// Where in the page the body of entry `i` lies.
    pub(crate) fn body_range(self, i: usize) -> std::ops::Range<usize> {
        let cell = self.cell(i);
        let start = self.slot(i) + CELL + cell.suffix.len();
        start..start + cell.body.len()
    }

    /// The child that entry `i` of a branch leads to.
    pub(crate) fn child(self, i: usize) -> PageRef {
        decode_child(self.cell(i).body)
    }

    /// Writes the whole key of entry `i` into `key`.
    pub(crate) fn key_into(self, i: usize, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(self.prefix());
        key.extend_from_slice(self.cell(i).suffix);
    }

    /// How `key` compares with the key of entry `i`.
    pub(crate) fn compare(self, key: &[u8], i: usize) -> Ordering {
        let prefix = self.prefix();
        let shared = key.len().min(prefix.len());
        key[..shared].cmp(prefix).then_with(|| key[shared..].cmp(self.cell(i).suffix))
    }

    /// Where `key` is among the entries from `from` on: `Ok` its index, or `Err` where it would go.
    #[inline]
    fn search_from(self, from: usize, key: &[u8]) -> Result<usize, usize> {
        let count = self.count();
        let prefix = self.prefix();
        let Some(suffix) = key.strip_prefix(prefix) else {
            return Err(if key < prefix { from } else { count });
        };
        let head = head_of(suffix);
        let low = self.lower_bound(from, count, head);
        let mut high = low;
        // Most heads are unique: look at one neighbour before searching for the end of the run.
        if high < count && self.head(high) == head {
            high += 1;
            if high < count && self.head(high) == head {
                high = match head.checked_add(1) {
                    Some(next) => self.lower_bound(high, count, next),
                    None => count,
                };
            }
        }
        let (mut low, mut high) = (low, high);
        while low < high {
            let mid = low + (high - low) / 2;
            match self.cell(mid).suffix.cmp(suffix) {
                Ordering::Less => low = mid + 1,
                Ordering::Equal => return Ok(mid),
                Ordering::Greater => high = mid,
            }
        }
        Err(low)
    }

    /// The first entry in `low..high` whose head is at least `head`. Branch-free inside.
    fn lower_bound(self, low: usize, high: usize, head: u32) -> usize {
        let (mut base, mut size) = (low, high - low);
        while size > 1 {
            let half = size / 2;
            base += half * usize::from(self.head(base + half - 1) < head);
            size -= half;
        }
        base + usize::from(size == 1 && self.head(base) < head)
    }

    /// Where `key` is in a leaf: `Ok` its index, or `Err` where it would go.
    pub(crate) fn search(self, key: &[u8]) -> Result<usize, usize> {
        self.search_from(0, key)
    }

    /// The entry of a branch whose child covers `key`.
    pub(crate) fn child_index(self, key: &[u8]) -> usize {
        match self.search_from(1, key) {
            Ok(i) => i,
            Err(i) => i - 1,
        }
    }

    fn cells_len(self) -> usize {
        page::cells_len(self.0) as usize
    }

    /// The bytes that say anything: heads and slots, and the cells. Of untrusted bytes the two may
    /// overlap or reach beyond the page.
    pub(crate) fn occupied(self) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let (size, slots) = (self.0.len(), HEADER + (HEAD + SLOT) * self.count());
        (HEADER..slots, size.saturating_sub(self.cells_len())..size)
    }

    /// Bytes that a further entry may take after a compaction.
    pub(crate) fn free_total(self) -> usize {
        self.free_contiguous() + page::garbage(self.0) as usize
    }

    fn free_contiguous(self) -> usize {
        self.0.len() - HEADER - (HEAD + SLOT) * self.count() - self.cells_len()
    }

    /// Bytes in use, without the header.
    pub(crate) fn used(self) -> usize {
        self.0.len() - HEADER - self.free_total()
    }

    /// Bytes that entries `from..to` take beside the prefix, if that had `prefix_len` bytes.
    pub(crate) fn size_of_range(self, from: usize, to: usize, prefix_len: usize) -> usize {
        let own = self.prefix().len();
        (from..to)
            .map(|i| {
                let cell = self.cell(i);
                let keyless = i == 0 && !self.is_leaf();
                let suffix = if keyless { 0 } else { own + cell.suffix.len() - prefix_len };
                ENTRY + suffix + cell.body.len()
            })
            .sum()
    }

    /// Checks bytes that came from the file, so that no accessor can be led outside the page or
    /// into a loop by them.
    pub(crate) fn validate(self, id: PageId) -> Result<()> {
        let bad = |what| Err(Error::corrupt(id, what));
        let kind = page::kind(self.0);
        let branch = kind == Kind::Branch as u8;
        if !branch && kind != Kind::Leaf as u8 {
            return bad("it is no tree node");
        }
        if branch == self.is_leaf() || self.level() as usize >= LEVELS_MAX {
            return bad("its level does not fit its kind");
        }
        let (count, size) = (self.count(), self.0.len());
        let prefix_len = page::prefix_len(self.0) as usize;
        let cells_len = self.cells_len();
        if count == 0 || HEADER + (HEAD + SLOT) * count + cells_len > size {
            return bad("its entries do not fit in it");
        }
        if prefix_len > cells_len || prefix_len > size / 4 {
            return bad("its key prefix does not fit");
        }
        let (lowest, end) = (size - cells_len, size - prefix_len);
        let mut cells = 0;
        for i in 0..count {
            let at = self.slot(i);
            if at < lowest || at + CELL > end {
                return bad("a slot points outside its cells");
            }
            let value = u16_at(self.0, at + 2) as u16;
            let len = CELL + u16_at(self.0, at) + (value & !Form::MASK) as usize;
            if at + len > end {
                return bad("a cell is longer than its page");
            }
            cells += len;
            let cell = self.cell(i);
            if branch
                && (cell.form != Form::INLINE
                    || cell.body.len() != CHILD
                    || self.child(i).is_none())
            {
                return bad("a branch entry leads nowhere");
            }
            let key_len = prefix_len + cell.suffix.len();
            let inline =
                branch || cell.form.is_in_extents() || is_inline(size, key_len, cell.body.len());
            if key_len > key_len_max(size) || cell.body.len() > size / 4 || !inline {
                return bad("an entry is longer than any that is written");
            }
            if self.head(i) != head_of(cell.suffix) {
                return bad("a key head differs from its key");
            }
            let compared_from = if branch { 1 } else { 0 };
            if i > compared_from && self.cell(i - 1).suffix >= cell.suffix {
                return bad("its keys are out of order");
            }
        }
        if cells + page::garbage(self.0) as usize + prefix_len != cells_len {
            return bad("its cells overlap or leave gaps");
        }
        Ok(())
    }
}

/// Reads a child reference of a branch.
pub(crate) fn decode_child(body: &[u8]) -> PageRef {
    let mut id = [0; 8];
    id[..6].copy_from_slice(&body[..6]);
    let stamp = body[6..CHILD].try_into().expect("four bytes");
    PageRef { id: PageId(u64::from_le_bytes(id)), stamp: u32::from_le_bytes(stamp) }
}

/// Writes a child reference of a branch.
pub(crate) fn encode_child(child: PageRef) -> [u8; CHILD] {
    let mut body = [0; CHILD];
    body[..6].copy_from_slice(&child.id.0.to_le_bytes()[..6]);
    body[6..].copy_from_slice(&child.stamp.to_le_bytes());
    body
}

/// A node that its only owner edits: a frame born in the version that is being made.
pub(crate) struct NodeMut<'p>(&'p mut [u8]);

impl<'p> NodeMut<'p> {
    pub(crate) fn new(page: &'p mut [u8]) -> Self {
        NodeMut(page)
    }

    /// Makes the page an empty node. Its id, birth and stamp stay.
    pub(crate) fn init(&mut self, level: u8, tree: TreeId, prefix: &[u8]) {
        let kind = if level == 0 { Kind::Leaf } else { Kind::Branch };
        page::set_kind(self.0, kind as u8);
        page::set_level(self.0, level);
        page::set_tree(self.0, tree.0);
        page::set_count(self.0, 0);
        page::set_garbage(self.0, 0);
        page::set_trend(self.0, Trend::default().0);
        page::set_prefix_len(self.0, prefix.len() as u16);
        page::set_cells_len(self.0, prefix.len() as u16);
        let size = self.0.len();
        // Nothing of what the frame or the node held before is left in what is free.
        self.0[HEADER..size - prefix.len()].fill(0);
        self.0[size - prefix.len()..].copy_from_slice(prefix);
    }

    /// Notes how entries arrive.
    pub(crate) fn set_trend(&mut self, trend: Trend) {
        page::set_trend(self.0, trend.0);
    }

    pub(crate) fn view(&self) -> Node<'_> {
        Node(self.0)
    }

    /// Inserts an entry at `i` if it fits without compaction; answers whether it did. The suffix
    /// may come in two parts.
    pub(crate) fn insert(&mut self, i: usize, suffix: [&[u8]; 2], body: &[u8], form: Form) -> bool {
        let suffix_len = suffix[0].len() + suffix[1].len();
        let len = CELL + suffix_len + body.len();
        if self.view().free_contiguous() < HEAD + SLOT + len {
            return false;
        }
        let count = self.view().count();
        debug_assert!(i <= count);
        let (heads, slots) = (HEADER, HEADER + HEAD * count);
        let end = slots + SLOT * count;
        self.0.copy_within(slots + SLOT * i..end, slots + SLOT * i + HEAD + SLOT);
        self.0.copy_within(slots..slots + SLOT * i, slots + HEAD);
        self.0.copy_within(heads + HEAD * i..slots, heads + HEAD * (i + 1));
        let cells_len = self.view().cells_len() + len;
        let at = self.0.len() - cells_len;
        let slot = slots + HEAD + SLOT * i;
        self.0[slot..slot + SLOT].copy_from_slice(&(at as u16).to_le_bytes());
        self.write_cell(at, suffix, body, form);
        let head = head_of(&self.0[at + CELL..at + CELL + suffix_len]);
        self.0[heads + HEAD * i..][..HEAD].copy_from_slice(&head.to_le_bytes());
        page::set_count(self.0, count as u16 + 1);
        page::set_cells_len(self.0, cells_len as u16);
        true
    }

    /// After an entry of a branch was removed: the first entry has no key, for it stands for all
    /// below the second, and a prefix is that of two entries or more.
    pub(crate) fn tidy_branch(&mut self) {
        if self.view().is_leaf() || self.view().count() == 0 {
            return;
        }
        let (at, suffix_len) = (self.view().slot(0), self.view().cell(0).suffix.len());
        if suffix_len > 0 {
            self.0.copy_within(at + CELL + suffix_len..at + CELL + suffix_len + CHILD, at + CELL);
            self.0[at + CELL + CHILD..at + CELL + CHILD + suffix_len].fill(0);
            self.0[at..at + 2].fill(0);
            self.0[HEADER..HEADER + HEAD].fill(0);
            page::set_garbage(self.0, page::garbage(self.0) + suffix_len as u16);
        }
        let prefix_len = page::prefix_len(self.0);
        if self.view().count() == 1 && prefix_len > 0 {
            let size = self.0.len();
            self.0[size - prefix_len as usize..].fill(0);
            page::set_prefix_len(self.0, 0);
            page::set_garbage(self.0, page::garbage(self.0) + prefix_len);
        }
    }

    /// Removes entry `i`. Its bytes go with it.
    pub(crate) fn remove(&mut self, i: usize) {
        let count = self.view().count();
        let (at, len) = (self.view().slot(i), self.view().cell(i).len());
        let (heads, slots) = (HEADER, HEADER + HEAD * count);
        let end = slots + SLOT * count;
        self.0.copy_within(heads + HEAD * (i + 1)..slots, heads + HEAD * i);
        self.0.copy_within(slots..slots + SLOT * i, slots - HEAD);
        self.0.copy_within(slots + SLOT * (i + 1)..end, slots - HEAD + SLOT * i);
        self.0[end - HEAD - SLOT..end].fill(0);
        self.0[at..at + len].fill(0);
        page::set_count(self.0, count as u16 - 1);
        let cells_len = self.view().cells_len();
        if at == self.0.len() - cells_len {
            page::set_cells_len(self.0, (cells_len - len) as u16);
        } else {
            page::set_garbage(self.0, page::garbage(self.0) + len as u16);
        }
    }

    /// Overwrites the body of entry `i` where the length stays; answers whether it did.
    pub(crate) fn overwrite(&mut self, i: usize, body: &[u8], form: Form) -> bool {
        let cell = self.view().cell(i);
        if cell.body.len() != body.len() || cell.form != form {
            return false;
        }
        let at = self.view().slot(i) + CELL + cell.suffix.len();
        self.0[at..at + body.len()].copy_from_slice(body);
        true
    }

    /// Appends an entry, given by its whole key, which starts with this node's prefix.
    pub(crate) fn push(&mut self, key: &[u8], body: &[u8], form: Form) {
        self.push_parts(key, &[], body, form);
    }

    /// Appends entries `from..to` of another node, whose keys must all be above this node's and
    /// start with this node's prefix. The slots move once for all of them.
    pub(crate) fn append(&mut self, other: Node<'_>, mut from: usize, to: usize) {
        let count = self.view().count();
        if from < to && count == 0 && !self.view().is_leaf() {
            // It loses its key.
            self.push_parts(&[], &[], other.cell(from).body, Form::INLINE);
            return self.append(other, from + 1, to);
        }
        let prefix = page::prefix_len(self.0) as usize;
        // What moves from the keys to the prefix, or back.
        let (shorter, longer) = match other.prefix().get(prefix..) {
            Some(more) => (0, more),
            None => (prefix - other.prefix().len(), &[][..]),
        };
        let added = to.saturating_sub(from);
        let (heads, slots) = (HEADER, HEADER + HEAD * count);
        let mut cells_len = self.view().cells_len();
        let room = self.0.len() - cells_len - HEADER;
        assert!(
            (HEAD + SLOT) * (count + added) <= room,
            "the caller has summed up what it appends"
        );
        self.0.copy_within(slots..slots + SLOT * count, slots + HEAD * added);
        let slots = slots + HEAD * added;
        let table_end = slots + SLOT * (count + added);
        for i in count..count + added {
            let cell = other.cell(from);
            let suffix = &cell.suffix[shorter..];
            let suffix_len = longer.len() + suffix.len();
            cells_len += CELL + suffix_len + cell.body.len();
            let at = self.0.len() - cells_len;
            assert!(at >= table_end, "the caller has summed up what it appends");
            self.write_cell(at, [longer, suffix], cell.body, cell.form);
            let head = match prefix == other.prefix().len() {
                true => other.head(from),
                false => head_of(&self.0[at + CELL..at + CELL + suffix_len]),
            };
            self.0[heads + HEAD * i..][..HEAD].copy_from_slice(&head.to_le_bytes());
            self.0[slots + SLOT * i..][..SLOT].copy_from_slice(&(at as u16).to_le_bytes());
            from += 1;
        }
        page::set_count(self.0, (count + added) as u16);
        page::set_cells_len(self.0, cells_len as u16);
    }

    /// Writes a cell's bytes at an offset.
    fn write_cell(&mut self, at: usize, suffix: [&[u8]; 2], body: &[u8], form: Form) {
        let suffix_len = suffix[0].len() + suffix[1].len();
        let value_len = body.len() as u16 | form.0;
        self.0[at..at + 2].copy_from_slice(&(suffix_len as u16).to_le_bytes());
        self.0[at + 2..at + CELL].copy_from_slice(&value_len.to_le_bytes());
        let mut to = at + CELL;
        for part in [suffix[0], suffix[1], body] {
            self.0[to..to + part.len()].copy_from_slice(part);
            to += part.len();
        }
    }

    /// Appends an entry whose key comes in two parts. The first entry of a branch has no key.
    fn push_parts(&mut self, key: &[u8], rest: &[u8], body: &[u8], form: Form) {
        let (prefix, count) = (page::prefix_len(self.0) as usize, self.view().count());
        let suffix = match prefix.checked_sub(key.len()) {
            _ if count == 0 && !self.view().is_leaf() => [&[][..], &[]],
            None | Some(0) => [&key[prefix..], rest],
            Some(in_rest) => [&[], &rest[in_rest..]],
        };
        let fits = self.insert(count, suffix, body, form);
        assert!(fits, "the caller has summed up what it appends");
    }
}

#[cfg(test)]
mod tests;
