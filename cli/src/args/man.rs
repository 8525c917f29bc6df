//! The manual.

use clap::Args;
use std::path::PathBuf;

/// Of `llmdb man`.
pub const EXAMPLES: &str = "\
Examples:
  llmdb man | man -l -
  llmdb man import git > llmdb-import-git.1
  llmdb man --dir ~/.local/share/man/man1";

/// `llmdb man`
#[derive(Args, Debug)]
pub struct Man {
    /// Of which command; of `llmdb` itself if not given
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Write the pages of all commands to this directory; files that are there are replaced
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub dir: Option<PathBuf>,
}
