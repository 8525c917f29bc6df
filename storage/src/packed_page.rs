//! A leaf as it is stored compressed: its bytes without the gap in the middle, behind the header.

use crate::compress::Compression;
use crate::node::Node;
use crate::page::{self, HEADER, PACKED_HEADER};
use crate::{Error, PageId, Result};

/// What a file system gives back: a page is stored compressed if that saves one of these.
pub(crate) const BLOCK: usize = 4096;

/// The bytes of a leaf as they are stored, its checksum missing, if that saves a block at least.
pub(crate) fn pack(leaf: &[u8], how: Compression) -> Option<Vec<u8>> {
    if leaf.len() <= BLOCK {
        return None;
    }
    let (front, back) = Node::new(leaf).occupied();
    let packed = how.pack(&[&leaf[front], &leaf[back]].concat())?;
    let len = PACKED_HEADER + packed.len();
    if len.div_ceil(BLOCK) * BLOCK + BLOCK > leaf.len() {
        return None;
    }
    let mut stored = Vec::with_capacity(len);
    stored.extend_from_slice(&leaf[..HEADER]);
    stored.extend_from_slice(&[0; PACKED_HEADER - HEADER]);
    stored.extend_from_slice(&packed);
    page::set_kind(&mut stored, page::kind(leaf) | how.code() << 4);
    page::set_stored_len(&mut stored, packed.len() as u16);
    Some(stored)
}

/// Makes the leaf of what is stored, which passed its checksum and is as long as a page.
pub(crate) fn unpack(stored: &[u8], leaf: &mut [u8], id: PageId) -> Result<()> {
    let how = page::packed_by(stored).and_then(Compression::of_code);
    let how = how.ok_or_else(|| Error::corrupt(id, "it is compressed by an unknown algorithm"))?;
    if PACKED_HEADER + page::stored_len(stored) as usize > stored.len() {
        return Err(Error::corrupt(id, "what is stored of it is longer than its page"));
    }
    leaf[..HEADER].copy_from_slice(&stored[..HEADER]);
    page::set_kind(leaf, page::kind(stored) & 0x0f);
    let (front, back) = Node::new(leaf).occupied();
    if front.end > back.start || back.end != leaf.len() {
        return Err(Error::corrupt(id, "its entries do not fit in it"));
    }
    let mut raw = vec![0; front.len() + back.len()];
    how.unpack_into(&stored[PACKED_HEADER..page::stored_end(stored)], &mut raw, id)?;
    leaf[front.end..back.start].fill(0);
    leaf[back.clone()].copy_from_slice(&raw[front.len()..]);
    leaf[front.clone()].copy_from_slice(&raw[..front.len()]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TreeId;
    use crate::node::{Form, NodeMut};

    const SIZE: usize = 8192;

    fn leaf() -> Vec<u8> {
        let mut page = vec![0; SIZE];
        page::set_kind(&mut page, 1);
        page::set_id(&mut page, 0x0506);
        let mut node = NodeMut::new(&mut page);
        node.init(0, TreeId(3), b"k");
        for i in 0..100u16 {
            let key = [&b"k"[..], &i.to_be_bytes()].concat();
            node.push(&key, &[i as u8 % 5; 60], Form::INLINE);
        }
        page
    }

    #[test]
    fn a_compressed_leafs_bytes_are_where_the_format_says() {
        let leaf = leaf();
        let cells_len = page::cells_len(&leaf) as usize;
        for (how, kind) in [(Compression::Lz4, 0x11), (Compression::Zstd, 0x21)] {
            let stored = pack(&leaf, how).unwrap();
            assert!(stored.len() <= BLOCK);
            assert_eq!(stored[4], kind);
            assert_eq!(stored[5..40], leaf[5..40], "the header is the leaf's");
            let packed = u16::from_le_bytes([stored[40], stored[41]]) as usize;
            assert_eq!(stored.len(), 42 + packed);
            let mut raw = vec![0; 6 * 100 + cells_len];
            how.unpack_into(&stored[42..], &mut raw, PageId(1)).unwrap();
            assert_eq!(raw[..600], leaf[40..640], "heads and slots");
            assert_eq!(raw[600..], leaf[SIZE - cells_len..], "cells");
            let (mut page, mut back) = (stored.clone(), vec![0xee; SIZE]);
            page.resize(SIZE, 0xdd);
            unpack(&page, &mut back, PageId(1)).unwrap();
            assert!(back[4..] == leaf[4..]);
        }
    }

    /// Streams that are as long as headers say, which say more than a page can hold.
    #[test]
    fn headers_that_claim_more_than_a_page_are_refused() {
        for how in [Compression::Lz4, Compression::Zstd] {
            for (count, cells_len) in [(0x7fff, 100), (1200, 2000), (10, 0xffff), (1359, 1)] {
                let mut page = pack(&leaf(), how).unwrap();
                page::set_count(&mut page, count);
                page::set_cells_len(&mut page, cells_len);
                page.resize(SIZE, 0);
                let (front, back) = {
                    let slots = HEADER + 6 * count as usize;
                    (HEADER..slots, SIZE.saturating_sub(cells_len as usize)..SIZE)
                };
                let packed = how.pack(&vec![0; front.len() + back.len()]).unwrap();
                page::set_stored_len(&mut page, packed.len() as u16);
                page[PACKED_HEADER..][..packed.len()].copy_from_slice(&packed);
                let unpacked = unpack(&page, &mut vec![0; SIZE], PageId(1));
                assert!(unpacked.is_err_and(|e| e.is_corruption()), "{how:?} {count} {cells_len}");
            }
            let mut page = pack(&leaf(), how).unwrap();
            page.resize(SIZE, 0);
            page::set_stored_len(&mut page, (SIZE - PACKED_HEADER + 1) as u16);
            let error = unpack(&page, &mut vec![0; SIZE], PageId(1)).unwrap_err();
            assert!(error.to_string().contains("longer than its page"), "{error}");
        }
    }

    #[test]
    fn a_leaf_is_compressed_only_where_that_saves_a_block() {
        let mut z = 1u64;
        let mut noise = || {
            z = z.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (z >> 56) as u8
        };
        for how in [Compression::Lz4, Compression::Zstd] {
            // Of 100 values of 60 bytes so many are noise: some 5 KB of it fit in no single block.
            for (noisy, saves) in [(0, true), (40, true), (80, false), (100, false)] {
                let mut page = leaf();
                let mut node = NodeMut::new(&mut page);
                for i in 0..noisy {
                    let body: Vec<u8> = (0..60).map(|_| noise()).collect();
                    assert!(node.overwrite(i, &body, Form::INLINE));
                }
                assert_eq!(pack(&page, how).is_some(), saves, "{how:?}, {noisy}");
            }
            assert!(pack(&leaf()[..BLOCK], how).is_none(), "a page of one block");
        }
    }
}
