//! Long values written ahead of their commit, and what keeps their pages while a log names them.
//!
//! A transaction reserves a run, writes the value into it without any lock, and commits a write
//! that names the run: so does its record in the log, which does not repeat the bytes.
//!
//! ```text
//! transaction   reserve -> write chunks ... -> finish: a Reference     | drop: abandon
//! commit        apply: the run is the version's, the leaf gets the descriptor
//! log           record: the same descriptor; synced only after the file was (Pager::sync_written)
//! recovery      every run that the log names is adopted, then records are applied as at first
//! ```
//!
//! The pages of a logged value are not used again before every retained meta page has a version
//! that does not reach them any more. Their birth does not say that: replaying the log from an
//! older meta goes through the very version that they were born in. So they are retired as if
//! they were born with the oldest retained meta.

use crate::extent::{self, CHUNK, Extents, PARTS_MAX};
use crate::pager::Pager;
use crate::space::{Reservation, RunId};
use crate::writer::Writer;
use crate::{Batch, Error, PageId, Result, Version};
use llmdb_vfs::planted;
use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;

/// Values from this length on are worth a run of their own before their commit: two syncs instead
/// of one, and half of the bytes.
pub const REFERENCE_BYTES_MIN: usize = 32 << 10;
/// The first run of a value of unknown length.
const RUN_BYTES_FIRST: u64 = 256 << 10;
/// Parts that one reservation may take: the runs of the longest value, each as long as all before
/// it, then fit a descriptor.
const PARTS_EACH: usize = 4;

/// Where a long value lies that was written ahead of the write that will name it.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference {
    pub(crate) extents: Arc<Extents>,
}

impl Reference {
    /// Bytes of the value.
    pub fn len(&self) -> u64 {
        u64::from(self.extents.len)
    }

    /// Whether the value has no bytes: never so.
    pub fn is_empty(&self) -> bool {
        self.extents.len == 0
    }

    /// The name of its run.
    pub fn run(&self) -> RunId {
        RunId(self.extents.first())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, parts) = (self.extents.len, self.extents.parts.len());
        write!(f, "Reference({len} bytes from {:?} in {parts} parts)", self.extents.first())
    }
}

/// Who takes pages for a value that is being written: whoever holds the [`Writer`], for as long as
/// it takes to ask it.
pub trait Reserve {
    /// [`Writer::reserve_run`].
    ///
    /// # Errors
    /// No room.
    fn reserve(&self, run: Option<RunId>, pages: u64, parts_max: usize) -> Result<Reservation>;
    /// [`Writer::shorten_run`].
    fn shorten(&self, run: RunId, pages: u64);
    /// [`Writer::abandon_run`].
    fn abandon(&self, run: RunId);
}

/// A long value being written. Dropped before [`LongWriter::finish`], it gives its pages back.
pub struct LongWriter<R: Reserve> {
    pager: Arc<Pager>,
    reserve: R,
    run: Option<RunId>,
    parts: Vec<(PageId, u64)>,
    /// Where in the parts the stream goes on: which, and at which byte of it.
    at: (usize, u64),
    /// Bytes that the parts have left.
    room: u64,
    len: u64,
    len_hint: u64,
    table: Vec<u8>,
    /// The last chunk was not full: it was the last.
    ended: bool,
}

impl<R: Reserve> fmt::Debug for LongWriter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LongWriter({} bytes in {} parts)", self.len, self.parts.len())
    }
}

impl<R: Reserve> LongWriter<R> {
    /// Bytes of a chunk: what is written at a time, and covered by one checksum.
    pub const CHUNK_BYTES: usize = CHUNK;
    /// The longest value.
    pub const VALUE_BYTES_MAX: u64 = extent::VALUE_MAX as u64;

    /// Begins a value of about `len_hint` bytes, 0 if nobody knows. Takes nothing yet.
    pub fn new(pager: Arc<Pager>, reserve: R, len_hint: u64) -> Self {
        LongWriter {
            pager,
            reserve,
            run: None,
            parts: Vec::new(),
            at: (0, 0),
            room: 0,
            len: 0,
            len_hint: len_hint.min(Self::VALUE_BYTES_MAX),
            table: Vec::new(),
            ended: false,
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the next chunk. All but the last have [`LongWriter::CHUNK_BYTES`].
    ///
    /// # Errors
    /// [`Error::ValueTooLong`], no room, the file system's. What was written stays; the chunk may
    /// be tried again.
    pub fn write_chunk(&mut self, chunk: &[u8]) -> Result<()> {
        assert!(!self.ended && !chunk.is_empty() && chunk.len() <= CHUNK, "chunks are full");
        let len = self.len + chunk.len() as u64;
        if len > Self::VALUE_BYTES_MAX {
            return Err(Error::ValueTooLong { len: len as usize, max: extent::VALUE_MAX });
        }
        self.make_room(chunk.len() as u64)?;
        let first = self.parts[0].0;
        self.write(chunk)?;
        let sum = extent::check(&self.pager, first, chunk);
        self.table.extend_from_slice(&sum.to_le_bytes());
        self.len = len;
        self.ended = chunk.len() < CHUNK;
        Ok(())
    }

    /// Ends the value: what a [`Batch`] may name, while the run that it lies in is reserved. Whoever
    /// gets it abandons the run if nothing comes of it.
    ///
    /// # Errors
    /// As [`LongWriter::write_chunk`].
    ///
    /// # Panics
    /// Where nothing was written.
    pub fn finish(mut self) -> Result<Reference> {
        let run = self.run.expect("a long value has bytes");
        let first = self.parts[0].0;
        let table = std::mem::take(&mut self.table);
        let check = if table.len() > 4 {
            self.make_room(table.len() as u64)?;
            self.write(&table)?;
            extent::check(&self.pager, first, &table)
        } else {
            u32::from_le_bytes(table[..4].try_into().expect("one chunk, one sum"))
        };
        // To the end of the last page, so that nothing of what it held before is left.
        let offset = self.at.1;
        let rest = offset.next_multiple_of(self.pager.page_size as u64) - offset;
        self.write(&vec![0; rest as usize])?;
        let pages = extent::pages_for(self.len as usize, self.pager.page_size);
        self.reserve.shorten(run, pages);
        let mut left = pages;
        self.parts.retain_mut(|part| {
            part.1 = part.1.min(left);
            left -= part.1;
            part.1 > 0
        });
        for part in &self.parts {
            self.pager.forget(part.0);
        }
        self.pager.note_written();
        let parts = std::mem::take(&mut self.parts);
        let (len, birth) = (self.len as u32, Version(0));
        let extents = Arc::new(Extents { len, check, birth, logged: true, parts });
        // From here on the run is the caller's.
        self.run = None;
        debug_assert_eq!(run.0, extents.first());
        Ok(Reference { extents })
    }

    /// Makes sure that the parts have room for so many bytes more.
    fn make_room(&mut self, bytes: u64) -> Result<()> {
        while self.room < bytes {
            let size = self.pager.page_size as u64;
            let least = (bytes - self.room).div_ceil(size);
            let taken: u64 = self.parts.iter().map(|part| part.1).sum();
            let most = extent::pages_for(extent::VALUE_MAX, self.pager.page_size) - taken;
            let wanted = match self.run {
                None if self.len_hint == 0 => RUN_BYTES_FIRST / size,
                None => extent::pages_for(self.len_hint as usize, self.pager.page_size),
                Some(_) => taken,
            };
            let wanted = wanted.clamp(least, most.max(least));
            // Where a generous run is not to be had, what is needed may be.
            match self.take(wanted) {
                Err(Error::Full { .. } | Error::Vfs(llmdb_vfs::Error::NoSpace { .. }))
                    if wanted > least =>
                {
                    self.take(least)?;
                }
                taken => taken?,
            }
        }
        Ok(())
    }

    fn take(&mut self, pages: u64) -> Result<()> {
        let parts_max = PARTS_EACH.min(PARTS_MAX - self.parts.len());
        if parts_max == 0 {
            return Err(Error::Full { pages: self.pager.table.pages() });
        }
        let taken: u64 = self.parts.iter().map(|part| part.1).sum();
        let reservation = self.reserve.reserve(self.run, pages, parts_max)?;
        let end = reservation.parts.iter().map(|part| part.0.0 + part.1).max();
        if let Err(error) = self.pager.grow(end.expect("a run has a part")) {
            match self.run {
                Some(run) => self.reserve.shorten(run, taken),
                None => self.reserve.abandon(reservation.id),
            }
            return Err(error);
        }
        self.run = Some(reservation.id);
        for part in reservation.parts {
            match self.parts.last_mut() {
                Some(last) if last.0.0 + last.1 == part.0.0 => last.1 += part.1,
                _ => self.parts.push(part),
            }
        }
        self.room += pages * self.pager.page_size as u64;
        Ok(())
    }

    /// Writes bytes where the stream goes on; there is room.
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        let size = self.pager.page_size as u64;
        let (mut index, mut offset) = self.at;
        let mut room = self.room;
        while !bytes.is_empty() {
            let (page, pages) = self.parts[index];
            let left = pages * size - offset;
            let now;
            (now, bytes) = bytes.split_at(bytes.len().min(left as usize));
            if !now.is_empty() {
                self.pager.file.write_all_at(&[IoSlice::new(now)], page.0 * size + offset)?;
            }
            offset += now.len() as u64;
            room -= now.len() as u64;
            if !bytes.is_empty() {
                (index, offset) = (index + 1, 0);
            }
        }
        (self.at, self.room) = ((index, offset), room);
        Ok(())
    }
}

impl<R: Reserve> Drop for LongWriter<R> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            self.reserve.abandon(run);
        }
    }
}

impl Writer {
    /// Takes pages for a value that is written ahead of its commit: a new run, or more for `run`.
    ///
    /// # Errors
    /// No room.
    pub fn reserve_run(
        &mut self,
        run: Option<RunId>,
        pages: u64,
        parts_max: usize,
    ) -> Result<Reservation> {
        self.check_poison()?;
        let reserved = match run {
            None => self.space.reserve_run(pages, parts_max),
            Some(run) => self.space.extend_run(run, pages, parts_max),
        };
        reserved.map_err(|error| self.space_error(error))
    }

    /// Frees the pages of a run behind the first `pages`.
    pub fn shorten_run(&mut self, run: RunId, pages: u64) {
        self.space.shorten_run(run, pages);
    }

    /// Frees a run that no committed write names. After a failure that stopped writing the run may
    /// have been taken by half of a batch; then nothing happens.
    pub fn abandon_run(&mut self, run: RunId) {
        if self.is_reserved(run) && !planted!("abandoned_values_leak") {
            self.space.abandon_run(run);
        }
    }

    /// Takes the pages of every long value that a record of the log names, before any record is
    /// applied. The bytes are untrusted.
    ///
    /// # Errors
    /// [`Error::CorruptPage`] where pages are in use already, or out of reach.
    pub fn adopt(&mut self, references: &[Reference]) -> Result<()> {
        for Reference { extents } in references {
            let beyond = extents.end() > self.pager.file_pages();
            let mut adopted = !beyond && self.space.adopt_run(&extents.parts).is_some();
            if !adopted && self.forget_older_meta() {
                adopted = !beyond && self.space.adopt_run(&extents.parts).is_some();
            }
            if !adopted {
                let what = "the log names it for a value, and it is in use or beyond the end";
                return Err(Error::corrupt(extents.first(), what));
            }
            self.pager.note_written();
        }
        Ok(())
    }

    /// Lets go of the meta page before the newest readable one, if it was retained. A log that names
    /// pages which only that meta reaches says that it was let go of before: the meta after the
    /// newest readable one was durable, and was lost.
    fn forget_older_meta(&mut self) -> bool {
        let had_older = self.retained.len() > 1;
        self.retained = vec![self.meta.version];
        self.space.reclaim(&[self.meta.version]);
        had_older
    }

    /// Whether a run is reserved and no write has taken it.
    pub fn is_reserved(&self, run: RunId) -> bool {
        self.space.unborn_run(run).is_some()
    }

    /// The version being made takes the run of a value that was written ahead.
    pub(crate) fn take_run(&mut self, extents: &Extents) -> Result<()> {
        self.check_reserved(extents)?;
        let parts = self.space.commit_run(RunId(extents.first()));
        self.taken_runs.push(parts);
        Ok(())
    }

    fn check_reserved(&self, extents: &Extents) -> Result<()> {
        let reserved = self.space.unborn_run(RunId(extents.first()));
        if reserved.is_none_or(|parts| parts != extents.parts) {
            let what = "a write names it, and it is not reserved";
            return Err(Error::corrupt(extents.first(), what));
        }
        Ok(())
    }

    /// Refuses a batch that names a run that is not reserved, or not as it says.
    pub(crate) fn check_references(&self, batch: &Batch) -> Result<()> {
        for write in batch.iter() {
            let Some((extents, _)) = write.extents(self.pager.page_size)? else { continue };
            self.check_reserved(&extents)?;
        }
        Ok(())
    }

    /// Drops the pages of a value that the log names.
    pub(crate) fn drop_logged(&mut self, page: PageId, pages: u64, born: Version) -> Result<()> {
        if born > self.version || pages == 0 || !self.space.is_in_use(page, pages) {
            return Err(Error::corrupt(page, "it is dropped and was not in use"));
        }
        // As long as a retained meta page is followed by a log that names them.
        let replayed_from = self.retained.first().copied().unwrap_or(born).min(born);
        if replayed_from == self.version || planted!("extents_freed_at_once") {
            self.space.free_run_now(page, pages);
        } else {
            self.space.retire_run(page, pages, replayed_from, self.version);
        }
        Ok(())
    }
}
