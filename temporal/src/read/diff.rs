//! What differs between two points of both times.

use super::{KeyRange, Located, Reader, Segment, locate};
use crate::codec::head::Head;
use crate::codec::key::{self, EncodedKey};
use crate::codec::rect::Rect;
use crate::{At, PartitionId, Result, TreeName};
use llmdb_storage::{Cursor, View};
use std::fmt;

/// The keys of a range whose visible value differs between two points, by key. After an error it
/// ends.
pub struct Diff<'v, V: View + 'v> {
    reader: Reader<'v, V>,
    range: KeyRange,
    heads: V::Cursor<'v>,
    started: bool,
    over: bool,
    a: At,
    b: At,
}

/// One key that differs, and what it has on either side.
#[derive(Clone)]
pub struct DiffRow<'v> {
    /// The partition.
    pub partition: PartitionId,
    /// The user key.
    pub key: Vec<u8>,
    /// What it has at the first point; `None` where it is absent or unknown.
    pub a: Option<Segment<'v>>,
    /// What it has at the second.
    pub b: Option<Segment<'v>>,
}

impl<'v, V: View> Reader<'v, V> {
    /// What differs between `a` and `b` among the keys of `range`.
    ///
    /// A key is listed when its visible *value* differs, or there is one on one side only. Equal
    /// values from different events do not differ, nor do an absence and never having been known.
    /// A head and at most two searches for each key of the range; values are read only where the
    /// events differ.
    pub fn diff(&self, range: KeyRange, a: At, b: At) -> Diff<'v, V> {
        let heads = self.view.cursor(self.trees.heads);
        Diff { reader: *self, range, heads, started: false, over: false, a, b }
    }

    /// The segment at a located rectangle, read on its own.
    fn located(&self, key: &EncodedKey, located: Located) -> Result<Option<Segment<'v>>> {
        match located {
            Located::Nowhere => Ok(None),
            Located::Head(rect) | Located::Elsewhere(rect) if rect.absence => Ok(None),
            Located::Head(rect) | Located::Elsewhere(rect) => {
                self.segment(key, &rect, self.head(key)?.as_ref())
            }
        }
    }
}

impl<'v, V: View> Iterator for Diff<'v, V> {
    type Item = Result<DiffRow<'v>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_row();
        self.over = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl<'v, V: View> Diff<'v, V> {
    fn next_row(&mut self) -> Result<Option<DiffRow<'v>>> {
        loop {
            let on = if self.started {
                self.heads.next()?
            } else {
                self.started = true;
                self.heads.seek(self.range.from())?
            };
            if !on || !self.range.reaches(self.heads.key()) {
                return Ok(None);
            }
            if let Some(row) = self.row()? {
                return Ok(Some(row));
            }
        }
    }

    /// The key under the cursor, if it differs.
    fn row(&self) -> Result<Option<DiffRow<'v>>> {
        let (head, _) = Head::decode(&self.heads.value()?)?;
        let key = EncodedKey::of_entry(TreeName::Heads, self.heads.key())?;
        let a = locate::locate(&self.reader, &key, &head, self.a)?;
        let b = locate::locate(&self.reader, &key, &head, self.b)?;
        let event = |located: &Located| rect(located).map(|rect| rect.event);
        if event(&a) == event(&b) {
            return Ok(None);
        }
        let (a, b) = (self.reader.located(&key, a)?, self.reader.located(&key, b)?);
        if a.as_ref().map(|a| &a.value) == b.as_ref().map(|b| &b.value) {
            return Ok(None);
        }
        let (partition, user_key) = key::decode(TreeName::Heads, self.heads.key())?;
        Ok(Some(DiffRow { partition, key: user_key.into_owned(), a, b }))
    }
}

fn rect(located: &Located) -> Option<&Rect> {
    match located {
        Located::Head(rect) | Located::Elsewhere(rect) => Some(rect),
        Located::Nowhere => None,
    }
}

impl<V: View> fmt::Debug for Diff<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Diff({:?}, {:?} to {:?})", self.range, self.a, self.b)
    }
}

impl fmt::Debug for DiffRow<'_> {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiffRow(key of {} bytes, {:?} to {:?})", self.key.len(), self.a, self.b)
    }
}
