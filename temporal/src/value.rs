//! A value behind the header of the entry that it is stored in.

use llmdb_storage::ValueRef;
use std::fmt;
use std::ops::Deref;

/// A value, borrowed from the view wherever its bytes lie together there.
#[derive(Clone)]
pub struct Value<'v> {
    entry: ValueRef<'v>,
    start: usize,
}

impl<'v> Value<'v> {
    /// The value that starts at `start` in `entry`.
    pub(crate) fn new(entry: ValueRef<'v>, start: usize) -> Self {
        assert!(start <= entry.len(), "a value starts within its entry");
        Self { entry, start }
    }

    /// The bytes, copied unless they are owned already.
    pub fn into_vec(self) -> Vec<u8> {
        match self.entry {
            ValueRef::Owned(mut bytes) => {
                bytes.drain(..self.start);
                bytes
            }
            borrowed => borrowed[self.start..].to_vec(),
        }
    }
}

impl Deref for Value<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.entry[self.start..]
    }
}

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value<'_> {}

impl fmt::Debug for Value<'_> {
    /// The length alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.len())
    }
}
