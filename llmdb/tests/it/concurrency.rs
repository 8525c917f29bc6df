//! Transactions side by side: nothing is lost, and only what the isolation allows goes through.

use crate::support::{P, assert_clean, fresh, open, text, v};
use llmdb::vfs::MemVfs;
use llmdb::{Db, Durability, Error, Isolation, Result, TxTime, Value};
use std::collections::BTreeSet;
use std::thread;

const THREADS: u64 = 4;

fn count(db: &Db, key: &str) -> u64 {
    db.get_as::<u64>(key).unwrap().unwrap_or(0)
}

fn increment(db: &Db, key: &str) -> Result<Option<TxTime>> {
    let committed = db.write(|tx| {
        let count = tx.get_as::<u64>(key)?.unwrap_or(0);
        tx.put(key, Value::of(&(count + 1))?)
    })?;
    Ok(committed.tx)
}

#[test]
fn increments_of_many_threads_lose_nothing() {
    const TIMES: u64 = 60;
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let disk = MemVfs::new();
        let options = crate::support::options(&disk);
        let options = options.isolation(isolation).durability(Durability::Async);
        let db = options.open(crate::support::PATH).unwrap();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let db = &db;
                scope.spawn(move || {
                    for i in 0..TIMES {
                        let key = if (i + thread).is_multiple_of(3) { "rare" } else { "hot" };
                        increment(db, key).unwrap().unwrap();
                    }
                });
            }
        });
        assert_eq!(count(&db, "hot") + count(&db, "rare"), THREADS * TIMES);
        assert_eq!(db.newest_tx(), TxTime((THREADS * TIMES) as i64), "one transaction each");
        assert_clean(&db);
        db.close().unwrap();
        let db = open(&disk);
        assert_eq!(count(&db, "hot") + count(&db, "rare"), THREADS * TIMES);
    }
}

#[test]
fn single_writes_never_conflict_and_each_has_its_own_time() {
    let db = fresh();
    let txs: BTreeSet<TxTime> = thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|_| {
                let db = &db;
                scope.spawn(move || {
                    let txs: Vec<TxTime> = (0..40).map(|_| db.put("k", b"v").unwrap()).collect();
                    assert!(txs.is_sorted());
                    txs
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(txs, (1..=THREADS as i64 * 40).map(TxTime).collect());
    assert_eq!(db.get_versions("k").unwrap().len(), THREADS as usize * 40);
}

/// Two doctors are on call; each goes home if the other stays.
fn both_go_home(isolation: Isolation) -> (Result<Option<TxTime>>, u64) {
    let db = fresh();
    db.put("alice", Value::of(&1u64).unwrap()).unwrap();
    db.put("bob", Value::of(&1u64).unwrap()).unwrap();
    let on_call = |tx: &llmdb::WriteTx<'_>| {
        tx.get_as::<u64>("alice").unwrap().unwrap() + tx.get_as::<u64>("bob").unwrap().unwrap()
    };
    let mut alice = db.begin_with(isolation).unwrap();
    let mut bob = db.begin_with(isolation).unwrap();
    assert_eq!((on_call(&alice), on_call(&bob)), (2, 2));
    alice.put("alice", Value::of(&0u64).unwrap()).unwrap();
    bob.put("bob", Value::of(&0u64).unwrap()).unwrap();
    alice.commit().unwrap().unwrap();
    let second = bob.commit();
    (second, count(&db, "alice") + count(&db, "bob"))
}

#[test]
fn write_skew_is_refused_when_serializable_and_allowed_in_a_snapshot() {
    let (second, on_call) = both_go_home(Isolation::Serializable);
    assert!(matches!(second, Err(Error::Conflict { .. })), "{second:?}");
    assert!(second.unwrap_err().is_retryable());
    assert_eq!(on_call, 1);
    let (second, on_call) = both_go_home(Isolation::Snapshot);
    assert_eq!(second.unwrap(), Some(TxTime(4)));
    assert_eq!(on_call, 0, "that is the anomaly");
}

#[test]
fn of_two_that_write_one_key_the_first_to_commit_wins() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let db = fresh();
        let mut first = db.begin_with(isolation).unwrap();
        let mut second = db.begin_with(isolation).unwrap();
        for tx in [&mut first, &mut second] {
            assert!(tx.get("k").unwrap().is_none());
        }
        first.put("k", b"first").unwrap();
        second.put("k", b"second").unwrap();
        second.commit().unwrap().unwrap();
        let refused = first.commit();
        assert!(matches!(refused, Err(Error::Conflict { .. })), "{isolation:?}: {refused:?}");
        assert_eq!(db.get_as::<String>("k").unwrap().unwrap(), "second");
        assert_eq!(db.newest_tx(), TxTime(1), "what was refused takes no time");
    }
}

#[test]
fn blind_writes_conflict_in_a_snapshot_alone() {
    for (isolation, refused) in [(Isolation::Serializable, false), (Isolation::Snapshot, true)] {
        let db = fresh();
        let mut tx = db.begin_with(isolation).unwrap();
        tx.put_at("k", b"blind", v(10)).unwrap();
        db.put_at("k", b"other", v(20)).unwrap();
        assert_eq!(tx.commit().is_err(), refused, "{isolation:?}");
        // The order of commits is the order of events: the end is that known at the commit.
        if !refused {
            let timeline = db.timeline("k", None).unwrap();
            let ends: Vec<_> = timeline.iter().map(|fact| fact.valid_to).collect();
            assert_eq!(ends, [v(20), v(i64::MAX)]);
        }
    }
}

#[test]
fn a_key_that_appears_in_a_scanned_range_is_a_conflict() {
    for (prefix, refused) in [("task/", true), ("note/", false)] {
        let db = fresh();
        let mut tx = db.begin().unwrap();
        let found = tx.scan(P, prefix).unwrap().count();
        tx.put("count", Value::of(&found).unwrap()).unwrap();
        db.put("task/1", b"new").unwrap();
        assert_eq!(tx.commit().is_err(), refused, "{prefix}");
    }
}

#[test]
fn an_absence_that_was_read_must_still_be_one() {
    let db = fresh();
    let mut tx = db.begin().unwrap();
    assert!(tx.timeline("k", None).unwrap().is_empty());
    tx.put("other", b"v").unwrap();
    db.put("k", b"v").unwrap();
    assert!(matches!(tx.commit(), Err(Error::Conflict { .. })));
}

#[test]
fn transactions_on_different_keys_of_one_page_do_not_conflict() {
    let db = fresh();
    let mut one = db.begin().unwrap();
    let mut other = db.begin().unwrap();
    assert!(one.get("a").unwrap().is_none());
    assert!(other.get("b").unwrap().is_none());
    one.put("a", b"1").unwrap();
    other.put("b", b"2").unwrap();
    other.commit().unwrap();
    one.commit().unwrap();
}

#[test]
fn whatever_moves_between_accounts_a_snapshot_sees_the_same_sum() {
    const ACCOUNTS: u64 = 8;
    let db = fresh();
    let name = |i: u64| format!("account/{i}");
    db.write(|tx| (0..ACCOUNTS).try_for_each(|i| tx.put(name(i), Value::of(&100i64)?))).unwrap();
    let sum = |rows: llmdb::Scan<'_>| -> i64 {
        rows.map(|row| row.unwrap().fact.value.to::<i64>().unwrap()).sum()
    };
    thread::scope(|scope| {
        for thread in 0..2 {
            let db = &db;
            scope.spawn(move || {
                for i in 0..60u64 {
                    let (from, to) = (i % ACCOUNTS, (i * 3 + thread + 1) % ACCOUNTS);
                    if from == to {
                        continue;
                    }
                    db.write(|tx| {
                        let (a, b) = (name(from), name(to));
                        let have = tx.get_as::<i64>(&a)?.unwrap();
                        let other = tx.get_as::<i64>(&b)?.unwrap();
                        tx.put(&a, Value::of(&(have - 7))?)?;
                        tx.put(&b, Value::of(&(other + 7))?)
                    })
                    .unwrap();
                }
            });
        }
        for _ in 0..60 {
            let read = db.read();
            assert_eq!(sum(read.scan(P, "account/").unwrap()), 800);
            let past = read.as_of_transaction(TxTime(read.newest_tx().0 / 2 + 1));
            assert_eq!(sum(past.scan(P, "account/").unwrap()), 800);
        }
        db.checkpoint().unwrap();
    });
    assert_eq!(sum(db.scan(P, "account/").unwrap()), 800);
    assert_clean(&db);
}

#[test]
fn a_snapshot_held_while_others_write_and_checkpoint_does_not_change() {
    let db = fresh();
    for i in 0..200u32 {
        db.put(format!("k{i:03}"), &i.to_le_bytes()).unwrap();
    }
    let held = db.read();
    let rows = |read: &llmdb::ReadTx<'_>| -> Vec<_> {
        read.scan(P, "k").unwrap().map(|row| row.unwrap()).collect()
    };
    let before = rows(&held);
    let mut scan = held.scan(P, "k").unwrap();
    let first = scan.next_row().unwrap().unwrap();
    for round in 0..3u32 {
        for i in 0..200u32 {
            db.put(format!("k{i:03}"), &(i + round).to_be_bytes()).unwrap();
        }
        db.checkpoint().unwrap();
        db.delete("k000").unwrap();
    }
    assert_eq!(rows(&held), before);
    let rest: Vec<_> = scan.map(|row| row.unwrap()).collect();
    assert_eq!([&[first], &rest[..]].concat(), before);
    assert_ne!(rows(&db.read()), before);
}

#[test]
fn below_snapshot_each_read_sees_what_is_committed_by_then_and_the_last_to_commit_wins() {
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        let db = fresh();
        db.put("k", b"1").unwrap();
        let mut tx = db.begin_with(isolation).unwrap();
        assert_eq!(tx.get_as::<String>("k").unwrap().unwrap(), "1");
        tx.put("own", b"mine").unwrap();
        db.put("k", b"2").unwrap();
        db.put("own", b"theirs").unwrap();
        db.put("new", b"3").unwrap();
        assert_eq!(tx.get_as::<String>("k").unwrap().unwrap(), "2");
        assert_eq!(tx.get_as::<String>("own").unwrap().unwrap(), "mine");
        let rows: Vec<_> = tx.scan(P, "").unwrap().map(|row| row.unwrap().key).collect();
        assert_eq!(rows, [&b"k"[..], b"new", b"own"]);
        assert_eq!(tx.timeline("own", None).unwrap().len(), 2, "theirs up to mine");
        assert_eq!(tx.get_as_of("k", TxTime(1)).unwrap().map(|f| text(&f)).as_deref(), Some("1"));
        assert_eq!(tx.commit().unwrap(), Some(TxTime(5)), "{isolation:?}");
        assert_eq!(db.get_as::<String>("own").unwrap().unwrap(), "mine");
        assert_clean(&db);
    }
}

/// A transaction that keeps no snapshot keeps no pages from being used again.
#[test]
fn a_transaction_below_snapshot_holds_no_state() {
    for (isolation, held) in [(Isolation::ReadCommitted, 1), (Isolation::Snapshot, 2)] {
        let db = fresh();
        db.put("k", b"1").unwrap();
        let tx = db.begin_with(isolation).unwrap();
        tx.get("k").unwrap();
        db.put("k", b"2").unwrap();
        assert_eq!(db.stats().unwrap().states, held, "{isolation:?}");
    }
}

/// A scan is one call, however many pieces it is fetched in.
#[test]
fn a_scan_below_snapshot_is_of_one_state() {
    let db = fresh();
    db.write(|tx| (0..1000u32).try_for_each(|i| tx.put(format!("k{i:04}"), b"before"))).unwrap();
    let tx = db.begin_with(Isolation::ReadCommitted).unwrap();
    let mut scan = tx.scan(P, "k").unwrap();
    scan.next_row().unwrap().unwrap();
    db.write(|tx| (0..1000u32).try_for_each(|i| tx.put(format!("k{i:04}"), b"after"))).unwrap();
    assert!(scan.all(|row| text(&row.unwrap().fact) == "before"));
    assert!(tx.scan(P, "k").unwrap().all(|row| text(&row.unwrap().fact) == "after"));
}

/// However many contend, each is served: the third run has the keys of the second locked.
#[test]
fn eight_threads_on_one_counter_all_finish_after_at_most_three_runs() {
    const TIMES: u64 = 50;
    let db = fresh();
    let runs_max = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let db = &db;
                scope.spawn(move || {
                    let mut runs_max = 0;
                    for _ in 0..TIMES {
                        let mut runs = 0;
                        db.write(|tx| {
                            runs += 1;
                            let count = tx.get_as::<u64>("hot")?.unwrap_or(0);
                            thread::yield_now();
                            tx.put("hot", Value::of(&(count + 1))?)
                        })
                        .unwrap();
                        runs_max = runs_max.max(runs);
                    }
                    runs_max
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    assert_eq!(count(&db, "hot"), 8 * TIMES);
    assert!((2..=3).contains(&runs_max), "{runs_max} runs");
}

#[test]
fn a_locked_key_is_written_by_its_holder_alone() {
    let db = crate::support::options(&MemVfs::new())
        .lock_wait_max(std::time::Duration::ZERO)
        .open(crate::support::PATH)
        .unwrap();
    db.put("k", b"1").unwrap();
    let mut tx = db.begin().unwrap();
    tx.lock_for_update("k").unwrap();
    for refused in [db.put_range("k", b"2", v(100), v(200)), db.delete("k")] {
        let error = refused.unwrap_err();
        assert_eq!(error.code(), "lock_timeout");
        assert!(error.is_retryable() && error.to_string().contains(&tx.id().to_string()));
    }
    let mut other = db.begin().unwrap();
    let refused = other.lock_for_update("k");
    assert!(
        matches!(&refused, Err(Error::LockTimeout { waited_for, .. }) if *waited_for == [tx.id()])
    );
    drop(other);
    db.put("elsewhere", b"2").unwrap();
    assert_eq!(tx.get_as::<String>("k").unwrap().unwrap(), "1");
    tx.put("k", b"3").unwrap();
    assert_eq!(tx.commit().unwrap(), Some(TxTime(3)));
    db.put("k", b"4").unwrap();
    let mut tx = db.begin().unwrap();
    db.put("k", b"5").unwrap();
    tx.lock_for_update("k").unwrap();
    assert_eq!(tx.get_as::<String>("k").unwrap().unwrap(), "5", "its now moves with it");
    assert_eq!(tx.lock_for_update("").unwrap_err().code(), "empty_key");
}
