//! Writing pages to the file: in page order, neighbours together, checksums filled in on the way.
//! Leaves of trees that want it are compressed, each if that saves a block of the file system; what
//! is left of its place becomes a hole.

use crate::packed_page::{self, BLOCK};
use crate::page::{self, Kind};
use crate::pager::Pager;
use crate::{PageRef, Result, TreeId};
use std::io::IoSlice;

/// The most in one write, and the least however small the budget: 256 pages and 4 of 4 KiB.
const WRITE_BYTES_MAX: u64 = 1 << 20;
const WRITE_BYTES_MIN: u64 = 16 << 10;

/// Writes pages, which ascend, to their places. A reader of a frame never sees a checksum: it is
/// filled in in the copy that is written.
pub(crate) fn write_pages(pager: &Pager, pages: &[(PageRef, &[u8])]) -> Result<()> {
    let write_bytes = (pager.budget.limit() / 32).clamp(WRITE_BYTES_MIN, WRITE_BYTES_MAX) as usize;
    let compression = pager.page_compression();
    let pack = |bytes: &[u8]| {
        let is_leaf = page::kind(bytes) == Kind::Leaf as u8;
        let how = compression.get(&TreeId(page::tree(bytes))).filter(|_| is_leaf)?;
        packed_page::pack(bytes, *how)
    };
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < pages.len() {
        let first = pages[at].0.id;
        let offset = first.0 * pager.page_size as u64;
        buffer.clear();
        let mut hole = 0;
        while at < pages.len()
            && buffer.len() < write_bytes
            && hole == 0
            && pages[at].0.id.0 == first.0 + (buffer.len() / pager.page_size) as u64
        {
            let (page_ref, bytes) = pages[at];
            assert_eq!(page::own_ref(bytes), page_ref, "a page is written where it belongs");
            let start = buffer.len();
            match pack(bytes) {
                Some(stored) => {
                    buffer.extend_from_slice(&stored);
                    buffer.resize(start + stored.len().next_multiple_of(BLOCK), 0);
                    // The next page goes behind the hole.
                    hole = pager.page_size - (buffer.len() - start);
                }
                None => buffer.extend_from_slice(bytes),
            }
            let sum = pager.seed.checksum(&buffer[start..], page_ref);
            page::set_checksum(&mut buffer[start..], sum);
            at += 1;
        }
        pager.file.write_all_at(&[IoSlice::new(&buffer)], offset)?;
        if hole > 0 {
            // Nobody reads there, but what was there may have been erased.
            pager.file.punch(offset + buffer.len() as u64, hole as u64)?;
        }
    }
    Ok(())
}
