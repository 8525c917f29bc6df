//! Checking the trees against each other.
//!
//! The events say it all: replayed from the first on they make exactly the rectangles that there
//! must be, and the lines that the indexes must have. So every key is replayed and compared, and
//! then every index is walked for what has no event.

mod chains;
mod entries;
mod problem;
mod replay;

pub use problem::{Finding, Problem};

use crate::codec::change::Line;
use crate::codec::event::{Event, Stored as Coding};
use crate::codec::head::{Head, Kind};
use crate::codec::key::{self, EncodedKey, decode_change, decode_event, decode_valid};
use crate::codec::rect::Rect;
use crate::kept::Kept;
use crate::{
    ChangeKind, Error, EventId, Interval, PartitionId, Result, TreeName, Trees, TxTime, ValidTime,
};
use chains::Bases;
use entries::Entries;
use llmdb_storage::{Cursor, View};
pub(crate) use replay::Replay;
use std::collections::{BTreeMap, BTreeSet};

/// Checks everything that the trees of time must satisfy, and lists what does not hold.
///
/// Reads all of every tree but the values' overflow; keeps the history of one key in memory at a
/// time.
///
/// # Errors
/// [`Error::Storage`] alone: what is wrong with the entries themselves is listed.
pub fn verify<V: View>(view: &V, trees: &Trees) -> Result<Vec<Problem>> {
    let mut verifier =
        Verifier { view, trees: *trees, kept: BTreeMap::new(), problems: Vec::new() };
    match Kept::load_all(view, trees) {
        Ok(kept) => verifier.kept = kept,
        Err(error) => verifier.report(TreeName::Kept, Err(error))?,
    }
    verifier.keys()?;
    verifier.changes()?;
    verifier.valid()?;
    verifier.notes()?;
    Ok(verifier.problems)
}

struct Verifier<'v, V> {
    view: &'v V,
    trees: Trees,
    kept: BTreeMap<PartitionId, Kept>,
    problems: Vec<Problem>,
}

/// All that is stored about one key.
struct Stored {
    head: Option<Head>,
    live: Vec<Rect>,
    past: Vec<Rect>,
    /// In the order of ids, the head's included.
    events: Vec<(EventId, Event)>,
    /// Those of `events` that are in the tree of that name.
    in_events: Vec<EventId>,
}

type Report<'r> = &'r mut dyn FnMut(TreeName, Finding);

impl<V: View> Verifier<'_, V> {
    fn keys(&mut self) -> Result<()> {
        let entries = |name, tree| Entries::new(self.view, name, tree);
        let mut heads = entries(TreeName::Heads, self.trees.heads)?;
        let mut live = entries(TreeName::Live, self.trees.live)?;
        let mut past = entries(TreeName::Past, self.trees.past)?;
        let mut events = entries(TreeName::Events, self.trees.events)?;
        loop {
            let mut keys = Vec::with_capacity(4);
            for tree in [&mut heads, &mut live, &mut past, &mut events] {
                keys.extend(tree.key(&mut self.problems)?);
            }
            let Some(key) = keys.into_iter().min() else { return Ok(()) };
            let name = key::decode(TreeName::Heads, &key)?;
            let name = (name.0, name.1.into_owned());
            let key = EncodedKey::of_entry(TreeName::Heads, &key)?;
            let problems = &mut self.problems;
            let mut report = |tree, finding| {
                problems.push(Problem { tree, key: Some(name.clone()), finding });
            };
            let head = heads.take(&key, decode_head, &mut report)?.pop();
            let live = live.take(&key, Rect::decode_live, &mut report)?;
            let past = past.take(&key, Rect::decode_past, &mut report)?;
            let mut entries = events.take(&key, decode_stored, &mut report)?;
            entries.reverse(); // they are stored newest first
            let bases: Bases = entries.iter().map(|(id, _, base)| (*id, *base)).collect();
            chains::check(self.view, &self.trees, &key, &bases, head.as_ref(), &mut report)?;
            let events = entries.into_iter().map(|(id, event, _)| (id, event)).collect();
            let stored = Stored::new(head, live, past, events);
            let unindexed = unindexed(self.view, &self.trees, &key, &stored.events)?;
            for (tree, event) in unindexed {
                report(tree, Finding::NotIndexed { event });
            }
            stored.check(self.kept.get(&name.0).unwrap_or(&Kept::all()), &mut report);
        }
    }

    /// Every line of the transaction-time index has its event.
    fn changes(&mut self) -> Result<()> {
        let mut lines = self.view.cursor(self.trees.changes);
        let mut on = lines.first()?;
        while on {
            let found = self.line_is_of_an_event(lines.key(), &lines.value()?);
            self.report(TreeName::Changes, found)?;
            on = lines.next()?;
        }
        Ok(())
    }

    fn line_is_of_an_event(&self, entry: &[u8], value: &[u8]) -> Result<Option<Finding>> {
        let id = decode_change(TreeName::Changes, entry)?;
        let line = Line::decode(value)?;
        let key = EncodedKey::of_entry(TreeName::Changes, line.key)?;
        let event = match self.view.entry(self.trees.events, key.event(id).bytes())? {
            Some(entry) => Some(Event::decode(id, entry.head())?.0),
            None => match self.view.get(self.trees.heads, key.bytes())? {
                Some(entry) => {
                    unstored(&Head::decode(&entry)?.0).filter(|e| e.0 == id).map(|e| e.1)
                }
                None => None,
            },
        };
        let indexed = Event { valid: line.valid, absence: line.kind != ChangeKind::Put };
        let whole = key.bytes() == line.key;
        let matches = whole && event == Some(indexed);
        Ok((!matches).then_some(Finding::IndexUnexpected { event: id }))
    }

    /// Every entry of the valid-time index has its line in the other.
    fn valid(&mut self) -> Result<()> {
        let mut index = self.view.cursor(self.trees.valid);
        let mut on = index.first()?;
        while on {
            let found = self.valid_is_of_a_line(index.key(), &index.value()?);
            self.report(TreeName::Valid, found)?;
            on = index.next()?;
        }
        Ok(())
    }

    fn valid_is_of_a_line(&self, entry: &[u8], value: &[u8]) -> Result<Option<Finding>> {
        let (from, key, event) = decode_valid(entry)?;
        let line = self.view.get(self.trees.changes, &key::change(event))?;
        let line = line.as_deref().map(Line::decode).transpose()?;
        let matches = value.is_empty()
            && from != event.tx.as_valid()
            && line.is_some_and(|line| line.key == key && line.valid.from() == from);
        Ok((!matches).then_some(Finding::IndexUnexpected { event }))
    }

    /// Every note is one of a transaction that wrote something.
    fn notes(&mut self) -> Result<()> {
        let mut notes = self.view.cursor(self.trees.notes);
        let mut lines = self.view.cursor(self.trees.changes);
        let mut on = notes.first()?;
        while on {
            let wrote = lines.seek(notes.key())? && lines.key().starts_with(notes.key());
            let found = key::decode_note(notes.key())
                .map(|tx| (!wrote).then_some(Finding::NoteUnexpected { tx }));
            self.report(TreeName::Notes, found)?;
            on = notes.next()?;
        }
        Ok(())
    }

    /// Lists a finding, or an entry that cannot be read; storage's own errors go up.
    fn report(&mut self, tree: TreeName, found: Result<Option<Finding>>) -> Result<()> {
        let finding = match found {
            Ok(None) => return Ok(()),
            Ok(Some(finding)) => finding,
            Err(Error::Storage(error)) => return Err(Error::Storage(error)),
            Err(error) => Finding::Unreadable(error),
        };
        self.problems.push(Problem { tree, key: None, finding });
        Ok(())
    }
}

impl Stored {
    fn new(
        head: Option<Head>,
        live: Vec<Rect>,
        past: Vec<Rect>,
        mut events: Vec<(EventId, Event)>,
    ) -> Self {
        let in_events = events.iter().map(|(id, _)| *id).collect();
        if let Some(event) = head.as_ref().and_then(unstored) {
            let at = events.partition_point(|(id, _)| *id < event.0);
            if events.get(at).is_none_or(|(id, _)| *id != event.0) {
                events.insert(at, event);
            }
        }
        Self { head, live, past, events, in_events }
    }

    /// Where part of the past was retired, the events that are left make the same answers at
    /// every T that is kept, and may make others in the gaps: so rectangles are compared with the
    /// gaps closed, and what lies in gaps alone is passed over.
    fn check(self, kept: &Kept, report: Report<'_>) {
        let replay = Replay::new(&self.events);
        match &self.head {
            Some(head) => self.check_head(head, &replay, kept, report),
            None => report(TreeName::Heads, Finding::NoHead),
        }
        let head = self.head.as_ref().and_then(Head::rect);
        let live: Vec<Rect> = self.live.iter().copied().chain(head).collect();
        let answering: BTreeSet<EventId> =
            replay.live.values().chain(&replay.past).map(|rect| rect.event).collect();
        for &(event, _) in self.events.iter().filter(|(event, _)| !answering.contains(event)) {
            report(TreeName::Events, Finding::EventUnused { event });
        }
        let closed = |rects| close_gaps(rects, kept);
        let expected = closed(replay.live.into_values().collect());
        compare(TreeName::Live, closed(live), expected, report);
        compare(TreeName::Past, closed(self.past), closed(replay.past), report);
    }

    fn check_head(&self, head: &Head, replay: &Replay, kept: &Kept, report: Report<'_>) {
        let expected = self.events.last().map_or(TxTime::MIN, |(id, _)| id.tx);
        if head.last_tx != expected {
            report(TreeName::Heads, Finding::LastTx { found: head.last_tx, expected });
        }
        let now = head.last_tx.as_valid();
        if !head.valid.contains(now) {
            report(TreeName::Heads, Finding::HeadMisplaced);
        }
        let before = replay.live.range(..=now).next_back().map(|(_, rect)| rect.valid.to());
        let after = replay.live.range(now.next()..).next().map(|(_, rect)| rect.valid.from());
        let gap =
            Interval::new(before.unwrap_or(ValidTime::MIN), after.unwrap_or(ValidTime::INFINITY));
        if head.kind == Kind::Gap && gap.ok() != Some(head.valid) {
            report(TreeName::Heads, Finding::HeadGap);
        }
        let stored = self.in_events.binary_search(&head.event).is_ok();
        let whole = self.live.is_empty() && self.past.is_empty() && head.kind != Kind::Gap;
        // Heads are not rewritten when all but what they show is retired.
        let whole = whole && (head.whole || kept.is_all());
        if head.whole != whole || head.stored != (stored && head.kind != Kind::Gap) {
            report(TreeName::Heads, Finding::HeadFlags);
        }
    }
}

/// The event that is nowhere but in the head.
fn unstored(head: &Head) -> Option<(EventId, Event)> {
    let rect = head.rect().filter(|_| !head.stored)?;
    Some((rect.event, Event { valid: rect.valid, absence: rect.absence }))
}

/// The rectangles as they look where only kept T's are told apart.
fn close_gaps(mut rects: Vec<Rect>, kept: &Kept) -> Vec<Rect> {
    if !kept.is_all() {
        rects.retain(|rect| kept.touches(rect));
        for rect in &mut rects {
            rect.tx_from = kept.close_gap(rect.tx_from);
            rect.tx_to = kept.close_gap(rect.tx_to);
        }
    }
    rects
}

/// Reports what is in one list of rectangles and not in the other.
fn compare(tree: TreeName, mut found: Vec<Rect>, mut expected: Vec<Rect>, report: Report<'_>) {
    let order = |rect: &Rect| (rect.valid.from(), rect.tx_from, rect.event);
    found.sort_by_key(order);
    expected.sort_by_key(order);
    let mut expected = expected.into_iter().peekable();
    let missing =
        |Rect { valid, tx_from, event, .. }| Finding::RectangleMissing { valid, tx_from, event };
    for rect in found {
        while let Some(other) = expected.next_if(|other| order(other) < order(&rect)) {
            report(tree, missing(other));
        }
        if expected.next_if_eq(&rect).is_none() {
            let Rect { valid, tx_from, event, .. } = rect;
            report(tree, Finding::RectangleUnexpected { valid, tx_from, event });
        }
    }
    expected.for_each(|rect| report(tree, missing(rect)));
}

/// The events that either index lacks.
fn unindexed<V: View>(
    view: &V,
    trees: &Trees,
    key: &EncodedKey,
    events: &[(EventId, Event)],
) -> Result<Vec<(TreeName, EventId)>> {
    let mut missing = Vec::new();
    for &(id, event) in events {
        let line = view.get(trees.changes, &key::change(id))?;
        let indexed = line.is_some_and(|line| {
            Line::decode(&line)
                .is_ok_and(|line| line.key == key.bytes() && line.valid == event.valid)
        });
        if !indexed {
            missing.push((TreeName::Changes, id));
        }
        let from = event.valid.from();
        let late = from != id.tx.as_valid();
        if late && view.get(trees.valid, key.valid(from, id).bytes())?.is_none() {
            missing.push((TreeName::Valid, id));
        }
    }
    Ok(missing)
}

fn decode_head(suffix: &[u8], value: &[u8]) -> Result<Head> {
    if !suffix.is_empty() {
        return Err(Error::Corrupt { tree: TreeName::Heads, what: "its key is too long" });
    }
    Ok(Head::decode(value)?.0)
}

fn decode_stored(suffix: &[u8], value: &[u8]) -> Result<(EventId, Event, Option<EventId>)> {
    let id = decode_event(suffix)?;
    let (event, stored) = Event::decode(id, value)?;
    let base = match stored {
        Coding::Plain(_) => None,
        Coding::Delta(base, _) => Some(base),
    };
    Ok((id, event, base))
}
