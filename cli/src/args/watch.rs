//! Live changes.

use super::{DurabilityArg, Open};
use clap::Args;

/// Of `llmdb watch`.
pub const EXAMPLES: &str = "\
One process at a time has a database open, so this one hosts the writers: it answers nothing itself,
but runs the requests on its standard input (as `llmdb exec` does) and lists what they and others
before them wrote, as it is committed. It ends with its input, or by a signal.

Examples:
  producer | llmdb watch agent.llmdb user:                     what producer's requests write
  llmdb watch agent.llmdb --from oldest --json < /dev/null     all that was ever written
  producer | llmdb watch agent.llmdb --json --from 1795182790649547:0";

/// `llmdb watch`
#[derive(Args, Debug)]
pub struct Watch {
    /// The database; created if it is missing
    #[command(flatten)]
    pub open: Open,
    /// What the keys begin with
    #[arg(default_value = "")]
    pub prefix: String,
    /// Only keys of this partition, by number or name; all, without a prefix, if not given
    #[arg(long, short, value_name = "P")]
    pub partition: Option<String>,
    /// Where to begin: `oldest`, `newest`, or behind a cursor, the `cursor` of a line before
    #[arg(long, default_value = "newest", value_name = "CURSOR")]
    pub from: String,
    /// List in lines of JSON, each with its `cursor`
    #[arg(long)]
    pub json: bool,
    /// When a commit counts as done
    #[arg(long, value_enum, default_value = "sync")]
    pub durability: DurabilityArg,
}
