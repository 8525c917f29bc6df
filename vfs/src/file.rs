//! An open file: positioned I/O only.

use std::fmt::Debug;
use std::io::IoSlice;
use std::path::Path;

use crate::{Error, Map, Result};

/// An open regular file. No position is kept and every method takes `&self`: threads share a file
/// freely. Reads and writes of the same bytes at the same time are the callers' to order.
///
/// Used as `Arc<dyn File>`.
#[expect(clippy::len_without_is_empty, reason = "a file is not a collection")]
pub trait File: Send + Sync + Debug {
    /// Reads into `buf` from `offset` on and returns how many bytes it got: fewer than `buf` holds
    /// only where the file ends.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    /// [`Error::ShortRead`] if the file ends before that.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let wanted = buf.len();
        let got = self.read_at(buf, offset)?;
        if got < wanted {
            return Err(Error::ShortRead { path: self.path().to_path_buf(), offset, wanted, got });
        }
        Ok(())
    }

    /// Writes all of `bufs`, one after the other, from `offset` on; the file grows as needed.
    ///
    /// # Errors
    /// Whatever stopped it; a part of the bytes may have been written then.
    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()>;

    /// Reserves the bytes from `offset` to `offset + len`: afterwards the file is at least that
    /// long and, where the file system can promise it, writing there does not fail for want of
    /// space. Bytes that were not there before read as zero; others are left alone.
    fn allocate(&self, offset: u64, len: u64) -> Result<()>;

    /// Makes these bytes, which lie within the file, read as zero, and gives their space back to the
    /// file system where that can be done. Its length stays.
    fn punch(&self, offset: u64, len: u64) -> Result<()>;

    /// Cuts the file, or extends it by zeros without reserving space for them. Maps of the file stay;
    /// touching one behind the cut is a signal, so the caller makes sure that nobody does.
    fn set_len(&self, len: u64) -> Result<()>;

    /// The length of the file in bytes.
    fn len(&self) -> Result<u64>;

    /// Makes the contents written so far, and the length that is needed to read them, durable.
    ///
    /// # Errors
    /// After an error nothing may be assumed about what is durable, and a second call that
    /// succeeds proves nothing: the operating system may have dropped what it could not write.
    fn sync_data(&self) -> Result<()>;

    /// As [`sync_data`](File::sync_data), and the rest of the file's metadata too.
    fn sync_all(&self) -> Result<()>;

    /// Maps the file for reading, shared with all writers of it. `reserve` bytes of address space
    /// are taken, and should be more than the file is long: the file may grow under its map.
    fn map(&self, reserve: u64) -> Result<Map>;

    /// Takes an advisory lock on the file itself, without waiting: any number of holders share it, or
    /// one has it alone. It ends when this handle is dropped. Files that stand for others in tests
    /// may leave it at this: nobody is kept away.
    ///
    /// # Errors
    /// [`Error::Locked`] while somebody holds a lock that does not go with it, this process
    /// included.
    fn lock(&self, how: LockMode) -> Result<()> {
        let _ = how;
        Ok(())
    }

    /// The path that the file was opened by.
    fn path(&self) -> &Path;
}

/// How [`File::lock`] locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockMode {
    /// Others may hold it too.
    Shared,
    /// Nobody else holds it.
    Exclusive,
}
