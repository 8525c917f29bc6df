//! What a layer above needs in order to read: ordered trees at one instant.
//!
//! A snapshot is a [`View`]; so is the newest applied state that the sequencer reads while it
//! resolves a commit. Code written against the trait runs on both, and on a map in tests.

use crate::{Entry, Error, Result, TreeId, ValueRef};

/// Ordered trees at one instant.
pub trait View {
    /// The cursor over one tree.
    type Cursor<'v>: Cursor
    where
        Self: 'v;

    /// The value under `key`, `None` where there is none. A tree that does not exist is empty.
    fn get(&self, tree: TreeId, key: &[u8]) -> Result<Option<ValueRef<'_>>>;

    /// A cursor over `tree`, positioned nowhere.
    fn cursor(&self, tree: TreeId) -> Self::Cursor<'_>;

    /// As [`View::get`]; of a long value no more than the head is read.
    fn entry(&self, tree: TreeId, key: &[u8]) -> Result<Option<Entry<'_>>> {
        Ok(self.get(tree, key)?.map(Entry::Whole))
    }

    /// A value that a [`NewValue::Reference`](crate::NewValue::Reference) names: see
    /// [`Pager::unborn`](crate::Pager::unborn). Views without a file have none.
    fn unborn(&self, _descriptor: &[u8]) -> Result<Entry<'_>> {
        Err(Error::BadBatch { offset: 0 })
    }
}

/// A position in a tree, in bytewise key order.
///
/// Every move answers whether the cursor stands on an entry afterwards. After `false` it stands
/// nowhere and only the `seek` family moves it again. After an error it stands nowhere either, and
/// until one of the `seek` family has worked every step fails again: what could not be read is
/// neither passed over nor taken for the end. A value that cannot be read leaves the cursor where it
/// is.
pub trait Cursor {
    /// Moves to the first entry whose key is at least `key`.
    fn seek(&mut self, key: &[u8]) -> Result<bool>;
    /// Moves to the last entry whose key is at most `key`.
    fn seek_at_most(&mut self, key: &[u8]) -> Result<bool>;
    /// Moves to the first entry of the tree.
    fn first(&mut self) -> Result<bool>;
    /// Moves to the last entry of the tree.
    fn last(&mut self) -> Result<bool>;
    /// Moves one entry up.
    fn next(&mut self) -> Result<bool>;
    /// Moves one entry down.
    fn prev(&mut self) -> Result<bool>;
    /// The key under the cursor. Panics where it stands on no entry.
    fn key(&self) -> &[u8];
    /// The value under the cursor. Panics where it stands on no entry.
    fn value(&self) -> Result<ValueRef<'_>>;

    /// As [`Cursor::value`]; of a long value no more than the head is read.
    fn entry(&self) -> Result<Entry<'_>> {
        self.value().map(Entry::Whole)
    }
}
