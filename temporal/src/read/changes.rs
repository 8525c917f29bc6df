//! What was written in a stretch of transaction time.

use super::{KeyRange, Reader};
use crate::codec::change::Line;
use crate::codec::key::{self, EncodedKey, decode_change};
use crate::{ChangeKind, EventId, PartitionId, Result, TreeName, TxTime, ValidTime, Value};
use llmdb_storage::{Cursor, ValueRef, View};
use std::fmt;
use std::ops::Range;

/// Writes in the order of (tx, op). After an error it ends.
pub struct Changes<'v, V: View + 'v> {
    reader: Reader<'v, V>,
    lines: V::Cursor<'v>,
    from: [u8; 12],
    tx_to: TxTime,
    started: bool,
    over: bool,
    /// The keys that are wanted; `None` for all.
    within: Option<KeyRange>,
    /// The last write that was looked at, wanted or not.
    passed: Option<EventId>,
}

/// One write as it was asked for; an open end is the boundary that it was resolved to.
#[derive(Clone)]
pub struct Change<'v> {
    /// The transaction.
    pub tx: TxTime,
    /// The write's place among the operations of the transaction.
    pub op: u32,
    /// What it was.
    pub kind: ChangeKind,
    /// The partition.
    pub partition: PartitionId,
    /// The user key.
    pub key: Vec<u8>,
    /// Where it was said to begin to hold.
    pub valid_from: ValidTime,
    /// Where it was said to cease.
    pub valid_to: ValidTime,
    /// The value; `None` for an absence.
    pub value: Option<Value<'v>>,
    /// The note of the transaction.
    pub note: Option<ValueRef<'v>>,
}

impl<'v, V: View> Reader<'v, V> {
    /// The writes of the transactions in `tx`, oldest first. O(output).
    ///
    /// Writes of which their own transaction left nothing are not among them.
    pub fn changes(&self, tx: Range<TxTime>) -> Changes<'v, V> {
        self.changes_from(key::change(EventId { tx: tx.start, op: 0 }), tx.end)
    }

    /// The same, only behind `last`: where a feed that was cut short goes on.
    pub fn changes_after(&self, last: EventId, tx_to: TxTime) -> Changes<'v, V> {
        let next = match last.op.checked_add(1) {
            Some(op) => EventId { op, ..last },
            None => EventId { tx: TxTime(last.tx.0.saturating_add(1)), op: 0 },
        };
        self.changes_from(key::change(next), tx_to)
    }

    fn changes_from(&self, from: [u8; 12], tx_to: TxTime) -> Changes<'v, V> {
        let lines = self.view.cursor(self.trees.changes);
        let (started, over) = (false, false);
        Changes { reader: *self, lines, from, tx_to, started, over, within: None, passed: None }
    }

    /// One line of the index, with its value and note.
    pub(super) fn change(&self, id: EventId, line: &Line<'_>) -> Result<Change<'v>> {
        let (partition, user_key) = key::decode(TreeName::Changes, line.key)?;
        let value = match line.kind {
            ChangeKind::Put => {
                let key = EncodedKey::of_entry(TreeName::Changes, line.key)?;
                Some(self.events().into_value(&key, id, None)?)
            }
            ChangeKind::End | ChangeKind::Delete => None,
        };
        Ok(Change {
            tx: id.tx,
            op: id.op,
            kind: line.kind,
            partition,
            key: user_key.into_owned(),
            valid_from: line.valid.from(),
            valid_to: line.valid.to(),
            value,
            note: self.note(id.tx)?,
        })
    }
}

impl Change<'_> {
    /// Its event: what [`Reader::changes_after`] takes to go on behind it.
    pub fn id(&self) -> EventId {
        EventId { tx: self.tx, op: self.op }
    }
}

impl<'v, V: View> Iterator for Changes<'v, V> {
    type Item = Result<Change<'v>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_where(|_, _| true);
        self.over = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl<'v, V: View> Changes<'v, V> {
    /// Only the writes to keys of `range`; of the others no value is read.
    #[must_use]
    pub fn within(self, range: KeyRange) -> Self {
        Self { within: Some(range), ..self }
    }

    /// The last write that was passed, listed or left out; `None` before the first. A feed that
    /// ended may go on behind it.
    pub fn passed(&self) -> Option<EventId> {
        self.passed
    }

    /// The next change that `wanted` wants, judged before its value is read.
    pub(super) fn next_where(
        &mut self,
        wanted: impl Fn(EventId, &Line<'_>) -> bool,
    ) -> Result<Option<Change<'v>>> {
        loop {
            let on = if self.started {
                self.lines.next()?
            } else {
                self.started = true;
                self.lines.seek(&self.from)?
            };
            if !on {
                return Ok(None);
            }
            let id = decode_change(TreeName::Changes, self.lines.key())?;
            if id.tx >= self.tx_to {
                return Ok(None);
            }
            let entry = self.lines.value()?;
            let line = Line::decode(&entry)?;
            self.passed = Some(id);
            let within = self.within.as_ref().is_none_or(|range| range.contains(line.key));
            if within && wanted(id, &line) {
                return self.reader.change(id, &line).map(Some);
            }
        }
    }
}

impl<V: View> fmt::Debug for Changes<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changes(to {:?})", self.tx_to)
    }
}

impl fmt::Debug for Change<'_> {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, kind, value, tx, op) = (self.key.len(), self.kind, &self.value, self.tx, self.op);
        write!(f, "Change({kind:?} tx {tx:?} op {op}, key of {key} bytes, {value:?}, ")?;
        write!(f, "[{:?}, {:?}))", self.valid_from, self.valid_to)
    }
}
