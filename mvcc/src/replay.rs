//! Bringing a restored file forward: archived records are applied on top of it, up to a time.

use crate::archive::{Next, read_records};
use crate::record::Record;
use crate::{Error, Result};
use llmdb_storage::{Restoring, StoreOptions};
use llmdb_vfs::Vfs;
use std::path::Path;
use std::sync::Arc;

/// So many bytes of changed pages are written by a checkpoint of the restored file.
const DIRTY_BYTES: u64 = 32 << 20;

/// How far a replay came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Replayed {
    /// Number of the last commit contained.
    pub seq: u64,
    /// Its mark.
    pub mark: i64,
    /// Commits that were replayed.
    pub commits: u64,
    /// Whether it ended because the archive does, and not because a later commit was met.
    pub archive_ended: bool,
}

/// Applies the records that the archive in `dir` holds beyond `restoring`, as far as their marks are
/// at most `until`, and closes the file cleanly again.
///
/// # Errors
/// [`Error::ArchiveGap`]; [`Error::TooNew`] where the backup holds more than is asked for; damage;
/// the file system's.
pub fn replay_archive(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    restoring: &Restoring,
    until: i64,
) -> Result<Replayed> {
    let (seq, mark) = restoring.last_commit();
    if mark > until {
        return Err(Error::TooNew { mark, until });
    }
    let options = StoreOptions::default();
    let mut opened = llmdb_storage::open(vfs, restoring.path(), &options)?;
    let mut reached = llmdb_storage::CommitMark {
        // Pages of this session are told from those of others by the incarnation.
        incarnation: opened.mark.incarnation + 1,
        ..opened.mark
    };
    let writer = &mut opened.writer;
    writer.rewrite_meta(reached.lsn, reached.incarnation, false)?;
    let mut replayed = Replayed { seq, mark, commits: 0, archive_ended: true };
    let page_size = writer.pager().page_size() as u64;
    let identity = (restoring.uuid(), restoring.lineage());
    read_records(&**vfs, dir, identity, seq, |seq, payload| {
        if Record::mark_of(payload).is_some_and(|mark| mark > until) {
            replayed.archive_ended = false;
            return Ok(Next::Enough);
        }
        reached.mark = Record::replay(payload, writer)?;
        reached.seq = seq;
        replayed.commits += 1;
        if writer.dirty_pages() * page_size >= DIRTY_BYTES {
            writer.checkpoint_alone(reached)?;
        }
        Ok(Next::More)
    })?;
    writer.checkpoint_alone(reached)?;
    writer.mark_clean(reached.lsn, reached.incarnation)?;
    drop(opened);
    restoring.check()?;
    Ok(Replayed { seq: reached.seq, mark: reached.mark, ..replayed })
}
