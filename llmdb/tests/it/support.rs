//! Databases on a disk in memory, and both times in short.

use llmdb::vfs::MemVfs;
use llmdb::{At, Clock, Db, Fact, Options, PartitionId, TxTime, ValidTime};
use std::sync::Arc;

pub const PATH: &str = "/agent.llmdb";

/// The partition of tests that need only one.
pub const P: PartitionId = PartitionId(0);

/// Transactions 1, 2, 3..., on a disk in memory.
pub fn options(disk: &MemVfs) -> Options {
    Options::new()
        .vfs(Arc::new(disk.clone()))
        .clock(Clock::Logical)
        .page_source(crate::SOURCE)
        .page_cache_bytes(16 * (65_536 + 96))
        .page_size(crate::PAGE_SIZE)
        .snapshot_age_max(crate::SNAPSHOT_AGE_MAX)
        .compression(crate::COMPRESSION)
}

/// Opens, or makes, the database of `disk`.
pub fn open(disk: &MemVfs) -> Db {
    options(disk).open(PATH).unwrap()
}

pub fn fresh() -> Db {
    open(&MemVfs::new())
}

pub fn v(valid: i64) -> ValidTime {
    ValidTime(valid)
}

pub fn at(valid: i64, tx: i64) -> At {
    At { valid: ValidTime(valid), tx: TxTime(tx) }
}

/// The raw bytes of a value, as text.
pub fn text(fact: &Fact) -> String {
    fact.value.to::<String>().unwrap()
}

/// Everything is as it should be on all levels.
pub fn assert_clean(db: &Db) {
    let report = db.verify().unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
}
