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
code of the first command that failed.

The lines typed are kept in a file for you alone, $XDG_DATA_HOME/llmdb/history or
~/.local/share/llmdb/history; LLMDB_HISTORY names another, and `off` keeps none. `erase KEY` removes
the lines with the key, of all databases. A line that begins with a space is not kept.";

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
    /// Keep the lines typed in no file, and read none
    #[arg(long)]
    pub no_history: bool,
    /// When a commit counts as done
    #[arg(long, value_enum, default_value = "sync")]
    pub durability: DurabilityArg,
}
