//! Waiting between attempts of a transaction that conflicts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ATTEMPTS_MAX: u32 = 12;
const FIRST_US: u64 = 20;
const LONGEST_US: u64 = 20_000;

/// Bounded exponential backoff with jitter: each pause is a random part of a bound that doubles,
/// so that transactions that met once do not meet again at the same moment.
#[derive(Debug)]
pub struct Backoff {
    attempt: u32,
    random: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// Before the first attempt.
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // The address of a local differs by thread; time differs by moment.
        let local = 0u8;
        let seed = now.as_nanos() as u64 ^ (&raw const local as u64).rotate_left(32);
        Backoff { attempt: 0, random: seed | 1 }
    }

    /// Pauses before the next attempt; `false` when there have been enough.
    pub fn pause(&mut self) -> bool {
        self.attempt += 1;
        if self.attempt > ATTEMPTS_MAX {
            return false;
        }
        // xorshift64 (Marsaglia 2003): any jitter will do.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let bound = (FIRST_US << self.attempt).min(LONGEST_US);
        std::thread::sleep(Duration::from_micros(self.random % bound));
        true
    }
}
