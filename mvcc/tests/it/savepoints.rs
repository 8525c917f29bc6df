//! Savepoints: what was written since is forgotten, what was read since is not.

use crate::harness::{Map, contents, open};
use llmdb_mvcc::{Durability, Error, Isolation, Savepoint};
use llmdb_vfs::MemVfs;
use proptest::prelude::*;

#[test]
fn a_rollback_to_a_savepoint_forgets_later_writes_and_keeps_earlier_ones() {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Serializable).unwrap();
    tx.put(tree, b"a", b"1").unwrap();
    let outer = tx.savepoint();
    tx.put(tree, b"a", b"2").unwrap();
    tx.delete(tree, b"b").unwrap();
    let inner = tx.savepoint();
    tx.put(tree, b"c", b"3").unwrap();
    assert_eq!(tx.get(tree, b"a").unwrap().unwrap(), b"2");
    tx.rollback_to(&outer).unwrap();
    assert_eq!(tx.get(tree, b"a").unwrap().unwrap(), b"1", "the earlier write counts again");
    assert_eq!(tx.get(tree, b"c").unwrap(), None);
    assert!(matches!(tx.rollback_to(&inner), Err(Error::NoSavepoint)), "rolled back past");
    tx.put(tree, b"d", b"4").unwrap();
    tx.commit(Durability::Async).unwrap();
    let expected = [(b"a".to_vec(), b"1".to_vec()), (b"d".to_vec(), b"4".to_vec())];
    assert_eq!(contents(&engine, tree), Map::from(expected));
}

/// The transaction may have rolled back because of what it read.
#[test]
fn what_was_read_before_a_rollback_must_still_hold_at_the_commit() {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Serializable).unwrap();
    let start = tx.savepoint();
    assert_eq!(tx.get(tree, b"guard").unwrap(), None);
    tx.put(tree, b"a", b"1").unwrap();
    tx.rollback_to(&start).unwrap();
    tx.put(tree, b"b", b"2").unwrap();
    let mut other = engine.begin(Isolation::Serializable).unwrap();
    other.put(tree, b"guard", b"up").unwrap();
    other.commit(Durability::Async).unwrap();
    assert!(matches!(tx.commit(Durability::Async), Err(Error::Conflict { .. })));
}

#[test]
fn what_was_rolled_back_conflicts_with_nobody() {
    let engine = open(&MemVfs::new());
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    let start = tx.savepoint();
    tx.put(tree, b"a", b"1").unwrap();
    tx.rollback_to(&start).unwrap();
    tx.put(tree, b"b", b"2").unwrap();
    let mut other = engine.begin(Isolation::Snapshot).unwrap();
    other.put(tree, b"a", b"theirs").unwrap();
    other.commit(Durability::Async).unwrap();
    tx.commit(Durability::Async).unwrap();
    assert_eq!(contents(&engine, tree)[&b"a"[..]], b"theirs");
}

#[test]
fn a_savepoint_of_another_transaction_is_refused() {
    let engine = open(&MemVfs::new());
    let mut a = engine.begin(Isolation::Snapshot).unwrap();
    let mut b = engine.begin(Isolation::Snapshot).unwrap();
    assert_ne!(a.id(), b.id());
    let of_a = a.savepoint();
    let _ = b.savepoint();
    assert!(matches!(b.rollback_to(&of_a), Err(Error::NoSavepoint)));
    assert!(matches!(b.release(of_a), Err(Error::NoSavepoint)));
    a.release(of_a).unwrap();
    assert!(matches!(a.release(of_a), Err(Error::NoSavepoint)));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Read(u8),
    Savepoint,
    /// Of all savepoints ever made, good or not.
    RollBackTo(prop::sample::Index),
    Release(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0u8..6, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0u8..6).prop_map(Step::Delete),
        3 => (0u8..6).prop_map(Step::Read),
        3 => Just(Step::Savepoint),
        2 => any::<prop::sample::Index>().prop_map(Step::RollBackTo),
        1 => any::<prop::sample::Index>().prop_map(Step::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..Default::default() })]

    /// The model keeps a whole copy of the map for each savepoint.
    #[test]
    fn savepoints_nest_as_a_stack_of_whole_copies_does(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let engine = open(&MemVfs::new());
        let tree = engine.create_tree("t").unwrap();
        let mut tx = engine.begin(Isolation::Serializable).unwrap();
        tx.put(tree, &[0], b"before").unwrap();
        tx.commit(Durability::Async).unwrap();
        let mut now = Map::from([(vec![0], b"before".to_vec())]);
        let mut tx = engine.begin(Isolation::Serializable).unwrap();
        let mut made: Vec<Savepoint> = Vec::new();
        let mut stack: Vec<(usize, Map)> = Vec::new();
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    tx.put(tree, &[key], &[value]).unwrap();
                    now.insert(vec![key], vec![value]);
                }
                Step::Delete(key) => {
                    tx.delete(tree, &[key]).unwrap();
                    now.remove(&vec![key]);
                }
                Step::Read(key) => {
                    let found = tx.get(tree, &[key]).unwrap();
                    prop_assert_eq!(found, now.get(&vec![key]).cloned());
                }
                Step::Savepoint => {
                    stack.push((made.len(), now.clone()));
                    made.push(tx.savepoint());
                }
                Step::RollBackTo(index) if !made.is_empty() => {
                    let number = index.index(made.len());
                    let at = stack.iter().position(|(of, _)| *of == number);
                    let done = tx.rollback_to(&made[number]);
                    prop_assert_eq!(done.is_ok(), at.is_some());
                    if let Some(at) = at {
                        stack.truncate(at + 1);
                        now = stack[at].1.clone();
                    }
                }
                Step::Release(index) if !made.is_empty() => {
                    let number = index.index(made.len());
                    let at = stack.iter().position(|(of, _)| *of == number);
                    prop_assert_eq!(tx.release(made[number]).is_ok(), at.is_some());
                    stack.truncate(at.unwrap_or(stack.len()));
                }
                Step::RollBackTo(_) | Step::Release(_) => {}
            }
        }
        let range: Map = tx.range(tree, b"", None).unwrap().into_iter().collect();
        prop_assert_eq!(&range, &now);
        tx.commit(Durability::Async).unwrap();
        prop_assert_eq!(contents(&engine, tree), now);
    }
}
