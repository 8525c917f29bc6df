//! Making a database file, and opening one.

use crate::budget::Budget;
use crate::cache;
use crate::catalog::Catalog;
use crate::checkpoint::CommitMark;
use crate::meta::{self, Meta, Slots};
use crate::pager::Pager;
use crate::reader::Reader;
use crate::roots::RootList;
use crate::space::{Bitmap, Pending, Space, SpaceConfig};
use crate::space_pages::{self, SpacePages};
use crate::writer::Writer;
use crate::{Cursor, Error, PageRef, PageSource, Result, TreeId, Version};
use llmdb_vfs::{EntryKind, File, OpenMode, Vfs};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A budget is never less than so many pages.
pub(crate) const FRAMES_MIN: u64 = 64;

/// How a file is laid out and how much address space it may take.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes of a page of a new file: a power of two from 4 KiB to 64 KiB. An existing file keeps
    /// its own.
    pub page_size: usize,
    /// Where pages that are in the file are read from.
    pub page_source: PageSource,
    /// Memory of the page cache, which the `Buffered` source reads into: room for at least 16
    /// pages, each with 96 bytes of accounts. It is never exceeded.
    pub page_cache_bytes: u64,
    /// Bytes that the file cannot grow beyond while it is open: address space reserved for its map,
    /// or for the page table alone with the `Buffered` source.
    pub map_bytes: u64,
    /// Address space reserved for frames. What is touched is bounded by checkpoints.
    pub frame_bytes: u64,
    /// What all memory of the database is counted against: shared with the layers above.
    pub budget: Arc<Budget>,
    /// UUID of a new file; from the system's generator where `None`.
    pub uuid: Option<[u8; 16]>,
    /// Whether the file is opened such that nothing can be written to it.
    pub read_only: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            page_size: 4096,
            page_source: PageSource::default(),
            page_cache_bytes: 128 << 20,
            map_bytes: 1 << 40,
            frame_bytes: 64 << 30,
            budget: Arc::new(Budget::unlimited()),
            uuid: None,
            read_only: false,
        }
    }
}

/// An open file, as its newest meta page has it.
#[derive(Debug)]
pub struct Opened {
    /// What readers share with the writer.
    pub pager: Arc<Pager>,
    /// The one owner of all that changes.
    pub writer: Writer,
    /// Where the log takes over.
    pub mark: CommitMark,
    /// Whether the file was closed cleanly: no log is needed.
    pub clean: bool,
    /// The file's UUID.
    pub uuid: [u8; 16],
}

/// Makes a new database at `path`, complete and durable or not at all.
///
/// # Errors
/// [`Error::BadOption`] for a page size out of range; the file system's.
pub fn create(vfs: &Arc<dyn Vfs>, path: &Path, options: &StoreOptions) -> Result<()> {
    let size = options.page_size;
    if !crate::page::PAGE_SIZES.contains(&size) || !size.is_power_of_two() {
        return Err(Error::BadOption { what: "page sizes are powers of two from 4096 to 65536" });
    }
    let uuid = match options.uuid {
        Some(given) => given,
        None => random()?,
    };
    let mut temporary = OsString::from(path);
    temporary.push("-new");
    let temporary = PathBuf::from(temporary);
    let file = vfs.open(&temporary, OpenMode::CreateOrTruncate)?;
    file.allocate(0, meta::pages_min(size) * size as u64)?;
    let none = Meta {
        page_size: size as u32,
        uuid,
        generation: 0,
        version: Version(0),
        seq: 0,
        mark: 0,
        catalog: PageRef::NONE,
        space: PageRef::NONE,
        space_depth: 0,
        next_tree: 1,
        pages: 0,
        lsn: 0,
        incarnation: 0,
        clean: false,
        copy: false,
        lineage: u64::from_le_bytes(*uuid.first_chunk().expect("eight bytes")),
    };
    let pager = Arc::new(pager(file, &none, options)?);
    let mut writer = blank_writer(pager.clone(), none, Space::new(config(&pager)));
    let mark = CommitMark { seq: 0, mark: 0, lsn: 0, incarnation: 0 };
    let checkpoint = writer.begin_checkpoint(mark)?;
    checkpoint.write(&pager).map_err(|failed| failed.error)?;
    checkpoint.commit(&pager).map_err(|failed| failed.error)?;
    writer.finish_checkpoint(checkpoint);
    for _ in 1..meta::SLOTS {
        writer.rewrite_meta(0, 0, true)?;
    }
    pager.file.sync_all()?;
    vfs.rename(&temporary, path)?;
    Ok(vfs.sync_dir(parent(path))?)
}

/// Opens the database at `path` at its newest durable checkpoint.
///
/// The caller holds the database's lock. It replays the log from [`Opened::mark`] before it serves
/// anything, and says so by [`Writer::rewrite_meta`] before the first page is written.
///
/// # Errors
/// [`Error::NotADatabase`], [`Error::Version`], [`Error::Truncated`], damage found in the catalog
/// or the bitmaps, the file system's.
pub fn open(vfs: &Arc<dyn Vfs>, path: &Path, options: &StoreOptions) -> Result<Opened> {
    if vfs.kind(path)? == Some(EntryKind::Directory) {
        let what = "this is a directory; a database is one file";
        return Err(Error::NotADatabase { path: path.to_owned(), what });
    }
    let how = if options.read_only { OpenMode::Read } else { OpenMode::ReadWrite };
    let file = vfs.open(path, how)?;
    let Slots { newest, previous, maybe_older } = Slots::read(&*file)?;
    let (expected, found) = (newest.pages * u64::from(newest.page_size), file.len()?);
    if found < expected {
        return Err(Error::Truncated { path: path.to_owned(), expected, found });
    }
    let pager = Arc::new(pager(file, &newest, options)?);
    let pages = space_pages::read(&pager, newest.space, newest.space_depth)?;
    let mut metas = vec![(newest.version, pages.frozen.clone())];
    let mut retained = vec![newest.version];
    if let Some(previous) = previous.filter(|previous| previous.version < newest.version) {
        // An older meta that cannot be read any more protects nothing.
        let older = space_pages::read(&pager, previous.space, previous.space_depth);
        match older {
            Ok(older) => {
                metas.insert(0, (previous.version, older.frozen));
                retained.insert(0, previous.version);
            }
            Err(error @ Error::Vfs(_)) => return Err(error),
            Err(_) => {}
        }
    }
    let space = Space::open(config(&pager), newest.pages, &metas).map_err(|_| {
        Error::corrupt(newest.space.id, "the bitmap marks pages beyond the end of the file")
    })?;
    let mut writer = blank_writer(pager.clone(), newest, space);
    if !options.read_only && (newest.copy || maybe_older) {
        // What is written from here on is not what the original, or the lost meta page's versions,
        // went on to: no increment of theirs fits.
        writer.meta.lineage = u64::from_le_bytes(random()?);
        writer.meta.copy = false;
    }
    writer.space_pages = pages;
    writer.retained = retained;
    load_catalog(&mut writer)?;
    let mark = CommitMark {
        seq: newest.seq,
        mark: newest.mark,
        lsn: newest.lsn,
        incarnation: newest.incarnation,
    };
    Ok(Opened { pager, writer, mark, clean: newest.clean, uuid: newest.uuid })
}

impl Writer {
    /// Marks the file as closed cleanly in every slot, each synced. The newest checkpoint must
    /// hold everything; afterwards the log may be removed (I3).
    ///
    /// # Errors
    /// As [`Writer::rewrite_meta`].
    pub fn mark_clean(&mut self, lsn: u64, incarnation: u32) -> Result<()> {
        (0..meta::SLOTS).try_for_each(|_| self.rewrite_meta(lsn, incarnation, true))
    }

    pub(crate) fn set_salt(&mut self, incarnation: u32) {
        self.salt = incarnation.wrapping_mul(0x85eb_ca6b).rotate_left(13) ^ 0x27d4_eb2f;
    }
}

fn load_catalog(writer: &mut Writer) -> Result<()> {
    let (root, pager) = (writer.meta.catalog, writer.pager.clone());
    let mut catalog = Catalog::new();
    catalog.set_next(writer.meta.next_tree);
    let roots = [(TreeId(0), root)];
    // SAFETY: the file was just opened; nothing is edited, freed or written before this returns.
    let reader = unsafe { Reader::over(&pager, &roots) };
    let mut cursor = reader.walk(TreeId(0));
    let mut more = cursor.first()?;
    while more {
        catalog.load(cursor.key(), &cursor.value()?, root.id)?;
        more = cursor.next()?;
    }
    writer.roots = RootList::new(root, catalog.roots());
    pager.set_page_compression(catalog.page_compression())?;
    writer.catalog = catalog;
    Ok(())
}

fn pager(file: Arc<dyn File>, meta: &Meta, options: &StoreOptions) -> Result<Pager> {
    let page_size = meta.page_size as usize;
    let least = FRAMES_MIN * page_size as u64;
    options.budget.raise(match options.page_source {
        PageSource::Mmap => least,
        // Twice the cache: a part of every budget is kept for checkpoints.
        PageSource::Buffered => least + 2 * cache::bytes_min(page_size),
    });
    let pager = Pager::new(file, page_size, &meta.uuid, options)?;
    if pager.table.pages() < meta::pages_min(page_size) {
        return Err(Error::BadOption { what: "the map is too small for the smallest file" });
    }
    Ok(pager)
}

fn config(pager: &Pager) -> SpaceConfig {
    SpaceConfig {
        region_pages: space_pages::region_pages(pager.page_size),
        reserved: meta::slot_pages(pager.page_size).to_vec(),
        page_count_max: pager.table.pages(),
    }
}

fn blank_writer(pager: Arc<Pager>, meta: Meta, space: Space) -> Writer {
    let region = space_pages::region_pages(pager.page_size);
    let empty = || Bitmap::new(region);
    let mut writer = Writer {
        space,
        free_frames: Default::default(),
        dirty: empty(),
        version: meta.version.next(),
        salt: 0,
        roots: RootList::new(PageRef::NONE, std::iter::empty()),
        catalog: Catalog::new(),
        cleared: Pending::default(),
        half_applied: false,
        retained: Vec::new(),
        held: Vec::new(),
        judged: Vec::new(),
        in_flight: None,
        space_pages: SpacePages { bitmaps: vec![], directories: vec![], frozen: empty() },
        poison: None,
        credit: 0,
        given_out: meta.version,
        spilled_pages: 0,
        taken_runs: Vec::new(),
        pager,
        meta,
    };
    writer.set_salt(writer.meta.incarnation);
    writer
}

/// Bytes of the system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::BadOption { what: "the system's random generator failed" })?;
    Ok(bytes)
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
