//! The file system as LLMDB sees it.

use std::ffi::OsString;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use crate::{File, Lock, Result};

/// A file system. Used as `Arc<dyn Vfs>`: [`OsVfs`](crate::OsVfs) in earnest,
/// [`MemVfs`](crate::MemVfs) in memory and in tests.
pub trait Vfs: Send + Sync + Debug {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound) unless `how` creates the file,
    /// [`AlreadyExists`](crate::Error::AlreadyExists) for [`OpenMode::CreateNew`],
    /// [`IsDirectory`](crate::Error::IsDirectory) and [`NotAFile`](crate::Error::NotAFile) where
    /// something else is there.
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>>;

    /// What is at `path`, symbolic links followed; `None` when nothing is.
    fn kind(&self, path: &Path) -> Result<Option<EntryKind>>;

    /// Creates one directory; its parent must exist.
    fn create_dir(&self, path: &Path) -> Result<()>;

    /// The names in a directory, sorted.
    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>>;

    /// Gives an entry another name, atomically. A file at `to` is replaced.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file's name. Its bytes live on for those who have it open.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> Result<()>;

    /// Makes what was created, renamed and removed in this directory durable. The *contents* of
    /// its files are made durable by [`File::sync_data`].
    fn sync_dir(&self, path: &Path) -> Result<()>;

    /// Takes the exclusive, advisory lock that the file at `path` stands for, without waiting. The
    /// lock ends when the returned guard is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// [`Locked`](crate::Error::Locked) while anybody holds it, this process included.
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>>;
}

/// How [`Vfs::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenMode {
    /// The file exists; it is only read.
    Read,
    /// The file exists; it is read and written.
    ReadWrite,
    /// The file must not exist yet; it is created, read and written.
    CreateNew,
    /// The file is created, or cut to length zero if it exists; it is read and written.
    CreateOrTruncate,
}

impl OpenMode {
    /// Whether a file opened like this may be written.
    pub fn is_writable(self) -> bool {
        self != OpenMode::Read
    }
}

/// What [`Vfs::kind`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A socket, a pipe, a device...
    Other,
}
