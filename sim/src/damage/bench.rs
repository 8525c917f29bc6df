//! A disk that is damaged and put back thousands of times a second: what nobody wrote to is not copied
//! again.

use super::inflict::Patch;
use super::subject::Part;
use llmdb_vfs::{EntryKind, File, Lock, LockMode, Map, MemVfs, OpenMode, Result, Vfs};
use std::ffi::OsString;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What somebody read or wrote: of which file, from where, how much.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) is_write: bool,
    pub(super) path: PathBuf,
    pub(super) at: u64,
    pub(super) len: usize,
}

/// A disk, and whether anybody changed it.
#[derive(Debug)]
pub(super) struct Bench {
    whole: MemVfs,
    disk: MemVfs,
    watch: Arc<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    /// Relaxed: whoever asks has let go of the database, and joined its threads.
    is_changed: AtomicBool,
    /// In order, where that is asked for.
    accesses: Option<Mutex<Vec<Access>>>,
}

impl Bench {
    /// A copy of `whole`.
    pub(super) fn of(whole: &MemVfs) -> Self {
        let disk = whole.crash(&mut |_| true);
        Bench { whole: whole.clone(), disk, watch: Arc::default() }
    }

    /// The same, and what is read and written is taken down.
    pub(super) fn listening(whole: &MemVfs) -> Self {
        let watch = Watch { accesses: Some(Mutex::default()), ..Watch::default() };
        Bench { watch: Arc::new(watch), ..Bench::of(whole) }
    }

    pub(super) fn disk(&self) -> &MemVfs {
        &self.disk
    }

    /// The disk, as the engine is given it.
    pub(super) fn vfs(&self) -> Arc<dyn Vfs> {
        Arc::new(Watched { disk: self.disk.clone(), watch: self.watch.clone() })
    }

    pub(super) fn accesses(&self) -> Vec<Access> {
        let accesses = self.watch.accesses.as_ref().map(|accesses| accesses.lock());
        let accesses = accesses.map(|accesses| accesses.unwrap_or_else(PoisonError::into_inner));
        accesses.map(|accesses| accesses.clone()).unwrap_or_default()
    }

    /// Changes a file.
    pub(super) fn inflict(&self, part: &Part, patch: &Patch) {
        inflict(&self.disk, part, patch);
    }

    /// Takes it back, whatever else was done meanwhile.
    pub(super) fn put_back(&mut self, part: &Part, patch: &Patch) {
        if self.watch.is_changed.swap(false, Ordering::Relaxed) || patch.len.is_some() {
            self.disk = self.whole.crash(&mut |_| true);
            return;
        }
        let was = |at: u64, len: usize| part.bytes[at as usize..][..len].to_vec();
        let pieces = patch.pieces.iter().map(|(at, bytes)| (*at, was(*at, bytes.len())));
        inflict(&self.disk, part, &Patch { pieces: pieces.collect(), len: None });
    }
}

/// Changes a file of a disk.
pub(super) fn inflict(disk: &MemVfs, part: &Part, patch: &Patch) {
    let file = disk.open(&part.path, OpenMode::ReadWrite).expect("it is there");
    for (at, bytes) in &patch.pieces {
        file.write_all_at(&[IoSlice::new(bytes)], *at).expect("no fault is planned");
    }
    if let Some(len) = patch.len {
        file.set_len(len).expect("no fault is planned");
    }
    // Nothing is left that would be remembered.
    file.sync_data().expect("no fault is planned");
}

#[derive(Debug)]
struct Watched {
    disk: MemVfs,
    watch: Arc<Watch>,
}

impl Watch {
    /// A call that changes something; one that fails may have, too.
    fn changes<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.is_changed.store(true, Ordering::Relaxed);
        call()
    }

    fn note(&self, is_write: bool, file: &dyn File, at: u64, len: usize) {
        if let Some(accesses) = &self.accesses {
            let access = Access { is_write, path: file.path().to_path_buf(), at, len };
            accesses.lock().unwrap_or_else(PoisonError::into_inner).push(access);
        }
    }
}

impl Vfs for Watched {
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>> {
        let file = match how {
            OpenMode::Read | OpenMode::ReadWrite => self.disk.open(path, how)?,
            _ => self.watch.changes(|| self.disk.open(path, how))?,
        };
        Ok(Arc::new(WatchedFile { file, watch: self.watch.clone() }))
    }
    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        self.disk.kind(path)
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        self.watch.changes(|| self.disk.create_dir(path))
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        self.disk.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.watch.changes(|| self.disk.rename(from, to))
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        match self.disk.kind(path)? {
            Some(_) => self.watch.changes(|| self.disk.remove_file(path)),
            None => self.disk.remove_file(path),
        }
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.watch.changes(|| self.disk.remove_dir(path))
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn File>,
    watch: Arc<Watch>,
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.watch.note(false, &*self.file, offset, buf.len());
        self.file.read_at(buf, offset)
    }
    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        self.watch.note(true, &*self.file, offset, bufs.iter().map(|buf| buf.len()).sum());
        self.watch.changes(|| self.file.write_all_at(bufs, offset))
    }
    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        self.watch.changes(|| self.file.allocate(offset, len))
    }
    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        self.watch.changes(|| self.file.punch(offset, len))
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.watch.changes(|| self.file.set_len(len))
    }
    fn len(&self) -> Result<u64> {
        self.file.len()
    }
    fn sync_data(&self) -> Result<()> {
        self.file.sync_data()
    }
    fn sync_all(&self) -> Result<()> {
        self.file.sync_all()
    }
    fn map(&self, reserve: u64) -> Result<Map> {
        self.file.map(reserve)
    }
    fn lock(&self, how: LockMode) -> Result<()> {
        self.file.lock(how)
    }
    fn path(&self) -> &Path {
        self.file.path()
    }
}
