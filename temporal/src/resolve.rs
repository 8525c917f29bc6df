//! From what a transaction asks for to what changes in the trees.
//!
//! For each key: the operations are laid over each other ([`Layer`]), open ends resolved on the
//! way; the segments of the current belief that the layer touches are closed at the transaction's
//! time, and what is left of them is opened again beside the layer's own pieces. States between
//! two operations of one transaction never come into being. The cost is that of the segments
//! touched, and of one read of the head.

use crate::belief::Belief;
use crate::codec::head::Head;
use crate::codec::key::{self, EncodedKey};
use crate::codec::rect::Rect;
use crate::emit::Outcome;
use crate::layer::Layer;
use crate::ops::Ops;
use crate::value::Value;
use crate::{Error, EventId, Interval, Op, Result, TreeName, Trees, TxTime, ValidTime};
use llmdb_storage::{Batch, View};
use llmdb_vfs::planted;

/// Appends to `out` what the operations of transaction `tx` change in `view`, which must show all
/// transactions before it. The `note` belongs to the transaction as a whole.
///
/// Everything is decided here, against the newest state: the batch alone brings any copy of the
/// trees from before `tx` to after it.
///
/// # Errors
/// [`Error::EmptyInterval`], [`Error::EmptyKey`], [`Error::BadTtl`], [`Error::TimeOutOfRange`],
/// [`Error::TxNotNewer`], or what reading the trees gave. What was appended to `out` by then means nothing.
pub fn resolve<V: View>(
    view: &V,
    trees: &Trees,
    ops: &[Op],
    tx: TxTime,
    note: Option<&[u8]>,
    out: &mut Batch,
) -> Result<()> {
    check_tx(tx)?;
    let place = |&i: &u32| (ops[i as usize].partition, ops[i as usize].key.as_slice());
    let mut order: Vec<u32> = (0..ops.len() as u32).collect();
    order.sort_by(|a, b| place(a).cmp(&place(b))); // stable: operations on a key keep their order
    for group in order.chunk_by(|a, b| place(a) == place(b)) {
        resolve_key(view, trees, Ops::from(0, ops), group, tx, out)?;
    }
    if let Some(note) = note
        && !ops.is_empty()
    {
        put_note(trees, tx, note, out);
    }
    Ok(())
}

/// Refuses the time that stands for ever.
pub(crate) fn check_tx(tx: TxTime) -> Result<()> {
    match tx >= TxTime::INFINITY {
        true => Err(Error::TxExhausted),
        false => Ok(()),
    }
}

/// Appends what a transaction says of itself.
pub(crate) fn put_note(trees: &Trees, tx: TxTime, note: &[u8], out: &mut Batch) {
    out.put(trees.notes, &key::note(tx), note);
}

/// The head of a key before the transaction.
pub(crate) struct OldHead<'v> {
    pub(crate) head: Head,
    pub(crate) value: Value<'v>,
}

/// What the head shows after the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// A segment that the transaction opened.
    Opened(Rect),
    /// The segment that the head showed before, untouched.
    Kept(Rect),
    /// A segment that was in `live`, untouched: time has rolled on to it.
    Rolled(Rect),
    /// Nothing is known around now.
    Gap(Interval),
}

/// Resolves those of `ops` that `group` numbers; all are on one key, in the order of `group`.
pub(crate) fn resolve_key<V: View>(
    view: &V,
    trees: &Trees,
    ops: Ops<'_>,
    group: &[u32],
    tx: TxTime,
    out: &mut Batch,
) -> Result<()> {
    let first = ops.get(group[0]);
    let key = EncodedKey::new(first.partition, &first.key)?;
    let old = load_head(view, trees, &key, tx)?;
    let head = old.as_ref().map(|old| old.head);
    let mut belief = Belief::new(view, *trees, &key, head);

    let mut layer = Layer::new();
    let mut written = Vec::with_capacity(group.len());
    for &op in group {
        let (from, to) = ops.get(op).span(tx)?;
        let to = match to {
            Some(to) => to,
            None => open_end(&layer, &mut belief, from)?,
        };
        let valid = Interval::new(from, to)?;
        layer.cover(valid, op);
        written.push((op, valid));
    }

    let runs = layer.runs();
    let closed = touched(&mut belief, &runs, tx)?;
    let mut opened = Vec::with_capacity(1);
    for rect in &closed {
        remainders(rect, &runs, tx, &mut opened);
    }
    opened.extend(layer.pieces().map(|piece| Rect {
        valid: piece.valid,
        tx_from: tx,
        tx_to: TxTime::INFINITY,
        event: EventId { tx, op: piece.op },
        absence: ops.get(piece.op).is_absence(),
    }));
    let chosen = choose(&mut belief, &layer, &opened, head, tx.as_valid())?;
    Outcome { view, trees: *trees, key: &key, ops, tx, old, written, closed, opened, chosen }
        .emit(out)
}

fn load_head<'v, V: View>(
    view: &'v V,
    trees: &Trees,
    key: &EncodedKey,
    tx: TxTime,
) -> Result<Option<OldHead<'v>>> {
    let Some(entry) = view.get(trees.heads, key.bytes())? else { return Ok(None) };
    let (head, start) = Head::decode(&entry)?;
    if head.last_tx >= tx {
        return Err(Error::TxNotNewer { last: head.last_tx, tx });
    }
    Ok(Some(OldHead { head, value: Value::new(entry, start) }))
}

/// Where an open write from `from` ends: at the next point where the covering event changes.
///
/// The end of any segment or piece is such a point, for no event has two that meet; so is the
/// beginning of the next one.
fn open_end<V: View>(
    layer: &Layer,
    belief: &mut Belief<'_, V>,
    from: ValidTime,
) -> Result<ValidTime> {
    if from == ValidTime::INFINITY {
        return Ok(from); // refused as empty by the caller
    }
    if let Some(piece) = layer.piece_at(from) {
        return Ok(piece.valid.to());
    }
    let believed = belief.around(from)?.valid.to();
    let own = layer.first_after(from).map_or(ValidTime::INFINITY, |piece| piece.valid.from());
    Ok(believed.min(own))
}

/// The segments of the current belief that any of `runs` overlaps, ascending.
fn touched<V: View>(
    belief: &mut Belief<'_, V>,
    runs: &[Interval],
    tx: TxTime,
) -> Result<Vec<Rect>> {
    let mut touched: Vec<Rect> = Vec::new();
    for &run in runs {
        let start = touched.len();
        belief.segments(run, &mut touched)?;
        // The last segment of one run may reach into the next.
        if start > 0 && touched.get(start) == touched.get(start - 1) {
            touched.remove(start);
        }
    }
    if touched.iter().any(|rect| rect.tx_from >= tx) {
        let what = "it is newer than the key's newest write";
        return Err(Error::Corrupt { tree: TreeName::Live, what });
    }
    Ok(touched)
}

/// Appends what `runs` leave of `rect`, as segments that begin to be believed at `tx`.
pub(crate) fn remainders(rect: &Rect, runs: &[Interval], tx: TxTime, out: &mut Vec<Rect>) {
    let mut open = |valid: Option<Interval>| {
        out.extend(valid.map(|valid| Rect { valid, tx_from: tx, ..*rect }));
    };
    let mut rest = Some(rect.valid);
    let first = runs.partition_point(|run| run.to() <= rect.valid.from());
    for run in runs[first..].iter().take_while(|run| run.overlaps(rect.valid)) {
        open(rest.and_then(|rest| rest.before(run.from())));
        rest = rest.and_then(|rest| rest.since(run.to()));
    }
    if runs.get(first).is_none() || !planted!("remainder_dropped") {
        open(rest);
    }
}

/// What the head shows: what holds at `now` after the transaction.
fn choose<V: View>(
    belief: &mut Belief<'_, V>,
    layer: &Layer,
    opened: &[Rect],
    head: Option<Head>,
    now: ValidTime,
) -> Result<Chosen> {
    if let Some(&rect) = opened.iter().find(|rect| rect.valid.contains(now)) {
        return Ok(Chosen::Opened(rect));
    }
    // No piece covers now. So whatever was believed of it still is, in an untouched segment: of a
    // touched one, the remainder around now would be among the opened.
    let around = belief.around(now)?;
    if let Some(rect) = around.rect {
        let kept = head.and_then(|head| head.rect()) == Some(rect);
        return Ok(if kept { Chosen::Kept(rect) } else { Chosen::Rolled(rect) });
    }
    let mut gap = around.valid;
    if let Some(piece) = layer.last_before(now) {
        gap = gap.since(piece.valid.to()).expect("now lies behind the piece");
    }
    if let Some(piece) = layer.first_after(now) {
        gap = gap.before(piece.valid.from()).expect("now lies before the piece");
    }
    Ok(Chosen::Gap(gap))
}
