//! The damaged file: read piece by piece, never mapped and never written.

use crate::extent::{self, CHUNK, Extents};
use crate::node::{Cell, Node};
use crate::page::{self, Kind, PAGE_SIZES, Seed};
use crate::{Error, PageId, PageRef, Result, compress, packed_page};
use llmdb_vfs::File;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// So many pages of one database are enough to tell its page size and its seed.
const VOTES_ENOUGH: u64 = 32;
/// More seeds than this are not counted: a database has one.
const SEEDS_MAX: usize = 1 << 16;
/// What of a page's kind says what it is; the rest is how it is stored.
const KIND: u8 = 0x0f;

/// The damaged file, whose pages can be told from other bytes.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: Arc<dyn File>,
    pub(super) page_size: usize,
    /// Whole pages that the file has.
    pub(super) pages: u64,
    seed: Seed,
}

impl Source {
    pub(super) fn new(file: Arc<dyn File>, page_size: usize, seed: Seed) -> Result<Self> {
        let pages = file.len()? / page_size as u64;
        Ok(Source { file, page_size, pages, seed })
    }

    /// Without a meta page: page size and seed are those that most pages agree on. A page names its
    /// own place; and from its bytes and its checksum the seed follows. `None`: no two pages agree.
    ///
    /// # Errors
    /// None of reading: what cannot be read has no vote.
    pub(super) fn guess(file: &Arc<dyn File>) -> Result<Option<Self>> {
        let mut best: Option<(u64, usize, u32)> = None;
        let mut page_size = *PAGE_SIZES.start();
        while page_size <= *PAGE_SIZES.end() {
            if let Some((votes, seed)) = vote(&**file, page_size)?
                && best.is_none_or(|(most, ..)| votes > most)
            {
                best = Some((votes, page_size, seed));
            }
            page_size *= 2;
        }
        match best.filter(|(votes, ..)| *votes > 1) {
            Some((_, page_size, seed)) => {
                Source::new(file.clone(), page_size, Seed::of_crc(seed)).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The bytes of a page, if they can be read.
    pub(super) fn read(&self, id: PageId, buf: &mut Vec<u8>) -> Result<()> {
        if id.0 >= self.pages {
            return Err(Error::corrupt(id, "it lies beyond the end of the file"));
        }
        buf.resize(self.page_size, 0);
        Ok(self.file.read_exact_at(buf, id.0 * self.page_size as u64)?)
    }

    /// Reads the node that `page_ref` names, if it is there and sound by itself.
    ///
    /// # Errors
    /// [`Error::NoCodec`], here and below: what this build cannot read is not lost.
    pub(super) fn node(&self, page_ref: PageRef, buf: &mut Vec<u8>) -> Result<bool> {
        if self.read(page_ref.id, buf).is_err() {
            return Ok(false);
        }
        Ok(if_sound(self.judge(page_ref, buf))?.is_some())
    }

    /// Reads the leaf at `id`, whatever it was part of, if there is a sound one.
    pub(super) fn leaf(&self, id: PageId, buf: &mut Vec<u8>) -> Result<bool> {
        let there = self.read(id, buf).is_ok()
            && page::kind(buf) & KIND == Kind::Leaf as u8
            && page::id(buf) == id.0;
        Ok(there && if_sound(self.judge(page::own_ref(buf), buf))?.is_some())
    }

    /// Judges the node in `buf`, which is unpacked there if it is stored compressed.
    fn judge(&self, page_ref: PageRef, buf: &mut Vec<u8>) -> Result<()> {
        self.seed.verify(buf, page_ref)?;
        if page::packed_by(buf).is_some() {
            let mut leaf = vec![0; buf.len()];
            packed_page::unpack(buf, &mut leaf, page_ref.id)?;
            *buf = leaf;
        }
        Node::new(buf).validate(page_ref.id)
    }

    /// The value of an entry of the leaf `leaf`, if it is sound.
    pub(super) fn value<'c>(&self, cell: &Cell<'c>, leaf: PageId) -> Result<Option<Cow<'c, [u8]>>> {
        let stored = match cell.form.is_in_extents() {
            true => self.long(cell.body, leaf).map(Cow::Owned),
            false => Ok(Cow::Borrowed(cell.body)),
        };
        if_sound(match cell.form.is_packed() {
            true => stored.and_then(|stored| compress::unpack_value(&stored, leaf).map(Cow::Owned)),
            false => stored,
        })
    }

    /// A long value, with its head before it: memory is what its descriptor says, at most as much as
    /// the file has.
    pub(super) fn long(&self, body: &[u8], leaf: PageId) -> Result<Vec<u8>> {
        let (extents, head) = Extents::decode(body, leaf, self.page_size)?;
        let tail = self.tail(&extents)?;
        Ok(if head.is_empty() { tail } else { [head, &tail].concat() })
    }

    fn tail(&self, extents: &Extents) -> Result<Vec<u8>> {
        let size = self.page_size as u64;
        let total: u64 = extents.parts.iter().map(|part| part.1).sum();
        let inside = |&(page, pages): &(PageId, u64)| {
            page.0.checked_add(pages).is_some_and(|end| end <= self.pages)
        };
        if total > self.pages || !extents.parts.iter().all(inside) {
            return Err(Error::corrupt(
                extents.first(),
                "a value leads beyond the end of the file",
            ));
        }
        let (first, len) = (extents.first(), extents.len as usize);
        let mut stream = vec![0; (total * size) as usize];
        let mut at = 0;
        for &(page, pages) in &extents.parts {
            let end = at + (pages * size) as usize;
            self.file.read_exact_at(&mut stream[at..end], page.0 * size)?;
            at = end;
        }
        let check = |bytes: &[u8], expected: u32| {
            let found = self.seed.extent(first, bytes);
            match found == expected {
                true => Ok(()),
                false => Err(Error::ChecksumMismatch { page: first, expected, found }),
            }
        };
        let table = len..len + extent::table_len(len);
        let checked = if table.is_empty() { &stream[..len] } else { &stream[table.clone()] };
        check(checked, extents.check)?;
        for (chunk, sum) in stream[..len].chunks(CHUNK).zip(stream[table].chunks_exact(4)) {
            check(chunk, u32::from_le_bytes(sum.try_into().expect("four bytes")))?;
        }
        stream.truncate(len);
        Ok(stream)
    }
}

/// What was read, if it is sound.
fn if_sound<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error @ Error::NoCodec { .. }) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The seed that most pages of this size agree on, and how many do.
fn vote(file: &dyn File, page_size: usize) -> Result<Option<(u64, u32)>> {
    let table = reversed_table();
    let mut votes: HashMap<u32, u64> = HashMap::new();
    let mut bytes = vec![0; page_size];
    for id in 0..file.len()? / page_size as u64 {
        let (header, offset) = (page::HEADER, id * page_size as u64);
        let there = file.read_at(&mut bytes[..header], offset).is_ok_and(|got| got == header);
        let kinds = Kind::Leaf as u8..=Kind::Directory as u8;
        let kind = page::kind(&bytes) & KIND;
        if !there || id == 0 || page::id(&bytes) != id || !kinds.contains(&kind) {
            continue;
        }
        if file.read_exact_at(&mut bytes, offset).is_err() {
            continue;
        }
        let seed = seed_of(&bytes, &table);
        if votes.len() < SEEDS_MAX || votes.contains_key(&seed) {
            let count = votes.entry(seed).or_default();
            *count += 1;
            if *count >= VOTES_ENOUGH {
                return Ok(Some((*count, seed)));
            }
        }
    }
    Ok(votes.into_iter().map(|(seed, count)| (count, seed)).max())
}

/// The seed with which an intact page has the checksum that it carries: a CRC is a shift register,
/// and runs backwards as well.
fn seed_of(page: &[u8], table: &[(u32, u8); 256]) -> u32 {
    let id = page::id(page).to_le_bytes();
    let stamp = page::stamp(page).to_le_bytes();
    let covered = page[4..page::stored_end(page)].iter();
    let bytes = covered.rev().chain(stamp.iter().rev()).chain(id.iter().rev());
    let end = bytes.fold(!page::checksum(page), |state, &byte| {
        let (entry, index) = table[(state >> 24) as usize];
        ((state ^ entry) << 8) | u32::from(index ^ byte)
    });
    !end
}

/// The table of the CRC-32, by the top byte of its entries: no two share one.
fn reversed_table() -> [(u32, u8); 256] {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [(0, 0); 256];
    for index in 0..=255u8 {
        let entry = (0..8).fold(u32::from(index), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 }
        });
        table[(entry >> 24) as usize] = (entry, index);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_follows_from_any_page() {
        let seed = Seed::new(&[7; 16]);
        let mut page: Vec<u8> = (0..4096u32).map(|i| (i * i % 251) as u8).collect();
        page::set_id(&mut page, 9);
        page::set_stamp(&mut page, 0x0102_0304);
        let sum = seed.checksum(&page, page::own_ref(&page));
        page::set_checksum(&mut page, sum);
        let found = Seed::of_crc(seed_of(&page, &reversed_table()));
        found.verify(&page, page::own_ref(&page)).unwrap();
        // Stored compressed, the end of its place is not covered.
        page::set_kind(&mut page, Kind::Leaf as u8 | 1 << 4);
        page::set_stored_len(&mut page, 600);
        let sum = seed.checksum(&page, page::own_ref(&page));
        page::set_checksum(&mut page, sum);
        page[1000] ^= 1;
        let found = Seed::of_crc(seed_of(&page, &reversed_table()));
        found.verify(&page, page::own_ref(&page)).unwrap();
        page[600] ^= 1;
        let found = Seed::of_crc(seed_of(&page, &reversed_table()));
        assert_ne!(found.extent(PageId(1), b"x"), seed.extent(PageId(1), b"x"));
    }
}
