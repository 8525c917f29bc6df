//! What the operations of one transaction say about one key, laid over what was believed before.

use crate::{Interval, ValidTime};
use llmdb_vfs::planted;
use std::collections::BTreeMap;

/// Disjoint pieces of valid time, each owned by an operation: its number in the transaction.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    /// By where a piece begins.
    pieces: BTreeMap<ValidTime, Piece>,
}

/// A piece in which operation `op` has the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) valid: Interval,
    pub(crate) op: u32,
}

impl Layer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Gives `valid` to `op`; earlier operations keep what is left of theirs.
    pub(crate) fn cover(&mut self, valid: Interval, op: u32) {
        while let Some(under) = self.last_before(valid.to()).filter(|p| p.valid.overlaps(valid)) {
            self.pieces.remove(&under.valid.from());
            let behind = under.valid.since(valid.to());
            let behind = behind.filter(|_| !planted!("rest_of_own_write_lost"));
            for rest in [under.valid.before(valid.from()), behind] {
                self.insert(rest, under.op);
            }
        }
        self.insert(Some(valid), op);
    }

    fn insert(&mut self, valid: Option<Interval>, op: u32) {
        if let Some(valid) = valid {
            self.pieces.insert(valid.from(), Piece { valid, op });
        }
    }

    /// The piece with the greatest beginning before `at`.
    pub(crate) fn last_before(&self, at: ValidTime) -> Option<Piece> {
        self.pieces.range(..at).next_back().map(|(_, &piece)| piece)
    }

    /// The piece with the least beginning after `at`.
    pub(crate) fn first_after(&self, at: ValidTime) -> Option<Piece> {
        self.pieces.range(at.next()..).next().map(|(_, &piece)| piece)
    }

    /// The piece around `at`.
    pub(crate) fn piece_at(&self, at: ValidTime) -> Option<Piece> {
        self.last_before(at.next()).filter(|piece| piece.valid.contains(at))
    }

    /// The pieces, ascending.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> {
        self.pieces.values().copied()
    }

    /// The stretches that the pieces cover without a break, ascending.
    pub(crate) fn runs(&self) -> Vec<Interval> {
        let mut runs: Vec<Interval> = Vec::with_capacity(1);
        for piece in self.pieces() {
            match runs.last_mut() {
                Some(run) if run.to() == piece.valid.from() => {
                    *run = Interval::new(run.from(), piece.valid.to()).expect("a run only grows");
                }
                _ => runs.push(piece.valid),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(from: i64, to: i64) -> Interval {
        Interval::new(ValidTime(from), ValidTime(to)).unwrap()
    }

    fn pieces(layer: &Layer) -> Vec<(i64, i64, u32)> {
        layer.pieces().map(|p| (p.valid.from().0, p.valid.to().0, p.op)).collect()
    }

    #[test]
    fn the_last_word_leaves_both_rests() {
        let mut layer = Layer::new();
        layer.cover(interval(10, 20), 0);
        layer.cover(interval(20, 30), 1);
        layer.cover(interval(12, 14), 2);
        assert_eq!(pieces(&layer), [(10, 12, 0), (12, 14, 2), (14, 20, 0), (20, 30, 1)]);
        assert_eq!(layer.runs(), [interval(10, 30)]);
        layer.cover(interval(13, 25), 3);
        assert_eq!(pieces(&layer), [(10, 12, 0), (12, 13, 2), (13, 25, 3), (25, 30, 1)]);
        layer.cover(interval(0, 40), 4);
        assert_eq!(pieces(&layer), [(0, 40, 4)]);
        layer.cover(interval(50, 60), 5);
        assert_eq!(layer.runs(), [interval(0, 40), interval(50, 60)]);
        assert_eq!(layer.piece_at(ValidTime(40)), None);
        assert_eq!(layer.piece_at(ValidTime(50)).unwrap().op, 5);
        assert_eq!(layer.first_after(ValidTime(40)).unwrap().op, 5);
        assert_eq!(layer.first_after(ValidTime(50)), None);
    }
}
