//! The pager: where a page's bytes are, and whether they can be trusted.
//!
//! A page that was changed since the last checkpoint is in a frame, found through the page table;
//! every other page is in the file, read through the map. Once a descent has reached a page in the
//! file, all pages below it are in the file too, because a page is written only together with or
//! after everything it refers to; so the table is consulted no further down.

use crate::budget::Budget;
use crate::entry::{Entry, LongValue};
use crate::extent::{self, Extents};
use crate::frames::{FrameId, Frames, PageTable, mapped};
use crate::node::{self, Node};
use crate::page::{self, Seed};
use crate::stream::ValueReader;
use crate::{Error, PageId, PageRef, Reference, Result};
use llmdb_vfs::{File, Map};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What readers and the writer share of an open file.
pub struct Pager {
    pub(crate) file: Arc<dyn File>,
    map: Map,
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

impl Pager {
    pub(crate) fn new(
        file: Arc<dyn File>,
        page_size: usize,
        uuid: &[u8; 16],
        map_bytes: u64,
        frame_bytes: u64,
        budget: Arc<Budget>,
    ) -> Result<Self> {
        let map = file.map(map_bytes)?;
        let pages = map.reserved() / page_size as u64;
        let frames = (frame_bytes / page_size as u64).min(u64::from(u32::MAX) - 1) as u32;
        // A longer file is there, but not within reach: nothing of it may be touched beyond.
        let file_pages = AtomicU64::new((file.len()? / page_size as u64).min(pages));
        Ok(Pager {
            frames: Frames::new(page_size, frames)?,
            table: PageTable::new(pages)?,
            seed: Seed::new(uuid),
            resizing: parking_lot::Mutex::new(()),
            budget,
            file,
            map,
            page_size,
            file_pages,
            written_ahead: AtomicBool::new(false),
        })
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

    /// The node that `page_ref` names.
    ///
    /// # Safety
    /// A root that reaches the page is pinned while the node is used: neither its frame nor its
    /// place in the file gets other bytes (I1).
    pub(crate) unsafe fn node(&self, page_ref: PageRef, at: &mut Where) -> Result<Node<'_>> {
        // SAFETY: passed on to the caller.
        unsafe { self.node_and_frame(page_ref, at).map(|(node, _)| node) }
    }

    /// As [`Pager::node`], with the frame that holds it.
    ///
    /// # Safety
    /// As [`Pager::node`].
    pub(crate) unsafe fn node_and_frame(
        &self,
        page_ref: PageRef,
        at: &mut Where,
    ) -> Result<(Node<'_>, Option<FrameId>)> {
        let id = page_ref.id;
        if id.0 >= self.table.pages() {
            return Err(Error::corrupt(id, "a reference leads beyond the largest file"));
        }
        if *at == Where::Anywhere {
            if let Some(frame) = self.table.get(id) {
                // SAFETY: the page is pinned by the caller, so its frame is neither freed nor
                // edited; only the writer sees pages that are still edited, and it does not edit
                // one while it reads it.
                let bytes = unsafe { self.frames.bytes(frame) };
                if page::own_ref(bytes) != page_ref {
                    return Err(Error::corrupt(
                        id,
                        "it is another allocation than its parent names",
                    ));
                }
                return Ok((Node::new(bytes), Some(frame)));
            }
            *at = Where::InFile;
        }
        // SAFETY: pinned by the caller.
        let bytes = unsafe { self.file_bytes(id, 1)? };
        if !self.table.is_verified(id) {
            self.seed.verify(bytes, page_ref)?;
            Node::new(bytes).validate(id)?;
            self.table.set_verified(id);
        } else if page::stamp(bytes) != page_ref.stamp {
            return Err(Error::corrupt(id, "it is another allocation than its parent names"));
        }
        Ok((Node::new(bytes), None))
    }

    /// The bytes of `pages` pages in the file, unverified.
    ///
    /// # Safety
    /// As [`Pager::node`].
    pub(crate) unsafe fn file_bytes(&self, id: PageId, pages: u64) -> Result<&[u8]> {
        let end = id.0.checked_add(pages);
        if end.is_none_or(|end| end > self.file_pages()) {
            return Err(Error::corrupt(id, "a reference leads beyond the end of the file"));
        }
        let len = pages as usize * self.page_size;
        // SAFETY: within the file by the check (which is cut only where no live root reaches), hence
        // within the map (`grow` keeps to it); unchanged meanwhile by the caller's pin.
        Ok(unsafe { mapped(&self.map, id.0 * self.page_size as u64, len) })
    }

    /// Asks the system to read ahead from `page`.
    pub(crate) fn will_need(&self, page: PageId, pages: u64) {
        let len = pages.min(self.file_pages().saturating_sub(page.0)) * self.page_size as u64;
        if len > 0 {
            self.map.will_need(page.0 * self.page_size as u64, len);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, StoreOptions, create, open};
    use llmdb_vfs::{MemVfs, Vfs};
    use std::path::Path;

    /// Every way to a page compares the stamp: in a frame, on the first touch in the file, and
    /// when the file's bytes were found good before.
    #[test]
    fn another_allocation_of_a_page_is_noticed_wherever_it_lies() {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
        let path = Path::new("/t.llmdb");
        create(&vfs, path, &StoreOptions::default()).unwrap();
        let mut opened = open(&vfs, path, &StoreOptions::default()).unwrap();
        let tree = opened.writer.create_tree("t");
        let mut batch = Batch::new();
        batch.put(tree, b"k", b"v");
        opened.writer.apply(&batch).unwrap();
        let check = |root: PageRef, pager: &Pager| {
            let stale = PageRef { stamp: root.stamp ^ 1, ..root };
            // SAFETY: nothing is edited or freed while the nodes are looked at.
            let load = |page| unsafe { pager.node(page, &mut Where::Anywhere).is_ok() };
            assert!(!load(stale));
            assert!(load(root));
            assert!(!load(stale));
        };
        check(opened.writer.roots[tree.0 as usize], &opened.pager);
        let checkpoint = opened.writer.begin_checkpoint(opened.mark).unwrap();
        checkpoint.write(&opened.pager).unwrap();
        checkpoint.commit(&opened.pager).unwrap();
        opened.writer.finish_checkpoint(checkpoint);
        check(opened.writer.roots[tree.0 as usize], &opened.pager);
    }
}
