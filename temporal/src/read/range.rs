//! Which keys of a partition are meant.

use crate::PartitionId;
use crate::codec::key::{encode_prefix, prefix_end};
use std::fmt;

/// A range of the keys of one partition, in the order of user keys' bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first encoded bytes.
    from: Vec<u8>,
    /// The first encoded bytes behind; `None` to the end of the tree.
    to: Option<Vec<u8>>,
}

impl KeyRange {
    /// The keys that start with `prefix`; all keys of the partition where it is empty.
    pub fn prefix(partition: PartitionId, prefix: &[u8]) -> Self {
        let from = encode_prefix(partition, prefix).bytes().to_vec();
        Self { to: prefix_end(&from), from }
    }

    /// The keys from `from` up to, and not including, `to`; `None`: to the partition's end.
    pub fn between(partition: PartitionId, from: &[u8], to: Option<&[u8]>) -> Self {
        // Without its terminator an encoded key sorts before itself and before every extension,
        // and behind all that is less.
        let to = match to {
            Some(to) => Some(encode_prefix(partition, to).bytes().to_vec()),
            None => prefix_end(encode_prefix(partition, b"").bytes()),
        };
        Self { from: encode_prefix(partition, from).bytes().to_vec(), to }
    }

    /// The same range, only behind `user_key`: where a scan that was cut short goes on.
    #[must_use]
    pub fn after(mut self, partition: PartitionId, user_key: &[u8]) -> Self {
        let mut next = user_key.to_vec();
        next.push(0); // the least key greater than it
        let behind = encode_prefix(partition, &next).bytes().to_vec();
        self.from = self.from.max(behind);
        self
    }

    /// The part before `key`, encoded, and the part from it on.
    pub(crate) fn split_at(self, key: &[u8]) -> (Self, Self) {
        let Self { from, to } = self;
        (Self { from, to: Some(key.to_vec()) }, Self { from: key.to_vec(), to })
    }

    /// The keys of `heads` that the range spans, from the first to the one behind the last
    /// (`None`: to the end of the tree): what a scan reads, and so what a transaction that ran it
    /// must see unchanged.
    pub fn head_keys(&self) -> (&[u8], Option<&[u8]>) {
        (&self.from, self.to.as_deref())
    }

    pub(crate) fn from(&self) -> &[u8] {
        &self.from
    }

    /// Whether `key`, encoded, is in the range.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.reaches(key)
    }

    /// Whether `key`, encoded and not before the range, is in it.
    pub(crate) fn reaches(&self, key: &[u8]) -> bool {
        self.to.as_ref().is_none_or(|to| key < to.as_slice())
    }
}

impl fmt::Debug for KeyRange {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.len(), self.to.as_ref().map(Vec::len));
        write!(f, "KeyRange(from {from} bytes, to {to:?})")
    }
}
