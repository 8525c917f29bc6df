//! Many keys at one point of both times.

use super::{KeyRange, Located, Reader, Segment, locate};
use crate::codec::head::Head;
use crate::codec::key::{self, EncodedKey};
use crate::{At, Error, Result, TreeName, Value};
use llmdb_storage::{Cursor, View};
use std::fmt;

/// The keys of a range that have a value at a point of both times, in the order of their bytes.
///
/// Reads `heads` alone for every key whose head answers. Each row is borrowed until the next: this
/// is a cursor, not an `Iterator`.
pub struct Scan<'v, V: View + 'v> {
    reader: Reader<'v, V>,
    heads: V::Cursor<'v>,
    range: KeyRange,
    at: At,
    started: bool,
    /// The row under the cursor could not be read: it comes next.
    due: bool,
    user_key: Vec<u8>,
}

/// One key and what it has.
#[derive(Clone, PartialEq, Eq)]
pub struct Row<'r> {
    /// The user key.
    pub key: &'r [u8],
    /// Its segment around the point that was asked for.
    pub segment: Segment<'r>,
}

impl<'v, V: View> Reader<'v, V> {
    /// Scans the keys of `range` at `at`. To go on after a row, scan `range.after(..)` its key.
    pub fn scan(&self, range: KeyRange, at: At) -> Scan<'v, V> {
        let heads = self.view.cursor(self.trees.heads);
        Scan { reader: *self, heads, range, at, started: false, due: false, user_key: Vec::new() }
    }
}

impl<V: View> Scan<'_, V> {
    /// The next row; `None` at the end. After an error the next call is about the same row: none is
    /// left out.
    ///
    /// # Errors
    /// What reading the trees gave.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        let (located, start, long) = loop {
            if !self.due && !self.step()? {
                return Ok(None);
            }
            self.due = true;
            let (head, start) = Head::decode(&self.heads.value()?)?;
            let located = match locate::locate_in_head(&head, self.at) {
                Some(located) => located,
                None => {
                    let key = EncodedKey::of_entry(TreeName::Heads, self.heads.key())?;
                    locate::locate(&self.reader, &key, &head, self.at)?
                }
            };
            match located {
                Located::Head(rect) | Located::Elsewhere(rect) if !rect.absence => {
                    break (located, start, head.long);
                }
                _ => self.due = false,
            }
        };
        let entry = self.heads.key();
        let (_, user_key) = key::decode(TreeName::Heads, entry)?;
        self.user_key.clear();
        self.user_key.extend_from_slice(&user_key);
        let segment = match located {
            Located::Head(rect) if !long => {
                Segment::new(&rect, Value::new(self.heads.value()?, start))
            }
            Located::Head(rect) | Located::Elsewhere(rect) => {
                let key = EncodedKey::of_entry(TreeName::Heads, entry)?;
                let segment = self.reader.segment(&key, &rect, None)?;
                segment.ok_or(Error::EventMissing { event: rect.event })?
            }
            Located::Nowhere => unreachable!("the loop ends on a located value"),
        };
        self.due = false;
        Ok(Some(Row { key: &self.user_key, segment }))
    }

    /// Moves to the next head of the range.
    fn step(&mut self) -> Result<bool> {
        let on = if self.started {
            self.heads.next()?
        } else {
            self.started = true;
            self.heads.seek(self.range.from())?
        };
        Ok(on && self.range.reaches(self.heads.key()))
    }
}

impl<V: View> fmt::Debug for Scan<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scan({:?} at {:?})", self.range, self.at)
    }
}

impl fmt::Debug for Row<'_> {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row(key of {} bytes, {:?})", self.key.len(), self.segment)
    }
}
