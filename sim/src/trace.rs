//! What a program asks of its file system, call by call: recorded once, played again to any point.

use llmdb_vfs::{EntryKind, File, Lock, LockMode, Map, MemOptions, MemVfs, OpenMode, Result, Vfs};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where every world has its database.
pub(crate) const DATABASE: &str = "/t.llmdb";

/// A disk of small files: address space is what a copy of one costs most.
pub fn disk() -> MemVfs {
    MemVfs::with_options(MemOptions { reserve_bytes: 16 << 20, ..MemOptions::default() })
}

/// A call that changes something, or makes it durable. Files are numbered as they are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the calls of `Vfs` and `File`, with their arguments")]
pub enum Call {
    Open { file: u32, path: PathBuf, how: OpenMode },
    Write { file: u32, offset: u64, bytes: Vec<u8> },
    Allocate { file: u32, offset: u64, len: u64 },
    Punch { file: u32, offset: u64, len: u64 },
    SetLen { file: u32, len: u64 },
    Sync { file: u32 },
    CreateDir { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    RemoveFile { path: PathBuf },
    RemoveDir { path: PathBuf },
    SyncDir { path: PathBuf },
}

/// A call, or what the program had promised by then; `M` is a state as its oracle has it.
#[derive(Clone, Debug)]
pub enum Event<M> {
    /// A call that was made, and did not fail.
    Call(Call),
    /// A crash from here on finds this state.
    Settled(Arc<M>),
    /// A commit began that leads to this state: from here on a crash may find it.
    Issued(Arc<M>),
    /// What was issued is durable: from here on a crash finds nothing older.
    Acknowledged,
    /// Another step of the workload begins.
    Step,
}

/// A disk that records what is done to it.
pub struct Tape<M> {
    disk: MemVfs,
    /// What is called before each sync.
    before_sync: Mutex<Option<Hook>>,
    /// Held over each call, so that events are in the order in which they happened.
    events: Mutex<Vec<Event<M>>>,
    next_file: AtomicU32,
}

impl<M> Tape<M> {
    /// Records what is done to `disk` from now on.
    pub fn new(disk: MemVfs) -> Arc<Self> {
        let (events, before_sync) = (Mutex::default(), Mutex::default());
        Arc::new(Tape { disk, before_sync, events, next_file: AtomicU32::new(0) })
    }

    /// The disk below, which can be asked without being recorded.
    pub fn disk(&self) -> &MemVfs {
        &self.disk
    }

    /// Has `hook` called before each sync of a file, by whoever syncs, until what is answered goes. It
    /// changes nothing on the disk.
    pub fn before_sync(&self, hook: impl Fn() + Send + 'static) -> Hooked<'_> {
        *self.hook() = Some(Box::new(hook));
        Hooked(&self.before_sync)
    }

    fn hook(&self) -> MutexGuard<'_, Option<Hook>> {
        self.before_sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call_before_sync(&self) {
        if let Some(hook) = &*self.hook() {
            hook();
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event<M>>> {
        // A panic while it was held is being reported by whoever panicked.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a promise.
    pub fn mark(&self, event: Event<M>) {
        self.events().push(event);
    }

    /// A commit begins that leads to `state`.
    pub fn issue(&self, state: M) {
        self.mark(Event::Issued(Arc::new(state)));
    }

    /// What was issued is durable.
    pub fn acknowledge(&self) {
        self.mark(Event::Acknowledged);
    }

    /// What was recorded so far; the tape is empty again.
    pub fn take(&self) -> Vec<Event<M>> {
        std::mem::take(&mut *self.events())
    }

    /// Makes a call and records it, if it does not fail.
    fn record<T>(
        &self,
        made: impl FnOnce() -> Result<T>,
        call: impl FnOnce() -> Call,
    ) -> Result<T> {
        let mut events = self.events();
        let done = made()?;
        events.push(Event::Call(call()));
        Ok(done)
    }
}

type Hook = Box<dyn Fn() + Send>;

/// A hook is called for as long as this is there.
#[must_use = "the hook goes with it"]
pub struct Hooked<'t>(&'t Mutex<Option<Hook>>);

impl Drop for Hooked<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl std::fmt::Debug for Hooked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl<M> std::fmt::Debug for Tape<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("disk", &self.disk).finish_non_exhaustive()
    }
}

/// The file system of a tape, as a program is given it.
#[derive(Debug)]
pub struct Recorder<M>(pub Arc<Tape<M>>);

#[derive(Debug)]
struct Recorded<M> {
    file: Arc<dyn File>,
    number: u32,
    tape: Arc<Tape<M>>,
}

impl<M: std::fmt::Debug + Send + Sync + 'static> Vfs for Recorder<M> {
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>> {
        let tape = &self.0;
        let number = tape.next_file.fetch_add(1, Ordering::Relaxed);
        let call = || Call::Open { file: number, path: path.to_path_buf(), how };
        let file = tape.record(|| tape.disk.open(path, how), call)?;
        Ok(Arc::new(Recorded { file, number, tape: tape.clone() }))
    }
    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        self.0.disk.kind(path)
    }
    fn create_dir(&self, path: &Path) -> Result<()> {
        let call = || Call::CreateDir { path: path.to_path_buf() };
        self.0.record(|| self.0.disk.create_dir(path), call)
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        self.0.disk.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let call = || Call::Rename { from: from.to_path_buf(), to: to.to_path_buf() };
        self.0.record(|| self.0.disk.rename(from, to), call)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        let call = || Call::RemoveFile { path: path.to_path_buf() };
        self.0.record(|| self.0.disk.remove_file(path), call)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        let call = || Call::RemoveDir { path: path.to_path_buf() };
        self.0.record(|| self.0.disk.remove_dir(path), call)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        let call = || Call::SyncDir { path: path.to_path_buf() };
        self.0.record(|| self.0.disk.sync_dir(path), call)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.0.disk.lock(path)
    }
}

impl<M: std::fmt::Debug + Send + Sync> File for Recorded<M> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let bytes = || bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let call = || Call::Write { file: self.number, offset, bytes: bytes() };
        self.tape.record(|| self.file.write_all_at(bufs, offset), call)
    }
    fn allocate(&self, offset: u64, len: u64) -> Result<()> {
        let call = || Call::Allocate { file: self.number, offset, len };
        self.tape.record(|| self.file.allocate(offset, len), call)
    }
    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        let call = || Call::Punch { file: self.number, offset, len };
        self.tape.record(|| self.file.punch(offset, len), call)
    }
    fn set_len(&self, len: u64) -> Result<()> {
        let call = || Call::SetLen { file: self.number, len };
        self.tape.record(|| self.file.set_len(len), call)
    }
    fn len(&self) -> Result<u64> {
        self.file.len()
    }
    fn sync_data(&self) -> Result<()> {
        self.tape.call_before_sync();
        self.tape.record(|| self.file.sync_data(), || Call::Sync { file: self.number })
    }
    fn sync_all(&self) -> Result<()> {
        self.tape.call_before_sync();
        self.tape.record(|| self.file.sync_all(), || Call::Sync { file: self.number })
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

/// Plays calls again, on a disk of its own.
#[derive(Debug)]
pub struct Player {
    disk: MemVfs,
    files: BTreeMap<u32, Arc<dyn File>>,
}

impl Player {
    /// Begins with a copy of `base`, of which everything counts as durable.
    pub fn new(base: &MemVfs) -> Player {
        Player { disk: base.crash(&mut |_| true), files: BTreeMap::new() }
    }

    /// The disk as the calls played so far left it.
    pub fn disk(&self) -> &MemVfs {
        &self.disk
    }

    /// Makes a call once more.
    ///
    /// # Panics
    /// If it fails now: it did not when it was recorded.
    pub fn play(&mut self, call: &Call) {
        let played = match call {
            Call::Open { file, path, how } => {
                self.disk.open(path, *how).map(|open| drop(self.files.insert(*file, open)))
            }
            Call::Write { file, offset, bytes } => {
                self.files[file].write_all_at(&[IoSlice::new(bytes)], *offset)
            }
            Call::Allocate { file, offset, len } => self.files[file].allocate(*offset, *len),
            Call::Punch { file, offset, len } => self.files[file].punch(*offset, *len),
            Call::SetLen { file, len } => self.files[file].set_len(*len),
            Call::Sync { file } => self.files[file].sync_all(),
            Call::CreateDir { path } => self.disk.create_dir(path),
            Call::Rename { from, to } => self.disk.rename(from, to),
            Call::RemoveFile { path } => self.disk.remove_file(path),
            Call::RemoveDir { path } => self.disk.remove_dir(path),
            Call::SyncDir { path } => self.disk.sync_dir(path),
        };
        played.expect("a call that did not fail when it was recorded");
    }
}
