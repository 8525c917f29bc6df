//! Increments: what one image has and an older one of the same lineage has not.
//!
//! A page that was born at or before the older version, and that the newer one reaches, was reached
//! all the time between: the older image has it, and all below it. So the trees are walked from
//! their roots, and nowhere below such a page.
//!
//! ```text
//! offset size  field      little-endian
//!      0   16  magic      "LLMDB\0change\r\n\x1a\n"
//!     16    4  format     version of this format: that of the database file
//!     20    4  page_size
//!     24   16  uuid
//!     40    8  lineage
//!     48    8  base       version that it builds on
//!     56    8  version    that it leads to
//!     64    8  runs       how many follow
//!     72    8  pages      how many they hold
//!     80  512  meta       the meta page of that version, as in its slot
//!   1020    4  checksum   CRC-32 of bytes 0..1020; what is between is zero
//!   1024       runs
//!
//! run: first page u64 | pages u32 | checksum u32 | the pages
//!      checksum: CRC-32 of bytes 16..64 of the header | bytes 0..12 of the run | the pages
//! ```

use crate::extent::Extents;
use crate::image::{BackupReport, COPY_BYTES, Image, NewFile, OnProgress, Progress};
use crate::meta::{FORMAT, Meta, USED as META_BYTES};
use crate::node::Node;
use crate::page;
use crate::pager::{Pager, Where};
use crate::reader::Reader;
use crate::space::Bitmap;
use crate::{Cursor, Error, PageRef, Result, TreeId, Version, meta, space_pages};
use llmdb_vfs::{File, OpenMode, Vfs};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

const MAGIC: [u8; 16] = *b"LLMDB\0change\r\n\x1a\n";
const HEADER_BYTES: usize = 1024;
const META_AT: usize = 80;
/// What the checksum of a run covers of the header: a run of another increment never passes.
const IDENTITY: std::ops::Range<usize> = 16..64;
const RUN_BYTES: usize = 16;

const _: () = assert!(META_AT + META_BYTES <= HEADER_BYTES - 4);

/// What the header of an increment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) base: Version,
    pub(crate) runs: u64,
    pub(crate) pages: u64,
    pub(crate) meta: Meta,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&FORMAT.to_le_bytes());
        put(&self.meta.page_size.to_le_bytes());
        put(&self.meta.uuid);
        put(&self.meta.lineage.to_le_bytes());
        put(&self.base.0.to_le_bytes());
        put(&self.meta.version.0.to_le_bytes());
        put(&self.runs.to_le_bytes());
        put(&self.pages.to_le_bytes());
        put(&self.meta.encode()[..META_BYTES]);
        let sum = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header; `Ok(None)` where the file is no increment.
    pub(crate) fn read(file: &dyn File) -> Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        let got = file.read_at(&mut bytes, 0)?;
        if got < 16 || bytes[..16] != MAGIC {
            return Ok(None);
        }
        let path = || file.path().to_owned();
        let bad = |what| Error::NotABackup { path: path(), what };
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
        let found = u32_at(16);
        if got >= 20 && found != FORMAT {
            return Err(Error::Version { path: path(), found, supported: FORMAT });
        }
        if got < HEADER_BYTES
            || crc32fast::hash(&bytes[..HEADER_BYTES - 4]) != u32_at(HEADER_BYTES - 4)
        {
            return Err(bad("its header is damaged"));
        }
        let meta = Meta::decode(&bytes[META_AT..META_AT + META_BYTES]).ok().flatten();
        let meta = meta.ok_or_else(|| bad("its meta page is damaged"))?;
        let header =
            Header { base: Version(u64_at(48)), runs: u64_at(64), pages: u64_at(72), meta };
        // The fields that say it twice.
        if header.encode() != bytes || header.base > meta.version {
            return Err(bad("its header contradicts itself"));
        }
        Ok(Some(header))
    }

    fn seed(&self) -> crc32fast::Hasher {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.encode()[IDENTITY]);
        crc
    }
}

/// What a backup file is of: what the next increment builds on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    pub(crate) meta: Meta,
}

impl Origin {
    /// Reads what the backup at `path`, whole or increment, is of.
    ///
    /// # Errors
    /// [`Error::NotABackup`] for any other file, a backup that was written to since included.
    pub(crate) fn read(vfs: &Arc<dyn Vfs>, path: &Path) -> Result<Origin> {
        let file = vfs.open(path, OpenMode::Read)?;
        if let Some(header) = Header::read(&*file)? {
            return Ok(Origin { meta: header.meta });
        }
        let newest = meta::Slots::read(&*file)?.newest;
        if !newest.copy {
            let what = "it is no backup, or was written to since";
            return Err(Error::NotABackup { path: path.to_owned(), what });
        }
        Ok(Origin { meta: newest })
    }

    /// Whether something of `meta` may build on this.
    ///
    /// # Errors
    /// [`Error::WrongBase`]
    pub(crate) fn check_base_of(&self, meta: &Meta, path: &Path) -> Result<()> {
        let what = if self.meta.uuid != meta.uuid || self.meta.page_size != meta.page_size {
            "it is of another database"
        } else if self.meta.lineage != meta.lineage {
            "it is of another lineage: of a copy that went its own way"
        } else if self.meta.version > meta.version {
            "it is newer"
        } else {
            return Ok(());
        };
        Err(Error::WrongBase { path: path.to_owned(), what })
    }
}

/// Writes what a held image has and the backup `base` has not to `dest`; durable when this returns,
/// or nothing at all.
///
/// # Errors
/// [`Error::NotABackup`] and [`Error::WrongBase`] for the base; [`Error::Exists`]; damage; the file
/// system's.
pub fn copy_changes(
    pager: &Pager,
    image: &Image,
    vfs: &Arc<dyn Vfs>,
    base: &Path,
    dest: &Path,
    progress: OnProgress<'_>,
) -> Result<BackupReport> {
    let origin = Origin::read(vfs, base)?;
    origin.check_base_of(&image.meta, base)?;
    let new = NewFile::begin(vfs, dest)?;
    let since = origin.meta.version;
    let changed = changed_pages(pager, image, since)?;
    let runs = runs_of(&changed, pager.page_size);
    let (count, pages) = (runs.len() as u64, changed.count_ones());
    let header = Header { base: since, runs: count, pages, meta: image.meta };
    let mut at = HEADER_BYTES as u64;
    let mut done = 0;
    let mut buffer = Vec::new();
    for (first, pages) in runs {
        buffer.clear();
        buffer.extend_from_slice(&first.to_le_bytes());
        buffer.extend_from_slice(&(pages as u32).to_le_bytes());
        buffer.resize(RUN_BYTES + pages as usize * pager.page_size, 0);
        let (head, body) = buffer.split_at_mut(RUN_BYTES);
        pager.file.read_exact_at(body, first * pager.page_size as u64)?;
        let mut crc = header.seed();
        crc.update(&head[..12]);
        crc.update(body);
        head[12..].copy_from_slice(&crc.finalize().to_le_bytes());
        new.file.write_all_at(&[IoSlice::new(&buffer)], at)?;
        at += buffer.len() as u64;
        done += pages;
        progress(Progress { done, total: changed.count_ones() });
    }
    new.file.write_all_at(&[IoSlice::new(&header.encode())], 0)?;
    new.finish()?;
    let Meta { version, seq, mark, .. } = image.meta;
    Ok(BackupReport { version, base: Some(since), seq, mark, pages, bytes: at })
}

/// Pages in page order, those that lie together together, at most so many as are read at once.
fn runs_of(pages: &Bitmap, page_size: usize) -> Vec<(u64, u64)> {
    let most = (COPY_BYTES / page_size) as u64;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for page in pages.ones() {
        match runs.last_mut() {
            Some((first, len)) if *first + *len == page && *len < most => *len += 1,
            _ => runs.push((page, 1)),
        }
    }
    runs
}

/// The pages that the image reaches and that were born after `since`.
fn changed_pages(pager: &Pager, image: &Image, since: Version) -> Result<Bitmap> {
    let meta = &image.meta;
    let space = space_pages::read(pager, meta.space, meta.space_depth)?;
    let mut changed = Bitmap::new(space_pages::region_pages(pager.page_size));
    for (page, born) in space.bitmaps.iter().chain(&space.directories) {
        if *born > since {
            changed.set(page.id.0);
        }
    }
    let catalog = [(TreeId(0), meta.catalog)];
    // SAFETY: the image is held, so nothing that it reaches is edited, freed or written over.
    let reader = unsafe { Reader::over(pager, &catalog) };
    let mut roots = vec![meta.catalog];
    let mut cursor = reader.walk(TreeId(0));
    let mut more = cursor.first()?;
    while more {
        roots.push(crate::catalog::root_of(&cursor.value()?, meta.catalog.id)?);
        more = cursor.next()?;
    }
    let mut todo: Vec<(PageRef, Option<u8>)> =
        roots.into_iter().filter(|root| !root.is_none()).map(|root| (root, None)).collect();
    while let Some((page_ref, level)) = todo.pop() {
        let mut at = Where::InFile;
        let page = reader.page(page_ref, &mut at)?;
        let node = Node::new(&page);
        if level.is_some_and(|level| level != node.level()) {
            return Err(Error::corrupt(page_ref.id, "it is not one level below its parent"));
        }
        if page::born(node.bytes()) <= since {
            continue;
        }
        // Each page is walked once: no damage makes this go round.
        if page_ref.id.0 >= meta.pages || !changed.set(page_ref.id.0) {
            return Err(Error::corrupt(page_ref.id, "it is reached twice"));
        }
        for i in 0..node.count() {
            if !node.is_leaf() {
                todo.push((node.child(i), Some(node.level() - 1)));
                continue;
            }
            let cell = node.cell(i);
            if cell.form.is_in_extents() {
                let (extents, _) = Extents::decode(cell.body, page_ref.id, pager.page_size)?;
                for &(page, pages) in extents.parts.iter().filter(|_| extents.birth > since) {
                    if page.0.checked_add(pages).is_none_or(|end| end > meta.pages) {
                        let what = "a reference leads beyond the end of the file";
                        return Err(Error::corrupt(page, what));
                    }
                    changed.set_run(page.0, pages);
                }
            }
        }
    }
    Ok(changed)
}

/// Gives every run of an increment, checked, to `take`.
///
/// # Errors
/// [`Error::NotABackup`] where the file is damaged; whatever `take` answers.
pub(crate) fn read_runs(
    file: &dyn File,
    header: &Header,
    mut take: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let bad = |what| Error::NotABackup { path: file.path().to_owned(), what };
    let page_size = header.meta.page_size as usize;
    let expected = header
        .pages
        .checked_mul(page_size as u64)
        .and_then(|bytes| bytes.checked_add(header.runs.checked_mul(RUN_BYTES as u64)?))
        .and_then(|bytes| bytes.checked_add(HEADER_BYTES as u64));
    if expected != Some(file.len()?) {
        return Err(bad("its length is not what its header says"));
    }
    let mut at = HEADER_BYTES as u64;
    let mut seen = 0;
    let mut head = [0; RUN_BYTES];
    let mut body = Vec::new();
    for _ in 0..header.runs {
        file.read_exact_at(&mut head, at)?;
        let first = u64::from_le_bytes(head[..8].try_into().expect("eight bytes"));
        let pages = u32::from_le_bytes(head[8..12].try_into().expect("four bytes"));
        let sum = u32::from_le_bytes(head[12..].try_into().expect("four bytes"));
        let len = pages as usize * page_size;
        if pages == 0
            || len > COPY_BYTES.max(page_size)
            || first.checked_add(pages.into()).is_none_or(|end| end > header.meta.pages)
        {
            return Err(bad("a run of pages is damaged"));
        }
        body.resize(len, 0);
        file.read_exact_at(&mut body, at + RUN_BYTES as u64)
            .map_err(|_| bad("a run of pages is cut"))?;
        let mut crc = header.seed();
        crc.update(&head[..12]);
        crc.update(&body);
        if crc.finalize() != sum {
            return Err(bad("a run of pages is damaged"));
        }
        take(first, &body)?;
        at += (RUN_BYTES + len) as u64;
        seen += u64::from(pages);
    }
    if seen == header.pages { Ok(()) } else { Err(bad("its runs are not what its header says")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PageId;
    use llmdb_vfs::MemVfs;

    fn header() -> Header {
        let meta = Meta {
            page_size: 4096,
            uuid: [0xab; 16],
            generation: 3,
            version: Version(9),
            seq: 3,
            mark: -4,
            catalog: PageRef { id: PageId(5), stamp: 6 },
            space: PageRef { id: PageId(7), stamp: 8 },
            space_depth: 1,
            next_tree: 10,
            pages: 33,
            lsn: 16,
            incarnation: 13,
            clean: true,
            copy: true,
            lineage: 14,
        };
        Header { base: Version(4), runs: 2, pages: 5, meta }
    }

    #[test]
    fn a_headers_bytes_are_where_the_format_says() {
        let bytes = header().encode();
        assert_eq!(bytes[..16], *b"LLMDB\0change\r\n\x1a\n");
        let field = |at: usize, len: usize| {
            bytes[at..at + len].iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b))
        };
        let fields = [(16, 4), (20, 4), (40, 8), (48, 8), (56, 8), (64, 8), (72, 8)];
        assert_eq!(fields.map(|(at, len)| field(at, len)), [2, 4096, 14, 4, 9, 2, 5]);
        assert_eq!(bytes[24..40], [0xab; 16]);
        assert_eq!(bytes[80..592], header().meta.encode()[..512]);
        assert_eq!(bytes[592..1020], [0; 428]);
    }

    #[test]
    fn every_changed_byte_of_a_header_is_noticed() {
        let vfs = MemVfs::new();
        let file = vfs.open(Path::new("/i"), OpenMode::CreateNew).unwrap();
        let bytes = header().encode();
        file.write_all_at(&[IoSlice::new(&bytes)], 0).unwrap();
        assert_eq!(Header::read(&*file).unwrap(), Some(header()));
        for (at, byte) in bytes.iter().enumerate() {
            file.write_all_at(&[IoSlice::new(&[byte ^ 0x10])], at as u64).unwrap();
            assert!(!matches!(Header::read(&*file), Ok(Some(_))), "byte {at}");
            file.write_all_at(&[IoSlice::new(&[*byte])], at as u64).unwrap();
        }
    }
}
