//! Completions for other shells.

use clap::Args;
use clap_complete::Shell;

/// Of `llmdb completions`.
pub const EXAMPLES: &str = "\
Examples:
  llmdb completions bash > ~/.local/share/bash-completion/completions/llmdb
  llmdb completions zsh > ~/.zfunc/_llmdb
  llmdb completions fish > ~/.config/fish/completions/llmdb.fish";

/// `llmdb completions`
#[derive(Args, Debug)]
pub struct Completions {
    /// For which shell
    pub shell: Shell,
}
