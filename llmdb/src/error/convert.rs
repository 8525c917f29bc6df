//! From the errors of the layers below: each is mapped here, once.

use super::Error;
use crate::TxTime;
use llmdb_vfs::Error as Vfs;

impl From<llmdb_mvcc::Error> for Error {
    fn from(error: llmdb_mvcc::Error) -> Self {
        use llmdb_mvcc::Error as E;
        match error {
            E::Busy { path, pid } => Error::Busy { path, pid },
            E::NotFound { path } => Error::NotFound { path },
            E::Conflict { seq } => Error::Conflict { seq },
            E::SnapshotTooOld => Error::SnapshotTooOld,
            E::Deadlock { tx, waited_for } => Error::Deadlock { tx, waited_for },
            E::LockTimeout { tx, waited_for, waited } => {
                Error::LockTimeout { tx, waited_for, waited }
            }
            E::TooManyTransactions { max } => Error::TooManyTransactions { max },
            E::NoSavepoint => Error::NoSavepoint,
            E::Broken { cause } => Error::Broken { cause },
            E::CorruptLog { path, what } => Error::Corrupt { path: Some(path), page: None, what },
            E::CorruptArchive { path, what } => {
                Error::Corrupt { path: Some(path), page: None, what }
            }
            E::ArchiveGap { after, next } => Error::ArchiveGap { after, next },
            E::TooNew { mark, until } => {
                Error::BackupTooNew { newest: TxTime(mark), until: TxTime(until) }
            }
            E::Poisoned { cause } => Error::Poisoned { cause },
            E::NeedsRecovery { path } => Error::NeedsRecovery { path },
            E::ReadOnly { path } => Error::ReadOnly { path },
            E::Closed => Error::Closed,
            E::Storage(error) => error.into(),
            E::Log(error) => error.into(),
            E::Vfs(error) => error.into(),
            other => Error::Unsupported { what: other.to_string() },
        }
    }
}

impl From<llmdb_wal::Error> for Error {
    fn from(error: llmdb_wal::Error) -> Self {
        use llmdb_wal::Error as E;
        let what = error.to_string();
        match error {
            E::NoSpace { path } => Error::NoSpace { path },
            E::Poisoned { cause } => Error::Poisoned { cause: cause.to_string().into() },
            E::Version { path, found, supported } => {
                Error::UnsupportedVersion { path, found, supported }
            }
            E::MissingLog { dir } | E::MissingSegment { dir, .. } | E::Exists { dir } => {
                Error::Corrupt { path: Some(dir), page: None, what }
            }
            E::Corrupt { path, .. } | E::StaleIncarnation { path, .. } | E::Foreign { path } => {
                Error::Corrupt { path: Some(path), page: None, what }
            }
            E::Io(error) => error.into(),
            _ => Error::Unsupported { what },
        }
    }
}

impl From<llmdb_storage::Error> for Error {
    fn from(error: llmdb_storage::Error) -> Self {
        use llmdb_storage::Error as E;
        let what = error.to_string();
        match error {
            E::ChecksumMismatch { page, .. } | E::CorruptPage { page, .. } => {
                Error::Corrupt { path: None, page: Some(page.0), what }
            }
            E::NotADatabase { path, what } => Error::NotADatabase { path, what },
            E::Version { path, found, supported } => {
                Error::UnsupportedVersion { path, found, supported }
            }
            E::Truncated { path, expected, found } => Error::Truncated { path, expected, found },
            E::BadBatch { .. } | E::NoSuchTree { .. } => {
                Error::Corrupt { path: None, page: None, what }
            }
            E::EmptyKey => Error::EmptyKey,
            E::KeyTooLong { len, max } => Error::KeyTooLong { bytes: len, bytes_max: max },
            E::ValueTooLong { len, max } => Error::ValueTooLong { bytes: len, bytes_max: max },
            E::BadOption { what } => Error::BadOption { what },
            E::Full { pages } => Error::FileFull { pages },
            E::CacheFull => Error::CacheFull,
            E::SnapshotTooOld => Error::SnapshotTooOld,
            E::NoCodec { .. } => Error::Unsupported { what },
            E::PagesHeld { pages } => Error::PagesHeld { pages },
            E::Poisoned { cause } => Error::Poisoned { cause },
            E::Exists { path } => Error::AlreadyExists { path },
            E::NotABackup { path, what } => Error::NotABackup { path, what },
            E::WrongBase { path, what } => Error::WrongBase { path, what },
            E::BadCopy { page, .. } => Error::Corrupt { path: None, page: Some(page.0), what },
            E::Vfs(error) => error.into(),
            _ => Error::Unsupported { what },
        }
    }
}

impl From<llmdb_temporal::Error> for Error {
    fn from(error: llmdb_temporal::Error) -> Self {
        use llmdb_temporal::Error as E;
        let what = error.to_string();
        match error {
            E::EmptyKey => Error::EmptyKey,
            E::KeyTooLong { bytes, bytes_max } => Error::KeyTooLong { bytes, bytes_max },
            E::EmptyInterval { from, to } => Error::EmptyInterval { from, to },
            E::BadTtl { ttl } => Error::BadTtl { ttl },
            E::BadTime => Error::BadTime,
            E::TimeTooFine => Error::TimeTooFine,
            E::TimeOutOfRange => Error::TimeOutOfRange,
            E::TxExhausted => Error::TxExhausted,
            E::ClockStepped { expected, found, step_us_max } => {
                Error::ClockStepped { expected, found, step_us_max }
            }
            E::LastTxAhead { last, now, step_us_max } => {
                Error::LastTxAhead { last, now, step_us_max }
            }
            E::HistoryRetired { partition, tx, before, after } => {
                Error::HistoryRetired { partition, tx, before, after }
            }
            E::BadPolicy { what } => Error::BadPolicy { what },
            E::Storage(error) => error.into(),
            E::UnknownCodec { codec, .. } => Error::UnsupportedValue { tag: codec },
            // Transactions are numbered above all that the trees hold: else the trees are wrong.
            _ => Error::Corrupt { path: None, page: None, what },
        }
    }
}

impl From<Vfs> for Error {
    fn from(error: Vfs) -> Self {
        match error {
            Vfs::NotFound { path } => Error::NotFound { path },
            Vfs::IsDirectory { path } => {
                Error::NotADatabase { path, what: "this is a directory; a database is one file" }
            }
            Vfs::NotAFile { path } => {
                Error::NotADatabase { path, what: "this is not a regular file" }
            }
            Vfs::PermissionDenied { path } => Error::PermissionDenied { path },
            Vfs::ReadOnly { path } => Error::ReadOnly { path },
            Vfs::NoSpace { path } => Error::NoSpace { path },
            Vfs::Locked { path, pid } => Error::Busy { path, pid },
            Vfs::Unsupported { .. } => Error::Unsupported { what: error.to_string() },
            error => Error::Io(error),
        }
    }
}
