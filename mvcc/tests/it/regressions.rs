//! Found by review: what goes wrong when threads meet in an unlucky order, a device is full at the
//! wrong moment, or a caller errs.

use crate::gate::{gated, put, put_as};
use crate::harness::{contents, open, options, path, verify};
use llmdb_mvcc::{Durability, Engine, EngineOptions, Error, Isolation};
use llmdb_storage::{StoreOptions, TreeId, View};
use llmdb_vfs::{Call, FaultKind, MemVfs, OpenMode, Vfs};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// A commit that arrives while the closing checkpoint writes is acknowledged; then every slot was
/// marked clean without it and the log was removed.
#[test]
fn a_commit_during_the_closing_checkpoint_is_kept_or_refused() {
    let (vfs, engine, tree) = gated();
    put(&engine, tree, b"before", b"1").unwrap();
    let (reached, go) = vfs.gate.arm("sync", "t.llmdb");
    let acknowledged = std::thread::scope(|scope| {
        let closing = scope.spawn(|| engine.close());
        reached.recv().unwrap();
        let committing = scope.spawn(|| put(&engine, tree, b"meanwhile", b"2"));
        std::thread::sleep(Duration::from_millis(200));
        go.send(()).unwrap();
        closing.join().unwrap().unwrap();
        committing.join().unwrap().is_ok()
    });
    drop(engine);
    let engine = open(&vfs.inner);
    let found = contents(&engine, engine.tree("t").unwrap());
    assert_eq!(found.contains_key(&b"meanwhile"[..]), acknowledged);
}

/// The same without any gate: threads commit, one closes.
#[test]
fn closing_among_committing_threads_loses_nothing_acknowledged() {
    for round in 0..30u64 {
        let vfs = MemVfs::new();
        let engine = open(&vfs);
        let tree = engine.create_tree("t").unwrap();
        let acknowledged: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3u64)
                .map(|t| {
                    let engine = &engine;
                    scope.spawn(move || {
                        let commit = |i: u64| {
                            let key = (t << 32 | i).to_be_bytes();
                            put(engine, tree, &key, &[7; 300])
                        };
                        (0..).take_while(|&i| commit(i).is_ok()).map(|i| t << 32 | i).collect()
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(3 + round % 5));
            let _ = engine.close();
            threads.into_iter().flat_map(|t| -> Vec<u64> { t.join().unwrap() }).collect()
        });
        drop(engine);
        let engine = open(&vfs);
        let found = contents(&engine, engine.tree("t").unwrap());
        let lost =
            acknowledged.iter().filter(|n| !found.contains_key(&n.to_be_bytes()[..])).count();
        assert_eq!(lost, 0, "round {round}: {lost} of {} acknowledged", acknowledged.len());
    }
}

/// A number that names no tree is the caller's mistake, not a reason to stop writing for good.
#[test]
fn an_unknown_tree_is_refused_and_writing_goes_on() {
    for unknown in [TreeId(0), TreeId(99)] {
        let engine = open(&MemVfs::new());
        let tree = engine.create_tree("t").unwrap();
        let refused = put(&engine, unknown, b"k", b"v");
        assert!(refused.is_err());
        put(&engine, tree, b"k", b"v").unwrap();
    }
}

/// A commit that fails half-way while a checkpoint is writing: the checkpoint's end sealed and
/// published what had been applied of it.
#[test]
fn half_of_a_failed_commit_is_never_published() {
    let (vfs, engine, tree) = gated();
    put(&engine, tree, b"before", b"1").unwrap();
    let (reached, go) = vfs.gate.arm("sync", "t.llmdb");
    std::thread::scope(|scope| {
        let checkpoint = scope.spawn(|| engine.checkpoint().map(drop));
        reached.recv().unwrap();
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.put(tree, b"half", b"2").unwrap();
        tx.put(TreeId(99), b"other half", b"2").unwrap();
        tx.commit(Durability::Async).unwrap_err();
        go.send(()).unwrap();
        let _ = checkpoint.join().unwrap();
    });
    assert!(engine.snapshot().get(tree, b"half").unwrap().is_none());
}

/// A checkpoint and a commit both make the file longer; the checkpoint, which wanted less, said so
/// last, and committed values lay beyond the end that readers were told. One waits for the other now.
#[test]
fn two_threads_that_grow_the_file_agree_on_its_length() {
    let (vfs, engine, tree) = gated();
    for i in 0..600u32 {
        put_as(&engine, tree, &i.to_be_bytes(), &[1; 900], Durability::Async).unwrap();
    }
    let (reached, go) = vfs.gate.arm("allocate", "t.llmdb");
    std::thread::scope(|scope| {
        let checkpoint = scope.spawn(|| engine.checkpoint().map(drop));
        reached.recv().unwrap();
        let commit = scope.spawn(|| {
            put_as(&engine, tree, b"long", &vec![9; 8 << 20], Durability::Async).unwrap()
        });
        // Its chance to overtake.
        std::thread::sleep(Duration::from_millis(50));
        go.send(()).unwrap();
        checkpoint.join().unwrap().unwrap();
        commit.join().unwrap();
    });
    assert_eq!(engine.snapshot().get(tree, b"long").unwrap().unwrap().len(), 8 << 20);
}

/// The keeper slept until the far deadline of the first commit, whatever came after.
#[test]
fn a_sooner_deadline_wakes_the_keeper() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    put_as(&engine, tree, b"a", b"", Durability::Periodic(Duration::from_secs(3600))).unwrap();
    // The keeper has written that out and sleeps.
    std::thread::sleep(Duration::from_millis(100));
    put_as(&engine, tree, b"b", b"", Durability::Periodic(Duration::from_millis(10))).unwrap();
    put_as(&engine, tree, b"c", b"", Durability::Async).unwrap();
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(50));
        if engine.stats().log.unwrap().buffered_bytes == 0 {
            let after = vfs.crash_losing_all();
            let engine = open(&after);
            assert!(contents(&engine, engine.tree("t").unwrap()).contains_key(&b"b"[..]));
            return;
        }
    }
    panic!("after 2 s: {:?}", engine.stats().log);
}

/// Frames of pages born after a snapshot began cannot be seen by it; they were kept for it.
#[test]
fn a_long_snapshot_does_not_hold_the_frames_of_later_pages() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let round = |n: u8| {
        for i in 0..200u32 {
            put_as(&engine, tree, &i.to_be_bytes(), &[n; 900], Durability::Async).unwrap();
        }
        engine.checkpoint().unwrap();
    };
    round(0);
    let held = engine.snapshot();
    round(1);
    let early = engine.stats().space.frames;
    (2..22).for_each(round);
    let late = engine.stats().space.frames;
    drop(held);
    assert!(late <= early + 60, "{early} frames, then {late}");
}

/// Dirty pages that only snapshots still reach are written by no checkpoint and count as load: once
/// they are half a cache the keeper makes a checkpoint after every commit, in vain.
#[test]
fn pages_that_only_snapshots_reach_do_not_force_checkpoints() {
    let vfs = MemVfs::new();
    let base = options(&vfs);
    let options = EngineOptions { auto_checkpoint: true, memory_bytes: 64 * 4096, ..base };
    let engine = Engine::open(path(), options).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let mut held = Vec::new();
    for n in 0..8u8 {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        for i in 0..60u32 {
            tx.put(tree, &i.to_be_bytes(), &[n; 900]).unwrap();
        }
        tx.commit(Durability::Async).unwrap();
        held.push(engine.snapshot());
    }
    engine.checkpoint().unwrap();
    let before = engine.snapshot().version().0;
    for _ in 0..30 {
        put_as(&engine, tree, b"k", b"v", Durability::Async).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    // Each commit makes a version, each checkpoint two more.
    let versions = engine.snapshot().version().0 - before;
    assert!(versions < 30 + 2 * 5, "{versions} versions for 30 commits: {:?}", engine.stats());
}

/// `make_room` promises that applying a batch cannot meet a full device.
#[test]
fn a_full_device_never_stops_writing_for_good() {
    for free in (0..120).map(|pages| pages * 4096) {
        let vfs = MemVfs::new();
        let engine = open(&vfs);
        let tree = engine.create_tree("t").unwrap();
        for i in 0..300u32 {
            put_as(&engine, tree, &(i * 100).to_be_bytes(), &[1; 900], Durability::Async).unwrap();
        }
        engine.checkpoint().unwrap();
        vfs.set_free_bytes(Some(free));
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        for i in 0..30u32 {
            tx.put(tree, &(i * 1000 + 1).to_be_bytes(), &[2; 5000]).unwrap();
        }
        let outcome = tx.commit(Durability::Sync);
        vfs.set_free_bytes(None);
        let after = put(&engine, tree, b"after", b"");
        assert!(after.is_ok(), "{free} bytes free: first {outcome:?}, then {after:?}");
        verify(&engine);
    }
}

/// `CacheFull` asks for room, and had poisoned the writer that would make it.
#[test]
fn a_full_cache_can_be_emptied() {
    let vfs = MemVfs::new();
    let base = options(&vfs);
    let store = StoreOptions { frame_bytes: 100 * 4096, ..base.store.clone() };
    let engine = Engine::open(path(), EngineOptions { store, ..base }).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let mut held = Vec::new();
    let refused = (0..1000u32).find_map(|i| {
        held.push(engine.snapshot());
        put(&engine, tree, &i.to_be_bytes(), &[1; 900]).err()
    });
    assert!(refused.is_some());
    held.clear();
    engine.checkpoint().unwrap();
    put(&engine, tree, b"after", b"").unwrap();
}

/// A serializable transaction that only read saw one state, as if it ran at that moment.
#[test]
fn a_transaction_that_wrote_nothing_commits() {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    let mut reads = engine.begin(Isolation::Serializable).unwrap();
    reads.get(tree, b"k").unwrap();
    put(&engine, tree, b"k", b"v").unwrap();
    assert!(!reads.commit(Durability::Sync).unwrap().wrote);
}

/// The log of another database lies where this one's would: it is refused, not deleted.
#[test]
fn the_log_of_another_database_is_left_alone() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    put(&engine, tree, b"k", b"v").unwrap();
    let after = vfs.crash(&mut |_| true);
    // Another database, closed cleanly, is copied over the file.
    after.remove_file(path()).unwrap();
    let store = StoreOptions { uuid: Some([4; 16]), ..options(&after).store };
    let as_dyn: Arc<dyn Vfs> = Arc::new(after.clone());
    llmdb_storage::create(&as_dyn, path(), &store).unwrap();
    let opened = Engine::open(path(), options(&after));
    let names = after.read_dir(Path::new("/t.llmdb-wal"));
    assert!(names.is_ok_and(|names| !names.is_empty()), "the other log is gone");
    assert!(opened.is_err());
}

/// Counting does not make commits wait for the device.
#[test]
fn stats_do_not_hold_the_sequencer_over_a_sync() {
    let (vfs, engine, tree) = gated();
    let (reached, go) = vfs.gate.arm("sync", ".spare");
    let waited = std::thread::scope(|scope| {
        scope.spawn(|| put(&engine, tree, b"k", b"v"));
        reached.recv().unwrap();
        scope.spawn(|| engine.stats());
        std::thread::sleep(Duration::from_millis(50));
        let (done, is_done) = channel();
        let engine = &engine;
        scope.spawn(move || {
            engine.tree("t");
            let _ = done.send(());
        });
        let waited = is_done.recv_timeout(Duration::from_millis(500)).is_err();
        go.send(()).unwrap();
        waited
    });
    assert!(!waited, "the sequencer's lock was held while the log was synced");
}

/// Whoever is told of a tree that another thread is still making relies on it.
#[test]
fn a_tree_that_exists_already_is_durable() {
    let (vfs, engine, _) = gated();
    let (reached, go) = vfs.gate.arm("sync", ".spare");
    std::thread::scope(|scope| {
        scope.spawn(|| engine.create_tree("new"));
        reached.recv().unwrap();
        let (done, is_done) = channel();
        let engine = &engine;
        scope.spawn(move || done.send(engine.create_tree("new").is_ok()));
        if is_done.recv_timeout(Duration::from_millis(500)) == Ok(true) {
            let after = open(&vfs.inner.crash_losing_all());
            let there = after.tree("new").is_some();
            go.send(()).unwrap();
            assert!(there, "it was answered and is lost");
        } else {
            go.send(()).unwrap();
        }
    });
}

/// A file that somebody else left in the log's directory.
#[test]
fn a_stray_file_in_the_logs_directory_does_not_stop_anything() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    vfs.open(Path::new("/t.llmdb-wal/.DS_Store"), OpenMode::CreateNew).unwrap();
    let closed = engine.close();
    drop(engine);
    let engine = Engine::open(path(), options(&vfs)).expect("it opens");
    let put = put(&engine, tree, b"k", b"v");
    assert!(closed.is_ok() && put.is_ok(), "close: {closed:?}, put: {put:?}");
}

/// A snapshot that outlives `close` goes on reading; its pages are nobody's any more once the lock
/// is gone, and the next opener writes over them while references to their bytes are held.
#[test]
fn a_snapshot_that_outlives_closing_keeps_its_bytes() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let fill = |engine: &Engine, byte: u8| {
        for i in 0..100u8 {
            put_as(engine, tree, &[i], &[byte; 900], Durability::Async).unwrap();
        }
        engine.checkpoint().unwrap();
    };
    fill(&engine, 1);
    let held = engine.snapshot();
    let values: Vec<_> = (0..100u8).map(|i| held.get(tree, &[i]).unwrap().unwrap()).collect();
    fill(&engine, 2);
    engine.close().unwrap();
    if let Ok(next) = Engine::open(path(), options(&vfs)) {
        (3..7).for_each(|byte| fill(&next, byte));
    }
    let changed = values.iter().filter(|value| value.iter().any(|b| *b != 1)).count();
    assert_eq!(changed, 0, "{changed} of {} borrowed values changed", values.len());
}

/// "Everything is in the one file, marked clean": not after writing was stopped.
#[test]
fn closing_after_writing_was_stopped_says_so() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    put_as(&engine, tree, b"k", b"v", Durability::Async).unwrap();
    vfs.fail_nth(Call::Sync, 1, FaultKind::Io);
    assert!(put(&engine, tree, b"l", b"v").is_err());
    assert!(matches!(engine.close(), Err(Error::Poisoned { .. })));
}

/// The keeper's checkpoint may take long; deadlines of commits do not wait for it.
#[test]
fn a_deadline_is_kept_while_the_keeper_makes_a_checkpoint() {
    let vfs = crate::gate::Gated::default();
    let base = options(&vfs.inner);
    // Room for changed pages, whatever the page source keeps.
    let store = StoreOptions { page_cache_bytes: 16 * (4096 + 96), ..base.store.clone() };
    let options = EngineOptions {
        vfs: Arc::new(vfs.clone()),
        auto_checkpoint: true,
        // A checkpoint is due at half of it; long before the commits below would have to wait.
        memory_bytes: 256 * 4096,
        store,
        ..base
    };
    let engine = Engine::open(path(), options).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let (reached, go) = vfs.gate.arm("sync", "t.llmdb");
    // Once the checkpoint waits, or is about to, no more is written than there is room for.
    let mut waits = false;
    for i in 0..1000u32 {
        put(&engine, tree, &i.wrapping_mul(0x9e37_79b1).to_be_bytes(), &[1; 900]).unwrap();
        waits = reached.try_recv().is_ok();
        let memory = engine.stats().memory;
        if waits || memory.total > memory.limit / 4 * 3 {
            break;
        }
    }
    if !waits {
        reached.recv().unwrap();
    }
    let before = engine.stats().log.unwrap().syncs;
    put_as(&engine, tree, b"p", b"", Durability::Periodic(Duration::from_millis(10))).unwrap();
    let kept = (0..20).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        engine.stats().log.unwrap().syncs > before
    });
    go.send(()).unwrap();
    assert!(kept, "not synced within 1 s");
}

/// Nothing in the sequencer waits for a sync: the segments of the log that a large commit needs are
/// zero-written and synced before its lock is taken.
#[test]
fn a_new_segment_of_the_log_is_not_made_under_the_sequencers_lock() {
    let (vfs, engine, tree) = gated();
    let (reached, go) = vfs.gate.arm("allocate", ".spare");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            (0..20u8).for_each(|i| tx.put(tree, &[i], &[i; 20_000]).unwrap());
            tx.commit(Durability::Sync).unwrap();
        });
        reached.recv().unwrap();
        // Deadlocks if the lock is held.
        engine.tree("t");
        go.send(()).unwrap();
    });
}

/// The bitmap pages of a checkpoint under way have their places and are in no meta page yet: a
/// verification in that moment took them for lost.
#[test]
fn verifying_during_a_checkpoint_raises_no_alarm() {
    let (vfs, engine, tree) = gated();
    put(&engine, tree, b"k", b"v").unwrap();
    let (reached, go) = vfs.gate.arm("sync", "t.llmdb");
    std::thread::scope(|scope| {
        scope.spawn(|| engine.checkpoint().unwrap());
        reached.recv().unwrap();
        let report = scope.spawn(|| engine.verify().unwrap());
        // Long enough for a verification that does not wait; one that does is not hurried.
        std::thread::sleep(Duration::from_millis(50));
        go.send(()).unwrap();
        let report = report.join().unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
    });
}
