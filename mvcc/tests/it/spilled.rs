//! Transactions that write more than memory holds: as those that do not, and within the budget.

use crate::harness::{Map, Random, contents, options, path, verify};
use llmdb_mvcc::*;
use llmdb_storage::TreeId;
use llmdb_vfs::{Call, EntryKind, FaultKind, MemVfs, OpenMode, Vfs};
use proptest::prelude::*;
use std::ops::Bound;
use std::path::Path;

/// An engine whose transactions buffer no more than 4 KiB.
fn open(vfs: &MemVfs) -> Engine {
    let options = EngineOptions { tx_memory_bytes: Some(1), ..options(vfs) };
    Engine::open(path(), options).unwrap()
}

fn key(i: u64) -> Vec<u8> {
    (i as u32).wrapping_mul(0x9e37_79b1).to_be_bytes().to_vec()
}

#[derive(Clone, Debug)]
enum Step {
    Put(u64, u8, usize),
    Delete(u64),
    Get(u64),
    Range(u64, u64),
    Savepoint,
    RollbackTo(usize),
    Release(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![10 => 0usize..700, 1 => Just(9_000), 1 => Just(40_000)];
    let step = prop_oneof![
        12 => (0u64..60, any::<u8>(), len).prop_map(|(k, v, len)| Step::Put(k, v, len)),
        3 => (0u64..60).prop_map(Step::Delete),
        4 => (0u64..70).prop_map(Step::Get),
        1 => (0u64..70, 0u64..70).prop_map(|(a, b)| Step::Range(a, b)),
        1 => Just(Step::Savepoint),
        1 => (0usize..4).prop_map(Step::RollbackTo),
        1 => (0usize..4).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 20..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Against a map: reads inside the transaction, savepoints, and what is there after its commit
    /// and after a crash behind that.
    #[test]
    fn a_spilled_transaction_is_as_any_other(rounds in prop::collection::vec(steps(), 1..4)) {
        let vfs = MemVfs::new();
        let engine = open(&vfs);
        let (tree, other) = (engine.create_tree("t").unwrap(), engine.create_tree("o").unwrap());
        let mut state = Map::new();
        for (i, steps) in rounds.into_iter().enumerate() {
            let mut tx = engine.begin(Isolation::Serializable).unwrap();
            let mut mine = state.clone();
            let mut points: Vec<(Savepoint, Map)> = Vec::new();
            tx.put(other, b"round", &[i as u8]).unwrap();
            for step in steps {
                match step {
                    Step::Put(k, byte, len) => {
                        tx.put(tree, &key(k), &vec![byte; len]).unwrap();
                        mine.insert(key(k), vec![byte; len]);
                    }
                    Step::Delete(k) => {
                        tx.delete(tree, &key(k)).unwrap();
                        mine.remove(&key(k));
                    }
                    Step::Get(k) => {
                        prop_assert!(tx.get(tree, &key(k)).unwrap().as_ref() == mine.get(&key(k)));
                    }
                    Step::Range(a, b) => {
                        let (a, b) = (key(a).min(key(b)), key(a).max(key(b)));
                        let found = tx.range(tree, &a, Some(&b)).unwrap();
                        let range = (Bound::Included(&a), Bound::Excluded(&b));
                        let expected = if a == b { Vec::new() } else {
                            mine.range::<Vec<u8>, _>(range)
                                .map(|(key, value)| (key.clone(), value.clone()))
                                .collect()
                        };
                        prop_assert!(found == expected);
                    }
                    Step::Savepoint => points.push((tx.savepoint(), mine.clone())),
                    Step::RollbackTo(n) if n < points.len() => {
                        points.truncate(n + 1);
                        tx.rollback_to(&points[n].0).unwrap();
                        mine = points[n].1.clone();
                    }
                    Step::Release(n) if n < points.len() => {
                        tx.release(points[n].0).unwrap();
                        points.truncate(n);
                    }
                    Step::RollbackTo(_) | Step::Release(_) => {}
                }
            }
            prop_assert!(tx.range(tree, &[], None).unwrap() == mine.clone().into_iter().collect::<Vec<_>>());
            if i % 3 == 1 {
                tx.rollback();
            } else {
                tx.commit(if i == 2 { Durability::Checkpoint } else { Durability::Sync }).unwrap();
                state = mine;
            }
            prop_assert!(contents(&engine, tree) == state);
        }
        verify(&engine);
        engine.checkpoint().unwrap();
        let crashed = vfs.crash_losing_all();
        let after = open(&crashed);
        prop_assert!(contents(&after, tree) == state);
        verify(&after);
    }
}

/// The names beside the database.
fn beside(vfs: &MemVfs) -> Vec<String> {
    let names = vfs.read_dir(Path::new("/")).unwrap();
    names.into_iter().map(|name| name.into_string().unwrap()).collect()
}

/// Writes `count` keys of 100 bytes, of which `prefix` is the first.
fn fill(tx: &mut WriteTx<'_>, tree: TreeId, prefix: u8, count: u64) -> Result<()> {
    (0..count).try_for_each(|i| tx.put(tree, &[&[prefix][..], &key(i)].concat(), &[prefix; 100]))
}

/// A hundred times the budget, in one transaction, with readers and other writers beside it; replayed
/// from the log within the same budget.
#[test]
fn a_transaction_of_a_hundred_budgets_keeps_to_the_budget() {
    let vfs = MemVfs::new();
    let tight = |vfs: &MemVfs| {
        let options =
            EngineOptions { auto_checkpoint: true, memory_bytes: 1 << 20, ..options(vfs) };
        Engine::open(path(), options).unwrap()
    };
    let engine = tight(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    let (value, count) = ([7; 4000], (100 << 20) / 4000);
    for i in 0..count {
        tx.put(tree, &key(i), &value).unwrap();
        if i % 5000 == 0 {
            let mut small = engine.begin(Isolation::Snapshot).unwrap();
            small.put(tree, format!("small {i}").as_bytes(), b"v").unwrap();
            small.commit(Durability::Async).unwrap();
            assert_eq!(tx.get(tree, &key(i / 2)).unwrap().unwrap(), value);
            assert_eq!(tx.get(tree, b"no").unwrap(), None);
        }
    }
    tx.commit(Durability::Sync).unwrap();
    let kept = |engine: &Engine| {
        let memory = engine.stats().memory;
        assert!(memory.peak <= memory.limit, "{memory:?}");
        assert_eq!(memory.transactions, 0);
    };
    kept(&engine);
    let found = |engine: &Engine| {
        let snapshot = engine.snapshot();
        let get = |key: &[u8]| llmdb_storage::View::get(&snapshot, tree, key).unwrap().is_some();
        assert!((0..count).all(|i| get(&key(i))));
        assert!(get(b"small 5000"));
    };
    found(&engine);
    assert_eq!(beside(&vfs), ["t.llmdb", "t.llmdb-wal"]);
    let after = tight(&vfs.crash_losing_all());
    kept(&after);
    found(&after);
    verify(&after);
}

/// Two that write the same key: whichever of them is the one that spilled, the second conflicts, and
/// those that have nothing to do with each other do not.
#[test]
fn conflicts_are_found_with_spilled_transactions_on_either_side() {
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        for spilled_first in [true, false] {
            for shared in [true, false] {
                let engine = open(&MemVfs::new());
                let tree = engine.create_tree("t").unwrap();
                let mut large = engine.begin(isolation).unwrap();
                let mut small = engine.begin(isolation).unwrap();
                let common = [&[1][..], &key(77)].concat();
                let of_small = if shared { &common[..] } else { b"\x02mine" };
                if isolation == Isolation::Serializable {
                    large.get(tree, &common).unwrap();
                    small.get(tree, of_small).unwrap();
                }
                fill(&mut large, tree, 1, 500).unwrap();
                small.put(tree, of_small, b"small").unwrap();
                let (first, second) = if spilled_first { (large, small) } else { (small, large) };
                first.commit(Durability::Async).unwrap();
                let what = format!("{isolation:?}, {spilled_first}, {shared}");
                match second.commit(Durability::Async) {
                    Err(Error::Conflict { .. }) => assert!(shared, "{what}"),
                    done => assert!(!shared && done.is_ok(), "{what}: {done:?}"),
                }
            }
        }
    }
}

/// What a spilled commit wrote is found by the ranges that others read.
#[test]
fn a_range_that_was_read_conflicts_with_a_spilled_commit_into_it() {
    for (from, to, conflicts) in [(1, 2, true), (2, 3, false), (0, 1, false), (0, 9, true)] {
        let engine = open(&MemVfs::new());
        let tree = engine.create_tree("t").unwrap();
        let mut reader = engine.begin(Isolation::Serializable).unwrap();
        reader.range(tree, &[from], Some(&[to])).unwrap();
        reader.put(tree, b"\x08", b"v").unwrap();
        let mut large = engine.begin(Isolation::Serializable).unwrap();
        fill(&mut large, tree, 1, 3000).unwrap();
        large.commit(Durability::Async).unwrap();
        let done = reader.commit(Durability::Async);
        assert_eq!(matches!(done, Err(Error::Conflict { .. })), conflicts, "{from} to {to}");
        assert!(conflicts || done.is_ok());
    }
}

/// A lock that somebody else holds keeps a spilled commit of its key waiting, too.
#[test]
fn a_spilled_commit_waits_for_locks() {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    let mut holder = engine.begin(Isolation::Snapshot).unwrap();
    holder.lock_for_update(tree, &[&[1][..], &key(9)].concat()).unwrap();
    let mut large = engine.begin(Isolation::ReadCommitted).unwrap();
    large.lock_wait_max(std::time::Duration::ZERO);
    fill(&mut large, tree, 1, 500).unwrap();
    assert!(matches!(large.commit(Durability::Async), Err(Error::LockTimeout { .. })));
    drop(holder);
    let mut large = engine.begin(Isolation::ReadCommitted).unwrap();
    fill(&mut large, tree, 1, 500).unwrap();
    large.commit(Durability::Async).unwrap();
}

/// Whatever call fails, and however: a typed error, the state before, and a database that goes on,
/// unless it is the log or the file that failed.
#[test]
fn a_failure_of_any_call_leaves_all_or_nothing() {
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        let mut n = 0;
        let mut spill_failures = 0;
        loop {
            n += 1;
            let vfs = MemVfs::new();
            let engine = open(&vfs);
            let tree = engine.create_tree("t").unwrap();
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            tx.put(tree, b"before", b"1").unwrap();
            tx.commit(Durability::Sync).unwrap();
            let before = contents(&engine, tree);
            let calls = vfs.calls();
            vfs.fail_after(n, kind);
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            let written = fill(&mut tx, tree, 1, 420)
                .and_then(|()| tx.get(tree, &[&[1][..], &key(3)].concat()))
                .and_then(|value| {
                    assert_eq!(value.as_deref(), Some(&[1; 100][..]));
                    tx.delete(tree, b"before")
                });
            let failed_before_commit = written.is_err();
            let done = written.and_then(|()| tx.commit(Durability::Sync).map(drop));
            let reached = vfs.calls() - calls >= n;
            vfs.clear_faults();
            let poisoned = engine.begin(Isolation::Snapshot).and_then(|mut tx| {
                tx.put(tree, b"after", b"1")?;
                tx.commit(Durability::Sync).map(drop)
            });
            if failed_before_commit {
                spill_failures += 1;
                assert!(poisoned.is_ok(), "call {n}: {poisoned:?} after {done:?}");
            }
            let committed = |contents: &Map| {
                let keys = contents.keys().filter(|key| key[0] == 1).count();
                assert!(keys == 0 || keys == 420, "call {n}: {keys}");
                assert_eq!(keys == 0, before.iter().all(|(key, _)| contents.contains_key(key)));
                keys > 0
            };
            let visible = committed(&contents(&engine, tree));
            assert_eq!(visible, done.is_ok(), "call {n}: {done:?}");
            assert!(
                !beside(&vfs).iter().any(|name| name.ends_with("-spill"))
                    || !reached
                    || done.is_err()
            );
            drop(engine);
            let again = open(&vfs);
            if done.is_ok() || poisoned.is_ok() {
                assert_eq!(committed(&contents(&again, tree)), done.is_ok(), "call {n}");
            } else {
                committed(&contents(&again, tree));
            }
            assert!(!beside(&vfs).iter().any(|name| name.ends_with("-spill")), "call {n}");
            verify(&again);
            if !reached {
                break;
            }
        }
        assert!(n > 60 && spill_failures > 20, "{n} calls, {spill_failures}");
    }
}

/// A spilled write that cannot be read back makes the transaction un-committable, not the database.
#[test]
fn a_failed_read_of_what_was_spilled_breaks_the_transaction_alone() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    fill(&mut tx, tree, 1, 300).unwrap();
    vfs.fail_nth(Call::Read, 1, FaultKind::Io);
    assert!(tx.get(tree, &[&[1][..], &key(3)].concat()).is_err());
    assert!(matches!(tx.commit(Durability::Sync), Err(Error::Broken { .. })));
    assert!(contents(&engine, tree).is_empty());
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    fill(&mut tx, tree, 1, 300).unwrap();
    tx.commit(Durability::Sync).unwrap();
    assert_eq!(contents(&engine, tree).len(), 300);
}

/// All bytes of all files.
fn bytes_of(vfs: &MemVfs, at: &Path, into: &mut Vec<u8>) {
    for name in vfs.read_dir(at).unwrap() {
        let path = at.join(name);
        if vfs.kind(&path).unwrap() == Some(EntryKind::Directory) {
            bytes_of(vfs, &path, into);
        } else {
            let file = vfs.open(&path, OpenMode::Read).unwrap();
            let start = into.len();
            into.resize(start + file.len().unwrap() as usize, 0);
            file.read_exact_at(&mut into[start..], 0).unwrap();
        }
    }
}

/// What was spilled and not committed is in no file: not while the transaction is open, not after it,
/// and not after a crash, whatever of the directory survives that.
#[test]
fn what_was_spilled_and_rolled_back_is_in_no_file() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let marker = b"spilled and gone";
    let is_there = |vfs: &MemVfs| {
        let mut bytes = Vec::new();
        bytes_of(vfs, Path::new("/"), &mut bytes);
        bytes.windows(marker.len()).any(|window| window == marker)
    };
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    for i in 0..2000 {
        tx.put(tree, &key(i), marker).unwrap();
    }
    let mut random = Random(1);
    for _ in 0..8 {
        let crashed = vfs.crash(&mut |_| random.below(2) == 0);
        assert!(!is_there(&crashed));
        drop(open(&crashed));
        assert!(!beside(&crashed).iter().any(|name| name.ends_with("-spill")));
    }
    tx.rollback();
    assert!(!is_there(&vfs));
    drop(engine);
    drop(open(&vfs));
    assert!(!is_there(&vfs));
    // The same bytes are found where they are committed.
    let engine = open(&vfs);
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    tx.put(tree, b"k", marker).unwrap();
    tx.commit(Durability::Sync).unwrap();
    assert!(is_there(&vfs));
}

/// A file of that name that a crash left is removed by the next open.
#[test]
fn a_file_that_a_crash_left_is_removed() {
    let vfs = MemVfs::new();
    drop(open(&vfs));
    drop(vfs.open(Path::new("/t.llmdb-spill"), OpenMode::CreateNew).unwrap());
    drop(open(&vfs));
    assert_eq!(beside(&vfs), ["t.llmdb"]);
}

/// A disk that is full of room for a commit that did not fit would be full for all others.
#[test]
fn room_for_a_commit_that_did_not_come_is_given_back() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let begin = || {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        for i in 0..40_000 {
            tx.put(tree, &key(i), &[7; 300]).unwrap();
        }
        tx
    };
    let spares = || engine.stats().log.unwrap().spares;
    let tx = begin();
    vfs.set_free_bytes(Some(9 << 20));
    let error = tx.commit(Durability::Sync).unwrap_err();
    assert!(error.to_string().contains("space"), "{error}");
    assert!(spares() <= 2, "{}", spares());
    let mut small = engine.begin(Isolation::Snapshot).unwrap();
    small.put(tree, b"fits", &[1; 900_000]).unwrap();
    small.commit(Durability::Sync).unwrap();
    vfs.set_free_bytes(None);
    // The same where it is somebody else who is in the way.
    let tx = begin();
    let mut other = engine.begin(Isolation::Snapshot).unwrap();
    other.put(tree, &key(1), b"first").unwrap();
    other.commit(Durability::Sync).unwrap();
    assert!(matches!(tx.commit(Durability::Sync), Err(Error::Conflict { .. })));
    assert!(spares() > 2, "{}", spares());
    engine.checkpoint().unwrap();
    assert!(spares() <= 2, "{}", spares());
    verify(&engine);
}
