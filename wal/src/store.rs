//! The files of a log's directory and how they come to be, are used again and go.
//!
//! ```text
//!                  zero-written, synced                  header written and synced,
//!                                                        renamed, directory synced
//!   (nothing) ----------------------------> NUMBER.spare ---------------------------> START-INC.log
//!                                                ^                                         |
//!                                                |      renamed, directory synced          |
//!                                                +-----------------------------------------+---> removed
//! ```
//!
//! So whatever has the name of a segment has a durable header and durable metadata: a sync of what
//! is written to it is a sync of data alone. And a header is only ever overwritten in a file whose
//! name, durably, is not that of a segment.

use llmdb_vfs::planted;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use llmdb_vfs::{File, OpenMode, Vfs};

use crate::segment::{HEADER_BYTES, SegmentHeader, spare_name};
use crate::{LogConfig, Lsn, Result};

/// How much is zeroed by one call.
const ZERO_CHUNK: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) incarnation: u32,
    /// Relaxed: it only has to be another number each time.
    next_spare: AtomicU64,
}

/// A file without a place in the log, ready to become a segment.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) file: Arc<dyn File>,
    path: PathBuf,
    pub(crate) file_bytes: u64,
}

impl Spare {
    /// The bytes for frames.
    pub(crate) fn capacity(&self) -> u64 {
        self.file_bytes - HEADER_BYTES as u64
    }
}

/// A file with a place in the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) start: Lsn,
    pub(crate) path: PathBuf,
    pub(crate) file_bytes: u64,
    /// `None` for segments before a recovery, which are not written any more.
    pub(crate) file: Option<Arc<dyn File>>,
    /// Written to since the last sync.
    pub(crate) dirty: bool,
}

/// The offset in its segment's file of a position in the log.
pub(crate) fn offset_of(start: Lsn, lsn: Lsn) -> u64 {
    HEADER_BYTES as u64 + lsn.since(start)
}

impl Store {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, dir: &Path, config: LogConfig, incarnation: u32) -> Store {
        let next_spare = AtomicU64::new(0);
        Store { vfs, dir: dir.to_path_buf(), config, incarnation, next_spare }
    }

    /// Makes a zero-written, synced file. If that fails nothing is left of it.
    pub(crate) fn create_spare(&self, file_bytes: u64) -> Result<Spare> {
        let path = self.new_spare_path();
        let made = self.vfs.open(&path, OpenMode::CreateNew).and_then(|file| {
            // All blocks in one go, so that they lie together and a full disk shows at once.
            file.allocate(0, file_bytes)?;
            self.zero(&*file, file_bytes)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Spare { file, path, file_bytes }),
            Err(e) => {
                // If this fails too, the next recovery or the clean close sees to it.
                let _ = self.vfs.remove_file(&path);
                Err(e.into())
            }
        }
    }

    /// Writes a file full of zeros, durably.
    pub(crate) fn zero(&self, file: &dyn File, file_bytes: u64) -> Result<(), llmdb_vfs::Error> {
        let zeros = vec![0; ZERO_CHUNK.min(file_bytes) as usize];
        let mut at = 0;
        while at < file_bytes {
            let n = ZERO_CHUNK.min(file_bytes - at);
            file.write_all_at(&[IoSlice::new(&zeros[..n as usize])], at)?;
            at += n;
        }
        file.sync_all()
    }

    /// Turns a spare into the segment that begins at `start`.
    pub(crate) fn activate(
        &self,
        spare: Spare,
        start: Lsn,
        durable: Lsn,
    ) -> Result<Segment, llmdb_vfs::Error> {
        assert!(start.is_aligned() && durable <= start);
        let header = SegmentHeader {
            incarnation: self.incarnation,
            uuid: self.config.uuid,
            start,
            capacity: spare.capacity(),
            durable,
        };
        spare.file.write_all_at(&[IoSlice::new(&header.encode())], 0)?;
        if !planted!("segment_header_not_synced") {
            spare.file.sync_data()?;
        }
        let path = self.dir.join(header.name().file_name());
        self.vfs.rename(&spare.path, &path)?;
        if !planted!("segment_name_not_synced") {
            self.vfs.sync_dir(&self.dir)?;
        }
        let Spare { file, file_bytes, .. } = spare;
        Ok(Segment { start, path, file_bytes, file: Some(file), dirty: false })
    }

    /// Takes a segment's place in the log from it. The caller syncs the directory before the spare
    /// is used.
    pub(crate) fn retire(&self, segment: &Segment) -> Result<Spare, llmdb_vfs::Error> {
        let path = self.new_spare_path();
        let file = match &segment.file {
            Some(file) => Arc::clone(file),
            None => self.vfs.open(&segment.path, OpenMode::ReadWrite)?,
        };
        // A recovery does not look at the length of what it does not read.
        let file_bytes = match segment.file_bytes {
            0 => file.len()?,
            file_bytes => file_bytes,
        };
        self.vfs.rename(&segment.path, &path)?;
        Ok(Spare { file, path, file_bytes })
    }

    pub(crate) fn remove_spare(&self, spare: &Spare) -> Result<(), llmdb_vfs::Error> {
        self.remove(&spare.path)
    }

    /// Removes a file that may be gone already.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), llmdb_vfs::Error> {
        match self.vfs.remove_file(path) {
            Err(llmdb_vfs::Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    fn new_spare_path(&self) -> PathBuf {
        self.dir.join(spare_name(self.next_spare.fetch_add(1, Ordering::Relaxed)))
    }
}
