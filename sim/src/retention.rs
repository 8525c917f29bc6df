//! The oracle of retention: which T's are still answered, asked T by T.
//!
//! A T answers like the newest transaction at or before it. A run of a policy keeps a transaction
//! if any T that answers like it is wanted. Every T between two transactions is looked at, so times
//! must be small.

use crate::rectangles::INFINITY;

/// What a run is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Every T of the last so many.
    pub all: i64,
    /// (every, of the last so many): the last T of each period that ended since.
    pub periods: Vec<(i64, i64)>,
    /// T's that are wanted in any case.
    pub pins: Vec<i64>,
}

impl Wanted {
    fn wants(&self, at: i64, now: i64) -> bool {
        at >= now - self.all
            || self.pins.contains(&at)
            || (self.periods.iter())
                .any(|&(every, span)| (at + 1).rem_euclid(every) == 0 && at >= now - span)
    }
}

/// The T's of one partition that are still answered.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// For each run the transactions there were, and whether each was kept.
    runs: Vec<Vec<(i64, bool)>>,
}

impl Answered {
    /// Runs a policy at `now`, when the partition's transactions were `txs`, ascending.
    pub fn run(&mut self, txs: &[i64], wanted: &Wanted, now: i64) {
        let ends = txs.iter().skip(1).copied().chain([INFINITY]);
        let kept = txs.iter().zip(ends).map(|(&tx, end)| {
            let kept = end == INFINITY || (tx..end).any(|at| wanted.wants(at, now));
            (tx, kept)
        });
        self.runs.push(kept.collect());
    }

    /// Whether `at` is answered.
    pub fn answers(&self, at: i64) -> bool {
        self.runs.iter().all(|run| {
            let like = run.iter().rev().find(|(tx, _)| *tx <= at);
            like.is_none_or(|(_, kept)| *kept)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_period_and_the_newest_stay() {
        let mut answered = Answered::default();
        let wanted = Wanted { all: 5, periods: vec![(10, 100)], pins: vec![14] };
        answered.run(&[1, 3, 12, 15, 16, 40], &wanted, 41);
        let kept: Vec<i64> = (0..42).filter(|&at| answered.answers(at)).collect();
        let expected: Vec<i64> = [0].into_iter().chain(3..15).chain(16..42).collect();
        assert_eq!(kept, expected);
    }
}
