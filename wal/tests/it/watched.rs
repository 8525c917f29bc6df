//! A file system that tells of every call before it is made.

use std::ffi::OsString;
use std::fmt;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use llmdb_vfs::{EntryKind, File, Lock, Map, MemVfs, OpenMode, Result, Vfs};

type Watcher = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Passes everything on, after telling the watcher the name of the call.
#[derive(Clone)]
pub(crate) struct Watched {
    disk: MemVfs,
    watcher: Watcher,
}

impl Watched {
    pub(crate) fn over(
        disk: &MemVfs,
        watcher: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> Arc<dyn Vfs> {
        Arc::new(Watched { disk: disk.clone(), watcher: Arc::new(watcher) })
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl Vfs for Watched {
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>> {
        (self.watcher)("open");
        let file = self.disk.open(path, how)?;
        Ok(Arc::new(WatchedFile { file, watcher: Arc::clone(&self.watcher) }))
    }

    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        self.disk.kind(path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        (self.watcher)("create_dir");
        self.disk.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        self.disk.read_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        (self.watcher)("rename");
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        (self.watcher)("remove_file");
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        (self.watcher)("remove_dir");
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        (self.watcher)("sync_dir");
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }
}

struct WatchedFile {
    file: Arc<dyn File>,
    watcher: Watcher,
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        (self.watcher)("write");
        self.file.write_all_at(bufs, offset)
    }

    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        (self.watcher)("allocate");
        self.file.allocate(offset, len)
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        (self.watcher)("punch");
        self.file.punch(offset, len)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        (self.watcher)("set_len");
        self.file.set_len(len)
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn sync_data(&self) -> Result<()> {
        (self.watcher)("sync_data");
        self.file.sync_data()
    }

    fn sync_all(&self) -> Result<()> {
        (self.watcher)("sync_all");
        self.file.sync_all()
    }

    fn map(&self, reserve: u64) -> Result<Map> {
        self.file.map(reserve)
    }

    fn path(&self) -> &Path {
        self.file.path()
    }
}
