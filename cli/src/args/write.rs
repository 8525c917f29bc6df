//! Writing.

use super::{Keys, Open, Output};
use clap::Args;
use llmdb::ValidTime;
use std::path::PathBuf;

/// Of `llmdb put`.
pub const EXAMPLES: &str = "\
A VALUE that is JSON is stored as that, any other as a string; `-` reads it from standard input.

Examples:
  llmdb put agent.llmdb user:1 '{\"plan\":\"pro\"}'
  llmdb put agent.llmdb user:1 pro --valid-from 2024-03-01 --note 'billing said so'
  llmdb put agent.llmdb lock:deploy ada --for 90m               ends by itself
  llmdb put agent.llmdb recording --file talk.wav               raw bytes, up to 2 GiB - 1";

/// `llmdb put`
#[derive(Args, Debug)]
pub struct Put {
    /// The database; created if it is missing
    #[command(flatten)]
    pub open: Open,
    /// The key
    pub key: String,
    /// The value: JSON, or else a string; `-` for standard input
    #[arg(allow_hyphen_values = true, required_unless_present = "file")]
    pub value: Option<String>,
    /// Take the raw bytes of this file as the value, of any length; `-` for standard input
    #[arg(long, value_name = "PATH", conflicts_with_all = ["value", "text", "ttl"])]
    pub file: Option<PathBuf>,
    /// Take the value as a string, even if it is JSON
    #[arg(long)]
    pub text: bool,
    /// When it begins to hold; now if not given
    #[arg(long, visible_alias = "valid", value_name = "TIME", allow_hyphen_values = true)]
    pub valid_from: Option<ValidTime>,
    /// When it ceases to; where something else is known to begin, if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub valid_to: Option<ValidTime>,
    /// For how long it holds, from now: `90m`, `1h30m`, `7d`, `250ms`; without a unit, microseconds
    #[arg(
        long = "for",
        value_name = "TIME",
        value_parser = crate::ttl::parse,
        conflicts_with_all = ["valid_from", "valid_to"],
        allow_hyphen_values = true
    )]
    pub ttl: Option<i64>,
    /// Who and why, for the history: JSON, or else a string
    #[arg(long)]
    pub note: Option<String>,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb end`
#[derive(Args, Debug)]
pub struct End {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The key
    pub key: String,
    /// When it ends; now if not given
    #[arg(long, visible_alias = "valid", value_name = "TIME", allow_hyphen_values = true)]
    pub valid_from: Option<ValidTime>,
    /// Who and why, for the history: JSON, or else a string
    #[arg(long)]
    pub note: Option<String>,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb delete`
#[derive(Args, Debug)]
pub struct Delete {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The key
    pub key: String,
    /// Where the absence begins; now if not given
    #[arg(long, visible_alias = "valid", value_name = "TIME", allow_hyphen_values = true)]
    pub valid_from: Option<ValidTime>,
    /// Where it ends; never if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub valid_to: Option<ValidTime>,
    /// Who and why, for the history: JSON, or else a string
    #[arg(long)]
    pub note: Option<String>,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}
