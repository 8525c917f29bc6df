//! Every event of one key or of many, as it was written.

use super::{KeyRange, Reader, missing};
use crate::codec::event::Event;
use crate::codec::head::{Head, Kind};
use crate::codec::key::{self, EncodedKey, decode_event};
use crate::events::Events;
use crate::{EventId, PartitionId, Result, TreeName, TxTime, ValidTime, Value};
use llmdb_storage::{Cursor, ValueRef, View};
use std::collections::BTreeSet;
use std::fmt;

/// The events of a range of keys: by key, and newest first for each. After an error it ends.
pub struct Versions<'v, V: View + 'v> {
    reader: Reader<'v, V>,
    range: KeyRange,
    heads: V::Cursor<'v>,
    events: V::Cursor<'v>,
    values: Events<'v, V>,
    started: bool,
    over: bool,
    /// Whether anything was ever retired, of any partition.
    retired: bool,
    key: Option<Current>,
}

/// The key whose events are being listed.
struct Current {
    key: EncodedKey,
    partition: PartitionId,
    user_key: Vec<u8>,
    /// Its head, as long as that holds an event that is not in `events` and still to come.
    head: Option<Head>,
    /// The next event in `events`.
    next: Option<EventId>,
    /// Those that are kept, where part of the partition's past was retired.
    kept: Option<BTreeSet<EventId>>,
}

/// One event as it was written, whatever became of it.
#[derive(Clone)]
pub struct Version<'v> {
    /// The partition.
    pub partition: PartitionId,
    /// The user key.
    pub key: Vec<u8>,
    /// The value; `None` for an absence.
    pub value: Option<Value<'v>>,
    /// Where it was said to begin to hold.
    pub valid_from: ValidTime,
    /// Where it was said to cease.
    pub valid_to: ValidTime,
    /// The transaction that wrote it.
    pub tx: TxTime,
    /// Its place among the operations of the transaction.
    pub op: u32,
    /// The note of the transaction.
    pub note: Option<ValueRef<'v>>,
}

impl<'v, V: View> Reader<'v, V> {
    /// Every event ever recorded on the keys of `range`, with the interval it was written for.
    /// Events that their own transaction overwrote completely were never recorded; those that no
    /// kept T asks for are left out.
    pub fn versions(&self, range: KeyRange) -> Versions<'v, V> {
        Versions {
            reader: *self,
            range,
            heads: self.view.cursor(self.trees.heads),
            events: self.view.cursor(self.trees.events),
            values: self.events(),
            started: false,
            over: false,
            retired: false,
            key: None,
        }
    }

    /// Every event ever recorded on one key: see [`Reader::versions`].
    ///
    /// # Errors
    /// [`EmptyKey`](crate::Error::EmptyKey)
    pub fn versions_of(&self, partition: PartitionId, user_key: &[u8]) -> Result<Versions<'v, V>> {
        EncodedKey::new(partition, user_key)?;
        let next = [user_key, &[0]].concat();
        Ok(self.versions(KeyRange::between(partition, user_key, Some(&next))))
    }
}

impl<'v, V: View> Iterator for Versions<'v, V> {
    type Item = Result<Version<'v>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_version();
        self.over = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl<'v, V: View> Versions<'v, V> {
    fn next_version(&mut self) -> Result<Option<Version<'v>>> {
        loop {
            let Some(current) = &mut self.key else {
                if !self.next_key()? {
                    return Ok(None);
                }
                continue;
            };
            let head = current.head.filter(|head| Some(head.event) > current.next);
            let (id, event, value) = if let Some(head) = head {
                current.head = None;
                let read = self.reader.head(&current.key)?;
                let (_, value) = read.ok_or_else(|| missing(head.event))?;
                let absence = head.kind == Kind::Absence;
                (head.event, Event { valid: head.valid, absence }, value)
            } else if let Some(id) = current.next {
                let on = self.events.next()?;
                current.next = if on { event_of(&current.key, &self.events)? } else { None };
                if current.kept.as_ref().is_some_and(|kept| !kept.contains(&id)) {
                    continue; // retired, and not swept yet
                }
                let read = self.values.event(&current.key, id)?;
                let (event, value) = read.ok_or_else(|| missing(id))?;
                (id, event, value)
            } else {
                self.key = None;
                continue;
            };
            return Ok(Some(Version {
                partition: current.partition,
                key: current.user_key.clone(),
                value: (!event.absence).then_some(value),
                valid_from: event.valid.from(),
                valid_to: event.valid.to(),
                tx: id.tx,
                op: id.op,
                note: self.reader.note(id.tx)?,
            }));
        }
    }

    fn next_key(&mut self) -> Result<bool> {
        let on = if self.started {
            self.heads.next()?
        } else {
            self.started = true;
            self.retired = self.reader.view.cursor(self.reader.trees.kept).first()?;
            self.heads.seek(self.range.from())?
        };
        if !on || !self.range.reaches(self.heads.key()) {
            return Ok(false);
        }
        let (partition, user_key) = key::decode(TreeName::Heads, self.heads.key())?;
        let (head, _) = Head::decode(&self.heads.value()?)?;
        let key = EncodedKey::of_entry(TreeName::Heads, self.heads.key())?;
        let on = (!head.whole || head.stored) && self.events.seek(key.bytes())?;
        let next = if on { event_of(&key, &self.events)? } else { None };
        let user_key = user_key.into_owned();
        self.values.next_key();
        let head = (head.kind != Kind::Gap && !head.stored).then_some(head);
        let kept = match self.retired && next.is_some() {
            true => {
                let rects = self.reader.kept_rects(partition, &key)?;
                Some(rects.iter().map(|rect| rect.event).collect())
            }
            false => None,
        };
        self.key = Some(Current { key, partition, user_key, head, next, kept });
        Ok(true)
    }
}

/// The event under the cursor; `None` where it belongs to another key.
fn event_of(key: &EncodedKey, events: &impl Cursor) -> Result<Option<EventId>> {
    key.suffix_of(events.key()).map(decode_event).transpose()
}

impl<V: View> fmt::Debug for Versions<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Versions({:?})", self.range)
    }
}

impl fmt::Debug for Version<'_> {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value, tx, op) = (self.key.len(), &self.value, self.tx, self.op);
        write!(f, "Version(key of {key} bytes, {value:?}, tx {tx:?} op {op}, ")?;
        write!(f, "[{:?}, {:?}))", self.valid_from, self.valid_to)
    }
}
