//! Erasing for good.

use super::{Keys, Open, Output};
use clap::Args;

pub const EXAMPLES: &str = "\
What stays is a record that something was erased, and when; see `llmdb erasures`. Lines with the key
are removed from the history of `llmdb shell`, too. Not reached: backups, archives, exports, shells
that are open, the history of your command line, and what a terminal shows.

Example:
  llmdb erase agent.llmdb user:7";

/// `llmdb erase`
#[derive(Args, Debug)]
pub struct Erase {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// The key
    pub key: String,
    /// Leave it to a later `erasures --finish` to overwrite what files still hold
    #[arg(long)]
    pub later: bool,
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb erasures`
#[derive(Args, Debug)]
pub struct Erasures {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// Overwrite what files still hold of what was erased
    #[arg(long)]
    pub finish: bool,
    /// How
    #[command(flatten)]
    pub output: Output,
}
