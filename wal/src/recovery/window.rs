//! Reads a file front to back by large reads.

use llmdb_vfs::File;

use crate::frame::HEADER_BYTES;
use crate::store::offset_of;
use crate::{Lsn, Result};

/// How much is read at a time, or more if more is asked for at once.
const CHUNK: usize = 256 << 10;

/// A part of a file in memory. For one file: make a new one for the next.
#[derive(Debug)]
pub(super) struct Window {
    offset: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new() -> Window {
        Window { offset: 0, bytes: Vec::new() }
    }

    /// `len` bytes of the file from `offset` on; `None` if it ends before that. The caller has
    /// bounded `len`.
    pub(super) fn bytes_at(
        &mut self,
        file: &dyn File,
        offset: u64,
        len: usize,
    ) -> Result<Option<&[u8]>> {
        let have = self.offset + self.bytes.len() as u64;
        if offset < self.offset || offset + len as u64 > have {
            self.bytes.resize(len.max(CHUNK), 0);
            self.offset = offset;
            let got = match file.read_at(&mut self.bytes, offset) {
                Ok(got) => got,
                Err(e) => {
                    self.bytes.clear();
                    return Err(e.into());
                }
            };
            self.bytes.truncate(got);
        }
        let at = (offset - self.offset) as usize;
        Ok(self.bytes.get(at..at + len))
    }

    /// The bytes of a frame's header, in the file of a segment that begins at `start`.
    pub(super) fn header_at(
        &mut self,
        file: &dyn File,
        start: Lsn,
        lsn: Lsn,
    ) -> Result<Option<&[u8; HEADER_BYTES]>> {
        let bytes = self.bytes_at(file, offset_of(start, lsn), HEADER_BYTES)?;
        Ok(bytes.map(|bytes| bytes.try_into().expect("a header's length")))
    }
}
