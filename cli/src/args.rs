//! The command line: the commands. The arguments of each family are in a file of their own.

mod admin;
mod bench;
mod completions;
mod erase;
mod exec;
mod keys;
mod man;
mod open;
mod output;
mod read;
mod retention;
mod shell;
mod tour;
mod transfer;
mod upkeep;
mod watch;
mod write;

pub use admin::{Admin, Stats};
pub use bench::Bench;
pub use completions::Completions;
pub use erase::{Erase, Erasures};
pub use exec::Exec;
pub use keys::{At, Keys};
pub use man::Man;
pub use open::{DurabilityArg, Open};
pub use output::Output;
pub use read::{Changes, Diff, Get, History, Scan, Timeline};
pub use retention::{Checkpoint, Retention};
pub use shell::Shell;
pub use tour::Tour;
pub use transfer::{Export, Import, ImportGit, ImportNdjson};
pub use upkeep::{Backup, Compact, Repair, Restore, Upkeep};
pub use watch::Watch;
pub use write::{Delete, End, Put};

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  llmdb tour                                    see what it does, on real history
  llmdb put agent.llmdb user:1 '{\"plan\":\"free\"}' --valid-from 2024-01-01
  llmdb get agent.llmdb user:1 --valid 2024-06-01
  llmdb shell agent.llmdb                       type commands, see timelines drawn
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
    /// Type commands, one after another; `.help` lists them
    #[command(after_help = shell::EXAMPLES)]
    Shell(Shell),
    /// Answer requests on standard input, one JSON object a line
    ///
    /// The contract is docs/protocol.md. The database is created if it is missing. Exit code 0
    /// after a clean end, even if some requests failed.
    #[command(after_help = exec::EXAMPLE)]
    Exec(Exec),
    /// What a key has
    Get(Get),
    /// Give a key a value
    #[command(after_help = write::EXAMPLES)]
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
    #[command(after_help = read::EXAMPLES)]
    Diff(Diff),
    /// What was written, in order
    Changes(Changes),
    /// Erase a key for good: every version of it, from every file
    #[command(after_help = erase::EXAMPLES)]
    Erase(Erase),
    /// What was erased when, without saying what it was
    Erasures(Erasures),
    /// Check every page and every invariant
    Verify(Admin),
    /// Sizes and counts
    Stats(Stats),
    /// Names that pin what was known at a time: `--tx @NAME` asks at them
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// How much of its past a partition keeps
    #[command(subcommand, after_help = retention::EXAMPLES)]
    Retention(Retention),
    /// Copies of databases, and back
    #[command(flatten)]
    Upkeep(Upkeep),
    /// Bring facts in
    #[command(subcommand)]
    Import(Import),
    /// Write facts to standard output, as lines that `import ndjson` reads
    Export(Export),
    /// List what is written, as it is committed
    #[command(after_help = watch::EXAMPLES)]
    Watch(Watch),
    /// See what LLMDB does, on the history of a real repository
    Tour(Tour),
    /// Measure this machine: loads, reads, reads of the past, durable commits
    #[command(after_help = bench::EXAMPLES)]
    Bench(Bench),
    /// Write completions for another shell
    #[command(after_help = completions::EXAMPLES)]
    Completions(Completions),
    /// Write pages of the manual
    #[command(after_help = man::EXAMPLES)]
    Man(Man),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_of_the_help_is_a_command_line() {
        let mut found = 0;
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                let Some(at) = line.find("llmdb ") else { continue };
                // Up to what the shell does with it, and to what it is for.
                let line = line[at..].split(['>', '<', '|']).next().unwrap();
                let line = line.split("   ").next().unwrap();
                let words = crate::shell::words(line);
                let parsed = Cli::try_parse_from(&words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                found += 1;
            }
        }
        assert!(found >= 20, "{found}");
    }
}
