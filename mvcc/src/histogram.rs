//! Counting without locks: counters that threads do not share a cache line for, and distributions.
//!
//! A distribution has fixed log-linear buckets (as in HdrHistogram): numbers below 8 are exact, above
//! each power of two is divided into 8, so a quantile is at most 12.5 % too high. All atomics are
//! relaxed: figures order nothing, and a reader may see them a moment apart.

use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Cache lines that a counter is spread over.
const STRIPES: usize = 16;
/// Divisions of a power of two, as a power of two.
const SUB_BITS: u32 = 3;
const SUB: usize = 1 << SUB_BITS;
/// Numbers from 2^40 on share the last bucket: of nanoseconds that is 18 minutes.
const BITS_MAX: u32 = 40;
const BUCKETS: usize = (BITS_MAX - SUB_BITS + 1) as usize * SUB;

/// A counter that threads seldom share a cache line for.
#[derive(Default)]
pub struct Counter {
    stripes: [CachePadded<AtomicU64>; STRIPES],
}

impl Counter {
    /// One more.
    #[inline]
    pub fn add_one(&self) {
        self.stripes[stripe()].fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.stripes[stripe()].fetch_add(count, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.load(Ordering::Relaxed)).sum()
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counter({})", self.get())
    }
}

/// The stripe of this thread: where its own memory is tells threads apart.
#[inline]
fn stripe() -> usize {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    // Fibonacci hashing (Knuth, vol. 3): the high bits of the product are well mixed.
    HERE.with(|here| {
        let at = std::ptr::from_ref(here).addr() as u64;
        (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as usize
    })
}

/// How often which numbers came.
pub(crate) struct Recorder {
    sum: AtomicU64,
    max: AtomicU64,
    buckets: Box<[AtomicU64; BUCKETS]>,
}

impl Default for Recorder {
    fn default() -> Self {
        let buckets = Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { sum: AtomicU64::new(0), max: AtomicU64::new(0), buckets }
    }
}

impl Recorder {
    /// Takes note of a number.
    pub(crate) fn record(&self, value: u64) {
        self.buckets[bucket(value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
        self.max.fetch_max(value, Ordering::Relaxed);
    }

    /// Takes note of a length of time, in nanoseconds.
    pub(crate) fn record_time(&self, time: Duration) {
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What came so far.
    pub(crate) fn snapshot(&self) -> Distribution {
        let counts: Vec<u64> =
            self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let max = self.max.load(Ordering::Relaxed);
        Distribution {
            count: counts.iter().sum(),
            sum: self.sum.load(Ordering::Relaxed),
            max,
            counts,
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// How often which numbers came, up to a moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Distribution {
    /// How many numbers.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The largest.
    pub max: u64,
    counts: Vec<u64>,
}

impl Distribution {
    /// The number that `per_mille` of a thousand are not above, rounded up to the end of its bucket
    /// (at most 12.5 %); 0 for none. O(buckets), of which there are about 300.
    pub fn quantile(&self, per_mille: u32) -> u64 {
        let wanted = (u128::from(self.count) * u128::from(per_mille)).div_ceil(1000) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return highest(at).min(self.max);
            }
        }
        0
    }

    /// Their mean; 0 for none.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution")
            .field("count", &self.count)
            .field("mean", &self.mean())
            .field("p50", &self.quantile(500))
            .field("p99", &self.quantile(990))
            .field("max", &self.max)
            .finish()
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB as u64 {
        return value as usize;
    }
    let bits = u64::BITS - value.leading_zeros();
    if bits > BITS_MAX {
        return BUCKETS - 1;
    }
    let shift = bits - 1 - SUB_BITS;
    (shift as usize + 1) * SUB + (value >> shift) as usize - SUB
}

/// The largest number of a bucket.
fn highest(at: usize) -> u64 {
    if at < SUB {
        return at as u64;
    }
    if at == BUCKETS - 1 {
        return u64::MAX;
    }
    let shift = at / SUB - 1;
    (((at % SUB + SUB) as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_number_once_and_closely() {
        let mut last = 0;
        for at in 1..BUCKETS {
            assert_eq!(bucket(highest(at - 1)), at - 1);
            if at < BUCKETS - 1 {
                let lowest = highest(at - 1) + 1;
                assert_eq!(bucket(lowest), at);
                assert!(highest(at) - lowest <= lowest / 8, "{lowest}..{}", highest(at));
            }
            assert!(highest(at) > last);
            last = highest(at);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket(1 << BITS_MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let recorder = Recorder::default();
        assert_eq!(recorder.snapshot().quantile(500), 0);
        for value in 1..=1000 {
            recorder.record(value);
        }
        let all = recorder.snapshot();
        assert_eq!((all.count, all.sum, all.max, all.mean()), (1000, 500_500, 1000, 500));
        for (per_mille, exact) in [(1, 1), (500, 500), (990, 990), (1000, 1000)] {
            let found = all.quantile(per_mille);
            assert!((exact..=exact + exact / 8).contains(&found), "{per_mille}: {found}");
        }
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add_one()));
            }
        });
        assert_eq!(counter.get(), 80_000);
    }
}
