//! All that `tests/it` tries, once more with the `Buffered` page source and a small page cache.
#![allow(clippy::unwrap_used, reason = "a failed call is a failed test")]

/// Where pages are read from.
pub const SOURCE: llmdb::PageSource = llmdb::PageSource::Buffered;

#[path = "../it/archive.rs"]
mod archive;
#[path = "../it/backup.rs"]
mod backup;
#[path = "../it/clock.rs"]
mod clock;
#[path = "../it/compare.rs"]
mod compare;
#[path = "../it/concurrency.rs"]
mod concurrency;
#[path = "../it/crashes.rs"]
mod crashes;
#[path = "../it/examples.rs"]
mod examples;
#[path = "../it/feeds.rs"]
mod feeds;
#[path = "../it/full_disk.rs"]
mod full_disk;
#[path = "../it/limits.rs"]
mod limits;
#[path = "../it/model.rs"]
mod model;
#[path = "../it/opening.rs"]
mod opening;
#[path = "../it/partitions.rs"]
mod partitions;
#[path = "../it/read_only.rs"]
mod read_only;
#[path = "../it/retention.rs"]
mod retention;
#[path = "../it/stream.rs"]
mod stream;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/transactions.rs"]
mod transactions;
#[path = "../it/volume.rs"]
mod volume;
