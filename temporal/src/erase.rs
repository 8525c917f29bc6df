//! Erasing: every trace of a key leaves the trees, in one transaction.
//!
//! What stays is a record that an erasure happened: when, a random id, and how many events went; no
//! key, no hash of one. Notes go with the last event of their transaction. Of the bytes in files
//! the layers below have to see to: a record says whether they have.

use crate::codec::erased;
use crate::codec::head::Head;
use crate::codec::key::{EncodedKey, decode_event, decode_live, decode_past};
use crate::retire::{remove_from_indexes, remove_notes};
use crate::{Error, PartitionId, Result, Trees, TxTime};
use llmdb_storage::{Batch, Cursor, TreeId, View};
use llmdb_vfs::planted;
use std::collections::BTreeSet;

/// That something was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// The transaction that did it.
    pub tx: TxTime,
    /// Tells it from others, and nothing else.
    pub id: [u8; 16],
    /// Events that went.
    pub count: u64,
    /// Nothing of it is left in any file.
    pub complete: bool,
}

/// Appends to `out` what transaction `tx` changes in `view` when it erases a key; the record of it
/// gets `id`. Answers that record.
///
/// # Errors
/// [`Error::EmptyKey`], [`Error::TxNotNewer`], or what reading the trees gave.
pub fn erase<V: View>(
    view: &V,
    trees: &Trees,
    partition: PartitionId,
    user_key: &[u8],
    tx: TxTime,
    id: [u8; 16],
    out: &mut Batch,
) -> Result<Erased> {
    if tx >= TxTime::INFINITY {
        return Err(Error::TxExhausted);
    }
    let key = EncodedKey::new(partition, user_key)?;
    let mut events = BTreeSet::new();
    if let Some(entry) = view.get(trees.heads, key.bytes())? {
        let (head, _) = Head::decode(&entry)?;
        if head.last_tx >= tx {
            return Err(Error::TxNotNewer { last: head.last_tx, tx });
        }
        events.extend(head.rect().map(|rect| rect.event));
        out.delete(trees.heads, key.bytes());
    }
    delete_all(view, trees.live, &key, out, |suffix| decode_live(suffix).map(drop))?;
    if !planted!("erased_past_stays") {
        delete_all(view, trees.past, &key, out, |suffix| decode_past(suffix).map(drop))?;
    }
    delete_all(view, trees.events, &key, out, |suffix| {
        events.insert(decode_event(suffix)?);
        Ok(())
    })?;
    for &event in &events {
        remove_from_indexes(view, trees, &key, event, out)?;
    }
    remove_notes(view, trees, &events, out)?;
    let erased = Erased { tx, id, count: events.len() as u64, complete: false };
    put(trees, &erased, out);
    Ok(erased)
}

/// Deletes the entries of a key in a tree, each shown to `see`.
fn delete_all<V: View>(
    view: &V,
    tree: TreeId,
    key: &EncodedKey,
    out: &mut Batch,
    mut see: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut entries = view.cursor(tree);
    let mut on = entries.seek(key.bytes())?;
    while on && let Some(suffix) = key.suffix_of(entries.key()) {
        see(suffix)?;
        out.delete(tree, entries.key());
        on = entries.next()?;
    }
    Ok(())
}

fn put(trees: &Trees, record: &Erased, out: &mut Batch) {
    let (at, value) = erased::encode(record);
    out.put(trees.erased, &at, &value);
}

/// Appends to `out` that nothing is left, in any file, of what these transactions erased.
///
/// # Errors
/// What reading the trees gave.
pub fn complete_erasures<V: View>(
    view: &V,
    trees: &Trees,
    txs: &[TxTime],
    out: &mut Batch,
) -> Result<()> {
    for erased in erasures(view, trees)? {
        if !erased.complete && txs.contains(&erased.tx) {
            put(trees, &Erased { complete: true, ..erased }, out);
        }
    }
    Ok(())
}

/// All records, oldest first.
///
/// # Errors
/// What reading the trees gave.
pub fn erasures<V: View>(view: &V, trees: &Trees) -> Result<Vec<Erased>> {
    let mut records = Vec::new();
    let mut entries = view.cursor(trees.erased);
    let mut on = entries.first()?;
    while on {
        records.push(erased::decode(entries.key(), &entries.value()?)?);
        on = entries.next()?;
    }
    Ok(records)
}
