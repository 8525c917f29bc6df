//! What each byte of a database file is for, by the documented format alone: `docs/format.md` is read
//! here, and no code of the engine, so that what the engine overlooks is not overlooked here.

use llmdb_storage::{Compression, PageKind};
use std::ops::Range;

/// What bytes are for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Use {
    /// The newest meta slot.
    Meta,
    /// Another meta slot: the newest is enough, and it stands in for the newest.
    OtherMeta,
    /// A page that the newest meta slot leads to.
    Page(PageKind, Option<Compression>),
    /// A directory of directories.
    HighDirectory,
    /// A page of a long value.
    Extent,
    /// A page of a long value that the log alone leads to.
    Ahead,
    /// The header of a segment of the log.
    SegmentHeader,
    /// A frame of the log that is needed.
    Frame,
    /// What only a reader who goes wrong looks at: free pages, what follows the end of the log and what
    /// precedes its beginning.
    Free,
    /// The rest of a page, or of eight bytes, behind what it holds.
    Padding,
}

impl Use {
    /// Whether a change must be noticed.
    pub fn counts(self) -> bool {
        !matches!(self, Use::OtherMeta | Use::Free | Use::Padding)
    }
}

/// What all bytes of a file are for, in order and without a gap.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout(Vec<(Range<u64>, Use)>);

impl Layout {
    /// Says what the next bytes are for.
    pub(super) fn push(&mut self, upto: u64, of: Use) {
        let from = self.0.last().map_or(0, |(range, _)| range.end);
        match self.0.last_mut() {
            _ if upto <= from => {}
            Some((range, last)) if *last == of => range.end = upto,
            _ => self.0.push((from..upto, of)),
        }
    }

    /// What the byte at `at` is for; beyond the end of the file nothing is.
    pub(super) fn at(&self, at: u64) -> Use {
        let place = self.0.partition_point(|(range, _)| range.end <= at);
        self.0.get(place).map_or(Use::Free, |(_, of)| *of)
    }

    /// All of it.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Range<u64>, Use)> + '_ {
        self.0.iter().cloned()
    }

    /// What of these bytes is for anything that counts.
    pub(super) fn counting(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.0.partition_point(|(range, _)| range.end <= within.start);
        let parts = self.0[first..].iter().take_while(move |(range, _)| range.start < within.end);
        parts
            .filter(|(_, of)| of.counts())
            .map(move |(range, _)| range.start.max(within.start)..range.end.min(within.end))
    }
}

const SLOTS: [u64; 3] = [0, 65536, 131_072];
const SLOT_USED: usize = 512;
const HEADER: usize = 40;
const REFERENCE: usize = 12;

/// Where a file begins, by its newest meta slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) slot: u64,
    pub(super) page: u64,
    pub(super) uuid: [u8; 16],
    pub(super) pages: u64,
    /// The log is needed from here on.
    pub(super) lsn: u64,
    pub(super) is_clean: bool,
    space: u64,
    space_depth: u32,
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// CRC-32 as zlib has it, of the parts one after the other.
pub(super) fn crc(parts: &[&[u8]]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut crc = i as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

/// The newest meta slot of a file that is not damaged.
pub(super) fn root(file: &[u8]) -> Option<Root> {
    let slots = SLOTS.iter().filter_map(|slot| {
        let bytes = file.get(*slot as usize..)?.get(..SLOT_USED)?;
        (u32_at(bytes, 508) == crc(&[&bytes[..508]])).then_some((u64_at(bytes, 40), *slot, bytes))
    });
    let (_, slot, bytes) = slots.max_by_key(|(generation, ..)| *generation)?;
    Some(Root {
        slot,
        page: u64::from(u32_at(bytes, 20)),
        uuid: bytes[24..40].try_into().expect("sixteen bytes"),
        pages: u64_at(bytes, 104),
        lsn: u64_at(bytes, 112),
        is_clean: u32_at(bytes, 124) & 1 == 1,
        space: u64_at(bytes, 84),
        space_depth: u32_at(bytes, 96),
    })
}

fn page<'f>(file: &'f [u8], root: &Root, number: u64) -> &'f [u8] {
    &file[(number * root.page) as usize..((number + 1) * root.page) as usize]
}

/// The pages that hold which pages are in use, of all regions in order.
fn bitmaps(file: &[u8], root: &Root) -> Vec<u64> {
    let mut level = vec![root.space];
    for _ in 0..root.space_depth {
        level = level
            .iter()
            .flat_map(|number| {
                let bytes = page(file, root, *number);
                let count = u16::from_le_bytes([bytes[6], bytes[7]]) as usize;
                (0..count).map(|i| u64_at(bytes, HEADER + i * REFERENCE)).collect::<Vec<_>>()
            })
            .collect();
    }
    level
}

fn region_pages(root: &Root) -> u64 {
    (root.page - HEADER as u64) / 8 * 64
}

/// What is what in a file that is not damaged. `is_read` tells what somebody who opens the database
/// and asks for everything reads; where nothing is known of that, what the newest meta slot leads to
/// is all that counts.
pub(super) fn of_database(
    file: &[u8],
    root: &Root,
    is_read: Option<&dyn Fn(u64) -> bool>,
) -> Layout {
    let mut layout = Layout::default();
    let bitmaps = bitmaps(file, root);
    let is_used = |number: u64| {
        let (region, bit) = (number / region_pages(root), number % region_pages(root));
        let bitmap = bitmaps.get(region as usize).map(|bitmap| page(file, root, *bitmap));
        bitmap.is_some_and(|bits| bits[HEADER + bit as usize / 8] >> (bit % 8) & 1 == 1)
    };
    let size = root.page;
    for number in 0..file.len() as u64 / size {
        let (from, to, bytes) = (number * size, (number + 1) * size, page(file, root, number));
        if SLOTS.contains(&from) {
            let of = if from == root.slot { Use::Meta } else { Use::OtherMeta };
            layout.push(from + SLOT_USED as u64, of);
            layout.push(to, Use::Padding);
            continue;
        }
        let (end, of) = in_use(bytes, number, &root.uuid);
        // Of a log's long values the file itself knows nothing.
        let of = match (is_used(number), of) {
            (true, of) => of,
            (false, Use::Extent) if is_read.is_some() => Use::Ahead,
            (false, _) => Use::Free,
        };
        // What the log takes the place of is looked at by nobody.
        let read_to = |of| match is_read {
            Some(is_read) if !(from..from + end as u64).any(is_read) => Use::Free,
            _ => of,
        };
        layout.push(from + end as u64, read_to(of));
        layout.push(to, if read_to(of) == Use::Free { Use::Free } else { Use::Padding });
    }
    layout.push(file.len() as u64, Use::Free);
    layout
}

/// Puts a directory of directories above the one at the top, at the end of the file. The engine makes
/// one where a file has more than 43 GB, and reads one wherever it is. Answers which bitmap was changed.
pub(super) fn graft_directory(file: &mut Vec<u8>) -> u64 {
    let root = root(file).expect("the file is whole");
    let (number, size) = (root.pages, root.page as usize);
    file.resize((number as usize + 1) * size, 0);
    let (region, bit) = (number / region_pages(&root), number % region_pages(&root));
    let bitmap = bitmaps(file, &root)[region as usize];
    let seal = |file: &mut Vec<u8>, number: u64| {
        let bytes = &mut file[number as usize * size..][..size];
        let sum = sum(bytes, number, &root.uuid);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
    };
    file[bitmap as usize * size + HEADER + bit as usize / 8] |= 1 << (bit % 8);
    seal(file, bitmap);
    let top = page(file, &root, root.space).to_vec();
    let new = &mut file[number as usize * size..];
    // Kind, birth and stamp are those of the page below.
    new[4..HEADER].copy_from_slice(&top[4..HEADER]);
    let level = root.space_depth as u8 + 1;
    new[5..8].copy_from_slice(&[level, 1, 0]);
    new[8..16].copy_from_slice(&number.to_le_bytes());
    new[HEADER..HEADER + 8].copy_from_slice(&root.space.to_le_bytes());
    new[HEADER + 8..HEADER + REFERENCE].copy_from_slice(&top[24..28]);
    seal(file, number);
    for slot in SLOTS {
        let slot = &mut file[slot as usize..][..SLOT_USED];
        slot[84..92].copy_from_slice(&number.to_le_bytes());
        slot[92..96].copy_from_slice(&top[24..28]);
        slot[96] = level;
        slot[104..112].copy_from_slice(&(number + 1).to_le_bytes());
        let sum = crc(&[&slot[..508]]);
        slot[508..].copy_from_slice(&sum.to_le_bytes());
    }
    bitmap
}

/// What the bytes of a page are for that something leads to: a page with a header passes its
/// checksum.
fn in_use(bytes: &[u8], number: u64, uuid: &[u8; 16]) -> (usize, Use) {
    let of = PageKind::of(bytes).map(|(kind, packed)| {
        let stored = 42 + u16::from_le_bytes([bytes[40], bytes[41]]) as usize;
        let end = if packed.is_some() { stored.min(bytes.len()) } else { bytes.len() };
        (end, kind, packed)
    });
    match of {
        Some((end, kind, packed)) if sum(&bytes[..end], number, uuid) == u32_at(bytes, 0) => {
            let is_high = kind == PageKind::Directory && bytes[5] > 1;
            (end, if is_high { Use::HighDirectory } else { Use::Page(kind, packed) })
        }
        _ => (bytes.len() - zeros_at_end(bytes), Use::Extent),
    }
}

/// The checksum that a page should carry.
fn sum(stored: &[u8], number: u64, uuid: &[u8; 16]) -> u32 {
    crc(&[uuid, &number.to_le_bytes(), &stored[24..28], &stored[4..]])
}

fn zeros_at_end(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| **byte == 0).count()
}
