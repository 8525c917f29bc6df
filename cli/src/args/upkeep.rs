//! Copies of databases, and back.

use super::{Open, Output};
use clap::{Args, Subcommand};
use llmdb::TxTime;
use std::path::PathBuf;

/// Examples of `llmdb backup`.
pub const BACKUP: &str = "\
Examples:
  llmdb backup agent.llmdb monday.llmdb
  llmdb backup agent.llmdb tuesday.inc --base monday.llmdb     what changed since monday
  llmdb backup agent.llmdb wednesday.inc --base tuesday.inc    what changed since tuesday";

/// Examples of `llmdb compact`.
pub const COMPACT: &str = "\
Examples:
  llmdb compact agent.llmdb smaller.llmdb      a new file, with full pages
  llmdb compact --online agent.llmdb           the same file, cut to what it holds";

/// `llmdb compact`
#[derive(Args, Debug)]
pub struct Compact {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The file to make; nothing may be there
    #[arg(required_unless_present = "online", conflicts_with = "online")]
    pub dest: Option<PathBuf>,
    /// Move what is at the end of the file to its front, and cut it, instead of making another
    #[arg(long)]
    pub online: bool,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// Examples of `llmdb restore`.
pub const RESTORE: &str = "\
Examples:
  llmdb restore monday.llmdb again.llmdb
  llmdb restore monday.llmdb tuesday.inc wednesday.inc again.llmdb
  llmdb restore monday.llmdb again.llmdb --archive archive --to 2024-03-05T12:00:00Z";

/// Examples of `llmdb repair`.
pub const REPAIR: &str = "\
Examples:
  llmdb repair agent.llmdb                          what could be read, and what is lost
  llmdb repair agent.llmdb --into again.llmdb       all that can be read, in a new database";

/// `llmdb repair`
#[derive(Args, Debug)]
pub struct Repair {
    /// The damaged database; it is only read
    pub src: PathBuf,
    /// Make this database of everything that can be read; nothing may be there
    #[arg(long, value_name = "DEST")]
    pub into: Option<PathBuf>,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// Copies of databases, and back.
#[derive(Debug, Subcommand)]
pub enum Upkeep {
    /// Copy everything committed to a new file, whole or what changed since another backup
    #[command(after_help = BACKUP)]
    Backup(Backup),
    /// Copy everything believed now and ever to a new file, with full pages and nothing else; or
    /// cut the file where it is
    #[command(after_help = COMPACT)]
    Compact(Compact),
    /// Make a database out of a backup and the increments that follow it
    #[command(after_help = RESTORE)]
    Restore(Restore),
    /// Say what can be read of a damaged database, or make a new one of it
    ///
    /// Exit code 0 if nothing is lost or the new database was made, else that of damage.
    #[command(after_help = REPAIR)]
    Repair(Repair),
}

/// `llmdb backup`
#[derive(Args, Debug)]
pub struct Backup {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The file to make; nothing may be there
    pub dest: PathBuf,
    /// Only what changed since this backup, itself whole or an increment
    #[arg(long, value_name = "BACKUP")]
    pub base: Option<PathBuf>,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb restore`
#[derive(Args, Debug)]
pub struct Restore {
    /// A whole backup, the increments that follow it in order, and the database to make
    #[arg(num_args = 2.., required = true, value_names = ["BACKUP", "DEST"])]
    pub files: Vec<PathBuf>,
    /// Go on from there by the transactions archived in this directory
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// Only transactions up to this time, and with it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<TxTime>,
    /// How
    #[command(flatten)]
    pub output: Output,
}
