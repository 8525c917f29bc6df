//! Retention and named checkpoints: what is kept answers as ever, the rest is refused, whatever
//! stops a run.

use crate::support::{P, PATH, assert_clean, at, fresh, open, options, text, v};
use llmdb::vfs::{Call, FaultKind, MemVfs};
use llmdb::{
    Db, Error, ErrorClass, Key, PartitionId, Period, Retention, TreeOptions, TxTime, Value,
};
use llmdb_sim::retention::{Answered, Wanted};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// What was known at each transaction, as one number each.
type Digests = BTreeMap<i64, String>;

/// Every T up to the newest answers as it did, or is refused; answers which are.
fn kept(db: &Db, digests: &Digests) -> Vec<i64> {
    let read = db.read();
    let mut kept = Vec::new();
    for (&tx, digest) in digests {
        match read.digest_at(TxTime(tx)) {
            Ok(found) => {
                assert_eq!(found, *digest, "what was known at {tx}");
                kept.push(tx);
            }
            Err(error) => assert_eq!(error.code(), "history_retired", "{error}"),
        }
    }
    kept
}

fn digests(db: &Db) -> Digests {
    let read = db.read();
    (1..=db.newest_tx().0).map(|tx| (tx, read.digest_at(TxTime(tx)).unwrap())).collect()
}

/// One fact, corrected again and again: transaction i says i - 1.
fn corrected(db: &Db, times: u8) {
    for i in 0..times {
        db.put_at("k", vec![i], v(0)).unwrap();
    }
}

/// Three keys, written again and again, with values of all sizes.
fn written(disk: &MemVfs) -> Db {
    let db = options(disk).auto_checkpoint(false).open(PATH).unwrap();
    for i in 0..60i64 {
        let value = vec![i as u8; [3, 900, 30_000][i as usize % 3]];
        let key = format!("k{}", i % 3);
        match i % 7 {
            5 => db.delete_range(&key, v(i / 2), v(i)).map(drop).unwrap_or(()),
            6 => drop(db.with_note("why".into()).put_range(&key, value, v(i), v(i + 9)).unwrap()),
            _ => drop(db.put(&key, value).unwrap()),
        }
    }
    db
}

#[test]
fn a_run_that_is_stopped_anywhere_changes_no_kept_answer_and_can_go_on() {
    let disk = MemVfs::new();
    let db = written(&disk);
    db.name_checkpoint("pinned", Some(TxTime(17))).unwrap();
    db.set_retention(P, &Retention::all_for(us(8)).then_last_of(Period::Span(us(20)))).unwrap();
    let before = digests(&db);
    db.close().unwrap();
    let mut stops = 0;
    for n in 1.. {
        let disk = disk.crash(&mut |_| true);
        let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
        disk.fail_after(n, FaultKind::Io);
        let done = db.retire(None).and_then(|_| db.checkpoint());
        for crashed in [disk.crash_losing_all(), disk.crash(&mut |_| true)] {
            let db = open(&crashed);
            assert_clean(&db);
            let now = kept(&db, &before);
            assert!(now.len() == before.len() || now.len() < 20, "all is kept, or what is to be");
            db.retire(None).unwrap();
            assert_clean(&db);
            let now = kept(&db, &before);
            assert!(now.contains(&17) && now.contains(&19) && now.contains(&39), "{now:?}");
            assert!(!now.contains(&18) && !now.contains(&16) && !now.contains(&30), "{now:?}");
            assert_eq!(db.retire(None).unwrap(), Default::default(), "nothing is left to do");
        }
        if done.is_ok() {
            break;
        }
        stops += 1;
    }
    assert!(stops > 8, "{stops} places to stop at");
}

#[test]
fn what_was_retired_is_refused_everywhere_and_the_nearest_is_named() {
    let db = fresh();
    corrected(&db, 30);
    db.set_retention(P, &Retention::all_for(us(5)).then_last_of(Period::Span(us(10)))).unwrap();
    db.retire(Some(P)).unwrap();
    let refused = |error: Error| match error {
        Error::HistoryRetired { partition: P, before, after, .. } => (before, after),
        error => panic!("{error}"),
    };
    let read = db.read();
    let nearest = (Some(TxTime(9)), Some(TxTime(19)));
    let view = || read.as_of_transaction(TxTime(15));
    assert_eq!(refused(view().get("k").unwrap_err()), nearest);
    assert_eq!(refused(view().scan(P, "").unwrap_err()), nearest);
    assert_eq!(refused(view().get("never written").unwrap_err()), nearest);
    assert_eq!(refused(read.timeline("k", Some(TxTime(15))).unwrap_err()), nearest);
    assert_eq!(refused(read.diff(P, "", at(15, 15), read.now()).unwrap_err()), nearest);
    assert_eq!(refused(read.diff(P, "", read.now(), at(15, 15)).unwrap_err()), nearest);
    let tx = db.begin().unwrap();
    assert_eq!(refused(tx.timeline("k", Some(TxTime(15))).unwrap_err()), nearest);
    tx.commit().unwrap();
    // 31 is the newest transaction, that of the policy itself: all is kept from 26 on.
    let changes = refused(read.changes(TxTime(1), None, None).unwrap_err());
    let from = changes.1.unwrap();
    assert!(read.changes(from, None, None).unwrap().changes.len() >= 5);
    assert!(read.changes(TxTime(from.0 - 1), None, None).is_err());
    assert_eq!(
        refused(read.changes_after("12:0".parse().unwrap(), None, None).unwrap_err()).1,
        changes.1
    );
    // What is kept, and another partition, answer.
    assert_eq!(
        read.as_of_transaction(TxTime(9)).get("k").unwrap().unwrap().value,
        Value::Raw(vec![8])
    );
    assert!(
        read.as_of_transaction(TxTime(15)).get(Key::new(PartitionId(1), "k")).unwrap().is_none()
    );
    assert!(read.as_of_transaction(TxTime(0)).get("k").unwrap().is_none(), "nothing was known");
    let (code, class) = ("history_retired", ErrorClass::Temporal);
    let error = view().get("k").unwrap_err();
    assert_eq!((error.code(), error.class(), error.is_retryable()), (code, class, false));
    // History lists what was believed at any kept T, each rectangle whole.
    let history = read.history("k").unwrap();
    assert!(
        history.iter().any(|r| r.tx == TxTime(9)) && !history.iter().any(|r| r.tx == TxTime(15))
    );
    assert_eq!(read.get_versions("k").unwrap().len(), 7, "9, 19, and 26 to 30");
}

#[test]
fn a_snapshot_answers_as_it_did_and_writers_go_on() {
    let db = fresh();
    corrected(&db, 40);
    let before = db.read();
    let mut open = db.begin().unwrap();
    assert!(open.get("k").unwrap().is_some());
    db.set_retention(P, &Retention::all_for(us(0))).unwrap();
    db.retire(None).unwrap();
    assert!(before.as_of_transaction(TxTime(7)).get("k").unwrap().is_some());
    assert!(db.as_of_transaction(TxTime(7)).get("k").is_err());
    // What it read was not touched: it does not conflict.
    open.put("other", b"1").unwrap();
    open.commit().unwrap();
    assert_clean(&db);
}

#[test]
fn names_pin_are_listed_and_are_dropped() {
    let db = fresh();
    corrected(&db, 20);
    assert_eq!(db.name_checkpoint("late", None).unwrap(), TxTime(20));
    assert_eq!(db.name_checkpoint("early", Some(TxTime(5))).unwrap(), TxTime(5));
    let code = |error: Error| error.code();
    assert_eq!(code(db.name_checkpoint("late", None).unwrap_err()), "name_taken");
    assert_eq!(code(db.name_checkpoint("", None).unwrap_err()), "empty_name");
    assert_eq!(code(db.name_checkpoint("x", Some(TxTime(99))).unwrap_err()), "unknown_transaction");
    assert_eq!(code(db.as_of_checkpoint("nobody").unwrap_err()), "unknown_checkpoint");
    assert_eq!(code(db.as_of_checkpoint("").unwrap_err()), "unknown_checkpoint");
    assert_eq!(code(db.as_of_checkpoint(&"x".repeat(9999)).unwrap_err()), "unknown_checkpoint");
    assert_eq!(code(db.drop_checkpoint("nobody").unwrap_err()), "unknown_checkpoint");
    let names: Vec<_> = db.checkpoints().unwrap().into_iter().map(|c| (c.name, c.tx.0)).collect();
    assert_eq!(names, [("early".to_owned(), 5), ("late".to_owned(), 20)]);
    db.set_retention(P, &Retention::all_for(us(1))).unwrap();
    db.retire(None).unwrap();
    let early = |db: &Db| db.as_of_checkpoint("early").unwrap().get("k");
    assert_eq!(early(&db).unwrap().unwrap().value, Value::Raw(vec![4]));
    assert_eq!(
        code(db.name_checkpoint("between", Some(TxTime(9))).unwrap_err()),
        "history_retired"
    );
    assert_eq!(db.drop_checkpoint("early").unwrap(), TxTime(5));
    assert_eq!(code(db.as_of_checkpoint("early").unwrap_err()), "unknown_checkpoint");
    assert!(db.as_of_transaction(TxTime(5)).get("k").unwrap().is_some(), "until the next run");
    db.retire(None).unwrap();
    assert_eq!(code(db.as_of_transaction(TxTime(5)).get("k").unwrap_err()), "history_retired");
    assert_eq!(db.name_checkpoint("early", None).unwrap(), db.read().checkpoint("early").unwrap());
    assert_clean(&db);
}

#[test]
fn policies_are_records_of_their_own_and_bad_ones_are_refused() {
    let db = fresh();
    assert_eq!(db.retention(P).unwrap(), Retention::forever());
    let policy = Retention::all_for(us(9)).then_last_of_for(Period::Month, us(7));
    db.set_retention(P, &policy).unwrap();
    assert_eq!(db.retention(P).unwrap(), policy);
    let none = Retention::all_for(us(9)).then_last_of(Period::Span(us(0)));
    assert_eq!(db.set_retention(P, &none).unwrap_err().code(), "bad_policy");
    let meta = PartitionId(u32::MAX);
    assert_eq!(db.set_retention(meta, &policy).unwrap_err().code(), "reserved_partition");
    db.set_retention(P, &Retention::forever()).unwrap();
    assert_eq!(db.retire(None).unwrap(), Default::default());
    assert_eq!(db.kept(P).unwrap(), [TxTime::MIN..TxTime::INFINITY]);
}

#[test]
fn writers_and_runs_at_once_leave_everything_in_order() {
    let db = fresh();
    db.set_retention(P, &Retention::all_for(us(20)).then_last_of(Period::Span(us(50)))).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..3u8 {
            let db = &db;
            scope.spawn(move || {
                for i in 0..150u8 {
                    let key = format!("k{}", (i + writer) % 5);
                    db.put_at(&key, vec![i; 40], v(0)).unwrap();
                    if i % 40 == 0 {
                        db.name_checkpoint(&format!("{writer}-{i}"), None).unwrap();
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..12 {
                db.retire(None).unwrap();
            }
        });
    });
    db.retire(None).unwrap();
    assert_clean(&db);
    for pinned in db.checkpoints().unwrap() {
        db.read().digest_at(pinned.tx).unwrap();
    }
    assert!(db.get_versions("k0").unwrap().len() < 60, "most of it is gone");
}

#[test]
fn the_space_of_what_was_retired_is_used_again() {
    // Compressed, it would take few pages.
    let disk = MemVfs::new();
    let db = options(&disk).compression(TreeOptions::default()).open(PATH).unwrap();
    let write = |db: &Db| {
        for i in 0..3000u32 {
            let value = i.to_le_bytes().repeat(60);
            db.put_at(format!("key {}", i % 100), value, v(0)).unwrap();
        }
        db.checkpoint().unwrap();
        db.checkpoint().unwrap();
        db.stats().unwrap()
    };
    let full = write(&db);
    db.set_retention(P, &Retention::all_for(us(100))).unwrap();
    let report = db.retire(None).unwrap();
    db.put("one more", b"so that there is something to write").unwrap();
    db.checkpoint().unwrap();
    db.put("one more", b"and the older state is let go").unwrap();
    db.checkpoint().unwrap();
    let thin = db.stats().unwrap();
    println!("pages used: {} before, {} after, {report:?}", full.pages_used, thin.pages_used);
    assert!(thin.pages_used * 4 < full.pages_used, "{} of {}", thin.pages_used, full.pages_used);
    assert!(thin.pages_free * 2 > full.pages_used);
    let again = write(&db);
    assert!(again.file_bytes < full.file_bytes * 3 / 2, "the file does not grow as much again");
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Put(u32, u8, u8),
    Delete(u32, u8),
    Name,
    Erase(u32, u8),
    Checkpoint,
    Crash(u64),
    Retire(Wanted),
}

fn step() -> impl Strategy<Value = Step> {
    let wanted = (0i64..12, proptest::collection::vec((1i64..9, 0i64..60), 0..2));
    prop_oneof![
        9 => (0u32..2, 0u8..4, any::<u8>()).prop_map(|(p, k, value)| Step::Put(p, k, value)),
        2 => (0u32..2, 0u8..4).prop_map(|(p, k)| Step::Delete(p, k)),
        1 => Just(Step::Name),
        1 => (0u32..2, 0u8..4).prop_map(|(p, k)| Step::Erase(p, k)),
        1 => Just(Step::Checkpoint),
        1 => any::<u64>().prop_map(Step::Crash),
        2 => wanted.prop_map(|(all, periods)| Step::Retire(Wanted { all, periods, pins: vec![] })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 300, ..Default::default() })]

    #[test]
    fn any_history_of_runs_keeps_exactly_what_the_oracle_keeps(
        steps in proptest::collection::vec(step(), 1..50),
    ) {
        let mut disk = MemVfs::new();
        let mut db = open(&disk);
        let (mut known, mut pins) = (Digests::new(), Vec::new());
        // Those of partition 0, each with its key.
        let mut written: Vec<(i64, u8)> = Vec::new();
        let mut answered = Answered::default();
        for step in &steps {
            let key = |p: &u32, k: &u8| Key::new(PartitionId(*p), format!("k{k}"));
            match step {
                Step::Put(p, k, value) => {
                    let (key, value) = (key(p, k), vec![*value; 50]);
                    let tx = match value[0] % 3 {
                        0 => db.put(key, value),
                        n => db.put_at(key, value, v(n.into())),
                    };
                    let tx = tx.unwrap();
                    written.extend((*p == 0).then_some((tx.0, *k)));
                }
                Step::Delete(p, k) => {
                    let tx = db.delete(key(p, k)).unwrap();
                    written.extend((*p == 0).then_some((tx.0, *k)));
                }
                Step::Name => {
                    let name = format!("{}", pins.len());
                    pins.push(db.name_checkpoint(&name, None).unwrap().0);
                }
                Step::Erase(p, k) => {
                    db.erase(key(p, k)).unwrap();
                    // Gaps begin and end where they did.
                    let bound = |tx| answered.answers(tx) != answered.answers(tx - 1);
                    written.retain(|(tx, of)| *p != 0 || of != k || bound(*tx));
                    // What was known is another thing now, wherever it is still answered.
                    for (&tx, digest) in &mut known {
                        if answered.answers(tx) {
                            *digest = db.read().digest_at(TxTime(tx)).unwrap();
                        }
                    }
                    assert_clean(&db);
                }
                Step::Checkpoint => db.checkpoint().unwrap(),
                Step::Crash(seed) => {
                    let mut random = *seed | 1;
                    disk = disk.crash(&mut |_| {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random.is_multiple_of(2)
                    });
                    db = open(&disk);
                }
                Step::Retire(wanted) => {
                    let mut policy = Retention::all_for(us(wanted.all as u64));
                    for &(every, span) in &wanted.periods {
                        let period = Period::Span(us(every as u64));
                        policy = policy.then_last_of_for(period, us(span as u64));
                    }
                    let now = db.set_retention(P, &policy).unwrap();
                    db.retire(Some(P)).unwrap();
                    let wanted = Wanted { pins: pins.clone(), ..wanted.clone() };
                    let txs: Vec<i64> = written.iter().map(|(tx, _)| *tx).collect();
                    answered.run(&txs, &wanted, now.0);
                    assert_clean(&db);
                }
            }
            let newest = db.newest_tx();
            known.insert(newest.0, db.read().digest_at(newest).unwrap());
            let expected: Vec<i64> =
                known.keys().copied().filter(|&tx| answered.answers(tx)).collect();
            prop_assert_eq!(kept(&db, &known), expected);
        }
    }
}

#[test]
fn text_of_a_view_is_that_of_its_time() {
    let db = fresh();
    db.put("plan", b"draft").unwrap();
    db.name_checkpoint("draft", None).unwrap();
    db.put("plan", b"final").unwrap();
    let fact = db.as_of_checkpoint("draft").unwrap().get("plan").unwrap().unwrap();
    assert_eq!(text(&fact), "draft");
    let fact = db.read().as_of_checkpoint("draft").unwrap().get("plan").unwrap().unwrap();
    assert_eq!(text(&fact), "draft");
}

/// Waits for what a thread of the database does some time after.
fn eventually(db: &Db, what: impl Fn(&Db) -> bool) {
    for _ in 0..30_000 {
        if what(db) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it does not come: {:?}, {:?}", db.metrics(), db.stats());
}

#[test]
fn retention_runs_by_itself_and_ends_with_the_last_handle() {
    let disk = MemVfs::new();
    let often = || options(&disk).retire_every(Some(Duration::from_millis(1)));
    let db = often().open(PATH).unwrap();
    corrected(&db, 50);
    assert_eq!(db.metrics().retention_runs, 0, "there is no policy");
    db.set_retention(P, &Retention::all_for(us(10))).unwrap();
    eventually(&db, |db| db.metrics().retention_removed > 0);
    assert_eq!(db.read().digest_at(TxTime(5)).unwrap_err().code(), "history_retired");
    assert_eq!(db.get("k").unwrap().unwrap().value, (&[49][..]).into());
    // What gets older is given up, too.
    let removed = db.metrics().retention_removed;
    corrected(&db, 50);
    eventually(&db, |db| db.metrics().retention_removed > removed);
    assert_eq!(
        (db.metrics().failed_retention_runs, db.stats().unwrap().retention_error),
        (0, None)
    );
    let other = db.clone();
    let feed = other.feed("f").unwrap();
    drop(db);
    let runs = other.metrics().retention_runs;
    corrected(&other, 20);
    eventually(&other, |db| db.metrics().retention_runs > runs);
    drop(feed);
    other.close().unwrap();

    // A policy that is there already is enough, and a handle that is dropped closes at once.
    for _ in 0..20 {
        let db = often().open(PATH).unwrap();
        corrected(&db, 20);
        drop(db);
    }
    let db = often().open(PATH).unwrap();
    eventually(&db, |db| db.metrics().retention_runs > 2);
    assert_clean(&db);
    db.close().unwrap();
    let db = often().read_only(true).open(PATH).unwrap();
    assert_eq!(db.metrics().retention_runs, 0);
}

#[test]
fn retention_runs_that_fail_are_seen() {
    let disk = MemVfs::new();
    let db = options(&disk).retire_every(Some(Duration::from_millis(1))).open(PATH).unwrap();
    corrected(&db, 30);
    db.set_retention(P, &Retention::all_for(us(10))).unwrap();
    eventually(&db, |db| db.metrics().retention_removed > 0);
    assert_eq!(db.stats().unwrap().retention_error, None);
    disk.fail_nth(Call::Sync, 1, FaultKind::Io);
    while db.put_at("k", b"x", v(0)).is_ok() {}
    eventually(&db, |db| db.metrics().failed_retention_runs > 1);
    assert_eq!(db.stats().unwrap().retention_error, Some("poisoned"));
    assert!(db.close().is_err());
    let db = options(&disk).retire_every(Some(Duration::from_millis(1))).open(PATH).unwrap();
    eventually(&db, |db| db.metrics().retention_runs > 0);
    assert_eq!(
        (db.metrics().failed_retention_runs, db.stats().unwrap().retention_error),
        (0, None)
    );
    assert_clean(&db);
}

#[test]
fn retention_does_not_run_by_itself_where_that_was_not_asked_for() {
    // Logical time does not pass by itself.
    for options in [fresh_options(), fresh_options().clock(llmdb::Clock::Wall).retire_every(None)] {
        let db = options.open(PATH).unwrap();
        corrected(&db, 30);
        db.set_retention(P, &Retention::all_for(us(10))).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!((db.metrics().retention_runs, db.kept(P).unwrap().len()), (0, 1));
        assert!(db.retire(None).unwrap().removed > 0);
    }
}

fn fresh_options() -> llmdb::Options {
    options(&MemVfs::new())
}
