//! What of transaction time a partition still answers.
//!
//! A partition of which nothing was retired has no entry here and answers at every T. Of any other
//! the tree `kept` lists the *stretches* `[from, to)` of T's that are answered exactly as they ever
//! were: the first begins before all transactions, the last never ends, and between two of them is
//! a gap. A T between two transactions of the partition answers like the earlier of them, so a
//! stretch begins with a transaction and ends where the next one came, be that kept or not.
//!
//! ```text
//!  tx:      1    2    3    4    5         kept: 2 (the last of its day), and all from 4 on
//!  T ---+---[....[====[....[====[=====>   stretches: [-inf,1) [2,3) [4,inf)
//! ```

use crate::codec::kept::{self, decode};
use crate::codec::rect::Rect;
use crate::{Error, PartitionId, Reader, Result, TreeName, Trees, TxTime};
use llmdb_storage::{Batch, Cursor, View};
use llmdb_vfs::planted;
use std::collections::BTreeMap;
use std::ops::Range;

/// The T's of one partition that are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Ascending, disjoint, not touching each other; none where everything is kept.
    stretches: Vec<Range<TxTime>>,
}

impl Kept {
    /// Everything is answered.
    pub fn all() -> Self {
        Self::default()
    }

    /// From stretches that ascend; those that touch become one.
    pub(crate) fn new(stretches: impl IntoIterator<Item = Range<TxTime>>) -> Self {
        let mut merged: Vec<Range<TxTime>> = Vec::new();
        for stretch in stretches {
            match merged.last_mut() {
                Some(last) if last.end >= stretch.start => last.end = last.end.max(stretch.end),
                _ => merged.push(stretch),
            }
        }
        let all = matches!(&merged[..], [one] if *one == (TxTime::MIN..TxTime::INFINITY));
        Self { stretches: if all { Vec::new() } else { merged } }
    }

    /// What `partition` answers in `view`.
    ///
    /// # Errors
    /// What reading the tree gave.
    pub fn load<V: View>(view: &V, trees: &Trees, partition: PartitionId) -> Result<Self> {
        let mut stretches = Vec::new();
        let mut cursor = view.cursor(trees.kept);
        let mut on = cursor.seek(&partition.0.to_be_bytes())?;
        while on {
            let (of, from, to) = decode(cursor.key(), &cursor.value()?)?;
            if of != partition {
                break;
            }
            stretches.push(from..to);
            on = cursor.next()?;
        }
        Self::checked(stretches)
    }

    /// What every partition answers of which anything was retired.
    ///
    /// # Errors
    /// What reading the tree gave.
    pub fn load_all<V: View>(view: &V, trees: &Trees) -> Result<BTreeMap<PartitionId, Self>> {
        let mut all: BTreeMap<PartitionId, Vec<Range<TxTime>>> = BTreeMap::new();
        let mut cursor = view.cursor(trees.kept);
        let mut on = cursor.first()?;
        while on {
            let (of, from, to) = decode(cursor.key(), &cursor.value()?)?;
            all.entry(of).or_default().push(from..to);
            on = cursor.next()?;
        }
        all.into_iter().map(|(of, stretches)| Ok((of, Self::checked(stretches)?))).collect()
    }

    fn checked(stretches: Vec<Range<TxTime>>) -> Result<Self> {
        let corrupt = |what| Err(Error::Corrupt { tree: TreeName::Kept, what });
        if stretches.windows(2).any(|pair| pair[0].end >= pair[1].start) {
            return corrupt("two stretches meet");
        }
        if stretches.last().is_some_and(|last| last.end != TxTime::INFINITY) {
            return corrupt("the last stretch ends");
        }
        Ok(Self { stretches })
    }

    /// The stretches that are answered, ascending; one that is everything where nothing was
    /// retired.
    pub fn stretches(&self) -> Vec<Range<TxTime>> {
        if self.is_all() { vec![TxTime::MIN..TxTime::INFINITY] } else { self.stretches.clone() }
    }

    /// Where the stretches begin.
    pub(crate) fn starts(&self) -> impl Iterator<Item = TxTime> {
        self.stretches.iter().map(|stretch| stretch.start)
    }

    /// Whether nothing was retired.
    pub fn is_all(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Whether `tx` is answered.
    pub fn contains(&self, tx: TxTime) -> bool {
        self.is_all() || self.at_or_before(tx).is_some_and(|stretch| tx < stretch.end)
    }

    fn at_or_before(&self, tx: TxTime) -> Option<&Range<TxTime>> {
        let behind = self.stretches.partition_point(|stretch| stretch.start <= tx);
        behind.checked_sub(1).map(|at| &self.stretches[at])
    }

    /// Where the stretch around `tx` ends, or the gap.
    pub(crate) fn end_of(&self, tx: TxTime) -> TxTime {
        match self.at_or_before(tx) {
            Some(stretch) if tx < stretch.end => stretch.end,
            _ => self.after(tx).map_or(TxTime::INFINITY, |next| next.start),
        }
    }

    fn after(&self, tx: TxTime) -> Option<&Range<TxTime>> {
        let behind = self.stretches.partition_point(|stretch| stretch.start <= tx);
        self.stretches.get(behind)
    }

    /// `tx` where it is answered, else the next point that is: closing the gaps this way, what
    /// cannot be told apart any more becomes equal.
    pub(crate) fn close_gap(&self, tx: TxTime) -> TxTime {
        if self.contains(tx) || tx == TxTime::INFINITY {
            return tx;
        }
        self.after(tx).map_or(TxTime::INFINITY, |stretch| stretch.start)
    }

    /// Whether the rectangle was believed at any T that is answered.
    pub(crate) fn touches(&self, rect: &Rect) -> bool {
        self.close_gap(rect.tx_from) < self.close_gap(rect.tx_to)
    }

    /// The error of asking `partition` at `tx`, which is not answered.
    fn retired(&self, partition: PartitionId, tx: TxTime) -> Error {
        let before = self.at_or_before(tx);
        Error::HistoryRetired {
            partition,
            tx,
            before: before.map(|stretch| TxTime(stretch.end.0 - 1)),
            after: self.after(tx).map(|stretch| stretch.start),
        }
    }

    /// Appends what makes `old` this, for `partition`.
    pub(crate) fn replace(
        &self,
        old: &Self,
        partition: PartitionId,
        trees: &Trees,
        out: &mut Batch,
    ) {
        for stretch in old.stretches.iter().filter(|stretch| !self.stretches.contains(stretch)) {
            out.delete(trees.kept, &kept::key(partition, stretch.start));
        }
        for stretch in self.stretches.iter().filter(|stretch| !old.stretches.contains(stretch)) {
            let key = kept::key(partition, stretch.start);
            out.put(trees.kept, &key, &kept::value(stretch.end));
        }
    }
}

impl<V: View> Reader<'_, V> {
    /// Whether the partition is answered at `tx`. One seek, in a tree that most often is empty.
    ///
    /// # Errors
    /// [`Error::HistoryRetired`] where it is not, or what reading the tree gave.
    pub fn check_kept(&self, partition: PartitionId, tx: TxTime) -> Result<()> {
        let mut cursor = self.view().cursor(self.trees().kept);
        let key = kept::key(partition, tx);
        if !cursor.seek_at_most(&key)? {
            return Ok(());
        }
        let (of, _, to) = decode(cursor.key(), &cursor.value()?)?;
        if of != partition || tx < to || planted!("retired_moments_answered") {
            return Ok(());
        }
        Err(Kept::load(self.view(), self.trees(), partition)?.retired(partition, tx))
    }

    /// Whether every partition is answered at all of `range`: whether the changes in it are all
    /// there.
    ///
    /// # Errors
    /// [`Error::HistoryRetired`] where they are not; its `after` is the first T from which on, up
    /// to the end of `range`, they are.
    pub fn check_range_kept(&self, range: Range<TxTime>) -> Result<()> {
        let mut worst: Option<(TxTime, PartitionId)> = None;
        let mut cursor = self.view().cursor(self.trees().kept);
        let mut on = range.start < range.end && cursor.first()?;
        while on {
            let (partition, ..) = decode(cursor.key(), &cursor.value()?)?;
            if let Some(end) = last_gap_end::<V>(&mut cursor, partition, &range)? {
                worst = worst.max(Some((end, partition)));
            }
            on = match partition.0.checked_add(1) {
                Some(next) => cursor.seek(&next.to_be_bytes())?,
                None => false,
            };
        }
        match worst {
            None => Ok(()),
            Some((end, partition)) => {
                let (tx, after) = (range.start, Some(end));
                Err(Error::HistoryRetired { partition, tx, before: None, after })
            }
        }
    }
}

/// Where the last gap that `range` touches ends, if it touches any. Two seeks.
fn last_gap_end<'v, V: View + 'v>(
    cursor: &mut V::Cursor<'v>,
    partition: PartitionId,
    range: &Range<TxTime>,
) -> Result<Option<TxTime>> {
    let last = TxTime(range.end.0 - 1);
    if cursor.seek_at_most(&kept::key(partition, last))? {
        let (of, from, to) = decode(cursor.key(), &cursor.value()?)?;
        if of == partition && last < to {
            return Ok((range.start < from).then_some(from));
        }
    }
    if cursor.seek(&kept::key(partition, last))? {
        let (of, from, _) = decode(cursor.key(), &cursor.value()?)?;
        if of == partition {
            return Ok(Some(from));
        }
    }
    let what = "its stretches do not reach from one end of time to the other";
    Err(Error::Corrupt { tree: TreeName::Kept, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(stretches: &[(i64, i64)]) -> Kept {
        Kept::new(stretches.iter().map(|&(from, to)| TxTime(from)..TxTime(to)))
    }

    const END: i64 = i64::MAX;

    #[test]
    fn stretches_that_touch_are_one_and_the_whole_is_none() {
        assert!(kept(&[(i64::MIN, 3), (3, END)]).is_all());
        assert_eq!(kept(&[(i64::MIN, 1), (2, 3), (3, 4), (9, END)]).stretches.len(), 3);
    }

    #[test]
    fn gaps_close_towards_what_comes_after() {
        let kept = kept(&[(i64::MIN, 1), (2, 3), (9, END)]);
        let closed = |tx| kept.close_gap(TxTime(tx)).0;
        assert_eq!([closed(0), closed(1), closed(2), closed(3), closed(8)], [0, 2, 2, 9, 9]);
        assert_eq!((closed(10), closed(END)), (10, END));
        assert!(kept.contains(TxTime(0)) && !kept.contains(TxTime(1)));
        assert!(Kept::all().contains(TxTime(1)));
    }

    #[test]
    fn the_error_names_the_nearest_on_either_side() {
        let kept = kept(&[(i64::MIN, 1), (2, 3), (9, END)]);
        let nearest = |tx| match kept.retired(PartitionId(0), TxTime(tx)) {
            Error::HistoryRetired { before, after, .. } => (before, after),
            error => panic!("{error}"),
        };
        assert_eq!(nearest(1), (Some(TxTime(0)), Some(TxTime(2))));
        assert_eq!(nearest(5), (Some(TxTime(2)), Some(TxTime(9))));
    }
}
