//! Values too long for a leaf: runs of whole pages that hold the value and nothing else.
//!
//! ```text
//! descriptor, in the leaf:  len u32 | check u32 | birth u64 | head_len u8 | flags u8
//!                           | head | parts: (page u48, pages u32) ...
//! stream, over the parts:   tail | one CRC-32 per 64 KiB of it (if there is more than one)
//! ```
//!
//! A value is its *head*, a few bytes that stay in the leaf, and its *tail* of `len` bytes. So a
//! layer above can put a header before a value that was written before that header was known.
//!
//! `check` is the CRC of the tail, or of the CRC table where there is one; it is seeded with the
//! file and the first page, so that bytes of another place or file never pass. An extent is
//! written to the file before the write that names it is applied, into pages that no live root
//! reaches. Either the log holds the bytes as well, and then the next checkpoint syncs the extent;
//! or the log names the extent (`logged`, see `long`), and then it is synced before the log is.

use crate::pager::Pager;
use crate::space::Run;
use crate::{Error, PageId, PageSource, Result, ValueRef, Version};
use llmdb_vfs::planted;
use std::io::IoSlice;

/// The longest tail: 2 GiB - 1 of a user's bytes, and what a layer above puts around them.
pub(crate) const VALUE_MAX: usize = i32::MAX as usize + 64;
/// Bytes of a tail that one CRC covers.
pub(crate) const CHUNK: usize = 64 << 10;
/// The longest head.
pub(crate) const HEAD_MAX: usize = 64;
/// A value lies in at most so many runs. With the longest head and key the descriptor still fits
/// a leaf of the smallest page.
pub(crate) const PARTS_MAX: usize = 64;

const FIXED: usize = 18;
const PART: usize = 10;
const LOGGED: u8 = 1;

const _: () = assert!(FIXED + HEAD_MAX + PART * PARTS_MAX <= 4096 / 16 * 7 - (4096 / 4 - 24));

/// Where the tail of a value lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Extents {
    pub(crate) len: u32,
    pub(crate) check: u32,
    pub(crate) birth: Version,
    /// The log names the pages instead of repeating their bytes.
    pub(crate) logged: bool,
    pub(crate) parts: Vec<Run>,
}

/// Pages for a tail of `len` bytes and its checksums.
pub(crate) fn pages_for(len: usize, page_size: usize) -> u64 {
    (len + table_len(len)).div_ceil(page_size) as u64
}

/// Bytes of the CRC table.
pub(crate) fn table_len(len: usize) -> usize {
    if len > CHUNK { len.div_ceil(CHUNK) * 4 } else { 0 }
}

impl Extents {
    pub(crate) fn encode(&self, head: &[u8]) -> Vec<u8> {
        assert!(head.len() <= HEAD_MAX, "the head of a value is short");
        let mut body = Vec::with_capacity(FIXED + head.len() + PART * self.parts.len());
        body.extend_from_slice(&self.len.to_le_bytes());
        body.extend_from_slice(&self.check.to_le_bytes());
        body.extend_from_slice(&self.birth.0.to_le_bytes());
        body.extend_from_slice(&[head.len() as u8, if self.logged { LOGGED } else { 0 }]);
        body.extend_from_slice(head);
        for (page, pages) in &self.parts {
            body.extend_from_slice(&page.0.to_le_bytes()[..6]);
            body.extend_from_slice(&(*pages as u32).to_le_bytes());
        }
        body
    }

    /// Reads a descriptor found in the leaf `at`, and the head in it.
    pub(crate) fn decode(body: &[u8], at: PageId, page_size: usize) -> Result<(Self, &[u8])> {
        let bad = || Error::corrupt(at, "a value's extents do not fit its length");
        let Some((fixed, rest)) = body.split_at_checked(FIXED) else { return Err(bad()) };
        let (head_len, flags) = (fixed[16] as usize, fixed[17]);
        let Some((head, list)) = rest.split_at_checked(head_len) else { return Err(bad()) };
        let fits = |len: usize| len > 0 && len.is_multiple_of(PART) && len <= PART * PARTS_MAX;
        if !fits(list.len()) || head_len > HEAD_MAX || flags & !LOGGED != 0 {
            return Err(bad());
        }
        let u32_at = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("four"));
        let mut parts = Vec::with_capacity(list.len() / PART);
        for part in list.chunks_exact(PART) {
            let mut id = [0; 8];
            id[..6].copy_from_slice(&part[..6]);
            let pages = u32::from_le_bytes(part[6..].try_into().expect("four"));
            parts.push((PageId(u64::from_le_bytes(id)), u64::from(pages)));
        }
        let birth = Version(u64::from_le_bytes(fixed[8..16].try_into().expect("eight")));
        let logged = flags & LOGGED != 0;
        let extents = Extents { len: u32_at(0), check: u32_at(4), birth, logged, parts };
        let pages: u64 = extents.parts.iter().map(|part| part.1).sum();
        let empty = extents.parts.iter().any(|part| part.1 == 0);
        let wanted = pages_for(extents.len as usize, page_size);
        if extents.len as usize > VALUE_MAX || pages != wanted || empty {
            return Err(bad());
        }
        Ok((extents, head))
    }

    pub(crate) fn first(&self) -> PageId {
        self.parts[0].0
    }

    /// One past the last page.
    pub(crate) fn end(&self) -> u64 {
        let ends = self.parts.iter().map(|(page, pages)| page.0.saturating_add(*pages));
        ends.max().expect("a value has at least one part")
    }
}

/// Writes a value into `parts`, which belong to nobody yet, and describes it.
pub(crate) fn write(pager: &Pager, parts: &[Run], birth: Version, value: &[u8]) -> Result<Extents> {
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
        // To the end of the last page, so that nothing of what it held before is left.
        let rest = vec![0; bytes - from_value - from_table];
        let slices = [IoSlice::new(value_now), IoSlice::new(table_now), IoSlice::new(&rest)];
        pager.file.write_all_at(&slices, page.0 * pager.page_size as u64)?;
        pager.forget(page);
    }
    Ok(Extents { len: value.len() as u32, check, birth, logged: false, parts: parts.to_vec() })
}

/// Reads a tail; the first read since it was written checks it.
///
/// # Safety
/// A root that reaches the value is pinned while the value is used.
pub(crate) unsafe fn read<'p>(pager: &'p Pager, extents: &Extents) -> Result<ValueRef<'p>> {
    let len = extents.len as usize;
    let table = len..len + table_len(len);
    // One part is read where it lies; the checks below see value and table as one stream.
    let in_place = match extents.parts[..] {
        // SAFETY: pinned by the caller.
        [(page, pages)] => unsafe { pager.bytes_in_map(page, pages)? },
        _ => None,
    };
    let stream = match in_place {
        Some(bytes) => ValueRef::Borrowed(bytes),
        None => {
            // As much as the parts in the file hold, whatever the descriptor says of its length.
            let mut bytes = Vec::new();
            for &(page, pages) in &extents.parts {
                // SAFETY: pinned by the caller.
                unsafe { pager.append_bytes(page, pages, &mut bytes)? };
            }
            ValueRef::Owned(bytes)
        }
    };
    let first = extents.first();
    // What is read anew each time is judged each time.
    if pager.page_source() == PageSource::Buffered || !pager.table.is_verified(first) {
        let checked = if table.is_empty() { &stream[..len] } else { &stream[table.clone()] };
        let found = check(pager, first, checked);
        if found != extents.check && !planted!("value_checksum_ignored") {
            return Err(Error::ChecksumMismatch { page: first, expected: extents.check, found });
        }
        for (chunk, sum) in stream[..len].chunks(CHUNK).zip(stream[table].chunks_exact(4)) {
            let expected = u32::from_le_bytes(sum.try_into().expect("four bytes"));
            let found = check(pager, first, chunk);
            if found != expected && !planted!("value_checksum_ignored") {
                return Err(Error::ChecksumMismatch { page: first, expected, found });
            }
        }
        pager.table.set_verified(first);
    }
    Ok(match stream {
        ValueRef::Borrowed(bytes) => ValueRef::Borrowed(&bytes[..len]),
        ValueRef::Pinned(_) => unreachable!("long values do not go through the page cache"),
        ValueRef::Owned(mut bytes) => {
            bytes.truncate(len);
            ValueRef::Owned(bytes)
        }
    })
}

/// The CRC of bytes of the value whose first page is `first`.
pub(crate) fn check(pager: &Pager, first: PageId, bytes: &[u8]) -> u32 {
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
        Extents { len: 18_000, check: 0x0403_0201, birth: Version(7), logged: true, parts }
    }

    #[test]
    fn a_descriptors_bytes_are_where_the_format_says() {
        let golden = [
            0x50, 0x46, 0, 0, 1, 2, 3, 4, 7, 0, 0, 0, 0, 0, 0, 0, // len, check, birth
            3, 1, b'a', b'b', b'c', // head_len, flags, head
            2, 1, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 2, 0, 0, 0, // two parts
        ];
        assert_eq!(extents().encode(b"abc"), golden);
        let read = Extents::decode(&golden, PageId(1), 4096).unwrap();
        assert_eq!(read, (extents(), &b"abc"[..]));
    }

    #[test]
    fn descriptors_that_do_not_add_up_are_refused() {
        let refused = |body: &[u8]| Extents::decode(body, PageId(1), 4096).is_err();
        let body = extents().encode(b"abc");
        for cut in 0..body.len() {
            assert!(refused(&body[..cut]), "{cut}");
        }
        for (at, byte) in [(1, 0xff), (16, 4), (16, 0xff), (17, 2)] {
            let mut mangled = body.clone();
            mangled[at] = byte;
            assert!(refused(&mangled), "byte {at}");
        }
        let parts = vec![(PageId(5), 1); PARTS_MAX + 1];
        let scattered = Extents { len: 4096 * parts.len() as u32, parts, ..extents() };
        assert!(refused(&scattered.encode(b"")));
        let parts = vec![(PageId(5), 5), (PageId(50), 0)];
        assert!(refused(&Extents { parts, ..extents() }.encode(b"")), "a part without pages");
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
