//! One key along valid time, as believed at some T.

use super::past::PastAt;
use super::{Reader, Segment};
use crate::belief::Belief;
use crate::codec::fork::Path;
use crate::codec::head::Head;
use crate::codec::key::EncodedKey;
use crate::codec::rect::Rect;
use crate::{Interval, PartitionId, Result, TxTime, ValidTime};
use llmdb_storage::View;
use std::ops::RangeInclusive;

impl<'v, V: View> Reader<'v, V> {
    /// The maximal segments of the key as believed at `tx`, ascending, absences omitted.
    ///
    /// # Errors
    /// [`EmptyKey`](crate::Error::EmptyKey), or what reading the trees gave.
    pub fn timeline(
        &self,
        partition: PartitionId,
        user_key: &[u8],
        tx: TxTime,
    ) -> Result<Vec<Segment<'v>>> {
        self.between(partition, user_key, Interval::ALL, tx)
    }

    /// Those segments of the timeline that overlap `window`, each whole:
    /// [`Interval::closed`] for SQL's `BETWEEN a AND b`, [`Interval::new`] for `FROM a TO b`.
    ///
    /// Two seeks and a step for each segment of the current belief; at an older `tx`, a seek for
    /// each fork of the window besides (`codec/fork.rs`): at most as many as there were
    /// rectangles, and one where they were all appended.
    ///
    /// # Errors
    /// [`EmptyKey`](crate::Error::EmptyKey), or what reading the trees gave.
    pub fn between(
        &self,
        partition: PartitionId,
        user_key: &[u8],
        window: Interval,
        tx: TxTime,
    ) -> Result<Vec<Segment<'v>>> {
        let key = EncodedKey::new(partition, user_key)?;
        let Some((head, value)) = self.head(&key)? else { return Ok(Vec::new()) };
        let rects = self.rects(&key, &head, window, tx)?;
        let (head, mut events) = ((head, value), self.events());
        let values = rects.iter().filter(|rect| !rect.absence);
        values
            .map(|rect| Ok(Segment::new(rect, events.value(&key, rect.event, Some(&head))?)))
            .collect()
    }

    /// The rectangles believed at `tx` that overlap `window`, by valid time.
    fn rects(
        &self,
        key: &EncodedKey,
        head: &Head,
        window: Interval,
        tx: TxTime,
    ) -> Result<Vec<Rect>> {
        let mut rects = Vec::new();
        Belief::new(self.view, self.trees, key, Some(*head)).segments(window, &mut rects)?;
        if tx >= head.last_tx {
            return Ok(rects);
        }
        rects.retain(|rect| rect.tx_from <= tx);
        if !head.whole {
            let mut past = PastAt::new(self, key, tx, forks(window).into_iter());
            while let Some(rect) = past.next()? {
                if rect.valid.overlaps(window) {
                    rects.push(rect);
                }
            }
            rects.sort_by_key(|rect| rect.valid.from());
        }
        Ok(rects)
    }
}

/// Where whatever overlaps `window` forks: in the window, or on the path to one of its ends.
fn forks(window: Interval) -> Vec<RangeInclusive<u64>> {
    let last = ValidTime::from_sortable(window.to().sortable() - 1);
    let inside = window.from().sortable()..=last.sortable();
    let (to_first, to_last) = (Path::new(window.from()), Path::new(last));
    let mut outside: Vec<u64> = [to_first.forks(), to_last.forks()].concat();
    outside.retain(|fork| !inside.contains(fork));
    outside.sort_unstable();
    outside.dedup();
    let mut forks: Vec<_> = outside.into_iter().map(|fork| fork..=fork).collect();
    let at = forks.partition_point(|range| range.start() < inside.start());
    forks.insert(at, inside);
    forks
}
