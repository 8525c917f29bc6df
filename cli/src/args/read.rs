//! Asking.

use super::{At, Keys, Open, Output};
use crate::exec::tx::Tx;
use clap::Args;
use llmdb::ValidTime;
use std::path::PathBuf;

/// Of `llmdb diff`.
pub const EXAMPLES: &str = "\
Examples:
  llmdb diff agent.llmdb user: --a-valid 2024-01-01      what has changed since, in the world
  llmdb diff agent.llmdb user: --a-tx 2024-01-01         what has changed since, in our belief";

/// `llmdb get`
#[derive(Args, Debug)]
pub struct Get {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The key
    pub key: String,
    /// When
    #[command(flatten)]
    pub at: At,
    /// Write the bytes of the value to this file, as they are stored; `-` for standard output
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb scan`
#[derive(Args, Debug)]
pub struct Scan {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// What the keys begin with
    #[arg(default_value = "")]
    pub prefix: String,
    /// When
    #[command(flatten)]
    pub at: At,
    /// Only keys behind this one
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N")]
    pub limit: Option<usize>,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb timeline`
#[derive(Args, Debug)]
pub struct Timeline {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The key
    pub key: String,
    /// As it was known at this time, or checkpoint `@NAME`; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub tx: Option<Tx>,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb history`
#[derive(Args, Debug)]
pub struct History {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The key
    pub key: String,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb diff`
#[derive(Args, Debug)]
pub struct Diff {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// What the keys begin with
    #[arg(default_value = "")]
    pub prefix: String,
    /// The first point: what was true at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub a_valid: Option<ValidTime>,
    /// The first point: as it was known at this time or `@NAME`; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub a_tx: Option<Tx>,
    /// The second point: what was true at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub b_valid: Option<ValidTime>,
    /// The second point: as it was known at this time or `@NAME`; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub b_tx: Option<Tx>,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb changes`
#[derive(Args, Debug)]
pub struct Changes {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// From this transaction on; from the first if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub tx_from: Option<Tx>,
    /// Up to this transaction, and not including it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub tx_to: Option<Tx>,
    /// Go on where an answer with a limit ended: its `next`
    #[arg(long, value_name = "CURSOR", conflicts_with = "tx_from")]
    pub next: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N")]
    pub limit: Option<usize>,
    /// Only those of this partition, by number or name
    #[arg(long, short, value_name = "P")]
    pub partition: Option<String>,
    /// How
    #[command(flatten)]
    pub output: Output,
}
