//! Locks of keys: they bind all writers, go from hand to hand in order, and never for ever.

use crate::gate::gated;
use crate::harness::open;
use llmdb_mvcc::{Durability, Engine, Error, Isolation, WriteTx};
use llmdb_storage::{TreeId, View};
use llmdb_vfs::MemVfs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LEVELS: [Isolation; 4] = [
    Isolation::Serializable,
    Isolation::Snapshot,
    Isolation::ReadCommitted,
    Isolation::ReadUncommitted,
];

fn start() -> (Engine, TreeId) {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    (engine, tree)
}

fn put(engine: &Engine, tree: TreeId, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let mut tx = engine.begin(Isolation::Serializable)?;
    tx.put(tree, key, value)?;
    tx.commit(Durability::Async).map(drop)
}

fn number(tx: &mut WriteTx<'_>, tree: TreeId) -> u64 {
    tx.get(tree, b"x").unwrap().map_or(0, |v| u64::from_be_bytes(v.try_into().unwrap()))
}

/// Others write the key without asking for its lock, at every level, as fast as they can.
#[test]
fn who_holds_a_lock_meets_no_conflict_and_no_other_write_of_the_key() {
    let (engine, tree) = start();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for isolation in [Isolation::Serializable, Isolation::ReadCommitted] {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                for i in 0u64.. {
                    let mut tx = engine.begin(isolation).unwrap();
                    tx.put(tree, b"x", &i.to_be_bytes()).unwrap();
                    tx.commit(Durability::Async).unwrap();
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for i in 0..200 {
            let mut tx = engine.begin(LEVELS[i % 4]).unwrap();
            tx.lock_for_update(tree, b"x").unwrap();
            let seen = number(&mut tx, tree);
            std::thread::yield_now();
            let newest = engine
                .snapshot()
                .get(tree, b"x")
                .unwrap()
                .map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()));
            assert_eq!(newest, seen, "nobody wrote it since");
            tx.put(tree, b"x", &(seen + 1).to_be_bytes()).unwrap();
            tx.commit(Durability::Async).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn no_update_under_a_lock_is_lost_at_any_level() {
    let (engine, tree) = start();
    std::thread::scope(|scope| {
        for isolation in LEVELS {
            let engine = &engine;
            scope.spawn(move || {
                for i in 0..100 {
                    let mut tx = engine.begin(isolation).unwrap();
                    tx.lock_for_update(tree, b"x").unwrap();
                    let next = number(&mut tx, tree) + 1;
                    tx.put(tree, b"x", &next.to_be_bytes()).unwrap();
                    let durability = if i % 3 == 0 { Durability::Sync } else { Durability::Async };
                    tx.commit(durability).unwrap();
                }
            });
        }
    });
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    assert_eq!(number(&mut tx, tree), 400);
}

#[test]
fn a_lock_moves_the_snapshot_of_who_has_read_nothing_and_refuses_who_has() {
    let (engine, tree) = start();
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        put(&engine, tree, b"x", b"old").unwrap();
        let mut fresh = engine.begin(isolation).unwrap();
        let mut reader = engine.begin(isolation).unwrap();
        fresh.put(tree, b"y", b"written before").unwrap();
        reader.get(tree, b"other").unwrap();
        put(&engine, tree, b"x", b"new").unwrap();
        fresh.lock_for_update(tree, b"x").unwrap();
        assert_eq!(fresh.get(tree, b"x").unwrap().unwrap(), b"new");
        fresh.put(tree, b"x", b"newer").unwrap();
        fresh.commit(Durability::Async).unwrap();
        reader.lock_for_update(tree, b"untouched").unwrap();
        let refused = reader.lock_for_update(tree, b"x");
        assert!(matches!(refused, Err(Error::Conflict { .. })), "{isolation:?}");
    }
}

/// The commit before the grant is applied and not yet durable: the lock is granted when it can be
/// seen.
#[test]
fn a_granted_lock_shows_even_a_commit_that_was_waiting_for_its_sync() {
    for isolation in LEVELS {
        let (vfs, engine, tree) = gated();
        crate::gate::put(&engine, tree, b"x", b"old").unwrap();
        let (reached, go) = vfs.gate.arm("sync", ".spare");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| crate::gate::put(&engine, tree, b"x", b"new"));
            reached.recv().unwrap();
            let locker = scope.spawn(|| {
                let mut tx = engine.begin(isolation).unwrap();
                tx.lock_for_update(tree, b"x").unwrap();
                let seen = tx.get(tree, b"x").unwrap().unwrap();
                tx.put(tree, b"x", b"mine").unwrap();
                tx.commit(Durability::Async).map(|_| seen)
            });
            // It cannot be granted yet; if it wrongly is, most likely by now.
            std::thread::sleep(Duration::from_millis(5));
            go.send(()).unwrap();
            writer.join().unwrap().unwrap();
            assert_eq!(locker.join().unwrap().unwrap(), b"new", "{isolation:?}");
        });
    }
}

#[test]
fn a_deadlock_ends_with_the_youngest_and_says_for_whom_it_waited() {
    let (engine, tree) = start();
    let mut old = engine.begin(Isolation::Serializable).unwrap();
    let mut young = engine.begin(Isolation::Serializable).unwrap();
    let (old_id, young_id) = (old.id(), young.id());
    old.lock_for_update(tree, b"a").unwrap();
    young.lock_for_update(tree, b"b").unwrap();
    std::thread::scope(|scope| {
        let older = scope.spawn(move || {
            old.lock_for_update(tree, b"b").unwrap();
            old.put(tree, b"b", b"won").unwrap();
            old.commit(Durability::Async).unwrap();
        });
        // Whoever comes second closes the circle.
        match young.lock_for_update(tree, b"a") {
            Err(Error::Deadlock { tx, waited_for }) => {
                assert_eq!((tx, waited_for), (young_id, vec![old_id]));
            }
            other => panic!("{other:?}"),
        }
        young.rollback();
        older.join().unwrap();
    });
    assert_eq!(&*engine.snapshot().get(tree, b"b").unwrap().unwrap(), b"won");
}

/// A commit that never asked for a lock waits for one too, and may so be part of a circle.
#[test]
fn a_commit_waits_for_locks_of_what_it_writes() {
    let (engine, tree) = start();
    for (isolation, conflicts) in [(Isolation::Serializable, false), (Isolation::Snapshot, true)] {
        let mut holder = engine.begin(Isolation::Serializable).unwrap();
        holder.lock_for_update(tree, b"x").unwrap();
        let mut hasty = engine.begin(isolation).unwrap();
        hasty.lock_wait_max(Duration::ZERO);
        hasty.put(tree, b"x", b"hasty").unwrap();
        match hasty.commit(Durability::Async) {
            Err(Error::LockTimeout { waited_for, .. }) => assert_eq!(waited_for, [holder.id()]),
            other => panic!("{other:?}"),
        }
        assert!(engine.snapshot().get(tree, b"x").unwrap().is_none_or(|v| &*v != b"hasty"));
        put(&engine, tree, b"elsewhere", b"").unwrap();
        std::thread::scope(|scope| {
            let mut patient = engine.begin(isolation).unwrap();
            let patient = scope.spawn(move || {
                patient.put(tree, b"x", b"patient").unwrap();
                patient.commit(Durability::Async).map(drop)
            });
            holder.put(tree, b"x", b"holder").unwrap();
            holder.commit(Durability::Async).unwrap();
            let done = patient.join().unwrap();
            assert_eq!(matches!(done, Err(Error::Conflict { .. })), conflicts, "{isolation:?}");
        });
    }
}

#[test]
fn locks_end_with_their_transaction_however_that_ends() {
    let (engine, tree) = start();
    for how in 0..3 {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.lock_for_update(tree, b"x").unwrap();
        tx.lock_for_update(tree, b"x").unwrap();
        tx.lock_for_update(tree, b"y").unwrap();
        let mut other = engine.begin(Isolation::Snapshot).unwrap();
        other.lock_wait_max(Duration::from_micros(1));
        let refused = other.lock_for_update(tree, b"y");
        assert!(matches!(refused, Err(Error::LockTimeout { .. })), "{refused:?}");
        match how {
            0 => drop(tx.commit(Durability::Async).unwrap()),
            1 => tx.rollback(),
            _ => {
                let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let _tx = tx;
                    std::panic::resume_unwind(Box::new(()));
                }));
                assert!(panicked.is_err());
            }
        }
        other.lock_for_update(tree, b"x").unwrap();
        other.lock_for_update(tree, b"y").unwrap();
    }
}
