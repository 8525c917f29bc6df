//! Checkpoints: what is in frames goes to the file, and a new meta page leads to it.
//!
//! ```text
//! with the writer:     begin   catalog entries, places for bitmap pages, frozen bits, seal
//! without it:          write   frames in page order, bitmaps, fdatasync
//!                      (the layer above: the log is durable up to the version's LSN)
//!                      commit  one meta page, fdatasync
//! with the writer:     finish  table entries cleared, older meta let go
//! ```
//!
//! I2 holds because `commit` comes after the sync in `write` and after the caller's word that the
//! log is durable. I3 holds because `finish` alone clears table entries and forgets the older meta.

use crate::edit::Edit;
use crate::frames::FrameId;
use crate::meta::Meta;
use crate::node::Form;
use crate::page_writes::write_pages;
use crate::pager::Pager;
use crate::space::changed_regions;
use crate::space_pages::{self, SpacePages};
use crate::writer::{Sealed, Writer};
use crate::{Error, PageId, PageRef, Result, TreeId, Version};
use llmdb_vfs::planted;

/// What the layer above records with a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitMark {
    /// Number of the last commit contained.
    pub seq: u64,
    /// The layer above's own mark of it.
    pub mark: i64,
    /// The log is needed from here on.
    pub lsn: u64,
    /// Incarnation of the log.
    pub incarnation: u32,
}

/// A checkpoint under way.
#[derive(Debug)]
#[must_use = "ends in finish_checkpoint or abandon_checkpoint"]
pub struct Checkpoint {
    /// The version that it writes.
    pub sealed: Sealed,
    meta: Meta,
    frames: Vec<(PageId, FrameId)>,
    /// Bitmap and directory pages, complete but for their checksums.
    extra: Vec<(PageRef, Vec<u8>)>,
    space_pages: SpacePages,
    /// Bitmap and directory pages of the meta before, no longer used by this one.
    replaced: Vec<(PageRef, Version)>,
}

/// What a checkpoint wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckpointReport {
    /// Pages written, bitmaps included.
    pub pages: u64,
    /// Bytes written.
    pub bytes: u64,
}

impl Writer {
    /// Seals the newest state and takes down what a checkpoint of it has to write.
    ///
    /// # Errors
    /// No room for bitmap pages. Nothing has happened then; it may be tried again.
    pub fn begin_checkpoint(&mut self, mark: CommitMark) -> Result<Checkpoint> {
        self.check_poison()?;
        assert!(self.in_flight.is_none(), "one checkpoint at a time");
        self.write_catalog()?;
        let (space_pages, replaced) = self.place_space_pages()?;
        let (extra, top, depth) = self.fill_space_pages(&space_pages);
        let catalog = self.roots.get(TreeId(0)).expect("the catalog is a tree");
        let sealed = self.seal();
        let meta = Meta {
            generation: self.meta.generation + 1,
            version: sealed.version,
            seq: mark.seq,
            mark: mark.mark,
            catalog,
            space: top,
            space_depth: depth,
            next_tree: self.catalog.next(),
            pages: self.space.page_count(),
            lsn: mark.lsn,
            incarnation: mark.incarnation,
            clean: false,
            ..self.meta
        };
        let frozen = &space_pages.frozen;
        let frames = (self.dirty.ones())
            .filter(|page| frozen.test(*page))
            .filter_map(|page| Some((PageId(page), self.pager.table.get(PageId(page))?)))
            .collect();
        self.in_flight = Some(sealed.version);
        Ok(Checkpoint { sealed, meta, frames, extra, space_pages, replaced })
    }

    /// Brings the catalog tree up to the roots of today.
    fn write_catalog(&mut self) -> Result<()> {
        let frames = self.catalog.frames_max(self.pager.page_size);
        if !self.reserve_last_frames(frames) {
            self.spill()?;
            if !self.reserve_last_frames(frames) {
                return Err(Error::CacheFull);
            }
        }
        let mut changed = self.catalog.take_changed(&self.roots);
        if planted!("stale_root_in_catalog") && changed.len() > 1 {
            changed.pop();
        }
        let mut edit = Edit::new(self, TreeId(0));
        let written = changed.iter().try_for_each(|(key, value)| match value {
            Some(value) => edit.put(key, value, Form::INLINE),
            None => edit.delete(key),
        });
        if let Err(error) = &written {
            self.poison(error);
        }
        self.return_credit();
        written
    }

    /// Finds places for the bitmap pages that will differ and for the directories. Taking a place
    /// changes a bit, perhaps in a region that was unchanged: repeat until nothing is added.
    fn place_space_pages(&mut self) -> Result<(SpacePages, Vec<(PageRef, Version)>)> {
        let (before, version) = (self.space_pages.clone(), self.version);
        let mut after = before.clone();
        after.directories.clear();
        let mut fresh: Vec<PageRef> = Vec::new();
        let mut renewed = vec![false; before.bitmaps.len()];
        let placed = loop {
            let mut frozen = self.space.in_use_at(version);
            for (i, (page, _)) in before.bitmaps.iter().enumerate() {
                if renewed[i] {
                    frozen.clear(page.id.0);
                }
            }
            for (page, _) in &before.directories {
                frozen.clear(page.id.0);
            }
            let regions = frozen.region_count().max(1) as usize;
            let directories = space_pages::directory_counts(regions, self.pager.page_size);
            let mut wanted: Vec<usize> = (changed_regions(&before.frozen, &frozen).iter())
                .map(|&region| region as usize)
                .chain(before.bitmaps.len()..regions)
                .filter(|&region| !renewed.get(region).copied().unwrap_or(false))
                .collect();
            wanted.sort_unstable();
            wanted.dedup();
            let missing = directories.iter().sum::<usize>() - after.directories.len();
            if wanted.is_empty() && missing == 0 {
                after.frozen = frozen;
                break Ok(());
            }
            let taken = self.take_places(wanted.len() + missing, &mut fresh);
            let Ok(mut places) = taken else { break taken.map(|_| ()) };
            for _ in 0..missing {
                after.directories.push((places.pop().expect("counted"), version));
            }
            for (region, place) in wanted.into_iter().zip(places) {
                if region >= after.bitmaps.len() {
                    after.bitmaps.resize(region + 1, (PageRef::NONE, version));
                    renewed.resize(region + 1, false);
                }
                after.bitmaps[region] = (place, version);
                renewed[region] = true;
            }
        };
        if let Err(error) = placed {
            for page in fresh {
                self.space.free_now(page.id);
            }
            return Err(error);
        }
        let old = before.bitmaps.iter().zip(&renewed).filter(|(_, renewed)| **renewed);
        let replaced = old.map(|(page, _)| *page).chain(before.directories).collect();
        Ok((after, replaced))
    }

    fn take_places(&mut self, count: usize, fresh: &mut Vec<PageRef>) -> Result<Vec<PageRef>> {
        let mut places = Vec::with_capacity(count);
        for _ in 0..count {
            let id = self.space.alloc().map_err(|error| self.space_error(error))?;
            self.pager.forget(id);
            let place = PageRef { id, stamp: self.stamp() };
            fresh.push(place);
            places.push(place);
        }
        Ok(places)
    }

    /// The bytes of the new bitmap and directory pages, the top directory, and the height.
    fn fill_space_pages(&self, pages: &SpacePages) -> (Vec<(PageRef, Vec<u8>)>, PageRef, u32) {
        let size = self.pager.page_size;
        let mut extra = Vec::new();
        let mut blank = |page: PageRef| {
            let mut bytes = vec![0; size];
            self.identify(&mut bytes, page);
            extra.push((page, bytes));
            extra.len() - 1
        };
        let mut filled = Vec::new();
        for (region, (page, born)) in pages.bitmaps.iter().enumerate() {
            if *born == self.version {
                filled.push((blank(*page), region));
            }
        }
        let mut directories = pages.directories.iter().map(|(page, _)| *page);
        let mut level: Vec<PageRef> = pages.bitmaps.iter().map(|(page, _)| *page).collect();
        let mut height = 0;
        let mut encoded = Vec::new();
        loop {
            height += 1;
            let mut next = Vec::new();
            for group in space_pages::groups(&level, size) {
                let page = directories.next().expect("as many were placed");
                encoded.push((blank(page), height, group.to_vec()));
                next.push(page);
            }
            level = next;
            if level.len() == 1 {
                break;
            }
        }
        for (at, region) in filled {
            let bits = pages.frozen.region_bytes(region as u64);
            space_pages::encode_bitmap(&mut extra[at].1, &bits);
        }
        for (at, height, references) in encoded {
            space_pages::encode_directory(&mut extra[at].1, height as u8, &references);
        }
        (extra, level[0], height as u32)
    }

    /// The checkpoint is durable: its pages are read from the file from now on. Not to be called
    /// on a poisoned writer, whose pages stay where they are.
    ///
    /// Seals a version, to be published: snapshots of it and later ones never see the frames.
    pub fn finish_checkpoint(&mut self, done: Checkpoint) -> Sealed {
        let version = done.sealed.version;
        let sealed = self.seal();
        for (page, frame) in done.frames {
            assert_eq!(self.pager.table.get(page), Some(frame), "a page in flight keeps its frame");
            // SAFETY: the version in flight is live, so its frames are neither edited nor freed.
            let born = crate::page::born(unsafe { self.pager.frames.bytes(frame) });
            self.pager.table.set(page, None);
            self.dirty.clear(page.0);
            self.clear_frame(frame, born, sealed.version);
        }
        let replaced = match planted!("replaced_bitmaps_leak") {
            true => Vec::new(),
            false => done.replaced,
        };
        for (page, born) in replaced {
            self.space.retire(page.id, born, version);
        }
        self.space_pages = done.space_pages;
        self.meta = done.meta;
        self.retained.push(version);
        // Two generations are retained; both may be of one version.
        let generations = if planted!("one_generation_retained") { 1 } else { 2 };
        let extra = self.retained.len().saturating_sub(generations);
        self.retained.drain(..extra);
        self.in_flight = None;
        self.space.rewind();
        sealed
    }

    /// The checkpoint failed before its meta page: it never happened, and may be tried again.
    pub fn abandon_checkpoint(&mut self, failed: Checkpoint) {
        for (page, _) in &failed.extra {
            self.space.free_now(page.id);
        }
        self.in_flight = None;
    }

    /// Writes a meta page of the newest checkpoint's content again, as the next generation: to
    /// say that the file is in use or closed, or that the log has a new incarnation.
    ///
    /// # Errors
    /// A failed write or sync of a meta page poisons the writer.
    pub fn rewrite_meta(&mut self, lsn: u64, incarnation: u32, clean: bool) -> Result<()> {
        self.check_poison()?;
        let generation = self.meta.generation + 1;
        let meta = Meta { generation, lsn, incarnation, clean, ..self.meta };
        let written = meta.write(&*self.pager.file).and_then(|()| {
            if !planted!("rewritten_meta_not_synced") {
                self.pager.file.sync_data()?;
            }
            Ok(())
        });
        if let Err(error) = &written {
            self.poison(error);
        }
        written?;
        self.meta = meta;
        self.retained.push(meta.version);
        let extra = self.retained.len().saturating_sub(2);
        self.retained.drain(..extra);
        self.set_salt(incarnation);
        Ok(())
    }
}

impl Checkpoint {
    /// The position up to which the log must be durable before [`Checkpoint::commit`].
    pub fn lsn(&self) -> u64 {
        self.meta.lsn
    }

    /// Writes all pages and syncs them.
    ///
    /// # Errors
    /// The file system's. A failed write may be tried again by another checkpoint; a failed sync
    /// must poison the writer: `must_poison` in the error says which it was.
    pub fn write(&self, pager: &Pager) -> Result<CheckpointReport, CheckpointError> {
        let retry = |error: Error| CheckpointError { error, must_poison: false };
        pager.grow(self.meta.pages).map_err(retry)?;
        let mut extra: Vec<(PageRef, &[u8])> =
            self.extra.iter().map(|(page, bytes)| (*page, &bytes[..])).collect();
        extra.extend(self.frames.iter().map(|&(page, frame)| {
            // SAFETY: the version in flight is live, so its frames are neither edited nor freed.
            let bytes = unsafe { pager.frames.bytes(frame) };
            let page_ref = crate::page::own_ref(bytes);
            assert_eq!(page_ref.id, page, "a frame holds the page that the table says");
            (page_ref, bytes)
        }));
        extra.sort_unstable_by_key(|(page, _)| page.id);
        write_pages(pager, &extra).map_err(retry)?;
        if !planted!("pages_not_synced") {
            sync(pager)?;
        }
        let pages = extra.len() as u64;
        Ok(CheckpointReport { pages, bytes: pages * pager.page_size as u64 })
    }

    /// Writes and syncs the meta page. The log must be durable up to the checkpoint's LSN.
    ///
    /// # Errors
    /// Every failure must poison the writer: it is not known which meta page is in the file.
    pub fn commit(&self, pager: &Pager) -> Result<(), CheckpointError> {
        let poison = |error| CheckpointError { error, must_poison: true };
        self.meta.write(&*pager.file).map_err(poison)?;
        if planted!("meta_not_synced") {
            return Ok(());
        }
        sync(pager)
    }
}

fn sync(pager: &Pager) -> Result<(), CheckpointError> {
    let synced = pager.file.sync_data();
    synced.map_err(|error| CheckpointError { error: error.into(), must_poison: true })
}

/// Why a checkpoint failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct CheckpointError {
    /// The failure.
    pub error: Error,
    /// Whether writing must stop for good.
    pub must_poison: bool,
}
