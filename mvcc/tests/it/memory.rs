//! The budget of memory is kept: by many small commits, by large ones, with readers held.

use crate::harness::{Map, Random, contents, options, path, verify};
use llmdb_mvcc::*;
use llmdb_storage::TreeId;
use llmdb_vfs::MemVfs;
use std::sync::atomic::{AtomicU64, Ordering};

fn tight(vfs: &MemVfs, memory_bytes: u64) -> Engine {
    let options = EngineOptions { auto_checkpoint: true, memory_bytes, ..options(vfs) };
    Engine::open(path(), options).unwrap()
}

/// Commits until it is done; a refusal for want of memory is tried again.
fn commit(
    engine: &Engine,
    tree: TreeId,
    writes: &[(Vec<u8>, Vec<u8>)],
    durability: Durability,
) -> u32 {
    for refusals in 0..1000 {
        let done = engine.begin(Isolation::Snapshot).and_then(|mut tx| {
            writes.iter().try_for_each(|(key, value)| tx.put(tree, key, value))?;
            tx.commit(durability)
        });
        match done {
            Ok(_) => return refusals,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
    panic!("refused for ever: {:?}", engine.stats());
}

fn assert_kept(engine: &Engine) {
    let memory = engine.stats().memory;
    assert!(memory.peak <= memory.limit, "{memory:?}");
    let sum = memory.changed + memory.cleared + memory.transactions + memory.recent + memory.log;
    let sum = sum + memory.cache;
    assert_eq!(sum, memory.total, "{memory:?}");
}

#[test]
fn a_load_of_fifty_budgets_with_readers_held_keeps_to_the_budget() {
    for (durability, budgets) in [(Durability::Sync, 50), (Durability::Async, 20)] {
        let vfs = MemVfs::new();
        let engine = tight(&vfs, 1 << 20);
        let tree = engine.create_tree("t").unwrap();
        let mut model = Map::new();
        let mut random = Random(1);
        let mut held = Vec::new();
        let mut loaded = 0;
        let mut refusals = 0;
        while loaded < budgets << 20 {
            // Small commits, and some that are as large as half of the budget.
            let (writes, len) = match random.below(20) {
                0 => (1200, 200),
                _ => (20, 100 + random.below(400) as usize),
            };
            let writes: Vec<_> = (0..writes)
                .map(|_| {
                    let key = (random.below(40_000) as u32).wrapping_mul(0x9e37_79b1);
                    (key.to_be_bytes().to_vec(), vec![random.below(256) as u8; len])
                })
                .collect();
            refusals += commit(&engine, tree, &writes, durability);
            loaded += writes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            model.extend(writes);
            if held.len() < 3 && random.below(300) == 0 {
                held.push((engine.snapshot(), model.clone()));
            }
        }
        assert_eq!(held.len(), 3);
        assert_kept(&engine);
        println!("{durability:?}: {refusals} refusals, {:?}", engine.stats().memory);
        for (snapshot, then) in held {
            let mut cursor = llmdb_storage::View::cursor(&snapshot, tree);
            let mut found = Map::new();
            let mut more = llmdb_storage::Cursor::first(&mut cursor).unwrap();
            while more {
                use llmdb_storage::Cursor;
                found.insert(cursor.key().to_vec(), cursor.value().unwrap().to_vec());
                more = cursor.next().unwrap();
            }
            assert!(found == then, "a held snapshot changed");
        }
        assert!(contents(&engine, tree) == model);
        verify(&engine);
        engine.close().unwrap();
        drop(engine);
        let again = tight(&vfs, 1 << 20);
        assert!(contents(&again, tree) == model);
        assert_kept(&again);
    }
}

/// Two transactions, each of ten budgets, at the same time; one is rolled back, one committed.
#[test]
fn transactions_beyond_the_budget_keep_to_it_and_give_all_back() {
    let vfs = MemVfs::new();
    let engine = tight(&vfs, 1 << 20);
    let tree = engine.create_tree("t").unwrap();
    let mut one = engine.begin(Isolation::Serializable).unwrap();
    let mut two = engine.begin(Isolation::Serializable).unwrap();
    for i in 0..100_000u32 {
        for (tx, prefix) in [(&mut one, 1), (&mut two, 2)] {
            tx.put(tree, &[&[prefix][..], &i.to_be_bytes()].concat(), &[prefix; 100]).unwrap();
        }
    }
    assert!(one.get(tree, &[1, 0, 0, 0, 0]).unwrap().is_some());
    assert!(one.get(tree, &[2, 0, 0, 0, 0]).unwrap().is_none());
    assert_kept(&engine);
    drop(one);
    two.commit(Durability::Sync).unwrap();
    assert_kept(&engine);
    assert_eq!(engine.stats().memory.transactions, 0);
    assert!(contents(&engine, tree).keys().map(|key| key[0]).eq((0..100_000).map(|_| 2)));
}

/// Where too little memory is left to remember single reads, a transaction rests on whole trees.
#[test]
fn reads_beyond_the_budget_are_remembered_coarsely() {
    let vfs = MemVfs::new();
    let engine = tight(&vfs, 1 << 20);
    let (tree, other) = (engine.create_tree("t").unwrap(), engine.create_tree("o").unwrap());
    let mut tx = engine.begin(Isolation::Serializable).unwrap();
    for i in 0..50_000u32 {
        tx.get(tree, &i.to_be_bytes()).unwrap();
    }
    assert!(engine.stats().memory.transactions < (1 << 20) / 4);
    tx.put(other, b"k", b"v").unwrap();
    commit(&engine, tree, &[(b"never read".to_vec(), vec![1])], Durability::Sync);
    assert!(matches!(tx.commit(Durability::Sync), Err(Error::Conflict { .. })));
    assert_kept(&engine);
}

#[test]
fn threads_together_keep_to_the_budget() {
    let vfs = MemVfs::new();
    let engine = tight(&vfs, 1 << 20);
    let tree = engine.create_tree("t").unwrap();
    let done = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for thread in 0..4u8 {
            let (engine, done) = (&engine, &done);
            threads.spawn(move || {
                let mut random = Random(u64::from(thread));
                for i in 0..150u32 {
                    let writes: Vec<_> = (0..1 + random.below(400) as u32)
                        .map(|j| {
                            let n = (i * 1000 + j).wrapping_mul(0x9e37_79b1);
                            ([&[thread][..], &n.to_be_bytes()].concat(), vec![thread; 150])
                        })
                        .collect();
                    let snapshot = engine.snapshot();
                    commit(engine, tree, &writes, Durability::Async);
                    drop(snapshot);
                    done.fetch_add(writes.len() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    assert_kept(&engine);
    assert_eq!(contents(&engine, tree).len() as u64, done.into_inner());
    verify(&engine);
}

/// Recovery replays a log of many budgets in one.
#[test]
fn a_log_of_many_budgets_is_replayed_within_one() {
    let vfs = MemVfs::new();
    let generous = EngineOptions { memory_bytes: 1 << 30, ..options(&vfs) };
    let engine = Engine::open(path(), generous).unwrap();
    let tree = engine.create_tree("t").unwrap();
    let mut random = Random(5);
    for _ in 0..60 {
        let writes: Vec<_> = (0..1000)
            .map(|_| (random.below(1 << 40).to_be_bytes().to_vec(), vec![7; 150]))
            .collect();
        commit(&engine, tree, &writes, Durability::Async);
    }
    engine.sync().unwrap();
    let expected = contents(&engine, tree);
    let crashed = vfs.crash_losing_all();
    let after = tight(&crashed, 1 << 20);
    assert_kept(&after);
    assert!(contents(&after, tree) == expected);
    verify(&after);
}

/// Found by refusing every take of memory: a tree whose making found no memory for the log was there
/// all the same, so that the next commit to it was acknowledged, and no recovery could bring it back.
#[test]
fn a_tree_for_which_there_was_no_memory_is_not_there() {
    let vfs = MemVfs::new();
    let options =
        || EngineOptions { memory_bytes: 1 << 20, auto_checkpoint: false, ..options(&vfs) };
    let engine = Engine::open(path(), options()).unwrap();
    let first = engine.create_tree("first").unwrap();
    let left = || {
        let memory = engine.stats().memory;
        memory.limit - memory.limit / 16 - memory.total
    };
    // Transactions hold all memory; none so much that it is spilled.
    let mut held = Vec::new();
    while left() >= 4096 {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        for i in 0..60u32 {
            if left() >= 4096 {
                tx.put(first, &i.to_be_bytes(), &[7; 1000]).unwrap();
            }
        }
        held.push(tx);
    }
    let refused = engine.create_tree("second").unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert_eq!(engine.tree("second"), None);
    drop(held);
    let second = engine.create_tree("second").unwrap();
    commit(&engine, second, &[(b"k".to_vec(), b"v".to_vec())], Durability::Sync);
    let vfs = vfs.crash_losing_all();
    let engine = Engine::open(path(), crate::harness::options(&vfs)).unwrap();
    let second = engine.tree("second").unwrap();
    assert_eq!(contents(&engine, second), Map::from([(b"k".to_vec(), b"v".to_vec())]));
}
