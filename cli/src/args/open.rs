//! How a database is opened.

use crate::error::{Error, Result};
use clap::{Args, ValueEnum};
use llmdb::{Clock, Compression, Db, Durability, Options, PageSource};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// How long a commit may stay in memory with `--durability periodic`.
const PERIODIC: Duration = Duration::from_millis(100);

/// Bytes that a page may have.
const PAGE_BYTES: RangeInclusive<usize> = 4 << 10..=64 << 10;

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
    /// Bytes of a page of a new file: 4k, 8k, 16k, 32k or 64k; 4096 unless told otherwise. A file that
    /// is there must have it
    #[arg(long, value_name = "BYTES", value_parser = page_size)]
    pub page_size: Option<usize>,
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
        match self.with(self.options().create(false)) {
            Err(Error::Db(
                llmdb::Error::ReadOnly { .. } | llmdb::Error::PermissionDenied { .. },
            )) => self.with(self.options().read_only(true)),
            opened => opened,
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
        let options = match self.page_size {
            Some(bytes) => options.page_size(bytes),
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
    /// Those of opening; [`Error::PageSize`] for a file with other pages than were asked for.
    pub fn with(&self, options: Options) -> Result<Db> {
        let db = options.open(&self.db)?;
        let Some(wanted) = self.page_size else { return Ok(db) };
        let found = db.stats()?.page_bytes;
        if found == wanted as u64 {
            return Ok(db);
        }
        db.close()?;
        Err(Error::PageSize { path: self.db.clone(), found, wanted })
    }
}

/// A page size as it is written: bytes, or KiB behind a `k`.
///
/// # Errors
/// In words, what is allowed.
pub fn page_size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1 << 10),
        None => (text, 1),
    };
    let bytes = digits.parse().ok().and_then(|count: usize| count.checked_mul(unit));
    let bytes = bytes.filter(|bytes| bytes.is_power_of_two() && PAGE_BYTES.contains(bytes));
    bytes.ok_or_else(|| "a page has 4k, 8k, 16k, 32k or 64k bytes".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_are_bytes_or_kibibytes() {
        for (text, bytes) in [("4096", 4096), ("4k", 4096), ("16K", 16384), ("65536", 65536)] {
            assert_eq!(page_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "2k", "5000", "12k", "128k", "-4k", "4kb", "99999999999999999999k"] {
            assert!(page_size(text).is_err(), "{text}");
        }
    }
}
