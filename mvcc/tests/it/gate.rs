//! A file system that can hold one call back, so that an unlucky order of threads happens every
//! time.

use crate::harness::{options, path};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Error, Isolation};
use llmdb_storage::TreeId;
use llmdb_vfs::{EntryKind, File, Lock, Map, MemVfs, OpenMode, Result as VfsResult, Vfs};
use std::ffi::OsString;
use std::io::IoSlice;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// Holds back one call: (its name, end of the file's path).
#[derive(Debug, Default)]
pub struct Gate(Mutex<Option<Armed>>);

#[derive(Debug)]
struct Armed {
    call: &'static str,
    suffix: &'static str,
    reached: Sender<()>,
    go: Receiver<()>,
}

impl Gate {
    /// The next such call says that it was reached and waits for the word to go on.
    pub fn arm(&self, call: &'static str, suffix: &'static str) -> (Receiver<()>, Sender<()>) {
        let ((reached, was_reached), (go_on, go)) = (channel(), channel());
        *self.0.lock().unwrap() = Some(Armed { call, suffix, reached, go });
        (was_reached, go_on)
    }

    fn pass(&self, call: &str, path: &Path) {
        let mut armed = self.0.lock().unwrap();
        let hit = armed
            .as_ref()
            .is_some_and(|a| a.call == call && path.to_str().unwrap().ends_with(a.suffix));
        if hit {
            let taken = armed.take().unwrap();
            drop(armed);
            taken.reached.send(()).unwrap();
            let _ = taken.go.recv();
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Gated {
    pub inner: MemVfs,
    pub gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    inner: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl File for GatedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> VfsResult<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_all_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> VfsResult<()> {
        self.gate.pass("write", self.path());
        self.inner.write_all_at(bufs, offset)
    }
    fn allocate(&self, offset: u64, len: u64) -> VfsResult<()> {
        self.gate.pass("allocate", self.path());
        self.inner.allocate(offset, len)
    }
    fn punch(&self, offset: u64, len: u64) -> VfsResult<()> {
        self.inner.punch(offset, len)
    }
    fn set_len(&self, len: u64) -> VfsResult<()> {
        self.inner.set_len(len)
    }
    fn len(&self) -> VfsResult<u64> {
        self.inner.len()
    }
    fn sync_data(&self) -> VfsResult<()> {
        self.gate.pass("sync", self.path());
        self.inner.sync_data()
    }
    fn sync_all(&self) -> VfsResult<()> {
        self.inner.sync_all()
    }
    fn map(&self, reserve: u64) -> VfsResult<Map> {
        self.inner.map(reserve)
    }
    fn path(&self) -> &Path {
        self.inner.path()
    }
}

impl Vfs for Gated {
    fn open(&self, path: &Path, how: OpenMode) -> VfsResult<Arc<dyn File>> {
        let inner = self.inner.open(path, how)?;
        Ok(Arc::new(GatedFile { inner, gate: self.gate.clone() }))
    }
    fn kind(&self, path: &Path) -> VfsResult<Option<EntryKind>> {
        self.inner.kind(path)
    }
    fn create_dir(&self, path: &Path) -> VfsResult<()> {
        self.inner.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> VfsResult<Vec<OsString>> {
        self.inner.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> VfsResult<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> VfsResult<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> VfsResult<()> {
        self.inner.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> VfsResult<()> {
        self.inner.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> VfsResult<Box<dyn Lock>> {
        self.inner.lock(path)
    }
}

pub fn gated() -> (Gated, Engine, TreeId) {
    let vfs = Gated { inner: MemVfs::new(), gate: Arc::default() };
    let options = EngineOptions { vfs: Arc::new(vfs.clone()), ..options(&vfs.inner) };
    let engine = Engine::open(path(), options).unwrap();
    let tree = engine.create_tree("t").unwrap();
    (vfs, engine, tree)
}

pub fn put(engine: &Engine, tree: TreeId, key: &[u8], value: &[u8]) -> Result<(), Error> {
    put_as(engine, tree, key, value, Durability::Sync)
}

pub fn put_as(
    engine: &Engine,
    tree: TreeId,
    key: &[u8],
    value: &[u8],
    durability: Durability,
) -> Result<(), Error> {
    let mut tx = engine.begin(Isolation::Snapshot)?;
    tx.put(tree, key, value)?;
    tx.commit(durability).map(drop)
}
