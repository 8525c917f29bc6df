//! Named checkpoints, and how much of its past a partition keeps.

use super::{Open, Output};
use crate::exec::retention::{LastOf, Span};
use crate::exec::tx::Tx;
use clap::{Args, Subcommand};

pub const EXAMPLES: &str = "\
Examples:
  llmdb retention set agent.llmdb --all 90d --last-of day:365d --last-of month
  llmdb retention run agent.llmdb
  llmdb retention show agent.llmdb";

/// `llmdb retention`
#[derive(Debug, Subcommand)]
pub enum Retention {
    /// What a partition keeps, and what it still answers
    Show(RetentionShow),
    /// Say what a partition keeps; nothing goes until the next `run`
    Set(RetentionSet),
    /// Give up what is not kept
    Run(RetentionRun),
}

/// `llmdb retention show`
#[derive(Args, Debug)]
pub struct RetentionShow {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The partition, by number or name
    #[arg(long, short, default_value = "0", value_name = "P")]
    pub partition: String,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb retention set`
#[derive(Args, Debug)]
pub struct RetentionSet {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// Keep all that was known in the last SPAN, such as 90d; all, if not given
    #[arg(long, value_name = "SPAN")]
    pub all: Option<Span>,
    /// Of what is older, keep the last of each hour, day, week, month or year, for SPAN or for ever
    #[arg(long, value_name = "PERIOD[:SPAN]", requires = "all")]
    pub last_of: Vec<LastOf>,
    /// The partition, by number or name
    #[arg(long, short, default_value = "0", value_name = "P")]
    pub partition: String,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb retention run`
#[derive(Args, Debug)]
pub struct RetentionRun {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// Only this partition, by number or name
    #[arg(long, short, value_name = "P")]
    pub partition: Option<String>,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb checkpoint`
#[derive(Debug, Subcommand)]
pub enum Checkpoint {
    /// Pin what is known now, or was at a time, under a name
    Name(CheckpointName),
    /// All names
    List(CheckpointList),
    /// Drop a name
    Drop(CheckpointDrop),
}

/// `llmdb checkpoint name`
#[derive(Args, Debug)]
pub struct CheckpointName {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The name; `--tx @NAME` asks at it
    pub name: String,
    /// What was known at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub tx: Option<Tx>,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb checkpoint list`
#[derive(Args, Debug)]
pub struct CheckpointList {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb checkpoint drop`
#[derive(Args, Debug)]
pub struct CheckpointDrop {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The name
    pub name: String,
    /// How
    #[command(flatten)]
    pub output: Output,
}
