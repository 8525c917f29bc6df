//! All trees made anew from the events that can be read, for a database that was damaged.
//!
//! The events say it all (see `verify`): with each key's, the other trees follow. An event is
//! taken from `events`, or from the head that is its only place; if both are lost, from its line in
//! `changes`, which has everything but the value: so absences come back from there, and what holds
//! now, with its value from the head. Transactions keep their times, operations their numbers.
//! Where an event is lost, what was believed before it goes on in its place.
//!
//! Memory is bounded by the events of one key without their values, three values of it, 16 bytes a
//! note, and what came back from `changes`.

use crate::codec::change::Line;
use crate::codec::erased;
use crate::codec::event::{Event, Stored};
use crate::codec::head::{Head, Kind};
use crate::codec::key::{self, EncodedKey, SUFFIX_MAX, decode, decode_change, decode_event, split};
use crate::codec::rect::Rect;
use crate::events::{self, Events, RUN_MAX};
use crate::kept::Kept;
use crate::value::Value;
use crate::verify::Replay;
use crate::{
    ChangeKind, Error, EventId, Interval, PartitionId, Result, TreeName, Trees, TxTime, ValidTime,
};
use llmdb_storage::{Batch, Cursor, REFERENCE_BYTES_MIN, TreeId, View};
use std::collections::{BTreeMap, BTreeSet};

/// A batch is handed out once it has so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// What came of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// Keys that have events.
    pub keys: u64,
    /// Events.
    pub events: u64,
    /// Those of them that were found in the index of changes alone.
    pub events_from_changes: u64,
    /// Events of which it is known that they were, and whose value is lost.
    pub events_lost: u64,
    /// Which, at most [`Rebuilt::LOST_MAX`].
    pub lost: Vec<LostEvent>,
    /// Absences that are called deletions because nothing says any more which they were.
    pub kinds_guessed: u64,
    /// Notes.
    pub notes: u64,
    /// Notes of transactions of which no event is left.
    pub notes_lost: u64,
    /// Partitions of which something was retired, and it is lost what.
    pub retention_lost: Vec<PartitionId>,
    /// Erasures whose bytes were not overwritten yet.
    pub erasures_unfinished: u64,
    /// Entries that are no such entries.
    pub unreadable: u64,
    /// The newest transaction of an event or an erasure.
    pub newest: Option<TxTime>,
}

impl Rebuilt {
    /// More lost events than this are not listed.
    pub const LOST_MAX: usize = 1000;
}

/// An event that was, and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEvent {
    /// Which.
    pub event: EventId,
    /// Of which partition.
    pub partition: PartitionId,
    /// And which key.
    pub key: Vec<u8>,
}

/// Makes the trees `to` of another database from what `view` has of the trees `from`: gives batches
/// to `out`, which are to be applied in turn. Keys have at most `key_bytes_max` bytes there.
///
/// # Errors
/// [`Error::Storage`] where `view` cannot be read; what `out` answers. What is wrong with entries is
/// passed over and counted.
pub fn rebuild<V: View>(
    view: &V,
    from: &Trees,
    to: &Trees,
    key_bytes_max: usize,
    out: &mut dyn FnMut(&mut Batch) -> Result<()>,
) -> Result<Rebuilt> {
    let (batch, report) = (Batch::new(), Rebuilt::default());
    let (noted, found) = (BTreeMap::new(), BTreeMap::new());
    let mut rebuild =
        Rebuild { view, from: *from, to: *to, key_bytes_max, out, batch, report, noted, found };
    rebuild.note_notes()?;
    rebuild.lines()?;
    rebuild.keys()?;
    rebuild.notes()?;
    rebuild.kept()?;
    rebuild.erased()?;
    rebuild.flush()?;
    Ok(rebuild.report)
}

struct Rebuild<'v, 'o, V> {
    view: &'v V,
    from: Trees,
    to: Trees,
    key_bytes_max: usize,
    out: &'o mut dyn FnMut(&mut Batch) -> Result<()>,
    batch: Batch,
    report: Rebuilt,
    /// Whether a transaction with a note has an event.
    noted: BTreeMap<TxTime, bool>,
    /// Events that `changes` has and `events` has not, by encoded key.
    found: BTreeMap<Vec<u8>, Vec<(EventId, Event)>>,
}

/// The head of a key and its value.
type OldHead<'v> = Option<(Head, Value<'v>)>;

impl<'v, V: View> Rebuild<'v, '_, V> {
    fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        (self.out)(&mut self.batch)?;
        self.batch = Batch::new();
        Ok(())
    }

    fn put(&mut self, tree: TreeId, key: &[u8], value: &[u8]) -> Result<()> {
        self.batch.put(tree, key, value);
        if self.batch.bytes().len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// What was read, unless it is no such thing: that is counted. Failed reads go up.
    fn readable<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Error::Storage(error)) => Err(Error::Storage(error)),
            Err(_) => {
                self.report.unreadable += 1;
                Ok(None)
            }
        }
    }

    fn lose(&mut self, event: EventId, key: &EncodedKey) {
        self.report.events_lost += 1;
        if self.report.lost.len() < Rebuilt::LOST_MAX
            && let Ok((partition, user_key)) = decode(TreeName::Heads, key.bytes())
        {
            self.report.lost.push(LostEvent { event, partition, key: user_key.into_owned() });
        }
    }

    fn note_notes(&mut self) -> Result<()> {
        let mut notes = self.view.cursor(self.from.notes);
        let mut on = notes.first()?;
        while on {
            let tx = key::decode_note(notes.key());
            if let Some(tx) = self.readable(tx)? {
                self.noted.insert(tx, false);
            }
            on = notes.next()?;
        }
        Ok(())
    }

    /// Looks for the event of each line.
    fn lines(&mut self) -> Result<()> {
        let mut lines = self.view.cursor(self.from.changes);
        let mut on = lines.first()?;
        while on {
            let value = lines.value()?;
            let line = decode_change(TreeName::Changes, lines.key()).and_then(|id| {
                let line = Line::decode(&value)?;
                let key = EncodedKey::of_entry(TreeName::Changes, line.key)?;
                decode(TreeName::Changes, line.key)?;
                Ok((id, line, key))
            });
            if let Some((id, line, key)) = self.readable(line)? {
                self.line(id, &line, &key)?;
            }
            drop(value);
            on = lines.next()?;
        }
        Ok(())
    }

    fn line(&mut self, id: EventId, line: &Line<'_>, key: &EncodedKey) -> Result<()> {
        if let Some(entry) = self.view.entry(self.from.events, key.event(id).bytes())?
            && Event::decode(id, entry.head()).is_ok()
        {
            return Ok(());
        }
        let absence = line.kind != ChangeKind::Put;
        let head = self.head(key)?;
        let shown = head.as_ref().map(|(head, _)| head).filter(|head| head.event == id);
        if shown.is_some_and(|head| !head.stored && head.kind != Kind::Gap) {
            return Ok(());
        }
        if absence || shown.is_some_and(|head| head.has_value_of(id)) {
            let event = Event { valid: line.valid, absence };
            self.found.entry(line.key.to_vec()).or_default().push((id, event));
            self.report.events_from_changes += 1;
        } else {
            self.lose(id, key);
        }
        Ok(())
    }

    /// The head of a key; none where it is no head.
    fn head(&self, key: &EncodedKey) -> Result<OldHead<'v>> {
        let Some(entry) = self.view.get(self.from.heads, key.bytes())? else { return Ok(None) };
        Ok(match Head::decode(&entry) {
            Ok((head, start)) => Some((head, Value::new(entry, start))),
            Err(_) => None,
        })
    }

    /// Goes through all keys that any tree or line has.
    fn keys(&mut self) -> Result<()> {
        let mut heads = self.view.cursor(self.from.heads);
        let mut events = self.view.cursor(self.from.events);
        let (mut on_head, mut on_event) = (heads.first()?, events.first()?);
        loop {
            let mut next: Option<Vec<u8>> = self.found.keys().next().cloned();
            for (name, cursor, on) in [
                (TreeName::Heads, &mut heads, &mut on_head),
                (TreeName::Events, &mut events, &mut on_event),
            ] {
                while *on {
                    let found = split(name, cursor.key()).map(|(key, _)| key.to_vec());
                    if let Some(key) = self.readable(found)? {
                        next = Some(next.map_or(key.clone(), |next| next.min(key)));
                        break;
                    }
                    *on = cursor.next()?;
                }
            }
            let Some(key) = next else { return Ok(()) };
            let key = EncodedKey::of_entry(TreeName::Heads, &key)?;
            let mut stored: BTreeMap<EventId, (Event, bool)> = BTreeMap::new();
            while on_event && let Some(suffix) = key.suffix_of(events.key()) {
                let read = decode_event(suffix).and_then(|id| {
                    let (event, stored) = Event::decode(id, events.entry()?.head())?;
                    Ok((id, event, matches!(stored, Stored::Delta(..))))
                });
                if let Some((id, event, coded)) = self.readable(read)? {
                    stored.insert(id, (event, coded));
                }
                on_event = events.next()?;
            }
            while on_head && key.suffix_of(heads.key()).is_some() {
                on_head = heads.next()?;
            }
            for (id, event) in self.found.remove(key.bytes()).unwrap_or_default() {
                stored.insert(id, (event, false));
            }
            if key.bytes().len() + SUFFIX_MAX > self.key_bytes_max {
                self.report.unreadable += 1;
                continue;
            }
            self.key(&key, stored)?;
        }
    }

    /// Makes everything of one key, given its events and whether each is coded against another.
    fn key(&mut self, key: &EncodedKey, stored: BTreeMap<EventId, (Event, bool)>) -> Result<()> {
        let head = self.head(key)?;
        let mut events: BTreeMap<EventId, Event> = BTreeMap::new();
        let mut values = Events::new(self.view, self.from);
        for (id, (event, coded)) in stored {
            if id.tx >= TxTime::INFINITY {
                self.report.unreadable += 1;
            } else if coded && self.value(&mut values, key, id, &head)?.is_none() {
                self.lose(id, key);
            } else {
                events.insert(id, event);
            }
        }
        if let Some((head, _)) = &head
            && let Some(rect) = head.rect().filter(|rect| rect.event.tx < TxTime::INFINITY)
            && !head.stored
        {
            let event = Event { valid: rect.valid, absence: rect.absence };
            events.entry(rect.event).or_insert(event);
        }
        let mut kinds = BTreeMap::new();
        for (&id, event) in &events {
            let line = self.view.get(self.from.changes, &key::change(id))?;
            let line = line.as_deref().and_then(|line| Line::decode(line).ok());
            // Another key's: then one of them was never written.
            let owned = line.is_none_or(|line| line.key == key.bytes());
            let said = line.map(|line| line.kind);
            let kind = said.filter(|kind| (*kind != ChangeKind::Put) == event.absence);
            kinds.insert(id, (owned, kind));
        }
        events.retain(|id, _| kinds[id].0);
        let in_order: Vec<(EventId, Event)> = events.into_iter().collect();
        let replay = Replay::new(&in_order);
        let answering: BTreeSet<EventId> =
            replay.live.values().chain(&replay.past).map(|rect| rect.event).collect();
        let (mut used, unused) = (in_order, kinds.len());
        used.retain(|(id, _)| answering.contains(id));
        self.report.unreadable += (unused - used.len()) as u64;
        let Some((newest, _)) = used.last() else { return Ok(()) };
        let last_tx = newest.tx;
        self.report.keys += 1;
        self.report.events += used.len() as u64;
        self.report.newest = self.report.newest.max(Some(last_tx));
        self.index(key, &used, &kinds)?;
        let chosen = self.rects_and_head(key, &used, &replay, last_tx, &mut values, &head)?;
        self.events(key, &used, &replay, chosen, &mut values, &head)
    }

    /// The value of an event, unless it cannot be read. Failed reads go up.
    fn value(
        &self,
        values: &mut Events<'v, V>,
        key: &EncodedKey,
        id: EventId,
        head: &OldHead<'v>,
    ) -> Result<Option<Value<'v>>> {
        if let Some((shown, value)) = head
            && shown.has_value_of(id)
        {
            return Ok(Some(value.clone()));
        }
        match values.value(key, id, head.as_ref()) {
            Ok(value) => Ok(Some(value)),
            Err(Error::Storage(error)) => Err(Error::Storage(error)),
            Err(_) => Ok(None),
        }
    }

    /// The lines of both indexes.
    fn index(
        &mut self,
        key: &EncodedKey,
        events: &[(EventId, Event)],
        kinds: &BTreeMap<EventId, (bool, Option<ChangeKind>)>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for &(id, event) in events {
            let kind = match kinds[&id].1 {
                Some(kind) => kind,
                None if !event.absence => ChangeKind::Put,
                None => {
                    self.report.kinds_guessed += 1;
                    ChangeKind::Delete
                }
            };
            bytes.clear();
            Line { kind, valid: event.valid, key: key.bytes() }.encode(&mut bytes);
            self.put(self.to.changes, &key::change(id), &bytes)?;
            if event.valid.from() != id.tx.as_valid() {
                self.put(self.to.valid, key.valid(event.valid.from(), id).bytes(), &[])?;
            }
            if let Some(has_event) = self.noted.get_mut(&id.tx) {
                *has_event = true;
            }
        }
        Ok(())
    }

    /// The rectangles and the head; answers which event the head alone has.
    fn rects_and_head(
        &mut self,
        key: &EncodedKey,
        events: &[(EventId, Event)],
        replay: &Replay,
        last_tx: TxTime,
        values: &mut Events<'v, V>,
        old: &OldHead<'v>,
    ) -> Result<Option<EventId>> {
        let now = last_tx.as_valid();
        let before = replay.live.range(..=now).next_back().map(|(_, rect)| *rect);
        let shown = before.filter(|rect| rect.valid.contains(now));
        for rect in replay.live.values().filter(|rect| Some(**rect) != shown) {
            let (at, value) = rect.encode_live(key);
            self.put(self.to.live, at.bytes(), &value)?;
        }
        for rect in &replay.past {
            let (at, value) = rect.encode_past(key);
            self.put(self.to.past, at.bytes(), &value)?;
        }
        let Some(rect) = shown else {
            let from = before.map_or(ValidTime::MIN, |rect| rect.valid.to());
            let after = replay.live.range(now.next()..).next();
            let to = after.map_or(ValidTime::INFINITY, |(_, rect)| rect.valid.from());
            let event = EventId { tx: last_tx, op: 0 };
            let head = Head {
                kind: Kind::Gap,
                valid: Interval::new(from, to)?,
                tx_from: last_tx,
                event,
                last_tx,
                whole: false,
                stored: false,
                long: false,
                run: 0,
            };
            self.put_head(key, &head, &[])?;
            return Ok(None);
        };
        let value = match rect.absence {
            true => None,
            false => self.value(values, key, rect.event, old)?,
        };
        let value = value.as_deref().unwrap_or_default();
        let long = value.len() >= REFERENCE_BYTES_MIN;
        let at = events.partition_point(|(id, _)| *id < rect.event);
        let stored = long || events[at].1.valid != rect.valid;
        let head = Head {
            kind: if rect.absence { Kind::Absence } else { Kind::Value },
            valid: rect.valid,
            tx_from: rect.tx_from,
            event: rect.event,
            last_tx,
            whole: replay.live.len() == 1 && replay.past.is_empty(),
            stored,
            long,
            run: 0,
        };
        self.put_head(key, &head, if long { &[] } else { value })?;
        Ok((!stored).then_some(rect.event))
    }

    fn put_head(&mut self, key: &EncodedKey, head: &Head, value: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        head.encode(value, &mut bytes);
        self.put(self.to.heads, key.bytes(), &bytes)
    }

    /// The events that no head has alone; those that are over as differences from newer ones.
    fn events(
        &mut self,
        key: &EncodedKey,
        events: &[(EventId, Event)],
        replay: &Replay,
        in_head: Option<EventId>,
        values: &mut Events<'v, V>,
        head: &OldHead<'v>,
    ) -> Result<()> {
        let Some((newest, _)) = events.last() else { return Ok(()) };
        let now = newest.tx.as_valid();
        let goes_on = |rect: &&Rect| rect.valid.to() > now;
        let current: BTreeSet<EventId> =
            replay.live.values().filter(goes_on).map(|rect| rect.event).collect();
        let mut base: Option<(EventId, Value<'v>, u8)> = None;
        for &(id, event) in events.iter().rev().filter(|(id, _)| Some(*id) != in_head) {
            let value = match event.absence {
                true => None,
                false => self.value(values, key, id, head)?,
            };
            let bytes = value.as_deref().unwrap_or_default();
            let over = !event.absence && !current.contains(&id);
            let against = base.as_ref().filter(|(.., run)| over && *run < RUN_MAX);
            let run = against.map_or(0, |(.., run)| *run);
            let against = against.map(|(id, value, _)| (*id, &**value));
            let coded = events::put(&self.to, key, id, event, bytes, against, &mut self.batch);
            if let Some(value) = value {
                base = Some((id, value, if coded { run + 1 } else { 0 }));
            }
            if self.batch.bytes().len() >= BATCH_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn notes(&mut self) -> Result<()> {
        for (tx, has_event) in std::mem::take(&mut self.noted) {
            let at = key::note(tx);
            match self.view.get(self.from.notes, &at)?.filter(|_| has_event) {
                Some(note) => {
                    self.put(self.to.notes, &at, &note)?;
                    self.report.notes += 1;
                }
                None => self.report.notes_lost += 1,
            }
        }
        Ok(())
    }

    /// What is answered, where that is known.
    fn kept(&mut self) -> Result<()> {
        let mut partitions = BTreeSet::new();
        let mut entries = self.view.cursor(self.from.kept);
        let mut on = entries.first()?;
        while on {
            let read = crate::codec::kept::decode(entries.key(), &entries.value()?);
            if let Some((partition, ..)) = self.readable(read)? {
                partitions.insert(partition);
            }
            on = entries.next()?;
        }
        for partition in partitions {
            match Kept::load(self.view, &self.from, partition) {
                Ok(kept) if !kept.is_all() => {
                    for stretch in kept.stretches() {
                        let at = crate::codec::kept::key(partition, stretch.start);
                        let value = crate::codec::kept::value(stretch.end);
                        self.put(self.to.kept, &at, &value)?;
                    }
                }
                Ok(_) => {}
                Err(Error::Storage(error)) => return Err(Error::Storage(error)),
                Err(_) => self.report.retention_lost.push(partition),
            }
        }
        Ok(())
    }

    /// The records of erasures.
    fn erased(&mut self) -> Result<()> {
        let mut entries = self.view.cursor(self.from.erased);
        let mut on = entries.first()?;
        while on {
            let value = entries.value()?.to_vec();
            let read = erased::decode(entries.key(), &value);
            if let Some(record) = self.readable(read)? {
                self.report.newest = self.report.newest.max(Some(record.tx));
                self.report.erasures_unfinished += u64::from(!record.complete);
                self.put(self.to.erased, entries.key(), &value)?;
            }
            on = entries.next()?;
        }
        Ok(())
    }
}
