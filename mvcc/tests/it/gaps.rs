//! What no other test notices when it is broken on purpose.

use crate::gate::{gated, put, put_as};
use crate::harness::{contents, open, options, path};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Error, Isolation};
use llmdb_storage::View;
use llmdb_vfs::{MemVfs, OpenMode, Vfs};
use std::io::IoSlice;
use std::time::Duration;

/// M1: a `Sync` commit is seen by nobody before it is durable.
#[test]
fn a_sync_commit_is_not_seen_before_it_is_durable() {
    let (vfs, engine, tree) = gated();
    let (reached, go) = vfs.gate.arm("sync", ".spare");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| put(&engine, tree, b"k", b"v"));
        reached.recv().unwrap();
        // A checkpoint, an `Async` commit: none of them may show it early either.
        let second = scope.spawn(|| put_as(&engine, tree, b"l", b"v", Durability::Async));
        let third = scope.spawn(|| engine.checkpoint().map(drop));
        std::thread::sleep(Duration::from_millis(100));
        let early = engine.snapshot().get(tree, b"k").unwrap().is_some();
        go.send(()).unwrap();
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
        third.join().unwrap().unwrap();
        assert!(!early);
    });
    assert_eq!(contents(&engine, tree).len(), 2);
}

/// A checkpoint that was acknowledged is the one that a crash finds.
#[test]
fn the_meta_page_of_an_acknowledged_checkpoint_is_durable() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let newest = |disk: &MemVfs| {
        let file = disk.open(path(), OpenMode::Read).unwrap();
        let generation = |slot: u64| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, slot * 65536 + 40).unwrap();
            u64::from_le_bytes(bytes)
        };
        (0..3).map(generation).max()
    };
    for i in 0..5u8 {
        put(&engine, tree, &[i], b"").unwrap();
        engine.checkpoint().unwrap();
        assert_eq!(newest(&vfs.crash_losing_all()), newest(&vfs));
    }
}

/// An `Async` commit is with the operating system, a `Periodic` one durable, soon after.
#[test]
fn what_was_left_to_the_keeper_is_done() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let soon = |what: &str, done: &dyn Fn() -> bool| {
        let all = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            done()
        });
        assert!(all, "{what}: not within 2 s");
    };
    put_as(&engine, tree, b"a", b"", Durability::Async).unwrap();
    soon("written out", &|| engine.stats().log.unwrap().buffered_bytes == 0);
    put_as(&engine, tree, b"p", b"", Durability::Periodic(Duration::from_millis(10))).unwrap();
    soon("synced", &|| {
        let after = open(&vfs.crash_losing_all());
        contents(&after, after.tree("t").unwrap()).len() == 2
    });
}

/// Changed pages never take more than the cache has, give or take a commit.
#[test]
fn commits_wait_when_the_cache_is_full() {
    let vfs = MemVfs::new();
    let base = options(&vfs);
    let options = EngineOptions { auto_checkpoint: true, memory_bytes: 64 * 4096, ..base };
    let engine = Engine::open(path(), options).unwrap();
    let tree = engine.create_tree("t").unwrap();
    for i in 0..2000u32 {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        for j in 0..10u32 {
            tx.put(tree, &(i * 10 + j).wrapping_mul(0x9e37_79b1).to_be_bytes(), &[1; 400]).unwrap();
        }
        tx.commit(Durability::Async).unwrap();
        assert!(engine.stats().dirty_pages < 64 + 40, "{:?}", engine.stats());
    }
}

/// A slot that says "closed cleanly" while a later log was in use is stale, and says so.
#[test]
fn a_stale_clean_meta_page_is_refused() {
    let vfs = MemVfs::new();
    open(&vfs).close().unwrap();
    let clean = vfs.crash_losing_all();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, b"k", b"v").unwrap();
    let after = vfs.crash_losing_all();
    let (from, to) = (clean.open(path(), OpenMode::Read), after.open(path(), OpenMode::ReadWrite));
    let (from, to) = (from.unwrap(), to.unwrap());
    for slot in 0..3 {
        let mut bytes = [0; 512];
        from.read_exact_at(&mut bytes, slot * 65536).unwrap();
        to.write_all_at(&[IoSlice::new(&bytes)], slot * 65536).unwrap();
    }
    let refused = Engine::open(path(), options(&after));
    assert!(matches!(refused, Err(Error::CorruptLog { .. })), "{refused:?}");
}

/// A transaction whose snapshot lies before what is remembered of commits is refused.
#[test]
fn a_transaction_older_than_the_memory_of_commits_conflicts() {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    let mut old = engine.begin(Isolation::Serializable).unwrap();
    old.get(tree, b"k").unwrap();
    put_as(&engine, tree, b"k", b"changed", Durability::Async).unwrap();
    for i in 0..9u8 {
        put_as(&engine, tree, &[i], &vec![0; 32 << 20], Durability::Async).unwrap();
    }
    old.put(tree, b"result", b"").unwrap();
    assert!(matches!(old.commit(Durability::Async), Err(Error::Conflict { .. })));
}

/// A checkpoint that ends while a later commit is being synced does not show that commit.
#[test]
fn the_end_of_a_checkpoint_publishes_nothing_that_is_not_durable() {
    let (vfs, engine, tree) = gated();
    put(&engine, tree, b"before", b"1").unwrap();
    std::thread::scope(|scope| {
        let (reached, write_on) = vfs.gate.arm("sync", "t.llmdb");
        let checkpoint = scope.spawn(|| engine.checkpoint().map(drop));
        reached.recv().unwrap();
        let (reached, sync_on) = vfs.gate.arm("sync", ".spare");
        let commit = scope.spawn(|| put(&engine, tree, b"later", b"2"));
        reached.recv().unwrap();
        write_on.send(()).unwrap();
        // It may wait for the log where it lets go of old segments: that is after its end.
        std::thread::sleep(Duration::from_millis(200));
        let early = engine.snapshot().get(tree, b"later").unwrap().is_some();
        sync_on.send(()).unwrap();
        commit.join().unwrap().unwrap();
        checkpoint.join().unwrap().unwrap();
        assert!(!early);
    });
}
