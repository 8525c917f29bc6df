//! A value as a reader gets it: borrowed from a page wherever its bytes lie together.

use crate::Pinned;
use std::fmt;
use std::ops::Deref;

/// The bytes of a value, valid as long as the snapshot it was read from.
///
/// With the `Mmap` source, inline values and values in one extent are borrowed from the page, and a
/// value scattered over several extents is assembled. With the `Buffered` source, an inline value
/// keeps its page in the page cache for as long as it is held, and a longer one is read anew.
#[derive(Clone)]
pub enum ValueRef<'s> {
    /// Bytes that lie together in a page, a frame or an extent.
    Borrowed(&'s [u8]),
    /// Bytes of a page in the page cache, which stays there meanwhile.
    Pinned(Pinned<'s>),
    /// Bytes assembled from several extents, or read from the file.
    Owned(Vec<u8>),
}

impl ValueRef<'_> {
    /// The bytes, copied unless they are owned already.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            ValueRef::Borrowed(bytes) => bytes.to_vec(),
            ValueRef::Pinned(bytes) => bytes.to_vec(),
            ValueRef::Owned(bytes) => bytes,
        }
    }
}

impl Deref for ValueRef<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            ValueRef::Borrowed(bytes) => bytes,
            ValueRef::Pinned(bytes) => bytes,
            ValueRef::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for ValueRef<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ValueRef<'_> {
    /// The length alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueRef({} bytes)", self.len())
    }
}
