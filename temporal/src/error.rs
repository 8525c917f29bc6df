//! What can go wrong with time.

use crate::{EventId, PartitionId, TreeName, TxTime, ValidTime};

/// What temporal operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// User keys have at least one byte.
    #[error("a key must not be empty")]
    EmptyKey,
    /// The key does not fit the trees once it is encoded.
    #[error("a key of {bytes} encoded bytes exceeds the limit of {bytes_max}")]
    KeyTooLong {
        /// Its encoded length.
        bytes: usize,
        /// The longest encoded length there may be.
        bytes_max: usize,
    },
    /// Intervals are half-open: one that ends where it begins, or before, holds nothing.
    #[error("the interval from {from} to {to} is empty")]
    EmptyInterval {
        /// Where it begins.
        from: ValidTime,
        /// Where it ends.
        to: ValidTime,
    },
    /// A fact that ends by itself lasts for some time.
    #[error("a fact cannot last for {ttl} us")]
    BadTtl {
        /// How long it was to last, in microseconds or units of the clock.
        ttl: i64,
    },
    /// Text that is neither an integer of microseconds nor an RFC 3339 time.
    #[error("not a time: expected microseconds since 1970, an RFC 3339 time, a date or `infinity`")]
    BadTime,
    /// Times are kept to the microsecond.
    #[error("the time is finer than a microsecond")]
    TimeTooFine,
    /// Microseconds since 1970 must fit 64 signed bits.
    #[error("the time is out of range")]
    TimeOutOfRange,
    /// Transactions must be resolved in their order.
    #[error("transaction {tx:?} is not newer than {last:?}, which wrote the key last")]
    TxNotNewer {
        /// The newest transaction that wrote to the key.
        last: TxTime,
        /// The one that was to be resolved.
        tx: TxTime,
    },
    /// There is no transaction time after this one.
    #[error("transaction time is used up")]
    TxExhausted,
    /// The wall clock leapt. Overridable: see [`ClockGuard`](crate::ClockGuard).
    #[error("the clock stepped from about {expected:?} to {found:?}, more than {step_us_max} us")]
    ClockStepped {
        /// Where the clock should be by the time that passed.
        expected: TxTime,
        /// Where it is.
        found: TxTime,
        /// The largest step taken without asking.
        step_us_max: u64,
    },
    /// The newest transaction lies in the future. Overridable: see
    /// [`ClockGuard`](crate::ClockGuard).
    #[error("the last transaction {last:?} is ahead of the clock {now:?} by over {step_us_max} us")]
    LastTxAhead {
        /// The newest transaction.
        last: TxTime,
        /// What the clock says.
        now: TxTime,
        /// The largest lead taken without asking.
        step_us_max: u64,
    },
    /// What was believed at `tx` was given up by the partition's retention.
    #[error("{partition:?} no longer knows what was believed at {tx}{}", nearest(*before, *after))]
    HistoryRetired {
        /// The partition.
        partition: PartitionId,
        /// The T that was asked for, or where the stretch begins that was.
        tx: TxTime,
        /// The last T before it that is answered.
        before: Option<TxTime>,
        /// The first T after it that is answered.
        after: Option<TxTime>,
    },
    /// A policy of retention that says nothing sensible.
    #[error("{what}")]
    BadPolicy {
        /// What is wrong with it.
        what: &'static str,
    },
    /// An entry that cannot have been written by this version.
    #[error("corrupt entry in the tree of {tree}: {what}")]
    Corrupt {
        /// The tree it is in.
        tree: TreeName,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A rectangle, or a line of the transaction-time index, names an event that is not there.
    #[error("event {event:?} is missing")]
    EventMissing {
        /// The event.
        event: EventId,
    },
    /// A value is stored in a way that this version cannot read.
    #[error("a value in the tree of {tree} has codec {codec}, this version reads 0")]
    UnknownCodec {
        /// The tree it is in.
        tree: TreeName,
        /// The codec byte found.
        codec: u8,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] llmdb_storage::Error),
}

fn nearest(before: Option<TxTime>, after: Option<TxTime>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("; the nearest are {before} and {after}"),
        (Some(nearest), None) | (None, Some(nearest)) => format!("; the nearest is {nearest}"),
        (None, None) => String::new(),
    }
}
