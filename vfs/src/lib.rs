//! The only door from LLMDB to the operating system: files, maps, locks, clocks.
//!
//! ```
//! use std::io::IoSlice;
//! use std::path::Path;
//! use llmdb_vfs::{MemVfs, OpenMode, Vfs};
//!
//! # fn main() -> llmdb_vfs::Result<()> {
//! let disk = MemVfs::new();
//! let file = disk.open(Path::new("/notes"), OpenMode::CreateNew)?;
//! disk.sync_dir(Path::new("/"))?;
//! file.write_all_at(&[IoSlice::new(b"kept")], 0)?;
//! file.sync_data()?;
//! file.write_all_at(&[IoSlice::new(b"lost")], 0)?;
//!
//! let after = disk.crash_losing_all();
//! let file = after.open(Path::new("/notes"), OpenMode::Read)?;
//! let mut text = [0; 4];
//! file.read_exact_at(&mut text, 0)?;
//! assert_eq!(&text, b"kept");
//! # Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! * `vfs`: the [`Vfs`] trait, a file system as LLMDB sees it; `file`: [`File`], an open file;
//!   `lock`: [`Lock`]; `error`: [`Error`].
//! * `map`: [`Map`], a read-only map of a file that may grow under it. All the unsafe code.
//! * `clock`: [`Clock`] and its kinds.
//! * `os`: [`OsVfs`], the operating system's file system.
//! * `memory`: [`MemVfs`], the same in memory, with power failures ([`MemVfs::crash`]), full disks
//!   and failing calls on demand.
//! * [`mod@planted`]: bugs on purpose, in builds that ask for them.
//!
//! # Invariants
//!
//! * **I1** A file is never written through a map: [`Map`] is read-only.
//! * **I2** Nothing is durable before [`File::sync_data`] (contents) or [`Vfs::sync_dir`] (names)
//!   has returned without an error. [`MemVfs`] holds callers to it.
//! * **I3** A short read means the end of the file. Every other reason is an error.
//! * **I4** Both file systems pass the same suite, so that what holds in memory holds on a disk.
//!
//! # Not here
//!
//! No buffering, no cache, no asynchronous I/O, no paths with meaning: whoever opens a file knows
//! what it is for. No recursion over directories. On platforms other than Unix [`OsVfs`] answers
//! [`Error::Unsupported`] for now.

#![deny(unsafe_code)]

mod clock;
mod error;
mod file;
mod lock;
mod map;
mod memory;
#[cfg(unix)]
mod os;
#[cfg(not(unix))]
#[path = "os_unsupported.rs"]
mod os;
pub mod planted;
mod vfs;

pub use clock::{Clock, LogicalClock, ManualClock, MonotonicClock, WallClock};
pub use error::{Error, Result};
pub use file::{File, LockMode};
pub use lock::Lock;
pub use map::Map;
pub use memory::{AfterFailedSync, Call, Fate, FaultKind, MemOptions, MemVfs, UnsyncedOp};
pub use os::OsVfs;
pub use vfs::{EntryKind, OpenMode, Vfs};
