//! All that `tests/it` tries, once more with the `Buffered` page source.

#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

/// Where pages are read from.
pub const SOURCE: llmdb_storage::PageSource = llmdb_storage::PageSource::Buffered;

#[path = "../it/bench_like.rs"]
mod bench_like;
#[path = "../it/bitten.rs"]
mod bitten;
#[path = "../it/compression.rs"]
mod compression;
#[path = "../it/crafted.rs"]
mod crafted;
#[path = "../it/density.rs"]
mod density;
#[path = "../it/dropped.rs"]
mod dropped;
#[path = "../it/gaps.rs"]
mod gaps;
#[path = "../it/harness.rs"]
mod harness;
#[path = "../it/long_keys.rs"]
mod long_keys;
#[path = "../it/model.rs"]
mod model;
#[path = "../it/open.rs"]
mod open;
#[path = "../it/regressions.rs"]
mod regressions;
#[path = "../it/spill.rs"]
mod spill;
