//! What one transaction changes about one key, written out as entries of the trees.

use crate::codec::change::Line;
use crate::codec::event::Event;
use crate::codec::head::{Head, Kind};
use crate::codec::key::{self, EncodedKey};
use crate::codec::rect::Rect;
use crate::events::{self, Events, RUN_MAX};
use crate::ops::Ops;
use crate::resolve::{Chosen, OldHead};
use crate::{EventId, Interval, Result, Trees, TxTime};
use llmdb_storage::{Batch, Entry, View};
use llmdb_vfs::planted;
use std::borrow::Cow;

/// The difference that a transaction makes to one key.
pub(crate) struct Outcome<'v, V> {
    pub(crate) view: &'v V,
    pub(crate) trees: Trees,
    pub(crate) key: &'v EncodedKey,
    pub(crate) ops: Ops<'v>,
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
        let mut head = self.head();
        let value = self.head_value(&head)?;
        head.long = value.is_none();
        let value = value.unwrap_or_default();
        let shown = head.kind == Kind::Value && !head.long;
        let base = shown.then_some((head.event, &*value));
        let run = self.emit_old_event(base, out).max(self.emit_own_events(base, out));
        if head.stored {
            head.run = 0; // what hangs on it ends there: its event is stored plain
        } else {
            head.run = head.run.max(run);
        }
        self.emit_rects(out);
        let mut bytes = Vec::new();
        head.encode(&value, &mut bytes);
        if self.old.is_none() || head.kind == Kind::Value || !planted!("stale_head_kept") {
            out.put(self.trees.heads, self.key.bytes(), &bytes);
        }
        Ok(())
    }

    fn old_rect(&self) -> Option<Rect> {
        self.old.as_ref().and_then(|old| old.head.rect())
    }

    /// An event whose only place was the head goes to `events` when the head moves on. Answers how
    /// many deltas hang on `base` with it.
    fn emit_old_event(&self, base: Option<(EventId, &[u8])>, out: &mut Batch) -> u8 {
        let Some(old) = &self.old else { return 0 };
        let Some(rect) = old.head.rect() else { return 0 };
        let is_lost = planted!("old_value_lost");
        if old.head.stored || self.chosen == Chosen::Kept(rect) || is_lost {
            return 0;
        }
        let event = Event { valid: rect.valid, absence: rect.absence };
        let run = old.head.run + 1;
        let base = base.filter(|_| run <= RUN_MAX && self.is_over(rect));
        match events::put(&self.trees, self.key, rect.event, event, &old.value, base, out) {
            true => run,
            false => 0,
        }
    }

    /// Whether the event of `rect`, which was all of it, holds nowhere from now on: no head will
    /// ever show it again.
    fn is_over(&self, rect: Rect) -> bool {
        let mut left = self.opened.iter().filter(|opened| opened.event == rect.event);
        let mut ended = left.all(|left| left.valid.to() <= self.tx.as_valid());
        if !self.closed.contains(&rect) {
            ended &= rect.valid.to() <= self.tx.as_valid();
        }
        ended
    }

    fn emit_rects(&self, out: &mut Batch) {
        let old = self.old_rect();
        for (i, rect) in self.closed.iter().enumerate() {
            if i > 0 && planted!("closed_rectangle_lost") {
                continue;
            }
            let (at, value) = Rect { tx_to: self.tx, ..*rect }.encode_past(self.key);
            out.put(self.trees.past, at.bytes(), &value);
            if Some(*rect) != old && !planted!("closed_rectangle_stays_open") {
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

    /// Events of which a later operation left nothing leave no trace. Answers how many deltas hang
    /// on `base` with them.
    fn emit_own_events(&self, base: Option<(EventId, &[u8])>, out: &mut Batch) -> u8 {
        let mut bytes = Vec::new();
        let mut run = 0;
        for &(op, valid) in &self.written {
            let event = EventId { tx: self.tx, op };
            if !self.opened.iter().any(|rect| rect.event == event) {
                continue;
            }
            let written = self.ops.get(op);
            let line = Line { kind: written.change_kind(), valid, key: self.key.bytes() };
            bytes.clear();
            line.encode(&mut bytes);
            if !planted!("change_not_listed") {
                out.put(self.trees.changes, &key::change(event), &bytes);
            }
            if valid.from() != self.tx.as_valid() {
                out.put(self.trees.valid, self.key.valid(valid.from(), event).bytes(), &[]);
            }
            if self.is_stored(event, valid) {
                let entry = Event { valid, absence: written.is_absence() };
                if let Some(value) = written.long() {
                    events::put_long(&self.trees, self.key, event, entry, value, out);
                    continue;
                }
                // What holds in the past alone is shown by no head, ever.
                let base = base.filter(|_| valid.to() <= self.tx.as_valid());
                let value = written.value();
                let coded = events::put(&self.trees, self.key, event, entry, value, base, out);
                run = run.max(u8::from(coded));
            }
        }
        run
    }

    /// Whether an own event needs an entry of its own: not if the head is all of it, and its value
    /// too.
    fn is_stored(&self, event: EventId, written: Interval) -> bool {
        if self.ops.get(event.op).long().is_some() {
            return true;
        }
        let all = |rect: Rect| rect.event == event && rect.valid == written;
        !matches!(self.chosen, Chosen::Opened(rect) if all(rect))
    }

    /// The value that the head shows; empty where it shows none, `None` where that is long.
    fn head_value(&self, head: &Head) -> Result<Option<Cow<'_, [u8]>>> {
        Ok(match &self.old {
            _ if head.kind != Kind::Value => Some(Cow::Borrowed(&[])),
            _ if head.event.tx == self.tx => {
                let op = self.ops.get(head.event.op);
                op.long().is_none().then(|| Cow::Borrowed(op.value()))
            }
            Some(old) if old.head.has_value_of(head.event) => Some(Cow::Borrowed(&*old.value)),
            _ => {
                let entry = self.view.entry(self.trees.events, self.key.event(head.event).bytes());
                if matches!(entry?, Some(Entry::Long(_))) {
                    return Ok(None);
                }
                let events = Events::new(self.view, self.trees);
                Some(Cow::Owned(events.into_value(self.key, head.event, None)?.into_vec()))
            }
        })
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
                    long: false,
                    run: 0,
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
            long: false,
            run: match (&self.old, self.chosen) {
                (Some(old), Chosen::Kept(_)) => old.head.run,
                _ => 0,
            },
        }
    }
}
