//! Long values: how fast they become durable, logged by reference and logged whole, on the file
//! system that holds the temporary directory (`TMPDIR`). Printed, never asserted.
//!
//! ```text
//! cargo bench -p llmdb-benches --bench long_values
//! ```
//!
//! "Whole" is what values took before they were written ahead of their commits, and what notes and
//! short values still take: the bytes go into the log, and into the file when the commit is applied.

#![allow(missing_docs, reason = "a bench")]
#![allow(clippy::unwrap_used, reason = "a bench")]

use llmdb_mvcc::{Durability, Engine, EngineOptions, Intent, Isolation, Writes};
use llmdb_storage::{Reader, TreeId};
use std::time::Instant;

/// Bytes written for each figure.
const TOTAL: usize = 256 << 20;

/// Puts a value as a layer above does that resolves its writes at the commit: it is logged whole.
struct Whole<'v>(TreeId, &'v [u8], &'v [u8]);

impl Intent for Whole<'_> {
    type Error = llmdb_mvcc::Error;

    fn resolve(
        &mut self,
        last_mark: i64,
        _: &Reader<'_>,
        out: &mut Writes,
    ) -> Result<i64, Self::Error> {
        out.batch().put(self.0, self.1, self.2);
        Ok(last_mark)
    }
}

fn main() {
    println!(
        "| value | durability | whole MB/s | by reference MB/s | log bytes a value, whole | by reference |"
    );
    println!("|---|---|---:|---:|---:|---:|");
    for len in [32 << 10, 64 << 10, 1 << 20, 64 << 20] {
        for durability in [Durability::Sync, Durability::Async] {
            let count = (TOTAL / len).min(2000);
            let (whole, whole_log) = run(len, count, durability, true);
            let (ahead, ahead_log) = run(len, count, durability, false);
            let kib = len >> 10;
            println!(
                "| {kib} KiB | {durability:?} | {whole:.0} | {ahead:.0} | {whole_log} | {ahead_log} |"
            );
        }
    }
}

/// MB a second, until all is durable, and bytes of log a value.
fn run(len: usize, count: usize, durability: Durability, whole: bool) -> (f64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(&dir.path().join("t.llmdb"), EngineOptions::default()).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let value: Vec<u8> =
        (0..len as u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    let log = || engine.stats().log.unwrap().bytes_appended;
    let before = log();
    let start = Instant::now();
    for i in 0..count as u32 {
        let key = i.to_be_bytes();
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        if whole {
            tx.commit_with(durability, &mut Whole(tree, &key, &value)).unwrap();
        } else {
            tx.put(tree, &key, &value).unwrap();
            tx.commit(durability).unwrap();
        }
    }
    engine.sync().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    ((len * count) as f64 / 1e6 / seconds, (log() - before) / count as u64)
}
