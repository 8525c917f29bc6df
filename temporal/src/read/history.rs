//! One key on both axes: every rectangle over which one of its events answers.

use super::{Absences, Reader};
use crate::belief::Belief;
use crate::codec::key::EncodedKey;
use crate::codec::rect::Rect;
use crate::events::Events;
use crate::kept::Kept;
use crate::{Interval, PartitionId, Result, TxTime, ValidTime, Value};
use llmdb_storage::{Cursor, ValueRef, View};
use std::fmt;

/// The rectangles of one key, by tx_from, then valid_from.
///
/// They are disjoint, and cover exactly the points (V, T) at which an event answers. After an error
/// it ends.
pub struct History<'v, V> {
    reader: Reader<'v, V>,
    events: Events<'v, V>,
    key: EncodedKey,
    rects: std::vec::IntoIter<Rect>,
}

/// `[valid_from, valid_to) x [tx_from, tx_to)`, over which one event answers.
#[derive(Clone, Debug)]
pub struct Rectangle<'v> {
    /// The event's value; `None` for an absence.
    pub value: Option<Value<'v>>,
    /// Where it begins to hold.
    pub valid_from: ValidTime,
    /// Where it ceases to.
    pub valid_to: ValidTime,
    /// Since when that is believed.
    pub tx_from: TxTime,
    /// Up to when; infinity while it is.
    pub tx_to: TxTime,
    /// The transaction that wrote the event.
    pub tx: TxTime,
    /// The event's place among the operations of its transaction.
    pub op: u32,
    /// The note of that transaction.
    pub note: Option<ValueRef<'v>>,
}

impl<'v, V: View> Reader<'v, V> {
    /// Everything that was ever believed about the key; where part of that was retired, what was
    /// believed at any T that is kept, each rectangle whole as it was.
    ///
    /// The rectangles, without values, are collected first: O(history) time and space.
    ///
    /// # Errors
    /// [`EmptyKey`](crate::Error::EmptyKey), or what reading the trees gave.
    pub fn history(
        &self,
        partition: PartitionId,
        user_key: &[u8],
        absences: Absences,
    ) -> Result<History<'v, V>> {
        let key = EncodedKey::new(partition, user_key)?;
        let mut rects = self.kept_rects(partition, &key)?;
        if absences == Absences::Omit {
            rects.retain(|rect| !rect.absence);
        }
        rects.sort_by_key(|rect| (rect.tx_from, rect.valid.from()));
        Ok(History { reader: *self, events: self.events(), key, rects: rects.into_iter() })
    }

    /// The rectangles of the current belief.
    pub(crate) fn open_rects(&self, key: &EncodedKey) -> Result<Vec<Rect>> {
        let mut rects = Vec::new();
        let Some((head, _)) = self.head(key)? else { return Ok(rects) };
        Belief::new(self.view, self.trees, key, Some(head)).segments(Interval::ALL, &mut rects)?;
        Ok(rects)
    }

    /// The rectangles of a key that were believed at any T that is kept.
    pub(super) fn kept_rects(&self, partition: PartitionId, key: &EncodedKey) -> Result<Vec<Rect>> {
        let mut rects = self.all_rects(key)?;
        let kept = Kept::load(self.view, &self.trees, partition)?;
        if !kept.is_all() {
            rects.retain(|rect| kept.touches(rect));
        }
        Ok(rects)
    }

    fn all_rects(&self, key: &EncodedKey) -> Result<Vec<Rect>> {
        let mut rects = Vec::new();
        let Some((head, _)) = self.head(key)? else { return Ok(rects) };
        Belief::new(self.view, self.trees, key, Some(head)).segments(Interval::ALL, &mut rects)?;
        if !head.whole {
            let mut past = self.view.cursor(self.trees.past);
            let mut on = past.seek(key.bytes())?;
            while on && let Some(suffix) = key.suffix_of(past.key()) {
                rects.push(Rect::decode_past(suffix, &past.value()?)?);
                on = past.next()?;
            }
        }
        Ok(rects)
    }
}

impl<'v, V: View> Iterator for History<'v, V> {
    type Item = Result<Rectangle<'v>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rect = self.rects.next()?;
        let rectangle = self.rectangle(&rect);
        if rectangle.is_err() {
            self.rects = Vec::new().into_iter();
        }
        Some(rectangle)
    }
}

impl<'v, V: View> History<'v, V> {
    fn rectangle(&mut self, rect: &Rect) -> Result<Rectangle<'v>> {
        let value = match rect.absence {
            true => None,
            false => Some(self.events.value(&self.key, rect.event, None)?),
        };
        Ok(Rectangle {
            value,
            valid_from: rect.valid.from(),
            valid_to: rect.valid.to(),
            tx_from: rect.tx_from,
            tx_to: rect.tx_to,
            tx: rect.event.tx,
            op: rect.event.op,
            note: self.reader.note(rect.event.tx)?,
        })
    }
}

impl<V> fmt::Debug for History<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History({} rectangles left)", self.rects.len())
    }
}
