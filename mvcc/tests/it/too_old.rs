//! Snapshots that get too old: who forgets one holds up nobody, and nobody ever reads what is not
//! his.

use crate::harness::{Map, Random, contents, options, path, verify};
use llmdb_mvcc::*;
use llmdb_storage::{Cursor, TreeId, View};
use llmdb_vfs::MemVfs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn with_age_max(age_max: Duration, memory_bytes: u64) -> Engine {
    let options = EngineOptions {
        snapshot_age_max: Some(age_max),
        auto_checkpoint: true,
        memory_bytes,
        ..options(&MemVfs::new())
    };
    Engine::open(path(), options).unwrap()
}

/// Commits until it is done; a refusal for want of memory is tried again.
fn commit(engine: &Engine, tree: TreeId, writes: &[(Vec<u8>, Vec<u8>)]) {
    for _ in 0..1000 {
        let done = engine.begin(Isolation::Snapshot).and_then(|mut tx| {
            writes.iter().try_for_each(|(key, value)| tx.put(tree, key, value))?;
            tx.commit(Durability::Async)
        });
        match done {
            Ok(_) => return,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
    panic!("refused for ever: {:?}", engine.stats());
}

fn put(engine: &Engine, tree: TreeId, key: &[u8], value: &[u8]) {
    commit(engine, tree, &[(key.to_vec(), value.to_vec())]);
}

fn is_too_old<T>(read: llmdb_storage::Result<T>) -> bool {
    match read {
        Ok(_) => false,
        Err(llmdb_storage::Error::SnapshotTooOld) => true,
        Err(error) => panic!("{error}"),
    }
}

fn map_of(snapshot: &Snapshot<'_>, tree: TreeId) -> Map {
    let mut cursor = snapshot.cursor(tree);
    let mut all = Map::new();
    let mut more = cursor.first().unwrap();
    while more {
        all.insert(cursor.key().to_vec(), cursor.value().unwrap().to_vec());
        more = cursor.next().unwrap();
    }
    all
}

/// Random writes of some 20 KiB.
fn random_writes(random: &mut Random) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..20)
        .map(|_| {
            let key = random.below(4000).to_be_bytes().to_vec();
            (key, vec![random.below(256) as u8; 200 + random.below(1600) as usize])
        })
        .collect()
}

#[test]
fn readers_held_for_ever_do_not_stop_writers() {
    // Given up for their age, and because memory is short long before that.
    for age_max in [Duration::ZERO, HOUR] {
        let engine = with_age_max(age_max, 1 << 20);
        let tree = engine.create_tree("t").unwrap();
        let mut model = Map::new();
        let mut random = Random(7);
        let mut held = Vec::new();
        // Thirty budgets, and readers forgotten all the time.
        for i in 0..1500 {
            let writes = random_writes(&mut random);
            commit(&engine, tree, &writes);
            model.extend(writes);
            let then = (i % 75 == 0).then(|| model.clone());
            held.push((engine.lease(), then));
        }
        let stats = engine.stats();
        assert!(stats.memory.peak <= stats.memory.limit);
        let mut expired = 0;
        for (lease, then) in &mut held {
            match (lease.read(), then) {
                // Memory was not short because of it.
                (Ok(snapshot), Some(then)) => assert!(map_of(&snapshot, tree) == *then),
                (Ok(_), None) => {}
                (read, _) => expired += u64::from(is_too_old(read)),
            }
        }
        assert!(expired > 0 && expired <= engine.metrics().expired_snapshots);
        assert!(age_max == HOUR || expired >= 1499);
        assert!(contents(&engine, tree) == model);
        verify(&engine);
        drop(held);
        engine.close().unwrap();
    }
}

/// What the limit is for: the same load without one.
#[test]
fn without_a_limit_forgotten_readers_stop_writers_with_a_typed_error() {
    let options =
        EngineOptions { auto_checkpoint: true, memory_bytes: 1 << 20, ..options(&MemVfs::new()) };
    let engine = Engine::open(path(), options).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let mut random = Random(7);
    let mut held = Vec::new();
    let refused = (0..1500).find_map(|_| {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        let writes = random_writes(&mut random);
        let done = writes.iter().try_for_each(|(key, value)| tx.put(tree, key, value));
        held.push(engine.lease());
        done.and_then(|()| tx.commit(Durability::Async)).err()
    });
    let refused = refused.unwrap();
    assert!(matches!(refused, Error::Storage(llmdb_storage::Error::CacheFull)), "{refused}");
    assert!(held.iter().all(|lease| lease.read().is_ok()));
    drop(held);
    commit(&engine, tree, &random_writes(&mut random));
}

#[test]
fn the_newest_state_is_never_too_old_and_the_next_commit_makes_it_so() {
    let engine = with_age_max(Duration::ZERO, 1 << 20);
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, b"k", b"1");
    let lease = engine.lease();
    for _ in 0..3 {
        // New versions of the same state.
        engine.checkpoint().unwrap();
        engine.shrink().unwrap();
        assert_eq!(engine.stats().oldest_age, None);
        assert_eq!(&*lease.read().unwrap().get(tree, b"k").unwrap().unwrap(), b"1");
    }
    put(&engine, tree, b"k", b"2");
    assert!(is_too_old(lease.read()));
    assert!(engine.metrics().expired_snapshots > 0);
    assert_eq!(&*engine.lease().read().unwrap().get(tree, b"k").unwrap().unwrap(), b"2");
}

#[test]
fn without_a_limit_no_snapshot_gets_too_old() {
    let engine = Engine::open(path(), options(&MemVfs::new())).unwrap();
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, b"k", b"1");
    let lease = engine.lease();
    (0..50).for_each(|i| put(&engine, tree, b"k", &[i]));
    let stats = engine.stats();
    assert!(stats.oldest_age.is_some() && stats.oldest_pages > 0, "{stats:?}");
    assert_eq!(&*lease.read().unwrap().get(tree, b"k").unwrap().unwrap(), b"1");
    drop(lease);
    let stats = engine.stats();
    assert_eq!((stats.oldest_age, stats.oldest_pages), (None, 0));
    assert_eq!(engine.metrics().expired_snapshots, 0);
}

#[test]
fn what_a_read_borrowed_stays_until_it_ends() {
    let engine = with_age_max(Duration::ZERO, 4 << 20);
    let tree = engine.create_tree("t").unwrap();
    let key = |i: u32| i.to_be_bytes().to_vec();
    let value = |i: u32, round: u8| vec![i as u8 ^ round; [40, 900, 9000, 40_000][i as usize % 4]];
    let write = |round| {
        for from in (0..60).step_by(10) {
            let writes: Vec<_> = (from..from + 10).map(|i| (key(i), value(i, round))).collect();
            commit(&engine, tree, &writes);
        }
    };
    write(0);
    engine.checkpoint().unwrap();
    write(1);
    let lease = engine.lease();
    let snapshot = lease.read().unwrap();
    let borrowed: Vec<_> = (0..60).map(|i| snapshot.get(tree, &key(i)).unwrap().unwrap()).collect();
    let mut cursor = snapshot.cursor(tree);
    assert!(cursor.seek(&key(7)).unwrap());
    for round in 2..30 {
        write(round);
        engine.checkpoint().unwrap();
    }
    // Given up, and what is borrowed is as it was.
    assert!(is_too_old(snapshot.get(tree, &key(1))) && is_too_old(lease.read()));
    assert!(is_too_old(cursor.next()));
    assert_eq!((cursor.key(), &*cursor.value().unwrap()), (&key(7)[..], &value(7, 1)[..]));
    for (i, borrowed) in (0..).zip(&borrowed) {
        assert!(**borrowed == value(i, 1)[..], "{i}");
    }
    assert!(engine.stats().oldest_pages > 0);
    drop(cursor);
    drop(borrowed);
    drop(snapshot);
    // The lease itself holds nothing any more.
    let stats = engine.stats();
    assert_eq!((stats.oldest_pages, stats.oldest_age, stats.states), (0, None, 1));
    verify(&engine);
    drop(lease);
}

#[test]
fn a_transaction_that_reads_too_late_cannot_commit_and_others_can() {
    let engine = with_age_max(Duration::ZERO, 1 << 20);
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, b"k", b"1");
    let begin = || engine.begin(Isolation::Serializable).unwrap();
    let (mut late, mut early, mut stale, mut blind) = (begin(), begin(), begin(), begin());
    for (tx, key) in [(&mut early, b"j"), (&mut stale, b"k")] {
        tx.get(tree, key).unwrap();
        tx.put(tree, b"early", b"").unwrap();
    }
    blind.put(tree, b"blind", b"").unwrap();
    late.put(tree, b"late", b"").unwrap();
    put(&engine, tree, b"k", b"2");

    assert_eq!(late.get(tree, b"late").unwrap().unwrap(), b"", "own writes need no snapshot");
    for _ in 0..2 {
        let error = late.get(tree, b"k").unwrap_err();
        assert!(matches!(error, Error::SnapshotTooOld) && error.is_retryable());
    }
    assert!(matches!(late.range(tree, b"", None), Err(Error::SnapshotTooOld)));
    assert!(matches!(late.commit(Durability::Sync), Err(Error::SnapshotTooOld)));
    assert!(matches!(stale.commit(Durability::Sync), Err(Error::Conflict { .. })));
    early.commit(Durability::Sync).unwrap();
    blind.commit(Durability::Sync).unwrap();
    let keys: Vec<_> = contents(&engine, tree).into_keys().collect();
    assert_eq!(keys, [&b"blind"[..], b"early", b"k"]);

    // Below `Snapshot` each read has its own.
    let mut tx = engine.begin(Isolation::ReadCommitted).unwrap();
    assert_eq!(tx.get(tree, b"k").unwrap().unwrap(), b"2");
    put(&engine, tree, b"k", b"3");
    assert_eq!(tx.get(tree, b"k").unwrap().unwrap(), b"3");
    tx.put(tree, b"k", b"4").unwrap();
    tx.commit(Durability::Sync).unwrap();
}

#[test]
fn reads_and_expiry_race_and_every_read_is_right_or_refused() {
    const KEYS: u64 = 300;
    let engine = with_age_max(Duration::ZERO, 1 << 20);
    let tree = engine.create_tree("t").unwrap();
    let value = |i: u64, round: u64| {
        let mut value = vec![round as u8; 30 + (i * 37 % 900) as usize];
        value[..8].copy_from_slice(&round.to_le_bytes());
        value
    };
    let all = |round| -> Vec<_> {
        (0..KEYS).map(|i| (i.to_be_bytes().to_vec(), value(i, round))).collect()
    };
    commit(&engine, tree, &all(0));
    let (done, right, refused, cut_short) =
        (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (engine, done, value) = (&engine, &done, &value);
            let (right, refused, cut_short) = (&right, &refused, &cut_short);
            scope.spawn(move || {
                let mut random = Random(thread);
                while !done.load(Ordering::Relaxed) {
                    let lease = engine.lease();
                    for _ in 0..4 {
                        let Ok(snapshot) = lease.read() else {
                            refused.fetch_add(1, Ordering::Relaxed);
                            break;
                        };
                        let mut cursor = snapshot.cursor(tree);
                        let mut borrowed = Vec::new();
                        let mut more = cursor.seek(&random.below(KEYS).to_be_bytes());
                        while let Ok(true) = more {
                            let i = u64::from_be_bytes(cursor.key().try_into().unwrap());
                            if let Ok(Some(value)) = snapshot.get(tree, cursor.key()) {
                                borrowed.push((i, value));
                            }
                            more = cursor.next();
                        }
                        match more {
                            // What is borrowed may be all that a small page cache holds.
                            Ok(_) | Err(llmdb_storage::Error::PagesHeld { .. }) => {}
                            error => {
                                assert!(is_too_old(error));
                                cut_short.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        std::thread::yield_now();
                        let round =
                            |value: &[u8]| u64::from_le_bytes(value[..8].try_into().unwrap());
                        let Some((_, first)) = borrowed.first() else { continue };
                        let seen = round(first);
                        for (i, found) in &borrowed {
                            assert!(**found == value(*i, seen)[..], "key {i} of round {seen}");
                        }
                        right.fetch_add(borrowed.len() as u64, Ordering::Relaxed);
                    }
                }
            });
        }
        // As long as it takes until each of it has happened.
        let counted = [&right, &refused, &cut_short];
        let raced = || counted.iter().all(|count| count.load(Ordering::Relaxed) > 0);
        let mut round = 0;
        while round < 400 || (!raced() && round < 100_000) {
            round += 1;
            commit(&engine, tree, &all(round));
            if round % 20 == 0 {
                engine.checkpoint().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(raced(), "{counted:?}");
    });
    assert_eq!(contents(&engine, tree).len() as u64, KEYS);
    verify(&engine);
}
