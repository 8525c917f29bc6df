//! The file of a running database is made shorter; its contents stay, whoever reads meanwhile.

use crate::harness::{Map, Random, contents, open, options, path, verify};
use llmdb_mvcc::*;
use llmdb_storage::View;
use llmdb_vfs::{MemVfs, OpenMode, Vfs};
use std::sync::atomic::{AtomicBool, Ordering};

fn file_pages(vfs: &MemVfs) -> u64 {
    vfs.open(path(), OpenMode::Read).unwrap().len().unwrap() / 4096
}

/// A load in random order that leaves holes: checkpoints on the way, and most of it deleted.
fn load(engine: &Engine, random: &mut Random) -> Map {
    let tree = engine.create_tree("t").unwrap();
    let mut model = Map::new();
    for round in 0..30 {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        for _ in 0..400 {
            let key = random.below(1 << 40).to_be_bytes().to_vec();
            let len = if random.below(40) == 0 { 5_000 + random.below(60_000) } else { 200 };
            let value = vec![random.below(256) as u8; len as usize];
            tx.put(tree, &key, &value).unwrap();
            model.insert(key, value);
        }
        tx.commit(Durability::Async).unwrap();
        if round % 5 == 4 {
            engine.checkpoint().unwrap();
        }
    }
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    model.retain(|key, _| {
        let kept = random.below(4) == 0;
        if !kept {
            tx.delete(tree, key).unwrap();
        }
        kept
    });
    tx.commit(Durability::Sync).unwrap();
    model
}

#[test]
fn a_file_with_holes_is_cut_to_its_contents() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let model = load(&engine, &mut Random(1));
    let tree = engine.tree("t").unwrap();
    engine.checkpoint().unwrap();
    let report = engine.shrink().unwrap();
    let used = engine.stats().space.pages_used;
    println!("{report:?}, {used} used");
    assert_eq!(report.pages_after, file_pages(&vfs));
    assert!(report.pages_after < report.pages_before / 2, "{report:?}");
    assert!(report.pages_after <= used + used / 8 + 64, "{report:?}, {used} used");
    assert!(contents(&engine, tree) == model);
    verify(&engine);
    // It opens after a crash, and from the meta page before the newest.
    for survives in [false, true] {
        let after = open(&vfs.crash(&mut |_| survives));
        assert!(contents(&after, tree) == model);
        verify(&after);
    }
    // And grows again.
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    (0..3000u32).for_each(|i| tx.put(tree, &i.to_le_bytes(), &[1; 900]).unwrap());
    tx.commit(Durability::Sync).unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = open(&vfs);
    assert_eq!(contents(&engine, tree).len(), model.len() + 3000);
    verify(&engine);
}

#[test]
fn snapshots_and_writers_go_on_while_a_file_shrinks() {
    let vfs = MemVfs::new();
    let engine =
        Engine::open(path(), EngineOptions { memory_bytes: 4 << 20, ..options(&vfs) }).unwrap();
    let model = load(&engine, &mut Random(2));
    let tree = engine.tree("t").unwrap();
    let held = engine.snapshot();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for i in 0..200u32 {
                let mut tx = engine.begin(Isolation::Snapshot).unwrap();
                tx.put(tree, &[&b"w"[..], &i.to_be_bytes()].concat(), &[3; 500]).unwrap();
                tx.commit(Durability::Async).unwrap();
            }
        });
        threads.spawn(|| {
            let mut random = Random(3);
            while !done.load(Ordering::Relaxed) {
                let at = random.below(1 << 40).to_be_bytes().to_vec();
                for (key, value) in model.range(at..).take(5) {
                    assert_eq!(held.get(tree, key).unwrap().as_deref(), Some(&value[..]));
                    let now = engine.snapshot();
                    assert_eq!(now.get(tree, key).unwrap().as_deref(), Some(&value[..]));
                }
            }
        });
        for _ in 0..3 {
            engine.shrink().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    drop(held);
    let report = engine.shrink().unwrap();
    assert_eq!(report.pages_after, file_pages(&vfs));
    assert_eq!(contents(&engine, tree).len(), model.len() + 200);
    verify(&engine);
}

fn by_itself(vfs: &MemVfs, auto_shrink_bytes: Option<u64>) -> Engine {
    let options = EngineOptions { auto_checkpoint: true, auto_shrink_bytes, ..options(vfs) };
    Engine::open(path(), options).unwrap()
}

/// Waits for what a thread of the database does some time after.
fn eventually(engine: &Engine, what: impl Fn(&EngineMetrics) -> bool) {
    for _ in 0..30_000 {
        if what(&engine.metrics()) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("it does not come: {:?}, {:?}", engine.metrics(), engine.stats());
}

#[test]
fn a_file_that_is_half_free_is_cut_by_itself() {
    let vfs = MemVfs::new();
    let engine = by_itself(&vfs, Some(1 << 20));
    let model = load(&engine, &mut Random(1));
    let tree = engine.tree("t").unwrap();
    let before = engine.stats().space.file_pages;
    // What was deleted is free when no retained meta page reaches it any more. A transaction that is
    // open at the wrong moment may hold it, and then it is tried again after some writing.
    for round in 0.. {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        (0..200_u32).for_each(|i| tx.put(tree, &i.to_le_bytes(), &[round as u8; 800]).unwrap());
        tx.commit(Durability::Sync).unwrap();
        engine.checkpoint().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        if engine.stats().space.file_pages < before * 2 / 3 {
            break;
        }
        assert!(round < 5000, "{:?} {:?}, {before} before", engine.metrics(), engine.stats());
    }
    engine.close().unwrap();
    let metrics = engine.metrics();
    assert!(metrics.shrinks > 0 && metrics.shrunk_pages > 0, "{metrics:?}");
    assert_eq!(metrics.failed_shrinks, 0, "{metrics:?}");
    assert_eq!(contents(&engine, tree).len(), model.len() + 200);
    drop(engine);
    verify(&open(&vfs));
}

/// Contents that grow and shrink by turns cost no more than in proportion to what is written.
#[test]
fn swings_cost_no_more_than_what_is_written_for_them() {
    for auto_shrink_bytes in [Some(64 << 10), None, Some(1 << 30)] {
        let engine = by_itself(&MemVfs::new(), auto_shrink_bytes);
        let tree = engine.create_tree("t").unwrap();
        let write = |keys: std::ops::Range<u32>, value: Option<&[u8]>| {
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            for key in keys {
                match value {
                    Some(value) => tx.put(tree, &key.to_be_bytes(), value).unwrap(),
                    None => tx.delete(tree, &key.to_be_bytes()).unwrap(),
                }
            }
            tx.commit(Durability::Async).unwrap();
            engine.checkpoint().unwrap();
        };
        for round in 0..15 {
            write(0..4000, Some(&[round; 400]));
            write(300..4000, None);
            (0..3).for_each(|i| write(0..1, Some(&[round; 9][..i])));
        }
        engine.close().unwrap();
        let metrics = engine.metrics();
        assert!(metrics.shrunk_pages <= metrics.checkpoint_pages, "{metrics:?}");
        if auto_shrink_bytes != Some(64 << 10) {
            assert_eq!(metrics.shrinks, 0);
        }
    }
}

#[test]
fn what_a_snapshot_holds_at_the_end_is_not_tried_again_and_again() {
    let vfs = MemVfs::new();
    let engine = by_itself(&vfs, Some(1 << 20));
    load(&engine, &mut Random(4));
    let tree = engine.tree("t").unwrap();
    // It holds what will be moved away from the end.
    let held = engine.snapshot();
    for i in 0..60_u8 {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.put(tree, b"own", &[i]).unwrap();
        tx.commit(Durability::Sync).unwrap();
        engine.checkpoint().unwrap();
        match i {
            5 => eventually(&engine, |metrics| metrics.shrinks >= 1),
            // Time to try, for who would.
            6.. => std::thread::sleep(std::time::Duration::from_millis(10)),
            _ => {}
        }
    }
    assert!(engine.metrics().shrinks < 10, "{:?}", engine.metrics());
    drop(held);
    // Once as much was written as is in use, it is.
    for i in 0..u32::MAX {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        (0..500_u32).for_each(|k| tx.put(tree, &k.to_le_bytes(), &[i as u8; 800]).unwrap());
        tx.commit(Durability::Sync).unwrap();
        engine.checkpoint().unwrap();
        let space = engine.stats().space;
        if space.file_pages < 2 * (space.pages_used + space.pages_pending) {
            break;
        }
        assert!(i < 2000, "{space:?} {:?}", engine.metrics());
    }
    engine.close().unwrap();
    drop(engine);
    verify(&open(&vfs));
}

#[test]
fn closing_does_not_wait_for_a_shrink_by_itself() {
    for stops in 0..12 {
        let vfs = MemVfs::new();
        let engine = by_itself(&vfs, Some(1 << 20));
        let model = load(&engine, &mut Random(5));
        let tree = engine.tree("t").unwrap();
        for i in 0..3_u8 {
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            tx.put(tree, b"own", &[i]).unwrap();
            tx.commit(Durability::Sync).unwrap();
            engine.checkpoint().unwrap();
        }
        (0..stops * 200).for_each(|_| std::thread::yield_now());
        engine.close().unwrap();
        drop(engine);
        assert!(vfs.kind(std::path::Path::new("/t.llmdb-wal")).unwrap().is_none(), "it is clean");
        let again = open(&vfs);
        assert_eq!(contents(&again, tree).len(), model.len() + 1);
        verify(&again);
    }
}
