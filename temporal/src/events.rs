//! The events of a key in the tree of that name: finding their values, storing and removing them.
//!
//! An old value is stored as its delta against the one that took its place, as RCS (Tichy, 1985)
//! does: what is read most, the head, is whole, and its value and the old one are both at hand when
//! a write stores the old one, so that coding reads nothing. A chain of deltas,
//!
//! ```text
//!   E1 --> E2 --> E3 (plain)      E4 --> E5 --> head
//! ```
//!
//! ends at an event that is stored plain, or is in the head alone, after [`RUN_MAX`] deltas at
//! most: the head counts the longest that hangs on it, and when it moves on at that length its
//! event is stored plain.
//!
//! Chains have no cycles. The base of an event is what the head shows after the write that coded
//! it; and only an event is coded that holds nowhere behind the time of that write, so that the head
//! will never show it again. So a base that is coded was coded later than what hangs on it.

use crate::codec::delta;
use crate::codec::event::{Event, Stored};
use crate::codec::head::Head;
use crate::codec::key::{EncodedKey, decode_event};
use crate::codec::take::Take;
use crate::value::Value;
use crate::{Error, EventId, Result, TreeName, Trees};
use llmdb_storage::{Batch, Cursor, Entry, Reference, ValueRef, View};
use llmdb_vfs::planted;
use std::collections::{BTreeMap, BTreeSet};

/// The most deltas between an event and a value that is stored whole.
pub(crate) const RUN_MAX: u8 = 7;

/// Finds values of events of one key; remembers those that it passed on the way, of which a reader
/// of events next to each other needs most.
pub(crate) struct Events<'v, V> {
    view: &'v V,
    trees: Trees,
    /// The values along the last chain, the wanted one first.
    chain: Vec<(EventId, Value<'v>)>,
}

/// Where a value was found.
enum Found<'v> {
    /// Stored whole.
    Whole(Value<'v>),
    /// Decoded: the first of the chain.
    InChain,
}

impl<'v, V: View> Events<'v, V> {
    pub(crate) fn new(view: &'v V, trees: Trees) -> Self {
        Self { view, trees, chain: Vec::new() }
    }

    /// Forgets what it remembers: for another key.
    pub(crate) fn next_key(&mut self) {
        self.chain.clear();
    }

    /// The value of an event of `key`, wherever it is stored; `head` is the key's, where the
    /// caller has it. At most [`RUN_MAX`] + 1 entries are read, and the head where it is not known.
    ///
    /// # Errors
    /// [`Error::EventMissing`], [`Error::Corrupt`], what reading gave.
    pub(crate) fn value(
        &mut self,
        key: &EncodedKey,
        id: EventId,
        head: Option<&(Head, Value<'v>)>,
    ) -> Result<Value<'v>> {
        match self.find(key, id, head, None)? {
            Found::Whole(value) => Ok(value),
            Found::InChain => Ok(self.chain[0].1.clone()),
        }
    }

    /// An event that is in `events`, and its value; `None` if it is not there.
    ///
    /// # Errors
    /// Those of [`Events::value`].
    pub(crate) fn event(
        &mut self,
        key: &EncodedKey,
        id: EventId,
    ) -> Result<Option<(Event, Value<'v>)>> {
        let entry = self.view.entry(self.trees.events, key.event(id).bytes())?;
        let Some(entry) = entry else { return Ok(None) };
        let (event, _) = Event::decode(id, entry.head())?;
        let value = match self.find(key, id, None, Some(entry))? {
            Found::Whole(value) => value,
            Found::InChain => self.chain[0].1.clone(),
        };
        Ok(Some((event, value)))
    }

    /// The same, once: nothing is remembered, and nothing is copied for that.
    ///
    /// # Errors
    /// Those of [`Events::value`].
    pub(crate) fn into_value(
        mut self,
        key: &EncodedKey,
        id: EventId,
        head: Option<&(Head, Value<'v>)>,
    ) -> Result<Value<'v>> {
        match self.find(key, id, head, None)? {
            Found::Whole(value) => Ok(value),
            Found::InChain => Ok(self.chain.swap_remove(0).1),
        }
    }

    fn find(
        &mut self,
        key: &EncodedKey,
        id: EventId,
        head: Option<&(Head, Value<'v>)>,
        mut first: Option<Entry<'v>>,
    ) -> Result<Found<'v>> {
        let mut deltas: Vec<(EventId, ValueRef<'v>, usize)> = Vec::new();
        let mut at = id;
        let whole = loop {
            if let Some(i) = self.chain.iter().position(|(id, _)| *id == at) {
                self.chain.drain(..i);
                break None;
            }
            if let Some((head, value)) = head
                && head.has_value_of(at)
            {
                break Some(value.clone());
            }
            let entry = match first.take() {
                None => self.view.entry(self.trees.events, key.event(at).bytes())?,
                first => first,
            };
            let Some(entry) = entry else {
                break Some(self.head_value(key, at)?);
            };
            let stored = Event::decode(at, entry.head())?.1;
            let entry = match entry {
                Entry::Whole(entry) => entry,
                Entry::Long(long) => {
                    check_long(stored, long.head().len())?;
                    break Some(Value::new(long.tail()?, 0));
                }
            };
            match stored {
                Stored::Plain(start) => break Some(Value::new(entry, start)),
                Stored::Delta(base, start) => {
                    if deltas.len() >= usize::from(RUN_MAX) {
                        return Err(too_long());
                    }
                    deltas.push((at, entry, start));
                    at = base;
                }
            }
        };
        match whole {
            Some(value) if deltas.is_empty() => return Ok(Found::Whole(value)),
            Some(value) => self.chain = vec![(at, value)],
            None => {}
        }
        for (id, entry, start) in deltas.into_iter().rev() {
            let take = Take::new(TreeName::Events, &entry[start..]);
            let value = delta::decode(&self.chain[0].1, take)?;
            self.chain.insert(0, (id, Value::new(ValueRef::Owned(value), 0)));
        }
        self.chain.truncate(usize::from(RUN_MAX) + 1);
        Ok(Found::InChain)
    }

    /// The value of an event that is in the head alone.
    fn head_value(&self, key: &EncodedKey, id: EventId) -> Result<Value<'v>> {
        if let Some(entry) = self.view.get(self.trees.heads, key.bytes())? {
            let (head, start) = Head::decode(&entry)?;
            if head.has_value_of(id) {
                return Ok(Value::new(entry, start));
            }
        }
        Err(Error::EventMissing { event: id })
    }
}

/// A long value lies behind its event's header, as it is.
pub(crate) fn check_long(stored: Stored, head_len: usize) -> Result<()> {
    if stored == Stored::Plain(head_len) {
        return Ok(());
    }
    Err(Error::Corrupt { tree: TreeName::Events, what: "a long value does not follow its header" })
}

/// Appends an event whose value was written ahead.
pub(crate) fn put_long(
    trees: &Trees,
    key: &EncodedKey,
    id: EventId,
    event: Event,
    value: &Reference,
    out: &mut Batch,
) {
    let mut header = Vec::new();
    event.encode(id, &[], &mut header);
    out.put_reference(trees.events, key.event(id).bytes(), &header, value);
}

fn too_long() -> Error {
    Error::Corrupt { tree: TreeName::Events, what: "a chain of coded values is too long" }
}

/// Appends an event: coded against `base` if there is one and that saves enough, which is answered;
/// else plain.
pub(crate) fn put(
    trees: &Trees,
    key: &EncodedKey,
    id: EventId,
    event: Event,
    value: &[u8],
    base: Option<(EventId, &[u8])>,
    out: &mut Batch,
) -> bool {
    let mut bytes = Vec::new();
    let coded = base.is_some_and(|base| event.encode_against(id, value, base, &mut bytes));
    if !coded {
        event.encode(id, value, &mut bytes);
    }
    out.put(trees.events, key.event(id).bytes(), &bytes);
    coded
}

/// Appends the removal of events of `key` from the tree of that name. Those that are coded against
/// one of them are stored anew, against what that one was coded against, or plain: chains get no
/// longer. O(events of the key).
///
/// # Errors
/// What reading the trees gave.
pub(crate) fn remove<V: View>(
    view: &V,
    trees: &Trees,
    key: &EncodedKey,
    removed: &BTreeSet<EventId>,
    out: &mut Batch,
) -> Result<()> {
    let mut bases = BTreeMap::new();
    let mut hanging = Vec::new();
    let mut entries = view.cursor(trees.events);
    let mut on = entries.seek(key.bytes())?;
    while on && let Some(suffix) = key.suffix_of(entries.key()) {
        let id = decode_event(suffix)?;
        if let (event, Stored::Delta(base, _)) = Event::decode(id, entries.entry()?.head())? {
            bases.insert(id, base);
            let is_hanging = removed.contains(&base) && !removed.contains(&id);
            if is_hanging && !planted!("deltas_lose_their_base") {
                hanging.push((id, event, base));
            }
        }
        on = entries.next()?;
    }
    let mut events = Events::new(view, *trees);
    for (id, event, mut base) in hanging {
        let mut next = Some(base);
        // A chain in good order is short; one that is not is no reason to go in circles.
        for _ in 0..RUN_MAX {
            let Some(at) = next.filter(|at| removed.contains(at)) else { break };
            next = bases.get(&at).copied();
            base = at;
        }
        let value = events.value(key, id, None)?;
        let next = next.filter(|at| *at != base && !removed.contains(at));
        let next = match next {
            Some(at) => Some((at, events.value(key, at, None)?)),
            None => None,
        };
        let against = next.as_ref().map(|(at, value)| (*at, &**value));
        put(trees, key, id, event, &value, against, out);
    }
    for id in removed {
        out.delete(trees.events, key.event(*id).bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
