//! The resolved writes of one commit, in the very bytes that the log carries.
//!
//! ```text
//! write := tree u32 | key_len u32 | value_len u32 | key | value      little-endian
//!          value_len = u32::MAX: the key is absent afterwards, no value follows
//!          value_len = u32::MAX - 1: the value was written ahead; in its place: len u16 | the
//!          descriptor of its extent, as in a leaf, born in version 0
//! ```
//!
//! Writing each once and applying from the same bytes keeps a commit at one copy per write, and
//! makes replay the same code path as a commit.

use crate::extent::{Extents, HEAD_MAX};
use crate::pager::Pager;
use crate::stream::ValueReader;
use crate::{Error, PageId, Reference, Result, TreeId};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

const HEADER: usize = 12;
const ABSENT: u32 = u32::MAX;
const REFERENCE: u32 = u32::MAX - 1;

/// The resolved writes of one commit.
#[derive(Clone)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where each write is; in (tree, key) order, one a key, while `sorted`.
    places: Vec<Place>,
    sorted: bool,
}

/// Where a write starts, with what orders most writes without a look at their keys.
#[derive(Clone, Copy)]
struct Place {
    tree: TreeId,
    /// The first eight bytes of the key, padded with zeros, as a number that orders as they do.
    head: u64,
    start: usize,
}

impl Place {
    fn new(tree: TreeId, key: &[u8], start: usize) -> Self {
        let head = match key.first_chunk::<8>() {
            Some(head) => u64::from_be_bytes(*head),
            None => {
                let mut head = [0; 8];
                head[..key.len()].copy_from_slice(key);
                u64::from_be_bytes(head)
            }
        };
        Place { tree, head, start }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Batch { bytes: Vec::new(), places: Vec::new(), sorted: true }
    }
}

/// One resolved write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Write<'b> {
    /// The tree written to.
    pub tree: TreeId,
    /// The key, in the tree's own encoding.
    pub key: &'b [u8],
    /// What the key has afterwards.
    pub value: NewValue<'b>,
}

/// What a key has after a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NewValue<'b> {
    /// Nothing.
    Absent,
    /// These bytes.
    Bytes(&'b [u8]),
    /// A value that was written ahead: its descriptor, for [`Pager::unborn`](crate::Pager::unborn).
    Reference(&'b [u8]),
}

impl<'b> NewValue<'b> {
    /// The bytes, where the batch has them itself.
    pub fn bytes(self) -> Option<&'b [u8]> {
        match self {
            NewValue::Bytes(bytes) => Some(bytes),
            NewValue::Absent | NewValue::Reference(_) => None,
        }
    }
}

impl<'b> Write<'b> {
    /// The value written ahead that it names, if it names one.
    ///
    /// # Errors
    /// [`Error::CorruptPage`] where the descriptor contradicts itself: the bytes may come from a log.
    pub fn reference(&self, page_size: usize) -> Result<Option<Reference>> {
        let extents = self.extents(page_size)?;
        Ok(extents.map(|(extents, _)| Reference { extents: Arc::new(extents) }))
    }

    /// Where the value lies that it names, and the head before that; `None` if it names none.
    pub(crate) fn extents(&self, page_size: usize) -> Result<Option<(Extents, &'b [u8])>> {
        match self.value {
            NewValue::Reference(body) => {
                // Page 0 stands for the log.
                Extents::decode(body, PageId(0), page_size).map(Some)
            }
            NewValue::Absent | NewValue::Bytes(_) => Ok(None),
        }
    }
}

impl<'b> Write<'b> {
    /// Bytes that it takes in a batch and in the log.
    pub fn encoded_len(&self) -> usize {
        let value = match self.value {
            NewValue::Absent => 0,
            NewValue::Bytes(bytes) => bytes.len(),
            NewValue::Reference(body) => 2 + body.len(),
        };
        HEADER + self.key.len() + value
    }

    /// Appends these bytes.
    pub fn encode(&self, to: &mut Vec<u8>) {
        let (value_len, body) = match self.value {
            NewValue::Absent => (ABSENT, &[][..]),
            NewValue::Bytes(bytes) => (bytes.len() as u32, bytes),
            NewValue::Reference(body) => (REFERENCE, body),
        };
        to.extend_from_slice(&self.tree.0.to_le_bytes());
        to.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        to.extend_from_slice(&value_len.to_le_bytes());
        to.extend_from_slice(self.key);
        if value_len == REFERENCE {
            to.extend_from_slice(&(body.len() as u16).to_le_bytes());
        }
        to.extend_from_slice(body);
    }

    /// The write that `bytes` begin with; `None` where they end before it does.
    pub fn decode(bytes: &'b [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let body = &bytes[HEADER..];
        let key_len = u32_at(header, 4) as usize;
        let key = body.get(..key_len)?;
        let value = match u32_at(header, 8) {
            ABSENT => NewValue::Absent,
            REFERENCE => {
                let len = reference_len(body, key_len)?;
                NewValue::Reference(body.get(key_len + 2..key_len + len)?)
            }
            len => NewValue::Bytes(body[key_len..].get(..len as usize)?),
        };
        Some(Write { tree: TreeId(u32_at(header, 0)), key, value })
    }
}

impl fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Write({:?}, key of {} bytes, {:?})", self.tree, self.key.len(), self.value)
    }
}

impl fmt::Debug for NewValue<'_> {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NewValue::Absent => f.write_str("absent"),
            NewValue::Bytes(bytes) => write!(f, "value of {} bytes", bytes.len()),
            NewValue::Reference(_) => f.write_str("value written ahead"),
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} writes, {} bytes)", self.places.len(), self.bytes.len())
    }
}

impl Batch {
    /// A batch without writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds "`key` of `tree` has `value`". A later write of the same key in the batch wins.
    pub fn put(&mut self, tree: TreeId, key: &[u8], value: &[u8]) {
        self.push(tree, key, value.len() as u32, &[value]);
    }

    /// Adds "`key` of `tree` is absent".
    pub fn delete(&mut self, tree: TreeId, key: &[u8]) {
        self.push(tree, key, ABSENT, &[]);
    }

    /// Adds "`key` of `tree` has `head`, and behind it the value that was written ahead".
    ///
    /// # Panics
    /// Where the head has more than 64 bytes.
    pub fn put_reference(&mut self, tree: TreeId, key: &[u8], head: &[u8], tail: &Reference) {
        assert!(head.len() <= HEAD_MAX, "a head is short");
        let body = tail.extents.encode(head);
        self.push(tree, key, REFERENCE, &[&(body.len() as u16).to_le_bytes(), &body]);
    }

    fn push(&mut self, tree: TreeId, key: &[u8], value_len: u32, value: &[&[u8]]) {
        let place = Place::new(tree, key, self.bytes.len());
        // Writes that come in order need no sorting.
        self.sorted = self.sorted
            && (self.places.last()).is_none_or(|last| self.order_of(last, &place, key).is_lt());
        self.places.push(place);
        self.bytes.extend_from_slice(&tree.0.to_le_bytes());
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(key);
        value.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
    }

    /// How the write at `a` orders against one of `b`'s place with `key`.
    fn order_of(&self, a: &Place, b: &Place, key: &[u8]) -> Ordering {
        (a.tree, a.head).cmp(&(b.tree, b.head)).then_with(|| self.key_at(a.start).cmp(key))
    }

    /// Takes back all but the first `len` writes, of a batch that was not sorted since they were
    /// added.
    pub fn truncate(&mut self, len: usize) {
        if let Some(place) = self.places.get(len) {
            self.bytes.truncate(place.start);
            self.places.truncate(len);
        }
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Memory that it takes, about.
    pub fn memory_bytes(&self) -> u64 {
        (self.bytes.len() + self.places.len() * size_of::<Place>()) as u64
    }

    /// The bytes that the log carries.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Puts the writes in (tree, key) order and drops all but the last write of each key.
    pub fn sort(&mut self) {
        if self.sorted {
            return;
        }
        let mut places = std::mem::take(&mut self.places);
        places.sort_by(|a, b| self.order_of(a, b, self.key_at(b.start)));
        // The sort is stable: the last of equal keys is the one written last.
        let mut kept: Vec<Place> = Vec::with_capacity(places.len());
        for place in places {
            match kept.last_mut() {
                Some(last) if self.order_of(last, &place, self.key_at(place.start)).is_eq() => {
                    *last = place;
                }
                _ => kept.push(place),
            }
        }
        self.places = kept;
        self.sorted = true;
    }

    /// The writes; in (tree, key) order, one a key, after [`Batch::sort`].
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Write<'_>> {
        self.places.iter().map(|place| self.write_at(place.start))
    }

    /// Every write and its number in [`Batch::iter`], in (tree, key) order, those of one key as they
    /// were added. Memory for the numbers.
    pub fn in_order(&self) -> impl Iterator<Item = (usize, Write<'_>)> {
        let mut order: Vec<u32> = (0..self.places.len() as u32).collect();
        if !self.sorted {
            order.sort_by(|&a, &b| {
                let (a, b) = (&self.places[a as usize], &self.places[b as usize]);
                self.order_of(a, b, self.key_at(b.start))
            });
        }
        order.into_iter().map(|i| (i as usize, self.get(i as usize)))
    }

    /// The `i`-th write of [`Batch::iter`].
    pub fn get(&self, i: usize) -> Write<'_> {
        self.write_at(self.places[i].start)
    }

    /// Whether a sorted batch writes any key of `tree` in `from..to` (`None`: no upper end).
    pub fn touches(&self, tree: TreeId, from: &[u8], to: Option<&[u8]>) -> bool {
        let at = self.first_at_least(tree, from);
        self.places.get(at).is_some_and(|place| {
            place.tree == tree && to.is_none_or(|to| self.key_at(place.start) < to)
        })
    }

    /// Whether a sorted batch writes `key` of `tree`.
    pub fn touches_key(&self, tree: TreeId, key: &[u8]) -> bool {
        let at = self.first_at_least(tree, key);
        (self.places.get(at))
            .is_some_and(|place| place.tree == tree && self.key_at(place.start) == key)
    }

    fn first_at_least(&self, tree: TreeId, key: &[u8]) -> usize {
        assert!(self.sorted, "a batch is searched only once it is sorted");
        let wanted = Place::new(tree, key, 0);
        self.places.partition_point(|place| self.order_of(place, &wanted, key).is_lt())
    }

    /// Reads the bytes of a log record back. They are untrusted: lengths are checked.
    ///
    /// # Errors
    /// [`Error::BadBatch`] with the offset of the first write that does not fit.
    pub fn decode(bytes: Vec<u8>) -> Result<Self> {
        let mut places = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let bad = Error::BadBatch { offset: at };
            let Some(header) = bytes.get(at..at + HEADER) else { return Err(bad) };
            let key_len = u32_at(header, 4) as usize;
            let value_len = match u32_at(header, 8) {
                ABSENT => Some(0),
                REFERENCE => reference_len(&bytes[at + HEADER..], key_len),
                len => Some(len as usize),
            };
            let end = value_len
                .and_then(|value_len| key_len.checked_add(value_len))
                .and_then(|n| n.checked_add(at + HEADER));
            match end {
                Some(end) if end <= bytes.len() => {
                    let key = &bytes[at + HEADER..at + HEADER + key_len];
                    places.push(Place::new(TreeId(u32_at(header, 0)), key, at));
                    at = end;
                }
                _ => return Err(bad),
            }
        }
        Ok(Self { bytes, places, sorted: false })
    }

    /// Whether any write of a log record's bytes names a value that was written ahead.
    pub fn has_references(bytes: &[u8]) -> bool {
        let mut at = 0;
        while let Some(header) = bytes.get(at..at + HEADER) {
            let value_len = match u32_at(header, 8) {
                REFERENCE => return true,
                ABSENT => 0,
                len => len as usize,
            };
            at += HEADER + u32_at(header, 4) as usize + value_len;
        }
        false
    }

    /// The values written ahead that a sorted batch names, each once.
    ///
    /// # Errors
    /// [`Error::CorruptPage`] where a descriptor contradicts itself: the bytes may come from a log.
    pub fn references(&self, page_size: usize) -> Result<Vec<Reference>> {
        let mut references = Vec::new();
        for write in self.iter() {
            references.extend(write.reference(page_size)?);
        }
        Ok(references)
    }

    /// The same writes, with every value that they name read from the file. Memory for all of them.
    ///
    /// # Errors
    /// Damage to a value; the file system's.
    pub fn with_values(&self, pager: &Pager) -> Result<Batch> {
        let mut whole = Batch::new();
        for write in self.iter() {
            match (write.extents(pager.page_size)?, write.value) {
                (Some((extents, head)), _) => {
                    let mut value = head.to_vec();
                    let mut reader = ValueReader::new(pager, extents);
                    while let Some(chunk) = reader.next_chunk()? {
                        value.extend_from_slice(chunk);
                    }
                    whole.put(write.tree, write.key, &value);
                }
                (None, NewValue::Bytes(value)) => whole.put(write.tree, write.key, value),
                (None, _) => whole.delete(write.tree, write.key),
            }
        }
        Ok(whole)
    }

    fn key_at(&self, start: usize) -> &[u8] {
        let key_len = u32_at(&self.bytes, start + 4) as usize;
        &self.bytes[start + HEADER..start + HEADER + key_len]
    }

    fn write_at(&self, start: usize) -> Write<'_> {
        let header = &self.bytes[start..start + HEADER];
        let key_len = u32_at(header, 4) as usize;
        let body = &self.bytes[start + HEADER..];
        let value = match u32_at(header, 8) {
            ABSENT => NewValue::Absent,
            REFERENCE => {
                let len = reference_len(body, key_len).expect("it was pushed or checked");
                NewValue::Reference(&body[key_len + 2..key_len + len])
            }
            len => NewValue::Bytes(&body[key_len..key_len + len as usize]),
        };
        Write { tree: TreeId(u32_at(header, 0)), key: &body[..key_len], value }
    }
}

/// Bytes of a reference behind a key, with their length.
fn reference_len(body: &[u8], key_len: usize) -> Option<usize> {
    let len = body.get(key_len..)?.first_chunk::<2>()?;
    Some(2 + u16::from_le_bytes(*len) as usize)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_of_a_key_wins_and_bytes_read_back() {
        let mut batch = Batch::new();
        batch.put(TreeId(2), b"b", b"1");
        batch.put(TreeId(1), b"z", b"");
        batch.delete(TreeId(2), b"b");
        let mut read = Batch::decode(batch.bytes().to_vec()).unwrap();
        for batch in [&mut batch, &mut read] {
            batch.sort();
            let writes: Vec<_> = batch.iter().collect();
            assert_eq!(writes.len(), 2);
            assert_eq!((writes[0].key, writes[0].value), (&b"z"[..], NewValue::Bytes(b"")));
            assert_eq!((writes[1].key, writes[1].value), (&b"b"[..], NewValue::Absent));
            assert!(batch.touches(TreeId(2), b"a", Some(b"c")));
            assert!(!batch.touches(TreeId(2), b"c", None));
            assert!(batch.touches_key(TreeId(1), b"z"));
        }
    }

    #[test]
    fn writes_taken_back_leave_no_bytes() {
        let mut batch = Batch::new();
        batch.put(TreeId(2), b"b", b"1");
        batch.put(TreeId(1), b"z", b"2");
        let before = batch.clone();
        batch.put(TreeId(2), b"b", b"3");
        batch.delete(TreeId(1), b"a");
        batch.truncate(2);
        assert_eq!((batch.bytes(), batch.len()), (before.bytes(), 2));
        batch.truncate(9);
        batch.put(TreeId(1), b"a", b"4");
        batch.sort();
        let values: Vec<_> = batch.iter().map(|write| write.value.bytes().unwrap()).collect();
        assert_eq!(values, [b"4", b"2", b"1"]);
    }

    #[test]
    fn a_writes_bytes_are_where_the_format_says() {
        let mut batch = Batch::new();
        batch.put(TreeId(0x0102), b"key", b"value");
        batch.delete(TreeId(3), b"k");
        let put = b"\x02\x01\0\0\x03\0\0\0\x05\0\0\0keyvalue";
        let delete = b"\x03\0\0\0\x01\0\0\0\xff\xff\xff\xffk";
        assert_eq!(batch.bytes(), [&put[..], delete].concat());
    }

    #[test]
    fn cut_bytes_are_refused_with_their_offset() {
        let mut batch = Batch::new();
        batch.put(TreeId(1), b"key", b"value");
        batch.put(TreeId(1), b"key2", b"value");
        let whole = batch.bytes();
        let first = HEADER + 8;
        for cut in 1..whole.len() {
            let read = Batch::decode(whole[..cut].to_vec());
            match cut {
                cut if cut == first => assert_eq!(read.unwrap().len(), 1),
                _ => assert!(matches!(read, Err(Error::BadBatch { .. }))),
            }
        }
    }
}
