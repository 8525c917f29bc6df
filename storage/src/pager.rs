//! The pager: where a page's bytes are, and whether they can be trusted.
//!
//! A page that was changed since the last checkpoint is in a frame, found through the page table;
//! every other page is in the file, read through the map or, by the `Buffered` source, into the page
//! cache. Once a descent has reached a page in the file, all pages below it are in the file too,
//! because a page is written only together with or after everything it refers to; so the table is
//! consulted no further down.

use crate::budget::Budget;
use crate::cache::{self, Cache, Claim, PageCacheUse};
use crate::entry::{Entry, LongValue};
use crate::extent::{self, Extents};
use crate::frames::{FrameId, Frames, PageTable, mapped};
use crate::node::{self, Node};
use crate::packed_page;
use crate::page::{self, Seed};
use crate::pin::Pinned;
use crate::store;
use crate::stream::ValueReader;
use crate::{
    Compression, Error, PageId, PageRef, PageSource, Reference, Result, StoreOptions, TreeId,
};
use llmdb_vfs::{File, Map};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Long values are read in pieces of at most so many bytes.
const READ_BYTES_MAX: usize = 1 << 20;

/// What readers and the writer share of an open file.
pub struct Pager {
    pub(crate) file: Arc<dyn File>,
    /// `None`: the source is `Buffered`, and the file is never mapped.
    map: Option<Map>,
    /// Made at once with the `Buffered` source, else when the first page goes into it.
    cache: OnceLock<Cache>,
    cache_frames: usize,
    /// How leaves are compressed, by tree; those of other trees are not.
    page_compression: RwLock<Arc<BTreeMap<TreeId, Compression>>>,
    pub(crate) page_size: usize,
    pub(crate) frames: Frames,
    pub(crate) table: PageTable,
    pub(crate) seed: Seed,
    pub(crate) budget: Arc<Budget>,
    /// Held while the file grows or is cut: by checkpoints and writers of long values alike.
    resizing: parking_lot::Mutex<()>,
    /// Pages that the file has room for; touching the map beyond would be a signal.
    file_pages: AtomicU64,
    /// Long values were written ahead of their commits since the file was last synced for them.
    written_ahead: AtomicBool,
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager")
            .field("file", &self.file.path())
            .field("page_size", &self.page_size)
            .field("file_pages", &self.file_pages())
            .finish()
    }
}

/// How far into the file a descent has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Where {
    /// Pages may be in frames: ask the table.
    Anywhere,
    /// All pages from here down are in the file.
    InFile,
}

/// Frames of the page cache: what was asked for, but no more than a quarter of the budget beyond
/// what writing needs, so that pages read never crowd out those to be written.
fn cache_frames(options: &StoreOptions, page_size: usize) -> Result<usize> {
    let least = store::FRAMES_MIN * page_size as u64;
    let share = (options.budget.limit().saturating_sub(least) / 4).max(cache::bytes_min(page_size));
    cache::frames_for(options.page_cache_bytes.min(share), page_size)
}

impl Pager {
    pub(crate) fn new(
        file: Arc<dyn File>,
        page_size: usize,
        uuid: &[u8; 16],
        options: &StoreOptions,
    ) -> Result<Self> {
        // The whole file is within reach, whatever the options say, with room to grow.
        let bytes = options.map_bytes.max(file.len()?.saturating_mul(2));
        let (map, bytes) = match options.page_source {
            PageSource::Mmap => {
                let map = file.map(bytes)?;
                let reserved = map.reserved();
                (Some(map), reserved)
            }
            PageSource::Buffered => (None, bytes),
        };
        let pages = bytes / page_size as u64;
        // Every frame in use is charged to the budget, which may still be raised to this: more of
        // them are never needed.
        let raised = store::FRAMES_MIN * page_size as u64 + 2 * cache::bytes_min(page_size);
        let frame_bytes = options.frame_bytes.min(options.budget.limit().max(raised));
        let frames = (frame_bytes / page_size as u64).min(u64::from(u32::MAX) - 1) as u32;
        // A longer file is there, but not within reach: nothing of it may be touched beyond.
        let file_pages = AtomicU64::new((file.len()? / page_size as u64).min(pages));
        let pager = Pager {
            frames: Frames::new(page_size, frames)?,
            table: PageTable::new(pages)?,
            seed: Seed::new(uuid),
            resizing: parking_lot::Mutex::new(()),
            budget: options.budget.clone(),
            cache: OnceLock::new(),
            page_compression: RwLock::default(),
            cache_frames: cache_frames(options, page_size)?,
            file,
            map,
            page_size,
            file_pages,
            written_ahead: AtomicBool::new(false),
        };
        if pager.map.is_none() {
            // While the budget has room for it.
            pager.cache()?;
        }
        Ok(pager)
    }

    /// Where pages that are in the file are read from.
    pub fn page_source(&self) -> PageSource {
        match self.map {
            Some(_) => PageSource::Mmap,
            None => PageSource::Buffered,
        }
    }

    /// How full the page cache is, and what it did. All zeros until a page goes into it.
    pub fn page_cache(&self) -> PageCacheUse {
        self.cache.get().map(Cache::usage).unwrap_or_default()
    }

    pub(crate) fn page_compression(&self) -> Arc<BTreeMap<TreeId, Compression>> {
        self.page_compression.read().clone()
    }

    /// From now on leaves are compressed so. Makes the page cache that they will be read through,
    /// while the budget has room for it.
    pub(crate) fn set_page_compression(
        &self,
        by_tree: BTreeMap<TreeId, Compression>,
    ) -> Result<()> {
        if !by_tree.is_empty() {
            self.cache()?;
        }
        *self.page_compression.write() = Arc::new(by_tree);
        Ok(())
    }

    pub(crate) fn map(&self) -> Option<&Map> {
        self.map.as_ref()
    }

    pub(crate) fn cache_frames(&self) -> usize {
        self.cache_frames
    }

    pub(crate) fn cache(&self) -> Result<&Cache> {
        if self.cache.get().is_none() {
            let least = store::FRAMES_MIN * self.page_size as u64;
            self.budget.raise(least + 2 * cache::bytes_min(self.page_size));
            // Where two come at once, one of the two is dropped, empty.
            let _ =
                self.cache.set(Cache::new(self.page_size, self.cache_frames, self.budget.clone())?);
        }
        Ok(self.cache.get().expect("just set"))
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// What memory is counted against.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Pages that the file has room for.
    pub fn file_pages(&self) -> u64 {
        // Pairs with the Release in `grow`.
        self.file_pages.load(Ordering::Acquire)
    }

    /// Makes the file at least `pages` long, in steps, so that few commits pay for growth.
    pub(crate) fn grow(&self, pages: u64) -> Result<()> {
        if pages <= self.file_pages() {
            return Ok(());
        }
        let _alone = self.resizing.lock();
        let now = self.file_pages();
        if pages <= now {
            return Ok(());
        }
        if pages > self.table.pages() {
            return Err(Error::Full { pages: self.table.pages() });
        }
        const STEP_BYTES_MAX: u64 = 64 << 20;
        let step = (now / 8).clamp(1, STEP_BYTES_MAX / self.page_size as u64);
        let page_size = self.page_size as u64;
        let allocate = |pages: u64| {
            self.file.allocate(now * page_size, (pages - now) * page_size).map(|()| pages)
        };
        // Where the step does not fit on the device, exactly what is needed may.
        let generous = pages.max(now + step).min(self.table.pages());
        let pages = allocate(generous).or_else(|_| allocate(pages))?;
        self.file_pages.store(pages, Ordering::Release);
        Ok(())
    }

    /// Cuts the file to `pages`. No live root, and no page taken by anybody, lies beyond: so nobody
    /// holds, or ever forms again, a reference to the map there.
    pub(crate) fn cut(&self, pages: u64) -> Result<()> {
        let _alone = self.resizing.lock();
        if pages >= self.file_pages() {
            return Ok(());
        }
        // Before the file: a reference beyond is an error from here on, not a signal.
        self.file_pages.store(pages, Ordering::Release);
        Ok(self.file.set_len(pages * self.page_size as u64)?)
    }

    /// The page that `page_ref` names, found good.
    ///
    /// # Errors
    /// Damage; the file system's; [`Error::PagesHeld`] where the page cache has no room.
    ///
    /// # Safety
    /// A root that reaches the page is pinned while the page is used: neither its frame nor its
    /// place in the file gets other bytes (I1).
    #[inline]
    pub(crate) unsafe fn page(&self, page_ref: PageRef, at: &mut Where) -> Result<Pinned<'_>> {
        // Most pages by far: in the file, under the map, seen before.
        if let Some(map) = &self.map
            && *at == Where::InFile
            && page_ref.id.0 < self.file_pages()
            && self.table.is_verified(page_ref.id)
        {
            // SAFETY: as in `page_in_map`.
            let bytes =
                unsafe { mapped(map, page_ref.id.0 * self.page_size as u64, self.page_size) };
            if page::stamp(bytes) == page_ref.stamp {
                return Ok(Pinned::free(bytes));
            }
        }
        // SAFETY: passed on to the caller.
        unsafe { self.page_elsewhere(page_ref, at) }
    }

    /// As [`Pager::page`], wherever the page is.
    ///
    /// # Safety
    /// As [`Pager::page`].
    #[inline(never)]
    unsafe fn page_elsewhere(&self, page_ref: PageRef, at: &mut Where) -> Result<Pinned<'_>> {
        // SAFETY: passed on to the caller.
        if let Some(bytes) = unsafe { self.page_in_frame(page_ref, at)? } {
            return Ok(Pinned::free(bytes));
        }
        if let Some(map) = &self.map {
            // SAFETY: passed on to the caller.
            if let Some(bytes) = unsafe { self.page_in_map(map, page_ref)? } {
                return Ok(Pinned::free(bytes));
            }
        }
        self.page_in_cache(page_ref)
    }

    /// The page in the write-back cache, if it is not in the file yet.
    ///
    /// # Safety
    /// As [`Pager::page`].
    #[inline]
    pub(crate) unsafe fn page_in_frame(
        &self,
        page_ref: PageRef,
        at: &mut Where,
    ) -> Result<Option<&[u8]>> {
        // SAFETY: the page is pinned by the caller, so its frame is neither freed nor edited; only
        // the writer sees pages that are still edited, and it does not edit one while it reads it.
        let bytes = |frame| unsafe { self.frames.bytes(frame) };
        // SAFETY: passed on to the caller.
        Ok(unsafe { self.frame_of(page_ref, at)? }.map(bytes))
    }

    /// The page as the writer holds it while it edits others: the page cache may have no room for
    /// it, because readers hold every page of it, and must not stop a batch half-way.
    ///
    /// # Errors
    /// Damage; the file system's.
    ///
    /// # Safety
    /// As [`Pager::page`], and no other than the writer calls it.
    pub(crate) unsafe fn page_to_edit(&self, page_ref: PageRef, at: &mut Where) -> Result<Held> {
        // SAFETY: passed on to the caller.
        if let Some(frame) = unsafe { self.frame_of(page_ref, at)? } {
            return Ok(Held::Frame(frame));
        }
        if let Some(map) = &self.map {
            // SAFETY: passed on to the caller.
            if unsafe { self.page_in_map(map, page_ref)? }.is_some() {
                return Ok(Held::InMap);
            }
        }
        let cached = self.cache()?.hit(page_ref.id);
        if let Some(page) = cached.filter(|page| page::own_ref(page) == page_ref) {
            return Ok(Held::Copy(Arc::from(&*page)));
        }
        let mut bytes = vec![0; self.page_size];
        self.read_page(page_ref, &mut bytes)?;
        Ok(Held::Copy(bytes.into()))
    }

    /// The bytes of a page that [`Pager::page_to_edit`] led to.
    ///
    /// # Safety
    /// As [`Pager::page_to_edit`]; a frame is not edited meanwhile.
    pub(crate) unsafe fn held<'h>(&'h self, id: PageId, held: &'h Held) -> &'h [u8] {
        match held {
            // SAFETY: passed on to the caller.
            Held::Frame(frame) => unsafe { self.frames.bytes(*frame) },
            // SAFETY: as above, and within the file: it was read from there before.
            Held::InMap => unsafe {
                let map = self.map.as_ref().expect("it was found in the map");
                mapped(map, id.0 * self.page_size as u64, self.page_size)
            },
            Held::Copy(bytes) => bytes,
        }
    }

    /// The frame of the write-back cache that holds the page, if it is not in the file yet.
    ///
    /// # Safety
    /// As [`Pager::page`].
    #[inline]
    unsafe fn frame_of(&self, page_ref: PageRef, at: &mut Where) -> Result<Option<FrameId>> {
        let id = page_ref.id;
        if id.0 >= self.table.pages() {
            return Err(Error::corrupt(id, "a reference leads beyond the largest file"));
        }
        if *at == Where::InFile {
            return Ok(None);
        }
        let Some(frame) = self.table.get(id) else {
            *at = Where::InFile;
            return Ok(None);
        };
        // SAFETY: as in `page_in_frame`.
        let bytes = unsafe { self.frames.bytes(frame) };
        match page::own_ref(bytes) == page_ref {
            true => Ok(Some(frame)),
            false => Err(another_allocation(id)),
        }
    }

    /// The bytes of a page in the file, through the map, verified on the first touch. `None` for
    /// one that is stored compressed, which has to go through the page cache.
    ///
    /// # Safety
    /// As [`Pager::page`].
    #[inline]
    unsafe fn page_in_map<'m>(&self, map: &'m Map, page_ref: PageRef) -> Result<Option<&'m [u8]>> {
        let id = page_ref.id;
        self.check_in_file(id, 1)?;
        // SAFETY: within the file by the check (which is cut only where no live root reaches), hence
        // within the map (`grow` keeps to it); unchanged meanwhile by the caller's pin.
        let bytes = unsafe { mapped(map, id.0 * self.page_size as u64, self.page_size) };
        if !self.table.is_verified(id) {
            if page::packed_by(bytes).is_some() {
                return Ok(None);
            }
            self.seed.verify(bytes, page_ref)?;
            Node::new(bytes).validate(id)?;
            self.table.set_verified(id);
        } else if page::stamp(bytes) != page_ref.stamp {
            return Err(another_allocation(id));
        }
        Ok(Some(bytes))
    }

    /// A page in the file, through the page cache; verified when it is read.
    fn page_in_cache(&self, page_ref: PageRef) -> Result<Pinned<'_>> {
        let (id, cache) = (page_ref.id, self.cache()?);
        if let Some(page) = cache.hit(id) {
            if page::stamp(&page) == page_ref.stamp {
                return Ok(page);
            }
            // Read under a reference that does not fit this one: the file decides which is right.
            drop(page);
            cache.forget(id);
        }
        match cache.claim(id)? {
            Claim::Hit(page) if page::stamp(&page) == page_ref.stamp => Ok(page),
            Claim::Hit(_) => Err(another_allocation(id)),
            Claim::Load(mut ticket) => match self.read_page(page_ref, ticket.bytes_mut()) {
                Ok(()) => Ok(ticket.land()),
                Err(error) => {
                    ticket.fail(&error);
                    Err(error)
                }
            },
        }
    }

    /// Reads a page of the file into `bytes`, which are as long as a page, and judges it.
    pub(crate) fn read_page(&self, page_ref: PageRef, bytes: &mut [u8]) -> Result<()> {
        self.check_in_file(page_ref.id, 1)?;
        self.file.read_exact_at(bytes, page_ref.id.0 * self.page_size as u64)?;
        if page::packed_by(bytes).is_none() {
            self.seed.verify(bytes, page_ref)?;
            return Node::new(bytes).validate(page_ref.id);
        }
        let stored = bytes.to_vec();
        self.unpack(&stored, page_ref, bytes)
    }

    /// Makes a node of a page's stored bytes, which are judged.
    pub(crate) fn unpack(&self, stored: &[u8], page_ref: PageRef, to: &mut [u8]) -> Result<()> {
        self.seed.verify(stored, page_ref)?;
        match page::packed_by(stored) {
            Some(_) => packed_page::unpack(stored, to, page_ref.id)?,
            None => to.copy_from_slice(stored),
        }
        Node::new(to).validate(page_ref.id)
    }

    /// `page` is about to get other bytes, in a frame or in the file: what is known of those in the
    /// file is forgotten.
    pub(crate) fn forget(&self, page: PageId) {
        self.table.clear_verified(page);
        if let Some(cache) = self.cache.get() {
            cache.forget(page);
        }
    }

    fn check_in_file(&self, id: PageId, pages: u64) -> Result<()> {
        match id.0.checked_add(pages) {
            Some(end) if end <= self.file_pages() => Ok(()),
            _ => Err(Error::corrupt(id, "a reference leads beyond the end of the file")),
        }
    }

    /// The bytes of `pages` pages in the file, unverified, where they lie together in memory: with
    /// the `Mmap` source.
    ///
    /// # Safety
    /// As [`Pager::page`].
    pub(crate) unsafe fn bytes_in_map(&self, id: PageId, pages: u64) -> Result<Option<&[u8]>> {
        self.check_in_file(id, pages)?;
        let len = pages as usize * self.page_size;
        // SAFETY: as in `page_in_map`.
        let bytes = |map| unsafe { mapped(map, id.0 * self.page_size as u64, len) };
        Ok(self.map.as_ref().map(bytes))
    }

    /// Appends the bytes of `pages` pages in the file, unverified, to `to`. They do not go through
    /// the page cache.
    ///
    /// # Safety
    /// As [`Pager::page`].
    pub(crate) unsafe fn append_bytes(
        &self,
        id: PageId,
        pages: u64,
        to: &mut Vec<u8>,
    ) -> Result<()> {
        // SAFETY: passed on to the caller.
        if let Some(bytes) = unsafe { self.bytes_in_map(id, pages)? } {
            to.extend_from_slice(bytes);
            return Ok(());
        }
        let mut offset = id.0 * self.page_size as u64;
        let end = offset + pages * self.page_size as u64;
        while offset < end {
            let (start, piece) = (to.len(), READ_BYTES_MAX.min((end - offset) as usize));
            to.resize(start + piece, 0);
            self.file.read_exact_at(&mut to[start..], offset)?;
            offset += piece as u64;
        }
        Ok(())
    }

    /// A long value was written that a record of the log is going to name.
    pub(crate) fn note_written(&self) {
        // Pairs with the AcqRel in `sync_written`.
        self.written_ahead.store(true, Ordering::Release);
    }

    /// Makes every value durable that was written ahead and that a record appended before this
    /// call can name. To be called before the log is synced, each time.
    ///
    /// # Errors
    /// A failed sync, after which nobody knows what is durable: writing must stop.
    pub fn sync_written(&self) -> Result<(), llmdb_vfs::Error> {
        // A value written after this exchange is named by a record appended after it.
        match self.written_ahead.swap(false, Ordering::AcqRel) {
            true => self.file.sync_data(),
            false => Ok(()),
        }
    }

    /// A value that a write names and no version has yet. The bytes are checked as they are read;
    /// they are whole while the run that they lie in is reserved.
    ///
    /// # Errors
    /// [`Error::CorruptPage`] for a descriptor that contradicts itself.
    pub fn unborn(&self, descriptor: &[u8]) -> Result<Entry<'_>> {
        let (extents, head) = Extents::decode(descriptor, PageId(0), self.page_size)?;
        Ok(Entry::Long(LongValue::unborn(self, extents, head)))
    }

    /// Whether the bytes that a record of the log names are all there.
    ///
    /// # Errors
    /// Failed reads; damage is an answer.
    pub fn is_whole(&self, reference: &Reference) -> Result<bool> {
        match ValueReader::new(self, (*reference.extents).clone()).check() {
            Ok(()) => Ok(true),
            Err(error) if error.is_corruption() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The longest key.
    pub fn key_len_max(&self) -> usize {
        node::key_len_max(self.page_size)
    }

    /// Whether a key and a value may be written at all.
    ///
    /// # Errors
    /// [`Error::EmptyKey`], [`Error::KeyTooLong`], [`Error::ValueTooLong`].
    pub fn check_sizes(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if key.is_empty() {
            return Err(Error::EmptyKey);
        }
        if key.len() > self.key_len_max() {
            return Err(Error::KeyTooLong { len: key.len(), max: self.key_len_max() });
        }
        if value.len() > extent::VALUE_MAX {
            return Err(Error::ValueTooLong { len: value.len(), max: extent::VALUE_MAX });
        }
        Ok(())
    }

    /// Whether a value lies in the leaf, beside its key.
    pub(crate) fn is_inline(&self, key: &[u8], value: &[u8]) -> bool {
        node::is_inline(self.page_size, key.len(), value.len())
    }
}

/// How the writer holds a page that it has read.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// In a frame of the write-back cache.
    Frame(FrameId),
    /// In the file, through the map.
    InMap,
    /// Read from the file, or copied from the page cache.
    Copy(Arc<[u8]>),
}

impl Held {
    pub(crate) fn frame(&self) -> Option<FrameId> {
        match self {
            Held::Frame(frame) => Some(*frame),
            Held::InMap | Held::Copy(_) => None,
        }
    }
}

fn another_allocation(id: PageId) -> Error {
    Error::corrupt(id, "it is another allocation than its parent names")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, create, open};
    use llmdb_vfs::{MemVfs, Vfs};
    use std::path::Path;

    /// Every way to a page compares the stamp: in a frame, on the first touch in the file, and
    /// when the file's bytes were found good before.
    #[test]
    fn another_allocation_of_a_page_is_noticed_wherever_it_lies() {
        for page_source in [PageSource::Mmap, PageSource::Buffered] {
            check_stamps(&StoreOptions { page_source, ..StoreOptions::default() });
        }
    }

    fn check_stamps(options: &StoreOptions) {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
        let path = Path::new("/t.llmdb");
        create(&vfs, path, options).unwrap();
        let mut opened = open(&vfs, path, options).unwrap();
        let tree = opened.writer.create_tree("t");
        let mut batch = Batch::new();
        batch.put(tree, b"k", b"v");
        opened.writer.apply(&batch).unwrap();
        let check = |root: PageRef, pager: &Pager| {
            let stale = PageRef { stamp: root.stamp ^ 1, ..root };
            // SAFETY: nothing is edited or freed while the nodes are looked at.
            let load = |page| unsafe { pager.page(page, &mut Where::Anywhere).is_ok() };
            assert!(!load(stale));
            assert!(load(root));
            assert!(!load(stale));
        };
        check(opened.writer.roots.get(tree).unwrap(), &opened.pager);
        let checkpoint = opened.writer.begin_checkpoint(opened.mark).unwrap();
        checkpoint.write(&opened.pager).unwrap();
        checkpoint.commit(&opened.pager).unwrap();
        opened.writer.finish_checkpoint(checkpoint);
        check(opened.writer.roots.get(tree).unwrap(), &opened.pager);
    }
}
