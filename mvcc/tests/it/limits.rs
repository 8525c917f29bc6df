//! Limits of what may be open at a time.

use crate::harness::{options, path};
use llmdb_mvcc::*;
use llmdb_vfs::{MemVfs, OpenMode, Vfs};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

fn at_most(max: usize) -> Engine {
    let options = EngineOptions { max_active_transactions: Some(max), ..options(&MemVfs::new()) };
    Engine::open(path(), options).unwrap()
}

fn assert_refused(engine: &Engine, max: usize) {
    let error = engine.begin(Isolation::ReadCommitted).unwrap_err();
    assert!(matches!(error, Error::TooManyTransactions { max: told } if told == max), "{error}");
    assert!(error.is_retryable());
}

#[test]
fn one_transaction_too_many_is_refused_and_the_next_is_not() {
    let engine = at_most(3);
    let tree = engine.create_tree("t").unwrap();
    let levels = [Isolation::Serializable, Isolation::ReadCommitted, Isolation::Snapshot];
    let mut open: Vec<_> = levels.map(|level| engine.begin(level).unwrap()).into();
    assert_refused(&engine, 3);
    assert_eq!(engine.stats().transactions, 3);
    // The database's own are neither counted nor refused, and neither are readers.
    let upkeep = engine.begin_upkeep(Isolation::Serializable).unwrap();
    drop((upkeep, engine.snapshot()));
    assert_refused(&engine, 3);

    open.pop().unwrap().rollback();
    let mut one = engine.begin(Isolation::Snapshot).unwrap();
    assert_refused(&engine, 3);
    one.put(tree, b"k", b"1").unwrap();
    one.commit(Durability::Sync).unwrap();
    // One that conflicts is over, too.
    let mut late = open.remove(0);
    late.get(tree, b"k").unwrap();
    late.put(tree, b"k", b"2").unwrap();
    assert!(matches!(late.commit(Durability::Sync), Err(Error::Conflict { .. })));
    let again = [(); 2].map(|()| engine.begin(Isolation::Serializable).unwrap());
    assert_refused(&engine, 3);
    drop((open, again));
    assert_eq!(engine.stats().transactions, 0);
}

#[test]
fn a_transaction_that_moves_its_snapshot_counts_once() {
    let engine = at_most(2);
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Serializable).unwrap();
    let mut other = engine.begin(Isolation::Serializable).unwrap();
    other.put(tree, b"k", b"1").unwrap();
    other.commit(Durability::Sync).unwrap();
    tx.lock_for_update(tree, b"k").unwrap();
    assert_eq!(engine.stats().transactions, 1);
    drop(tx);
    assert_eq!(engine.stats().transactions, 0);
}

#[test]
fn the_limit_is_exact_among_threads() {
    const MAX: usize = 1;
    let engine = at_most(MAX);
    let tree = engine.create_tree("t").unwrap();
    let (open, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (engine, open, begun) = (&engine, &open, &begun);
            scope.spawn(move || {
                for i in 0..200_000_u32 {
                    match engine.begin(Isolation::ReadCommitted) {
                        Ok(mut tx) => {
                            let others = open.fetch_add(1, Ordering::SeqCst);
                            assert!(others < MAX, "{others} others are open");
                            begun.fetch_add(1, Ordering::SeqCst);
                            (0..i % 300).for_each(|_| std::hint::spin_loop());
                            open.fetch_sub(1, Ordering::SeqCst);
                            if i % 1000 == 0 {
                                tx.put(tree, &[thread], &i.to_le_bytes()).unwrap();
                                tx.commit(Durability::Async).unwrap();
                            }
                        }
                        Err(error) => assert!(matches!(error, Error::TooManyTransactions { .. })),
                    }
                }
            });
        }
    });
    assert!(begun.into_inner() > 0);
    assert_eq!(engine.stats().transactions, 0);
    let all = [(); MAX].map(|()| engine.begin(Isolation::Snapshot).unwrap());
    assert_refused(&engine, MAX);
    drop(all);
}

#[test]
fn the_log_is_written_in_files_as_short_as_it_is_told() {
    let vfs = MemVfs::new();
    let engine =
        Engine::open(path(), EngineOptions { log_segment_bytes_max: 5000, ..options(&vfs) });
    let engine = engine.unwrap();
    let tree = engine.create_tree("t").unwrap();
    let dir = Path::new("/t.llmdb-wal");
    let lengths = || -> Vec<u64> {
        let names = vfs.read_dir(dir).unwrap().into_iter();
        names
            .map(|name| vfs.open(&dir.join(name), OpenMode::Read).unwrap().len().unwrap())
            .collect()
    };
    for i in 0..100_u8 {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.put(tree, &[i], &[i; 1000]).unwrap();
        tx.commit(Durability::Sync).unwrap();
    }
    assert!(lengths().len() > 10, "{:?}", lengths());
    assert!(lengths().iter().all(|len| *len == 8192), "{:?}", lengths());
    engine.checkpoint().unwrap();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    tx.put(tree, b"k", b"one more").unwrap();
    tx.commit(Durability::Sync).unwrap();
    engine.checkpoint().unwrap();
    // What no meta page needs is gone, but for a few files that wait to be used again.
    assert!(lengths().len() <= 6, "{:?}", lengths());
}
