//! Maps of files, and the memory that in-memory files live in. The only unsafe code of the crate.

#![expect(unsafe_code, reason = "copies in and out of mapped memory")]

use std::fmt;
use std::sync::Arc;

#[cfg(unix)]
use memmap2::Advice;
use memmap2::{MmapMut, MmapOptions, MmapRaw};

#[cfg(unix)]
use crate::{Error, Result};

/// A read-only map of a file that may grow under it.
///
/// A map hands out an address, never a slice. References are formed by the storage layer, page by
/// page and under a pin, because only it can keep the three promises that make one sound:
///
/// * the page lies below the current end of the file (beyond it the operating system answers a
///   touch with SIGBUS),
/// * nobody writes to the page, by [`File::write_all_at`](crate::File::write_all_at) or otherwise,
///   while the reference lives,
/// * nobody cuts the file below it.
#[derive(Clone)]
pub struct Map {
    memory: Arc<MmapRaw>,
    reserved: usize,
}

impl Map {
    /// Maps an open file of the operating system.
    #[cfg(unix)]
    pub(crate) fn of_file(
        file: &std::fs::File,
        path: &std::path::Path,
        reserve: u64,
    ) -> Result<Map> {
        let reserved = usize::try_from(reserve)
            .ok()
            .filter(|&len| len > 0 && isize::try_from(len).is_ok())
            .ok_or_else(|| Error::out_of_range("map", path))?;
        let memory = MmapOptions::new()
            .len(reserved)
            .no_reserve_swap()
            .map_raw_read_only(file)
            .map_err(|e| Error::from_io("map", path, e))?;
        // A hint: the default read-ahead makes one cold fault read far more than one page.
        let _ = memory.advise(Advice::Random);
        Ok(Map { memory: Arc::new(memory), reserved })
    }

    /// The first byte of the file. Good for reading as long as this map or a clone of it lives.
    pub fn as_ptr(&self) -> *const u8 {
        self.memory.as_ptr()
    }

    /// The bytes of address space behind [`as_ptr`](Map::as_ptr). For a file in memory this may be
    /// less than was asked for; such a file cannot grow beyond it.
    pub fn reserved(&self) -> u64 {
        self.reserved as u64
    }

    /// Asks the operating system to read these bytes soon. A hint: out-of-range parts are cut off
    /// and failures ignored.
    pub fn will_need(&self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.reserved());
        if offset < end {
            // Both fit: they are at most `reserved`, which is a usize.
            #[cfg(unix)]
            let _ = self.memory.advise_range(
                Advice::WillNeed,
                offset as usize,
                (end - offset) as usize,
            );
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("reserved", &self.reserved).finish_non_exhaustive()
    }
}

/// The bytes of an in-memory file: the first `len` bytes of an anonymous region whose address
/// never changes, so that [`Map`]s of it stay coherent while it grows.
///
/// Invariant: every byte from `len` on is zero, and so is every byte from `touched` on, which was
/// never written.
pub(crate) struct Bytes {
    memory: Arc<MmapRaw>,
    len: usize,
    touched: usize,
}

/// Zeros are looked for in units of this.
const CHUNK: usize = 4096;

impl Bytes {
    /// No bytes yet, room for `reserve`. Memory is used only for what is touched.
    pub(crate) fn reserve(reserve: usize) -> std::io::Result<Bytes> {
        let memory: MmapMut = MmapOptions::new().len(reserve).no_reserve_swap().map_anon()?;
        Ok(Bytes { memory: Arc::new(MmapRaw::from(memory)), len: 0, touched: 0 })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// A map of the region.
    pub(crate) fn map(&self, reserve: u64) -> Map {
        let reserved = usize::try_from(reserve).map_or(self.capacity(), |r| r.min(self.capacity()));
        Map { memory: Arc::clone(&self.memory), reserved }
    }

    /// Copies from `offset` on into `buf`; returns how much there was.
    pub(crate) fn read(&self, buf: &mut [u8], offset: usize) -> usize {
        let n = buf.len().min(self.len.saturating_sub(offset));
        if n > 0 {
            // SAFETY: offset + n <= len <= capacity, so the source lies in the region; `buf` is
            // ours alone and cannot overlap memory that nobody has a `&mut` to. Nobody writes the
            // region meanwhile: only `write` and `set_len` do, which take `&mut self`, and maps
            // are read-only.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    self.memory.as_ptr().add(offset),
                    buf.as_mut_ptr(),
                    n,
                );
            }
        }
        n
    }

    /// Copies `data` to `offset`; the length grows as needed.
    ///
    /// # Panics
    /// If that reaches beyond the region: callers check first.
    pub(crate) fn write(&mut self, data: &[u8], offset: usize) {
        let end = offset.checked_add(data.len()).expect("the caller checked the end");
        assert!(end <= self.capacity(), "a write beyond the region");
        if !data.is_empty() {
            self.len = self.len.max(end);
        }
        let mut at = offset;
        for chunk in data.chunks(CHUNK) {
            // Zeros are there already; writing them would only take memory.
            if at < self.touched || *chunk != [0; CHUNK][..chunk.len()] {
                self.copy_in(chunk, at);
                self.touched = self.touched.max(at + chunk.len());
            }
            at += chunk.len();
        }
    }

    fn copy_in(&mut self, data: &[u8], offset: usize) {
        assert!(offset + data.len() <= self.capacity(), "a write beyond the region");
        // SAFETY: offset + data.len() <= capacity, so the destination lies in the region. `&mut
        // self` keeps every other `Bytes` access out. References formed through a `Map` to these
        // bytes do not exist while they are written: that is the contract of `Map`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                data.as_ptr(),
                self.memory.as_mut_ptr().add(offset),
                data.len(),
            );
        }
    }

    /// Cuts the bytes, or extends them by zeros.
    ///
    /// # Panics
    /// If `len` is beyond the region: callers check first.
    pub(crate) fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "a length beyond the region");
        let dirty_end = self.len.min(self.touched);
        if len < dirty_end {
            // SAFETY: len..dirty_end lies in the region; exclusive as in `copy_in`. This restores the
            // invariant that bytes from `len` on are zero.
            unsafe {
                std::ptr::write_bytes(self.memory.as_mut_ptr().add(len), 0, dirty_end - len);
            }
        }
        self.len = len;
    }

    /// A copy in a region of its own.
    pub(crate) fn duplicate(&self) -> std::io::Result<Bytes> {
        let mut copy = Bytes::reserve(self.capacity())?;
        let mut chunk = [0; CHUNK];
        let mut offset = 0;
        while offset < self.len.min(self.touched) {
            let n = self.read(&mut chunk, offset);
            copy.write(&chunk[..n], offset);
            offset += n;
        }
        copy.len = self.len;
        Ok(copy)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_beyond_the_length_are_zero_again_after_a_cut() {
        let mut bytes = Bytes::reserve(1 << 16).unwrap();
        bytes.write(&[7; 100], 0);
        bytes.set_len(10);
        bytes.set_len(50);
        let mut buf = [1; 60];
        assert_eq!(bytes.read(&mut buf, 0), 50);
        assert_eq!(buf[..10], [7; 10]);
        assert_eq!(buf[10..50], [0; 40]);
    }

    #[test]
    fn a_duplicate_has_the_same_bytes_in_other_memory() {
        let mut bytes = Bytes::reserve(1 << 20).unwrap();
        bytes.write(b"far", 70_000);
        bytes.write(b"near", 1);
        let copy = bytes.duplicate().unwrap();
        bytes.write(b"NEAR", 1);
        let mut buf = vec![0; 80_000];
        assert_eq!(copy.read(&mut buf, 0), 70_003);
        assert_eq!(&buf[1..5], b"near");
        assert_eq!(&buf[70_000..70_003], b"far");
    }
}
