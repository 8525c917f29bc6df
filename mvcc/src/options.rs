//! How a database is opened, and how a commit is made.

use llmdb_storage::StoreOptions;
use llmdb_vfs::{OsVfs, Vfs};
use llmdb_wal::LogConfig;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// When a commit counts as done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// When it survives a power failure. Commits that wait at the same time share one sync.
    #[default]
    Sync,
    /// At once; it survives a power failure after at most this interval.
    Periodic(Duration),
    /// At once; handed to the operating system within 10 ms, durable when that decides.
    Async,
    /// At once, and in no log: it survives a power failure after the next checkpoint. For bulk
    /// loads. Before a commit of another kind is logged, a checkpoint makes all these durable, so
    /// that what survives is always a prefix of all commits. Where committed records are archived it
    /// is logged all the same, as if it were `Async`: the archive misses nothing.
    Checkpoint,
}

/// What a transaction may see of others.
///
/// | may happen at | dirty read | lost in a crash after it was read | read skew, unrepeatable read, phantom | lost update | write skew |
/// |---|---|---|---|---|---|
/// | `Serializable` | | | | | |
/// | `Snapshot` | | | | | yes |
/// | `ReadCommitted` | | | yes | yes | yes |
/// | `ReadUncommitted` | | yes | yes | yes | yes |
///
/// A transaction's writes are not applied before it commits, at any level: nobody ever reads what is
/// rolled back, half of a commit, or a mixture of two commits within one call; and the writes of two
/// transactions never interleave. Own writes are always read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Isolation {
    /// As if transactions ran one after the other: what it read still holds when it commits.
    #[default]
    Serializable,
    /// It reads one snapshot; of two that write the same key, the first to commit wins.
    Snapshot,
    /// Each read sees the newest published state: all that was acknowledged before the read began.
    /// It holds no snapshot between its reads, and never conflicts: of two that write the same
    /// key, the last to commit wins, whatever either had read.
    ReadCommitted,
    /// As `ReadCommitted`, but each read sees the newest applied state, durable or not: commits
    /// that are still waiting to be durable, and that a crash may therefore take back, are seen
    /// already. A read waits for the commit being applied, and costs the commits after it a copy of
    /// the pages that they share.
    ReadUncommitted,
}

impl Isolation {
    /// Whether all reads of a transaction see one state.
    pub fn is_repeatable(self) -> bool {
        matches!(self, Isolation::Serializable | Isolation::Snapshot)
    }
}

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The file system; the operating system's unless a test says otherwise.
    pub vfs: Arc<dyn Vfs>,
    /// Layout of a new file, and address space.
    pub store: StoreOptions,
    /// Whether a missing file is created.
    pub create: bool,
    /// Memory that writing takes, all together: changed pages that are not yet in the file, pages
    /// that snapshots hold, what open transactions buffer, recent commits, the log's buffer. It is
    /// kept: as it fills checkpoints start, commits wait, pages are spilled, and what then does not
    /// fit is refused. At least 64 pages, however little is given.
    pub memory_bytes: u64,
    /// What one transaction buffers of its writes; beyond that it spills them to a file beside the
    /// database, so that it may write many times the memory there is. An eighth of `memory_bytes`
    /// unless told otherwise.
    pub tx_memory_bytes: Option<u64>,
    /// A checkpoint starts when the log has grown by so much since the last one.
    pub log_bytes: u64,
    /// The log is written in files of at most so many bytes, rounded up to 4 KiB. What a checkpoint
    /// makes obsolete is given up by whole files. The first ones are shorter.
    pub log_segment_bytes_max: u64,
    /// Where committed records go before the log lets go of them, if anywhere.
    pub archive_dir: Option<PathBuf>,
    /// How many write transactions may be open at a time; any number unless told otherwise. One
    /// more is refused.
    pub max_active_transactions: Option<usize>,
    /// How long a leased snapshot, and that of a transaction, can be read after a newer state was
    /// published; for ever unless told otherwise. Where there is a limit, the oldest is given up
    /// sooner once memory is short.
    pub snapshot_age_max: Option<Duration>,
    /// How long a transaction waits for a lock, unless it says otherwise.
    pub lock_wait_max: Duration,
    /// The file is made shorter by itself once at least half of it is free, and at least so many bytes
    /// are; never if `None`, or while checkpoints do not start by themselves.
    pub auto_shrink_bytes: Option<u64>,
    /// Whether checkpoints start by themselves, on a thread of the database's own.
    pub auto_checkpoint: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            vfs: Arc::new(OsVfs::new()),
            store: StoreOptions::default(),
            create: true,
            memory_bytes: 1 << 30,
            tx_memory_bytes: None,
            log_bytes: 512 << 20,
            log_segment_bytes_max: 64 << 20,
            archive_dir: None,
            max_active_transactions: None,
            snapshot_age_max: None,
            lock_wait_max: Duration::from_secs(10),
            auto_shrink_bytes: Some(64 << 20),
            auto_checkpoint: true,
        }
    }
}

impl EngineOptions {
    pub(crate) fn log_config(&self, uuid: [u8; 16]) -> LogConfig {
        LogConfig::new(uuid).with_segment_bytes_max(self.log_segment_bytes_max)
    }
}
