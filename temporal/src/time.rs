//! The two axes of time, and stretches of the first.

use crate::{Error, Result};
use std::fmt;

/// The bit that turns signed order into unsigned order.
const SIGN: u64 = 1 << 63;

/// A point of valid time: microseconds since 1970, negative before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValidTime(pub i64);

/// A point of transaction time: microseconds since 1970. A transaction's id *is* its time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxTime(pub i64);

/// A stretch of valid time, `from` included and `to` not; never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    from: ValidTime,
    to: ValidTime,
}

/// Where a read stands on both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// What was true then...
    pub valid: ValidTime,
    /// ...as it was known then.
    pub tx: TxTime,
}

impl ValidTime {
    /// The earliest point there is.
    pub const MIN: Self = Self(i64::MIN);
    /// The end of what never ends. No fact covers this point itself.
    pub const INFINITY: Self = Self(i64::MAX);

    /// The point `ttl` microseconds later: where a fact ends that lasts so long from here.
    ///
    /// # Errors
    /// [`Error::BadTtl`] unless `ttl` is above zero; [`Error::TimeOutOfRange`] from infinity on.
    pub fn after(self, ttl: i64) -> Result<Self> {
        if ttl <= 0 {
            return Err(Error::BadTtl { ttl });
        }
        let end = self.0.checked_add(ttl).map(Self).filter(|end| *end < Self::INFINITY);
        end.ok_or(Error::TimeOutOfRange)
    }

    /// As a number whose unsigned order is the order of time.
    pub(crate) fn sortable(self) -> u64 {
        (self.0 as u64) ^ SIGN
    }

    pub(crate) fn from_sortable(bits: u64) -> Self {
        Self((bits ^ SIGN) as i64)
    }

    /// The next point; infinity has none after it.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl TxTime {
    /// Before every transaction.
    pub const MIN: Self = Self(i64::MIN);
    /// After every transaction: what is believed until further notice ends here.
    pub const INFINITY: Self = Self(i64::MAX);

    /// The same instant on the valid axis: what a transaction calls now.
    pub fn as_valid(self) -> ValidTime {
        ValidTime(self.0)
    }

    /// As a number whose unsigned order is the order of time.
    pub(crate) fn sortable(self) -> u64 {
        (self.0 as u64) ^ SIGN
    }

    pub(crate) fn from_sortable(bits: u64) -> Self {
        Self((bits ^ SIGN) as i64)
    }
}

impl Interval {
    /// All of valid time.
    pub const ALL: Self = Self { from: ValidTime::MIN, to: ValidTime::INFINITY };

    /// From `from` up to, and not including, `to`.
    ///
    /// # Errors
    /// [`Error::EmptyInterval`] where nothing lies between.
    pub fn new(from: ValidTime, to: ValidTime) -> Result<Self> {
        if from < to { Ok(Self { from, to }) } else { Err(Error::EmptyInterval { from, to }) }
    }

    /// From `from` up to and including `last`: SQL's `BETWEEN from AND last`.
    ///
    /// # Errors
    /// [`Error::EmptyInterval`] where `last` is before `from`, or `from` is infinity.
    pub fn closed(from: ValidTime, last: ValidTime) -> Result<Self> {
        if last < from {
            return Err(Error::EmptyInterval { from, to: last });
        }
        Self::new(from, last.next())
    }

    /// Where it begins.
    pub fn from(self) -> ValidTime {
        self.from
    }

    /// Where it ends; this point is not part of it.
    pub fn to(self) -> ValidTime {
        self.to
    }

    /// Whether `at` is part of it.
    pub fn contains(self, at: ValidTime) -> bool {
        self.from <= at && at < self.to
    }

    /// Whether all of `other` is part of it.
    pub fn covers(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    /// Whether the two share a point.
    pub fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }

    /// The part of it before `at`, if there is one.
    pub(crate) fn before(self, at: ValidTime) -> Option<Self> {
        let to = self.to.min(at);
        (self.from < to).then_some(Self { from: self.from, to })
    }

    /// The part of it from `at` on, if there is one.
    pub(crate) fn since(self, at: ValidTime) -> Option<Self> {
        let from = self.from.max(at);
        (from < self.to).then_some(Self { from, to: self.to })
    }
}

impl At {
    /// Now, for a snapshot whose newest transaction is `newest` while the clock says `clock`: all
    /// that is known, at the clock's time or the newest transaction's, whichever is later.
    pub fn now(newest: TxTime, clock: ValidTime) -> Self {
        Self { valid: clock.max(newest.as_valid()), tx: newest }
    }
}

impl fmt::Debug for ValidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(self.0, f)
    }
}

impl fmt::Debug for TxTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(self.0, f)
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}, {:?})", self.from, self.to)
    }
}

fn debug(micros: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match micros {
        i64::MAX => f.write_str("inf"),
        i64::MIN => f.write_str("min"),
        micros => write!(f, "{micros}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(from: i64, to: i64) -> Interval {
        Interval::new(ValidTime(from), ValidTime(to)).unwrap()
    }

    #[test]
    fn an_interval_that_ends_where_it_begins_is_refused() {
        let new = |from, to| Interval::new(ValidTime(from), ValidTime(to));
        assert!(matches!(new(3, 3), Err(Error::EmptyInterval { .. })));
        assert!(matches!(new(4, 3), Err(Error::EmptyInterval { .. })));
        assert!(Interval::new(ValidTime::INFINITY, ValidTime::INFINITY).is_err());
        assert_eq!(Interval::closed(ValidTime(3), ValidTime(3)).unwrap(), interval(3, 4));
        assert!(Interval::closed(ValidTime(4), ValidTime(3)).is_err());
    }

    #[test]
    fn the_parts_before_and_since_a_point_make_up_the_whole() {
        let whole = interval(10, 20);
        assert_eq!(whole.before(ValidTime(10)), None);
        assert_eq!(whole.since(ValidTime(20)), None);
        assert_eq!(whole.before(ValidTime(12)), Some(interval(10, 12)));
        assert_eq!(whole.since(ValidTime(12)), Some(interval(12, 20)));
        assert_eq!(whole.since(ValidTime(5)), Some(whole));
        assert_eq!(whole.before(ValidTime(25)), Some(whole));
    }

    #[test]
    fn unsigned_order_is_the_order_of_time() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX];
        for pair in times.windows(2) {
            assert!(ValidTime(pair[0]).sortable() < ValidTime(pair[1]).sortable());
        }
        for time in times {
            assert_eq!(ValidTime::from_sortable(ValidTime(time).sortable()), ValidTime(time));
            assert_eq!(TxTime::from_sortable(TxTime(time).sortable()), TxTime(time));
        }
    }

    #[test]
    fn now_is_never_before_the_newest_transaction() {
        assert_eq!(At::now(TxTime(9), ValidTime(4)).valid, ValidTime(9));
        assert_eq!(At::now(TxTime(9), ValidTime(14)).valid, ValidTime(14));
    }
}
