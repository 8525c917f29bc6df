//! What can be found wrong.

use crate::{Error, EventId, Interval, PartitionId, TreeName, TxTime};
use std::fmt;

/// Something that no sequence of writes can have left behind.
#[derive(Debug)]
pub struct Problem {
    /// The tree it is in, or should be in.
    pub tree: TreeName,
    /// The partition and the user key concerned, where that is known.
    pub key: Option<(PartitionId, Vec<u8>)>,
    /// What it is.
    pub finding: Finding,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The entry cannot be read.
    #[error("{0}")]
    Unreadable(Error),
    /// The key has entries and no head.
    #[error("the key has no head")]
    NoHead,
    /// The head names another transaction as the key's newest.
    #[error("the newest write is {found:?}, that of the events is {expected:?}")]
    LastTx {
        /// What the head says.
        found: TxTime,
        /// What the events say.
        expected: TxTime,
    },
    /// The head's flags contradict the other trees.
    #[error("the head's flags contradict the other trees")]
    HeadFlags,
    /// The head's gap is not one, or not all of one.
    #[error("the head's gap is not what lies between the segments")]
    HeadGap,
    /// The head is not what held when the key was written last.
    #[error("the head is not what held at the newest write")]
    HeadMisplaced,
    /// A rectangle that the events do not make.
    #[error("the events do not make the rectangle {valid:?} of {event:?} from {tx_from:?}")]
    RectangleUnexpected {
        /// Its valid time.
        valid: Interval,
        /// Since when it is believed.
        tx_from: TxTime,
        /// Its event.
        event: EventId,
    },
    /// A rectangle that the events make is not there.
    #[error("the rectangle {valid:?} of {event:?} from {tx_from:?} is missing")]
    RectangleMissing {
        /// Its valid time.
        valid: Interval,
        /// Since when it is believed.
        tx_from: TxTime,
        /// Its event.
        event: EventId,
    },
    /// An event has no rectangle.
    #[error("event {event:?} answers nowhere")]
    EventUnused {
        /// The event.
        event: EventId,
    },
    /// The value of an event is coded against one that is coded against another, and so on.
    #[error("event {event:?} is coded behind too many others")]
    ChainTooLong {
        /// The event.
        event: EventId,
    },
    /// The coded value of an event cannot be read.
    #[error("event {event:?} is coded, and cannot be read: {error}")]
    Undecodable {
        /// The event.
        event: EventId,
        /// Why.
        error: Error,
    },
    /// The head counts fewer deltas than hang on it, or some where none can.
    #[error("the head does not count the deltas that hang on it")]
    HeadRun,
    /// An event is not in an index, or not as it is.
    #[error("event {event:?} is not indexed as it is")]
    NotIndexed {
        /// The event.
        event: EventId,
    },
    /// An index names an event that does not exist as it is indexed.
    #[error("the indexed event {event:?} does not exist so")]
    IndexUnexpected {
        /// The event.
        event: EventId,
    },
    /// A note of a transaction that wrote nothing.
    #[error("a note of transaction {tx:?}, which wrote nothing")]
    NoteUnexpected {
        /// The transaction.
        tx: TxTime,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tree)?;
        if let Some((partition, key)) = &self.key {
            write!(f, ", {partition:?}, key \"{}\"", key.escape_ascii())?;
        }
        write!(f, ": {}", self.finding)
    }
}
