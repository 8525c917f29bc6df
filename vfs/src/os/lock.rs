//! An advisory lock by `flock` on a file that names its holder and goes when the holder does.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::{Error, Lock, Result};

/// How often a lock file that vanishes while we lock it is looked for again.
const ATTEMPTS_MAX: usize = 100;

/// The lock is the `flock` on the inode that `path` names; the text in it is for people.
///
/// Removing the file is what makes this delicate:
///
/// ```text
/// A (holder)            B                           C
///                       opens the file (inode 1)
/// unlinks, closes       .
///                       flocks inode 1: granted     creates the file (inode 2), flocks it
///                       path is inode 2, not 1: lets go, starts again, finds C's lock
/// ```
///
/// So a lock counts only if `path` still names the locked inode, and only the holder unlinks.
#[derive(Debug)]
pub(super) struct OsLock {
    file: File,
    path: PathBuf,
}

impl OsLock {
    pub(super) fn acquire(path: &Path) -> Result<OsLock> {
        for _ in 0..ATTEMPTS_MAX {
            let file = open(path)?;
            if let Some(lock) = OsLock::try_on(file, path)? {
                return Ok(lock);
            }
        }
        Err(Error::Locked { path: path.to_path_buf(), pid: None })
    }

    /// Locks an open lock file; `None` if `path` names another one by now.
    fn try_on(file: File, path: &Path) -> Result<Option<OsLock>> {
        let failed = |e: io::Error| Error::from_io("lock", path, e);
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(Error::Locked { path: path.to_path_buf(), pid: holder(&file) });
                }
                Err(e) => return Err(failed(e.into())),
            }
        }
        if !names(path, &file).map_err(failed)? {
            return Ok(None);
        }
        let lock = OsLock { file, path: path.to_path_buf() };
        lock.sign().map_err(failed)?;
        Ok(Some(lock))
    }

    fn sign(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
    }
}

impl Lock for OsLock {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OsLock {
    fn drop(&mut self) {
        // Unlinked while the lock is held; the lock itself ends when the file is closed. If somebody
        // has replaced the file by hand, the one that is there now is not ours to remove.
        if matches!(names(&self.path, &self.file), Ok(true)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)
        .map_err(|e| Error::from_io("lock", path, e))
}

/// Whether `path` names the inode that `file` has open.
fn names(path: &Path, file: &File) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok(there.ino() == ours.ino() && there.dev() == ours.dev()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Who signed the lock file; `None` while the holder has not done so yet.
fn holder(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let n = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..n]).ok()?.strip_suffix('\n')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_on_a_file_that_lost_its_name_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let holder = OsLock::acquire(&path).unwrap();
        let late = open(&path).unwrap();
        let later = open(&path).unwrap();
        drop(holder);
        assert!(OsLock::try_on(late, &path).unwrap().is_none(), "nothing is there");
        let _other = OsLock::acquire(&path).unwrap();
        assert!(OsLock::try_on(later, &path).unwrap().is_none(), "another file is there");
    }

    #[test]
    fn a_file_put_in_place_of_the_lock_by_hand_is_left_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = OsLock::acquire(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        drop(lock);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
