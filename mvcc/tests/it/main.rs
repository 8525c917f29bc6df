//! What transactions, snapshots and recovery promise, tried through the public interface.

#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

/// Where pages are read from; the same tests run with the other one in `tests/buffered`.
pub const SOURCE: llmdb_storage::PageSource = llmdb_storage::PageSource::Mmap;

mod bitten;
mod concurrency;
mod counting;
mod crash;
mod drop_tree;
mod everywhere;
mod gaps;
mod gate;
mod harness;
mod isolation;
mod limits;
mod locks;
mod long;
mod memory;
mod refusals;
mod regressions;
mod savepoints;
mod shrink;
#[cfg(feature = "tracing")]
mod spans;
mod spilled;
mod stress;
mod too_old;
