//! Positions in the log.

use std::fmt;

/// A log sequence number: a position in the log, in bytes. Positions only grow, from segment to
/// segment and from recovery to recovery, and none is used twice for different data that was
/// acknowledged. Frames begin at multiples of 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The very first position.
    pub const ZERO: Lsn = Lsn(0);

    /// The position at this many bytes.
    pub const fn new(bytes: u64) -> Lsn {
        Lsn(bytes)
    }

    /// The position in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position `bytes` further on, if there is one.
    pub const fn checked_add(self, bytes: u64) -> Option<Lsn> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Lsn(sum)),
            None => None,
        }
    }

    /// The bytes from `earlier` to here.
    ///
    /// # Panics
    /// If `earlier` is later.
    pub const fn since(self, earlier: Lsn) -> u64 {
        self.0.checked_sub(earlier.0).expect("an earlier position")
    }

    /// The position `bytes` further on in a log that we write ourselves.
    pub(crate) const fn advance(self, bytes: u64) -> Lsn {
        self.checked_add(bytes).expect("a log never grows to 2^64 bytes")
    }

    pub(crate) const fn is_aligned(self) -> bool {
        self.0.is_multiple_of(8)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
