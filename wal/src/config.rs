//! What a log needs to know.

/// The database that a log belongs to, and the sizes of its segments.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// The UUID of the database. A segment of another one is refused.
    pub uuid: [u8; 16],
    /// The length of the first segment file in bytes. Each further one is twice as long as the one
    /// before.
    pub segment_bytes_first: u64,
    /// The length that segment files do not grow beyond.
    pub segment_bytes_max: u64,
}

impl LogConfig {
    /// Segments from 256 KiB to 64 MiB.
    pub fn new(uuid: [u8; 16]) -> LogConfig {
        LogConfig { uuid, segment_bytes_first: 256 << 10, segment_bytes_max: 64 << 20 }
    }

    /// Segments of at most so many bytes, rounded up to whole 4 KiB.
    #[must_use]
    pub fn with_segment_bytes_max(self, bytes: u64) -> LogConfig {
        let max = bytes.clamp(4096, 1 << 40).next_multiple_of(4096);
        let first = self.segment_bytes_first.min(max);
        LogConfig { segment_bytes_first: first, segment_bytes_max: max, ..self }
    }

    /// # Panics
    /// If a log cannot work with these sizes.
    pub(crate) fn check(&self) {
        assert!(self.segment_bytes_first >= 4096, "a segment takes 4 KiB at least");
        assert!(self.segment_bytes_first.is_multiple_of(8), "segments are multiples of 8 bytes");
        assert!(self.segment_bytes_max.is_multiple_of(8), "segments are multiples of 8 bytes");
        assert!(self.segment_bytes_max >= self.segment_bytes_first, "the last is the longest");
        assert!(self.segment_bytes_max <= 1 << 40, "a segment takes 1 TiB at most");
    }

    /// The length of the segment file after one of `last` bytes.
    pub(crate) fn next_bytes(&self, last: u64) -> u64 {
        last.saturating_mul(2).clamp(self.segment_bytes_first, self.segment_bytes_max)
    }
}
