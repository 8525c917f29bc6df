//! How a database is opened.

use crate::core::Core;
use crate::{Db, Durability, Error, Isolation, Result, retirer};
use llmdb_mvcc::EngineOptions;
use llmdb_storage::{Compression, PageSource, TreeOptions};
use llmdb_vfs::{LogicalClock, OpenMode, OsVfs, Vfs, WallClock};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A step of the clock, or a lead of the file over it, that is taken without asking: longer than
/// machines usually sleep, and much shorter than what a wrong battery or a typing error makes.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where transactions get their time from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The time of day.
    #[default]
    Wall,
    /// 1, 2, 3, ...: one more with each transaction. For tests and replays.
    Logical,
}

/// How a database is opened: a builder.
///
/// ```
/// use llmdb::{Clock, Durability, Options, TxTime};
///
/// let dir = tempfile::tempdir()?;
/// let db = Options::new()
///     .clock(Clock::Logical)
///     .durability(Durability::Async)
///     .open(dir.path().join("agent.llmdb"))?;
/// assert_eq!(db.put("mood", b"calm")?, TxTime(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until something is opened with them"]
pub struct Options {
    engine: EngineOptions,
    clock: Source,
    /// `None` believes any clock.
    clock_step_max: Option<Duration>,
    durability: Durability,
    isolation: Isolation,
    /// `None` leaves it as the file has it.
    compress_pages: Option<Option<Compression>>,
    compress_values: Option<Option<Compression>>,
    /// `None`: as the clock suggests.
    retire_every: Option<Option<Duration>>,
}

#[derive(Clone, Debug)]
enum Source {
    Known(Clock),
    Own(Arc<dyn llmdb_vfs::Clock>),
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The wall clock, durable commits, serializable transactions; a missing file is created.
    pub fn new() -> Self {
        Self {
            engine: EngineOptions { vfs: Arc::new(OsVfs::new()), ..EngineOptions::default() },
            clock: Source::Known(Clock::Wall),
            clock_step_max: Some(CLOCK_STEP_MAX),
            durability: Durability::default(),
            isolation: Isolation::default(),
            compress_pages: None,
            compress_values: None,
            retire_every: None,
        }
    }

    /// Whether a missing file is created; so unless told otherwise.
    pub fn create(mut self, create: bool) -> Self {
        self.engine.create = create;
        self
    }

    /// Whether the database is only read: so not, unless told otherwise. A file that was closed
    /// cleanly is then opened without a single write, not even of a lock file: from a read-only file
    /// system, or without the right to write. Any number of such readers share a file, and whoever
    /// wants to write meets [`Error::Busy`] meanwhile. Every write answers [`Error::ReadOnly`].
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.engine.store.read_only = read_only;
        self
    }

    /// A directory that committed transactions are copied to before the log lets go of them, at
    /// checkpoints and on closing; made if it is missing. With a backup it brings back the database
    /// as it was at any time since: see [`Restore::archive`](crate::Restore::archive). A checkpoint
    /// that cannot archive fails, and the log keeps everything until one can. Commits of
    /// [`Durability::Checkpoint`] are logged meanwhile, to be archived.
    pub fn archive_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.engine.archive_dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Where transactions get their time from.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Source::Known(clock);
        self
    }

    /// A clock of the caller's own.
    pub fn clock_source(mut self, clock: Arc<dyn llmdb_vfs::Clock>) -> Self {
        self.clock = Source::Own(clock);
        self
    }

    /// By how much the clock may step forward between two commits, and the newest transaction of a
    /// file may be ahead of the clock, before an error asks whether the clock is right; 7 days
    /// unless told otherwise. A wrong time, once taken as a transaction's, stays for good. `None`
    /// believes any clock. [`Clock::Logical`] has no steps to be wary of.
    pub fn clock_step_max(mut self, step_max: Option<Duration>) -> Self {
        self.clock_step_max = step_max;
        self
    }

    /// How durable commits are when they return, unless a transaction says otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What transactions may see of others, unless one says otherwise.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Bytes of a page of a new file: a power of two from 4 KiB, the default, to 64 KiB. Keys may
    /// be about a quarter of it. An existing file keeps its own.
    pub fn page_size(mut self, bytes: usize) -> Self {
        self.engine.store.page_size = bytes;
        self
    }

    /// Memory that writing takes, all together, 1 GiB unless told otherwise and 64 pages at least:
    /// changed pages that are not yet in the file, pages that snapshots hold, what open
    /// transactions buffer, recent commits, the log's buffer. It is kept: as it fills, checkpoints
    /// start, then commits wait for them, then pages are written ahead of time; what still does not
    /// fit is refused with [`Error::CacheFull`]. [`Stats`](crate::Stats) tell how full it is.
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.engine.memory_bytes = bytes;
        self
    }

    /// How many write transactions may be open at a time; any number (`None`) unless told otherwise.
    /// One more is refused with [`Error::TooManyTransactions`] when it begins. The writes of
    /// [`Db`] count, each for as long as it takes; those that the database makes for its own records
    /// (feeds, retention) do not, nor does reading.
    pub fn max_active_transactions(mut self, max: Option<usize>) -> Self {
        self.engine.max_active_transactions = max;
        self
    }

    /// What one transaction buffers of its writes, an eighth of
    /// [`memory_bytes`](Options::memory_bytes) unless told otherwise and 4 KiB at least. Beyond that it
    /// spills them to a file beside the database that has no name and goes with it, and is as any
    /// other: it may write many times the memory there is. The operations on one key have to fit
    /// in memory together when it commits.
    pub fn tx_memory_bytes(mut self, bytes: u64) -> Self {
        self.engine.tx_memory_bytes = Some(bytes);
        self
    }

    /// How long read and write transactions can be read after a newer state was committed; for ever
    /// (`None`) unless told otherwise, because only who writes the program knows how long its
    /// reads last. A transaction that is held keeps the pages that only it still reaches from being
    /// used anew, in the file and in [memory](Options::memory_bytes): one that is forgotten makes
    /// the file grow, and commits are refused in the end.
    ///
    /// With a limit, the first commit after it is over takes the snapshot back, and its next read
    /// fails with [`Error::SnapshotTooOld`]. Where memory is short the oldest transactions are taken
    /// back sooner, once they are older than 20 ms. Pages and memory are free at once if no read is
    /// under way: no call of [`ReadTx`](crate::ReadTx), [`Scan`](crate::Scan),
    /// [`ValueReader`](crate::ValueReader) or [`WriteTx`](crate::WriteTx); else as soon as it ends,
    /// which it does at its next step. What was read is good in any case. The newest state is never
    /// too old, and verification, compaction and backups are not ended. It costs a read of a
    /// transaction some nanoseconds.
    pub fn snapshot_age_max(mut self, age_max: Option<Duration>) -> Self {
        self.engine.snapshot_age_max = age_max;
        self
    }

    /// How long a transaction waits for a lock ([`WriteTx::lock_for_update`](crate::WriteTx)), unless it says
    /// otherwise; 10 seconds unless told otherwise.
    pub fn lock_wait_max(mut self, wait_max: Duration) -> Self {
        self.engine.lock_wait_max = wait_max;
        self
    }

    /// Where pages that are in the file are read from: a map of it unless told otherwise.
    pub fn page_source(mut self, source: PageSource) -> Self {
        self.engine.store.page_source = source;
        self
    }

    /// Memory for pages read from the file, by [`PageSource::Buffered`]: never exceeded, 128 MiB
    /// unless told otherwise, at most a quarter of [`memory_bytes`](Options::memory_bytes), room for 16
    /// pages at the least. Every cursor and every value that is
    /// held keeps its page in it.
    pub fn page_cache_bytes(mut self, bytes: u64) -> Self {
        self.engine.store.page_cache_bytes = bytes;
        self
    }

    /// How values are stored from now on, in the two trees that hold them: both
    /// [`compress_pages`](Self::compress_pages) and [`compress_values`](Self::compress_values). As
    /// the file has it unless told otherwise, and not compressed in a new one. The file remembers
    /// it. What was written before stays as it is and is read as before.
    pub fn compression(self, how: TreeOptions) -> Self {
        self.compress_pages(how.pages).compress_values(how.values)
    }

    /// Whether pages that hold values are compressed when they are written to the file, each if
    /// that saves a block of 4 KiB or more. So it takes a [page size](Self::page_size) of 8 KiB at
    /// least, and a file system with holes. Such pages are read through the
    /// [page cache](Self::page_cache_bytes), with either page source.
    pub fn compress_pages(mut self, how: Option<Compression>) -> Self {
        self.compress_pages = Some(how);
        self
    }

    /// Whether values are compressed, each if that saves an eighth of it or more; those below 64
    /// bytes are not tried. Reading one makes a copy. Values of 32 KiB and more are written as they
    /// come, before their commit, so that they can be read in pieces: they are not compressed.
    pub fn compress_values(mut self, how: Option<Compression>) -> Self {
        self.compress_values = Some(how);
        self
    }

    /// The file is made shorter by itself, on a thread of the database's own, once at least half of it
    /// is free and at least so many bytes are; 64 MiB unless told otherwise, `None` for never. Pages
    /// are moved in steps between commits, as [`Db::shrink`] does. It reads and writes no more pages
    /// than it frees, so contents that grow and shrink by turns cost it no more than in proportion to
    /// what is written for them; what is smaller than 64 MiB is not worth the syncs. Not without
    /// [`auto_checkpoint`](Options::auto_checkpoint).
    pub fn auto_shrink_bytes(mut self, free_bytes_min: Option<u64>) -> Self {
        self.engine.auto_shrink_bytes = free_bytes_min;
        self
    }

    /// The log is written in files of at most so many bytes, rounded up to 4 KiB: 64 MiB unless told
    /// otherwise; the first are shorter. What a checkpoint makes obsolete is given up by whole files,
    /// so short ones keep the log beside a small database short.
    pub fn log_segment_bytes_max(mut self, bytes: u64) -> Self {
        self.engine.log_segment_bytes_max = bytes;
        self
    }

    /// How often what policies of [retention](crate::Retention) do not keep is given up by itself, as
    /// by [`Db::retire`]: every hour unless told otherwise, the first time a minute after opening, or
    /// at this interval if that is shorter; `None` for never. With [`Clock::Logical`], whose times do
    /// not pass by themselves, never unless told otherwise. A thread of the database's own does it,
    /// in small commits, once any partition has a policy; closing waits for the commit that it is at.
    /// [`Metrics`](crate::Metrics) count the runs and those that failed, and
    /// [`Stats`](crate::Stats) say what the last one failed with.
    pub fn retire_every(mut self, every: Option<Duration>) -> Self {
        self.retire_every = Some(every);
        self
    }

    /// Whether checkpoints start by themselves; so unless told otherwise.
    pub fn auto_checkpoint(mut self, auto: bool) -> Self {
        self.engine.auto_checkpoint = auto;
        self
    }

    /// A file system of the caller's own: [`MemVfs`](llmdb_vfs::MemVfs) keeps everything in
    /// memory.
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.engine.vfs = vfs;
        self
    }

    /// Opens the database at `path`, and brings back whatever a crash left in its log.
    ///
    /// # Errors
    /// [`Error::Busy`] while anybody has it open; [`Error::NotFound`]; [`Error::NotADatabase`] and
    /// its kin for files that are none; [`Error::ReadOnly`]; [`Error::LastTxAhead`];
    /// [`Error::NeedsRecovery`] for a file that was not closed, with
    /// [`read_only`](Options::read_only).
    pub fn open(self, path: impl AsRef<Path>) -> Result<Db> {
        let Options {
            engine,
            clock,
            clock_step_max,
            durability,
            isolation,
            compress_pages,
            compress_values,
            retire_every,
        } = self;
        let by_clock = match clock {
            Source::Known(Clock::Logical) => None,
            Source::Known(Clock::Wall) | Source::Own(_) => Some(retirer::EVERY),
        };
        let (clock, step_max): (Arc<dyn llmdb_vfs::Clock>, _) = match clock {
            Source::Known(Clock::Wall) => (Arc::new(WallClock), clock_step_max),
            Source::Known(Clock::Logical) => (Arc::new(LogicalClock), None),
            Source::Own(clock) => (clock, clock_step_max),
        };
        let path = path.as_ref();
        let vfs = engine.vfs.clone();
        let read_only = engine.store.read_only;
        let retire_every = retire_every.unwrap_or(by_clock).filter(|_| !read_only);
        let core = Core::open(path, engine, clock, step_max, durability, isolation, retire_every);
        let core = core.and_then(|core| {
            let is = core.compression();
            let pages = compress_pages.unwrap_or(is.pages);
            let values = compress_values.unwrap_or(is.values);
            if !read_only {
                core.compress(TreeOptions { pages, values })?;
            }
            Ok(core)
        });
        core.map(Db::new).map_err(|error| match error {
            // A file that may be read: it is writing that was denied.
            Error::PermissionDenied { path: denied }
                if denied == path && vfs.open(path, OpenMode::Read).is_ok() =>
            {
                Error::ReadOnly { path: denied }
            }
            error => error,
        })
    }
}
