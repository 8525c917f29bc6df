//! The closed rectangles of a key that were believed at some T, fork by fork.

use super::Reader;
use crate::codec::key::{EncodedKey, decode_past};
use crate::codec::rect::Rect;
use crate::{Result, TxTime};
use llmdb_storage::{Cursor, View};
use llmdb_vfs::planted;
use std::ops::RangeInclusive;

/// Skips through `past` by seeks: at each fork at most one rectangle was believed at `tx`, the
/// newest that began by then.
pub(super) struct PastAt<'v, V: View + 'v, F> {
    cursor: V::Cursor<'v>,
    key: &'v EncodedKey,
    tx: TxTime,
    forks: Forks<F>,
}

/// The forks still to visit: ascending, disjoint.
struct Forks<F> {
    first: Option<RangeInclusive<u64>>,
    rest: F,
}

impl<'v, V: View, F: Iterator<Item = RangeInclusive<u64>>> PastAt<'v, V, F> {
    pub(super) fn new(
        reader: &Reader<'v, V>,
        key: &'v EncodedKey,
        tx: TxTime,
        mut forks: F,
    ) -> Self {
        let forks = Forks { first: forks.next(), rest: forks };
        Self { cursor: reader.view.cursor(reader.trees.past), key, tx, forks }
    }

    /// The next rectangle believed at `tx`, in the order of forks.
    pub(super) fn next(&mut self) -> Result<Option<Rect>> {
        while let Some(sought) = self.forks.next() {
            let from = self.key.past(sought, self.tx);
            if !self.cursor.seek(from.bytes())? {
                break;
            }
            let Some(suffix) = self.key.suffix_of(self.cursor.key()) else { break };
            let (found, tx_from) = decode_past(suffix)?;
            self.forks.advance_to(found);
            if self.forks.next() != Some(found) {
                continue; // that fork is not asked for, and there is nothing before it
            }
            if tx_from > self.tx {
                continue; // the first entry of its fork: seek into it
            }
            let rect = Rect::decode_past(suffix, &self.cursor.value()?)?;
            self.forks.advance_behind(found);
            if self.tx < rect.tx_to
                || (self.tx == rect.tx_to && planted!("as_of_misses_the_moment"))
            {
                return Ok(Some(rect));
            }
        }
        self.forks.first = None;
        Ok(None)
    }
}

impl<F: Iterator<Item = RangeInclusive<u64>>> Forks<F> {
    fn next(&self) -> Option<u64> {
        self.first.as_ref().map(|range| *range.start())
    }

    /// Leaves out the forks before `fork`.
    fn advance_to(&mut self, fork: u64) {
        while let Some(range) = &self.first {
            if *range.end() >= fork {
                self.first = Some(fork.max(*range.start())..=*range.end());
                return;
            }
            self.first = self.rest.next();
        }
    }

    /// Leaves out the forks up to `fork`.
    fn advance_behind(&mut self, fork: u64) {
        match fork.checked_add(1) {
            Some(next) => self.advance_to(next),
            None => self.first = None,
        }
    }
}
