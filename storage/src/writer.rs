//! The writer: the one owner of all that changes.
//!
//! It applies batches to the trees, seals what it applied as versions, and knows which pages and
//! frames may be used again. Whoever holds it (a lock, one level up) is the only one who edits.
//!
//! ```text
//!   apply, apply, ... -> seal -> (publish, one level up) -> reclaim
//!   begin_checkpoint  -> write, without the writer -> finish_checkpoint
//! ```

use crate::catalog::Catalog;
use crate::edit::Edit;
use crate::extent::{self, Extents};
use crate::frames::{FrameId, FreeFrames};
use crate::meta::Meta;
use crate::page;
use crate::pager::Pager;
use crate::reader::{Reader, Roots};
use crate::space::{Bitmap, Pending, Space, SpaceError};
use crate::space_pages::SpacePages;
use crate::{Batch, Error, PageId, PageRef, Result, TreeId, Version};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Pages that one write may copy or make: two a level of a tree that no file outgrows.
const COPIES_MAX: usize = 16;

/// The one owner of all that changes.
pub struct Writer {
    pub(crate) pager: Arc<Pager>,
    pub(crate) space: Space,
    pub(crate) free_frames: FreeFrames,
    /// Pages whose newest bytes are in a frame alone.
    pub(crate) dirty: Bitmap,
    /// The version being made: pages born in it are edited in place.
    pub(crate) version: Version,
    pub(crate) salt: u32,
    pub(crate) roots: Vec<PageRef>,
    pub(crate) catalog: Catalog,
    /// Frames whose pages are in the file by now, each until no snapshot from between the birth of
    /// its page and the clearing of its table entry is left.
    pub(crate) cleared: Pending,
    /// The newest durable meta page, and the versions of all that are retained, oldest first.
    pub(crate) meta: Meta,
    pub(crate) retained: Vec<Version>,
    /// The version that a checkpoint is writing.
    pub(crate) in_flight: Option<Version>,
    pub(crate) space_pages: SpacePages,
    pub(crate) poison: Option<Arc<str>>,
    /// A batch is being applied, or its application ended in a panic.
    pub(crate) half_applied: bool,
    /// Where the last entry went, to see that keys arrive in order.
    pub(crate) last_insert: Option<(PageId, usize)>,
}

/// A version that is complete: nothing that it reaches is edited any more.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Its number.
    pub version: Version,
    /// Where its trees start.
    pub roots: Roots,
}

/// How full the file and the cache are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpaceUse {
    /// Bytes of a page.
    pub page_size: u64,
    /// Pages of the file's address space in use or free.
    pub pages_total: u64,
    /// Pages that the newest version reaches.
    pub pages_used: u64,
    /// Pages that only older snapshots or retained meta pages reach.
    pub pages_pending: u64,
    /// Pages ready for use.
    pub pages_free: u64,
    /// Pages that the file has room for.
    pub file_pages: u64,
    /// Frames in use: pages not written to the file yet, or cleared and not yet unreachable.
    pub frames: u64,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("version", &self.version)
            .field("trees", &self.catalog.len())
            .field("use", &self.space_use())
            .finish()
    }
}

impl Writer {
    /// What readers share with the writer.
    pub fn pager(&self) -> &Arc<Pager> {
        &self.pager
    }

    /// Applies the writes of a sorted batch to the version being made.
    ///
    /// # Errors
    /// [`Error::NoSuchTree`], [`Error::CacheFull`], and no room for long values: nothing has
    /// changed then, and it may be tried again. Damage found on the way down: the version being
    /// made is then unusable and the writer is poisoned.
    pub fn apply(&mut self, batch: &Batch) -> Result<()> {
        self.check_poison()?;
        let unknown = |tree: TreeId| tree.0 == 0 || tree.0 as usize >= self.roots.len();
        if let Some(write) = batch.iter().find(|write| unknown(write.tree)) {
            return Err(Error::NoSuchTree { tree: write.tree });
        }
        if !self.pager.frames.has_room(&self.free_frames, self.frames_max(batch.len())) {
            return Err(Error::CacheFull);
        }
        let extents = self.write_extents(batch)?;
        // Until all is applied nothing may follow: an error, or a panic, leaves half a batch.
        self.half_applied = true;
        let applied = self.apply_all(batch, extents);
        if let Err(error) = &applied {
            self.poison(error);
        }
        self.half_applied = false;
        applied
    }

    /// More frames than so many writes can take: what each may copy or make, or every page copied
    /// once and what the splits make, whichever is less.
    fn frames_max(&self, writes: usize) -> usize {
        let used = self.space.stats().used as usize;
        (writes * COPIES_MAX).min(used + 3 * writes + COPIES_MAX)
    }

    /// Writes the long values of a batch into pages of their own, before any node is edited, so
    /// that a full device leaves everything as it was. Answers their descriptors, in order.
    fn write_extents(&mut self, batch: &Batch) -> Result<VecDeque<Extents>> {
        let mut written = VecDeque::new();
        for write in batch.iter() {
            let Some(value) = write.value else { continue };
            if self.pager.is_inline(write.key, value) {
                continue;
            }
            match self.write_extent(value) {
                Ok(extents) => written.push_back(extents),
                Err(error) => {
                    for &(page, pages) in written.iter().flat_map(|extents| &extents.parts) {
                        self.space.free_run_now(page, pages);
                    }
                    return Err(error);
                }
            }
        }
        Ok(written)
    }

    fn write_extent(&mut self, value: &[u8]) -> Result<Extents> {
        let pages = extent::pages_for(value.len(), self.pager.page_size);
        let parts = self.space.alloc_run(pages, extent::PARTS_MAX);
        let parts = parts.map_err(|error| self.space_error(error))?;
        extent::write(&self.pager, &parts, self.version, value).inspect_err(|_| {
            for &(page, pages) in &parts {
                self.space.free_run_now(page, pages);
            }
        })
    }

    fn apply_all(&mut self, batch: &Batch, mut extents: VecDeque<Extents>) -> Result<()> {
        let mut at = 0;
        while at < batch.len() {
            let tree = batch.get(at).tree;
            let mut edit = Edit::new(self, tree);
            while at < batch.len() && batch.get(at).tree == tree {
                let write = batch.get(at);
                match write.value {
                    Some(value) if edit.pager.is_inline(write.key, value) => {
                        edit.put(write.key, value, false)?;
                    }
                    Some(_) => {
                        let extents = extents.pop_front().expect("one for each long value");
                        edit.put(write.key, &extents.encode(), true)?;
                    }
                    None => edit.delete(write.key)?,
                }
                at += 1;
            }
        }
        Ok(())
    }

    /// Stops editing of the version being made; what is applied from now on belongs to the next.
    /// A poisoned writer's version is not sealed: half a batch may be in it.
    pub fn seal(&mut self) -> Sealed {
        assert!(self.poisoned().is_none(), "half a batch is never sealed");
        let version = self.version;
        self.version = version.next();
        self.last_insert = None;
        Sealed { version, roots: Roots(self.roots.as_slice().into()) }
    }

    /// The newest applied state, sealed or not.
    pub fn reader(&self) -> Reader<'_> {
        // SAFETY: nothing is applied, freed or reclaimed without `&mut self`, and checkpoints only
        // write pages outside of what the newest state reaches in the file (I1).
        unsafe { Reader::over(&self.pager, &self.roots) }
    }

    /// Frees pages and frames that nothing can reach any more.
    ///
    /// `pinned` ascends and holds every version that a snapshot pins, and the published one;
    /// `unpublished` ascends and holds the versions sealed and not published. The retained metas
    /// are added here.
    pub fn reclaim(&mut self, pinned: &[Version], unpublished: &[Version]) {
        let mut all: Vec<Version> = [pinned, unpublished, &self.retained].concat();
        all.extend(self.in_flight);
        all.sort_unstable();
        all.dedup();
        for &(start, pages) in self.space.reclaim(&all).runs() {
            (start.0..start.0 + pages).for_each(|page| self.drop_frame(PageId(page)));
        }
        for (start, frames) in self.cleared.reclaim(pinned) {
            for frame in start.0..start.0 + frames {
                self.pager.frames.free(&mut self.free_frames, FrameId(frame as u32));
            }
        }
    }

    /// The number of the tree named `name`.
    pub fn tree(&self, name: &str) -> Option<TreeId> {
        self.catalog.find(name)
    }

    /// All trees by name.
    pub fn trees(&self) -> impl Iterator<Item = (&str, TreeId)> {
        self.catalog.iter()
    }

    /// Makes a tree; one of that name that exists already is answered. The catalog is part of the
    /// next checkpoint; until then, the layer above logs the creation.
    pub fn create_tree(&mut self, name: &str) -> TreeId {
        let tree = self.catalog.create(name);
        if self.roots.len() <= tree.0 as usize {
            self.roots.resize(tree.0 as usize + 1, PageRef::NONE);
        }
        tree
    }

    /// How full the file and the cache are.
    pub fn space_use(&self) -> SpaceUse {
        let stats = self.space.stats();
        SpaceUse {
            page_size: self.pager.page_size as u64,
            pages_total: stats.total,
            pages_used: stats.used,
            pages_pending: stats.pending,
            pages_free: stats.free,
            file_pages: self.pager.file_pages(),
            frames: self.free_frames.in_use(),
        }
    }

    /// Pages whose newest bytes are not in the file: what a checkpoint would write.
    pub fn dirty_pages(&self) -> u64 {
        self.dirty.count_ones()
    }

    /// The first failure that stopped writing, if any.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        let panicked = || "a commit was applied half-way when its thread panicked".into();
        self.poison.clone().or_else(|| self.half_applied.then(panicked))
    }

    /// Stops writing for good: it is no longer known what is on disk or in the version being made.
    pub fn poison(&mut self, cause: &dyn fmt::Display) {
        if self.poison.is_none() {
            self.poison = Some(cause.to_string().into());
        }
    }

    pub(crate) fn check_poison(&self) -> Result<()> {
        match self.poisoned() {
            Some(cause) => Err(Error::Poisoned { cause }),
            None => Ok(()),
        }
    }

    /// The stamp of pages allocated now. No two sessions of a file stamp alike.
    pub(crate) fn stamp(&self) -> u32 {
        (self.version.0 as u32).wrapping_mul(0x9e37_79b1) ^ self.salt
    }

    /// A new page in a frame, with its identity filled in and the rest as it was.
    pub(crate) fn alloc_page(&mut self) -> Result<(PageRef, FrameId)> {
        let id = self.space.alloc().map_err(|error| self.space_error(error))?;
        let Some(frame) = self.pager.frames.alloc(&mut self.free_frames) else {
            self.space.free_now(id);
            return Err(Error::CacheFull);
        };
        let page_ref = PageRef { id, stamp: self.stamp() };
        // SAFETY: the frame was free, so nothing refers to it; it is not in the table yet.
        self.identify(unsafe { self.pager.frames.bytes_mut(frame) }, page_ref);
        self.pager.table.clear_verified(id);
        self.pager.table.set(id, Some(frame));
        self.dirty.set(id.0);
        Ok((page_ref, frame))
    }

    /// Fills in who a page is.
    pub(crate) fn identify(&self, bytes: &mut [u8], page_ref: PageRef) {
        page::set_id(bytes, page_ref.id.0);
        page::set_stamp(bytes, page_ref.stamp);
        page::set_birth(bytes, self.version.0);
    }

    /// The version being made no longer reaches a page.
    ///
    /// # Errors
    /// [`Error::CorruptPage`] where the file says of its pages what cannot be.
    pub(crate) fn drop_page(&mut self, page: PageId, born: Version) -> Result<()> {
        self.drop_pages(page, 1, born)
    }

    /// The version being made no longer reaches a run of pages.
    ///
    /// # Errors
    /// As [`Writer::drop_page`].
    pub(crate) fn drop_pages(&mut self, page: PageId, pages: u64, born: Version) -> Result<()> {
        if born > self.version || pages == 0 || !self.space.is_in_use(page, pages) {
            return Err(Error::corrupt(page, "it is dropped and was not in use"));
        }
        if born == self.version {
            // No sealed version reaches it: it is free at once.
            self.space.free_run_now(page, pages);
            for id in page.0..page.0 + pages {
                self.drop_frame(PageId(id));
            }
        } else {
            self.space.retire_run(page, pages, born, self.version);
            // Only older versions reach it: no checkpoint to come writes it.
            self.dirty.clear_run(page.0, pages);
        }
        Ok(())
    }

    fn drop_frame(&mut self, page: PageId) {
        if let Some(frame) = self.pager.table.get(page) {
            self.pager.table.set(page, None);
            self.pager.frames.free(&mut self.free_frames, frame);
            self.dirty.clear(page.0);
        }
    }

    pub(crate) fn space_error(&self, error: SpaceError) -> Error {
        match error {
            SpaceError::BeyondEnd { page, .. } => {
                Error::corrupt(page, "the bitmap marks it beyond the end of the file")
            }
            SpaceError::RegionSize { .. } => {
                Error::corrupt(self.meta.space.id, "a bitmap page has the wrong size")
            }
            SpaceError::Full { .. } => Error::Full { pages: self.pager.table.pages() },
        }
    }
}
