//! Reads: one module a question. All are generic over [`View`], so they answer alike on a
//! snapshot, on the newest applied state and on a transaction's own pending writes.

mod began;
mod changes;
mod diff;
mod history;
mod locate;
mod open;
mod past;
mod range;
mod scan;
mod timeline;
mod versions;

pub use began::Began;
pub use changes::{Change, Changes};
pub use diff::{Diff, DiffRow};
pub use history::{History, Rectangle};
pub use open::{Body, Opened};
pub use range::KeyRange;
pub use scan::{Row, Scan};
pub use versions::{Version, Versions};

pub(crate) use locate::Located;

use crate::codec::head::Head;
use crate::codec::key::{self, EncodedKey};
use crate::codec::rect::Rect;
use crate::events::Events;
use crate::{At, Error, EventId, PartitionId, Result, Trees, TxTime, ValidTime, Value};
use llmdb_storage::{ValueRef, View};
use std::fmt;

/// Answers questions about time from the trees of one view.
pub struct Reader<'v, V> {
    view: &'v V,
    trees: Trees,
}

/// A maximal stretch of valid time over which, as believed at some T, one event answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'v> {
    /// The event's value.
    pub value: Value<'v>,
    /// Where the stretch begins.
    pub valid_from: ValidTime,
    /// Where it ends; this point is not part of it.
    pub valid_to: ValidTime,
    /// The transaction that wrote the event.
    pub tx: TxTime,
    /// The event's place among the operations of its transaction.
    pub op: u32,
}

/// Whether recorded absences are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absences {
    /// Only values are.
    Omit,
    /// They are too, without a value.
    Include,
}

impl<V> Clone for Reader<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Reader<'_, V> {}

impl<V> fmt::Debug for Reader<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({:?})", self.trees)
    }
}

impl<'v> Segment<'v> {
    fn new(rect: &Rect, value: Value<'v>) -> Self {
        Self {
            value,
            valid_from: rect.valid.from(),
            valid_to: rect.valid.to(),
            tx: rect.event.tx,
            op: rect.event.op,
        }
    }
}

impl<'v, V: View> Reader<'v, V> {
    /// A reader of `trees` in `view`.
    pub fn new(view: &'v V, trees: &Trees) -> Self {
        Self { view, trees: *trees }
    }

    pub(crate) fn view(&self) -> &'v V {
        self.view
    }

    pub(crate) fn trees(&self) -> &Trees {
        &self.trees
    }

    /// What the key has at a point of both times: the maximal segment around `at.valid` as
    /// believed at `at.tx`, or `None` where it is absent or unknown.
    ///
    /// One seek while the head answers, which is so for now and for any time since the value
    /// appeared; two more where another segment of the current belief does; at most 68 seeks at
    /// any depth of history.
    ///
    /// # Errors
    /// [`Error::EmptyKey`], or what reading the trees gave.
    pub fn get(
        &self,
        partition: PartitionId,
        user_key: &[u8],
        at: At,
    ) -> Result<Option<Segment<'v>>> {
        let key = EncodedKey::new(partition, user_key)?;
        let Some((head, value)) = self.head(&key)? else { return Ok(None) };
        match locate::locate(self, &key, &head, at)? {
            Located::Head(rect) if !head.long => {
                Ok((!rect.absence).then(|| Segment::new(&rect, value)))
            }
            Located::Head(rect) | Located::Elsewhere(rect) => {
                self.segment(&key, &rect, Some(&(head, value)))
            }
            Located::Nowhere => Ok(None),
        }
    }

    /// The head of a key, and its value.
    fn head(&self, key: &EncodedKey) -> Result<Option<(Head, Value<'v>)>> {
        let Some(entry) = self.view.get(self.trees.heads, key.bytes())? else { return Ok(None) };
        let (head, start) = Head::decode(&entry)?;
        Ok(Some((head, Value::new(entry, start))))
    }

    /// The segment that a rectangle outside the head makes; `head` where the caller has it.
    fn segment(
        &self,
        key: &EncodedKey,
        rect: &Rect,
        head: Option<&(Head, Value<'v>)>,
    ) -> Result<Option<Segment<'v>>> {
        if rect.absence {
            return Ok(None);
        }
        let value = self.events().into_value(key, rect.event, head)?;
        Ok(Some(Segment::new(rect, value)))
    }

    /// The values of events.
    fn events(&self) -> Events<'v, V> {
        Events::new(self.view, self.trees)
    }

    /// The note of a transaction, if it has one.
    ///
    /// # Errors
    /// What reading the trees gave.
    pub fn note(&self, tx: TxTime) -> Result<Option<ValueRef<'v>>> {
        Ok(self.view.get(self.trees.notes, &key::note(tx))?)
    }
}

fn missing(event: EventId) -> Error {
    Error::EventMissing { event }
}
