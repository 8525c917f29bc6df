//! Everything at once: commits of all durabilities, checkpoints, short and long snapshots, long
//! values. Two keys of each pair always agree, and every value is of one byte.

use crate::harness::{Random, open, options, path, verify};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Isolation};
use llmdb_storage::View;
use llmdb_vfs::MemVfs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn everything_at_once_stays_consistent() {
    let seconds: u64 = std::env::var("SECONDS_EACH").map_or(1, |s| s.parse().unwrap());
    let vfs = MemVfs::new();
    let base = options(&vfs);
    let options = EngineOptions { auto_checkpoint: true, memory_bytes: 8 << 20, ..base };
    let engine = Engine::open(path(), options).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for t in 0..3u64 {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let mut random = Random(t);
                while !done.load(Ordering::Relaxed) {
                    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
                    let byte = random.below(256) as u8;
                    for _ in 0..1 + random.below(12) {
                        let key = (t << 32 | random.below(150)).to_be_bytes();
                        let len = match random.below(6) {
                            0 => 1500 + random.below(200_000),
                            _ => random.below(900),
                        };
                        let value = vec![byte; len as usize];
                        // Both halves or none: memory is short now and then.
                        let before = tx.savepoint();
                        let written = [b'a', b'z'].iter().try_for_each(|half| {
                            let key = [&[*half][..], &key].concat();
                            match value.len() % 7 {
                                0 => tx.delete(tree, &key),
                                _ => tx.put(tree, &key, &value),
                            }
                        });
                        if let Err(error) = written {
                            assert!(error.is_retryable(), "{error}");
                            tx.rollback_to(&before).unwrap();
                        }
                    }
                    let durability = match random.below(4) {
                        0 => Durability::Async,
                        1 => Durability::Periodic(Duration::from_millis(random.below(20))),
                        _ => Durability::Sync,
                    };
                    // No two threads write one key: a conflict, too, means that memory was short.
                    if let Err(error) = tx.commit(durability) {
                        assert!(error.is_retryable(), "{error}");
                    }
                }
            });
        }
        for r in 0..3u64 {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let mut random = Random(1000 + r);
                while !done.load(Ordering::Relaxed) {
                    let snapshot = engine.snapshot();
                    for _ in 0..1 + random.below(1 << (r * 5)) {
                        let key = (random.below(3) << 32 | random.below(150)).to_be_bytes();
                        let read = |half: u8| {
                            let key = [&[half][..], &key].concat();
                            snapshot.get(tree, &key).unwrap()
                        };
                        let (a, z) = (read(b'a'), read(b'z'));
                        assert_eq!(a.as_deref(), z.as_deref());
                        let same = |v: &[u8]| v.iter().all(|b| *b == v[0]);
                        assert!(a.is_none_or(|a| same(&a)));
                    }
                }
            });
        }
        {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    engine.checkpoint().unwrap();
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        done.store(true, Ordering::Relaxed);
    });
    verify(&engine);
    drop(engine);
    verify(&open(&vfs));
}
