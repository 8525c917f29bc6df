//! Stands in for the file system of an operating system that is not served yet.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use crate::{EntryKind, Error, File, Lock, OpenMode, Result, Vfs};

/// The file system of the operating system: on this platform every call says
/// [`Unsupported`](Error::Unsupported).
#[derive(Clone, Copy, Debug, Default)]
pub struct OsVfs;

impl OsVfs {
    /// The file system of the operating system.
    pub fn new() -> OsVfs {
        OsVfs
    }
}

fn unsupported<T>(op: &'static str, path: &Path) -> Result<T> {
    Err(Error::Unsupported { op, path: path.to_path_buf() })
}

impl Vfs for OsVfs {
    fn open(&self, path: &Path, _: OpenMode) -> Result<Arc<dyn File>> {
        unsupported("open", path)
    }

    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        unsupported("kind", path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        unsupported("create_dir", path)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        unsupported("read_dir", path)
    }

    fn rename(&self, from: &Path, _: &Path) -> Result<()> {
        unsupported("rename", from)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        unsupported("remove_file", path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        unsupported("remove_dir", path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        unsupported("sync_dir", path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        unsupported("lock", path)
    }
}
