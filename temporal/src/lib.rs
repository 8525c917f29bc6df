//! Valid time and transaction time over LLMDB's trees: what was true when, as it was known when.
//!
//! An *event* is (key, value or absence, `[valid_from, valid_to)`, tx). At valid time V and
//! transaction time T the answer is the newest event with tx <= T that covers V; within one
//! transaction the last operation wins. Writes are resolved once, at commit, into plain entries of
//! trees; reads are seeks in those.
//!
//! ```
//! use llmdb_storage::{Batch, View};
//! use llmdb_temporal::{At, Op, PartitionId, Reader, Result, Trees, TxTime, ValidTime, When};
//!
//! /// What transaction 7 changes in `view` when it says that "k" is "A" from day 10 on.
//! fn write(view: &impl View, trees: &Trees) -> Result<Batch> {
//!     let mut batch = Batch::new();
//!     let op = Op::put(PartitionId(0), b"k", b"A", When::From(ValidTime(10)));
//!     llmdb_temporal::resolve(view, trees, &[op], TxTime(7), None, &mut batch)?;
//!     Ok(batch)
//! }
//!
//! /// What was true on day 12, as it was known at transaction 8.
//! fn read(view: &impl View, trees: &Trees) -> Result<Option<Vec<u8>>> {
//!     let at = At { valid: ValidTime(12), tx: TxTime(8) };
//!     let segment = Reader::new(view, trees).get(PartitionId(0), b"k", at)?;
//!     Ok(segment.map(|segment| segment.value.into_vec()))
//! }
//! ```
//!
//! Modules, in reading order:
//! - `time`, `text`, `clock`: points and intervals, how they are written, where a tx comes from;
//! - `ids`, `op`: what is named and asked for; the trees and what each is for;
//! - `codec`: the bytes of every entry; `codec::fork`, why the past is flat;
//! - `belief`, `layer`, `resolve`, `emit`: from operations to entries; `events`: how old values
//!   are stored, as differences from newer ones;
//! - `read`: one module a question; `read::locate` is the heart;
//! - `kept`, `retention`, `retire`: which T's are answered, which a policy keeps, giving up the rest;
//! - `erase`: taking every trace of a key out of the trees;
//! - `overlay`, `pending`: a transaction's reads of its own writes, in memory and beyond; `ops`: by
//!   their numbers;
//! - `verify`: the invariants, checked; `rebuild`: all trees anew from the events that are left.
//!
//! # The shape of what is stored
//!
//! The belief about a key at some T divides valid time into *segments*, each answered by one event.
//! A segment and the stretch of T over which it is believed make a *rectangle*. The one that held
//! at the newest write is in the key's head, with its value, so that reading now is one seek; the
//! other open ones are in `live`, the closed ones in `past`.
//!
//! ```text
//!   T ^           put A at tx 1; put R over [12,18) at tx 20
//!     |
//!     |  | A        | R      | A ...     heads: A [18,inf) x [20,inf)
//!  20 +  +----------+--------+------     live:  A [1,12) x [20,inf), R [12,18) x [20,inf)
//!     |  | A ...                         past:  A [1,inf) x [1,20)
//!   1 +  +--------------------------
//!     +--+----------+--------+------> V
//!        1         12       18
//! ```
//!
//! # Invariants
//! - I1: a key has a head iff it ever had an event; every write rewrites it, so that it stands for
//!   the key where transactions are checked for conflicts.
//! - I2: the rectangles of a key are disjoint, and cover exactly the points at which an event
//!   answers. Each spans whole segments: whatever changes any of it closes it. A point that none
//!   of the open ones covers was never covered.
//! - I3: at any T, two segments of one event never meet.
//! - I4: an event is in `events`, or it is the head's, the head is its only rectangle and exactly
//!   the interval it was written for.
//! - I5: every event that answers anywhere has its line in `changes`, and its entry in `valid` if
//!   it begins at another time than its transaction's. No other event is in any tree.
//! - I6: at any T, at most one rectangle of a key is believed at each fork (`codec::fork`).
//! - I7: where anything was retired, I2 and I5 hold for every T that is kept (`kept`): what answers
//!   at one is there. What lies in gaps alone may be there or be gone, and reads leave it out.
//! - I8: from an event that is stored as a delta at most seven bases lead to one that is stored
//!   whole, in `events` or in the head.
//!
//! # Not here
//! Transactions, conflicts and durability (the layer above).
#![forbid(unsafe_code)]

mod belief;
mod clock;
mod codec;
mod emit;
mod erase;
mod error;
mod events;
mod ids;
mod kept;
mod layer;
mod op;
mod ops;
mod overlay;
mod pending;
mod read;
mod rebuild;
mod resolve;
mod retention;
mod retire;
mod text;
mod time;
mod value;
mod verify;

pub use clock::{ClockGuard, next_tx};
pub use erase::{Erased, complete_erasures, erase, erasures};
pub use error::{Error, Result};
pub use ids::{EventId, PartitionId, TreeName, Trees};
pub use kept::Kept;
pub use op::{ChangeKind, Op, OpKind, When, head_key, place_of, user_key};
pub use overlay::{Overlay, OverlayCursor};
pub use pending::{Pending, Sink};
pub use read::{
    Absences, Began, Body, Change, Changes, Diff, DiffRow, History, KeyRange, Opened, Reader,
    Rectangle, Row, Scan, Segment, Version, Versions,
};
pub use rebuild::{LostEvent, Rebuilt, rebuild};
pub use resolve::resolve;
pub use retention::{Every, Policy, Tier};
pub use retire::{Step, mark};
pub use time::{At, Interval, TxTime, ValidTime};
pub use value::Value;
pub use verify::{Finding, Problem, verify};
