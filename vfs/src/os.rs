//! The file system of the operating system. Linux first; other Unixes by the same calls where they
//! have them.

mod file;
mod lock;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::{EntryKind, Error, File, Lock, OpenMode, Result, Vfs};

use file::OsFile;
use lock::OsLock;

/// The file system of the operating system.
///
/// Relative paths count from the working directory of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsVfs;

impl OsVfs {
    /// The file system of the operating system.
    pub fn new() -> OsVfs {
        OsVfs
    }
}

impl Vfs for OsVfs {
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(how.is_writable());
        // Opening a pipe for reading would wait for its writer. No effect on regular files.
        options.custom_flags(OFlags::NONBLOCK.bits() as i32);
        match how {
            OpenMode::Read | OpenMode::ReadWrite => {}
            OpenMode::CreateNew => {
                options.create_new(true);
            }
            // Cut only once it is known to be a regular file.
            OpenMode::CreateOrTruncate => {
                options.create(true).truncate(false);
            }
        }
        let file = options.open(path).map_err(|e| Error::from_io("open", path, e))?;
        let found = file.metadata().map_err(|e| Error::from_io("open", path, e))?;
        if found.is_dir() {
            return Err(Error::IsDirectory { path: path.to_path_buf() });
        }
        if !found.is_file() {
            return Err(Error::NotAFile { path: path.to_path_buf() });
        }
        if how == OpenMode::CreateOrTruncate && found.len() > 0 {
            file.set_len(0).map_err(|e| Error::from_io("set_len", path, e))?;
        }
        Ok(Arc::new(OsFile::new(file, path, how.is_writable())))
    }

    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => Ok(Some(EntryKind::File)),
            Ok(found) if found.is_dir() => Ok(Some(EntryKind::Directory)),
            Ok(_) => Ok(Some(EntryKind::Other)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::from_io("kind", path, e)),
        }
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        fs::create_dir(path).map_err(|e| Error::from_io("create_dir", path, e))
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        let failed = |e| Error::from_io("read_dir", path, e);
        let mut names = fs::read_dir(or_here(path))
            .map_err(failed)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(failed)?;
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|e| {
            // The call names two paths; "not found" is about the first or the way to the second.
            let about = match e.kind() {
                std::io::ErrorKind::NotFound => from,
                _ => to,
            };
            Error::from_io("rename", about, e)
        })
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|e| Error::from_io("remove_file", path, e))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        fs::remove_dir(path).map_err(|e| Error::from_io("remove_dir", path, e))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits() as i32)
            .open(or_here(path))
            .and_then(|dir| dir.sync_all())
            .map_err(|e| Error::from_io("sync_dir", path, e))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        OsLock::acquire(path).map(|lock| Box::new(lock) as Box<dyn Lock>)
    }
}

/// The parent of a bare name is the empty path, which means the working directory.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
