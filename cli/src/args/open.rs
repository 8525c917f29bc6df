//! How a database is opened.

use crate::error::Result;
use clap::{Args, ValueEnum};
use llmdb::{Clock, Compression, Db, Durability, Options, PageSource};
use std::path::PathBuf;
use std::time::Duration;

/// How long a commit may stay in memory with `--durability periodic`.
const PERIODIC: Duration = Duration::from_millis(100);

/// How the database is opened.
#[derive(Args, Clone, Debug)]
pub struct Open {
    /// The database file
    pub db: PathBuf,
    /// Where transactions get their time from
    #[arg(long, value_enum, default_value = "wall")]
    pub clock: ClockArg,
    /// Open a file at rest without writing anything, not even a lock file; writes are refused
    #[arg(long)]
    pub read_only: bool,
    /// Copy committed transactions to this directory before the log lets go of them
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// Where pages that are in the file are read from
    #[arg(long, value_enum, default_value = "mmap")]
    pub page_source: PageSourceArg,
    /// Memory for pages with --page-source buffered, in bytes; 134217728 unless told otherwise
    #[arg(long, value_name = "BYTES")]
    pub page_cache_bytes: Option<u64>,
    /// Compress values written from now on; as the file has it unless given
    #[arg(long, value_enum)]
    pub compress_values: Option<CompressArg>,
    /// Compress pages written from now on, of 8 KiB and more; as the file has it unless given
    #[arg(long, value_enum)]
    pub compress_pages: Option<CompressArg>,
}

/// How something is made smaller.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CompressArg {
    /// Not at all
    None,
    /// Fast
    Lz4,
    /// Smaller
    Zstd,
}

impl CompressArg {
    fn how(self) -> Option<Compression> {
        match self {
            Self::None => None,
            Self::Lz4 => Some(Compression::Lz4),
            Self::Zstd => Some(Compression::Zstd),
        }
    }
}

/// Where pages that are in the file are read from.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PageSourceArg {
    /// A map of the file: the fastest
    Mmap,
    /// Reads into memory of a fixed size
    Buffered,
}

/// Where transactions get their time from.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ClockArg {
    /// The time of day
    Wall,
    /// 1, 2, 3, ...
    Logical,
}

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DurabilityArg {
    /// When it survives a power failure
    Sync,
    /// At once; it survives a power failure 100 ms later
    Periodic,
    /// At once; it is handed to the operating system within 10 ms
    Async,
    /// At once; it survives a power failure after the next checkpoint. For bulk loads
    Checkpoint,
}

impl Open {
    /// Opens an existing database; one that cannot be written is read as it is.
    ///
    /// # Errors
    /// Those of opening.
    pub fn existing(&self) -> Result<Db> {
        match self.options().create(false).open(&self.db) {
            Err(llmdb::Error::ReadOnly { .. } | llmdb::Error::PermissionDenied { .. }) => {
                self.with(self.options().read_only(true))
            }
            opened => Ok(opened?),
        }
    }

    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// Those of opening.
    pub fn or_create(&self) -> Result<Db> {
        self.with(self.options())
    }

    /// How it is opened, unless told otherwise.
    pub fn options(&self) -> Options {
        let options = Options::new()
            .read_only(self.read_only)
            .page_source(match self.page_source {
                PageSourceArg::Mmap => PageSource::Mmap,
                PageSourceArg::Buffered => PageSource::Buffered,
            })
            .clock(match self.clock {
                ClockArg::Wall => Clock::Wall,
                ClockArg::Logical => Clock::Logical,
            });
        let options = match &self.archive {
            Some(dir) => options.archive_dir(dir),
            None => options,
        };
        let options = match self.compress_pages {
            Some(how) => options.compress_pages(how.how()),
            None => options,
        };
        let options = match self.compress_values {
            Some(how) => options.compress_values(how.how()),
            None => options,
        };
        match self.page_cache_bytes {
            Some(bytes) => options.page_cache_bytes(bytes),
            None => options,
        }
    }

    /// Opens it in a way of the caller's.
    ///
    /// # Errors
    /// Those of opening.
    pub fn with(&self, options: Options) -> Result<Db> {
        Ok(options.open(&self.db)?)
    }
}

impl DurabilityArg {
    /// What it means.
    pub fn durability(self) -> Durability {
        match self {
            Self::Sync => Durability::Sync,
            Self::Periodic => Durability::Periodic(PERIODIC),
            Self::Async => Durability::Async,
            Self::Checkpoint => Durability::Checkpoint,
        }
    }
}
