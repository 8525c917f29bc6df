//! The shell.

use super::{DurabilityArg, Open};
use crate::render::Mode;
use clap::Args;

/// Of `llmdb shell`.
pub const EXAMPLES: &str = "\
Examples:
  llmdb shell agent.llmdb
  llmdb shell agent.llmdb -c 'get user:1' -c '.timeline user:1'
  llmdb shell agent.llmdb --bail --mode ndjson < commands.txt

In it, `.help` lists the commands. From a file or a pipe it asks nothing, and ends with the exit
code of the first command that failed. LLMDB_HISTORY names the file of the history; `off` keeps
none.";

/// `llmdb shell`
#[derive(Args, Debug)]
pub struct Shell {
    /// The database; created if it is missing
    #[command(flatten)]
    pub open: Open,
    /// Run this command instead of reading any; may be given several times
    #[arg(long = "command", short, value_name = "COMMAND")]
    pub commands: Vec<String>,
    /// How answers are written
    #[arg(long, short, value_enum, default_value = "table")]
    pub mode: Mode,
    /// Stop at the first command that fails
    #[arg(long)]
    pub bail: bool,
    /// When a commit counts as done
    #[arg(long, value_enum, default_value = "sync")]
    pub durability: DurabilityArg,
}
