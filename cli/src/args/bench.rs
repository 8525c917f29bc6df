//! Quick figures.

use super::DurabilityArg;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use std::path::PathBuf;

/// Of `llmdb bench`.
pub const EXAMPLES: &str = "\
Examples:
  llmdb bench
  llmdb bench --keys 1000000 --value-bytes 256 --dir /mnt/disk
  llmdb bench --keys 20000 --json

The database is new, in a directory of its own that is removed afterwards. Each figure is one run on
this machine as it is: compare figures of the same machine and the same settings.";

/// `llmdb bench`
#[derive(Args, Debug)]
pub struct Bench {
    /// Keys in the database
    #[arg(long, default_value_t = 100_000, value_name = "N",
          value_parser = RangedU64ValueParser::<u64>::new().range(1..=100_000_000))]
    pub keys: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_name = "N",
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub value_bytes: usize,
    /// Bytes of a page: 4k, 8k, 16k, 32k or 64k
    #[arg(long, value_name = "BYTES", default_value = "4096", value_parser = super::open::page_size)]
    pub page_size: usize,
    /// The disk to measure: a directory on it; that of temporary files if not given
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// When a commit of the load counts as done
    #[arg(long, value_enum, default_value = "async")]
    pub load_durability: DurabilityArg,
    /// Answer in one line of JSON
    #[arg(long)]
    pub json: bool,
}
