//! What a writer asks for.

use crate::codec::key::{self, EncodedKey, SUFFIX_MAX, decode, encoded_len};
use crate::{Error, Interval, PartitionId, Result, TreeName, TxTime, ValidTime};
use llmdb_storage::Reference;
use std::fmt;

/// One write of one key.
///
/// | call | kind | when |
/// |---|---|---|
/// | put | `Put` | `FromNow` |
/// | put at vf | `Put` | `From(vf)` |
/// | put over a range | `Put` | `Range(vf, vt)`, or `FromNowTo(vt)` |
/// | put for a while | `Put` | `FromNowFor(ttl)` |
/// | end, at vf or now | `Absent` | `From(vf)` or `FromNow` |
/// | delete | `Absent` | `FromNowTo(ValidTime::INFINITY)` |
/// | delete over a range | `Absent` | `Range(vf, vt)`, or `FromNowTo(vt)` |
#[derive(Clone, PartialEq, Eq)]
pub struct Op {
    /// The partition written to.
    pub partition: PartitionId,
    /// The user key; not empty.
    pub key: Vec<u8>,
    /// What is written.
    pub kind: OpKind,
    /// When it holds.
    pub when: When,
}

/// What is written.
#[derive(Clone, PartialEq, Eq)]
pub enum OpKind {
    /// The key has a value.
    Put {
        /// The value.
        value: Vec<u8>,
    },
    /// The key has a value that was written into the file ahead of the commit.
    PutLong {
        /// Where it is; it stays there whatever becomes of the key's head.
        value: Reference,
    },
    /// The key has none: a fact like any other.
    Absent,
}

/// When a write holds. Now is the time of its own transaction. An *open* end is the next boundary
/// of the key after the beginning at which the covering event changes, else infinity: a late fact
/// never wipes out what is known to come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// From now, with an open end.
    FromNow,
    /// From now to exactly a time.
    FromNowTo(ValidTime),
    /// From now for so many microseconds, or units of the clock: exactly `[now, now + ttl)`.
    FromNowFor(i64),
    /// From a time, with an open end.
    From(ValidTime),
    /// From a time to exactly another.
    Range(ValidTime, ValidTime),
}

/// What a write is called in the feed of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A value.
    Put,
    /// An absence with an open end.
    End,
    /// An absence with an exact end.
    Delete,
}

impl Op {
    /// A value over `when`.
    pub fn put(
        partition: PartitionId,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        when: When,
    ) -> Self {
        Self { partition, key: key.into(), kind: OpKind::Put { value: value.into() }, when }
    }

    /// An absence over `when`.
    pub fn absent(partition: PartitionId, key: impl Into<Vec<u8>>, when: When) -> Self {
        Self { partition, key: key.into(), kind: OpKind::Absent, when }
    }

    /// Refuses what can be refused before the transaction's time is known, for trees whose keys
    /// have at most `key_bytes_max` bytes.
    ///
    /// # Errors
    /// [`Error::EmptyKey`], [`Error::KeyTooLong`], [`Error::EmptyInterval`], [`Error::BadTtl`]
    pub fn check(&self, key_bytes_max: usize) -> Result<()> {
        if self.key.is_empty() {
            return Err(Error::EmptyKey);
        }
        let (bytes, bytes_max) = (encoded_len(&self.key), key_bytes_max.saturating_sub(SUFFIX_MAX));
        if bytes > bytes_max {
            return Err(Error::KeyTooLong { bytes, bytes_max });
        }
        match self.when {
            When::Range(from, to) => Interval::new(from, to).map(drop),
            When::From(from) => Interval::new(from, ValidTime::INFINITY).map(drop),
            When::FromNowFor(ttl) if ttl <= 0 => Err(Error::BadTtl { ttl }),
            When::FromNow | When::FromNowTo(_) | When::FromNowFor(_) => Ok(()),
        }
    }

    /// The key of `heads` that the write rewrites: see [`head_key`].
    ///
    /// # Errors
    /// [`Error::EmptyKey`]
    pub fn head_key(&self) -> Result<Vec<u8>> {
        head_key(self.partition, &self.key)
    }

    /// Where it begins in a transaction at `tx`, and where it ends if it says so.
    ///
    /// # Errors
    /// [`Error::BadTtl`]; [`Error::TimeOutOfRange`] where a fact that ends by itself would outlast
    /// time.
    pub(crate) fn span(&self, tx: TxTime) -> Result<(ValidTime, Option<ValidTime>)> {
        Ok(match self.when {
            When::FromNow => (tx.as_valid(), None),
            When::FromNowTo(to) => (tx.as_valid(), Some(to)),
            When::FromNowFor(ttl) => (tx.as_valid(), Some(tx.as_valid().after(ttl)?)),
            When::From(from) => (from, None),
            When::Range(from, to) => (from, Some(to)),
        })
    }

    /// Its value; empty for an absence, and for one that was written ahead.
    pub(crate) fn value(&self) -> &[u8] {
        match &self.kind {
            OpKind::Put { value } => value,
            OpKind::PutLong { .. } | OpKind::Absent => &[],
        }
    }

    /// Where its value is, if that was written ahead.
    pub(crate) fn long(&self) -> Option<&Reference> {
        match &self.kind {
            OpKind::PutLong { value } => Some(value),
            OpKind::Put { .. } | OpKind::Absent => None,
        }
    }

    pub(crate) fn is_absence(&self) -> bool {
        self.kind == OpKind::Absent
    }

    pub(crate) fn change_kind(&self) -> ChangeKind {
        match (&self.kind, self.when) {
            (OpKind::Put { .. } | OpKind::PutLong { .. }, _) => ChangeKind::Put,
            (OpKind::Absent, When::FromNow | When::From(_)) => ChangeKind::End,
            (OpKind::Absent, When::FromNowTo(_) | When::FromNowFor(_) | When::Range(..)) => {
                ChangeKind::Delete
            }
        }
    }
}

/// The key of `heads` that every write of `user_key` rewrites and every read of it reads: what
/// stands for it where transactions are checked for conflicts.
///
/// # Errors
/// [`Error::EmptyKey`]
pub fn head_key(partition: PartitionId, user_key: &[u8]) -> Result<Vec<u8>> {
    EncodedKey::new(partition, user_key).map(|key| key.bytes().to_vec())
}

/// Where among partitions and user keys an entry of `heads`, `live`, `past` or `events` lies, or a
/// bound between such entries, which may be cut short of its key. `None` for the bound before all.
pub fn place_of(bound: &[u8]) -> Option<(PartitionId, Vec<u8>)> {
    key::place_of(bound)
}

/// The partition and the user key of a key of `heads`.
///
/// # Errors
/// [`Error::Corrupt`] where it is none.
pub fn user_key(head_key: &[u8]) -> Result<(PartitionId, Vec<u8>)> {
    let (partition, user_key) = decode(TreeName::Heads, head_key)?;
    Ok((partition, user_key.into_owned()))
}

impl fmt::Debug for Op {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, when) = (self.key.len(), self.when);
        write!(f, "Op({:?} {:?}, key of {key} bytes, {when:?})", self.kind, self.partition)
    }
}

impl fmt::Debug for OpKind {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { value } => write!(f, "put of {} bytes", value.len()),
            Self::PutLong { value } => write!(f, "put of {} bytes, written ahead", value.len()),
            Self::Absent => f.write_str("absent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(0);

    #[test]
    fn what_needs_no_clock_is_refused_early() {
        let key_bytes_max = 40;
        let check = |key: &[u8], when| Op::put(P, key, b"v", when).check(key_bytes_max);
        assert!(matches!(check(b"", When::FromNow), Err(Error::EmptyKey)));
        assert!(check(&[b'k'; 14], When::FromNow).is_ok());
        let long = check(&[b'k'; 15], When::FromNow);
        assert!(matches!(long, Err(Error::KeyTooLong { bytes: 21, bytes_max: 20 })));
        assert!(check(&[0; 8], When::FromNow).is_err(), "zeros take two bytes");
        let (five, infinity) = (ValidTime(5), ValidTime::INFINITY);
        assert!(matches!(check(b"k", When::Range(five, five)), Err(Error::EmptyInterval { .. })));
        assert!(check(b"k", When::From(infinity)).is_err());
        assert!(check(b"k", When::FromNowTo(five)).is_ok());
    }

    #[test]
    fn a_prefix_spans_the_heads_of_its_keys_and_no_others() {
        use crate::KeyRange;
        let range = KeyRange::prefix(P, b"a");
        let (from, to) = range.head_keys();
        let within = |key: &[u8]| {
            let key = head_key(P, key).unwrap();
            from <= key.as_slice() && key.as_slice() < to.unwrap()
        };
        assert!(within(b"a") && within(b"a\0") && within(b"a\xFF"));
        assert!(!within(b"b") && !within(b"\xFF") && !within(b"\0a"));
    }

    #[test]
    fn debug_shows_no_contents() {
        let op = Op::put(P, b"secret", b"hidden", When::FromNow);
        assert_eq!(format!("{op:?}"), "Op(put of 6 bytes partition 0, key of 6 bytes, FromNow)");
    }
}
