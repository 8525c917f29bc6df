//! How a transaction gets its time, and when a clock is not believed.

use crate::{Error, Result, TxTime};

/// The time, and so the id, of the transaction after `previous` while the clock says `now`:
/// strictly increasing, whatever the clock does.
///
/// # Errors
/// [`Error::TxExhausted`] where no point is left before infinity.
pub fn next_tx(previous: TxTime, now: TxTime) -> Result<TxTime> {
    let tx = TxTime(previous.0.saturating_add(1)).max(now);
    if tx < TxTime::INFINITY { Ok(tx) } else { Err(Error::TxExhausted) }
}

/// Refuses clocks that leap: a wrong time, once taken as a transaction's, stays for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockGuard {
    step_us_max: Option<u64>,
}

impl ClockGuard {
    /// Refuses steps of more than `step_us_max` microseconds.
    pub fn new(step_us_max: u64) -> Self {
        Self { step_us_max: Some(step_us_max) }
    }

    /// The override: believes any clock.
    pub fn off() -> Self {
        Self { step_us_max: None }
    }

    /// On opening a file whose newest transaction is `last`: is it far ahead of the clock?
    ///
    /// # Errors
    /// [`Error::LastTxAhead`]
    pub fn check_open(self, last: TxTime, now: TxTime) -> Result<()> {
        match self.step_us_max {
            Some(step_us_max) if lead(last, now) > step_us_max => {
                Err(Error::LastTxAhead { last, now, step_us_max })
            }
            _ => Ok(()),
        }
    }

    /// While running: `expected` is an earlier reading of the clock plus the monotonic time that
    /// passed since. A clock that runs behind is no error: [`next_tx`] never goes back.
    ///
    /// # Errors
    /// [`Error::ClockStepped`]
    pub fn check_step(self, expected: TxTime, found: TxTime) -> Result<()> {
        match self.step_us_max {
            Some(step_us_max) if lead(found, expected) > step_us_max => {
                Err(Error::ClockStepped { expected, found, step_us_max })
            }
            _ => Ok(()),
        }
    }
}

/// By how much `a` is ahead of `b`, in microseconds; 0 where it is not.
fn lead(a: TxTime, b: TxTime) -> u64 {
    if a > b { a.0.abs_diff(b.0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_times_increase_whatever_the_clock_does() {
        assert_eq!(next_tx(TxTime(5), TxTime(9)).unwrap(), TxTime(9));
        assert_eq!(next_tx(TxTime(5), TxTime(5)).unwrap(), TxTime(6));
        assert_eq!(next_tx(TxTime(5), TxTime(-9)).unwrap(), TxTime(6));
        let last = TxTime(i64::MAX - 1);
        assert!(matches!(next_tx(last, TxTime(0)), Err(Error::TxExhausted)));
        assert!(matches!(next_tx(TxTime(0), TxTime::INFINITY), Err(Error::TxExhausted)));
    }

    #[test]
    fn a_leap_is_refused_unless_overridden() {
        let guard = ClockGuard::new(10);
        assert!(guard.check_step(TxTime(100), TxTime(110)).is_ok());
        assert!(guard.check_step(TxTime(100), TxTime(-50)).is_ok());
        let leap = guard.check_step(TxTime(100), TxTime(111));
        assert!(matches!(leap, Err(Error::ClockStepped { step_us_max: 10, .. })));
        assert!(guard.check_open(TxTime(100), TxTime(90)).is_ok());
        let ahead = guard.check_open(TxTime(101), TxTime(90));
        assert!(matches!(ahead, Err(Error::LastTxAhead { step_us_max: 10, .. })));
        assert!(guard.check_open(TxTime::INFINITY, TxTime::MIN).is_err());
        assert!(ClockGuard::off().check_step(TxTime(0), TxTime(1 << 60)).is_ok());
        assert!(ClockGuard::off().check_open(TxTime(1 << 60), TxTime(0)).is_ok());
    }
}
