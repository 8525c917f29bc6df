//! Which facts begin in a stretch of valid time.

use super::{Change, Changes, Reader};
use crate::codec::change::Line;
use crate::codec::key::{self, decode_valid};
use crate::{Error, EventId, Interval, Result, TxTime};
use llmdb_storage::{Cursor, View};
use std::fmt;

/// Facts by where they begin to hold.
///
/// Two sources are merged: the index of those that begin at another time than their own
/// transaction's, and, for those that begin right then, the index of transactions. After an error it
/// ends.
pub struct Began<'v, V: View + 'v> {
    reader: Reader<'v, V>,
    valid: Interval,
    tx: TxTime,
    index: V::Cursor<'v>,
    started: bool,
    over: bool,
    at_once: Changes<'v, V>,
    next: [Option<Change<'v>>; 2],
}

impl<'v, V: View> Reader<'v, V> {
    /// The facts, absences included, that were known at `tx` and said to begin in `valid`, by
    /// where they begin; among equals, those written for another time than their own first.
    ///
    /// These are events as written: later ones may have overwritten them, which
    /// [`Reader::get`] tells. O(output + transactions in `valid`).
    ///
    /// # Errors
    /// What reading the trees gave.
    pub fn began(&self, valid: Interval, tx: TxTime) -> Result<Began<'v, V>> {
        let transactions = TxTime(valid.from().0)..TxTime(valid.to().0);
        let mut began = Began {
            reader: *self,
            valid,
            tx,
            index: self.view.cursor(self.trees.valid),
            started: false,
            over: false,
            at_once: self.changes(transactions),
            next: [None, None],
        };
        began.next = [began.next_indexed()?, began.next_at_once()?];
        Ok(began)
    }
}

impl<'v, V: View> Iterator for Began<'v, V> {
    type Item = Result<Change<'v>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let from = |next: &Option<Change<'_>>| next.as_ref().map(|change| change.valid_from);
        let indexed = match (from(&self.next[0]), from(&self.next[1])) {
            (Some(a), Some(b)) => a <= b,
            (a, _) => a.is_some(),
        };
        let (taken, refill) = if indexed {
            (self.next[0].take(), self.next_indexed())
        } else {
            (self.next[1].take(), self.next_at_once())
        };
        match refill {
            Ok(change) => self.next[usize::from(!indexed)] = change,
            Err(error) => {
                self.over = true;
                return Some(Err(error));
            }
        }
        taken.map(Ok)
    }
}

impl<'v, V: View> Began<'v, V> {
    fn next_indexed(&mut self) -> Result<Option<Change<'v>>> {
        loop {
            let on = if self.started {
                self.index.next()?
            } else {
                self.started = true;
                self.index.seek(&self.valid.from().sortable().to_be_bytes())?
            };
            if !on {
                return Ok(None);
            }
            let (from, _, event) = decode_valid(self.index.key())?;
            if from >= self.valid.to() {
                return Ok(None);
            }
            if event.tx <= self.tx {
                return self.indexed(event).map(Some);
            }
        }
    }

    fn indexed(&self, event: EventId) -> Result<Change<'v>> {
        let line = self.reader.view.get(self.reader.trees.changes, &key::change(event))?;
        let line = line.ok_or(Error::EventMissing { event })?;
        self.reader.change(event, &Line::decode(&line)?)
    }

    fn next_at_once(&mut self) -> Result<Option<Change<'v>>> {
        let known = self.tx;
        self.at_once.next_where(|id, line| id.tx <= known && line.valid.from() == id.tx.as_valid())
    }
}

impl<V: View> fmt::Debug for Began<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Began({:?} as of {:?})", self.valid, self.tx)
    }
}
