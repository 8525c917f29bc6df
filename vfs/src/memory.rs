//! A deterministic file system in memory, with power failures, full disks and failing calls.

mod content;
mod crash;
mod fault;
mod file;
mod tree;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::{EntryKind, Error, File, Lock, OpenMode, Result, Vfs};

pub use crash::{Fate, UnsyncedOp};
pub use fault::{AfterFailedSync, Call, FaultKind};

use content::Inode;
use fault::{Due, Faults, Plan, Space};
use file::MemFile;
use tree::Tree;

/// A file system in memory with the semantics of [`OsVfs`](crate::OsVfs), and more: it knows what
/// is durable. Clones are handles to the same file system; every path counts from its root.
///
/// * [`crash`](MemVfs::crash) gives the file system as a power failure would leave it.
/// * [`set_free_bytes`](MemVfs::set_free_bytes) makes the disk run full.
/// * [`fail_after`](MemVfs::fail_after) and [`fail_nth`](MemVfs::fail_nth) let one call fail, or lie;
///   [`fail_from`](MemVfs::fail_from) lets all fail from then on.
///
/// Each file owns a fixed reserve of address space, so that its maps stay valid while it grows;
/// growing past it is [`Error::NoSpace`]. Only what was written takes memory. What was not yet
/// synced is remembered together with what it replaced, so a program that never syncs keeps two
/// copies.
///
/// Held locks are kept in a table and do not show as files.
#[derive(Clone, Debug)]
pub struct MemVfs {
    world: Arc<World>,
}

/// The sizes of a [`MemVfs`].
#[derive(Clone, Copy, Debug)]
pub struct MemOptions {
    /// The most bytes that one file can have. Address space, not memory. Default 1 GiB.
    pub reserve_bytes: usize,
    /// The unit in which a write reaches the medium: in a crash each part of a write that lies in
    /// one such (aligned) sector survives or is lost as a whole. Default 512.
    pub sector_bytes: usize,
}

impl Default for MemOptions {
    fn default() -> MemOptions {
        MemOptions { reserve_bytes: 1 << 30, sector_bytes: 512 }
    }
}

#[derive(Debug)]
struct World {
    options: MemOptions,
    /// Held shared by everything that changes the world and exclusively by a crash, which so sees
    /// one moment. Taken before any other lock here; then `tree`, then an inode's.
    gate: RwLock<()>,
    tree: Mutex<Tree>,
    locks: Mutex<BTreeSet<PathBuf>>,
    faults: Faults,
    after_failed_sync: Mutex<AfterFailedSync>,
    space: Space,
    /// Numbers the changes in the order in which they happened. Relaxed: each is taken under the
    /// lock of what it changes, which orders it.
    changes: AtomicU64,
}

impl World {
    fn next_change(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::Relaxed)
    }
}

impl MemVfs {
    /// An empty file system with default sizes.
    pub fn new() -> MemVfs {
        MemVfs::with_options(MemOptions::default())
    }

    /// An empty file system.
    ///
    /// # Panics
    /// If a size is zero.
    pub fn with_options(options: MemOptions) -> MemVfs {
        assert!(options.reserve_bytes > 0, "a file needs room");
        assert!(options.sector_bytes > 0, "a sector needs room");
        MemVfs::from_tree(options, Tree::new())
    }

    fn from_tree(options: MemOptions, tree: Tree) -> MemVfs {
        MemVfs {
            world: Arc::new(World {
                options,
                gate: RwLock::new(()),
                tree: Mutex::new(tree),
                locks: Mutex::default(),
                faults: Faults::default(),
                after_failed_sync: Mutex::default(),
                space: Space::default(),
                changes: AtomicU64::new(0),
            }),
        }
    }

    /// How much all files together may still grow; `None`, as in the beginning, for without limit.
    /// Files that are cut or removed give space back. A write that does not fit writes what fits
    /// and fails with [`Error::NoSpace`].
    pub fn set_free_bytes(&self, free: Option<u64>) {
        self.world.space.set(free);
    }

    /// What [`set_free_bytes`](MemVfs::set_free_bytes) left, less what was used since.
    pub fn free_bytes(&self) -> Option<u64> {
        self.world.space.free()
    }

    /// How many calls there have been: see [`Call`] for those that count.
    pub fn calls(&self) -> u64 {
        self.world.faults.calls()
    }

    /// How many of them failed, or lied, because that was planned.
    pub fn failed_calls(&self) -> u64 {
        self.world.faults.failed()
    }

    /// Where the last call was made that failed, or lied.
    pub fn last_failed(&self) -> Option<PathBuf> {
        self.world.faults.last()
    }

    /// Makes the `n`th call from now on fail, once: 1 is the next. Several plans can be pending.
    ///
    /// A sync that fails so behaves as on Linux: no later sync will make durable what it should
    /// have. What is read meanwhile is told by
    /// [`set_after_failed_sync`](MemVfs::set_after_failed_sync).
    ///
    /// # Panics
    /// If `n` is zero, or the fault is one of certain calls only.
    pub fn fail_after(&self, n: u64, kind: FaultKind) {
        self.plan(None, n, false, kind);
    }

    /// Makes the `n`th call from now on fail, and every call after it.
    ///
    /// # Panics
    /// As [`fail_after`](MemVfs::fail_after).
    pub fn fail_from(&self, n: u64, kind: FaultKind) {
        self.plan(None, n, true, kind);
    }

    /// Makes the `n`th `call` from now on fail, once: 1 is the next. See
    /// [`fail_after`](MemVfs::fail_after).
    ///
    /// # Panics
    /// If `n` is zero, or the fault cannot happen to `call`.
    pub fn fail_nth(&self, call: Call, n: u64, kind: FaultKind) {
        self.plan(Some(call), n, false, kind);
    }

    /// Makes the `n`th `call` from now on fail, and every one after it.
    ///
    /// # Panics
    /// As [`fail_nth`](MemVfs::fail_nth).
    pub fn fail_from_nth(&self, call: Call, n: u64, kind: FaultKind) {
        self.plan(Some(call), n, true, kind);
    }

    /// Makes the `n`th read from now on give what `older` holds there, once: 1 is the next. A file
    /// that is not in `older` is read as it is.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn stale_nth(&self, n: u64, older: &MemVfs) {
        let due = Due { kind: FaultKind::Stale, older: Some(older.clone()) };
        self.world.faults.plan(Plan { only: Some(Call::Read), left: n, for_ever: false, due });
    }

    fn plan(&self, only: Option<Call>, n: u64, for_ever: bool, kind: FaultKind) {
        let older = (kind == FaultKind::Stale).then(|| self.crash_losing_all());
        self.world.faults.plan(Plan { only, left: n, for_ever, due: Due { kind, older } });
    }

    /// What is read, once a sync has failed, of what it should have made durable.
    pub fn set_after_failed_sync(&self, reads: AfterFailedSync) {
        *self.world.after_failed_sync.lock() = reads;
    }

    /// Forgets the faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Fails if a fault is due, for calls that do nothing when they fail.
    fn call(&self, call: Call, path: &Path) -> Result<()> {
        match self.world.faults.next(call, path) {
            Some(due) => Err(due.kind.error(call, path)),
            None => Ok(()),
        }
    }
}

impl Default for MemVfs {
    fn default() -> MemVfs {
        MemVfs::new()
    }
}

impl Vfs for MemVfs {
    fn open(&self, path: &Path, how: OpenMode) -> Result<Arc<dyn File>> {
        self.call(Call::Open, path)?;
        let world = &self.world;
        let _shared = world.gate.read();
        let mut tree = world.tree.lock();
        let inode = match (tree.file(path), how) {
            (Ok(_), OpenMode::CreateNew)
            | (Err(Error::IsDirectory { .. }), OpenMode::CreateNew) => {
                return Err(Error::AlreadyExists { path: path.to_path_buf() });
            }
            (Ok(inode), OpenMode::CreateOrTruncate) => {
                let mut content = inode.content.write();
                if content.len() > 0 {
                    content.set_len(world, path, 0)?;
                }
                drop(content);
                inode
            }
            (Ok(inode), OpenMode::Read | OpenMode::ReadWrite) => inode,
            (Err(Error::NotFound { .. }), OpenMode::CreateNew | OpenMode::CreateOrTruncate) => {
                let inode = Inode::new(world, path)?;
                tree.create_file(world.next_change(), path, Arc::clone(&inode))?;
                inode
            }
            (Err(e), _) => return Err(e),
        };
        Ok(Arc::new(MemFile::new(Arc::clone(world), inode, path, how)))
    }

    fn kind(&self, path: &Path) -> Result<Option<EntryKind>> {
        self.call(Call::Kind, path)?;
        self.world.tree.lock().kind(path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.call(Call::CreateDir, path)?;
        let _shared = self.world.gate.read();
        self.world.tree.lock().create_dir(self.world.next_change(), path)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        self.call(Call::ReadDir, path)?;
        self.world.tree.lock().names(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(Call::Rename, from)?;
        let _shared = self.world.gate.read();
        let mut tree = self.world.tree.lock();
        let replaced = tree.rename(self.world.next_change(), from, to)?;
        if let Some(inode) = replaced {
            inode.content.write().unlink(&self.world);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.call(Call::RemoveFile, path)?;
        let _shared = self.world.gate.read();
        let mut tree = self.world.tree.lock();
        let removed = tree.remove_file(self.world.next_change(), path)?;
        removed.content.write().unlink(&self.world);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.call(Call::RemoveDir, path)?;
        let _shared = self.world.gate.read();
        self.world.tree.lock().remove_dir(self.world.next_change(), path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let fault = self.world.faults.next(Call::SyncDir, path);
        let _shared = self.world.gate.read();
        let mut tree = self.world.tree.lock();
        match fault {
            Some(Due { kind: FaultKind::Lost, .. }) => Ok(()),
            Some(due) => {
                tree.abandon(path)?;
                Err(due.kind.error(Call::SyncDir, path))
            }
            None => tree.sync(path),
        }
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.call(Call::Lock, path)?;
        // The way to it must exist, as for a file.
        self.world.tree.lock().kind_of_parent(path)?;
        let at = tree::normal(path);
        if !self.world.locks.lock().insert(at.clone()) {
            let pid = Some(std::process::id());
            return Err(Error::Locked { path: path.to_path_buf(), pid });
        }
        let world = Arc::clone(&self.world);
        Ok(Box::new(MemLock { world, path: path.to_path_buf(), at }))
    }
}

#[derive(Debug)]
struct MemLock {
    world: Arc<World>,
    path: PathBuf,
    at: PathBuf,
}

impl Lock for MemLock {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let held = self.world.locks.lock().remove(&self.at);
        debug_assert!(held, "a lock is let go once");
    }
}
