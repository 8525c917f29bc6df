//! The header that every page but a meta slot and an extent starts with.
//!
//! ```text
//! offset size  field      little-endian
//!      0    4  checksum   CRC-32 of bytes 4.. of the page, seeded with UUID, page id and stamp
//!      4    1  kind       1 leaf, 2 branch, 3 bitmap, 4 directory
//!      5    1  level      0 for a leaf, its height above the leaves for a branch
//!      6    2  count      entries
//!      8    8  id         the page's own number
//!     16    8  birth      version that the page was born in
//!     24    4  stamp      of this allocation, repeated by whoever refers to the page
//!     28    4  tree       the tree that the node belongs to; 0 for bitmaps and directories
//!     32    2  prefix_len length of the key prefix that all entries share
//!     34    2  cells_len  bytes between the lowest cell and the end of the page
//!     36    2  garbage    bytes of removed cells within cells_len
//!     38    2  trend      of a leaf: whether entries arrive in order (`trend.rs`); a hint
//! ```
//!
//! A leaf that is stored compressed has the same header, with the algorithm in the upper half of its
//! kind, and the checksum covers what is stored alone:
//!
//! ```text
//!      4    1  kind       1 leaf + 16 x algorithm (1 LZ4, 2 Zstandard)
//!     40    2  stored_len bytes of what follows
//!     42       what follows: the bytes from 40 up to the slots' end, and the last cells_len bytes of
//!              the page, compressed as one; then nothing, which may be a hole in the file
//! ```
//!
//! A reference to a page carries its stamp, and the checksum covers stamp and number, so a lost
//! write (the older page is still there), a misdirected write (another page is there) and a torn
//! one are all caught when the page is first touched.

use crate::{Compression, Error, PageId, PageRef, Result, Version};
use llmdb_vfs::planted;

/// Bytes of the page header.
pub(crate) const HEADER: usize = 40;

/// Bytes of the header of a leaf that is stored compressed.
pub(crate) const PACKED_HEADER: usize = 42;

/// The smallest and largest page sizes; powers of two between them are allowed.
pub(crate) const PAGE_SIZES: std::ops::RangeInclusive<usize> = 4096..=65536;

/// Kinds and the list of them, so that none is left out of it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal,)+) => {
        /// What a page with a header holds.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $kind = $code,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind),+];
        }
    };
}

kinds! {
    /// Entries of a tree.
    Leaf = 1,
    /// References to nodes of a tree.
    Branch = 2,
    /// Which pages of a region are in use.
    Bitmap = 3,
    /// References to bitmaps, or to directories.
    Directory = 4,
}

impl Kind {
    /// What a page says that it is, and how it is compressed. `None`: what no page says. Nothing else of
    /// it is judged.
    pub fn of(page: &[u8]) -> Option<(Kind, Option<Compression>)> {
        let code = *page.get(4)?;
        let kind = Kind::ALL.iter().find(|kind| **kind as u8 == code & 0x0f)?;
        match code >> 4 {
            0 => Some((*kind, None)),
            how if *kind == Kind::Leaf => Some((*kind, Some(Compression::of_code(how)?))),
            _ => None,
        }
    }
}

/// Field access by offset; the bytes may be untrusted, fields are checked where they are used.
macro_rules! field {
    ($get:ident, $set:ident, $ty:ty, $at:expr) => {
        pub(crate) fn $get(page: &[u8]) -> $ty {
            const SIZE: usize = size_of::<$ty>();
            const { assert!($at + SIZE <= PACKED_HEADER) };
            <$ty>::from_le_bytes(page[$at..$at + SIZE].try_into().expect("a header's field"))
        }
        #[allow(dead_code, reason = "some fields are only ever read")]
        pub(crate) fn $set(page: &mut [u8], value: $ty) {
            page[$at..$at + size_of::<$ty>()].copy_from_slice(&value.to_le_bytes());
        }
    };
}

field!(checksum, set_checksum, u32, 0);
field!(kind, set_kind, u8, 4);
field!(level, set_level, u8, 5);
field!(count, set_count, u16, 6);
field!(id, set_id, u64, 8);
field!(birth, set_birth, u64, 16);
field!(stamp, set_stamp, u32, 24);
field!(tree, set_tree, u32, 28);
field!(prefix_len, set_prefix_len, u16, 32);
field!(cells_len, set_cells_len, u16, 34);
field!(garbage, set_garbage, u16, 36);
field!(trend, set_trend, u16, 38);
field!(stored_len, set_stored_len, u16, 40);

/// The version the page was born in.
pub(crate) fn born(page: &[u8]) -> Version {
    Version(birth(page))
}

/// The reference by which a parent names this page.
pub(crate) fn own_ref(page: &[u8]) -> PageRef {
    PageRef { id: PageId(id(page)), stamp: stamp(page) }
}

/// How a leaf is stored compressed, if it is. `Some(0)` and the like are no algorithm.
pub(crate) fn packed_by(page: &[u8]) -> Option<u8> {
    Some(kind(page) >> 4).filter(|algorithm| *algorithm != 0)
}

/// Where what is stored of a page ends: elsewhere than the page only if it is compressed.
pub(crate) fn stored_end(page: &[u8]) -> usize {
    match packed_by(page) {
        None => page.len(),
        Some(_) => (PACKED_HEADER + stored_len(page) as usize).min(page.len()),
    }
}

/// What seeds the checksums of one file: pages of another database never pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(uuid: &[u8; 16]) -> Self {
        Seed(crc32fast::hash(uuid))
    }

    /// The seed of a file whose UUID hashes to `crc`.
    pub(crate) fn of_crc(crc: u32) -> Self {
        Seed(crc)
    }

    /// The checksum that `page` should carry if it is the page `page_ref` names. Of a page that is
    /// stored compressed it covers what is stored.
    pub(crate) fn checksum(self, page: &[u8], page_ref: PageRef) -> u32 {
        let mut crc = crc32fast::Hasher::new_with_initial(self.0);
        crc.update(&page_ref.id.0.to_le_bytes());
        crc.update(&page_ref.stamp.to_le_bytes());
        crc.update(&page[4..stored_end(page)]);
        crc.finalize()
    }

    /// The checksum of a piece of a value whose extents start at `first`.
    pub(crate) fn extent(self, first: PageId, bytes: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new_with_initial(self.0);
        crc.update(&first.0.to_le_bytes());
        crc.update(bytes);
        crc.finalize()
    }

    /// Checks that `page` is the very page that `page_ref` names, undamaged.
    pub(crate) fn verify(self, page: &[u8], page_ref: PageRef) -> Result<()> {
        let page_ref = match planted!("page_stamp_ignored") {
            true => PageRef { stamp: stamp(page), ..page_ref },
            false => page_ref,
        };
        let (expected, found) = (self.checksum(page, page_ref), checksum(page));
        if expected != found && !planted!("page_checksum_ignored") {
            return Err(Error::ChecksumMismatch { page: page_ref.id, expected, found });
        }
        if own_ref(page) != page_ref {
            return Err(Error::corrupt(page_ref.id, "its header names another page"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_bytes_are_where_the_format_says() {
        let mut page = vec![0u8; 4096];
        set_kind(&mut page, Kind::Branch as u8);
        set_level(&mut page, 2);
        set_count(&mut page, 0x0304);
        set_id(&mut page, 0x05);
        set_birth(&mut page, 0x06);
        set_stamp(&mut page, 0x0708_090a);
        set_tree(&mut page, 0x0b);
        set_prefix_len(&mut page, 0x0c);
        set_cells_len(&mut page, 0x0d0e);
        set_garbage(&mut page, 0x0f);
        set_trend(&mut page, 0x1011);
        let golden = [
            0, 0, 0, 0, 2, 2, 4, 3, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0x0a, 9, 8, 7,
            0x0b, 0, 0, 0, 0x0c, 0, 0x0e, 0x0d, 0x0f, 0, 0x11, 0x10,
        ];
        assert_eq!(page[..HEADER], golden);
    }

    #[test]
    fn a_pages_kind_is_what_it_says() {
        let page = |kind| [0, 0, 0, 0, kind, 0];
        let plain: Vec<_> =
            (0..5).map(|code| Kind::of(&page(code)).map(|(kind, _)| kind)).collect();
        assert_eq!(plain[0], None);
        assert_eq!(plain[1..].iter().map(|kind| kind.unwrap()).collect::<Vec<_>>(), Kind::ALL);
        assert_eq!(Kind::of(&page(0x11)), Some((Kind::Leaf, Some(Compression::Lz4))));
        assert_eq!(Kind::of(&page(0x21)), Some((Kind::Leaf, Some(Compression::Zstd))));
        for code in [5, 0x12, 0x31, 0xff] {
            assert_eq!(Kind::of(&page(code)), None, "{code:#x}");
        }
        assert_eq!(Kind::of(&[]), None);
    }

    #[test]
    fn another_page_stamp_or_file_does_not_pass() {
        let seed = Seed::new(&[7; 16]);
        let mut page = vec![0u8; 4096];
        set_id(&mut page, 9);
        set_stamp(&mut page, 3);
        let page_ref = own_ref(&page);
        let sum = seed.checksum(&page, page_ref);
        set_checksum(&mut page, sum);
        seed.verify(&page, page_ref).unwrap();
        for other in [PageRef { stamp: 4, ..page_ref }, PageRef { id: PageId(8), ..page_ref }] {
            assert!(seed.verify(&page, other).is_err());
        }
        assert!(Seed::new(&[8; 16]).verify(&page, page_ref).is_err());
        page[4000] ^= 1;
        assert!(matches!(seed.verify(&page, page_ref), Err(Error::ChecksumMismatch { .. })));
    }
}
