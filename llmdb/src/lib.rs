//! A time-aware memory store for autonomous agents: one file, embedded, bitemporal by default.
//!
//! Every fact has two times: when it holds in the world (valid time) and since when the database
//! knows it (transaction time). Nothing is overwritten, so it can tell what is true now, what was
//! true then, what was *believed* then, and what changed between two beliefs, by whom and why.
//!
//! ```
//! use llmdb::{Clock, Options, TxTime, ValidTime};
//! use serde_json::json;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("agent.llmdb");
//! let db = Options::new().clock(Clock::Logical).open(path)?;
//!
//! // On day 10 the outlook turned good; it was noted first, and corrected later.
//! let first = db.put_at("outlook", json!("stable"), ValidTime(10))?;
//! let note = json!({"by": "ada", "why": "quarterly figures"});
//! let second = db.with_note(note).put_at("outlook", json!("good"), ValidTime(10))?;
//!
//! assert_eq!(db.get_as::<String>("outlook")?, None, "day 10 is still to come");
//! let day_12 = db.as_of_valid(ValidTime(12));
//! assert_eq!(day_12.get_as::<String>("outlook")?.unwrap(), "good");
//! let before = db.as_of_valid(ValidTime(12)).as_of_transaction(first);
//! assert_eq!(before.get_as::<String>("outlook")?.unwrap(), "stable");
//! assert_eq!(db.note_of(second)?.unwrap()["by"], "ada");
//! assert_eq!((first, second), (TxTime(1), TxTime(2)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules, in reading order
//!
//! - [`Options`], [`Db`]: opening a database, and the handle to it; `core`: what handles share,
//!   and the one way that writes go in
//! - [`Key`], [`AsKey`], [`Value`]: what is stored where; `op`: the writes there are, in one place
//!   for [`Db`], [`Noted`] and [`WriteTx`]
//! - [`ReadTx`], [`View`], [`Scan`]: asking; `fact`: what comes back, `decode`: from the trees
//! - [`ValueReader`], [`ValueWriter`], [`LongValue`]: values as streams
//! - [`WriteTx`], `retry`: several writes as one, and [`Db::write`]; `clock`: when they happen
//! - [`Watch`], [`Feed`]: following what is written, and remembering how far that came
//! - `checkpoint`, `retention`, `retire`: names for points of transaction time, how much of it is
//!   kept, giving up the rest; `retirer`: by itself; `erase`: for good
//! - `partition`, `admin`, `digest`: partitions by name, upkeep, one number for everything
//! - [`Error`]: what can go wrong, with the table of codes in `error::table`
//!
//! # Invariants
//!
//! - **L1** An answer comes from one snapshot; it never mixes two states.
//! - **L2** A write that returns without an error is as durable as it was asked to be. One that
//!   returns an error has left nothing behind, except after [`Error::Poisoned`], when it may be
//!   found after the next open.
//! - **L3** A value that was accepted is read back equal: JSON digit by digit, in its order.
//! - **L4** Transactions are numbered by their times, strictly increasing, without any for those
//!   that wrote nothing.
//! - **L5** Every error of the layers below becomes one of [`Error`]'s, with a stable code.
//!
//! # Not here
//!
//! Documents, graphs, vectors, full text, the query language, sandboxed code: each will be a
//! feature of this crate. Access control: that is the server's.

#![forbid(unsafe_code)]

mod admin;
mod backup;
mod checkpoint;
mod clock;
mod compact;
mod core;
mod db;
mod decode;
mod digest;
mod erase;
mod error;
mod fact;
mod feed;
mod held;
mod key;
mod metrics;
mod noted;
mod op;
mod options;
mod partition;
mod read;
mod repair;
mod retention;
mod retire;
mod retirer;
mod retry;
mod scan;
mod stream;
mod value;
mod view;
mod watch;
mod write;

pub use admin::{Stats, VerifyReport};
pub use backup::{BackupReport, Progress, Restore, RestoreReport};
pub use checkpoint::NamedCheckpoint;
pub use compact::{CompactReport, TreeStats};
pub use db::{Committed, Db};
pub use erase::{Erasure, ErasureState, ErasureTicket, HeldBy};
pub use error::{Error, ErrorClass, Result};
pub use fact::{Change, ChangeKind, Changes, Cursor, DiffRow, Fact, Rectangle, Row, Version};
pub use feed::{Feed, FeedInfo};
pub use key::{AsKey, Key, KeyRef};
pub use llmdb_mvcc::{Durability, Isolation, Savepoint, TxnId};
pub use llmdb_storage::{Compression, PageCacheUse, PageSource, TreeOptions};
pub use llmdb_temporal::{At, PartitionId, TxTime, ValidTime};
pub use llmdb_vfs as vfs;
pub use metrics::{Commits, Latency, Metrics};
pub use noted::Noted;
pub use options::{Clock, Options};
pub use read::ReadTx;
pub use repair::{
    LostKeys, LostWrite, Repair, RepairReport, RepairedLog, RepairedTree, UserKey, UserKeys,
};
pub use retention::{Period, Retention};
pub use retire::RetireReport;
pub use scan::Scan;
pub use stream::{LongValue, ValueReader, ValueWriter};
pub use value::{Message, VALUE_BYTES_MAX, Value, ValueKind};
pub use view::View;
pub use watch::{Watch, WatchFrom};
pub use write::WriteTx;
