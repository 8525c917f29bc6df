//! Valid time and transaction time over LLMDB's trees.
#![forbid(unsafe_code)]

mod belief;
mod clock;
mod codec;
mod emit;
mod error;
mod ids;
mod layer;
mod op;
mod read;
mod resolve;
mod text;
mod time;
mod value;

pub use clock::{ClockGuard, next_tx};
pub use error::{Error, Result};
pub use ids::{EventId, PartitionId, TreeName, Trees};
pub use op::{ChangeKind, Op, OpKind, When};
pub use read::{
    Absences, Began, Change, Changes, Diff, DiffRow, History, KeyRange, Reader, Rectangle, Row,
    Scan, Segment, Version, Versions,
};
pub use resolve::resolve;
pub use time::{At, Interval, TxTime, ValidTime};
pub use value::Value;
