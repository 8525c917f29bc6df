//! Snapshots and transactions of LLMDB: many versions, one order of commits, one file and its log.
//!
//! ```
//! use llmdb_mvcc::{Durability, Engine, EngineOptions, Isolation};
//! use llmdb_storage::View;
//! use llmdb_vfs::MemVfs;
//! use std::{path::Path, sync::Arc};
//!
//! let options = EngineOptions { vfs: Arc::new(MemVfs::new()), ..EngineOptions::default() };
//! let engine = Engine::open(Path::new("/memory.llmdb"), options)?;
//! let notes = engine.create_tree("notes")?;
//!
//! let before = engine.snapshot();
//! let mut tx = engine.begin(Isolation::Serializable)?;
//! tx.put(notes, b"colour", b"green")?;
//! tx.commit(Durability::Sync)?;
//!
//! assert!(before.get(notes, b"colour")?.is_none());
//! assert_eq!(&*engine.snapshot().get(notes, b"colour")?.unwrap(), b"green");
//! # drop(before);
//! # Ok::<(), llmdb_mvcc::Error>(())
//! ```
//!
//! # Modules, in reading order
//!
//! - `options`: how a database is opened and a commit is made
//! - `slots`, `publish`, [`Snapshot`]: what a reader pins, without locks; [`LeasedSnapshot`]: what
//!   can be taken back from it
//! - [`WriteTx`], [`TxView`]: reading a snapshot, buffering writes; [`Writes`]: in memory, and beyond it
//!   in a file; [`Savepoint`]: taking some of them back;
//!   `active`: which are open; `conflict`, `written`: what must not have changed
//! - [`ValueWriter`]: long values, written ahead of their commit
//! - `locks`, `lock_wait`: pessimistic locks of keys; deadlocks
//! - `record`: what a commit leaves in the log; `sequencer`: the order of commits; `visible`:
//!   waiting for one's own; `keeper`: what happens some time after
//! - `archive`, `replay`: records kept beyond the log, and applied on top of a backup; `backup`
//! - `drop_tree`: dropping a tree, and giving its pages back
//! - `wipe`: leaving nothing of what is gone in any file
//! - `checkpoint`, `engine`: from memory to the file, opening, recovery, closing; `stats`
//! - `metrics`, `histogram`: what it did so far; `span`: the same for `tracing`
//!
//! # Invariants
//!
//! - **M1** States are published in commit order. A commit is visible when it is as durable as it
//!   asked to be and all before it are; it is published before it is acknowledged.
//! - **M2** After a crash the state is that after commit k, where every acknowledged `Sync` commit
//!   is at most k; or opening fails with a typed error.
//! - **M3** A snapshot never changes, and beginning one waits for nobody. A leased one that is too
//!   old is refused; no read of it is ever wrong.
//! - **M4** A transaction commits only if what its isolation makes it rest on was not written by a
//!   commit that its snapshot does not see.
//! - **M7** While a transaction holds the lock of a key, no other transaction commits a write of it,
//!   at any isolation: it waits for the lock first.
//! - **M5** An error of a commit means that nothing of it has happened, except after
//!   [`Error::Poisoned`], when it may or may not be found after the next open.
//! - **M6** What is replayed from the log is what was applied: nothing is derived again.
//! - **M7** The log is never synced past a record that names a value in the file before that value
//!   is durable: the log's prerequisite syncs the file first.
//! - **M8** Pages of a value that a record names are not used again while a retained meta page
//!   would replay that record.
//! - **M9** Recovery takes the pages of every value that the log names before it applies anything.
//!   A record that was not proven durable and whose value is not all there ends the log; one that
//!   was proven durable is not judged until it is read.
//! - **M10** The number of a tree is given once: whatever log, archive or increment names it means no
//!   other tree.
//!
//! # Not here
//!
//! No meaning of keys and values, no time: `llmdb-temporal` resolves those through [`Intent`].

#![deny(unsafe_code)]

mod active;
mod archive;
mod backoff;
mod backup;
mod bulk;
mod checkpoint;
mod conflict;
mod drop_tree;
mod engine;
mod error;
mod histogram;
mod keeper;
#[allow(unsafe_code, reason = "an applied state is kept beside what borrows it")]
mod lease;
mod lock_wait;
mod locks;
mod long;
mod memory;
mod metrics;
mod options;
#[allow(unsafe_code, reason = "readers follow a pointer that their slot keeps alive")]
mod publish;
mod record;
mod replay;
mod salvage;
mod savepoint;
mod sequencer;
mod shrink;
mod slots;
#[allow(unsafe_code, reason = "a pinned version keeps the pages that a reader borrows")]
mod snapshot;
mod span;
mod stats;
mod transaction;
mod view;
mod visible;
mod wipe;
mod writes;
mod written;

pub use active::TxnId;
pub use backoff::Backoff;
pub use backup::Held;
pub use engine::Engine;
pub use error::{Error, Result};
pub use histogram::{Counter, Distribution};
pub use lease::LeasedSnapshot;
pub use long::{Ahead, ValueWriter, Written};
pub use metrics::EngineMetrics;
pub use options::{Durability, EngineOptions, Isolation};
pub use replay::{Replayed, replay_archive};
pub use salvage::{LogSalvage, LogState, salvage_log};
pub use savepoint::{Savepoint, Savepoints};
pub use shrink::ShrinkReport;
pub use snapshot::{Snapshot, SnapshotCursor};
pub use stats::EngineStats;
pub use transaction::{Committed, Intent, WriteTx};
pub use view::TxView;
pub use wipe::Wiped;
pub use writes::Writes;
