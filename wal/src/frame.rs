//! The frame: the unit in which the log is written and checked.
//!
//! A frame begins at a position that is a multiple of 8 and never crosses the end of a segment.
//!
//! | offset | size | field | meaning |
//! |---:|---:|---|---|
//! | 0 | 4 | payload length | bytes of payload that follow the header, at most 1 MiB |
//! | 4 | 4 | header CRC | CRC-32 of bytes 0-3 and 8-63 |
//! | 8 | 16 | UUID | the database |
//! | 24 | 4 | incarnation | that of the segment |
//! | 28 | 4 | flags | bit 0: the last frame of its commit; bit 1: copied by a recovery |
//! | 32 | 8 | LSN | the position of this header in the log |
//! | 40 | 8 | sequence | the number of the commit, the same in all its frames |
//! | 48 | 8 | durable LSN | everything before it was durable when this frame was made |
//! | 56 | 4 | payload CRC | CRC-32 of the payload |
//! | 60 | 4 | part | 0 in the first frame of a commit, 1 in the next... |
//! | 64 | | payload | and zeros up to the next multiple of 8 |
//!
//! All numbers are little-endian.

use crate::Lsn;
use llmdb_vfs::planted;

pub(crate) const HEADER_BYTES: usize = 64;

/// The most payload of one frame.
pub(crate) const PAYLOAD_MAX: usize = 1 << 20;

/// No frame carries less of a payload than this, unless no more is left: a segment that cannot
/// take so much is left as it is.
pub(crate) const PIECE_MIN: usize = 512;

const LENGTH: usize = 0;
const HEADER_CRC: usize = 4;
const UUID: usize = 8;
const INCARNATION: usize = 24;
const FLAGS: usize = 28;
const LSN: usize = 32;
const SEQUENCE: usize = 40;
const DURABLE: usize = 48;
const PAYLOAD_CRC: usize = 56;
const PART: usize = 60;

const _: () = assert!(HEADER_CRC == LENGTH + 4 && UUID == HEADER_CRC + 4);
const _: () = assert!(INCARNATION == UUID + 16 && FLAGS == INCARNATION + 4 && LSN == FLAGS + 4);
const _: () = assert!(SEQUENCE == LSN + 8 && DURABLE == SEQUENCE + 8);
const _: () = assert!(PAYLOAD_CRC == DURABLE + 8 && PART == PAYLOAD_CRC + 4);
const _: () = assert!(HEADER_BYTES == PART + 4 && HEADER_BYTES.is_multiple_of(8));

const FLAG_COMMIT: u32 = 1;
const FLAG_COPIED: u32 = 2;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) payload_len: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) incarnation: u32,
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
    pub(crate) lsn: Lsn,
    pub(crate) seq: u64,
    pub(crate) durable: Lsn,
    pub(crate) payload_crc: u32,
    pub(crate) part: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// More frames of the commit follow.
    Part,
    /// The last frame of the commit.
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Written by `Log::append`.
    Appended,
    /// Written by a recovery; says nothing about whether the log was put to use after it.
    Copied,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            Kind::Part => 0,
            Kind::Commit => FLAG_COMMIT,
        };
        let origin = match self.origin {
            Origin::Appended => 0,
            Origin::Copied => FLAG_COPIED,
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes[LENGTH..][..4].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[UUID..][..16].copy_from_slice(&self.uuid);
        bytes[INCARNATION..][..4].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[FLAGS..][..4].copy_from_slice(&(kind | origin).to_le_bytes());
        bytes[LSN..][..8].copy_from_slice(&self.lsn.get().to_le_bytes());
        bytes[SEQUENCE..][..8].copy_from_slice(&self.seq.to_le_bytes());
        bytes[DURABLE..][..8].copy_from_slice(&self.durable.get().to_le_bytes());
        bytes[PAYLOAD_CRC..][..4].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[PART..][..4].copy_from_slice(&self.part.to_le_bytes());
        let crc = header_crc(&bytes);
        bytes[HEADER_CRC..][..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, if it is one that belongs at `place`.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES], place: &Place) -> Option<FrameHeader> {
        // The cheap and telling test first: a search asks this at every eighth byte.
        let lsn = Lsn::new(u64_at(bytes, LSN));
        let is_here = lsn == place.lsn || planted!("frame_position_ignored");
        if !is_here || u32_at(bytes, HEADER_CRC) != header_crc(bytes) {
            return None;
        }
        let flags = u32_at(bytes, FLAGS);
        let header = FrameHeader {
            payload_len: u32_at(bytes, LENGTH),
            uuid: bytes[UUID..][..16].try_into().expect("16 bytes"),
            incarnation: u32_at(bytes, INCARNATION),
            kind: if flags & FLAG_COMMIT != 0 { Kind::Commit } else { Kind::Part },
            origin: if flags & FLAG_COPIED != 0 { Origin::Copied } else { Origin::Appended },
            lsn,
            seq: u64_at(bytes, SEQUENCE),
            durable: Lsn::new(u64_at(bytes, DURABLE)),
            payload_crc: u32_at(bytes, PAYLOAD_CRC),
            part: u32_at(bytes, PART),
        };
        let belongs = header.uuid == place.uuid
            && header.incarnation == place.incarnation
            && flags & !(FLAG_COMMIT | FLAG_COPIED) == 0
            && header.durable <= header.lsn
            && header.payload_len as usize <= PAYLOAD_MAX
            && header.frame_bytes() <= place.room;
        belongs.then_some(header)
    }

    /// The whole frame: header, payload and padding.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload_len as usize)
    }
}

/// Where a frame is looked for, and so what it must say of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) uuid: [u8; 16],
    pub(crate) incarnation: u32,
    pub(crate) lsn: Lsn,
    /// The bytes from here to the end of what the segment holds.
    pub(crate) room: u64,
}

/// The bytes of a frame with this much payload.
pub(crate) fn frame_bytes(payload_len: usize) -> u64 {
    (HEADER_BYTES + payload_len).next_multiple_of(8) as u64
}

/// How a payload goes on, with `left` bytes of it left and `room` bytes left in the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A frame with so much payload.
    Frame { payload_len: usize },
    /// The rest of the segment stays unused.
    NextSegment,
}

pub(crate) fn step(room: u64, left: usize) -> Step {
    debug_assert!(room.is_multiple_of(8));
    if room < frame_bytes(left.min(PIECE_MIN)) {
        return Step::NextSegment;
    }
    // The room is a multiple of 8, so that the padding fits too.
    let fits = usize::try_from(room - HEADER_BYTES as u64).unwrap_or(usize::MAX);
    Step::Frame { payload_len: left.min(PAYLOAD_MAX).min(fits) }
}

fn header_crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..HEADER_CRC]);
    crc.update(&bytes[HEADER_CRC + 4..]);
    crc.finalize()
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

    fn sample() -> (FrameHeader, Place) {
        let uuid = *b"0123456789abcdef";
        let header = FrameHeader {
            payload_len: 0x0102,
            uuid,
            incarnation: 7,
            kind: Kind::Commit,
            origin: Origin::Copied,
            lsn: Lsn::new(0x1122_3344_5566_7788),
            seq: 9,
            durable: Lsn::new(0x1000),
            payload_crc: 0xaabb_ccdd,
            part: 3,
        };
        (header, Place { uuid, incarnation: 7, lsn: header.lsn, room: 1 << 20 })
    }

    #[test]
    fn golden_bytes() {
        let (header, place) = sample();
        let bytes = header.encode();
        let mut golden = Vec::new();
        golden.extend([0x02, 0x01, 0, 0]);
        golden.extend(0x468d_dc72_u32.to_le_bytes());
        golden.extend(b"0123456789abcdef");
        golden.extend([7, 0, 0, 0, 3, 0, 0, 0]);
        golden.extend([0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        golden.extend([9, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend([0, 0x10, 0, 0, 0, 0, 0, 0]);
        golden.extend([0xdd, 0xcc, 0xbb, 0xaa, 3, 0, 0, 0]);
        assert_eq!(bytes.as_slice(), golden, "{:02x?}", bytes);
        assert_eq!(FrameHeader::decode(&bytes, &place), Some(header));
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_noticed() {
        let (header, place) = sample();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&bytes, &place), None, "bit {bit}");
        }
        assert_eq!(
            FrameHeader::decode(&[0; HEADER_BYTES], &Place { lsn: Lsn::ZERO, ..place }),
            None
        );
    }

    #[test]
    fn a_header_is_good_for_one_place_only() {
        let (header, place) = sample();
        let bytes = header.encode();
        let elsewhere = [
            Place { uuid: [0; 16], ..place },
            Place { incarnation: 6, ..place },
            Place { incarnation: 8, ..place },
            Place { lsn: Lsn::new(8), ..place },
            Place { room: header.frame_bytes() - 8, ..place },
        ];
        for place in elsewhere {
            assert_eq!(FrameHeader::decode(&bytes, &place), None, "{place:?}");
        }
    }

    #[test]
    fn impossible_headers_are_refused_even_with_a_good_crc() {
        let (header, place) = sample();
        let hostile = [
            FrameHeader { payload_len: u32::MAX, ..header },
            FrameHeader { payload_len: PAYLOAD_MAX as u32 + 1, ..header },
            FrameHeader { durable: header.lsn.advance(8), ..header },
        ];
        for header in hostile {
            let room = u64::MAX - 7;
            let place = Place { room, ..place };
            assert_eq!(FrameHeader::decode(&header.encode(), &place), None, "{header:?}");
        }
    }

    #[test]
    fn steps_fill_segments_without_slivers() {
        for room in (0..4096_u64).step_by(8) {
            for left in [0, 1, 7, 8, 100, 511, 512, 513, 2000, 1 << 21] {
                match step(room, left) {
                    Step::NextSegment => assert!(room < frame_bytes(left.min(PIECE_MIN))),
                    Step::Frame { payload_len } => {
                        assert!(frame_bytes(payload_len) <= room);
                        assert!(payload_len == left || payload_len >= PIECE_MIN);
                    }
                }
            }
        }
        assert_eq!(step(1 << 30, 1 << 21), Step::Frame { payload_len: PAYLOAD_MAX });
    }
}
