//! How answers are written.

use crate::render::Mode;
use clap::Args;

/// How the answer is written.
#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// Answer in one line of JSON, as `llmdb exec` does
    #[arg(long, conflicts_with = "mode")]
    pub json: bool,
    /// How the answer is written
    #[arg(long = "output", short = 'o', value_name = "MODE", value_enum, default_value = "table")]
    pub mode: Mode,
}
