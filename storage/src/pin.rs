//! Bytes of a page, and what keeps them where they are.
//!
//! Bytes in the map or in a frame of the write-back cache are kept by the snapshot alone. Bytes in
//! the page cache are kept by a count on their frame, which is given back when the value is dropped.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// In [`Tenancy::state`]: the frame is being filled or taken away.
pub(crate) const LOCKED: u32 = 1 << 31;

/// Who uses a frame of the page cache.
#[derive(Debug, Default)]
pub(crate) struct Tenancy {
    /// Pins, and [`LOCKED`]. Raised by readers without a lock; see the drawing in `cache`.
    pub(crate) state: AtomicU32,
    /// Hits since the frame's place in the queues was last decided.
    pub(crate) hits: AtomicU8,
    /// The page in the frame; 0 for none.
    pub(crate) page: AtomicU64,
}

/// One pin on a frame of the page cache, or none where nothing needs one.
struct Pin<'s>(Option<&'s Tenancy>);

impl Clone for Pin<'_> {
    fn clone(&self) -> Self {
        if let Some(tenancy) = self.0 {
            // Relaxed: the pin that is copied keeps the frame.
            let before = tenancy.state.fetch_add(1, Ordering::Relaxed);
            assert!(before & !LOCKED < LOCKED / 2, "pins are counted in 31 bits");
        }
        Pin(self.0)
    }
}

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(tenancy) = self.0 {
            // Pairs with the Acquire of `Cache::take`: reads end before the frame is filled anew.
            tenancy.state.fetch_sub(1, Ordering::Release);
        }
    }
}

/// Bytes of a page or a value in the page cache, which stay there until this is dropped.
#[derive(Clone)]
pub struct Pinned<'s> {
    bytes: &'s [u8],
    pin: Pin<'s>,
}

impl<'s> Pinned<'s> {
    /// Bytes that need no pin: the snapshot keeps them.
    #[inline]
    pub(crate) fn free(bytes: &'s [u8]) -> Self {
        Pinned { bytes, pin: Pin(None) }
    }

    /// Bytes of a frame on which the caller has raised one pin, which is now this value's.
    pub(crate) fn held(bytes: &'s [u8], tenancy: &'s Tenancy) -> Self {
        Pinned { bytes, pin: Pin(Some(tenancy)) }
    }

    /// A part of the bytes.
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        Pinned { bytes: &self.bytes[range], pin: self.pin }
    }

    /// The bytes for as long as the snapshot lives, where no pin limits them.
    #[inline]
    pub(crate) fn unlimited(&self) -> Option<&'s [u8]> {
        match self.pin.0 {
            None => Some(self.bytes),
            Some(_) => None,
        }
    }
}

impl Deref for Pinned<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for Pinned<'_> {
    /// The length alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({} bytes)", self.bytes.len())
    }
}
