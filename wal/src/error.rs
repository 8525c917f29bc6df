//! What can go wrong with a log, by what the caller can do about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Lsn;

/// What operations on a log return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused or failed operation on a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no room for what was to be logged. Nothing has changed: free some space and try
    /// again.
    #[error("no space left for the log at {}", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// An earlier write or sync of the log failed, so that nobody knows what is durable. Nothing
    /// more is logged; close the log and recover.
    #[error("the log takes nothing more since it failed: {cause}")]
    Poisoned {
        /// The first failure.
        #[source]
        cause: Arc<llmdb_vfs::Error>,
    },
    /// [`Log::append`](crate::Log::append) was called without [`Log::reserve`](crate::Log::reserve)
    /// for as much. Nothing has changed.
    #[error("no room was reserved in the log for {wanted} bytes")]
    Unreserved {
        /// The bytes of payload that were to be appended.
        wanted: usize,
    },
    /// A new log was to be created where there is one. Recover it, or discard it if the database
    /// was closed cleanly.
    #[error("there is a log at {} already", dir.display())]
    Exists {
        /// The directory of the log.
        dir: PathBuf,
    },
    /// There is no log directory.
    #[error("there is no log at {}", dir.display())]
    MissingLog {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The log directory lacks the segment that is needed: it was removed, or it belongs to an
    /// older or newer state of the database.
    #[error("the log at {} has no segment of incarnation {incarnation} or before that holds position {from}", dir.display())]
    MissingSegment {
        /// The directory of the log.
        dir: PathBuf,
        /// The position to recover from.
        from: Lsn,
        /// The incarnation of the log that the caller knows.
        incarnation: u32,
    },
    /// The log has been in use in a later incarnation than the caller knows: the caller's own
    /// record of it is stale, and going on would lose what was acknowledged since.
    #[error("the log segment {} has been in use in incarnation {found}; {given} is out of date", path.display())]
    StaleIncarnation {
        /// The segment that shows it.
        path: PathBuf,
        /// The incarnation that the caller gave.
        given: u32,
        /// The incarnation of the segment.
        found: u32,
    },
    /// What was durable cannot be read back: the medium lost or changed it. Nothing was cut.
    #[error("the log segment {} is damaged at offset {offset} (log position {lsn})", path.display())]
    Corrupt {
        /// The damaged segment.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// Where in the log.
        lsn: Lsn,
    },
    /// The segment belongs to another database.
    #[error("the log segment {} belongs to another database", path.display())]
    Foreign {
        /// The segment.
        path: PathBuf,
    },
    /// The segment was written by a version of this program with another format.
    #[error("the log segment {} has format version {found}; this program reads {supported}", path.display())]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The format version that this program reads.
        supported: u32,
    },
    /// The file system failed otherwise. While recovering this is never taken for the end of the
    /// log.
    #[error(transparent)]
    Io(llmdb_vfs::Error),
}

impl From<llmdb_vfs::Error> for Error {
    fn from(error: llmdb_vfs::Error) -> Error {
        match error {
            llmdb_vfs::Error::NoSpace { path } => Error::NoSpace { path },
            other => Error::Io(other),
        }
    }
}

impl Error {
    pub(crate) fn corrupt(path: &Path, offset: u64, lsn: Lsn) -> Error {
        Error::Corrupt { path: path.to_path_buf(), offset, lsn }
    }
}

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError<E> {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] Error),
    /// The caller refused a commit; its own error.
    #[error("a commit of the log could not be applied")]
    Apply(E),
}
