//! From the clock to the times of transactions.

use crate::Result;
use llmdb_temporal::{At, ClockGuard, TxTime, ValidTime, next_tx};
use llmdb_vfs::Clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The clock of an open database, watched for leaps.
#[derive(Debug)]
pub(crate) struct TxClock {
    source: Arc<dyn Clock>,
    guard: ClockGuard,
    /// A reading of the clock, and when that was by the steady clock of the system: later readings
    /// should be later by as much as passed since.
    anchor: Mutex<(TxTime, Instant)>,
}

impl TxClock {
    /// # Errors
    /// [`Error::LastTxAhead`](crate::Error::LastTxAhead) where `last`, the newest transaction of
    /// the file if there is one, is too far in the future.
    pub(crate) fn new(
        source: Arc<dyn Clock>,
        step_max: Option<Duration>,
        last: Option<TxTime>,
    ) -> Result<Self> {
        let guard = match step_max {
            Some(step) => ClockGuard::new(u64::try_from(step.as_micros()).unwrap_or(u64::MAX)),
            None => ClockGuard::off(),
        };
        let now = TxTime(source.now_us());
        if let Some(last) = last {
            guard.check_open(last, now)?;
        }
        Ok(Self { source, guard, anchor: Mutex::new((now, Instant::now())) })
    }

    /// Now, for reads that know all transactions up to `newest`.
    pub(crate) fn now(&self, newest: TxTime) -> At {
        At::now(newest, ValidTime(self.source.now_us()))
    }

    /// The time of a transaction after `last`.
    ///
    /// # Errors
    /// [`Error::ClockStepped`](crate::Error::ClockStepped),
    /// [`Error::TxExhausted`](crate::Error::TxExhausted)
    pub(crate) fn next(&self, last: TxTime) -> Result<TxTime> {
        let mut anchor = self.anchor.lock();
        let (then, at) = *anchor;
        let (found, now) = (TxTime(self.source.now_us()), Instant::now());
        let passed = i64::try_from((now - at).as_micros()).unwrap_or(i64::MAX);
        let expected = TxTime(then.0.saturating_add(passed));
        self.guard.check_step(expected, found)?;
        // A clock that fell behind may catch up again: the anchor stays where it was.
        if found > expected {
            *anchor = (found, now);
        }
        Ok(next_tx(last, found)?)
    }

    /// The time that a transaction would get that committed right now: for its own reads.
    ///
    /// # Errors
    /// [`Error::TxExhausted`](crate::Error::TxExhausted)
    pub(crate) fn provisional(&self, last: TxTime) -> Result<TxTime> {
        Ok(next_tx(last, TxTime(self.source.now_us()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use llmdb_vfs::ManualClock;

    const HOUR_US: i64 = 3_600_000_000;

    fn clock(start: i64) -> (Arc<ManualClock>, TxClock) {
        let source = Arc::new(ManualClock::new(start));
        let step_max = Some(Duration::from_secs(3600));
        let clock = TxClock::new(source.clone(), step_max, Some(TxTime(start))).unwrap();
        (source, clock)
    }

    #[test]
    fn a_leap_is_refused_until_the_clock_is_back() {
        let (source, clock) = clock(10 * HOUR_US);
        source.advance(3 * HOUR_US);
        let refused = clock.next(TxTime(1));
        assert!(matches!(refused, Err(Error::ClockStepped { .. })), "{refused:?}");
        assert!(clock.next(TxTime(1)).is_err(), "asking again does not make it true");
        source.set(10 * HOUR_US);
        assert_eq!(clock.next(TxTime(1)).unwrap(), TxTime(10 * HOUR_US));
    }

    #[test]
    fn a_clock_that_fell_behind_may_catch_up() {
        let (source, clock) = clock(10 * HOUR_US);
        source.set(5 * HOUR_US);
        assert_eq!(clock.next(TxTime(10 * HOUR_US)).unwrap(), TxTime(10 * HOUR_US + 1));
        source.set(10 * HOUR_US);
        assert_eq!(clock.next(TxTime(7)).unwrap(), TxTime(10 * HOUR_US));
    }

    #[test]
    fn small_steps_add_up_to_any_time() {
        let (source, clock) = clock(0);
        for hours in 1..10 {
            source.set(hours * (HOUR_US - 1));
            clock.next(TxTime(0)).unwrap();
        }
    }
}
