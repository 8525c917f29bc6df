//! The batch protocol.

use super::{DurabilityArg, Open};
use crate::ttl;
use clap::Args;
use llmdb::Options;
use std::time::Duration;

/// Of `llmdb exec`.
pub const EXAMPLE: &str = "\
Example:
  $ printf '%s\\n' '{\"op\":\"put\",\"key\":\"k\",\"value\":1}' '{\"op\":\"get\",\"key\":\"k\"}' |
      llmdb exec agent.llmdb --clock logical
  {\"ok\":true,\"tx\":1}
  {\"ok\":true,\"found\":true,\"value\":1,\"valid_from\":1,\"valid_to\":null,\"tx\":1}";

/// `llmdb exec`
#[derive(Args, Debug)]
pub struct Exec {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// When a commit counts as done
    #[arg(long, value_enum, default_value = "sync")]
    pub durability: DurabilityArg,
    /// How many transactions may be open at a time; any number unless given
    #[arg(long, value_name = "N")]
    pub max_active_transactions: Option<usize>,
    /// How long transactions can be read after others committed: `90s`, `5m`; for ever unless given
    #[arg(long, value_name = "TIME", value_parser = ttl::parse)]
    pub snapshot_age_max: Option<i64>,
}

impl Exec {
    /// How its database is opened.
    pub fn options(&self) -> Options {
        (self.open.options())
            .durability(self.durability.durability())
            .max_active_transactions(self.max_active_transactions)
            .snapshot_age_max(
                self.snapshot_age_max.map(|us| Duration::from_micros(us.unsigned_abs())),
            )
    }
}
