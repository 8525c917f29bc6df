//! Holding an advisory lock.

use std::fmt::Debug;
use std::path::Path;

/// An advisory lock, held from [`Vfs::lock`](crate::Vfs::lock) until it is dropped.
#[must_use = "the lock ends when it is dropped"]
pub trait Lock: Send + Sync + Debug {
    /// The path of the lock file.
    fn path(&self) -> &Path;
}
