//! What reads answer: facts and where they hold, owned.

use crate::{Error, Result, Value};
use llmdb_temporal::{PartitionId, TxTime, ValidTime};
use std::fmt;
use std::str::FromStr;

/// A value and the stretch of valid time over which it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// What holds.
    pub value: Value,
    /// Where it begins to.
    pub valid_from: ValidTime,
    /// Where it ceases to; this point is not part of it.
    pub valid_to: ValidTime,
    /// The transaction that wrote it.
    pub tx: TxTime,
}

/// A key and its fact, as a scan lists them.
#[derive(Clone, PartialEq)]
pub struct Row {
    /// The bytes of the key within its partition.
    pub key: Vec<u8>,
    /// What it has.
    pub fact: Fact,
}

/// `[valid_from, valid_to) x [tx_from, tx_to)`, over which one write answers.
#[derive(Clone, PartialEq)]
pub struct Rectangle {
    /// Where it begins to hold.
    pub valid_from: ValidTime,
    /// Where it ceases to.
    pub valid_to: ValidTime,
    /// Since when that is believed.
    pub tx_from: TxTime,
    /// Up to when; infinity while it is.
    pub tx_to: TxTime,
    /// The value; `None` for a recorded absence.
    pub value: Option<Value>,
    /// The transaction that wrote it.
    pub tx: TxTime,
    /// The note of that transaction.
    pub note: Option<serde_json::Value>,
}

/// One write as it was made, whatever became of it.
#[derive(Clone, PartialEq)]
pub struct Version {
    /// The bytes of the key within its partition.
    pub key: Vec<u8>,
    /// The value; `None` for an absence.
    pub value: Option<Value>,
    /// Where it was said to begin to hold.
    pub valid_from: ValidTime,
    /// Where it was said to cease.
    pub valid_to: ValidTime,
    /// The transaction that wrote it.
    pub tx: TxTime,
    /// The note of that transaction.
    pub note: Option<serde_json::Value>,
}

/// A key that differs between two points of both times.
#[derive(Clone, PartialEq)]
pub struct DiffRow {
    /// The bytes of the key within its partition.
    pub key: Vec<u8>,
    /// What it has at the first point; `None` where it is absent or unknown.
    pub a: Option<Fact>,
    /// What it has at the second.
    pub b: Option<Fact>,
}

/// What a write is called in the feed of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A value.
    Put,
    /// An absence up to the next boundary.
    End,
    /// An absence with an exact end.
    Delete,
}

/// One write in the feed of changes; an open end is the boundary that it was resolved to.
#[derive(Clone, PartialEq)]
pub struct Change {
    /// The partition.
    pub partition: PartitionId,
    /// The bytes of the key within its partition.
    pub key: Vec<u8>,
    /// What was done.
    pub op: ChangeKind,
    /// The value; `None` for an absence.
    pub value: Option<Value>,
    /// Where it was said to begin to hold.
    pub valid_from: ValidTime,
    /// Where it was said to cease.
    pub valid_to: ValidTime,
    /// The transaction.
    pub tx: TxTime,
    /// The place of the write among the operations of its transaction.
    pub op_index: u32,
    /// The note of the transaction.
    pub note: Option<serde_json::Value>,
}

/// Where a feed of changes was cut short: behind which write it goes on.
///
/// As text it is `tx:op`, both in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The transaction of the last write that was listed.
    pub tx: TxTime,
    /// The place of that write among the operations of its transaction.
    pub op: u32,
}

/// A stretch of the feed of changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The writes, oldest first.
    pub changes: Vec<Change>,
    /// Where to go on, if there is more: for
    /// [`changes_after`](crate::ReadTx::changes_after).
    pub next: Option<Cursor>,
}

impl Cursor {
    /// Before the first write there can be.
    pub const START: Self = Self { tx: TxTime::MIN, op: u32::MAX };
}

impl Change {
    /// The place of the write in the feed: to go on behind it.
    pub fn cursor(&self) -> Cursor {
        Cursor { tx: self.tx, op: self.op_index }
    }
}

impl ChangeKind {
    /// Its name: `put`, `end` or `delete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::End => "end",
            Self::Delete => "delete",
        }
    }
}

impl From<llmdb_temporal::ChangeKind> for ChangeKind {
    fn from(kind: llmdb_temporal::ChangeKind) -> Self {
        match kind {
            llmdb_temporal::ChangeKind::Put => Self::Put,
            llmdb_temporal::ChangeKind::End => Self::End,
            llmdb_temporal::ChangeKind::Delete => Self::Delete,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tx.0, self.op)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// # Errors
    /// [`Error::BadCursor`]
    fn from_str(text: &str) -> Result<Self> {
        let (tx, op) = text.split_once(':').ok_or(Error::BadCursor)?;
        let tx = tx.parse().map_err(|_| Error::BadCursor)?;
        Ok(Self { tx: TxTime(tx), op: op.parse().map_err(|_| Error::BadCursor)? })
    }
}

/// Contents are the user's: `Debug` shows lengths alone.
macro_rules! debug {
    ($($type:ident($($len:ident)?) { $($field:ident),* })*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type))
                    $(.field(concat!(stringify!($len), "_bytes"), &self.$len.len()))?
                    $(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    )*};
}

debug! {
    Row(key) { fact }
    Rectangle() { value, valid_from, valid_to, tx_from, tx_to, tx }
    Version(key) { value, valid_from, valid_to, tx }
    DiffRow(key) { a, b }
    Change(key) { partition, op, value, valid_from, valid_to, tx }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_from_its_text() {
        let cursor = Cursor { tx: TxTime(-7), op: 3 };
        assert_eq!(cursor.to_string(), "-7:3");
        assert_eq!("-7:3".parse::<Cursor>().unwrap(), cursor);
        for text in ["", "7", "7:", ":3", "7:-1", "a:b", "9223372036854775808:0"] {
            assert!(matches!(text.parse::<Cursor>(), Err(Error::BadCursor)), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_contents() {
        let value = Value::Json("secret".into());
        let (valid_from, valid_to) = (ValidTime(1), ValidTime::INFINITY);
        let fact = Fact { value, valid_from, valid_to, tx: TxTime(1) };
        let row = Row { key: b"hidden".to_vec(), fact };
        let shown = format!("{row:?}");
        assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
        assert!(shown.contains("key_bytes: 6") && shown.contains("Json(string)"), "{shown}");
    }
}
