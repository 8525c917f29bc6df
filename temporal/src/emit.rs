//! What one transaction changes about one key, written out as entries of the trees.

use crate::codec::change::Line;
use crate::codec::event::Event;
use crate::codec::head::{Head, Kind};
use crate::codec::key::{self, EncodedKey};
use crate::codec::rect::Rect;
use crate::resolve::{Chosen, OldHead};
use crate::value::Value;
use crate::{Error, EventId, Interval, Op, Result, Trees, TxTime};
use llmdb_storage::{Batch, View};

/// The difference that a transaction makes to one key.
pub(crate) struct Outcome<'v, V> {
    pub(crate) view: &'v V,
    pub(crate) trees: Trees,
    pub(crate) key: &'v EncodedKey,
    pub(crate) ops: &'v [Op],
    pub(crate) tx: TxTime,
    pub(crate) old: Option<OldHead<'v>>,
    /// The operations on the key and their resolved intervals, in order.
    pub(crate) written: Vec<(u32, Interval)>,
    /// Segments no longer believed, as they were.
    pub(crate) closed: Vec<Rect>,
    /// Segments believed from now on: remainders of the closed, and own pieces.
    pub(crate) opened: Vec<Rect>,
    pub(crate) chosen: Chosen,
}

impl<V: View> Outcome<'_, V> {
    pub(crate) fn emit(&self, out: &mut Batch) -> Result<()> {
        self.emit_old_event(out);
        self.emit_rects(out);
        self.emit_own_events(out);
        self.emit_head(out)
    }

    fn old_rect(&self) -> Option<Rect> {
        self.old.as_ref().and_then(|old| old.head.rect())
    }

    /// An event whose only place was the head goes to `events` when the head moves on.
    fn emit_old_event(&self, out: &mut Batch) {
        let Some(old) = &self.old else { return };
        let Some(rect) = old.head.rect() else { return };
        if !old.head.stored && self.chosen != Chosen::Kept(rect) {
            let event = Event { valid: rect.valid, absence: rect.absence };
            self.emit_event(rect.event, event, &old.value, out);
        }
    }

    fn emit_rects(&self, out: &mut Batch) {
        let old = self.old_rect();
        for rect in &self.closed {
            let (at, value) = Rect { tx_to: self.tx, ..*rect }.encode_past(self.key);
            out.put(self.trees.past, at.bytes(), &value);
            if Some(*rect) != old {
                self.delete_live(rect, out);
            }
        }
        let head = match self.chosen {
            Chosen::Opened(rect) | Chosen::Kept(rect) => Some(rect),
            Chosen::Rolled(rect) => {
                self.delete_live(&rect, out);
                Some(rect)
            }
            Chosen::Gap(_) => None,
        };
        // Puts come after deletions: a remainder may begin where what it is left of began.
        let moved = old.filter(|rect| !self.closed.contains(rect));
        for rect in self.opened.iter().chain(&moved) {
            if Some(*rect) != head {
                let (at, value) = rect.encode_live(self.key);
                out.put(self.trees.live, at.bytes(), &value);
            }
        }
    }

    fn delete_live(&self, rect: &Rect, out: &mut Batch) {
        out.delete(self.trees.live, self.key.live(rect.valid.from()).bytes());
    }

    /// Events of which a later operation left nothing leave no trace.
    fn emit_own_events(&self, out: &mut Batch) {
        let mut bytes = Vec::new();
        for &(op, valid) in &self.written {
            let event = EventId { tx: self.tx, op };
            if !self.opened.iter().any(|rect| rect.event == event) {
                continue;
            }
            let written = &self.ops[op as usize];
            let line = Line { kind: written.change_kind(), valid, key: self.key.bytes() };
            bytes.clear();
            line.encode(&mut bytes);
            out.put(self.trees.changes, &key::change(event), &bytes);
            if valid.from() != self.tx.as_valid() {
                out.put(self.trees.valid, self.key.valid(valid.from(), event).bytes(), &[]);
            }
            if self.is_stored(event, valid) {
                let absence = written.is_absence();
                self.emit_event(event, Event { valid, absence }, written.value(), out);
            }
        }
    }

    /// Whether an own event needs an entry of its own: not if the head is all of it.
    fn is_stored(&self, event: EventId, written: Interval) -> bool {
        let all = |rect: Rect| rect.event == event && rect.valid == written;
        !matches!(self.chosen, Chosen::Opened(rect) if all(rect))
    }

    fn emit_event(&self, id: EventId, event: Event, value: &[u8], out: &mut Batch) {
        let mut bytes = Vec::new();
        event.encode(value, &mut bytes);
        out.put(self.trees.events, self.key.event(id).bytes(), &bytes);
    }

    fn emit_head(&self, out: &mut Batch) -> Result<()> {
        let head = self.head();
        let mut bytes = Vec::new();
        match &self.old {
            _ if head.kind != Kind::Value => head.encode(&[], &mut bytes),
            _ if head.event.tx == self.tx => {
                head.encode(self.ops[head.event.op as usize].value(), &mut bytes);
            }
            Some(old) if old.head.has_value_of(head.event) => head.encode(&old.value, &mut bytes),
            _ => head.encode(&self.stored_value(head.event)?, &mut bytes),
        }
        out.put(self.trees.heads, self.key.bytes(), &bytes);
        Ok(())
    }

    fn head(&self) -> Head {
        let (kind, rect) = match self.chosen {
            Chosen::Gap(valid) => {
                return Head {
                    kind: Kind::Gap,
                    valid,
                    tx_from: self.tx,
                    event: EventId { tx: self.tx, op: 0 },
                    last_tx: self.tx,
                    whole: false,
                    stored: false,
                };
            }
            Chosen::Opened(rect) | Chosen::Kept(rect) | Chosen::Rolled(rect) => {
                (if rect.absence { Kind::Absence } else { Kind::Value }, rect)
            }
        };
        let stored = match (&self.old, self.chosen) {
            (Some(old), Chosen::Kept(_)) => old.head.stored,
            _ if rect.event.tx == self.tx => {
                let written = self.written.iter().find(|(op, _)| *op == rect.event.op);
                let (_, valid) = written.expect("a piece belongs to an operation on the key");
                self.is_stored(rect.event, *valid)
            }
            _ => true,
        };
        Head {
            kind,
            valid: rect.valid,
            tx_from: rect.tx_from,
            event: rect.event,
            last_tx: self.tx,
            whole: self.old.is_none() && self.opened.len() == 1,
            stored,
        }
    }

    fn stored_value(&self, event: EventId) -> Result<Value<'_>> {
        let entry = self.view.get(self.trees.events, self.key.event(event).bytes())?;
        let entry = entry.ok_or(Error::EventMissing { event })?;
        let (_, start) = Event::decode(&entry)?;
        Ok(Value::new(entry, start))
    }
}
