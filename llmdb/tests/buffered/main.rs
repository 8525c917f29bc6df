//! All that `tests/it` tries, once more with the `Buffered` page source, a small page cache and
//! compressed values.
#![allow(clippy::unwrap_used, reason = "a failed call is a failed test")]

/// Where pages are read from.
pub const SOURCE: llmdb::PageSource = llmdb::PageSource::Buffered;
/// How values are stored.
pub const COMPRESSION: llmdb::TreeOptions = llmdb::TreeOptions {
    pages: Some(llmdb::Compression::Lz4),
    values: Some(llmdb::Compression::Zstd),
};
/// Bytes of a page.
pub const PAGE_SIZE: usize = 4096;
/// How old snapshots may get: they are on lease.
pub const SNAPSHOT_AGE_MAX: Option<std::time::Duration> = Some(std::time::Duration::MAX);

#[path = "../it/archive.rs"]
mod archive;
#[path = "../it/backup.rs"]
mod backup;
#[path = "../it/bitten.rs"]
mod bitten;
#[path = "../it/clock.rs"]
mod clock;
#[path = "../it/compare.rs"]
mod compare;
#[path = "../it/compression.rs"]
mod compression;
#[path = "../it/concurrency.rs"]
mod concurrency;
#[path = "../it/crashes.rs"]
mod crashes;
#[path = "../it/erase.rs"]
mod erase;
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
#[path = "../it/panics.rs"]
mod panics;
#[path = "../it/partitions.rs"]
mod partitions;
#[path = "../it/read_only.rs"]
mod read_only;
#[path = "../it/retention.rs"]
mod retention;
#[path = "../it/spilled.rs"]
mod spilled;
#[path = "../it/stream.rs"]
mod stream;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/too_old.rs"]
mod too_old;
#[path = "../it/transactions.rs"]
mod transactions;
#[path = "../it/volume.rs"]
mod volume;
