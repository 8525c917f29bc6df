//! The writer: the one owner of all that changes.
//!
//! It seals what is applied as versions, and knows which pages and frames may be used again. Whoever holds it (a lock, one level up) is the only one who edits.
//!
//! ```text
//!   apply, apply, ... -> seal -> (publish, one level up) -> reclaim
//!   begin_checkpoint  -> write, without the writer -> finish_checkpoint
//! ```

use crate::budget::MemoryUse;
use crate::catalog::Catalog;
use crate::frames::{FrameId, FreeFrames};
use crate::meta::Meta;
use crate::page;
use crate::pager::Pager;
use crate::reader::Reader;
use crate::roots::{RootList, Roots};
use crate::space::{Bitmap, Pending, Run, Space, SpaceError};
use crate::space_pages::SpacePages;
use crate::{Compression, Error, PageId, PageRef, Result, TreeId, TreeOptions, Version};
use llmdb_vfs::planted;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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
    pub(crate) roots: RootList,
    pub(crate) catalog: Catalog,
    /// Frames whose pages are in the file by now, each until no snapshot from between the birth of
    /// its page and the clearing of its table entry is left.
    pub(crate) cleared: Pending,
    /// The newest durable meta page, and the versions of all that are retained, oldest first.
    pub(crate) meta: Meta,
    pub(crate) retained: Vec<Version>,
    /// The versions of the images that are held, some perhaps more than once.
    pub(crate) held: Vec<Version>,
    /// The versions that are held, pages and frames, while they are judged.
    pub(crate) judged: Vec<Version>,
    /// The version that a checkpoint is writing.
    pub(crate) in_flight: Option<Version>,
    pub(crate) space_pages: SpacePages,
    pub(crate) poison: Option<Arc<str>>,
    /// A batch is being applied, or its application ended in a panic.
    pub(crate) half_applied: bool,
    /// Frames taken from the budget and not used yet.
    pub(crate) credit: u64,
    /// The newest version that was sealed for others to see.
    pub(crate) given_out: Version,
    /// Pages written to the file ahead of a checkpoint since it was opened.
    pub(crate) spilled_pages: u64,
    /// Runs of values written ahead that the batch being applied has taken.
    pub(crate) taken_runs: Vec<Vec<Run>>,
}

/// A version that is complete: nothing that it reaches is edited any more.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Its number.
    pub version: Version,
    /// Where its trees start.
    pub roots: Roots,
    /// Its trees by name.
    pub names: Arc<BTreeMap<String, TreeId>>,
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
    /// Pages of those used that are kept for values which no commit names yet.
    pub pages_reserved: u64,
    /// Pages ready for use.
    pub pages_free: u64,
    /// Pages that the file has room for.
    pub file_pages: u64,
    /// Frames in use: pages not written to the file yet, or cleared and not yet unreachable.
    pub frames: u64,
    /// Pages written to the file ahead of a checkpoint since it was opened, to make room.
    pub spilled_pages: u64,
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

    /// Stops editing of the version being made; what is applied from now on belongs to the next.
    /// A poisoned writer's version is not sealed: half a batch may be in it.
    pub fn seal(&mut self) -> Sealed {
        assert!(self.poisoned().is_none(), "half a batch is never sealed");
        let version = self.version;
        self.version = version.next();
        self.given_out = version;
        let roots = Roots(self.roots.as_slice().into());
        Sealed { version, roots, names: self.catalog.names() }
    }

    /// The newest applied state, sealed or not.
    pub fn reader(&self) -> Reader<'_> {
        // SAFETY: nothing is applied, freed or reclaimed without `&mut self`, and checkpoints only
        // write pages outside of what the newest state reaches in the file (I1).
        unsafe { Reader::over(&self.pager, self.roots.as_slice()) }
    }

    /// Frees pages and frames that nothing can reach any more.
    ///
    /// `pinned` ascends and holds every version that a snapshot pins, and the published one;
    /// `unpublished` ascends and holds the versions sealed and not published, of which snapshots
    /// may begin too. The retained metas are added here.
    pub fn reclaim(&mut self, pinned: &[Version], unpublished: &[Version]) {
        let mut all: Vec<Version> = [pinned, unpublished, &self.retained].concat();
        if planted!("retained_pages_reused") {
            all = [pinned, unpublished].concat();
        }
        if planted!("snapshot_pages_reused") {
            let newest = &pinned[pinned.len().saturating_sub(1)..];
            all = [newest, unpublished, &self.retained].concat();
        }
        all.extend(self.in_flight);
        all.extend(&self.held);
        all.extend(&self.judged);
        all.sort_unstable();
        all.dedup();
        for &(start, pages) in self.space.reclaim(&all).runs() {
            (start.0..start.0 + pages).for_each(|page| self.drop_frame(PageId(page)));
        }
        // Snapshots may also pin what is sealed and not published yet.
        let mut seen: Vec<Version> = [pinned, unpublished, &self.judged].concat();
        seen.sort_unstable();
        seen.dedup();
        for (start, frames) in self.cleared.reclaim(&seen) {
            for frame in start.0..start.0 + frames {
                self.free_frame(FrameId(frame as u32), MemoryUse::Cleared);
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
    ///
    /// # Panics
    /// Where 2^32 - 2 trees were made before, those included that were dropped: whoever makes as
    /// many asks [`Writer::next_tree`] first.
    pub fn create_tree(&mut self, name: &str) -> TreeId {
        let tree = self.catalog.create(name);
        self.roots.add(tree);
        tree
    }

    /// The number of the next tree that is made; `None` where all were given.
    pub fn next_tree(&self) -> Option<TreeId> {
        (!self.catalog.is_full()).then(|| TreeId(self.catalog.next()))
    }

    /// As [`Writer::create_tree`]; a tree that exists already gets these options.
    ///
    /// # Errors
    /// [`Error::NoCodec`] for a compression that this build was made without.
    pub fn create_tree_with(&mut self, name: &str, options: TreeOptions) -> Result<TreeId> {
        let tree = self.create_tree(name);
        self.set_tree_options(tree, options)?;
        Ok(tree)
    }

    /// How what is written to a tree from now on is stored. What was written stays as it is. Part
    /// of the next checkpoint; until then, the layer above logs it.
    ///
    /// # Errors
    /// [`Error::NoSuchTree`]; [`Error::NoCodec`] for a compression that this build was made without;
    /// a budget without room for a page cache, which compressed pages are read through.
    pub fn set_tree_options(&mut self, tree: TreeId, options: TreeOptions) -> Result<()> {
        if !self.has_tree(tree) {
            return Err(Error::NoSuchTree { tree });
        }
        let missing = |how: &Compression| !how.is_built_in();
        if let Some(how) = [options.pages, options.values].into_iter().flatten().find(missing) {
            return Err(Error::NoCodec { name: how.name() });
        }
        let before = self.catalog.options(tree);
        self.catalog.set_options(tree, options);
        let set = self.pager.set_page_compression(self.catalog.page_compression());
        if set.is_err() {
            self.catalog.set_options(tree, before);
        }
        set
    }

    /// How what is written to a tree is stored.
    pub fn tree_options(&self, tree: TreeId) -> TreeOptions {
        self.catalog.options(tree)
    }

    /// How full the file and the cache are.
    pub fn space_use(&self) -> SpaceUse {
        let stats = self.space.stats();
        SpaceUse {
            page_size: self.pager.page_size as u64,
            pages_total: stats.total,
            pages_used: stats.used,
            pages_pending: stats.pending,
            pages_reserved: stats.unborn,
            pages_free: stats.free,
            file_pages: self.pager.file_pages(),
            frames: self.free_frames.in_use(),
            spilled_pages: self.spilled_pages,
        }
    }

    /// Pages that are kept because the live version `version` reaches them, and no older one.
    pub fn pages_held_by(&self, version: Version) -> u64 {
        self.space.held_by(version)
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
        let Some(frame) = self.take_frame() else {
            self.space.free_now(id);
            return Err(Error::CacheFull);
        };
        let page_ref = PageRef { id, stamp: self.stamp() };
        // SAFETY: the frame was free, so nothing refers to it; it is not in the table yet.
        self.identify(unsafe { self.pager.frames.bytes_mut(frame) }, page_ref);
        self.pager.forget(id);
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
            if planted!("dropped_pages_leak") {
                return Ok(());
            }
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

    pub(crate) fn drop_frame(&mut self, page: PageId) {
        if let Some(frame) = self.pager.table.get(page) {
            self.pager.table.set(page, None);
            self.free_frame(frame, MemoryUse::Changed);
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
