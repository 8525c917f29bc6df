//! The meta slots: where everything else is found from.
//!
//! Three slots lie at fixed offsets, apart from one another, whatever the page size. Generation g
//! is written to slot g mod 3, so the two newest generations are always retained.
//!
//! ```text
//! offset size  field            little-endian; the rest of the 4 KiB is zero
//!      0   16  magic            "LLMDB\0memory\r\n\x1a\n"
//!     16    4  format           version of this format
//!     20    4  page_size
//!     24   16  uuid
//!     40    8  generation
//!     48    8  version          of the trees
//!     56    8  seq              number of the last commit contained
//!     64    8  mark             the layer above's mark of that commit (its transaction id)
//!     72   12  catalog          page u64, stamp u32
//!     84   12  space            page u64, stamp u32 of the top directory of the bitmaps
//!     96    4  space_depth      directory levels above the bitmaps
//!    100    4  next_tree
//!    104    8  pages            length of the file in pages
//!    112    8  lsn              the log is needed from here on
//!    120    4  incarnation      of the log
//!    124    4  flags            1: closed cleanly, no log is needed; 2: a copy, not written since
//!    128    8  lineage          of the sequence of versions; copies that are written begin another
//!    508    4  checksum         CRC-32 of bytes 0..508
//! ```

use crate::{Error, PageId, PageRef, Result, Version};
use llmdb_vfs::File;
use llmdb_vfs::planted;
use std::io::IoSlice;
use std::path::Path;

/// The format that this build reads and writes.
pub(crate) const FORMAT: u32 = 2;
const MAGIC: [u8; 16] = *b"LLMDB\0memory\r\n\x1a\n";
pub(crate) const SLOTS: u64 = 3;
/// Distance of the slots: the largest page size, so that no two share a page.
const SLOT_STEP: u64 = 65536;
/// Bytes written for a slot; beyond `USED` they are zero.
const SLOT_BYTES: usize = 4096;
pub(crate) const USED: usize = 512;
const CLEAN: u32 = 1;
const COPY: u32 = 2;

/// The contents of a meta slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Meta {
    pub(crate) page_size: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) generation: u64,
    pub(crate) version: Version,
    pub(crate) seq: u64,
    pub(crate) mark: i64,
    pub(crate) catalog: PageRef,
    pub(crate) space: PageRef,
    pub(crate) space_depth: u32,
    pub(crate) next_tree: u32,
    pub(crate) pages: u64,
    pub(crate) lsn: u64,
    pub(crate) incarnation: u32,
    pub(crate) clean: bool,
    /// A backup or what was restored from one, not written to since.
    pub(crate) copy: bool,
    /// Versions of one lineage follow one another in one file: none is given twice.
    pub(crate) lineage: u64,
}

/// The pages that hold meta slots at this page size.
pub(crate) fn slot_pages(page_size: usize) -> [PageId; SLOTS as usize] {
    [0, 1, 2].map(|slot| PageId(slot * SLOT_STEP / page_size as u64))
}

/// The shortest file: its last slot is whole.
pub(crate) fn pages_min(page_size: usize) -> u64 {
    slot_pages(page_size)[2].0 + 1
}

impl Meta {
    pub(crate) fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&FORMAT.to_le_bytes());
        put(&self.page_size.to_le_bytes());
        put(&self.uuid);
        put(&self.generation.to_le_bytes());
        put(&self.version.0.to_le_bytes());
        put(&self.seq.to_le_bytes());
        put(&self.mark.to_le_bytes());
        for page in [self.catalog, self.space] {
            put(&page.id.0.to_le_bytes());
            put(&page.stamp.to_le_bytes());
        }
        put(&self.space_depth.to_le_bytes());
        put(&self.next_tree.to_le_bytes());
        put(&self.pages.to_le_bytes());
        put(&self.lsn.to_le_bytes());
        put(&self.incarnation.to_le_bytes());
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        put(&(flag(self.clean, CLEAN) | flag(self.copy, COPY)).to_le_bytes());
        put(&self.lineage.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..USED - 4]);
        bytes[USED - 4..USED].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `Ok(None)`: no meta page, torn or damaged. `Err`: the number of another format.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Meta>, u32> {
        if bytes.len() < USED || bytes[..16] != MAGIC {
            return Ok(None);
        }
        let mut at = 16;
        let mut take = |len: usize| {
            at += len;
            &bytes[at - len..at]
        };
        fn u32_of(bytes: &[u8]) -> u32 {
            u32::from_le_bytes(bytes.try_into().expect("four bytes"))
        }
        fn u64_of(bytes: &[u8]) -> u64 {
            u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
        }
        let format = u32_of(take(4));
        if format != FORMAT {
            return Err(format);
        }
        let is_good = crc32fast::hash(&bytes[..USED - 4]) == u32_of(&bytes[USED - 4..USED]);
        if !is_good && !planted!("meta_checksum_ignored") {
            return Ok(None);
        }
        let meta = Meta {
            page_size: u32_of(take(4)),
            uuid: take(16).try_into().expect("sixteen bytes"),
            generation: u64_of(take(8)),
            version: Version(u64_of(take(8))),
            seq: u64_of(take(8)),
            mark: u64_of(take(8)) as i64,
            catalog: PageRef { id: PageId(u64_of(take(8))), stamp: u32_of(take(4)) },
            space: PageRef { id: PageId(u64_of(take(8))), stamp: u32_of(take(4)) },
            space_depth: u32_of(take(4)),
            next_tree: u32_of(take(4)),
            pages: u64_of(take(8)),
            lsn: u64_of(take(8)),
            incarnation: u32_of(take(4)),
            clean: false,
            copy: false,
            lineage: 0,
        };
        let flags = u32_of(take(4));
        let lineage = u64_of(take(8));
        let meta = Meta { clean: flags & CLEAN != 0, copy: flags & COPY != 0, lineage, ..meta };
        Ok(Some(meta).filter(Meta::is_possible))
    }

    /// Whether counters are where counting can have led, so that going on from them is sound.
    fn is_possible(&self) -> bool {
        const COUNTS_MAX: u64 = 1 << 62;
        let size = self.page_size as usize;
        crate::page::PAGE_SIZES.contains(&size)
            && size.is_power_of_two()
            && [self.generation, self.version.0, self.seq, self.lsn].iter().all(|n| *n < COUNTS_MAX)
            && self.lsn.is_multiple_of(8)
            && self.pages < COUNTS_MAX / *crate::page::PAGE_SIZES.end() as u64
            && self.incarnation < u32::MAX / 2
            && self.next_tree < u32::MAX / 2
    }

    /// Writes the slot of this generation. The caller syncs.
    pub(crate) fn write(&self, file: &dyn File) -> Result<()> {
        let offset = self.generation % SLOTS * SLOT_STEP;
        Ok(file.write_all_at(&[IoSlice::new(&self.encode())], offset)?)
    }
}

/// What the slots of a file hold.
#[derive(Debug)]
pub(crate) struct Slots {
    /// The newest readable generation.
    pub(crate) newest: Meta,
    /// The one before it, if it can be read.
    pub(crate) previous: Option<Meta>,
    /// Whether the slot of the generation after the newest cannot be read: that one may have been
    /// there and been lost.
    pub(crate) maybe_older: bool,
}

impl Slots {
    /// Reads all slots.
    ///
    /// # Errors
    /// [`Error::Version`] for a file of another format, [`Error::NotADatabase`] where no slot is
    /// readable.
    pub(crate) fn read(file: &dyn File) -> Result<Slots> {
        Slots::read_by(file.path(), &mut |bytes, offset| Ok(file.read_at(bytes, offset)?))
    }

    /// As [`Slots::read`]; slots whose sectors fail count as damaged.
    ///
    /// # Errors
    /// Those of [`Slots::read`] but failed reads.
    pub(crate) fn read_what_can_be(file: &dyn File) -> Result<Slots> {
        Slots::read_by(file.path(), &mut |bytes, offset| {
            Ok(file.read_at(bytes, offset).unwrap_or_default())
        })
    }

    fn read_by(
        path: &Path,
        read_at: &mut dyn FnMut(&mut [u8], u64) -> Result<usize>,
    ) -> Result<Slots> {
        let mut metas = Vec::new();
        let mut with_magic = false;
        let mut other_format = None;
        for slot in 0..SLOTS {
            let mut bytes = [0; USED];
            let got = read_at(&mut bytes, slot * SLOT_STEP)?;
            with_magic |= got >= 16 && bytes[..16] == MAGIC;
            match Meta::decode(&bytes[..got]) {
                Ok(Some(meta)) if meta.generation % SLOTS == slot => metas.push(meta),
                Ok(_) => {}
                // Or a slot of ours whose format field rotted: the others tell.
                Err(found) => other_format = Some(found),
            }
        }
        let readable: Vec<u64> = metas.iter().map(|meta| meta.generation % SLOTS).collect();
        metas.sort_by_key(|meta| meta.generation);
        let Some(newest) = metas.pop() else {
            if let Some(found) = other_format {
                let path = path.to_owned();
                return Err(Error::Version { path, found, supported: FORMAT });
            }
            let what = if with_magic {
                "none of its three meta pages can be read"
            } else {
                "this is not an LLMDB database"
            };
            return Err(Error::NotADatabase { path: path.to_owned(), what });
        };
        let previous = metas.pop().filter(|previous| {
            previous.generation + 1 == newest.generation
                && previous.uuid == newest.uuid
                && previous.page_size == newest.page_size
        });
        let maybe_older = !readable.contains(&((newest.generation + 1) % SLOTS));
        Ok(Slots { newest, previous, maybe_older })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(generation: u64) -> Meta {
        Meta {
            page_size: 4096,
            uuid: [0xab; 16],
            generation,
            version: Version(2),
            seq: 3,
            mark: -4,
            catalog: PageRef { id: PageId(5), stamp: 6 },
            space: PageRef { id: PageId(7), stamp: 8 },
            space_depth: 9,
            next_tree: 10,
            pages: 33,
            lsn: 16,
            incarnation: 13,
            clean: true,
            copy: true,
            lineage: 14,
        }
    }

    #[test]
    fn a_slots_bytes_are_where_the_format_says() {
        let bytes = meta(1).encode();
        assert_eq!(&bytes[..16], b"LLMDB\0memory\r\n\x1a\n");
        let field = |at: usize, len: usize| {
            bytes[at..at + len].iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b))
        };
        let fields = [(16, 4), (20, 4), (40, 8), (48, 8), (56, 8), (72, 8), (80, 4), (84, 8)];
        let expected = [2, 4096, 1, 2, 3, 5, 6, 7];
        assert_eq!(fields.map(|(at, len)| field(at, len)), expected);
        let fields = [(92, 4), (96, 4), (100, 4), (104, 8), (112, 8), (120, 4), (124, 4), (128, 8)];
        assert_eq!(fields.map(|(at, len)| field(at, len)), [8, 9, 10, 33, 16, 13, 3, 14]);
        assert_eq!(field(64, 8) as i64, -4);
        assert_eq!(Meta::decode(&bytes), Ok(Some(meta(1))));
    }

    #[test]
    fn every_changed_byte_of_a_slot_is_noticed() {
        let bytes = meta(1).encode();
        for at in 0..USED {
            let mut bytes = bytes;
            bytes[at] ^= 0x10;
            assert!(!matches!(Meta::decode(&bytes), Ok(Some(_))), "byte {at}");
        }
    }

    #[test]
    fn another_format_is_named() {
        let mut bytes = meta(1).encode();
        bytes[16] = 9;
        assert_eq!(Meta::decode(&bytes), Err(9));
    }
}
