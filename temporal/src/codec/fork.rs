//! Forks: where an interval hangs in the binary tree over all points of valid time.
//!
//! Imagine the balanced binary search tree over the 64-bit numbers, its root at 2^63 and 0 above
//! it. The *fork* of an interval is its topmost point in that tree: the number in it with the most
//! trailing zero bits. Every interval that contains V forks at one of the at most 65 points on the
//! path from the top to V. (The Relational Interval Tree: Kriegel, Pötke and Seidl, "Managing
//! Intervals Efficiently in Object-Relational Databases", VLDB 2000.)
//!
//! ```text
//!           8               [9,15) forks at 12, [7,9) at 8, [13,14) at 13;
//!       4       12          the path to 13 is 8, 12, 14, 13
//!     2   6   10  14
//!    1 3 5 7 9 11 13 15
//! ```
//!
//! That alone stabs intervals. Rectangles of one key make it sharper: they are disjoint, and all
//! that fork at w contain the valid time w, so *they are disjoint in transaction time*. At any T
//! there is at most one candidate per fork, found by one seek: the answer at (V, T) costs at most
//! 65 seeks at any depth of history, whatever its shape. Searching the order of valid time and that
//! of transactions by turns, which needs no fork in the key, took 19,999 seeks on a history of
//! 20,000 events where this takes 7 (`waves_of_corrections_are_flat`).

use crate::{Interval, ValidTime};
use llmdb_vfs::planted;

/// The most forks that can lie on the path to a point.
pub(crate) const PATH_MAX: usize = 65;

/// The topmost point of `interval`.
pub(crate) fn fork(interval: Interval) -> u64 {
    let (first, end) = (interval.from().sortable(), interval.to().sortable());
    let last = end - 1;
    if first == 0 {
        return 0;
    }
    // The highest bit in which first - 1 and last differ is 1 in last. Clearing what is below it
    // gives a number in (first - 1, last] with the most trailing zeros there.
    let differ = 63 - ((first - 1) ^ last).leading_zeros();
    let differ = if planted!("fork_of_the_end") { 0 } else { differ };
    last >> differ << differ
}

/// The points on the path from the top to `at`, ascending.
#[derive(Clone)]
pub(crate) struct Path {
    forks: [u64; PATH_MAX],
    len: usize,
}

impl Path {
    pub(crate) fn new(at: ValidTime) -> Self {
        let at = at.sortable();
        let mut path = Self { forks: [0; PATH_MAX], len: 1 };
        if at == 0 {
            return path;
        }
        let on_level = |level: u32| ((at >> level) | 1) << level;
        let levels = at.trailing_zeros()..64;
        let left = |level: &u32| at >> level & 1 == 1;
        levels.clone().rev().filter(left).for_each(|level| path.push(on_level(level)));
        levels.filter(|level| !left(level)).for_each(|level| path.push(on_level(level)));
        path
    }

    fn push(&mut self, fork: u64) {
        debug_assert!(self.forks[self.len - 1] < fork, "a path is built in ascending order");
        self.forks[self.len] = fork;
        self.len += 1;
    }

    pub(crate) fn forks(&self) -> &[u64] {
        &self.forks[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn interval(first: u64, end: u64) -> Interval {
        let time = ValidTime::from_sortable;
        Interval::new(time(first), time(end)).unwrap()
    }

    #[test]
    fn golden_forks() {
        assert_eq!(fork(interval(9, 15)), 12);
        assert_eq!(fork(interval(7, 9)), 8);
        assert_eq!(fork(interval(13, 14)), 13);
        assert_eq!(fork(interval(0, 9)), 0);
        assert_eq!(fork(Interval::ALL), 0);
        assert_eq!(fork(interval(1, u64::MAX)), 1 << 63);
        let path = Path::new(ValidTime::from_sortable(13));
        assert_eq!(path.forks()[..5], [0, 8, 12, 13, 14]);
        assert_eq!(Path::new(ValidTime::MIN).forks(), [0]);
    }

    fn point() -> impl Strategy<Value = u64> {
        prop_oneof![
            0u64..40,
            (1u64 << 63) - 20..(1 << 63) + 20,
            u64::MAX - 20..=u64::MAX,
            any::<u64>()
        ]
    }

    proptest! {
        #[test]
        fn the_fork_is_on_the_path_to_every_point_of_the_interval(
            a in point(), b in point(), c in point()
        ) {
            let mut points = [a, b, c];
            points.sort();
            let [first, at, end] = points;
            prop_assume!(first < end && at < end);
            let whole = interval(first, end);
            let fork = fork(whole);
            prop_assert!(whole.contains(ValidTime::from_sortable(fork)));
            let path = Path::new(ValidTime::from_sortable(at));
            prop_assert!(path.forks().contains(&fork));
            prop_assert!(path.forks().is_sorted());
        }
    }
}
