//! Copying trees into a new file, entry by entry in order, so that its pages are full.

use crate::image::{NewFile, OnProgress, Progress};
use crate::reader::Reader;
use crate::store::create;
use crate::writer::Writer;
use crate::{Batch, CommitMark, Cursor, Result, StoreOptions, TreeId, TreeOptions};
use llmdb_vfs::Vfs;
use std::path::Path;
use std::sync::Arc;

/// Entries are applied in batches of so many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// So many bytes of changed pages are written by a checkpoint of the new file.
const DIRTY_BYTES: u64 = 32 << 20;

/// Copies `trees`, by name and stored as their options say, to a new database at `dest`, closed cleanly and durable when this
/// returns, or nothing at all. The database is another one: it has a UUID of its own. Memory is
/// bounded, by about 64 MiB and twice the longest value.
///
/// Progress counts entries; the total is not known ahead and is 0.
///
/// # Errors
/// [`Error::Exists`](crate::Error::Exists); damage; the file system's.
pub fn copy_trees(
    reader: &Reader<'_>,
    trees: &[(String, TreeId, TreeOptions)],
    (seq, mark): (u64, i64),
    vfs: &Arc<dyn Vfs>,
    dest: &Path,
    progress: OnProgress<'_>,
) -> Result<u64> {
    let new = NewFile::begin(vfs, dest)?;
    let page_size = reader.pager().page_size();
    let options = StoreOptions { page_size, ..StoreOptions::default() };
    create(vfs, &new.temporary, &options)?;
    let new = new.reopened()?;
    let mut opened = crate::open(vfs, &new.temporary, &options)?;
    // Pages of this session are told from those of later ones by the incarnation.
    let mark = CommitMark { seq, mark, lsn: 0, incarnation: opened.mark.incarnation + 1 };
    let writer = &mut opened.writer;
    writer.rewrite_meta(mark.lsn, mark.incarnation, false)?;
    let mut trees = trees.to_vec();
    trees.sort_by_key(|(_, tree, _)| *tree);
    let mut entries = 0;
    for (name, from, how) in &trees {
        let to = writer.create_tree_with(name, *how)?;
        let mut cursor = reader.walk(*from);
        let mut more = cursor.first()?;
        let mut batch = Batch::new();
        while more {
            batch.put(to, cursor.key(), &cursor.value()?);
            entries += 1;
            more = cursor.next()?;
            if batch.bytes().len() >= BATCH_BYTES || !more {
                batch.sort();
                writer.apply(&batch)?;
                batch = Batch::new();
                progress(Progress { done: entries, total: 0 });
                if writer.dirty_pages() * page_size as u64 >= DIRTY_BYTES {
                    writer.checkpoint_alone(mark)?;
                }
            }
        }
    }
    writer.checkpoint_alone(mark)?;
    writer.mark_clean(mark.lsn, mark.incarnation)?;
    drop(opened);
    new.check()?;
    new.finish()?;
    Ok(entries)
}

impl Writer {
    /// A checkpoint of a file that nobody else reads or writes, and that has no log.
    ///
    /// # Errors
    /// Damage; the file system's.
    pub fn checkpoint_alone(&mut self, mark: CommitMark) -> Result<()> {
        let pager = self.pager.clone();
        let checkpoint = self.begin_checkpoint(mark)?;
        let made = checkpoint.write(&pager).and_then(|_| checkpoint.commit(&pager));
        if let Err(failed) = made {
            self.abandon_checkpoint(checkpoint);
            self.poison(&failed.error);
            return Err(failed.error);
        }
        let sealed = self.finish_checkpoint(checkpoint);
        self.reclaim(&[sealed.version], &[]);
        Ok(())
    }
}
