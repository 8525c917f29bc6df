//! Calls that fail on demand, and a disk that runs full.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::Error;

/// The calls of a [`MemVfs`](crate::MemVfs) and its files that count and can fail. `len`, `map` and
/// `path` do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// [`Vfs::open`](crate::Vfs::open)
    Open,
    /// [`Vfs::kind`](crate::Vfs::kind)
    Kind,
    /// [`Vfs::create_dir`](crate::Vfs::create_dir)
    CreateDir,
    /// [`Vfs::read_dir`](crate::Vfs::read_dir)
    ReadDir,
    /// [`Vfs::rename`](crate::Vfs::rename)
    Rename,
    /// [`Vfs::remove_file`](crate::Vfs::remove_file)
    RemoveFile,
    /// [`Vfs::remove_dir`](crate::Vfs::remove_dir)
    RemoveDir,
    /// [`Vfs::sync_dir`](crate::Vfs::sync_dir)
    SyncDir,
    /// [`Vfs::lock`](crate::Vfs::lock)
    Lock,
    /// [`File::read_at`](crate::File::read_at)
    Read,
    /// [`File::write_all_at`](crate::File::write_all_at)
    Write,
    /// [`File::allocate`](crate::File::allocate)
    Allocate,
    /// [`File::punch`](crate::File::punch)
    Punch,
    /// [`File::set_len`](crate::File::set_len)
    SetLen,
    /// [`File::sync_data`](crate::File::sync_data) and [`File::sync_all`](crate::File::sync_all)
    Sync,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Call::Open => "open",
            Call::Kind => "kind",
            Call::CreateDir => "create_dir",
            Call::ReadDir => "read_dir",
            Call::Rename => "rename",
            Call::RemoveFile => "remove_file",
            Call::RemoveDir => "remove_dir",
            Call::SyncDir => "sync_dir",
            Call::Lock => "lock",
            Call::Read => "read",
            Call::Write => "write",
            Call::Allocate => "allocate",
            Call::Punch => "punch",
            Call::SetLen => "set_len",
            Call::Sync => "sync",
        }
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The device reports an error: [`Error::Io`].
    Io,
    /// The device is full: [`Error::NoSpace`].
    NoSpace,
}

impl FaultKind {
    pub(super) fn error(self, call: Call, path: &Path) -> Error {
        let path = path.to_path_buf();
        match self {
            FaultKind::NoSpace => Error::NoSpace { path },
            FaultKind::Io => {
                Error::Io { op: call.name(), path, source: io::Error::other("injected fault") }
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Relaxed: a count for tests, which ask for it when nothing else runs.
    calls: AtomicU64,
    plans: Mutex<Vec<Plan>>,
}

#[derive(Debug)]
struct Plan {
    only: Option<Call>,
    left: u64,
    kind: FaultKind,
}

impl Faults {
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn plan(&self, only: Option<Call>, n: u64, kind: FaultKind) {
        assert!(n > 0, "calls count from 1");
        self.plans.lock().push(Plan { only, left: n, kind });
    }

    pub(super) fn clear(&self) {
        self.plans.lock().clear();
    }

    /// Counts a call; says whether it fails. When several plans fall on one call all are spent.
    pub(super) fn next(&self, call: Call) -> Option<FaultKind> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut due = None;
        self.plans.lock().retain_mut(|plan| {
            if plan.only.is_some_and(|only| only != call) {
                return true;
            }
            plan.left -= 1;
            if plan.left == 0 {
                due.get_or_insert(plan.kind);
            }
            plan.left > 0
        });
        due
    }
}

/// The room that is left for files to grow.
#[derive(Debug, Default)]
pub(super) struct Space {
    free: Mutex<Option<u64>>,
}

impl Space {
    pub(super) fn set(&self, free: Option<u64>) {
        *self.free.lock() = free;
    }

    pub(super) fn free(&self) -> Option<u64> {
        *self.free.lock()
    }

    /// Takes as much of `wanted` as there is.
    pub(super) fn take(&self, wanted: u64) -> u64 {
        match &mut *self.free.lock() {
            None => wanted,
            Some(free) => {
                let taken = wanted.min(*free);
                *free -= taken;
                taken
            }
        }
    }

    pub(super) fn give_back(&self, bytes: u64) {
        if let Some(free) = &mut *self.free.lock() {
            *free = free.saturating_add(bytes);
        }
    }
}
