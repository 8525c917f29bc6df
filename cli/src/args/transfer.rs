//! Facts in and out.

use super::Open;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `llmdb import`
#[derive(Debug, Subcommand)]
pub enum Import {
    /// The history of a git repository: a fact for each file, from when it was written
    ///
    /// Each file is a key, its path; each commit a transaction with a note. A fact holds from the
    /// date of its author, and dates that are out of order fit in where they belong. Stopped
    /// half-way and run again, it goes on where it was; run once more later, it takes what is new.
    Git(ImportGit),
    /// Lines of JSON, as `export` writes them
    ///
    /// Each line is an object of `key` or `key_b64`, `value` (or `value_b64`, raw bytes), and as
    /// wanted `valid_from`, `valid_to`, `partition`, `note`, `op` (`put`, `end`, `delete`) and
    /// `tx`: consecutive lines of one `tx` are one transaction. Others are grouped in batches. A
    /// bad line ends the import: its batch is not written, those before it are.
    Ndjson(ImportNdjson),
}

/// `llmdb import git`
#[derive(Args, Debug)]
pub struct ImportGit {
    /// The database; created if it is missing
    #[command(flatten)]
    pub open: Open,
    /// The repository
    #[arg(default_value = ".")]
    pub repository: PathBuf,
    /// The commit, branch or tag whose history is taken
    #[arg(long, default_value = "HEAD")]
    pub rev: String,
    /// Only the newest N commits; of use at the first import
    #[arg(long, value_name = "N")]
    pub newest: Option<u64>,
    /// The partition, by number or name
    #[arg(long, short, default_value = "0", value_name = "P")]
    pub partition: String,
}

/// `llmdb import ndjson`
#[derive(Args, Debug)]
pub struct ImportNdjson {
    /// The database; created if it is missing
    #[command(flatten)]
    pub open: Open,
    /// The file; `-` for standard input
    pub file: PathBuf,
    /// Lines in a transaction, where they do not say it
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub batch: usize,
    /// Record with each batch how far it came, under this name; run again, go on behind that
    #[arg(long, value_name = "NAME")]
    pub resume: Option<String>,
    /// Keep no log: faster, and nothing of it survives a power failure before the end
    #[arg(long)]
    pub bulk: bool,
}

/// `llmdb export`
#[derive(Args, Debug)]
pub struct Export {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// All that was ever written, instead of what is believed now
    #[arg(long)]
    pub history: bool,
    /// Only this partition, by number or name
    #[arg(long, short, value_name = "P")]
    pub partition: Option<String>,
}
