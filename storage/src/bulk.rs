//! Copying trees into a new file, entry by entry in order, so that its pages are full.

use crate::filling::Filling;
use crate::image::{OnProgress, Progress};
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{Batch, CommitMark, Cursor, Result, TreeId, TreeOptions};
use llmdb_vfs::Vfs;
use std::path::Path;
use std::sync::Arc;

/// Entries are applied in batches of so many bytes.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// Copies `trees`, by name and stored as their options say, to a new database at `dest`, closed
/// cleanly and durable when this returns, or nothing at all. The database is another one: it has a
/// UUID of its own. Memory is bounded, by about 64 MiB and twice the longest value.
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
    let mut new = Filling::begin(vfs, dest, reader.pager().page_size())?;
    let mut trees = trees.to_vec();
    trees.sort_by_key(|(_, tree, _)| *tree);
    let mut entries = 0;
    for (name, from, how) in &trees {
        let to = new.writer().create_tree_with(name, *how)?;
        entries += copy_tree(reader, *from, &mut new, to, &mut |done| {
            progress(Progress { done: entries + done, total: 0 });
        })?;
    }
    new.finish(seq, mark)?;
    Ok(entries)
}

/// Copies the entries of one tree into another of a new file; answers how many. `progress` is told
/// of how many there were so far.
///
/// # Errors
/// Damage; the file system's.
pub fn copy_tree(
    reader: &Reader<'_>,
    from: TreeId,
    new: &mut Filling,
    to: TreeId,
    progress: &mut dyn FnMut(u64),
) -> Result<u64> {
    let mut entries = 0;
    let mut cursor = reader.walk(from);
    let mut more = cursor.first()?;
    let mut batch = Batch::new();
    while more {
        batch.put(to, cursor.key(), &cursor.value()?);
        entries += 1;
        more = cursor.next()?;
        if batch.bytes().len() >= BATCH_BYTES || !more {
            new.apply(&mut batch)?;
            progress(entries);
        }
    }
    Ok(entries)
}

impl Writer {
    /// A checkpoint of a file that nobody else reads or writes, and that has no log.
    ///
    /// # Errors
    /// Damage; the file system's.
    pub fn checkpoint_alone(&mut self, mark: CommitMark) -> Result<()> {
        // Nobody waits.
        while self.free_dropped(usize::MAX)? {}
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
