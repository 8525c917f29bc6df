//! The tour.

use clap::Args;
use std::path::PathBuf;

/// `llmdb tour`
#[derive(Args, Debug)]
pub struct Tour {
    /// A git repository; the one around the current directory, or a built-in story, if not given
    pub repository: Option<PathBuf>,
}
