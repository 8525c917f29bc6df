//! An open file of the operating system.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::{Error, File, LockMode, Map, Result};

/// The largest file offset: `off_t` is signed.
const OFFSET_MAX: u64 = i64::MAX as u64;

/// Zeros in one write.
const ZEROS_MAX: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct OsFile {
    file: std::fs::File,
    path: PathBuf,
    writable: bool,
}

impl OsFile {
    pub(super) fn new(file: std::fs::File, path: &Path, writable: bool) -> OsFile {
        OsFile { file, path: path.to_path_buf(), writable }
    }

    fn failed(&self, op: &'static str) -> impl Fn(io::Error) -> Error + '_ {
        move |e| Error::from_io(op, &self.path, e)
    }

    fn writable(&self) -> Result<()> {
        if self.writable { Ok(()) } else { Err(Error::ReadOnly { path: self.path.clone() }) }
    }

    /// The end of a range, if a file can reach that far.
    fn end_of(&self, op: &'static str, offset: u64, len: u64) -> Result<u64> {
        offset
            .checked_add(len)
            .filter(|&end| end <= OFFSET_MAX)
            .ok_or_else(|| Error::out_of_range(op, &self.path))
    }
}

impl File for OsFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        self.end_of("read", offset, buf.len() as u64)?;
        while done < buf.len() {
            match rustix::io::pread(&self.file, &mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(self.failed("read")(e.into())),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.writable()?;
        let total = bufs.iter().map(|buf| buf.len() as u64).sum();
        self.end_of("write", offset, total)?;
        let mut done = 0;
        let mut left = Remaining::Untouched(bufs);
        while done < total {
            // The call takes at most IOV_MAX of the buffers: that is one more kind of short write.
            match rustix::io::pwritev(&self.file, left.bufs(), offset + done) {
                Ok(0) => return Err(self.failed("write")(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    done += n as u64;
                    if done < total {
                        left.advance(n);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(self.failed("write")(e.into())),
            }
        }
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.writable()?;
        let end = self.end_of("allocate", offset, len)?;
        if len > 0 && reserve_blocks(&self.file, offset, len).map_err(self.failed("allocate"))? {
            return Ok(());
        }
        // Best effort where blocks cannot be reserved.
        if self.len()? < end {
            self.file.set_len(end).map_err(self.failed("allocate"))?;
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.writable()?;
        self.end_of("punch", offset, len)?;
        if len == 0 || free_blocks(&self.file, offset, len).map_err(self.failed("punch"))? {
            return Ok(());
        }
        // Zeros alone, where there are no holes.
        let zeros = vec![0; len.min(ZEROS_MAX) as usize];
        let mut done = 0;
        while done < len {
            let some = &zeros[..(len - done).min(ZEROS_MAX) as usize];
            self.write_all_at(&[IoSlice::new(some)], offset + done)?;
            done += some.len() as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.writable()?;
        self.end_of("set_len", 0, len)?;
        self.file.set_len(len).map_err(self.failed("set_len"))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(self.failed("len"))?.len())
    }

    // The standard library's calls are `fdatasync` and `fsync` on Linux, and the full flush to the
    // medium on Apple's systems, where `fsync` alone does not reach it.

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(self.failed("sync_data"))
    }

    fn sync_all(&self) -> Result<()> {
        self.file.sync_all().map_err(self.failed("sync_all"))
    }

    fn map(&self, reserve: u64) -> Result<Map> {
        Map::of_file(&self.file, &self.path, reserve)
    }

    fn lock(&self, how: LockMode) -> Result<()> {
        let operation = match how {
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            match flock(&self.file, operation) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(Error::Locked { path: self.path.clone(), pid: None });
                }
                Err(e) => return Err(self.failed("lock")(e.into())),
            }
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// What is left to write. The list of buffers is copied only after a short write, which is rare.
enum Remaining<'a, 'b> {
    Untouched(&'b [IoSlice<'a>]),
    Rest { bufs: Vec<IoSlice<'a>>, first: usize },
}

impl<'a> Remaining<'a, '_> {
    fn bufs(&self) -> &[IoSlice<'a>] {
        match self {
            Remaining::Untouched(bufs) => bufs,
            Remaining::Rest { bufs, first } => &bufs[*first..],
        }
    }

    fn advance(&mut self, n: usize) {
        if let Remaining::Untouched(bufs) = self {
            *self = Remaining::Rest { bufs: bufs.to_vec(), first: 0 };
        }
        let Remaining::Rest { bufs, first } = self else { unreachable!("made so above") };
        let mut rest = &mut bufs[*first..];
        let before = rest.len();
        IoSlice::advance_slices(&mut rest, n);
        let after = rest.len();
        *first += before - after;
    }
}

/// Reserves blocks and extends the file; `false` where that cannot be done.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve_blocks(file: &std::fs::File, offset: u64, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    loop {
        match fallocate(file, FallocateFlags::empty(), offset, len) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve_blocks(_: &std::fs::File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Makes a hole; answers whether the file system has any.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn free_blocks(file: &std::fs::File, offset: u64, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    loop {
        match fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
            Ok(()) => return Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn free_blocks(_: &std::fs::File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_goes_on_where_it_stopped() {
        let bufs = [IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"defg")];
        let mut left = Remaining::Untouched(&bufs);
        let text =
            |left: &Remaining| left.bufs().iter().flat_map(|b| b.to_vec()).collect::<Vec<_>>();
        left.advance(1);
        assert_eq!(text(&left), b"bcdefg");
        left.advance(2);
        assert_eq!(text(&left), b"defg");
        left.advance(3);
        assert_eq!(text(&left), b"g");
    }
}
