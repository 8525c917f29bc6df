//! Threads that commit at the same time lose nothing and see no half of anything.

use crate::harness::{contents, open, options, path, verify};
use llmdb_mvcc::{Backoff, Durability, Engine, EngineOptions, Error, Isolation};
use llmdb_storage::View;
use llmdb_vfs::MemVfs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn increments_from_many_threads_are_all_counted() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let threads = 6;
    let each = 150;
    std::thread::scope(|scope| {
        for t in 0..threads {
            let engine = &engine;
            scope.spawn(move || {
                for i in 0..each {
                    let mut backoff = Backoff::new();
                    loop {
                        let mut tx = engine.begin(Isolation::Serializable).unwrap();
                        let key = [b"counter", &[(i % 3) as u8][..]].concat();
                        let now = tx
                            .get(tree, &key)
                            .unwrap()
                            .map_or(0, |v| u64::from_be_bytes(v.try_into().unwrap()));
                        tx.put(tree, &key, &(now + 1).to_be_bytes()).unwrap();
                        let durability = match t % 3 {
                            0 => Durability::Sync,
                            1 => Durability::Async,
                            _ => Durability::Periodic(Duration::from_millis(1)),
                        };
                        match tx.commit(durability) {
                            Ok(_) => break,
                            Err(Error::Conflict { .. }) => {
                                backoff.pause();
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    let total: u64 = contents(&engine, tree)
        .values()
        .map(|v| u64::from_be_bytes(v[..].try_into().unwrap()))
        .sum();
    assert_eq!(total, threads * each);
    drop(engine);
    let engine = open(&vfs);
    verify(&engine);
}

/// Two keys always hold the same number: no snapshot may see them differ, whatever checkpoints and
/// reclamation do meanwhile.
#[test]
fn snapshots_never_see_half_a_commit() {
    let vfs = MemVfs::new();
    let options = EngineOptions { auto_checkpoint: true, memory_bytes: 2 << 20, ..options(&vfs) };
    let engine = Engine::open(path(), options).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut newest = 0;
                while !done.load(Ordering::Relaxed) {
                    let snapshot = engine.snapshot();
                    let read = |key: &[u8]| snapshot.get(tree, key).unwrap().map(|v| v.to_vec());
                    let (a, b) = (read(b"a"), read(b"z"));
                    assert_eq!(a, b);
                    let a = a.map_or(0, |a| u64::from_be_bytes(a[..8].try_into().unwrap()));
                    assert!(a >= newest, "time goes forward");
                    newest = a;
                }
            });
        }
        for i in 0..1500u64 {
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            let value = [&i.to_be_bytes()[..], &[0; 200]].concat();
            tx.put(tree, b"a", &value).unwrap();
            for j in 0..20u64 {
                tx.put(tree, &(i * 31 + j * 1009 % 997).to_be_bytes(), &[7; 300]).unwrap();
            }
            tx.put(tree, b"z", &value).unwrap();
            tx.commit(Durability::Async).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    verify(&engine);
    let stats = engine.stats();
    assert!(stats.space.frames < 20_000, "{stats:?}");
}

#[test]
fn an_acknowledged_commit_is_seen_by_the_next_snapshot() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    std::thread::scope(|scope| {
        for t in 0..4u8 {
            let engine = &engine;
            scope.spawn(move || {
                for i in 0..200u8 {
                    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
                    tx.put(tree, &[t], &[i]).unwrap();
                    let durability = if i % 2 == 0 { Durability::Sync } else { Durability::Async };
                    tx.commit(durability).unwrap();
                    assert_eq!(&*engine.snapshot().get(tree, &[t]).unwrap().unwrap(), [i]);
                }
            });
        }
    });
}
