//! The command line.

mod open;

pub use open::{DurabilityArg, Open};

use clap::{Args, Parser, Subcommand};
use llmdb::{TxTime, ValidTime};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  llmdb tour                                    see what it does, on real history
  llmdb put agent.llmdb user:1 '{\"plan\":\"free\"}' --valid-from 2024-01-01
  llmdb get agent.llmdb user:1 --valid 2024-06-01
  llmdb history agent.llmdb user:1              all that was ever believed, by whom and why
  llmdb import git code.llmdb .                 a repository as facts in time
  echo '{\"op\":\"get\",\"key\":\"user:1\"}' | llmdb exec agent.llmdb

Times are microseconds since 1970, RFC 3339 times or dates (midnight UTC); `inf` is infinity.
Exit codes: 0 done, 1 no such key, 2 usage, 10 to 22 the class of the error (docs/protocol.md).";

/// A time-aware memory store: what is true, what was true, and what was believed when.
#[derive(Debug, Parser)]
#[command(name = "llmdb", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer requests on standard input, one JSON object a line
    ///
    /// The contract is docs/protocol.md. The database is created if it is missing. Exit code 0
    /// after a clean end, even if some requests failed.
    #[command(after_help = EXEC_EXAMPLE)]
    Exec(Exec),
    /// What a key has
    Get(Get),
    /// Give a key a value
    #[command(after_help = PUT_EXAMPLES)]
    Put(Put),
    /// Say that a key has no value, up to what is known to come
    End(End),
    /// Say that a key has no value, from now or over a stretch of time
    Delete(Delete),
    /// The keys that begin with a prefix, and what they have
    Scan(Scan),
    /// What a key had, has and will have
    Timeline(Timeline),
    /// All that was ever believed about a key, by whom and why
    History(History),
    /// What differs between two points of time, or between two beliefs
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(Diff),
    /// What was written, in order
    Changes(Changes),
    /// Check every page and every invariant
    Verify(Admin),
    /// Sizes and counts
    Stats(Admin),
    /// Bring facts in
    #[command(subcommand)]
    Import(Import),
    /// Write facts to standard output, as lines that `import ndjson` reads
    Export(Export),
    /// See what LLMDB does, on the history of a real repository
    Tour(Tour),
}

const EXEC_EXAMPLE: &str = "\
Example:
  $ printf '%s\\n' '{\"op\":\"put\",\"key\":\"k\",\"value\":1}' '{\"op\":\"get\",\"key\":\"k\"}' |
      llmdb exec agent.llmdb --clock logical
  {\"ok\":true,\"tx\":1}
  {\"ok\":true,\"found\":true,\"value\":1,\"valid_from\":1,\"valid_to\":null,\"tx\":1}";

const PUT_EXAMPLES: &str = "\
A VALUE that is JSON is stored as that, any other as a string; `-` reads it from standard input.

Examples:
  llmdb put agent.llmdb user:1 '{\"plan\":\"pro\"}'
  llmdb put agent.llmdb user:1 pro --valid-from 2024-03-01 --note 'billing said so'";

const DIFF_EXAMPLES: &str = "\
Examples:
  llmdb diff agent.llmdb user: --a-valid 2024-01-01      what has changed since, in the world
  llmdb diff agent.llmdb user: --a-tx 2024-01-01         what has changed since, in our belief";

/// `llmdb exec`
#[derive(Args, Debug)]
pub struct Exec {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// When a commit counts as done
    #[arg(long, value_enum, default_value = "sync")]
    pub durability: DurabilityArg,
}

/// How the answer is written.
#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// Answer in one line of JSON, as `llmdb exec` does
    #[arg(long)]
    pub json: bool,
}

/// Whose keys are meant, and how they are written.
#[derive(Args, Clone, Debug)]
pub struct Keys {
    /// The partition, by number or name
    #[arg(long, short, default_value = "0", value_name = "P")]
    pub partition: String,
    /// Keys on the command line are base64
    #[arg(long)]
    pub b64: bool,
}

/// A point of both times.
#[derive(Args, Clone, Copy, Debug)]
pub struct At {
    /// What was true at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub valid: Option<ValidTime>,
    /// As it was known at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub tx: Option<TxTime>,
}

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
    /// Whose
    #[command(flatten)]
    pub keys: Keys,
    /// How
    #[command(flatten)]
    pub output: Output,
}

/// `llmdb put`
#[derive(Args, Debug)]
pub struct Put {
    /// The database; created if it is missing
    #[command(flatten)]
    pub open: Open,
    /// The key
    pub key: String,
    /// The value: JSON, or else a string; `-` for standard input
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    /// Take the value as a string, even if it is JSON
    #[arg(long)]
    pub text: bool,
    /// When it begins to hold; now if not given
    #[arg(long, visible_alias = "valid", value_name = "TIME", allow_hyphen_values = true)]
    pub valid_from: Option<ValidTime>,
    /// When it ceases to; where something else is known to begin, if not given
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
    /// As it was known at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub tx: Option<TxTime>,
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
    /// The first point: as it was known at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub a_tx: Option<TxTime>,
    /// The second point: what was true at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub b_valid: Option<ValidTime>,
    /// The second point: as it was known at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub b_tx: Option<TxTime>,
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
    pub tx_from: Option<TxTime>,
    /// Up to this transaction, and not including it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub tx_to: Option<TxTime>,
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

/// `llmdb import`
#[derive(Debug, Subcommand)]
pub enum Import {
    /// The history of a git repository: a fact for each file, from when it was written
    ///
    /// Each file is a key, its path; each commit a transaction with a note. A fact holds from the
    /// date of its author, and dates that are out of order fit in where they belong. Stopped
    /// half-way and run again, it goes on where it was; run once more later, it takes what is new.
    Git(ImportGit),
    /// Lines of JSON, as `export` writes them
    ///
    /// Each line is an object of `key` or `key_b64`, `value` (or `value_b64`, raw bytes), and as
    /// wanted `valid_from`, `valid_to`, `partition`, `note`, `op` (`put`, `end`, `delete`) and
    /// `tx`: consecutive lines of one `tx` are one transaction. Others are grouped in batches. A
    /// bad line ends the import: its batch is not written, those before it are.
    Ndjson(ImportNdjson),
}

/// `llmdb import git`
#[derive(Args, Debug)]
pub struct ImportGit {
    /// The database; created if it is missing
    #[command(flatten)]
    pub open: Open,
    /// The repository
    #[arg(default_value = ".")]
    pub repository: PathBuf,
    /// The commit, branch or tag whose history is taken
    #[arg(long, default_value = "HEAD")]
    pub rev: String,
    /// Only the newest N commits; of use at the first import
    #[arg(long, value_name = "N")]
    pub newest: Option<u64>,
    /// The partition, by number or name
    #[arg(long, short, default_value = "0", value_name = "P")]
    pub partition: String,
}

/// `llmdb import ndjson`
#[derive(Args, Debug)]
pub struct ImportNdjson {
    /// The database; created if it is missing
    #[command(flatten)]
    pub open: Open,
    /// The file; `-` for standard input
    pub file: PathBuf,
    /// Lines in a transaction, where they do not say it
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub batch: usize,
    /// Record with each batch how far it came, under this name; run again, go on behind that
    #[arg(long, value_name = "NAME")]
    pub resume: Option<String>,
}

/// `llmdb export`
#[derive(Args, Debug)]
pub struct Export {
    /// The database
    #[command(flatten)]
    pub open: Open,
    /// All that was ever written, instead of what is believed now
    #[arg(long)]
    pub history: bool,
    /// Only this partition, by number or name
    #[arg(long, short, value_name = "P")]
    pub partition: Option<String>,
}

/// `llmdb tour`
#[derive(Args, Debug)]
pub struct Tour {
    /// A git repository; the one around the current directory, or a built-in story, if not given
    pub repository: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
