//! Single writes that carry a note.

use crate::core::Core;
use crate::op::writes;
use crate::{Result, TxTime};
use llmdb_temporal::Op;
use std::fmt;

/// The database, with a note for the next write: see [`Db::with_note`](crate::Db::with_note). Each
/// write is a transaction of its own and answers its time.
#[must_use = "a note is stored with a write alone"]
pub struct Noted<'db> {
    core: &'db Core,
    note: serde_json::Value,
}

impl<'db> Noted<'db> {
    pub(crate) fn new(core: &'db Core, note: serde_json::Value) -> Self {
        Self { core, note }
    }

    fn push(&self, op: Op) -> Result<TxTime> {
        let note = crate::value::encode_note(&self.note)?;
        self.core.commit_one(op, Some(&note))
    }
}

writes!(impl Noted<'_>, [] -> TxTime);

impl fmt::Debug for Noted<'_> {
    /// Without the note: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noted")
    }
}
