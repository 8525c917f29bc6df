//! A point of transaction time, or the name of one.

use super::fields::Time;
use llmdb::{ReadTx, TxTime};
use std::str::FromStr;

/// A point of transaction time, or the name of one: in text, `@name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tx {
    /// A time.
    At(TxTime),
    /// A named checkpoint.
    Checkpoint(String),
}

impl Tx {
    /// The time, as a snapshot knows it.
    ///
    /// # Errors
    /// Those of looking up a name.
    pub fn resolve(&self, read: &ReadTx<'_>) -> llmdb::Result<TxTime> {
        match self {
            Self::At(tx) => Ok(*tx),
            Self::Checkpoint(name) => read.checkpoint(name),
        }
    }
}

impl Time for Tx {
    fn from_micros(micros: i64) -> Self {
        Self::At(TxTime(micros))
    }

    fn from_text(text: &str) -> llmdb::Result<Self> {
        match text.strip_prefix('@') {
            Some(name) => Ok(Self::Checkpoint(name.to_owned())),
            None => Ok(Self::At(text.parse::<TxTime>()?)),
        }
    }
}

impl FromStr for Tx {
    type Err = llmdb::Error;

    fn from_str(text: &str) -> llmdb::Result<Self> {
        Self::from_text(text)
    }
}

impl From<TxTime> for Tx {
    fn from(tx: TxTime) -> Self {
        Self::At(tx)
    }
}
