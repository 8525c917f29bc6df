//! Giving up what no kept T asks for.
//!
//! ```text
//!   mark    the stretches that are kept replace the older ones: from here on the gaps are refused
//!   sweep   key by key, what answers in gaps alone is taken out of the trees, a step a commit
//! ```
//!
//! The mark alone decides every answer: reads leave out what lies in gaps, whether the sweep has
//! been there or not. So it may stop anywhere, and the next run goes on. It rests on this: a closed
//! rectangle never changes, and an event without an open one never gets another. What was found to
//! answer nowhere stays so, whatever is written meanwhile.
//!
//! `heads` is never touched: no transaction that read a key conflicts with a sweep.

use crate::codec::change::Line;
use crate::codec::key::{self, EncodedKey, decode_change, split};
use crate::codec::rect::Rect;
use crate::events;
use crate::kept::Kept;
use crate::retention::{Policy, thin};
use crate::{EventId, PartitionId, Reader, Result, TreeName, Trees, TxTime};
use llmdb_storage::{Batch, Cursor, View};
use llmdb_vfs::planted;
use std::collections::BTreeSet;

/// A step looks at so many times as many entries as it may take out, and then ends.
const LOOKS: usize = 16;

/// Marks what `policy`, at `now`, keeps of `partition` beside the T's in `pins`, which ascend:
/// appends to `out` what changes. Answers what is kept from then on.
///
/// Walks the index of transactions: O(all that was written and not retired).
///
/// # Errors
/// [`Error::BadPolicy`](crate::Error::BadPolicy), or what reading the trees gave.
pub fn mark<V: View>(
    view: &V,
    trees: &Trees,
    partition: PartitionId,
    policy: &Policy,
    pins: &[TxTime],
    now: TxTime,
    out: &mut Batch,
) -> Result<Kept> {
    policy.check()?;
    let old = Kept::load(view, trees, partition)?;
    if policy.all_us.is_none() {
        return Ok(old);
    }
    let pins = if planted!("pins_ignored") { &[] } else { pins };
    let new = thin(&old, policy, pins, now, Transactions::new(view, trees, partition))?;
    new.replace(&old, partition, trees, out);
    Ok(new)
}

/// The transactions that have lines of a partition, ascending.
struct Transactions<'v, V: View + 'v> {
    lines: V::Cursor<'v>,
    partition: [u8; 4],
    /// Behind what was given out last.
    next: Option<[u8; 12]>,
}

impl<'v, V: View> Transactions<'v, V> {
    fn new(view: &'v V, trees: &Trees, partition: PartitionId) -> Self {
        let partition = partition.0.to_be_bytes();
        Self { lines: view.cursor(trees.changes), partition, next: Some([0; 12]) }
    }

    fn next_tx(&mut self) -> Result<Option<TxTime>> {
        let Some(next) = self.next.take() else { return Ok(None) };
        let mut on = self.lines.seek(&next)?;
        while on {
            if Line::decode(&self.lines.value()?)?.key.starts_with(&self.partition) {
                let EventId { tx, .. } = decode_change(TreeName::Changes, self.lines.key())?;
                self.next = Some(key::change(EventId { tx, op: u32::MAX }));
                return Ok(Some(tx));
            }
            on = self.lines.next()?;
        }
        Ok(None)
    }
}

impl<V: View> Iterator for Transactions<'_, V> {
    type Item = Result<TxTime>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_tx().transpose()
    }
}

/// What one step of a sweep takes out, and where the next goes on.
#[derive(Debug, Default)]
pub struct Step {
    removals_max: usize,
    rects: Vec<Vec<u8>>,
    events: Vec<(Vec<u8>, EventId)>,
    /// The first bytes that were not looked at; `None` behind the last.
    next: Option<Vec<u8>>,
}

/// A key whose past is being looked at.
struct Found {
    key: EncodedKey,
    rects: Vec<(Vec<u8>, Rect)>,
}

impl Step {
    /// Looks through the closed rectangles from `from` on, or from the first, for what no kept T
    /// asks for; in one partition, or in all. Takes out about `removals_max` entries. A key is
    /// looked at as a whole: O(its history) time and space.
    ///
    /// # Errors
    /// What reading the trees gave.
    pub fn find<V: View>(
        view: &V,
        trees: &Trees,
        only: Option<PartitionId>,
        from: Option<&[u8]>,
        removals_max: usize,
    ) -> Result<Self> {
        let mut step = Self { removals_max, ..Self::default() };
        let mut kept = Kept::load_all(view, trees)?;
        kept.retain(|partition, _| only.is_none_or(|only| *partition == only));
        let mut past = view.cursor(trees.past);
        let mut on = past.seek(from.unwrap_or_default())?;
        let mut looks = 0;
        while on {
            let (partition, key) = split_partition(past.key())?;
            let Some(kept) = kept.get(&partition) else {
                // Nothing of this partition goes: on to the next.
                match partition.0.checked_add(1) {
                    Some(next) => on = past.seek(&next.to_be_bytes())?,
                    None => break,
                }
                continue;
            };
            if looks >= LOOKS * removals_max || step.removals() >= removals_max {
                step.next = Some(key.bytes().to_vec());
                break;
            }
            let mut found = Found { key, rects: Vec::new() };
            while on && let Some(suffix) = found.key.suffix_of(past.key()) {
                let rect = Rect::decode_past(suffix, &past.value()?)?;
                found.rects.push((past.key().to_vec(), rect));
                on = past.next()?;
            }
            looks += found.rects.len();
            if !step.take(view, trees, kept, &found)? {
                step.next = Some(found.key.bytes().to_vec());
                break;
            }
        }
        Ok(step)
    }

    /// Whether there is nothing to take out.
    pub fn is_empty(&self) -> bool {
        self.removals() == 0
    }

    /// How many rectangles and events it takes out.
    pub fn removals(&self) -> usize {
        self.rects.len() + self.events.len()
    }

    /// Where the next step begins; `None` after the last.
    pub fn next(&self) -> Option<&[u8]> {
        self.next.as_deref()
    }

    /// Notes what goes of a key; answers whether that is all that goes of it.
    fn take<V: View>(
        &mut self,
        view: &V,
        trees: &Trees,
        kept: &Kept,
        found: &Found,
    ) -> Result<bool> {
        let dead = |rect: &Rect| {
            !kept.touches(rect)
                || (planted!("sweep_takes_too_much") && !kept.contains(rect.tx_from))
        };
        if !found.rects.iter().any(|(_, rect)| dead(rect)) {
            return Ok(true);
        }
        let mut answering: BTreeSet<EventId> =
            found.rects.iter().filter(|(_, rect)| !dead(rect)).map(|(_, r)| r.event).collect();
        let reader = Reader::new(view, trees);
        answering.extend(reader.open_rects(&found.key)?.iter().map(|rect| rect.event));
        // An event goes with the first of its rectangles: what is left of them leads nowhere, is
        // left out by reads, and is found by the next step.
        let mut gone = BTreeSet::new();
        for (at, rect) in found.rects.iter().filter(|(_, rect)| dead(rect)) {
            if self.removals() >= self.removals_max {
                return Ok(false);
            }
            self.rects.push(at.clone());
            if !answering.contains(&rect.event) && gone.insert(rect.event) {
                self.events.push((found.key.bytes().to_vec(), rect.event));
            }
        }
        Ok(true)
    }

    /// Appends to `out` what it takes out of `view`, which may be newer than what it was found in.
    ///
    /// # Errors
    /// What reading the trees gave.
    pub fn resolve<V: View>(&self, view: &V, trees: &Trees, out: &mut Batch) -> Result<()> {
        for rect in &self.rects {
            out.delete(trees.past, rect);
        }
        let mut gone = BTreeSet::new();
        for of_key in self.events.chunk_by(|(a, _), (b, _)| a == b) {
            let key = EncodedKey::of_entry(TreeName::Past, &of_key[0].0)?;
            let ids: BTreeSet<EventId> = of_key.iter().map(|(_, event)| *event).collect();
            events::remove(view, trees, &key, &ids, out)?;
            for event in ids {
                remove_from_indexes(view, trees, &key, event, out)?;
                gone.insert(event);
            }
        }
        remove_notes(view, trees, &gone, out)
    }
}

fn split_partition(entry: &[u8]) -> Result<(PartitionId, EncodedKey)> {
    let (key, _) = split(TreeName::Past, entry)?;
    let (partition, _) = key::decode(TreeName::Past, key)?;
    Ok((partition, EncodedKey::of_entry(TreeName::Past, key)?))
}

/// Appends the removal of an event from both indexes.
pub(crate) fn remove_from_indexes<V: View>(
    view: &V,
    trees: &Trees,
    key: &EncodedKey,
    event: EventId,
    out: &mut Batch,
) -> Result<()> {
    let Some(line) = view.get(trees.changes, &key::change(event))? else { return Ok(()) };
    let from = Line::decode(&line)?.valid.from();
    out.delete(trees.changes, &key::change(event));
    if from != event.tx.as_valid() {
        out.delete(trees.valid, key.valid(from, event).bytes());
    }
    Ok(())
}

/// Appends the removal of the notes of transactions that have no event left but those in `gone`.
pub(crate) fn remove_notes<V: View>(
    view: &V,
    trees: &Trees,
    gone: &BTreeSet<EventId>,
    out: &mut Batch,
) -> Result<()> {
    let txs: BTreeSet<TxTime> = gone.iter().map(|event| event.tx).collect();
    for tx in txs {
        let prefix = key::note(tx);
        if view.get(trees.notes, &prefix)?.is_none() {
            continue;
        }
        let mut lines = view.cursor(trees.changes);
        let mut on = lines.seek(&prefix)?;
        let mut other = false;
        while on && lines.key().starts_with(&prefix) && !other {
            other = !gone.contains(&decode_change(TreeName::Changes, lines.key())?);
            on = lines.next()?;
        }
        if !other {
            out.delete(trees.notes, &prefix);
        }
    }
    Ok(())
}
