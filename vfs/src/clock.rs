//! Where the time comes from.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Used as `Arc<dyn Clock>`.
pub trait Clock: Send + Sync + Debug {
    /// Microseconds since 1970-01-01 00:00 UTC, negative before.
    fn now_us(&self) -> i64;
}

/// The time of day of the operating system. It can step, back as well as forward.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now_us(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => as_us(after),
            Err(before) => -as_us(before.duration()),
        }
    }
}

/// The time of day when the clock was made, and from then on the time that has passed: never steps.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    origin_us: i64,
    origin: Instant,
}

impl MonotonicClock {
    /// A clock that agrees with [`WallClock`] now.
    pub fn new() -> MonotonicClock {
        MonotonicClock { origin_us: WallClock.now_us(), origin: Instant::now() }
    }
}

impl Default for MonotonicClock {
    fn default() -> MonotonicClock {
        MonotonicClock::new()
    }
}

impl Clock for MonotonicClock {
    fn now_us(&self) -> i64 {
        self.origin_us.saturating_add(as_us(self.origin.elapsed()))
    }
}

/// Always zero. Transaction ids are the larger of the previous one plus one and the time, so under
/// this clock they count 1, 2, 3...: for tests and for replays.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogicalClock;

impl Clock for LogicalClock {
    fn now_us(&self) -> i64 {
        0
    }
}

/// Stands still until it is told otherwise: for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    // Relaxed throughout: the time orders nothing but itself.
    now_us: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `now_us`.
    pub fn new(now_us: i64) -> ManualClock {
        ManualClock { now_us: AtomicI64::new(now_us) }
    }

    /// Steps to `now_us`, back or forward.
    pub fn set(&self, now_us: i64) {
        self.now_us.store(now_us, Ordering::Relaxed);
    }

    /// Steps by `by_us`.
    pub fn advance(&self, by_us: i64) {
        self.now_us.fetch_add(by_us, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed)
    }
}

fn as_us(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_time_moves_only_when_told() {
        let clock = ManualClock::new(-5);
        assert_eq!(clock.now_us(), -5);
        clock.advance(7);
        assert_eq!(clock.now_us(), 2);
        clock.set(-100);
        assert_eq!(clock.now_us(), -100);
    }

    #[test]
    fn logical_time_stands_at_zero() {
        assert_eq!(LogicalClock.now_us(), 0);
    }

    #[test]
    fn monotonic_time_starts_at_the_wall_and_never_steps_back() {
        let wall = WallClock.now_us();
        let clock = MonotonicClock::new();
        let mut last = clock.now_us();
        assert!(last >= wall, "{last} < {wall}");
        for _ in 0..1000 {
            let now = clock.now_us();
            assert!(now >= last);
            last = now;
        }
    }
}
