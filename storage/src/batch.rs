//! The resolved writes of one commit, in the very bytes that the log carries.
//!
//! ```text
//! write := tree u32 | key_len u32 | value_len u32 | key | value      little-endian
//!          value_len = u32::MAX: the key is absent afterwards, no value follows
//! ```
//!
//! Writing each once and applying from the same bytes keeps a commit at one copy per write, and
//! makes replay the same code path as a commit.

use crate::{Error, Result, TreeId};
use std::cmp::Ordering;
use std::fmt;

const HEADER: usize = 12;
const ABSENT: u32 = u32::MAX;

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

/// One resolved write: `value` is `None` where the key is absent afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Write<'b> {
    /// The tree written to.
    pub tree: TreeId,
    /// The key, in the tree's own encoding.
    pub key: &'b [u8],
    /// The new value, or `None` for a deletion.
    pub value: Option<&'b [u8]>,
}

impl fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.value.map(<[u8]>::len);
        write!(f, "Write({:?}, key of {} bytes, value of {size:?})", self.tree, self.key.len())
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
        self.push(tree, key, Some(value));
    }

    /// Adds "`key` of `tree` is absent".
    pub fn delete(&mut self, tree: TreeId, key: &[u8]) {
        self.push(tree, key, None);
    }

    fn push(&mut self, tree: TreeId, key: &[u8], value: Option<&[u8]>) {
        let place = Place::new(tree, key, self.bytes.len());
        // Writes that come in order need no sorting.
        self.sorted = self.sorted
            && (self.places.last()).is_none_or(|last| self.order_of(last, &place, key).is_lt());
        self.places.push(place);
        let value_len = value.map_or(ABSENT, |v| v.len() as u32);
        self.bytes.extend_from_slice(&tree.0.to_le_bytes());
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
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
                ABSENT => 0,
                len => len as usize,
            };
            let end = key_len.checked_add(value_len).and_then(|n| n.checked_add(at + HEADER));
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

    fn key_at(&self, start: usize) -> &[u8] {
        let key_len = u32_at(&self.bytes, start + 4) as usize;
        &self.bytes[start + HEADER..start + HEADER + key_len]
    }

    fn write_at(&self, start: usize) -> Write<'_> {
        let header = &self.bytes[start..start + HEADER];
        let key_len = u32_at(header, 4) as usize;
        let body = &self.bytes[start + HEADER..];
        let value = match u32_at(header, 8) {
            ABSENT => None,
            len => Some(&body[key_len..key_len + len as usize]),
        };
        Write { tree: TreeId(u32_at(header, 0)), key: &body[..key_len], value }
    }
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
            assert_eq!((writes[0].key, writes[0].value), (&b"z"[..], Some(&b""[..])));
            assert_eq!((writes[1].key, writes[1].value), (&b"b"[..], None));
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
        let values: Vec<_> = batch.iter().map(|write| write.value.unwrap()).collect();
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
