//! The segment: a file of the log, its header and its name.
//!
//! | offset | size | field | meaning |
//! |---:|---:|---|---|
//! | 0 | 8 | magic | `LLMDBWAL` |
//! | 8 | 4 | format version | 1 |
//! | 12 | 4 | incarnation | rises with every recovery |
//! | 16 | 16 | UUID | the database |
//! | 32 | 8 | start | the LSN of the first frame |
//! | 40 | 8 | capacity | bytes for frames after this header; a multiple of 8 |
//! | 48 | 8 | durable LSN | everything before it was durable when this header was made |
//! | 56 | 4 | | zero |
//! | 60 | 4 | CRC | CRC-32 of bytes 0-59; at this place in every version |
//! | 64 | capacity | frames | the frame at LSN *l* is at offset 64 + *l* - start |
//!
//! All numbers are little-endian. A file has the name of a segment, `START-INCARNATION.log` in hex,
//! only when its header is durable; before and after that life it is a *spare*, `NUMBER.spare`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::{Error, Lsn, Result};

pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const FORMAT_VERSION: u32 = 1;

const MAGIC_BYTES: [u8; 8] = *b"LLMDBWAL";

const MAGIC: usize = 0;
const VERSION: usize = 8;
const INCARNATION: usize = 12;
const UUID: usize = 16;
const START: usize = 32;
const CAPACITY: usize = 40;
const DURABLE: usize = 48;
const ZERO: usize = 56;
const CRC: usize = 60;

const _: () =
    assert!(VERSION == MAGIC + 8 && INCARNATION == VERSION + 4 && UUID == INCARNATION + 4);
const _: () = assert!(START == UUID + 16 && CAPACITY == START + 8 && DURABLE == CAPACITY + 8);
const _: () = assert!(ZERO == DURABLE + 8 && CRC == ZERO + 4 && HEADER_BYTES == CRC + 4);

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) incarnation: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) start: Lsn,
    pub(crate) capacity: u64,
    pub(crate) durable: Lsn,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[MAGIC..][..8].copy_from_slice(&MAGIC_BYTES);
        bytes[VERSION..][..4].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[INCARNATION..][..4].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[UUID..][..16].copy_from_slice(&self.uuid);
        bytes[START..][..8].copy_from_slice(&self.start.get().to_le_bytes());
        bytes[CAPACITY..][..8].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[DURABLE..][..8].copy_from_slice(&self.durable.get().to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC]);
        bytes[CRC..][..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header of the segment at `path` with this name, for this database.
    pub(crate) fn decode(
        bytes: &[u8; HEADER_BYTES],
        path: &Path,
        name: SegmentName,
        uuid: [u8; 16],
    ) -> Result<SegmentHeader> {
        let corrupt = || Error::corrupt(path, 0, name.start);
        let crc = u32_at(bytes, CRC);
        if bytes[MAGIC..][..8] != MAGIC_BYTES || crc != crc32fast::hash(&bytes[..CRC]) {
            return Err(corrupt());
        }
        let found = u32_at(bytes, VERSION);
        if found != FORMAT_VERSION {
            let (path, supported) = (path.to_path_buf(), FORMAT_VERSION);
            return Err(Error::Version { path, found, supported });
        }
        let header = SegmentHeader {
            incarnation: u32_at(bytes, INCARNATION),
            uuid: bytes[UUID..][..16].try_into().expect("16 bytes"),
            start: Lsn::new(u64_at(bytes, START)),
            capacity: u64_at(bytes, CAPACITY),
            durable: Lsn::new(u64_at(bytes, DURABLE)),
        };
        if header.uuid != uuid {
            return Err(Error::Foreign { path: path.to_path_buf() });
        }
        let consistent = header.name() == name
            && header.start.is_aligned()
            && header.capacity.is_multiple_of(8)
            && header.start.checked_add(header.capacity).is_some()
            && header.durable <= header.start;
        if consistent { Ok(header) } else { Err(corrupt()) }
    }

    pub(crate) fn name(&self) -> SegmentName {
        SegmentName { start: self.start, incarnation: self.incarnation }
    }
}

/// What the name of a segment says. A recovery can begin a segment where one of the incarnation
/// before begins: so the name says both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentName {
    pub(crate) start: Lsn,
    pub(crate) incarnation: u32,
}

impl SegmentName {
    pub(crate) fn file_name(&self) -> OsString {
        OsString::from(format!("{:016x}-{:08x}.log", self.start.get(), self.incarnation))
    }

    pub(crate) fn parse(file_name: &OsStr) -> Option<SegmentName> {
        let (start, incarnation) = file_name.to_str()?.strip_suffix(".log")?.split_once('-')?;
        let name = SegmentName {
            start: Lsn::new(u64::from_str_radix(start, 16).ok()?),
            incarnation: u32::from_str_radix(incarnation, 16).ok()?,
        };
        // One spelling only.
        (name.file_name() == file_name).then_some(name)
    }
}

/// The name of a file that is being prepared or waits to be used again.
pub(crate) fn spare_name(number: u64) -> OsString {
    OsString::from(format!("{number:016x}.spare"))
}

pub(crate) fn is_spare_name(file_name: &OsStr) -> bool {
    Path::new(file_name).extension() == Some(OsStr::new("spare"))
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..][..4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..][..8].try_into().expect("8 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            incarnation: 2,
            uuid: *b"0123456789abcdef",
            start: Lsn::new(0x1000),
            capacity: 0x2_0000,
            durable: Lsn::new(0x800),
        }
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<SegmentHeader> {
        SegmentHeader::decode(bytes, Path::new("s"), sample().name(), sample().uuid)
    }

    #[test]
    fn golden_bytes() {
        let bytes = sample().encode();
        let mut golden = Vec::new();
        golden.extend(b"LLMDBWAL");
        golden.extend([1, 0, 0, 0, 2, 0, 0, 0]);
        golden.extend(b"0123456789abcdef");
        golden.extend([0, 0x10, 0, 0, 0, 0, 0, 0]);
        golden.extend([0, 0, 2, 0, 0, 0, 0, 0]);
        golden.extend([0, 8, 0, 0, 0, 0, 0, 0]);
        golden.extend([0; 4]);
        golden.extend(0xe42f_77a6_u32.to_le_bytes());
        assert_eq!(bytes.as_slice(), golden, "{:02x?}", bytes);
        assert_eq!(decode(&bytes).unwrap(), sample());
        assert_eq!(sample().name().file_name(), "0000000000001000-00000002.log");
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = sample().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&bytes), Err(Error::Corrupt { .. })), "bit {bit}");
        }
    }

    #[test]
    fn another_version_database_or_name_is_told_apart() {
        let mut newer = sample().encode();
        newer[VERSION] = 9;
        let crc = crc32fast::hash(&newer[..CRC]);
        newer[CRC..].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(decode(&newer), Err(Error::Version { found: 9, supported: 1, .. })));
        let foreign = SegmentHeader { uuid: [1; 16], ..sample() }.encode();
        assert!(matches!(decode(&foreign), Err(Error::Foreign { .. })));
        for other in [
            SegmentHeader { incarnation: 3, ..sample() },
            SegmentHeader { start: Lsn::new(0x1008), ..sample() },
            SegmentHeader { capacity: 12, ..sample() },
            SegmentHeader { capacity: u64::MAX - 7, ..sample() },
            SegmentHeader { durable: Lsn::new(0x1008), ..sample() },
        ] {
            assert!(matches!(decode(&other.encode()), Err(Error::Corrupt { .. })), "{other:?}");
        }
    }

    #[test]
    fn names_have_one_spelling() {
        let name = SegmentName { start: Lsn::new(0xabc), incarnation: 0x1f };
        assert_eq!(SegmentName::parse(&name.file_name()), Some(name));
        for text in
            ["", "x.log", "abc-1f.log", "0000000000000ABC-0000001f.log", "0000000000000abc.log"]
        {
            assert_eq!(SegmentName::parse(OsStr::new(text)), None, "{text}");
        }
        assert!(is_spare_name(&spare_name(3)));
        assert!(!is_spare_name(&name.file_name()));
    }
}
