//! Calls that fail on demand, and a disk that runs full.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::MemVfs;
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

/// How a call fails, or lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The device reports an error: [`Error::Io`]. A write has been half done.
    Io,
    /// The device is full: [`Error::NoSpace`]. A write has been half done.
    NoSpace,
    /// A write stops with an error after so many bytes; after none, if it is zero.
    Short(u64),
    /// What changes something, or makes it durable, says that it was done; nothing was.
    Lost,
    /// A write lands so many bytes away from its place, if the file reaches there, and says that it
    /// was done.
    Misdirected(i64),
    /// A write lands at this place of its file, if that reaches there, and says that it was done.
    MisdirectedTo(u64),
    /// A read gives what was durable there when the fault was planned. Maps are not calls: for them,
    /// a write that was lost is the same.
    Stale,
}

/// What reads give after a sync has failed, of what it should have made durable. The next sync
/// reports success in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AfterFailedSync {
    /// What was written: its pages are still in memory, and count as clean.
    #[default]
    Written,
    /// What was there before: its pages were dropped, and are read from the medium again.
    Before,
}

impl FaultKind {
    pub(super) fn error(self, call: Call, path: &Path) -> Error {
        let path = path.to_path_buf();
        match self {
            FaultKind::NoSpace => Error::NoSpace { path },
            FaultKind::Short(_) => {
                Error::Io { op: call.name(), path, source: io::ErrorKind::WriteZero.into() }
            }
            FaultKind::Io
            | FaultKind::Lost
            | FaultKind::Misdirected(_)
            | FaultKind::MisdirectedTo(_)
            | FaultKind::Stale => {
                Error::Io { op: call.name(), path, source: io::Error::other("injected fault") }
            }
        }
    }

    /// Whether this can happen to `call`; `None`: to any.
    fn suits(self, call: Option<Call>) -> bool {
        match self {
            FaultKind::Io | FaultKind::NoSpace => true,
            FaultKind::Short(_) | FaultKind::Misdirected(_) | FaultKind::MisdirectedTo(_) => {
                call == Some(Call::Write)
            }
            FaultKind::Stale => call == Some(Call::Read),
            FaultKind::Lost => matches!(
                call,
                Some(
                    Call::Write
                        | Call::Allocate
                        | Call::Punch
                        | Call::SetLen
                        | Call::Sync
                        | Call::SyncDir
                )
            ),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Relaxed, as the next: counts for tests, which ask for them when nothing else runs.
    calls: AtomicU64,
    failed: AtomicU64,
    /// Where the last one that failed was made.
    last: Mutex<Option<PathBuf>>,
    plans: Mutex<Vec<Plan>>,
}

/// When something is to fail.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) only: Option<Call>,
    /// So many calls from now on; from then on every one, if it is `for_ever`.
    pub(super) left: u64,
    pub(super) for_ever: bool,
    pub(super) due: Due,
}

/// A fault that happens now.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) kind: FaultKind,
    /// What stale reads give.
    pub(super) older: Option<MemVfs>,
}

impl Faults {
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> Option<PathBuf> {
        self.last.lock().clone()
    }

    pub(super) fn plan(&self, plan: Plan) {
        assert!(plan.left > 0, "calls count from 1");
        assert!(plan.due.kind.suits(plan.only), "{:?} of {:?}", plan.due.kind, plan.only);
        self.plans.lock().push(plan);
    }

    pub(super) fn clear(&self) {
        self.plans.lock().clear();
    }

    /// Counts a call; says whether it fails. When several plans fall on one call all are spent.
    pub(super) fn next(&self, call: Call, path: &Path) -> Option<Due> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut due = None;
        self.plans.lock().retain_mut(|plan| {
            if plan.only.is_some_and(|only| only != call) {
                return true;
            }
            plan.left = plan.left.saturating_sub(1);
            if plan.left == 0 {
                due.get_or_insert_with(|| plan.due.clone());
            }
            plan.left > 0 || plan.for_ever
        });
        if due.is_some() {
            self.failed.fetch_add(1, Ordering::Relaxed);
            *self.last.lock() = Some(path.to_path_buf());
        }
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
