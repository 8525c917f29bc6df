//! A file system that counts what is read.

use llmdb_vfs::{EntryKind, File, Lock, LockMode, Map, MemVfs, OpenMode, Result as VfsResult, Vfs};
use std::ffi::OsString;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what is read, of which files.
#[derive(Debug, Default)]
pub struct Reads {
    pub file: AtomicU64,
    pub log: AtomicU64,
}

#[derive(Debug)]
pub struct Counting(pub MemVfs, pub Arc<Reads>);

#[derive(Debug)]
struct CountingFile(Arc<dyn File>, Arc<Reads>);

impl File for CountingFile {
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> VfsResult<usize> {
        let got = self.0.read_at(buf, offset)?;
        let of_log = self.0.path().extension().is_some_and(|name| name == "log");
        let counter = if of_log { &self.1.log } else { &self.1.file };
        counter.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }
    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> VfsResult<()> {
        self.0.write_all_at(bufs, offset)
    }
    fn allocate(&self, offset: u64, len: u64) -> VfsResult<()> {
        self.0.allocate(offset, len)
    }
    fn punch(&self, offset: u64, len: u64) -> VfsResult<()> {
        self.0.punch(offset, len)
    }
    fn set_len(&self, len: u64) -> VfsResult<()> {
        self.0.set_len(len)
    }
    fn len(&self) -> VfsResult<u64> {
        self.0.len()
    }
    fn sync_data(&self) -> VfsResult<()> {
        self.0.sync_data()
    }
    fn sync_all(&self) -> VfsResult<()> {
        self.0.sync_all()
    }
    fn map(&self, reserve: u64) -> VfsResult<Map> {
        self.0.map(reserve)
    }
    fn lock(&self, how: LockMode) -> VfsResult<()> {
        self.0.lock(how)
    }
}

impl Vfs for Counting {
    fn open(&self, path: &Path, how: OpenMode) -> VfsResult<Arc<dyn File>> {
        Ok(Arc::new(CountingFile(self.0.open(path, how)?, self.1.clone())))
    }
    fn kind(&self, path: &Path) -> VfsResult<Option<EntryKind>> {
        self.0.kind(path)
    }
    fn create_dir(&self, path: &Path) -> VfsResult<()> {
        self.0.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> VfsResult<Vec<OsString>> {
        self.0.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> VfsResult<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> VfsResult<()> {
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> VfsResult<()> {
        self.0.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> VfsResult<()> {
        self.0.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> VfsResult<Box<dyn Lock>> {
        self.0.lock(path)
    }
}
