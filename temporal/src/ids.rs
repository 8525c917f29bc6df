//! Who is meant: partitions, events, and the trees that hold them.

use crate::TxTime;
use llmdb_storage::TreeId;
use std::fmt;

/// A partition: a key space of its own, with its own retention.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PartitionId(pub u32);

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}", self.0)
    }
}

/// One event: the `op`-th operation of transaction `tx`. Newer events are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The transaction that wrote it.
    pub tx: TxTime,
    /// Its place among the operations of the transaction, from 0.
    pub op: u32,
}

/// The trees that time is kept in. What each holds is said in [`TreeName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trees {
    /// [`TreeName::Heads`]
    pub heads: TreeId,
    /// [`TreeName::Live`]
    pub live: TreeId,
    /// [`TreeName::Past`]
    pub past: TreeId,
    /// [`TreeName::Events`]
    pub events: TreeId,
    /// [`TreeName::Changes`]
    pub changes: TreeId,
    /// [`TreeName::Notes`]
    pub notes: TreeId,
    /// [`TreeName::Valid`]
    pub valid: TreeId,
    /// [`TreeName::Kept`]
    pub kept: TreeId,
    /// [`TreeName::Erased`]
    pub erased: TreeId,
}

/// What each tree is for. `key` is partition and user key, encoded; `~x` sorts newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeName {
    /// `key` -> what holds now, with its value. Every write to a key rewrites its entry.
    Heads,
    /// `key, ~valid_from` -> every other segment of the current belief.
    Live,
    /// `key, fork, ~tx_from` -> rectangles that are believed no longer.
    Past,
    /// `key, ~tx, ~op` -> events whose value is not in the head alone.
    Events,
    /// `tx, op` -> what was written to which key: the transaction-time index.
    Changes,
    /// `tx` -> the note of the transaction.
    Notes,
    /// `valid_from, key, tx, op` -> nothing: events that begin at another time than their own.
    Valid,
    /// `partition, tx_from` -> tx_to: what a partition still answers of which anything was retired.
    Kept,
    /// `tx` -> a random id and a count: that something was erased, and not what.
    Erased,
}

impl TreeName {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 9] = [
        Self::Heads,
        Self::Live,
        Self::Past,
        Self::Events,
        Self::Changes,
        Self::Notes,
        Self::Valid,
        Self::Kept,
        Self::Erased,
    ];

    /// The name under which a catalog knows the tree.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heads => "temporal.heads",
            Self::Live => "temporal.live",
            Self::Past => "temporal.past",
            Self::Events => "temporal.events",
            Self::Changes => "temporal.changes",
            Self::Notes => "temporal.notes",
            Self::Valid => "temporal.valid",
            Self::Kept => "temporal.kept",
            Self::Erased => "temporal.erased",
        }
    }
}

impl Trees {
    /// The trees as a catalog gives them out: `tree` is asked once for each name.
    ///
    /// # Errors
    /// Whatever `tree` answers.
    pub fn try_from_names<E>(
        mut tree: impl FnMut(TreeName) -> Result<TreeId, E>,
    ) -> Result<Self, E> {
        Ok(Self {
            heads: tree(TreeName::Heads)?,
            live: tree(TreeName::Live)?,
            past: tree(TreeName::Past)?,
            events: tree(TreeName::Events)?,
            changes: tree(TreeName::Changes)?,
            notes: tree(TreeName::Notes)?,
            valid: tree(TreeName::Valid)?,
            kept: tree(TreeName::Kept)?,
            erased: tree(TreeName::Erased)?,
        })
    }
}

impl fmt::Display for TreeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
