//! Values too long for a leaf: runs of whole pages that hold the value and nothing else.
//!
//! ```text
//! descriptor, in the leaf:  len u32 | check u32 | birth u64 | parts: (page u48, pages u32) ...
//! stream, over the parts:   value | one CRC-32 per 64 KiB of value (if there is more than one)
//! ```
//!
//! `check` is the CRC of the value, or of the CRC table where there is one; it is seeded with the
//! file and the first page, so that bytes of another place or file never pass. Extents are written
//! to the file when the write is applied, into pages that no live root reaches, and are synced by
//! the checkpoint; until then the log holds the value.

use crate::pager::Pager;
use crate::{Error, PageId, Result, ValueRef, Version};
use std::io::IoSlice;

/// The longest value: 2 GiB - 1.
pub(crate) const VALUE_MAX: usize = i32::MAX as usize;
const CHUNK: usize = 64 << 10;
const FIXED: usize = 16;
const PART: usize = 10;
/// A value lies in at most so many runs.
pub(crate) const PARTS_MAX: usize = 8;

/// Where a value lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Extents {
    pub(crate) len: u32,
    pub(crate) check: u32,
    pub(crate) birth: Version,
    pub(crate) parts: Vec<(PageId, u64)>,
}

/// Pages for a value of `len` bytes and its checksums.
pub(crate) fn pages_for(len: usize, page_size: usize) -> u64 {
    (len + table_len(len)).div_ceil(page_size) as u64
}

fn table_len(len: usize) -> usize {
    if len > CHUNK { len.div_ceil(CHUNK) * 4 } else { 0 }
}

impl Extents {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(FIXED + PART * self.parts.len());
        body.extend_from_slice(&self.len.to_le_bytes());
        body.extend_from_slice(&self.check.to_le_bytes());
        body.extend_from_slice(&self.birth.0.to_le_bytes());
        for (page, pages) in &self.parts {
            body.extend_from_slice(&page.0.to_le_bytes()[..6]);
            body.extend_from_slice(&(*pages as u32).to_le_bytes());
        }
        body
    }

    /// Reads a descriptor found in the leaf `at`.
    pub(crate) fn decode(body: &[u8], at: PageId, page_size: usize) -> Result<Self> {
        let bad = || Error::corrupt(at, "a value's extents do not fit its length");
        let parts = body.len().checked_sub(FIXED).filter(|len| len.is_multiple_of(PART));
        if parts.is_none_or(|len| len == 0 || len > PART * PARTS_MAX) {
            return Err(bad());
        }
        let u32_at = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().expect("four"));
        let mut parts = Vec::with_capacity((body.len() - FIXED) / PART);
        for part in body[FIXED..].chunks_exact(PART) {
            let mut id = [0; 8];
            id[..6].copy_from_slice(&part[..6]);
            let pages = u32::from_le_bytes(part[6..].try_into().expect("four"));
            parts.push((PageId(u64::from_le_bytes(id)), u64::from(pages)));
        }
        let birth = Version(u64::from_le_bytes(body[8..16].try_into().expect("eight")));
        let extents = Extents { len: u32_at(0), check: u32_at(4), birth, parts };
        let pages: u64 = extents.parts.iter().map(|part| part.1).sum();
        if extents.len as usize > VALUE_MAX || pages != pages_for(extents.len as usize, page_size) {
            return Err(bad());
        }
        Ok(extents)
    }

    fn first(&self) -> PageId {
        self.parts[0].0
    }
}

/// Writes a value into `parts`, which belong to nobody yet, and describes it.
pub(crate) fn write(
    pager: &Pager,
    parts: &[(PageId, u64)],
    birth: Version,
    value: &[u8],
) -> Result<Extents> {
    let end = parts.iter().map(|(page, pages)| page.0 + pages).max();
    pager.grow(end.expect("a value has at least one part"))?;
    let first = parts[0].0;
    let mut table = Vec::with_capacity(table_len(value.len()));
    if value.len() > CHUNK {
        for chunk in value.chunks(CHUNK) {
            table.extend_from_slice(&check(pager, first, chunk).to_le_bytes());
        }
    }
    let check = check(pager, first, if table.is_empty() { value } else { &table });
    let (mut value_left, mut table_left) = (value, &table[..]);
    for &(page, pages) in parts {
        let bytes = pages as usize * pager.page_size;
        let from_value = value_left.len().min(bytes);
        let from_table = table_left.len().min(bytes - from_value);
        let (value_now, table_now);
        (value_now, value_left) = value_left.split_at(from_value);
        (table_now, table_left) = table_left.split_at(from_table);
        let slices = [IoSlice::new(value_now), IoSlice::new(table_now)];
        pager.file.write_all_at(&slices, page.0 * pager.page_size as u64)?;
        pager.table.clear_verified(page);
    }
    Ok(Extents { len: value.len() as u32, check, birth, parts: parts.to_vec() })
}

/// Reads a value; the first read since it was written checks it.
///
/// # Safety
/// A root that reaches the value is pinned while the value is used.
pub(crate) unsafe fn read<'p>(pager: &'p Pager, extents: &Extents) -> Result<ValueRef<'p>> {
    let len = extents.len as usize;
    let table = len..len + table_len(len);
    // One part is read where it lies; the checks below see value and table as one stream.
    let stream = if let [(page, pages)] = extents.parts[..] {
        // SAFETY: pinned by the caller.
        ValueRef::Borrowed(unsafe { pager.file_bytes(page, pages)? })
    } else {
        // As much as the parts in the file hold, whatever the descriptor says of its length.
        let mut bytes = Vec::new();
        for &(page, pages) in &extents.parts {
            // SAFETY: pinned by the caller.
            bytes.extend_from_slice(unsafe { pager.file_bytes(page, pages)? });
        }
        ValueRef::Owned(bytes)
    };
    let first = extents.first();
    if !pager.table.is_verified(first) {
        let checked = if table.is_empty() { &stream[..len] } else { &stream[table.clone()] };
        let found = check(pager, first, checked);
        if found != extents.check {
            return Err(Error::ChecksumMismatch { page: first, expected: extents.check, found });
        }
        for (chunk, sum) in stream[..len].chunks(CHUNK).zip(stream[table].chunks_exact(4)) {
            let expected = u32::from_le_bytes(sum.try_into().expect("four bytes"));
            let found = check(pager, first, chunk);
            if found != expected {
                return Err(Error::ChecksumMismatch { page: first, expected, found });
            }
        }
        pager.table.set_verified(first);
    }
    Ok(match stream {
        ValueRef::Borrowed(bytes) => ValueRef::Borrowed(&bytes[..len]),
        ValueRef::Owned(mut bytes) => {
            bytes.truncate(len);
            ValueRef::Owned(bytes)
        }
    })
}

fn check(pager: &Pager, first: PageId, bytes: &[u8]) -> u32 {
    pager.seed.extent(first, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreOptions, create, open};
    use llmdb_vfs::{MemVfs, Vfs};
    use std::path::Path;
    use std::sync::Arc;

    fn extents() -> Extents {
        let parts = vec![(PageId(0x0102), 3), (PageId(9), 2)];
        Extents { len: 18_000, check: 0x0403_0201, birth: Version(7), parts }
    }

    #[test]
    fn a_descriptors_bytes_are_where_the_format_says() {
        let golden = [
            0x50, 0x46, 0, 0, 1, 2, 3, 4, 7, 0, 0, 0, 0, 0, 0, 0, // len, check, birth
            2, 1, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 2, 0, 0, 0, // two parts
        ];
        assert_eq!(extents().encode(), golden);
        assert_eq!(Extents::decode(&golden, PageId(1), 4096).unwrap(), extents());
    }

    #[test]
    fn descriptors_that_do_not_add_up_are_refused() {
        let body = extents().encode();
        for cut in 0..body.len() {
            assert!(Extents::decode(&body[..cut], PageId(1), 4096).is_err(), "{cut}");
        }
        let mut longer = body.clone();
        longer[1] = 0xff;
        assert!(Extents::decode(&longer, PageId(1), 4096).is_err());
        let parts = vec![(PageId(5), 1); PARTS_MAX + 1];
        let scattered = Extents { len: 4096 * parts.len() as u32, parts, ..extents() };
        assert!(Extents::decode(&scattered.encode(), PageId(1), 4096).is_err());
    }

    /// Pages that held a value found good are used for another: its bytes are checked again.
    #[test]
    fn a_value_in_used_pages_is_checked_again() {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
        let path = Path::new("/t.llmdb");
        create(&vfs, path, &StoreOptions::default()).unwrap();
        let pager = open(&vfs, path, &StoreOptions::default()).unwrap().pager;
        let parts = [(PageId(40), 20)];
        let read = |extents: &Extents| {
            // SAFETY: nothing else uses these pages, and they are written between reads alone.
            unsafe { super::read(&pager, extents).map(|value| value.to_vec()) }
        };
        let first = write(&pager, &parts, Version(1), &[1; 80_000]).unwrap();
        assert_eq!(read(&first).unwrap(), [1; 80_000]);
        let second = write(&pager, &parts, Version(2), &[2; 80_000]).unwrap();
        pager.file.write_all_at(&[IoSlice::new(&[7])], 50 * 4096).unwrap();
        assert!(matches!(read(&second), Err(Error::ChecksumMismatch { .. })));
        assert!(read(&first).is_err(), "a value written over is another's bytes");
    }
}
