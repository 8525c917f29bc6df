//! The files of the log: writing to them, syncing them, giving them up.

use llmdb_vfs::planted;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::path::PathBuf;

use super::tail::Batch;
use crate::store::{Segment, Spare, Store, offset_of};
use crate::{Lsn, Result};

#[derive(Debug)]
pub(super) struct Writer {
    /// Oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    /// Files that a recovery has replaced: needed until its incarnation is recorded.
    obsolete: Vec<PathBuf>,
    /// The buffer that is not being appended to.
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn over(segments: Vec<Segment>, obsolete: Vec<PathBuf>) -> Writer {
        Writer { segments: segments.into(), obsolete, buffer: Vec::new() }
    }

    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Writes a batch; it begins where the one before ended.
    pub(super) fn write(
        &mut self,
        store: &Store,
        batch: Batch,
        durable: Lsn,
    ) -> Result<(), llmdb_vfs::Error> {
        let Batch { start, bytes, segments } = batch;
        let mut at = start;
        let mut rest = bytes.as_slice();
        for (begin, spare) in segments {
            let (here, after) = rest.split_at(begin.since(at) as usize);
            self.write_here(at, here)?;
            self.segments.push_back(store.activate(spare, begin, durable)?);
            (at, rest) = (begin, after);
        }
        self.write_here(at, rest)?;
        self.buffer = bytes;
        Ok(())
    }

    fn write_here(&mut self, at: Lsn, bytes: &[u8]) -> Result<(), llmdb_vfs::Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let segment = self.segments.back_mut().expect("a log has a segment");
        let offset = offset_of(segment.start, at);
        assert!(offset + bytes.len() as u64 <= segment.file_bytes, "frames stay in their segment");
        let file = segment.file.as_ref().expect("the last segment is open");
        segment.dirty = true;
        file.write_all_at(&[IoSlice::new(bytes)], offset)
    }

    /// Makes what was written durable, the oldest first.
    pub(super) fn sync(&mut self) -> Result<(), llmdb_vfs::Error> {
        let from = match planted!("only_newest_segment_synced") {
            true => self.segments.len() - 1,
            false => 0,
        };
        for segment in self.segments.range_mut(from..).filter(|segment| segment.dirty) {
            if !planted!("log_not_synced") {
                segment.file.as_ref().expect("it was written to").sync_data()?;
            }
            segment.dirty = false;
        }
        Ok(())
    }

    /// Gives up the segments wholly below `keep_from`. Up to `wanted` of them, none shorter than
    /// `file_bytes_min`, become `spares`; an error leaves these good and the rest for next time.
    pub(super) fn recycle(
        &mut self,
        store: &Store,
        keep_from: Lsn,
        wanted: usize,
        file_bytes_min: u64,
        spares: &mut Vec<Spare>,
    ) -> Result<(), llmdb_vfs::Error> {
        let given_up = self.give_up(store, keep_from, wanted, file_bytes_min, spares);
        // A spare's header is overwritten when it is used: by then its new name must be durable.
        let synced = match planted!("spares_reused_too_early") {
            true => Ok(()),
            false => store.vfs.sync_dir(&store.dir),
        };
        if let Err(e) = synced {
            for spare in spares.drain(..) {
                let _ = store.remove_spare(&spare);
            }
            return Err(e);
        }
        given_up
    }

    fn give_up(
        &mut self,
        store: &Store,
        keep_from: Lsn,
        wanted: usize,
        file_bytes_min: u64,
        spares: &mut Vec<Spare>,
    ) -> Result<(), llmdb_vfs::Error> {
        while let Some(path) = self.obsolete.last() {
            store.remove(path)?;
            self.obsolete.pop();
        }
        while self.ends_at(0).is_some_and(|end| end <= keep_from) {
            let segment = &self.segments[0];
            assert!(!segment.dirty, "it lies below what is durable");
            if spares.len() < wanted && segment.file_bytes >= file_bytes_min {
                spares.push(store.retire(segment)?);
            } else {
                store.remove(&segment.path)?;
            }
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Where a segment ends: where the next one begins. The last has no end yet.
    fn ends_at(&self, index: usize) -> Option<Lsn> {
        self.segments.get(index + 1).map(|next| next.start)
    }

    /// Whether `recycle` would change anything.
    pub(super) fn has_garbage(&self, keep_from: Lsn) -> bool {
        !self.obsolete.is_empty() || self.ends_at(0).is_some_and(|end| end <= keep_from)
    }

    pub(super) fn remove(self, store: &Store) -> Result<(), llmdb_vfs::Error> {
        let segments = self.segments.iter().map(|segment| &segment.path);
        self.obsolete.iter().chain(segments).try_for_each(|path| store.remove(path))
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.file_bytes).sum()
    }
}
