//! Applying resolved writes to the version being made.
//!
//! A small batch finds all the frames that it may need before it begins, and edits the pages of the
//! commits before it in place. A large one takes frames as it goes and spills pages when there are
//! no more; it can be taken back as a whole, so whatever stops it half-way leaves nothing.

use crate::compress;
use crate::edit::{Edit, Level};
use crate::extent::{self, Extents};
use crate::node::Form;
use crate::spill::COPIES_MAX;
use crate::writer::Writer;
use crate::{Batch, Compression, Error, NewValue, Result, TreeId, Write};
use std::borrow::Cow;
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

    /// Whether there is such a tree.
    pub fn has_tree(&self, tree: TreeId) -> bool {
        tree.0 != 0 && self.roots.get(tree).is_some()
    }

    /// A part of an [attempt](Writer::attempt): applies writes that come in order, each key after
    /// those before it.
    ///
    /// # Errors
    /// As [`Writer::apply_from`].
    pub fn apply_more(&mut self, source: &mut dyn WriteSource) -> Result<()> {
        assert!(self.half_applied, "only what can be taken back is applied in parts");
        let mut since_spill = 0;
        let (mut last, mut how) = (TreeId(0), None);
        let mut path: Vec<Level> = Vec::new();
        while let Some(write) = source.next_write()? {
            if !self.has_tree(write.tree) {
                return Err(Error::NoSuchTree { tree: write.tree });
            }
            self.pager.check_sizes(write.key, write.value.bytes().unwrap_or_default())?;
            if self.make_room(&mut since_spill)? || write.tree != last {
                path.clear();
            }
            if write.tree != last {
                (last, how) = (write.tree, self.catalog.options(write.tree).values);
            }
            let stored = write.value.bytes().map(|value| self.store(how, write.key, value));
            let extents = match &stored {
                Some(stored) if !stored.inline => {
                    Some(self.write_extent(&stored.bytes)?.encode(&[]))
                }
                _ => None,
            };
            let mut edit = Edit::new(self, write.tree);
            edit.path = std::mem::take(&mut path);
            match (write.value, &stored, extents) {
                (_, Some(stored), Some(body)) => edit.put(write.key, &body, stored.form())?,
                (_, Some(stored), None) => edit.put(write.key, &stored.bytes, stored.form())?,
                (NewValue::Reference(body), ..) => edit.put_reference(write.key, body)?,
                (_, None, _) => edit.delete(write.key)?,
            }
            path = std::mem::take(&mut edit.path);
        }
        Ok(())
    }

    /// Applies a batch for which frames are set aside.
    fn apply_reserved(&mut self, batch: &Batch) -> Result<()> {
        self.check_references(batch)?;
        let prepared = self.prepare(batch)?;
        // Until all is applied nothing may follow: an error, or a panic, leaves half a batch.
        self.half_applied = true;
        let applied = self.apply_all(batch, prepared);
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

    /// How a value is stored: compressed, if its tree wants that and it saves enough.
    fn store<'v>(&self, how: Option<Compression>, key: &[u8], value: &'v [u8]) -> Stored<'v> {
        let packed = how.and_then(|how| compress::pack_value(how, value));
        let (bytes, packed) = match packed {
            Some(bytes) => (Cow::Owned(bytes), true),
            None => (Cow::Borrowed(value), false),
        };
        let inline = self.pager.is_inline(key, &bytes);
        Stored { bytes, packed, inline }
    }

    /// Compresses values where their trees want it, and writes the long ones into pages of their
    /// own, before any node is edited, so that a full device leaves everything as it was. Answers
    /// the bodies of long values and of all values of trees that compress, in order; an empty one
    /// stands for the value itself.
    fn prepare(&mut self, batch: &Batch) -> Result<VecDeque<(Form, Vec<u8>)>> {
        let mut bodies = VecDeque::new();
        let mut written: Vec<Extents> = Vec::new();
        let (mut last, mut how) = (TreeId(0), None);
        for write in batch.iter() {
            let Some(value) = write.value.bytes() else { continue };
            if write.tree != last {
                (last, how) = (write.tree, self.catalog.options(write.tree).values);
            }
            let stored = self.store(how, write.key, value);
            let form = stored.form();
            if form == Form::INLINE {
                if how.is_some() {
                    bodies.push_back((form, Vec::new()));
                }
                continue;
            }
            if stored.inline {
                bodies.push_back((form, stored.bytes.into_owned()));
                continue;
            }
            match self.write_extent(&stored.bytes) {
                Ok(extents) => {
                    bodies.push_back((form, extents.encode(&[])));
                    written.push(extents);
                }
                Err(error) => {
                    for &(page, pages) in written.iter().flat_map(|extents| &extents.parts) {
                        self.space.free_run_now(page, pages);
                    }
                    return Err(error);
                }
            }
        }
        Ok(bodies)
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

    fn apply_all(&mut self, batch: &Batch, mut prepared: VecDeque<(Form, Vec<u8>)>) -> Result<()> {
        let mut at = 0;
        while at < batch.len() {
            let tree = batch.get(at).tree;
            let packs = self.catalog.options(tree).values.is_some();
            let mut edit = Edit::new(self, tree);
            while at < batch.len() && batch.get(at).tree == tree {
                let write = batch.get(at);
                match write.value {
                    NewValue::Bytes(value) if !packs && edit.pager.is_inline(write.key, value) => {
                        edit.put(write.key, value, Form::INLINE)?;
                    }
                    NewValue::Bytes(value) => {
                        let (form, body) = prepared.pop_front().expect("one for each in turn");
                        let body = if form == Form::INLINE { value } else { &body };
                        edit.put(write.key, body, form)?;
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

/// A value as it is stored.
struct Stored<'v> {
    bytes: Cow<'v, [u8]>,
    packed: bool,
    /// In the leaf, beside its key.
    inline: bool,
}

impl Stored<'_> {
    fn form(&self) -> Form {
        let form = if self.inline { Form::INLINE } else { Form::EXTENTS };
        if self.packed { form.packed() } else { form }
    }
}
