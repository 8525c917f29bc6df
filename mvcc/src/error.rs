//! What can go wrong with a database as a whole.

use crate::active::TxnId;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What can go wrong with a database as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process, or another handle of this one, has the database open.
    #[error("{} is in use{}", path.display(), holder(*pid))]
    Busy {
        /// The database.
        path: PathBuf,
        /// The holder, if its lock file says.
        pid: Option<u32>,
    },
    /// There is no database at the path, and none was to be created.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// A transaction that committed meanwhile wrote what this one read or writes. Nothing of this
    /// one has happened; run it again.
    #[error("the transaction conflicts with commit {seq}, which came first")]
    Conflict {
        /// The commit that came first.
        seq: u64,
    },
    /// Transactions waited for each other's locks in a circle, and this one, the youngest of them,
    /// was chosen to end it. It keeps its locks until it ends: roll it back, and run it again.
    #[error("deadlock: transaction {tx} waited for the locks of {}", names(waited_for))]
    Deadlock {
        /// The transaction.
        tx: TxnId,
        /// Those before it in the queue of the lock, the holder first.
        waited_for: Vec<TxnId>,
    },
    /// A lock was not to be had in time.
    #[error("transaction {tx} waited {} ms for the locks of {}", waited.as_millis(), names(waited_for))]
    LockTimeout {
        /// The transaction.
        tx: TxnId,
        /// Those before it in the queue of the lock, the holder first.
        waited_for: Vec<TxnId>,
        /// How long it waited.
        waited: Duration,
    },
    /// As many write transactions are open as may be. Nothing has happened; try again when one of
    /// them has ended.
    #[error("{max} transactions are open, as many as max_active_transactions allows")]
    TooManyTransactions {
        /// The limit.
        max: usize,
    },
    /// A snapshot was read that is too old: another state was published too long ago, or memory
    /// was short and it was the oldest one. What was read of it before is good. A transaction
    /// that reads it cannot commit: run it again.
    #[error("the snapshot is too old: begin a new one")]
    SnapshotTooOld,
    /// The savepoint was released or rolled back past, or belongs to another transaction. Nothing
    /// has happened.
    #[error("the savepoint is gone: it was released, or rolled back past")]
    NoSavepoint,
    /// An earlier error made it impossible to tell what a transaction would have done.
    #[error("the transaction cannot commit after a storage error: {cause}")]
    Broken {
        /// The earlier error.
        cause: Arc<str>,
    },
    /// The log that the file needs is missing or damaged.
    #[error("{}: {what}", path.display())]
    CorruptLog {
        /// The log's directory or segment.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A failed sync or write left it unknown what is on disk. Reading goes on at the last state
    /// that was published; open the database anew to write.
    #[error("writing stopped for good after: {cause}")]
    Poisoned {
        /// The first failure.
        cause: Arc<str>,
    },
    /// The file was not closed cleanly, and was opened to be read alone: what its log holds has to
    /// be brought back first, by opening it for writing.
    #[error("{} was not closed cleanly; open it for writing once to recover it", path.display())]
    NeedsRecovery {
        /// The database.
        path: PathBuf,
    },
    /// The database was opened to be read alone.
    #[error("{} was opened read-only", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// A file of the archive is damaged or foreign.
    #[error("{}: {what}", path.display())]
    CorruptArchive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The archive does not hold every commit that it takes: it was not kept for a while, or commits
    /// went past the log.
    #[error("the archive lacks the commits after {after} and before {next}")]
    ArchiveGap {
        /// The last commit before the gap.
        after: u64,
        /// The first commit after it.
        next: u64,
    },
    /// A backup that holds more than is to be restored.
    #[error("the backup reaches to {mark}, beyond {until}; restore from an older one")]
    TooNew {
        /// Its newest commit.
        mark: i64,
        /// What was asked for.
        until: i64,
    },
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// The file: damage, limits, the file system.
    #[error(transparent)]
    Storage(llmdb_storage::Error),
    /// The log: no space, the file system.
    #[error(transparent)]
    Log(llmdb_wal::Error),
    /// The file system.
    #[error(transparent)]
    Vfs(llmdb_vfs::Error),
}

/// What operations on a database return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn names(txns: &[TxnId]) -> String {
    txns.iter().map(TxnId::to_string).collect::<Vec<_>>().join(", ")
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

impl Error {
    /// Whether running the same transaction again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Error::Conflict { .. }
                | Error::Deadlock { .. }
                | Error::LockTimeout { .. }
                | Error::Busy { .. }
                | Error::TooManyTransactions { .. }
                | Error::SnapshotTooOld
                | Error::Storage(llmdb_storage::Error::CacheFull)
        )
    }
}

impl From<llmdb_storage::Error> for Error {
    fn from(error: llmdb_storage::Error) -> Self {
        match error {
            llmdb_storage::Error::Poisoned { cause } => Error::Poisoned { cause },
            llmdb_storage::Error::SnapshotTooOld => Error::SnapshotTooOld,
            llmdb_storage::Error::Vfs(error) => error.into(),
            error => Error::Storage(error),
        }
    }
}

impl From<llmdb_wal::Error> for Error {
    fn from(error: llmdb_wal::Error) -> Self {
        use llmdb_wal::Error as E;
        match error {
            E::Poisoned { cause } => Error::Poisoned { cause: cause.to_string().into() },
            E::MissingLog { ref dir } | E::MissingSegment { ref dir, .. } => {
                Error::CorruptLog { path: dir.clone(), what: error.to_string() }
            }
            E::Corrupt { ref path, .. }
            | E::StaleIncarnation { ref path, .. }
            | E::Foreign { ref path } => {
                Error::CorruptLog { path: path.clone(), what: error.to_string() }
            }
            error => Error::Log(error),
        }
    }
}

impl From<llmdb_vfs::Error> for Error {
    fn from(error: llmdb_vfs::Error) -> Self {
        match error {
            llmdb_vfs::Error::Locked { path, pid } => Error::Busy { path, pid },
            error => Error::Vfs(error),
        }
    }
}
