//! Applying resolved writes to the version being made.
//!
//! A small batch finds all the frames that it may need before it begins, and edits the pages of the
//! commits before it in place. A large one takes frames as it goes and spills pages when there are
//! no more; it can be taken back as a whole, so whatever stops it half-way leaves nothing.

use crate::edit::{Edit, Level};
use crate::extent::{self, Extents};
use crate::spill::COPIES_MAX;
use crate::writer::Writer;
use crate::{Batch, Error, NewValue, Result, TreeId, Write};
use std::collections::VecDeque;

/// Writes that come one by one, in (tree, key) order, one a key: more than fit in memory.
pub trait WriteSource {
    /// The next write; `None` after the last.
    ///
    /// # Errors
    /// Whatever stops the source. Nothing of it is applied then.
    fn next_write(&mut self) -> Result<Option<Write<'_>>>;
}

/// The writes of a sorted batch, as a source.
#[derive(Debug)]
pub struct BatchSource<'b> {
    batch: &'b Batch,
    next: usize,
}

impl<'b> BatchSource<'b> {
    /// Begins at the first write of a batch, which must be sorted.
    pub fn new(batch: &'b Batch) -> Self {
        BatchSource { batch, next: 0 }
    }
}

impl WriteSource for BatchSource<'_> {
    fn next_write(&mut self) -> Result<Option<Write<'_>>> {
        let write = (self.next < self.batch.len()).then(|| self.batch.get(self.next));
        self.next += 1;
        Ok(write)
    }
}

impl Writer {
    /// Applies the writes of a sorted batch to the version being made.
    ///
    /// # Errors
    /// [`Error::NoSuchTree`], [`Error::CacheFull`], and no room for long values: nothing has
    /// changed then, and it may be tried again. The same goes for every failure of a batch that is
    /// large for the memory there is. Damage found on the way down of a small one: the version
    /// being made is then unusable and the writer is poisoned.
    pub fn apply(&mut self, batch: &Batch) -> Result<()> {
        self.check_poison()?;
        if let Some(write) = batch.iter().find(|write| !self.has_tree(write.tree)) {
            return Err(Error::NoSuchTree { tree: write.tree });
        }
        if !self.reserve_frames(self.frames_max(batch.len())) {
            return self.apply_from(&mut BatchSource::new(batch));
        }
        let applied = self.apply_reserved(batch);
        self.return_credit();
        applied
    }

    /// Applies writes that come in (tree, key) order, one a key, in bounded memory: pages are
    /// spilled to the file when frames run out.
    ///
    /// # Errors
    /// Of the source; [`Error::NoSuchTree`], sizes out of limits; [`Error::CacheFull`] where
    /// snapshots hold all frames; damage; no room in the file, its errors. Nothing has changed
    /// then, but that pages may have been written to free places.
    pub fn apply_from(&mut self, source: &mut dyn WriteSource) -> Result<()> {
        self.attempt(|writer| writer.apply_more(source))
    }

    /// Runs work that applies writes by [`Writer::apply_more`], and takes all of it back if it fails.
    ///
    /// # Errors
    /// Those of the work; [`Error::Poisoned`].
    pub fn attempt<T, E: From<Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.check_poison()?;
        let undo = self.begin_undo();
        // A panic leaves half a batch: until all is applied nothing may follow.
        self.half_applied = true;
        let done = work(self);
        if done.is_err() {
            self.undo(undo);
        }
        self.half_applied = false;
        self.taken_runs.clear();
        self.return_credit();
        done
    }

    fn has_tree(&self, tree: TreeId) -> bool {
        tree.0 != 0 && (tree.0 as usize) < self.roots.len()
    }

    /// A part of an [attempt](Writer::attempt): applies writes that come in order, each key after
    /// those before it.
    ///
    /// # Errors
    /// As [`Writer::apply_from`].
    pub fn apply_more(&mut self, source: &mut dyn WriteSource) -> Result<()> {
        assert!(self.half_applied, "only what can be taken back is applied in parts");
        let mut since_spill = 0;
        let mut last = TreeId(0);
        let mut path: Vec<Level> = Vec::new();
        while let Some(write) = source.next_write()? {
            if !self.has_tree(write.tree) {
                return Err(Error::NoSuchTree { tree: write.tree });
            }
            self.pager.check_sizes(write.key, write.value.bytes().unwrap_or_default())?;
            if self.make_room(&mut since_spill)? || write.tree != last {
                path.clear();
            }
            last = write.tree;
            let extents = match write.value {
                NewValue::Bytes(value) if !self.pager.is_inline(write.key, value) => {
                    Some(self.write_extent(value)?.encode(&[]))
                }
                _ => None,
            };
            let mut edit = Edit::new(self, write.tree);
            edit.path = std::mem::take(&mut path);
            match (write.value, extents) {
                (_, Some(body)) => edit.put(write.key, &body, true)?,
                (NewValue::Bytes(value), None) => edit.put(write.key, value, false)?,
                (NewValue::Reference(body), None) => edit.put_reference(write.key, body)?,
                (NewValue::Absent, None) => edit.delete(write.key)?,
            }
            path = std::mem::take(&mut edit.path);
        }
        Ok(())
    }

    /// Applies a batch for which frames are set aside.
    fn apply_reserved(&mut self, batch: &Batch) -> Result<()> {
        self.check_references(batch)?;
        let extents = self.write_extents(batch)?;
        // Until all is applied nothing may follow: an error, or a panic, leaves half a batch.
        self.half_applied = true;
        let applied = self.apply_all(batch, extents);
        if let Err(error) = &applied {
            self.poison(error);
        }
        self.half_applied = false;
        self.taken_runs.clear();
        applied
    }

    /// More frames than so many writes can take: what each may copy or make, or every page copied
    /// once and what the splits make, whichever is less.
    fn frames_max(&self, writes: usize) -> u64 {
        let used = self.space.stats().used as usize;
        (writes * COPIES_MAX).min(used + 3 * writes + COPIES_MAX) as u64
    }

    /// Writes the long values of a batch into pages of their own, before any node is edited, so
    /// that a full device leaves everything as it was. Answers their descriptors, in order.
    fn write_extents(&mut self, batch: &Batch) -> Result<VecDeque<Extents>> {
        let mut written = VecDeque::new();
        for write in batch.iter() {
            let Some(value) = write.value.bytes() else { continue };
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

    pub(crate) fn write_extent(&mut self, value: &[u8]) -> Result<Extents> {
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
                    NewValue::Bytes(value) if edit.pager.is_inline(write.key, value) => {
                        edit.put(write.key, value, false)?;
                    }
                    NewValue::Bytes(_) => {
                        let extents = extents.pop_front().expect("one for each long value");
                        edit.put(write.key, &extents.encode(&[]), true)?;
                    }
                    NewValue::Reference(body) => edit.put_reference(write.key, body)?,
                    NewValue::Absent => edit.delete(write.key)?,
                }
                at += 1;
            }
        }
        Ok(())
    }
}
