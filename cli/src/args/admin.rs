//! Upkeep.

use super::{Open, Output};
use clap::Args;

/// `llmdb stats`
#[derive(Args, Debug)]
pub struct Stats {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// How each tree is made up, too: reads all of the database
    #[arg(long)]
    pub deep: bool,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb verify`
#[derive(Args, Debug)]
pub struct Admin {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// How
    #[command(flatten)]
    pub output: Output,
}
