//! The database as its users see it: on its own storage engine, in memory and on a disk.
#![allow(clippy::unwrap_used, reason = "a failed call is a failed test")]

/// Where pages are read from; the same tests run with the other one in `tests/buffered`.
pub const SOURCE: llmdb::PageSource = llmdb::PageSource::Mmap;
/// How values are stored.
pub const COMPRESSION: llmdb::TreeOptions = llmdb::TreeOptions { pages: None, values: None };
/// Bytes of a page.
pub const PAGE_SIZE: usize = 4096;
/// How old snapshots may get.
pub const SNAPSHOT_AGE_MAX: Option<std::time::Duration> = None;

mod archive;
mod backup;
mod bitten;
mod clock;
mod compare;
mod compression;
mod concurrency;
mod crashes;
mod erase;
mod examples;
mod feeds;
mod full_disk;
mod limits;
mod metrics;
mod model;
mod opening;
mod panics;
mod partitions;
mod read_only;
mod repair;
mod retention;
mod spilled;
mod stream;
mod support;
mod too_old;
mod transactions;
mod volume;
