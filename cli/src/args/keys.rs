//! Whose keys, and when.

use crate::exec::tx::Tx;
use clap::Args;
use llmdb::ValidTime;

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
#[derive(Args, Clone, Debug)]
pub struct At {
    /// What was true at this time; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub valid: Option<ValidTime>,
    /// As it was known at this time, or checkpoint `@NAME`; now if not given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub tx: Option<Tx>,
}
