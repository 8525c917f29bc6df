//! Long values on their way into the file, ahead of the commit that names them.
//!
//! Pages are taken under the sequencer's lock; the bytes are written without any. What comes to
//! nothing gives its pages back when it is dropped.

use crate::Result;
use crate::engine::Shared;
use llmdb_storage::{LongWriter, REFERENCE_BYTES_MIN, Reference, Reservation, Reserve, RunId};
use std::fmt;
use std::io;

/// Takes pages from the writer, under the sequencer's lock.
#[derive(Clone, Copy)]
pub(crate) struct Lease<'e>(&'e Shared);

impl Reserve for Lease<'_> {
    fn reserve(
        &self,
        run: Option<RunId>,
        pages: u64,
        parts_max: usize,
    ) -> llmdb_storage::Result<Reservation> {
        self.0.sequencer.lock().writer.reserve_run(run, pages, parts_max)
    }

    fn shorten(&self, run: RunId, pages: u64) {
        self.0.sequencer.lock().writer.shorten_run(run, pages);
    }

    fn abandon(&self, run: RunId) {
        self.0.sequencer.lock().writer.abandon_run(run);
    }
}

/// Takes a value of any length, and writes it into the file as it comes once it is long. In memory
/// is one chunk of it.
pub struct ValueWriter<'e> {
    chunk: Vec<u8>,
    out: LongWriter<Lease<'e>>,
    shared: &'e Shared,
}

/// A value that was written.
#[derive(Debug)]
pub enum Written<'e> {
    /// It is short: the bytes go with the transaction.
    Short(Vec<u8>),
    /// It is in the file.
    Long(Ahead<'e>),
}

/// A long value in the file that no commit names yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Ahead<'e> {
    shared: &'e Shared,
    reference: Reference,
    /// A commit has taken it.
    taken: bool,
}

impl fmt::Debug for ValueWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueWriter({} bytes)", self.len())
    }
}

impl<'e> ValueWriter<'e> {
    pub(crate) fn new(shared: &'e Shared, len_hint: u64) -> Self {
        let out = LongWriter::new(shared.pager.clone(), Lease(shared), len_hint);
        ValueWriter { chunk: Vec::new(), out, shared }
    }

    /// Bytes taken so far.
    pub fn len(&self) -> u64 {
        self.out.len() + self.chunk.len() as u64
    }

    /// Whether it has taken nothing yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes more of the value.
    ///
    /// # Errors
    /// No room, failed writes, a value that grows too long. Nothing has happened to the database;
    /// the value cannot go on.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        const CHUNK: usize = LongWriter::<Lease<'static>>::CHUNK_BYTES;
        while !bytes.is_empty() {
            let now;
            (now, bytes) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            if now.len() == CHUNK {
                self.out.write_chunk(now)?;
                continue;
            }
            self.chunk.extend_from_slice(now);
            if self.chunk.len() == CHUNK {
                self.out.write_chunk(&self.chunk)?;
                self.chunk.clear();
            }
        }
        Ok(())
    }

    /// Ends the value.
    ///
    /// # Errors
    /// As [`ValueWriter::push`].
    pub fn finish(mut self) -> Result<Written<'e>> {
        if self.out.is_empty() && self.chunk.len() < REFERENCE_BYTES_MIN {
            return Ok(Written::Short(self.chunk));
        }
        if !self.chunk.is_empty() {
            self.out.write_chunk(&self.chunk)?;
        }
        let reference = self.out.finish()?;
        Ok(Written::Long(Ahead { shared: self.shared, reference, taken: false }))
    }
}

impl io::Write for ValueWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    /// Does nothing: what is not in the file yet is too little to be worth a write.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ahead<'_> {
    /// What a batch names it by.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Under the sequencer's lock, after a commit was applied: whether it took this value.
    pub(crate) fn settle(&mut self, is_reserved: bool) {
        self.taken = !is_reserved;
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        if !self.taken {
            Lease(self.shared).abandon(self.reference.run());
        }
    }
}
