//! How answers are written.

use clap::Args;

/// How the answer is written.
#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// Answer in one line of JSON, as `llmdb exec` does
    #[arg(long)]
    pub json: bool,
}
