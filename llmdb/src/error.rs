//! The one error type of the crate, and the table of its codes.

mod convert;
mod table;

pub use table::ErrorClass;

use crate::{PartitionId, TxTime, ValidTime, ValueKind};
use llmdb_mvcc::TxnId;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What operations on a database return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
///
/// [`Error::code`] is stable, for programs; the text is for people; the class says what kind of
/// thing can be done about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Keys have at least one byte.
    #[error("a key must not be empty")]
    EmptyKey,
    /// The key does not fit a page once it is encoded: zero bytes take two, and some are added.
    #[error("a key of {bytes} encoded bytes exceeds the limit of {bytes_max}")]
    KeyTooLong {
        /// Its encoded length.
        bytes: usize,
        /// The longest encoded length in this database.
        bytes_max: usize,
    },
    /// The value is beyond [`VALUE_BYTES_MAX`](crate::VALUE_BYTES_MAX).
    #[error("a value of {bytes} bytes exceeds the limit of {bytes_max}")]
    ValueTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The value cannot be stored such that it is read back equal, or does not serialize.
    #[error("the value cannot be stored: {why}")]
    BadValue {
        /// What is in the way.
        why: String,
    },
    /// The value says something that the other kind cannot say.
    #[error("the value cannot be converted from {} to {} without a loss: {what}", from.as_str(), to.as_str())]
    Lossy {
        /// The kind that it is.
        from: ValueKind,
        /// The kind that it was to become.
        to: ValueKind,
        /// What would be lost.
        what: &'static str,
    },
    /// The stored value is not of the type that was asked for.
    #[error("the value is not of the type asked for: {why}")]
    ValueMismatch {
        /// Where it differs.
        why: String,
    },
    /// The partition is the database's own.
    #[error("{partition:?} is reserved")]
    ReservedPartition {
        /// The partition.
        partition: PartitionId,
    },
    /// Names, of partitions and feeds, have at least one byte.
    #[error("a name must not be empty")]
    EmptyName,
    /// Intervals are half-open: one that ends where it begins, or before, holds nothing.
    #[error("the interval from {from} to {to} is empty")]
    EmptyInterval {
        /// Where it begins.
        from: ValidTime,
        /// Where it ends.
        to: ValidTime,
    },
    /// A fact that ends by itself lasts for some time.
    #[error("a fact cannot last for {ttl} us")]
    BadTtl {
        /// How long it was to last, in microseconds.
        ttl: i64,
    },
    /// Text that is no time.
    #[error("not a time: expected microseconds since 1970, an RFC 3339 time, a date or `infinity`")]
    BadTime,
    /// Times are kept to the microsecond.
    #[error("the time is finer than a microsecond")]
    TimeTooFine,
    /// Microseconds since 1970 must fit 64 signed bits.
    #[error("the time is out of range")]
    TimeOutOfRange,
    /// A setting out of range.
    #[error("{what}")]
    BadOption {
        /// Which, and what is allowed.
        what: &'static str,
    },
    /// Text that is no [`Cursor`](crate::Cursor), or one of a write that is still to come.
    #[error("not a cursor of a feed of changes")]
    BadCursor,
    /// A policy of retention that says nothing sensible.
    #[error("{what}")]
    BadPolicy {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A checkpoint of that name exists; it has to be dropped first.
    #[error("there is a checkpoint `{name}` already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// No checkpoint has that name.
    #[error("there is no checkpoint `{name}`")]
    UnknownCheckpoint {
        /// The name.
        name: String,
    },
    /// Text that is no [`ErasureTicket`](crate::ErasureTicket).
    #[error("not a ticket of an erasure")]
    BadTicket,
    /// No erasure has that ticket.
    #[error("there was no such erasure")]
    UnknownErasure,
    /// The transaction is still to come: what it will know is not decided.
    #[error("there is no transaction {tx} yet; the newest is {newest}")]
    UnknownTransaction {
        /// What was asked for.
        tx: TxTime,
        /// The newest.
        newest: TxTime,
    },
    /// What was believed at `tx` was given up by the partition's [`Retention`](crate::Retention).
    /// It is never answered with what was believed at another time.
    #[error("{partition:?} no longer knows what was believed at {tx}{}", nearest(*before, *after))]
    HistoryRetired {
        /// The partition.
        partition: PartitionId,
        /// The T that was asked for, or where the stretch begins that was.
        tx: TxTime,
        /// The last T before it that is answered; not given for stretches.
        before: Option<TxTime>,
        /// The first T after it that is answered; for stretches, the first from which on the rest
        /// is whole.
        after: Option<TxTime>,
    },
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// The savepoint was released or rolled back past, or belongs to another transaction. Nothing
    /// has happened.
    #[error("the savepoint is gone: it was released, or rolled back past")]
    NoSavepoint,
    /// There is no database at the path, and none was to be created; or its directory is missing.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// There is no feed of that name: it was dropped, or never made.
    #[error("there is no feed `{name}`")]
    FeedNotFound {
        /// The name.
        name: String,
    },
    /// Another transaction that committed meanwhile wrote what this one read or writes. Nothing of
    /// this one has happened; run it again, or let [`Db::write`](crate::Db::write) do so.
    #[error("the transaction conflicts with commit {seq}, which came first")]
    Conflict {
        /// The commit that came first, by its place in the order of commits.
        seq: u64,
    },
    /// A read or write transaction asked a snapshot that is too old: see
    /// [`Options::snapshot_age_max`](crate::Options::snapshot_age_max). What it was answered before
    /// is good. Begin another; [`Db::write`](crate::Db::write) does so.
    #[error("the snapshot is too old: begin a new transaction")]
    SnapshotTooOld,
    /// Transactions waited for each other's locks in a circle, and this one, the youngest of them,
    /// was chosen to end it. It keeps its locks until it ends: roll it back, and run it again.
    #[error("deadlock: transaction {tx} waited for the locks of {}", names(waited_for))]
    Deadlock {
        /// The transaction.
        tx: TxnId,
        /// Those before it in the queue of the lock, the holder first.
        waited_for: Vec<TxnId>,
    },
    /// A lock was not to be had in time: see
    /// [`Options::lock_wait_max`](crate::Options::lock_wait_max).
    #[error("transaction {tx} waited {} ms for the locks of {}", waited.as_millis(), names(waited_for))]
    LockTimeout {
        /// The transaction.
        tx: TxnId,
        /// Those before it in the queue of the lock, the holder first.
        waited_for: Vec<TxnId>,
        /// How long it waited.
        waited: Duration,
    },
    /// As many write transactions are open as
    /// [`Options::max_active_transactions`](crate::Options::max_active_transactions) allows. Nothing
    /// has happened; try again when one of them has ended.
    #[error("{max} transactions are open, as many as max_active_transactions allows")]
    TooManyTransactions {
        /// The limit.
        max: usize,
    },
    /// Another process, or another handle of this one, has the database open.
    #[error("{} is in use{}", path.display(), holder(*pid))]
    Busy {
        /// The database.
        path: PathBuf,
        /// The holder, where it is known.
        pid: Option<u32>,
    },
    /// The device, or the quota, is full. Nothing has happened; free some space and try again.
    #[error("no space left for {}", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The file cannot grow further within the address space reserved for it.
    #[error("the file is at its limit of {pages} pages")]
    FileFull {
        /// The limit.
        pages: u64,
    },
    /// The memory for changed pages is used up; a [`checkpoint`](crate::Db::checkpoint) frees it.
    #[error("the page cache is full; a checkpoint must make room first")]
    CacheFull,
    /// Cursors and values hold every page of the page cache. Drop some, or give it more room with
    /// [`Options::page_cache_bytes`](crate::Options::page_cache_bytes).
    #[error("all {pages} pages of the page cache are held by cursors and values")]
    PagesHeld {
        /// How many pages it has room for.
        pages: usize,
    },
    /// There is no transaction time after the last one.
    #[error("transaction time is used up")]
    TxExhausted,
    /// The clock leapt. Overridable: see
    /// [`Options::clock_step_max`](crate::Options::clock_step_max).
    #[error("the clock stepped from about {expected} to {found}, by more than {step_us_max} us")]
    ClockStepped {
        /// Where the clock should be by the time that passed.
        expected: TxTime,
        /// Where it is.
        found: TxTime,
        /// The largest step taken without asking.
        step_us_max: u64,
    },
    /// The newest transaction in the file lies in the future. Overridable: see
    /// [`Options::clock_step_max`](crate::Options::clock_step_max).
    #[error("the last transaction, {last}, is ahead of the clock, {now}, by over {step_us_max} us")]
    LastTxAhead {
        /// The newest transaction.
        last: TxTime,
        /// What the clock says.
        now: TxTime,
        /// The largest lead taken without asking.
        step_us_max: u64,
    },
    /// Bytes of the database are not those that were written.
    #[error("the database is damaged{}: {what}", place(path.as_deref(), *page))]
    Corrupt {
        /// The file, where one is to blame alone.
        path: Option<PathBuf>,
        /// The page of the database file.
        page: Option<u64>,
        /// What is wrong.
        what: String,
    },
    /// Something is where a file is to be made: nothing is overwritten.
    #[error("{} exists already; nothing is overwritten", path.display())]
    AlreadyExists {
        /// Where.
        path: PathBuf,
    },
    /// The file is no backup, or a damaged one.
    #[error("{}: {what}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// Why it is refused.
        what: &'static str,
    },
    /// A backup that does not fit what it is used with: of another database or lineage, out of order,
    /// or with one missing before it.
    #[error("{}: {what}", path.display())]
    WrongBase {
        /// The backup.
        path: PathBuf,
        /// Why it does not fit.
        what: &'static str,
    },
    /// The backup holds more than is to be restored: an older one is needed.
    #[error("the backup reaches to {newest}, beyond {until}; restore from an older one")]
    BackupTooNew {
        /// Its newest transaction.
        newest: TxTime,
        /// What was asked for.
        until: TxTime,
    },
    /// The archive does not hold every commit that it takes to go on from the backup: it was not
    /// kept for a while, a file of it is missing, or commits went past the log.
    #[error("the archive lacks the commits after the {after}th and before the {next}th")]
    ArchiveGap {
        /// The last commit before the gap, by its place in the order of commits.
        after: u64,
        /// The first commit after it.
        next: u64,
    },
    /// The file is something else: another kind of file, a directory, or so damaged that no meta
    /// page can be read.
    #[error("{}: {what}", path.display())]
    NotADatabase {
        /// The path.
        path: PathBuf,
        /// Why it is refused.
        what: &'static str,
    },
    /// The file is shorter than it says itself.
    #[error("{}: {found} bytes long where {expected} were expected; the file was cut", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The length that it records.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// The file was written by another format version.
    #[error("{}: format version {found}; this build reads version {supported}", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// The version of the file.
        found: u32,
        /// The one version that this build reads.
        supported: u32,
    },
    /// The value was written by a later version, in a form that this one does not know.
    #[error("a value is tagged {tag:#04x}, which this build does not read")]
    UnsupportedValue {
        /// The tag found.
        tag: u8,
    },
    /// The file may be read and not written.
    #[error("{} is read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file was not closed cleanly, and may only be read: what its log holds has to be brought
    /// back first, by opening it for writing.
    #[error("{} was not closed cleanly; open it for writing once to recover it", path.display())]
    NeedsRecovery {
        /// The file.
        path: PathBuf,
    },
    /// The rights of the process do not reach this far.
    #[error("permission denied: {}", path.display())]
    PermissionDenied {
        /// The file.
        path: PathBuf,
    },
    /// A failed sync or write left it unknown what is on disk. Reading goes on at the last state
    /// that was published; open the database anew to write.
    #[error("writing stopped for good after: {cause}")]
    Poisoned {
        /// The first failure.
        cause: Arc<str>,
    },
    /// An earlier read of the transaction failed, so that nobody can tell what it would have done.
    #[error("the transaction cannot commit after a failed read: {cause}")]
    Broken {
        /// The earlier error.
        cause: Arc<str>,
    },
    /// Whatever a value was read from failed. Nothing was written.
    #[error("the source of the value failed: {cause}")]
    Source {
        /// Its error.
        cause: std::io::Error,
    },
    /// This platform or file system cannot do it.
    #[error("{what}")]
    Unsupported {
        /// What was to be done, to which file.
        what: String,
    },
    /// The file system failed.
    #[error(transparent)]
    Io(llmdb_vfs::Error),
}

impl Error {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        self.entry().0
    }

    /// What kind of thing can be done about it.
    pub fn class(&self) -> ErrorClass {
        self.entry().1
    }

    /// Whether the same call may succeed if it is simply made again.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Error::Conflict { .. }
                | Error::SnapshotTooOld
                | Error::Deadlock { .. }
                | Error::LockTimeout { .. }
                | Error::Busy { .. }
                | Error::TooManyTransactions { .. }
                | Error::CacheFull
        )
    }
}

fn nearest(before: Option<TxTime>, after: Option<TxTime>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => {
            format!("; the nearest that it knows are {before} and {after}")
        }
        (Some(at), None) | (None, Some(at)) => format!("; the nearest that it knows is {at}"),
        (None, None) => String::new(),
    }
}

fn names(txns: &[TxnId]) -> String {
    txns.iter().map(TxnId::to_string).collect::<Vec<_>>().join(", ")
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

fn place(path: Option<&std::path::Path>, page: Option<u64>) -> String {
    let mut place = path.map(|path| format!(" in {}", path.display())).unwrap_or_default();
    if let Some(page) = page {
        place += &format!(" at page {page}");
    }
    place
}
