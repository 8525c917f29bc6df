//! What the storage layer promises, tried through its public interface.

#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

/// Where pages are read from; the same tests run with the other one in `tests/buffered`.
pub const SOURCE: llmdb_storage::PageSource = llmdb_storage::PageSource::Mmap;

mod bench_like;
mod bitten;
mod compression;
mod crafted;
mod density;
mod dropped;
mod gaps;
mod harness;
mod long_keys;
mod model;
mod open;
mod regressions;
mod sources;
mod spill;
