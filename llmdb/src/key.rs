//! How a key is named.

use llmdb_temporal::{PartitionId, ValidTime};
use std::fmt;

/// A key in full: its partition, its bytes and, if wanted, a point of valid time.
///
/// A put of a key with a time is a [`put_at`](crate::Db::put_at), a get of one reads at that time.
///
/// ```
/// use llmdb::{Key, PartitionId, ValidTime};
///
/// let key = Key::new(PartitionId(7), "user:1").valid_from(ValidTime(10));
/// assert_eq!((key.partition, key.user_key.as_slice()), (PartitionId(7), &b"user:1"[..]));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The partition; 0 unless chosen.
    pub partition: PartitionId,
    /// The bytes of the key within the partition; not empty.
    pub user_key: Vec<u8>,
    /// Where a write begins to hold and a read stands; now where `None`.
    pub valid_from: Option<ValidTime>,
}

impl Key {
    /// A key of `partition`, now.
    pub fn new(partition: PartitionId, user_key: impl Into<Vec<u8>>) -> Self {
        Self { partition, user_key: user_key.into(), valid_from: None }
    }

    /// The same key at a point of valid time.
    #[must_use]
    pub fn valid_from(mut self, at: ValidTime) -> Self {
        self.valid_from = Some(at);
        self
    }
}

impl fmt::Debug for Key {
    /// The length alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partition, bytes) = (self.partition, self.user_key.len());
        write!(f, "Key({partition:?}, {bytes} bytes, {:?})", self.valid_from)
    }
}

/// A key as an operation takes it, borrowed.
#[derive(Clone, Copy)]
pub struct KeyRef<'k> {
    /// As in [`Key`].
    pub partition: PartitionId,
    /// As in [`Key`].
    pub user_key: &'k [u8],
    /// As in [`Key`].
    pub valid_from: Option<ValidTime>,
}

impl fmt::Debug for KeyRef<'_> {
    /// The length alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partition, bytes) = (self.partition, self.user_key.len());
        write!(f, "KeyRef({partition:?}, {bytes} bytes, {:?})", self.valid_from)
    }
}

/// What names a key: a [`Key`], or text or bytes, which mean partition 0 and now.
pub trait AsKey {
    /// The key, in full.
    fn as_key(&self) -> KeyRef<'_>;
}

impl<T: AsKey + ?Sized> AsKey for &T {
    fn as_key(&self) -> KeyRef<'_> {
        (**self).as_key()
    }
}

impl AsKey for Key {
    fn as_key(&self) -> KeyRef<'_> {
        let Key { partition, ref user_key, valid_from } = *self;
        KeyRef { partition, user_key, valid_from }
    }
}

impl AsKey for KeyRef<'_> {
    fn as_key(&self) -> KeyRef<'_> {
        *self
    }
}

impl AsKey for [u8] {
    fn as_key(&self) -> KeyRef<'_> {
        KeyRef { partition: PartitionId(0), user_key: self, valid_from: None }
    }
}

impl AsKey for str {
    fn as_key(&self) -> KeyRef<'_> {
        self.as_bytes().as_key()
    }
}

impl AsKey for String {
    fn as_key(&self) -> KeyRef<'_> {
        self.as_bytes().as_key()
    }
}

impl AsKey for Vec<u8> {
    fn as_key(&self) -> KeyRef<'_> {
        self.as_slice().as_key()
    }
}

impl<const N: usize> AsKey for [u8; N] {
    fn as_key(&self) -> KeyRef<'_> {
        self.as_slice().as_key()
    }
}
