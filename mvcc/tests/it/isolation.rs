//! What each isolation level refuses.

use crate::harness::open;
use llmdb_mvcc::{Durability, Engine, Error, Isolation};
use llmdb_storage::TreeId;
use llmdb_vfs::MemVfs;

fn start() -> (Engine, TreeId) {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    tx.put(tree, b"x", b"1").unwrap();
    tx.put(tree, b"y", b"1").unwrap();
    tx.commit(Durability::Async).unwrap();
    (engine, tree)
}

/// Two transactions each read both keys and write one of them.
fn write_skew(isolation: Isolation) -> Result<(), Error> {
    let (engine, tree) = start();
    let mut a = engine.begin(isolation)?;
    let mut b = engine.begin(isolation)?;
    for tx in [&mut a, &mut b] {
        tx.get(tree, b"x")?;
        tx.get(tree, b"y")?;
    }
    a.put(tree, b"x", b"0")?;
    b.put(tree, b"y", b"0")?;
    a.commit(Durability::Async)?;
    b.commit(Durability::Async).map(drop)
}

#[test]
fn write_skew_is_refused_at_serializable_alone() {
    assert!(matches!(write_skew(Isolation::Serializable), Err(Error::Conflict { .. })));
    write_skew(Isolation::Snapshot).unwrap();
}

#[test]
fn of_two_writers_of_a_key_the_first_to_commit_wins() {
    let (engine, tree) = start();
    let mut a = engine.begin(Isolation::Snapshot).unwrap();
    let mut b = engine.begin(Isolation::Snapshot).unwrap();
    a.put(tree, b"x", b"a").unwrap();
    b.put(tree, b"x", b"b").unwrap();
    b.commit(Durability::Async).unwrap();
    assert!(matches!(a.commit(Durability::Async), Err(Error::Conflict { .. })));
}

#[test]
fn blind_writes_do_not_conflict_at_serializable() {
    let (engine, tree) = start();
    let mut a = engine.begin(Isolation::Serializable).unwrap();
    let mut b = engine.begin(Isolation::Serializable).unwrap();
    a.put(tree, b"x", b"a").unwrap();
    b.put(tree, b"x", b"b").unwrap();
    b.commit(Durability::Async).unwrap();
    a.commit(Durability::Async).unwrap();
}

#[test]
fn a_phantom_is_refused() {
    let (engine, tree) = start();
    let mut a = engine.begin(Isolation::Serializable).unwrap();
    assert_eq!(a.range(tree, b"a", Some(b"c")).unwrap(), []);
    let mut b = engine.begin(Isolation::Serializable).unwrap();
    b.put(tree, b"b", b"new").unwrap();
    b.commit(Durability::Async).unwrap();
    a.put(tree, b"count", b"0").unwrap();
    assert!(matches!(a.commit(Durability::Async), Err(Error::Conflict { .. })));
}

#[test]
fn a_reader_alone_never_conflicts() {
    let (engine, tree) = start();
    let mut a = engine.begin(Isolation::Serializable).unwrap();
    a.get(tree, b"zzz").unwrap();
    let mut b = engine.begin(Isolation::Serializable).unwrap();
    b.put(tree, b"x", b"2").unwrap();
    b.commit(Durability::Async).unwrap();
    assert_eq!(a.get(tree, b"x").unwrap().unwrap(), b"1");
    a.rollback();
}

#[test]
fn own_writes_are_read_and_rolled_back() {
    let (engine, tree) = start();
    let mut tx = engine.begin(Isolation::Serializable).unwrap();
    tx.put(tree, b"a", b"own").unwrap();
    tx.delete(tree, b"x").unwrap();
    assert_eq!(tx.get(tree, b"a").unwrap().unwrap(), b"own");
    assert_eq!(tx.get(tree, b"x").unwrap(), None);
    let keys: Vec<_> = tx.range(tree, b"", None).unwrap().into_iter().map(|e| e.0).collect();
    assert_eq!(keys, [b"a", b"y"]);
    tx.rollback();
    let mut tx = engine.begin(Isolation::Serializable).unwrap();
    assert_eq!(tx.get(tree, b"a").unwrap(), None);
}

#[test]
fn distant_conflicts_are_found_across_many_commits() {
    let (engine, tree) = start();
    let mut a = engine.begin(Isolation::Serializable).unwrap();
    a.get(tree, b"x").unwrap();
    for i in 0..50u8 {
        let mut tx = engine.begin(Isolation::Snapshot).unwrap();
        tx.put(tree, &[i], b"").unwrap();
        if i == 3 {
            tx.put(tree, b"x", b"9").unwrap();
        }
        tx.commit(Durability::Async).unwrap();
    }
    a.put(tree, b"sum", b"").unwrap();
    assert!(matches!(a.commit(Durability::Async), Err(Error::Conflict { .. })));
}
