//! Long values, read a chunk at a time.
//!
//! A chunk is read into memory of the reader's own and checked there, so that neither page source
//! nor pins matter and a value of any length takes the memory of one chunk (and of its table of
//! checksums: 128 KiB for the longest).

use crate::extent::{self, CHUNK, Extents};
use crate::pager::Pager;
use crate::{Error, Result};
use std::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// Reads a long value: anywhere, or from front to back. Lives as long as the snapshot.
pub struct ValueReader<'s> {
    pager: &'s Pager,
    extents: Extents,
    /// The checksums of chunks; read and checked before the first chunk is.
    table: Option<Vec<u8>>,
    /// The chunk in memory: its number, and its bytes.
    chunk: Option<usize>,
    bytes: Vec<u8>,
    /// Where reading goes on.
    at: u64,
}

impl fmt::Debug for ValueReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueReader(at {} of {} bytes)", self.at, self.extents.len)
    }
}

impl<'s> ValueReader<'s> {
    pub(crate) fn new(pager: &'s Pager, extents: Extents) -> Self {
        ValueReader { pager, extents, table: None, chunk: None, bytes: Vec::new(), at: 0 }
    }

    /// The same reader for as long as the pager. While a root that reaches the value is live it
    /// reads the value; afterwards what it reads may be found to be damaged.
    pub fn lasting<'p>(self, pager: &'p Pager) -> ValueReader<'p> {
        assert!(std::ptr::eq(self.pager, pager), "a value is read from the file that it is in");
        ValueReader { pager, ..self }
    }

    /// Bytes of the value.
    pub fn len(&self) -> u64 {
        u64::from(self.extents.len)
    }

    /// Whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.extents.len == 0
    }

    /// Where reading goes on.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// What follows, up to the end of its chunk, and goes on behind that; `None` at the end.
    ///
    /// # Errors
    /// Damage to this chunk, or to the checksums; the file system's.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        let at = self.at;
        let chunk = self.chunk_at(at)?.len() as u64;
        if chunk == 0 {
            return Ok(None);
        }
        self.at = at + chunk;
        self.chunk_at(at).map(Some)
    }

    /// Reads into `buf` from `offset` on; fewer bytes than it takes only where the value ends.
    ///
    /// # Errors
    /// As [`ValueReader::next_chunk`].
    pub fn read_at(&mut self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let bytes = self.chunk_at(offset.saturating_add(done as u64))?;
            if bytes.is_empty() {
                break;
            }
            let len = bytes.len().min(buf.len() - done);
            buf[done..done + len].copy_from_slice(&bytes[..len]);
            done += len;
        }
        Ok(done)
    }

    /// Reads and checks all of it, wherever it stands.
    ///
    /// # Errors
    /// The first damage.
    pub fn check(&mut self) -> Result<()> {
        let at = std::mem::replace(&mut self.at, 0);
        let checked = loop {
            match self.next_chunk() {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.at = at;
        checked
    }

    /// All of it, in one piece.
    pub(crate) fn read_all(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.at = 0;
        while let Some(chunk) = self.next_chunk()? {
            bytes.extend_from_slice(chunk);
        }
        Ok(bytes)
    }

    /// The bytes from `offset` to the end of the chunk around it; none at the end of the value.
    fn chunk_at(&mut self, offset: u64) -> Result<&[u8]> {
        if offset >= self.len() {
            return Ok(&[]);
        }
        let number = (offset / CHUNK as u64) as usize;
        if self.chunk != Some(number) {
            self.chunk = None;
            self.load(number)?;
            self.chunk = Some(number);
        }
        Ok(&self.bytes[(offset % CHUNK as u64) as usize..])
    }

    fn load(&mut self, number: usize) -> Result<()> {
        let len = self.extents.len as usize;
        self.load_table()?;
        let start = number * CHUNK;
        self.bytes.resize(CHUNK.min(len - start), 0);
        read_stream(self.pager, &self.extents, start as u64, &mut self.bytes)?;
        let first = self.extents.first();
        let expected = match self.table.as_deref() {
            Some(table) if !table.is_empty() => {
                let sum = &table[number * 4..number * 4 + 4];
                u32::from_le_bytes(sum.try_into().expect("four bytes"))
            }
            _ => self.extents.check,
        };
        let found = extent::check(self.pager, first, &self.bytes);
        if found != expected {
            let page = page_of(self.pager, &self.extents, start as u64);
            return Err(Error::ChecksumMismatch { page, expected, found });
        }
        Ok(())
    }

    fn load_table(&mut self) -> Result<()> {
        if self.table.is_some() {
            return Ok(());
        }
        let len = self.extents.len as usize;
        let mut table = vec![0; extent::table_len(len)];
        read_stream(self.pager, &self.extents, len as u64, &mut table)?;
        let first = self.extents.first();
        let found = extent::check(self.pager, first, &table);
        if !table.is_empty() && found != self.extents.check {
            let page = page_of(self.pager, &self.extents, len as u64);
            return Err(Error::ChecksumMismatch { page, expected: self.extents.check, found });
        }
        self.table = Some(table);
        Ok(())
    }
}

/// The page that holds byte `offset` of the stream.
fn page_of(pager: &Pager, extents: &Extents, offset: u64) -> crate::PageId {
    let mut pages = offset / pager.page_size as u64;
    for &(page, count) in &extents.parts {
        if pages < count {
            return crate::PageId(page.0 + pages);
        }
        pages -= count;
    }
    extents.first()
}

/// Fills `buf` from byte `offset` of the stream on; the parts are long enough.
fn read_stream(pager: &Pager, extents: &Extents, offset: u64, buf: &mut [u8]) -> Result<()> {
    let size = pager.page_size as u64;
    let (mut skip, mut done) = (offset, 0);
    for &(page, pages) in &extents.parts {
        let bytes = pages * size;
        if skip >= bytes {
            skip -= bytes;
            continue;
        }
        if done == buf.len() {
            break;
        }
        if page.0.checked_add(pages).is_none_or(|end| end > pager.file_pages()) {
            return Err(Error::corrupt(page, "a reference leads beyond the end of the file"));
        }
        let len = ((bytes - skip) as usize).min(buf.len() - done);
        pager.file.read_exact_at(&mut buf[done..done + len], page.0 * size + skip)?;
        (skip, done) = (0, done + len);
    }
    assert_eq!(done, buf.len(), "a descriptor's parts hold its stream");
    Ok(())
}

fn io_error(error: Error) -> io::Error {
    let kind =
        if error.is_corruption() { io::ErrorKind::InvalidData } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

impl Read for ValueReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for ValueReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.chunk_at(self.at).map_err(io_error)
    }

    fn consume(&mut self, len: usize) {
        self.at += len as u64;
    }
}

impl Seek for ValueReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::End(by) => (self.len(), by),
            SeekFrom::Current(by) => (self.at, by),
        };
        let at = base.checked_add_signed(by);
        self.at = at.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a position before the first byte")
        })?;
        Ok(self.at)
    }
}
