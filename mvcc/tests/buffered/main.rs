//! All that `tests/it` tries, once more with the `Buffered` page source and a small page cache.

#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

/// Where pages are read from.
pub const SOURCE: llmdb_storage::PageSource = llmdb_storage::PageSource::Buffered;

#[path = "../it/bitten.rs"]
mod bitten;
#[path = "../it/concurrency.rs"]
mod concurrency;
#[path = "../it/counting.rs"]
mod counting;
#[path = "../it/crash.rs"]
mod crash;
#[path = "../it/drop_tree.rs"]
mod drop_tree;
#[path = "../it/everywhere.rs"]
mod everywhere;
#[path = "../it/gaps.rs"]
mod gaps;
#[path = "../it/gate.rs"]
mod gate;
#[path = "../it/harness.rs"]
mod harness;
#[path = "../it/isolation.rs"]
mod isolation;
#[path = "../it/long.rs"]
mod long;
#[path = "../it/memory.rs"]
mod memory;
#[path = "../it/refusals.rs"]
mod refusals;
#[path = "../it/regressions.rs"]
mod regressions;
#[path = "../it/savepoints.rs"]
mod savepoints;
#[path = "../it/spilled.rs"]
mod spilled;
#[path = "../it/stress.rs"]
mod stress;
#[path = "../it/too_old.rs"]
mod too_old;
