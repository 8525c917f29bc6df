//! What is stored under a key, without reading more of it than is asked for.

use crate::extent::{self, Extents};
use crate::pager::Pager;
use crate::stream::ValueReader;
use crate::{PageId, Result, ValueRef};
use std::fmt;

/// What is stored under a key.
#[derive(Debug)]
pub enum Entry<'s> {
    /// A value in one piece.
    Whole(ValueRef<'s>),
    /// A value that was written ahead of its commit: it begins in the leaf and goes on in pages of
    /// its own.
    Long(LongValue<'s>),
}

/// A value that begins in the leaf and goes on in pages of its own.
pub struct LongValue<'s> {
    pager: &'s Pager,
    head: Vec<u8>,
    extents: Extents,
    /// A pinned root reaches the pages.
    pinned: bool,
}

impl fmt::Debug for LongValue<'_> {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LongValue({} + {} bytes)", self.head.len(), self.extents.len)
    }
}

impl<'s> Entry<'s> {
    /// The first bytes: all of a value in one piece, the head of a long one.
    pub fn head(&self) -> &[u8] {
        match self {
            Entry::Whole(value) => value,
            Entry::Long(long) => &long.head,
        }
    }

    /// All bytes, in one piece.
    ///
    /// # Errors
    /// Damage.
    pub fn into_value(self) -> Result<ValueRef<'s>> {
        match self {
            Entry::Whole(value) => Ok(value),
            Entry::Long(long) if long.head.is_empty() => long.tail(),
            Entry::Long(long) => {
                let tail = long.tail()?;
                let mut bytes = Vec::with_capacity(long.head.len() + tail.len());
                bytes.extend_from_slice(&long.head);
                bytes.extend_from_slice(&tail);
                Ok(ValueRef::Owned(bytes))
            }
        }
    }
}

impl<'s> LongValue<'s> {
    /// A value whose descriptor was found in the leaf `at`.
    ///
    /// # Safety
    /// A root that reaches the value is pinned for as long as `'s`.
    pub(crate) unsafe fn pinned(pager: &'s Pager, body: &[u8], at: PageId) -> Result<Self> {
        let (extents, head) = Extents::decode(body, at, pager.page_size)?;
        Ok(LongValue { pager, head: head.to_vec(), extents, pinned: true })
    }

    /// A value that a batch names and no root reaches yet. It is read by copies that are checked.
    pub(crate) fn unborn(pager: &'s Pager, extents: Extents, head: &[u8]) -> Self {
        LongValue { pager, head: head.to_vec(), extents, pinned: false }
    }

    /// Whether it was written ahead of its commit.
    pub(crate) fn is_logged(&self) -> bool {
        self.extents.logged
    }

    /// What is in the leaf.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Bytes of what is not in the leaf.
    pub fn tail_len(&self) -> u64 {
        u64::from(self.extents.len)
    }

    /// All that is not in the leaf; borrowed where it lies together.
    ///
    /// # Errors
    /// Damage.
    pub fn tail(&self) -> Result<ValueRef<'s>> {
        if self.pinned {
            // SAFETY: `pinned` is set where a pin was promised for 's.
            return unsafe { extent::read(self.pager, &self.extents) };
        }
        let mut bytes = Vec::new();
        let mut reader = self.reader();
        while let Some(chunk) = reader.next_chunk()? {
            bytes.extend_from_slice(chunk);
        }
        Ok(ValueRef::Owned(bytes))
    }

    /// Reads what is not in the leaf, a chunk at a time.
    pub fn reader(&self) -> ValueReader<'s> {
        ValueReader::new(self.pager, self.extents.clone())
    }
}
