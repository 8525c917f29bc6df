//! Filling a new database, tree by tree, by its only owner.

use crate::image::NewFile;
use crate::reader::Reader;
use crate::store::{Opened, create};
use crate::writer::Writer;
use crate::{Batch, CommitMark, Result, StoreOptions, TreeId, TreeOptions};
use llmdb_vfs::Vfs;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// So many bytes of changed pages are written by a checkpoint of the new file.
const DIRTY_BYTES: u64 = 32 << 20;

/// A new database that is being filled under a temporary name; gone again unless it is finished.
/// Memory is bounded by about 64 MiB and twice the largest batch.
pub struct Filling {
    // The order matters: the file is closed before its name is removed.
    opened: Opened,
    new: NewFile,
    mark: CommitMark,
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling").field("writer", &self.opened.writer).finish()
    }
}

impl Filling {
    /// Begins a database that is to be at `dest`, where nothing may be. It has a UUID of its own.
    ///
    /// # Errors
    /// [`Error::Exists`](crate::Error::Exists); the file system's.
    pub fn begin(vfs: &Arc<dyn Vfs>, dest: &Path, page_size: usize) -> Result<Filling> {
        let new = NewFile::begin(vfs, dest)?;
        let options = StoreOptions { page_size, ..StoreOptions::default() };
        create(vfs, &new.temporary, &options)?;
        let new = new.reopened()?;
        let mut opened = crate::open(vfs, &new.temporary, &options)?;
        // Pages of this session are told from those of later ones by the incarnation.
        let incarnation = opened.mark.incarnation + 1;
        let mark = CommitMark { seq: 0, mark: 0, lsn: 0, incarnation };
        opened.writer.rewrite_meta(mark.lsn, mark.incarnation, false)?;
        Ok(Filling { opened, new, mark })
    }

    /// Its only owner.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.opened.writer
    }

    /// Everything that was applied so far.
    pub fn reader(&self) -> Reader<'_> {
        self.opened.writer.reader()
    }

    /// All trees by name.
    pub fn trees(&self) -> Vec<(String, TreeId)> {
        self.opened.writer.trees().map(|(name, tree)| (name.to_owned(), tree)).collect()
    }

    /// How a tree stores what is written to it.
    pub fn tree_options(&self, tree: TreeId) -> TreeOptions {
        self.opened.writer.tree_options(tree)
    }

    /// Whether an entry fits.
    pub fn fits(&self, key: &[u8], value: &[u8]) -> bool {
        self.opened.pager.check_sizes(key, value).is_ok()
    }

    /// Applies a batch and leaves it empty.
    ///
    /// # Errors
    /// Those of [`Writer::apply`] and of checkpoints.
    pub fn apply(&mut self, batch: &mut Batch) -> Result<()> {
        let mut batch = std::mem::take(batch);
        batch.sort();
        let writer = &mut self.opened.writer;
        writer.apply(&batch)?;
        let page_size = writer.pager().page_size() as u64;
        if writer.dirty_pages() * page_size >= DIRTY_BYTES {
            writer.checkpoint_alone(self.mark)?;
        }
        Ok(())
    }

    /// Drops a tree.
    ///
    /// # Errors
    /// [`Error::NoSuchTree`](crate::Error::NoSuchTree)
    pub fn drop_tree(&mut self, tree: TreeId) -> Result<()> {
        let writer = &mut self.opened.writer;
        writer.drop_tree(tree)?;
        while writer.free_dropped(usize::MAX)? {}
        Ok(())
    }

    /// Closes the database cleanly, with the number and the mark of the last commit in it, judges
    /// every page of it, and gives it its name, durably.
    ///
    /// # Errors
    /// Those of checkpoints; [`Error::BadCopy`](crate::Error::BadCopy).
    pub fn finish(self, seq: u64, mark: i64) -> Result<()> {
        let Filling { mut opened, new, mark: at } = self;
        let at = CommitMark { seq, mark, ..at };
        opened.writer.checkpoint_alone(at)?;
        opened.writer.mark_clean(at.lsn, at.incarnation)?;
        drop(opened);
        new.check()?;
        new.finish()
    }
}
