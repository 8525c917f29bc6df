//! The closed rectangles of a key that were believed at some T, fork by fork.

use super::Reader;
use crate::codec::key::{EncodedKey, decode_past};
use crate::codec::rect::Rect;
use crate::{Result, TxTime};
use llmdb_storage::{Cursor, View};
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
            if found != sought && !self.forks.advance_to(found) {
                continue; // there is nothing up to `found`, and that fork is not asked for
            }
            if tx_from > self.tx {
                continue; // the first entry of its fork: seek into it
            }
            let rect = Rect::decode_past(suffix, &self.cursor.value()?)?;
            match found.checked_add(1) {
                Some(next) => {
                    self.forks.advance_to(next);
                }
                None => self.forks.first = None,
            }
            if self.tx < rect.tx_to {
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

    /// Leaves out the forks before `fork`; answers whether it is to be visited itself.
    fn advance_to(&mut self, fork: u64) -> bool {
        while let Some(range) = &self.first {
            if *range.end() >= fork {
                let start = fork.max(*range.start());
                let asked = start == fork;
                self.first = Some(start..=*range.end());
                return asked;
            }
            self.first = self.rest.next();
        }
        false
    }
}
