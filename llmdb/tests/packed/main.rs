//! What `tests/it` tries of the bytes in the file, once more with pages and values that are compressed,
//! on pages large enough for that to save blocks of the file system.
#![allow(clippy::unwrap_used, reason = "a failed call is a failed test")]

/// Where pages are read from.
pub const SOURCE: llmdb::PageSource = llmdb::PageSource::Mmap;
/// How values are stored.
pub const COMPRESSION: llmdb::TreeOptions = llmdb::TreeOptions {
    pages: Some(llmdb::Compression::Lz4),
    values: Some(llmdb::Compression::Lz4),
};
/// Bytes of a page.
pub const PAGE_SIZE: usize = 16_384;
/// How old snapshots may get.
pub const SNAPSHOT_AGE_MAX: Option<std::time::Duration> = None;

#[path = "../it/compare.rs"]
mod compare;
#[path = "../it/concurrency.rs"]
mod concurrency;
#[path = "../it/erase.rs"]
mod erase;
#[path = "../it/model.rs"]
mod model;
#[path = "../it/repair.rs"]
mod repair;
#[path = "../it/spilled.rs"]
mod spilled;
#[path = "../it/stream.rs"]
mod stream;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/transactions.rs"]
mod transactions;
