//! What each isolation level allows and refuses. The anomalies are those of Hermitage (Kleppmann),
//! after Adya, by the same names.

use crate::gate::{gated, put, put_as};
use crate::harness::{open, path};
use llmdb_mvcc::{Durability, Engine, Error, Isolation, Wiped, WriteTx};
use llmdb_storage::{TreeId, View};
use llmdb_vfs::{MemVfs, OpenMode, Vfs};
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether the anomaly happened: a test runs at one level and tells.
type Anomaly = fn(&Engine, TreeId, Isolation) -> bool;

fn get(tx: &mut WriteTx<'_>, tree: TreeId, key: &[u8]) -> String {
    let value = tx.get(tree, key).unwrap();
    value.map_or("none".into(), |value| String::from_utf8(value).unwrap())
}

fn commits(tx: WriteTx<'_>) -> bool {
    match tx.commit(Durability::Async) {
        Ok(_) => true,
        Err(Error::Conflict { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// G0: the writes of two transactions interleave.
fn dirty_write(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let (mut a, mut b) = (engine.begin(isolation).unwrap(), engine.begin(isolation).unwrap());
    a.put(tree, b"x", b"a").unwrap();
    b.put(tree, b"x", b"b").unwrap();
    b.put(tree, b"y", b"b").unwrap();
    a.put(tree, b"y", b"a").unwrap();
    commits(a);
    commits(b);
    let mut read = engine.begin(Isolation::Snapshot).unwrap();
    get(&mut read, tree, b"x") != get(&mut read, tree, b"y")
}

/// G1a: what is rolled back was read.
fn aborted_read(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let (mut a, mut b) = (engine.begin(isolation).unwrap(), engine.begin(isolation).unwrap());
    a.put(tree, b"x", b"rolled back").unwrap();
    let seen = get(&mut b, tree, b"x");
    a.rollback();
    seen != "1" || get(&mut b, tree, b"x") != "1"
}

/// G1b: what a transaction overwrote itself was read.
fn intermediate_read(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let (mut a, mut b) = (engine.begin(isolation).unwrap(), engine.begin(isolation).unwrap());
    a.put(tree, b"x", b"first").unwrap();
    let early = get(&mut b, tree, b"x");
    a.put(tree, b"x", b"last").unwrap();
    commits(a);
    early == "first" || get(&mut b, tree, b"x") == "first"
}

/// G1c: each of two transactions saw what the other wrote.
fn circular_information_flow(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let (mut a, mut b) = (engine.begin(isolation).unwrap(), engine.begin(isolation).unwrap());
    a.put(tree, b"x", b"a").unwrap();
    b.put(tree, b"y", b"b").unwrap();
    get(&mut a, tree, b"y") == "b" && get(&mut b, tree, b"x") == "a"
}

/// OTV: a transaction's writes were seen and then seen no more.
fn observed_transaction_vanishes(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let mut reader = engine.begin(isolation).unwrap();
    let (mut a, mut b) = (engine.begin(isolation).unwrap(), engine.begin(isolation).unwrap());
    for (tx, value) in [(&mut a, b"a"), (&mut b, b"b")] {
        tx.put(tree, b"x", value).unwrap();
        tx.put(tree, b"y", value).unwrap();
    }
    commits(a);
    let x = get(&mut reader, tree, b"x");
    commits(b);
    // Having seen b's y it must not see a's x.
    let y = get(&mut reader, tree, b"y");
    y == "b" && get(&mut reader, tree, b"x") != "b" || x == "a" && y == "1"
}

/// PMP: a range reads otherwise the second time.
fn phantom(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let mut reader = engine.begin(isolation).unwrap();
    let before = reader.range(tree, b"a", Some(b"z")).unwrap();
    let mut other = engine.begin(isolation).unwrap();
    other.put(tree, b"m", b"new").unwrap();
    assert!(commits(other));
    reader.range(tree, b"a", Some(b"z")).unwrap() != before
}

/// Fuzzy read: a key reads otherwise the second time.
fn unrepeatable_read(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let mut reader = engine.begin(isolation).unwrap();
    let before = get(&mut reader, tree, b"x");
    let mut other = engine.begin(isolation).unwrap();
    other.put(tree, b"x", b"2").unwrap();
    assert!(commits(other));
    get(&mut reader, tree, b"x") != before
}

/// P4: of two increments one is lost.
fn lost_update(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let (mut a, mut b) = (engine.begin(isolation).unwrap(), engine.begin(isolation).unwrap());
    for tx in [&mut a, &mut b] {
        let next = get(tx, tree, b"x").parse::<u64>().unwrap() + 1;
        tx.put(tree, b"x", next.to_string().as_bytes()).unwrap();
    }
    commits(a) && commits(b)
}

/// G-single: two keys are read from different states.
fn read_skew(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let mut reader = engine.begin(isolation).unwrap();
    let x = get(&mut reader, tree, b"x");
    let mut other = engine.begin(isolation).unwrap();
    other.put(tree, b"x", b"2").unwrap();
    other.put(tree, b"y", b"2").unwrap();
    assert!(commits(other));
    get(&mut reader, tree, b"y") != x
}

/// G2-item: each reads what the other writes.
fn write_skew_of_keys(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let (mut a, mut b) = (engine.begin(isolation).unwrap(), engine.begin(isolation).unwrap());
    for tx in [&mut a, &mut b] {
        assert_eq!((get(tx, tree, b"x"), get(tx, tree, b"y")), ("1".into(), "1".into()));
    }
    a.put(tree, b"x", b"0").unwrap();
    b.put(tree, b"y", b"0").unwrap();
    commits(a) && commits(b)
}

/// G2: each reads a range to which the other adds.
fn write_skew_of_ranges(engine: &Engine, tree: TreeId, isolation: Isolation) -> bool {
    let (mut a, mut b) = (engine.begin(isolation).unwrap(), engine.begin(isolation).unwrap());
    for tx in [&mut a, &mut b] {
        assert_eq!(tx.range(tree, b"p", Some(b"q")).unwrap(), []);
    }
    a.put(tree, b"pa", b"").unwrap();
    b.put(tree, b"pb", b"").unwrap();
    commits(a) && commits(b)
}

#[test]
fn each_level_allows_the_anomalies_that_it_says_and_no_others() {
    use Isolation::{ReadCommitted, ReadUncommitted, Serializable, Snapshot};
    const LEVELS: [Isolation; 4] = [ReadUncommitted, ReadCommitted, Snapshot, Serializable];
    const ANOMALIES: [(&str, Anomaly, &[Isolation]); 11] = [
        ("G0", dirty_write, &[]),
        ("G1a", aborted_read, &[]),
        ("G1b", intermediate_read, &[]),
        ("G1c", circular_information_flow, &[]),
        ("OTV", observed_transaction_vanishes, &[]),
        ("PMP", phantom, &[ReadUncommitted, ReadCommitted]),
        ("fuzzy read", unrepeatable_read, &[ReadUncommitted, ReadCommitted]),
        ("G-single", read_skew, &[ReadUncommitted, ReadCommitted]),
        ("P4", lost_update, &[ReadUncommitted, ReadCommitted]),
        ("G2-item", write_skew_of_keys, &[ReadUncommitted, ReadCommitted, Snapshot]),
        ("G2", write_skew_of_ranges, &[ReadUncommitted, ReadCommitted, Snapshot]),
    ];
    for (name, anomaly, allowed) in ANOMALIES {
        for isolation in LEVELS {
            let (engine, tree) = start();
            let happened = anomaly(&engine, tree, isolation);
            assert_eq!(happened, allowed.contains(&isolation), "{name} at {isolation:?}");
        }
    }
}

/// A commit that waits for its sync is seen at `ReadUncommitted` alone, and a power failure takes
/// back what was seen.
#[test]
fn what_is_not_durable_is_read_at_read_uncommitted_alone() {
    let (vfs, engine, tree) = gated();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    tx.put(tree, b"x", b"old").unwrap();
    tx.commit(Durability::Sync).unwrap();
    let (reached, go) = vfs.gate.arm("sync", ".spare");
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            tx.put(tree, b"x", b"new").unwrap();
            tx.put(tree, b"y", b"new").unwrap();
            tx.commit(Durability::Sync).map(drop)
        });
        reached.recv().unwrap();
        let read = |isolation| get(&mut engine.begin(isolation).unwrap(), tree, b"x");
        assert_eq!(read(Isolation::ReadUncommitted), "new");
        for isolation in [Isolation::ReadCommitted, Isolation::Snapshot, Isolation::Serializable] {
            assert_eq!(read(isolation), "old", "{isolation:?}");
        }
        // What a transaction writes on top of it is no more durable than it is.
        let mut tx = engine.begin(Isolation::ReadUncommitted).unwrap();
        assert_eq!(get(&mut tx, tree, b"y"), "new");
        tx.put(tree, b"z", b"on top").unwrap();
        let on_top = scope.spawn(|| tx.commit(Durability::Async).map(drop));
        while get(&mut engine.begin(Isolation::ReadUncommitted).unwrap(), tree, b"z") == "none" {}
        let crashed = Engine::open(path(), crate::harness::options(&vfs.inner.crash_losing_all()));
        let crashed = crashed.unwrap();
        let mut after = crashed.begin(Isolation::ReadUncommitted).unwrap();
        let seen = [b"x", b"y", b"z"].map(|key| get(&mut after, tree, key));
        assert_eq!(seen, ["old", "none", "none"], "what was read vanished");
        go.send(()).unwrap();
        committing.join().unwrap().unwrap();
        on_top.join().unwrap().unwrap();
    });
    let mut after = engine.begin(Isolation::ReadCommitted).unwrap();
    let seen = [b"x", b"y", b"z"].map(|key| get(&mut after, tree, key));
    assert_eq!(seen, ["new", "new", "on top"]);
}

/// A state that was read before it was durable, and then never published because a newer one was,
/// is held as any other: nothing that it shows is said to be wiped out.
#[test]
fn a_state_that_was_never_published_is_held_while_it_is_read() {
    let (vfs, engine, tree) = gated();
    put(&engine, tree, b"x", b"old").unwrap();
    let (reached, go) = vfs.gate.arm("sync", ".spare");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| put(&engine, tree, b"x", b"marker"));
        reached.recv().unwrap();
        let reading = engine.begin(Isolation::ReadUncommitted).unwrap();
        let view = reading.view();
        // Waits for the first, in whose publication it goes along.
        let second = scope.spawn(|| put_as(&engine, tree, b"y", b"v", Durability::Async));
        while get(&mut engine.begin(Isolation::ReadUncommitted).unwrap(), tree, b"y") == "none" {}
        go.send(()).unwrap();
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
        put(&engine, tree, b"x", b"new").unwrap();
        assert_eq!(engine.wipe().unwrap(), Wiped::HeldBySnapshot);
        let read = view.read().unwrap();
        assert_eq!(*read.get(tree, b"x").unwrap().unwrap(), b"marker"[..]);
        drop(read);
        assert!(engine.stats().states > 1);
        drop(view);
        assert_eq!(engine.wipe().unwrap(), Wiped::Done);
    });
}

/// A commit that fails on its way to a damaged page has changed others by then: that is never
/// read, by whomever.
#[test]
fn half_of_a_failed_commit_is_not_even_read_uncommitted() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    for i in 0..100u8 {
        tx.put(tree, &[b'k', i], &[i; 500]).unwrap();
    }
    tx.commit(Durability::Sync).unwrap();
    engine.close().unwrap();
    drop(engine);
    let file = vfs.open(path(), OpenMode::ReadWrite).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let at = bytes.windows(500).position(|window| window == [99; 500]).unwrap() as u64;
    file.write_all_at(&[IoSlice::new(b"damage")], at).unwrap();

    let engine = open(&vfs);
    let mut reader = engine.begin(Isolation::ReadUncommitted).unwrap();
    let mut tx = engine.begin(Isolation::Snapshot).unwrap();
    tx.put(tree, &[b'k', 0], b"half").unwrap();
    tx.put(tree, &[b'k', 99], b"half").unwrap();
    tx.commit(Durability::Async).unwrap_err();
    assert_eq!(reader.get(tree, &[b'k', 0]).unwrap().unwrap(), [0; 500]);
}

/// Readers of every level, commits that wait for syncs, checkpoints: within one call both keys
/// always agree, and what is read only grows.
#[test]
fn no_level_reads_half_a_commit() {
    let vfs = MemVfs::new();
    let engine = open(&vfs);
    let tree = engine.create_tree("t").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for isolation in
            [Isolation::ReadUncommitted, Isolation::ReadUncommitted, Isolation::ReadCommitted]
        {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                let mut newest = 0;
                let mut tx = engine.begin(isolation).unwrap();
                while !done.load(Ordering::Relaxed) {
                    let pair = tx.range(tree, b"a", Some(b"c")).unwrap();
                    assert!(pair.len() != 1 && pair.iter().all(|(_, v)| *v == pair[0].1));
                    let n = pair
                        .first()
                        .map_or(0, |(_, v)| u64::from_be_bytes(v[..8].try_into().unwrap()));
                    assert!(n >= newest, "what was read is not unread while nothing crashes");
                    newest = n;
                }
            });
        }
        for i in 0..800u64 {
            let mut tx = engine.begin(Isolation::Snapshot).unwrap();
            for key in [b"a", b"b"] {
                tx.put(tree, key, &[&i.to_be_bytes()[..], &[0; 500]].concat()).unwrap();
            }
            for j in 0..10u64 {
                tx.put(tree, &[&b"c"[..], &(i * 31 + j).to_be_bytes()].concat(), &[7; 300])
                    .unwrap();
            }
            tx.commit(if i % 3 == 0 { Durability::Async } else { Durability::Sync }).unwrap();
            if i % 50 == 49 {
                engine.checkpoint().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    crate::harness::verify(&engine);
    drop(engine);
    crate::harness::verify(&open(&vfs));
}
