//! Transactions that write more than memory holds: as those that do not, and within the budget.

use crate::support::{P, PATH, assert_clean, at, options, v};
use llmdb::vfs::{EntryKind, FaultKind, MemVfs, OpenMode, Vfs};
use llmdb::{Clock, Db, Durability, Error, Isolation, Options, Savepoint, TxTime, Value, WriteTx};
use proptest::prelude::*;
use serde_json::json;
use std::path::Path;

/// A database whose transactions buffer 4 KiB.
fn spilling(disk: &MemVfs) -> Db {
    options(disk).auto_checkpoint(false).tx_memory_bytes(1).open(PATH).unwrap()
}

fn key(i: u32) -> String {
    format!("key:{:08x}", i.wrapping_mul(0x9e37_79b1))
}

#[derive(Clone, Debug)]
enum Step {
    Put(u32, usize),
    PutAt(u32, i64, usize),
    PutRange(u32, i64, i64),
    Delete(u32),
    End(u32, i64),
    Read(u32),
    Scan(Option<char>),
    Savepoint,
    RollbackTo(usize),
    Release(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = || prop_oneof![12 => 0usize..500, 1 => Just(3_000), 1 => Just(40_000)];
    let step = prop_oneof![
        10 => (0u32..40, len()).prop_map(|(k, len)| Step::Put(k, len)),
        6 => (0u32..40, 0i64..90, len()).prop_map(|(k, from, len)| Step::PutAt(k, from, len)),
        3 => (0u32..40, 0i64..90, 1i64..30).prop_map(|(k, from, len)| Step::PutRange(k, from, from + len)),
        2 => (0u32..40).prop_map(Step::Delete),
        2 => (0u32..40, 0i64..90).prop_map(|(k, from)| Step::End(k, from)),
        3 => (0u32..45).prop_map(Step::Read),
        1 => prop::option::of(prop::char::range('0', '9')).prop_map(Step::Scan),
        1 => Just(Step::Savepoint),
        1 => (0usize..4).prop_map(Step::RollbackTo),
        1 => (0usize..4).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 20..160)
}

fn value(i: usize, len: usize) -> Vec<u8> {
    format!("{i:06}-").into_bytes().into_iter().cycle().take(len).collect()
}

/// What a step reads; the same of two transactions that did the same before.
fn play(tx: &mut WriteTx<'_>, points: &mut Vec<Savepoint>, i: usize, step: &Step) -> String {
    match *step {
        Step::Put(k, len) => tx.put(key(k).as_str(), value(i, len)).unwrap(),
        Step::PutAt(k, from, len) => {
            tx.put_at(key(k).as_str(), value(i, len), v(from)).unwrap();
        }
        Step::PutRange(k, from, to) => {
            tx.put_range(key(k).as_str(), value(i, 50), v(from), v(to)).unwrap();
        }
        Step::Delete(k) => tx.delete(key(k).as_str()).unwrap(),
        Step::End(k, from) => tx.end_at(key(k).as_str(), v(from)).unwrap(),
        Step::Read(k) => {
            let key = key(k);
            let key = key.as_str();
            let get = tx.get(key).unwrap();
            let timeline = tx.timeline(key, None).unwrap();
            return format!("{get:?} {timeline:?} {:?}", tx.history(key).unwrap());
        }
        Step::Scan(of) => {
            let prefix = of.map_or("key".to_owned(), |of| format!("key:{of}"));
            let rows: Vec<_> = tx.scan(P, &prefix).unwrap().map(Result::unwrap).collect();
            let then = tx.scan_at(P, &prefix, at(45, i64::MAX)).unwrap();
            let behind: Vec<_> = then.after(b"key:8").map(Result::unwrap).collect();
            let diff = tx.diff(P, &prefix, at(10, i64::MAX), at(60, i64::MAX)).unwrap();
            return format!("{rows:?} {behind:?} {diff:?}");
        }
        Step::Savepoint => points.push(tx.savepoint()),
        Step::RollbackTo(n) if n < points.len() => {
            points.truncate(n + 1);
            tx.rollback_to(&points[n]).unwrap();
        }
        Step::Release(n) if n < points.len() => {
            tx.release(points[n]).unwrap();
            points.truncate(n);
        }
        Step::RollbackTo(_) | Step::Release(_) => {}
    }
    String::new()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Two databases, one that spills and one that does not: every read inside of the transactions,
    /// and everything about them afterwards, is the same.
    #[test]
    fn a_spilled_transaction_is_as_any_other(rounds in prop::collection::vec(steps(), 1..4)) {
        let disk = MemVfs::new();
        let (little, much) = (spilling(&disk), spilling_not());
        for (round, steps) in rounds.iter().enumerate() {
            let (mut a, mut b) = (little.begin().unwrap(), much.begin().unwrap());
            let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
            for (i, step) in steps.iter().enumerate() {
                let read = play(&mut a, &mut of_a, i, step);
                prop_assert!(read == play(&mut b, &mut of_b, i, step), "{step:?}");
            }
            for tx in [&mut a, &mut b] {
                tx.note(json!({ "round": round })).unwrap();
            }
            prop_assert_eq!(a.commit().unwrap(), b.commit().unwrap());
            prop_assert_eq!(little.digest().unwrap(), much.digest().unwrap());
        }
        assert_clean(&little);
        let recovered = spilling(&disk.crash_losing_all());
        prop_assert_eq!(recovered.digest().unwrap(), much.digest().unwrap());
        assert_clean(&recovered);
    }
}

fn spilling_not() -> Db {
    options(&MemVfs::new()).auto_checkpoint(false).open(PATH).unwrap()
}

/// Twenty times the budget in one transaction, read and scanned on the way; replayed from the log
/// within the same budget.
#[test]
fn a_transaction_of_many_budgets_keeps_to_the_budget() {
    let disk = MemVfs::new();
    let tight = |disk: &MemVfs| options(disk).memory_bytes(2 << 20).open(PATH).unwrap();
    let kept = |db: &Db| {
        let stats = db.stats().unwrap();
        assert!(stats.memory_bytes_peak <= stats.memory_bytes_max, "{stats:?}");
        assert_eq!(stats.transaction_bytes, 0);
    };
    let db = tight(&disk);
    let count = 40_000;
    let mut tx = db.begin_with(Isolation::Snapshot).unwrap();
    for i in 0..count {
        tx.put(key(i).as_str(), value(i as usize, 1000)).unwrap();
        if i % 9000 == 0 {
            assert!(tx.get(key(i / 2).as_str()).unwrap().is_some());
            assert!(tx.get("no").unwrap().is_none());
            db.put(format!("beside {i}").as_str(), b"v").unwrap();
        }
    }
    let rows = tx.scan(P, "key").unwrap().map(Result::unwrap);
    assert_eq!(rows.map(|row| row.key.len()).sum::<usize>(), 12 * count as usize);
    // A feed would need all of it at once.
    assert!(matches!(tx.changes(TxTime(0), None, None), Err(Error::CacheFull)));
    tx.rollback();
    kept(&db);
    let mut tx = db.begin_with(Isolation::Snapshot).unwrap();
    (0..count).for_each(|i| tx.put(key(i).as_str(), value(i as usize, 1000)).unwrap());
    let time = tx.commit().unwrap().unwrap();
    kept(&db);
    let check = |db: &Db| {
        for i in (0..count).step_by(17) {
            let fact = db.get(key(i).as_str()).unwrap().unwrap();
            assert_eq!(fact.tx, time, "one transaction has one time");
            assert!(fact.value == Value::from(value(i as usize, 1000)));
        }
        let changes = db.changes(time, None, Some(count as usize + 1)).unwrap().changes;
        assert_eq!(changes.len(), count as usize);
    };
    check(&db);
    let digest = db.digest().unwrap();
    let after = tight(&disk.crash_losing_all());
    kept(&after);
    check(&after);
    assert_eq!(after.digest().unwrap(), digest);
    assert_clean(&after);
}

/// All on one key: what is known of it is put together from all runs.
#[test]
fn many_writes_of_one_key_are_one_history() {
    let (little, much) = (spilling(&MemVfs::new()), spilling_not());
    for db in [&little, &much] {
        let mut tx = db.begin().unwrap();
        for i in 0..2000i64 {
            tx.put_at("k", format!("{i}").as_bytes(), v(i * 7919 % 2000)).unwrap();
        }
        assert_eq!(tx.timeline("k", None).unwrap().len(), 2000);
        tx.commit().unwrap();
    }
    assert_eq!(little.digest().unwrap(), much.digest().unwrap());
    assert_clean(&little);
}

/// What is written to one key has to fit in memory when it is committed: else the commit is refused, and
/// that is all.
#[test]
fn more_writes_of_one_key_than_memory_holds_are_refused() {
    let db = options(&MemVfs::new()).memory_bytes(1 << 20).open(PATH).unwrap();
    let digest = db.digest().unwrap();
    let mut tx = db.begin().unwrap();
    (0..10_000).for_each(|i| tx.put_at("k", value(1, 100), v(i)).unwrap());
    assert!(matches!(tx.commit(), Err(Error::CacheFull)));
    assert_eq!(db.digest().unwrap(), digest);
    let stats = db.stats().unwrap();
    assert_eq!(stats.transaction_bytes, 0);
    assert!(stats.memory_bytes_peak <= stats.memory_bytes_max, "{stats:?}");
    db.put("k", b"v").unwrap();
    assert_clean(&db);
}

#[test]
fn conflicts_are_found_with_spilled_transactions_on_either_side() {
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        for spilled_first in [true, false] {
            for shared in [true, false] {
                let db = spilling(&MemVfs::new());
                let mut large = db.begin_with(isolation).unwrap();
                let mut small = db.begin_with(isolation).unwrap();
                let of_small = if shared { key(77) } else { "mine".to_owned() };
                if isolation == Isolation::Serializable {
                    large.get(key(77).as_str()).unwrap();
                    small.get(of_small.as_str()).unwrap();
                }
                (0..300).for_each(|i| large.put(key(i).as_str(), value(1, 100)).unwrap());
                small.put(of_small.as_str(), b"small").unwrap();
                let (first, second) = if spilled_first { (large, small) } else { (small, large) };
                first.commit().unwrap();
                let what = format!("{isolation:?}, {spilled_first}, {shared}");
                match second.commit() {
                    Err(Error::Conflict { .. }) => assert!(shared, "{what}"),
                    done => assert!(!shared && done.is_ok(), "{what}: {done:?}"),
                }
            }
        }
    }
}

/// Whatever call fails, the transaction is there as a whole or not at all, and writing goes on unless it
/// was the log or the file that failed.
#[test]
fn a_failure_of_any_call_leaves_all_or_nothing() {
    let before = MemVfs::new();
    let db = spilling(&before);
    db.put("before", b"1").unwrap();
    db.checkpoint().unwrap();
    let empty = db.digest().unwrap();
    db.close().unwrap();
    let write = |db: &Db| -> llmdb::Result<()> {
        let mut tx = db.begin()?;
        tx.durability(Durability::Sync);
        for i in 0..220 {
            tx.put(key(i).as_str(), value(i as usize, 100))?;
        }
        tx.put("long", value(1, 40_000))?;
        assert!(tx.get(key(7).as_str())?.is_some());
        tx.commit().map(drop)
    };
    let whole = before.crash(&mut |_| true);
    let db = spilling(&whole);
    write(&db).unwrap();
    let full = db.digest().unwrap();
    drop(db);
    let (mut n, mut failures) = (0, 0);
    loop {
        n += 1;
        let disk = before.crash(&mut |_| true);
        let db = spilling(&disk);
        disk.fail_after(n, if n % 2 == 0 { FaultKind::Io } else { FaultKind::NoSpace });
        let calls = disk.calls();
        let done = write(&db);
        let reached = disk.calls() - calls >= n;
        disk.clear_faults();
        failures += u32::from(done.is_err());
        assert_eq!(db.digest().unwrap(), if done.is_ok() { &*full } else { &*empty }, "call {n}");
        if done.is_err() && write(&db).is_ok() {
            assert_eq!(db.get("long").unwrap().unwrap().value, Value::from(value(1, 40_000)));
        }
        assert_eq!(disk.kind(Path::new("/agent.llmdb-spill")).unwrap(), None, "call {n}");
        for crashed in [disk.crash_losing_all(), disk.crash(&mut |_| true)] {
            let db = spilling(&crashed);
            assert_eq!(crashed.kind(Path::new("/agent.llmdb-spill")).unwrap(), None);
            let found = db.digest().unwrap();
            assert!(
                found == full
                    || (done.is_err() && found == empty)
                    || db.get("long").unwrap().is_some()
            );
            assert_clean(&db);
        }
        if !reached {
            break;
        }
    }
    assert!(failures > 40, "{failures} of {n} calls");
}

/// On a file system of the machine the file of what is spilled has no name either.
#[test]
fn a_transaction_spills_to_a_file_without_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.llmdb");
    let names = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let options = Options::new().clock(Clock::Logical).page_source(crate::SOURCE);
    let options = options.tx_memory_bytes(1 << 16);
    let db = options.clone().open(&path).unwrap();
    let in_use = ["agent.llmdb", "agent.llmdb-lock", "agent.llmdb-wal"];
    let mut tx = db.begin().unwrap();
    (0..10_000).for_each(|i| tx.put(key(i).as_str(), value(i as usize, 100)).unwrap());
    let point = tx.savepoint();
    (5_000..20_000).for_each(|i| tx.put(key(i).as_str(), b"taken back").unwrap());
    assert_eq!(names(), in_use);
    tx.rollback_to(&point).unwrap();
    assert_eq!(tx.scan(P, "key").unwrap().count(), 10_000);
    tx.commit().unwrap();
    assert_eq!(names(), in_use);
    db.close().unwrap();
    assert_eq!(names(), ["agent.llmdb"]);
    let db = options.open(&path).unwrap();
    for i in (0..10_000).step_by(7) {
        let fact = db.get(key(i).as_str()).unwrap().unwrap();
        assert!(fact.value == Value::from(value(i as usize, 100)));
    }
    assert!(db.get(key(15_000).as_str()).unwrap().is_none());
    assert_clean(&db);
}

/// The files below `at` that hold `marker`.
fn holds(disk: &MemVfs, at: &Path, marker: &[u8]) -> bool {
    disk.read_dir(at).unwrap().iter().any(|name| {
        let path = at.join(name);
        if disk.kind(&path).unwrap() == Some(EntryKind::Directory) {
            return holds(disk, &path, marker);
        }
        let file = disk.open(&path, OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes.windows(marker.len()).any(|window| window == marker)
    })
}

#[test]
fn what_was_spilled_and_rolled_back_is_in_no_file() {
    let disk = MemVfs::new();
    let db = spilling(&disk);
    let marker = b"spilled and gone";
    let root = Path::new("/");
    let mut tx = db.begin().unwrap();
    (0..1000).for_each(|i| tx.put(key(i).as_str(), marker).unwrap());
    assert!(!holds(&disk.crash(&mut |_| true), root, marker));
    tx.rollback();
    drop(db);
    let db = spilling(&disk);
    assert!(!holds(&disk, root, marker));
    db.put("k", marker).unwrap();
    assert!(holds(&disk, root, &marker[..4]) || crate::COMPRESSION.values.is_some());
}
