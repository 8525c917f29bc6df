//! Keys: partition and user key, encoded so that bytes sort as (partition, user key) do and no
//! key's entries interleave with another's.
//!
//! ```text
//! key      := partition u32 BE | user key with 00 -> 00 FF | 00 01
//! heads    := key
//! live     := key | ~valid_from u64
//! past     := key | fork u64 | ~tx_from u64            fork: see fork.rs
//! events   := key | ~tx u64 | ~op u32
//! changes  := tx u64 | op u32
//! notes    := tx u64
//! valid    := valid_from u64 | key | tx u64 | op u32
//! ```
//!
//! Times are biased (sign bit flipped) and big-endian; `~` is the complement of that.

use super::take::Take;
use crate::{Error, EventId, PartitionId, Result, TreeName, TxTime, ValidTime};
use std::borrow::Cow;

/// Keys up to this length are built on the stack: the read of a head allocates nothing.
const INLINE: usize = 88;
const ZERO: [u8; 2] = [0x00, 0xFF];
const END: [u8; 2] = [0x00, 0x01];

/// The longest that a tree appends to, or puts before, an encoded key: `valid` with 8 + 8 + 4.
pub(crate) const SUFFIX_MAX: usize = 20;

/// Bytes of a key in the making.
#[derive(Clone)]
pub(crate) struct KeyBuf {
    inline: [u8; INLINE],
    /// All the bytes, once they do not fit `inline`.
    heap: Vec<u8>,
    len: usize,
}

impl KeyBuf {
    pub(crate) fn new() -> Self {
        Self { inline: [0; INLINE], heap: Vec::new(), len: 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if end <= INLINE {
            self.inline[self.len..end].copy_from_slice(bytes);
        } else {
            if self.len <= INLINE {
                self.heap.clear();
                self.heap.extend_from_slice(&self.inline[..self.len]);
            }
            self.heap.extend_from_slice(bytes);
        }
        self.len = end;
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if self.len <= INLINE { &self.inline[..self.len] } else { &self.heap }
    }
}

/// An encoded (partition, user key).
#[derive(Clone)]
pub(crate) struct EncodedKey(KeyBuf);

impl EncodedKey {
    /// # Errors
    /// [`Error::EmptyKey`]
    #[inline]
    pub(crate) fn new(partition: PartitionId, user_key: &[u8]) -> Result<Self> {
        if user_key.is_empty() {
            return Err(Error::EmptyKey);
        }
        let mut key = encode_prefix(partition, user_key);
        key.push(&END);
        Ok(Self(key))
    }

    /// The key that an entry of some tree starts with, read back from it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the bytes start with no encoded key.
    pub(crate) fn of_entry(tree: TreeName, entry: &[u8]) -> Result<Self> {
        let (key, _) = split(tree, entry)?;
        let mut buf = KeyBuf::new();
        buf.push(key);
        Ok(Self(buf))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn with(&self, suffix: &[u8]) -> KeyBuf {
        let mut key = self.0.clone();
        key.push(suffix);
        key
    }

    pub(crate) fn live(&self, valid_from: ValidTime) -> KeyBuf {
        self.with(&(!valid_from.sortable()).to_be_bytes())
    }

    pub(crate) fn past(&self, fork: u64, tx_from: TxTime) -> KeyBuf {
        let mut key = self.with(&fork.to_be_bytes());
        key.push(&(!tx_from.sortable()).to_be_bytes());
        key
    }

    pub(crate) fn event(&self, id: EventId) -> KeyBuf {
        let mut key = self.with(&(!id.tx.sortable()).to_be_bytes());
        key.push(&(!id.op).to_be_bytes());
        key
    }

    pub(crate) fn valid(&self, valid_from: ValidTime, id: EventId) -> KeyBuf {
        let mut key = KeyBuf::new();
        key.push(&valid_from.sortable().to_be_bytes());
        key.push(self.bytes());
        key.push(&change(id));
        key
    }

    /// What follows this key in `entry`; `None` where the entry belongs to another key.
    pub(crate) fn suffix_of<'b>(&self, entry: &'b [u8]) -> Option<&'b [u8]> {
        entry.strip_prefix(self.bytes())
    }
}

/// The bytes that all keys of `partition` with `prefix` start with, and no others do.
#[inline]
pub(crate) fn encode_prefix(partition: PartitionId, prefix: &[u8]) -> KeyBuf {
    let mut key = KeyBuf::new();
    key.push(&partition.0.to_be_bytes());
    // On the path of every read: most keys hold no zero, and of the others most are short.
    if !prefix.contains(&0) {
        key.push(prefix);
    } else if key.len + 2 * prefix.len() <= INLINE {
        for &byte in prefix {
            key.inline[key.len] = byte;
            key.inline[key.len + 1] = ZERO[1];
            key.len += 1 + usize::from(byte == ZERO[0]);
        }
    } else {
        for part in prefix.split_inclusive(|&byte| byte == ZERO[0]) {
            key.push(part);
            if part.ends_with(&ZERO[..1]) {
                key.push(&ZERO[1..]);
            }
        }
    }
    key
}

/// The first bytes after all that start with `prefix`; `None` where there are none.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xFF)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Cuts an entry behind its encoded key.
///
/// # Errors
/// [`Error::Corrupt`] where no whole encoded key stands there.
pub(crate) fn split(tree: TreeName, entry: &[u8]) -> Result<(&[u8], &[u8])> {
    let corrupt = Error::Corrupt { tree, what: "its key is mangled" };
    let mut at = size_of::<PartitionId>();
    while let Some(zero) = entry.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0)) {
        at += zero + 2;
        match entry.get(at - 1) {
            Some(0xFF) => {}
            Some(0x01) if at > size_of::<PartitionId>() + 2 => return Ok(entry.split_at(at)),
            _ => break,
        }
    }
    Err(corrupt)
}

/// The partition and the user key of exactly an encoded key, as [`split`] gives it.
///
/// # Errors
/// [`Error::Corrupt`] where it is none.
pub(crate) fn decode(tree: TreeName, key: &[u8]) -> Result<(PartitionId, Cow<'_, [u8]>)> {
    let (key, rest) = split(tree, key)?;
    if !rest.is_empty() {
        return Err(Error::Corrupt { tree, what: "its key is too long" });
    }
    let (partition, escaped) = key.split_first_chunk::<4>().expect("split found a whole key");
    let escaped = &escaped[..escaped.len() - END.len()];
    let user_key = if escaped.contains(&0) {
        let mut plain = Vec::with_capacity(escaped.len());
        let mut parts = escaped.split(|&byte| byte == 0);
        plain.extend_from_slice(parts.next().unwrap_or_default());
        for part in parts {
            plain.push(0);
            plain.extend_from_slice(&part[1..]); // the FF of each 00 FF
        }
        Cow::Owned(plain)
    } else {
        Cow::Borrowed(escaped)
    };
    Ok((PartitionId(u32::from_be_bytes(*partition)), user_key))
}

/// The partition and the user key at which, or in whose entries, bytes lie that stand among the keys
/// of a tree that begin with an encoded key; they may be cut, as separators are. A key that is cut
/// stands for all that begin with it. `None` before the first byte of any partition.
pub(crate) fn place_of(bytes: &[u8]) -> Option<(PartitionId, Vec<u8>)> {
    let mut partition = [0; 4];
    let given = bytes.len().min(4);
    partition[..given].copy_from_slice(&bytes[..given]);
    let mut user_key = Vec::new();
    let mut rest = bytes[given..].iter();
    while let Some(&byte) = rest.next() {
        if byte == 0 && rest.next() != Some(&ZERO[1]) {
            break;
        }
        user_key.push(byte);
    }
    (given > 0).then_some((PartitionId(u32::from_be_bytes(partition)), user_key))
}

/// How long the key of (any partition, `user_key`) is, encoded.
pub(crate) fn encoded_len(user_key: &[u8]) -> usize {
    let zeros = user_key.iter().filter(|&&byte| byte == 0).count();
    size_of::<PartitionId>() + user_key.len() + zeros + END.len()
}

/// The key of `changes`, and the end of that of `valid`.
pub(crate) fn change(id: EventId) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&note(id.tx));
    key[8..].copy_from_slice(&id.op.to_be_bytes());
    key
}

/// The key of `notes`.
pub(crate) fn note(tx: TxTime) -> [u8; 8] {
    tx.sortable().to_be_bytes()
}

/// Reads a [`change`] back.
pub(crate) fn decode_change(tree: TreeName, key: &[u8]) -> Result<EventId> {
    let mut take = Take::new(tree, key);
    let id = EventId { tx: TxTime::from_sortable(take.u64_be()?), op: take.u32_be()? };
    take.end()?;
    Ok(id)
}

/// Reads a [`note`] key back.
pub(crate) fn decode_note(key: &[u8]) -> Result<TxTime> {
    let mut take = Take::new(TreeName::Notes, key);
    let tx = TxTime::from_sortable(take.u64_be()?);
    take.end()?;
    Ok(tx)
}

/// Reads what follows the key in `live`.
pub(crate) fn decode_live(suffix: &[u8]) -> Result<ValidTime> {
    let mut take = Take::new(TreeName::Live, suffix);
    let from = ValidTime::from_sortable(!take.u64_be()?);
    take.end()?;
    Ok(from)
}

/// Reads what follows the key in `past`: fork and tx_from.
pub(crate) fn decode_past(suffix: &[u8]) -> Result<(u64, TxTime)> {
    let mut take = Take::new(TreeName::Past, suffix);
    let past = (take.u64_be()?, TxTime::from_sortable(!take.u64_be()?));
    take.end()?;
    Ok(past)
}

/// Reads what follows the key in `events`.
pub(crate) fn decode_event(suffix: &[u8]) -> Result<EventId> {
    let mut take = Take::new(TreeName::Events, suffix);
    let id = EventId { tx: TxTime::from_sortable(!take.u64_be()?), op: !take.u32_be()? };
    take.end()?;
    Ok(id)
}

/// Reads a key of `valid`: valid_from, the encoded key, the event.
pub(crate) fn decode_valid(entry: &[u8]) -> Result<(ValidTime, &[u8], EventId)> {
    let mut take = Take::new(TreeName::Valid, entry);
    let from = ValidTime::from_sortable(take.u64_be()?);
    let (key, id) = split(TreeName::Valid, take.rest())?;
    Ok((from, key, decode_change(TreeName::Valid, id)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const P: PartitionId = PartitionId(7);
    const ID: EventId = EventId { tx: TxTime(3), op: 2 };

    #[test]
    fn golden_bytes() {
        let key = EncodedKey::new(P, b"a\0b").unwrap();
        assert_eq!(key.bytes(), b"\0\0\0\x07a\0\xFFb\0\x01");
        let live = key.live(ValidTime(-1));
        assert_eq!(&live.bytes()[10..], [0x80, 0, 0, 0, 0, 0, 0, 0]);
        let past = key.past(5, TxTime(1));
        let expected = [0, 0, 0, 0, 0, 0, 0, 5, 0x7F, 255, 255, 255, 255, 255, 255, 254];
        assert_eq!(&past.bytes()[10..], expected);
        let event = key.event(ID);
        let expected = [0x7F, 255, 255, 255, 255, 255, 255, 252, 255, 255, 255, 253];
        assert_eq!(&event.bytes()[10..], expected);
        assert_eq!(change(ID), [0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2]);
        let valid = key.valid(ValidTime(2), ID);
        assert_eq!(&valid.bytes()[..8], [0x80, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(valid.bytes().len(), key.bytes().len() + SUFFIX_MAX);
    }

    #[test]
    fn an_empty_key_is_refused() {
        assert!(matches!(EncodedKey::new(P, b""), Err(Error::EmptyKey)));
    }

    #[test]
    fn mangled_keys_are_refused() {
        let whole = EncodedKey::new(P, b"a\0b").unwrap();
        for cut in 0..whole.bytes().len() {
            assert!(split(TreeName::Heads, &whole.bytes()[..cut]).is_err(), "{cut}");
        }
        for bad in [&b"\0\0\0\x07\0\x01"[..], b"\0\0\0\x07a\0\x02", b"\0\0\0\x07a\0"] {
            assert!(split(TreeName::Heads, bad).is_err());
        }
        assert!(decode(TreeName::Heads, whole.live(ValidTime(1)).bytes()).is_err());
        assert!(decode_valid(b"\0").is_err());
    }

    #[test]
    fn long_keys_move_to_the_heap_whole() {
        let user_key = vec![b'x'; 1000];
        let key = EncodedKey::new(P, &user_key).unwrap();
        let live = key.live(ValidTime(9));
        assert_eq!(key.suffix_of(live.bytes()).map(decode_live).unwrap().unwrap(), ValidTime(9));
        let (partition, read) = decode(TreeName::Heads, key.bytes()).unwrap();
        assert_eq!((partition, &read[..]), (P, &user_key[..]));
        // A key that outgrows the stack only by its suffix.
        let key = EncodedKey::new(P, &user_key[..INLINE - 8]).unwrap();
        assert!(key.live(ValidTime(9)).bytes().starts_with(key.bytes()));
    }

    #[test]
    fn the_end_of_a_prefix_follows_all_that_start_with_it() {
        assert_eq!(prefix_end(b"ab").unwrap(), b"ac");
        assert_eq!(prefix_end(b"a\xFF\xFF").unwrap(), b"b");
        assert_eq!(prefix_end(b"\xFF"), None);
    }

    fn user_key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(1), Just(0xFF), any::<u8>()];
        proptest::collection::vec(byte, 1..6)
    }

    proptest! {
        #[test]
        fn keys_read_back_and_sort_as_partition_and_user_key_do(
            a in (0u32..3, user_key()), b in (0u32..3, user_key())
        ) {
            let encode = |(p, k): &(u32, Vec<u8>)| EncodedKey::new(PartitionId(*p), k).unwrap();
            let (x, y) = (encode(&a), encode(&b));
            prop_assert_eq!(x.bytes().cmp(y.bytes()), a.cmp(&b));
            let (partition, user_key) = decode(TreeName::Heads, x.bytes()).unwrap();
            prop_assert_eq!((partition.0, &user_key[..]), (a.0, &a.1[..]));
            prop_assert_eq!(x.bytes().len(), encoded_len(&a.1));
            let prefix = encode_prefix(PartitionId(a.0), &a.1);
            let starts = b.0 == a.0 && b.1.starts_with(&a.1);
            prop_assert_eq!(y.bytes().starts_with(prefix.bytes()), starts);
            // Entries of one key never lie between two of another.
            let entry = x.live(ValidTime::MIN);
            prop_assert_eq!(entry.bytes().cmp(y.bytes()).is_gt(), a >= b);
            let read = EncodedKey::of_entry(TreeName::Live, entry.bytes()).unwrap();
            prop_assert_eq!(read.bytes(), x.bytes());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = split(TreeName::Heads, &bytes);
            let _ = decode(TreeName::Heads, &bytes);
            let _ = decode_valid(&bytes);
            let _ = decode_change(TreeName::Changes, &bytes);
            let _ = (decode_live(&bytes), decode_past(&bytes), decode_event(&bytes));
        }
    }
}
