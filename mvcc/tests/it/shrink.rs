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
