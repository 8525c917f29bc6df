//! Upkeep.

use super::{Open, Output};
use clap::Args;

/// `llmdb verify`, `llmdb stats`
#[derive(Args, Debug)]
pub struct Admin {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// How
    #[command(flatten)]
    pub output: Output,
}
