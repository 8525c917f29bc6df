//! The bitmaps in the file: one page a region, found through directory pages.
//!
//! ```text
//! bitmap page:     header (kind 3) | bits of one region, bit i of byte i/8
//! directory page:  header (kind 4, level = height, count) | references: page u64, stamp u32 ...
//! ```
//!
//! Directories of height 1 refer to bitmap pages, higher ones to directories; the meta page refers
//! to the one at the top. A set bit says that the meta's version reaches the page, or that it is a
//! meta slot or one of these pages. A checkpoint writes the bitmap pages of the regions that
//! changed, at new places like any other page, and all directories.

use crate::page::{self, HEADER, Kind};
use crate::pager::Pager;
use crate::space::Bitmap;
use crate::{Error, PageId, PageRef, Result, Version};

const REFERENCE: usize = 12;
/// Directory levels are bounded: at 4 KiB pages three cover more than any file.
const DEPTH_MAX: u32 = 6;

/// The bitmap and directory pages of one meta.
#[derive(Clone, Debug)]
pub(crate) struct SpacePages {
    /// One a region, with the version it was written in.
    pub(crate) bitmaps: Vec<(PageRef, Version)>,
    pub(crate) directories: Vec<(PageRef, Version)>,
    /// The bits that they hold.
    pub(crate) frozen: Bitmap,
}

/// Pages whose bits one bitmap page holds.
pub(crate) fn region_pages(page_size: usize) -> u64 {
    ((page_size - HEADER) / 8 * 64) as u64
}

fn fan_out(page_size: usize) -> usize {
    (page_size - HEADER) / REFERENCE
}

/// How many directories each level takes for so many bitmap pages, lowest first.
pub(crate) fn directory_counts(bitmaps: usize, page_size: usize) -> Vec<usize> {
    let mut counts = vec![bitmaps.div_ceil(fan_out(page_size)).max(1)];
    while *counts.last().expect("never empty") > 1 {
        counts.push(counts.last().expect("never empty").div_ceil(fan_out(page_size)));
    }
    counts
}

/// Writes the header and bits of a bitmap page.
pub(crate) fn encode_bitmap(page: &mut [u8], bits: &[u8]) {
    page::set_kind(page, Kind::Bitmap as u8);
    page[HEADER..HEADER + bits.len()].copy_from_slice(bits);
}

/// Writes the header and references of a directory page.
pub(crate) fn encode_directory(page: &mut [u8], height: u8, references: &[PageRef]) {
    page::set_kind(page, Kind::Directory as u8);
    page::set_level(page, height);
    page::set_count(page, references.len() as u16);
    for (reference, to) in references.iter().zip(page[HEADER..].chunks_exact_mut(REFERENCE)) {
        to[..8].copy_from_slice(&reference.id.0.to_le_bytes());
        to[8..].copy_from_slice(&reference.stamp.to_le_bytes());
    }
}

/// Splits the references of one level over the pages of the next.
pub(crate) fn groups(references: &[PageRef], page_size: usize) -> Vec<&[PageRef]> {
    match references.is_empty() {
        true => vec![&[]],
        false => references.chunks(fan_out(page_size)).collect(),
    }
}

/// Reads the bitmaps that a meta page refers to. The bytes are untrusted.
pub(crate) fn read(pager: &Pager, top: PageRef, depth: u32) -> Result<SpacePages> {
    let size = pager.page_size;
    if depth == 0 || depth > DEPTH_MAX {
        return Err(Error::corrupt(top.id, "the bitmaps' directory has an impossible height"));
    }
    let mut directories = Vec::new();
    let mut level = vec![top];
    for height in (1..=depth).rev() {
        let mut below = Vec::new();
        for &reference in &level {
            let (page, born) = read_page(pager, reference, Kind::Directory)?;
            let count = page::count(&page) as usize;
            if page::level(&page) != height as u8 || count > fan_out(size) {
                return Err(Error::corrupt(reference.id, "a directory does not fit its place"));
            }
            directories.push((reference, born));
            below.extend(page[HEADER..].chunks_exact(REFERENCE).take(count).map(|bytes| {
                let id = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
                let stamp = u32::from_le_bytes(bytes[8..].try_into().expect("four bytes"));
                PageRef { id: PageId(id), stamp }
            }));
        }
        // Every page of the file has one bit: more bitmaps than that would be made up.
        if below.len() as u64 > pager.file_pages() {
            return Err(Error::corrupt(top.id, "its directories hold more than the file can"));
        }
        level = below;
    }
    let mut frozen = Bitmap::new(region_pages(size));
    let mut bitmaps = Vec::new();
    for (region, &reference) in level.iter().enumerate() {
        let (page, born) = read_page(pager, reference, Kind::Bitmap)?;
        let bits = &page[HEADER..HEADER + region_pages(size) as usize / 8];
        frozen
            .load_region(region as u64, bits)
            .map_err(|_| Error::corrupt(reference.id, "a bitmap has the wrong size"))?;
        bitmaps.push((reference, born));
    }
    Ok(SpacePages { bitmaps, directories, frozen })
}

fn read_page(pager: &Pager, reference: PageRef, kind: Kind) -> Result<(Vec<u8>, Version)> {
    if reference.id.0 >= pager.file_pages() {
        return Err(Error::corrupt(reference.id, "a reference leads beyond the end of the file"));
    }
    let mut page = vec![0; pager.page_size];
    pager.file.read_exact_at(&mut page, reference.id.0 * pager.page_size as u64)?;
    pager.seed.verify(&page, reference)?;
    if page::kind(&page) != kind as u8 {
        return Err(Error::corrupt(reference.id, "it is no page of the free-space bitmaps"));
    }
    let born = page::born(&page);
    Ok((page, born))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directorys_bytes_are_where_the_format_says() {
        let mut page = vec![0; 4096];
        let reference = PageRef { id: PageId(0x0102), stamp: 0x0304_0506 };
        encode_directory(&mut page, 2, &[PageRef::NONE, reference]);
        assert_eq!(page[4..8], [4, 2, 2, 0]);
        assert_eq!(page[HEADER + 12..HEADER + 24], [2, 1, 0, 0, 0, 0, 0, 0, 6, 5, 4, 3]);
    }

    #[test]
    fn directories_cover_every_bitmap() {
        assert_eq!(region_pages(4096), 32_448);
        assert_eq!(directory_counts(1, 4096), [1]);
        assert_eq!(directory_counts(338, 4096), [1]);
        assert_eq!(directory_counts(339, 4096), [2, 1]);
        assert_eq!(directory_counts(338 * 338 + 1, 4096), [339, 2, 1]);
    }
}
