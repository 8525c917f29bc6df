//! Which T's a policy keeps.
//!
//! Of the transactions of a partition, one is kept if some T that the policy asks for answers like
//! it: a T lies between it and the next. A policy asks for every T of the newest stretch of time
//! (`all_us`), for the last T of every period of its tiers, and for the T's that are pinned.

use crate::kept::Kept;
use crate::{Error, Result, TxTime};
use std::ops::Range;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// How much of its past a partition keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Every T of the last so many microseconds; `None`: every T.
    pub all_us: Option<u64>,
    /// Of what is older, the last T of each period.
    pub tiers: Vec<Tier>,
}

/// The last T of each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The periods.
    pub every: Every,
    /// Those that ended in the last so many microseconds; `None`: all.
    pub for_us: Option<u64>,
}

/// Periods that divide time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// So many microseconds, counted from 1970.
    Us(u64),
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Weeks, which begin on Mondays.
    Week,
    /// Months of the calendar.
    Month,
    /// Years of the calendar.
    Year,
}

impl Every {
    /// Where the period that contains `at` begins; `i64::MIN` where that is too far back.
    fn start(self, at: i64) -> i64 {
        let of = |span: i64, offset: i64| {
            let number = (i128::from(at) - i128::from(offset)).div_euclid(span.into());
            i64::try_from(number * i128::from(span) + i128::from(offset)).unwrap_or(i64::MIN)
        };
        match self {
            Every::Us(span) => of(i64::try_from(span).unwrap_or(i64::MAX).max(1), 0),
            Every::Hour => of(3600 * SECOND_US, 0),
            Every::Day => of(DAY_US, 0),
            // 1970 began on a Thursday.
            Every::Week => of(7 * DAY_US, -3 * DAY_US),
            Every::Month | Every::Year => {
                let (year, month, day) = civil(at.div_euclid(DAY_US));
                let back = match self {
                    Every::Month => i64::from(day) - 1,
                    _ => at.div_euclid(DAY_US) - days(year, 1, 1),
                };
                debug_assert!((1..=12).contains(&month));
                (at.div_euclid(DAY_US) - back).checked_mul(DAY_US).unwrap_or(i64::MIN)
            }
        }
    }
}

/// The date of a day counted from 1970-01-01, in the proleptic Gregorian calendar
/// (Howard Hinnant, "chrono-compatible low-level date algorithms", 2013).
fn civil(day: i64) -> (i64, u32, u32) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let m = (if mp < 10 { mp + 3 } else { mp - 9 }) as u32;
    (yoe + era * 400 + i64::from(m <= 2), m, d)
}

/// The day of a date, counted from 1970-01-01.
fn days(year: i64, month: u32, day: u32) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = i64::from((month + 9) % 12);
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// So long before `now`; the beginning of time where that is earlier.
fn before(now: TxTime, span_us: u64) -> i64 {
    i64::try_from(i128::from(now.0) - i128::from(span_us)).unwrap_or(i64::MIN)
}

impl Policy {
    /// # Errors
    /// [`Error::BadPolicy`] for periods of no length.
    pub fn check(&self) -> Result<()> {
        match self.tiers.iter().any(|tier| tier.every == Every::Us(0)) {
            true => Err(Error::BadPolicy { what: "a period has no length" }),
            false => Ok(()),
        }
    }

    /// Whether, at `now`, it asks for any T in `stretch`; `pins` ascend.
    fn asks_for(&self, stretch: &Range<TxTime>, now: TxTime, pins: &[TxTime]) -> bool {
        let Some(all_us) = self.all_us else { return true };
        if stretch.end.0 > before(now, all_us) {
            return true;
        }
        let pin = pins.partition_point(|pin| *pin < stretch.start);
        if pins.get(pin).is_some_and(|pin| *pin < stretch.end) {
            return true;
        }
        self.tiers.iter().any(|tier| {
            // The last period that ends within the stretch: its last T is asked for.
            let end = tier.every.start(stretch.end.0);
            let oldest = tier.for_us.map_or(i64::MIN, |span| before(now, span));
            end > stretch.start.0 && end > oldest
        })
    }
}

/// What is kept of `old` by `policy`, at `now`, where `txs` are the transactions that still have
/// changes, ascending: all of those that `old` keeps are among them.
pub(crate) fn thin(
    old: &Kept,
    policy: &Policy,
    pins: &[TxTime],
    now: TxTime,
    txs: impl IntoIterator<Item = Result<TxTime>>,
) -> Result<Kept> {
    let mut stretches = Vec::new();
    let mut keep = |from: TxTime, to: TxTime| {
        // A transaction whose own T was given up earlier stays given up.
        if !old.contains(from) {
            return;
        }
        let to = to.min(old.end_of(from));
        let last = to == TxTime::INFINITY;
        if from == TxTime::MIN || last || policy.asks_for(&(from..to), now, pins) {
            stretches.push(from..to);
        }
    };
    // A stretch may begin with a transaction of which nothing is left: it was erased.
    let mut starts: Vec<TxTime> = old.starts().filter(|start| *start != TxTime::MIN).collect();
    starts.reverse();
    let mut from = TxTime::MIN;
    for tx in txs {
        let tx = tx?;
        while let Some(start) = starts.pop_if(|start| *start <= tx) {
            if from < start && start < tx {
                keep(from, start);
                from = start;
            }
        }
        keep(from, tx);
        from = tx;
    }
    for start in starts.into_iter().rev() {
        if from < start {
            keep(from, start);
            from = start;
        }
    }
    keep(from, TxTime::INFINITY);
    Ok(Kept::new(stretches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_where_the_calendar_says() {
        let at = |text: &str| text.parse::<TxTime>().unwrap().0;
        let noon = at("2024-02-29T12:34:56Z");
        for (every, start) in [
            (Every::Hour, "2024-02-29T12:00:00Z"),
            (Every::Day, "2024-02-29"),
            (Every::Week, "2024-02-26"),
            (Every::Month, "2024-02-01"),
            (Every::Year, "2024-01-01"),
        ] {
            assert_eq!(every.start(noon), at(start), "{every:?}");
            assert_eq!(every.start(at(start)), at(start), "{every:?}");
            assert!(every.start(at(start) - 1) < at(start), "{every:?}");
        }
        assert_eq!(Every::Day.start(at("1969-12-31T23:00:00Z")), at("1969-12-31"));
        assert_eq!(Every::Month.start(at("1969-12-31T23:00:00Z")), at("1969-12-01"));
        assert_eq!(Every::Us(10).start(-1), -10);
        for every in [Every::Us(7), Every::Us(u64::MAX), Every::Week, Every::Month, Every::Year] {
            for at in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
                assert!(every.start(at) <= at, "{every:?}");
            }
        }
    }

    #[test]
    fn a_transaction_is_kept_if_some_wanted_time_answers_like_it() {
        let tiers = vec![Tier { every: Every::Us(10), for_us: Some(40) }];
        let policy = Policy { all_us: Some(20), tiers };
        let txs = [1, 3, 12, 15, 41, 44, 48, 53, 81, 95].map(|tx| Ok(TxTime(tx)));
        let kept = thin(&Kept::all(), &policy, &[TxTime(14)], TxTime(100), txs).unwrap();
        let stretches: Vec<_> = kept.stretches().iter().map(|s| (s.start.0, s.end.0)).collect();
        // 12 by its pin; 53, which ends at 81, by all; 60 - 1 and 70 - 1 answer like 53 too.
        assert_eq!(stretches, [(i64::MIN, 1), (12, 15), (53, i64::MAX)]);
    }

    #[test]
    fn a_stretch_whose_transaction_was_erased_is_kept_as_it_was() {
        let policy = Policy { all_us: Some(0), tiers: Vec::new() };
        let txs = [1, 3, 5, 9].map(|tx| Ok(TxTime(tx)));
        let pins = [TxTime(3), TxTime(5)];
        let first = thin(&Kept::all(), &policy, &pins[1..], TxTime(9), txs).unwrap();
        let left = [1, 9].map(|tx| Ok(TxTime(tx)));
        assert_eq!(thin(&first, &policy, &pins, TxTime(9), left).unwrap(), first);
    }

    #[test]
    fn what_was_given_up_stays_given_up() {
        let policy = Policy { all_us: Some(0), tiers: Vec::new() };
        let txs = || [1, 3, 12].map(|tx| Ok(TxTime(tx)));
        let first = thin(&Kept::all(), &policy, &[], TxTime(12), txs()).unwrap();
        let again = thin(&first, &Policy::default(), &[], TxTime(20), txs()).unwrap();
        assert_eq!(again, first);
        assert!(!again.contains(TxTime(3)) && again.contains(TxTime(12)));
    }
}
