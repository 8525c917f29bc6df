//! Following what is written: in the order of commits, nothing skipped, nothing lost between a
//! read and its acknowledgement.

use crate::support::{P, PATH, assert_clean, fresh, open, options};
use llmdb::vfs::{Call, FaultKind, MemVfs};
use llmdb::{Change, Cursor, Db, Durability, Error, Feed, PartitionId, TxTime, WatchFrom};
use proptest::prelude::*;
use std::thread;
use std::time::Duration;

/// Longer than any test takes: whoever is not woken fails instead of hanging.
const LONG: Duration = Duration::from_secs(60);

fn drain(feed: &mut Feed) -> Vec<Cursor> {
    let mut all = Vec::new();
    while let Some(change) = feed.next().unwrap() {
        all.push(change.cursor());
    }
    all
}

/// Everything in the feed of changes.
fn everything(db: &Db) -> Vec<Cursor> {
    let all = db.changes(TxTime::MIN, None, None).unwrap().changes;
    all.iter().map(Change::cursor).collect()
}

fn put_many(db: &Db, count: usize) {
    for i in 0..count {
        db.put(format!("k{i}"), format!("{i}").as_bytes()).unwrap();
    }
}

#[test]
fn a_feed_goes_on_behind_what_was_acknowledged_after_a_reopening() {
    let disk = MemVfs::new();
    let db = open(&disk);
    put_many(&db, 200);
    let mut feed = db.feed("indexer").unwrap();
    for _ in 0..77 {
        feed.next().unwrap().unwrap();
    }
    feed.ack().unwrap();
    for _ in 0..50 {
        feed.next().unwrap().unwrap();
    }
    drop(feed);
    db.close().unwrap();
    let db = open(&disk);
    db.put("later", b"v").unwrap();
    let mut feed = db.feed("indexer").unwrap();
    assert_eq!(feed.acknowledged(), everything(&db)[76]);
    assert_eq!(drain(&mut feed), everything(&db)[77..]);
    feed.rewind();
    assert_eq!(drain(&mut feed), everything(&db)[77..], "not acknowledged: it comes again");
    feed.ack().unwrap();
    feed.rewind();
    assert_eq!(drain(&mut feed), []);
    assert_clean(&db);
}

#[test]
fn acknowledging_leaves_no_trace_among_the_facts() {
    let db = fresh();
    put_many(&db, 5);
    let (digest, changes, newest) = (db.digest().unwrap(), everything(&db), db.newest_tx());
    let mut feed = db.feed("indexer").unwrap();
    let mut other = db.feed_from("mailer", WatchFrom::Newest).unwrap();
    while feed.next().unwrap().is_some() {
        feed.ack().unwrap();
    }
    assert_eq!(other.next().unwrap(), None, "what acknowledging commits is no change");
    assert_eq!((db.digest().unwrap(), everything(&db), db.newest_tx()), (digest, changes, newest));
    assert_eq!(db.put("next", b"v").unwrap(), TxTime(newest.0 + 1));
    let names: Vec<_> = db.feeds().unwrap().into_iter().map(|feed| feed.name).collect();
    assert_eq!(names, ["indexer", "mailer"]);
    assert_clean(&db);
}

#[test]
fn a_watcher_misses_nothing_that_several_writers_commit() {
    const WRITERS: usize = 4;
    const EACH: usize = 150;
    let db = fresh();
    let mut watch = db.watch(WatchFrom::Newest);
    let mut seen = Vec::new();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let db = &db;
            scope.spawn(move || {
                for i in 0..EACH {
                    let durability = [Durability::Sync, Durability::Async][i % 2];
                    let mut tx = db.begin().unwrap();
                    tx.durability(durability);
                    tx.put(format!("{writer}/{i}"), b"a").unwrap();
                    tx.put(format!("{writer}/{i}/2"), b"b").unwrap();
                    tx.commit().unwrap();
                }
            });
        }
        while seen.len() < 2 * WRITERS * EACH {
            let batch = watch.next_batch(37, LONG).unwrap();
            assert!(!batch.is_empty() && batch.len() <= 37);
            seen.extend(batch.iter().map(Change::cursor));
        }
    });
    assert_eq!(seen, everything(&db));
    assert!(watch.next_timeout(Duration::ZERO).unwrap().is_none());
}

#[test]
fn whoever_waits_is_woken_by_the_commit() {
    let db = fresh();
    let mut feed = db.feed("indexer").unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| feed.next_timeout(LONG).unwrap().unwrap());
        db.put("k", b"v").unwrap();
        assert_eq!(waiting.join().unwrap().key, b"k");
    });
    // A time that never comes is waited for as long as it takes.
    let mut watch = db.watch(WatchFrom::Newest);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| watch.next_timeout(Duration::MAX).unwrap().unwrap());
        db.put("k", b"w").unwrap();
        assert_eq!(waiting.join().unwrap().tx, TxTime(2));
    });
}

#[test]
fn whoever_waits_is_told_when_nothing_will_come() {
    let disk = MemVfs::new();
    let db = open(&disk);
    db.put("k", b"v").unwrap();
    let mut watch = db.watch(WatchFrom::Newest);
    disk.fail_nth(Call::Sync, 1, FaultKind::Io);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| watch.next_timeout(LONG));
        assert!(matches!(db.put("k", b"w"), Err(Error::Poisoned { .. } | Error::Io(_))));
        let told = waiting.join().unwrap();
        assert!(matches!(told, Err(Error::Poisoned { .. })), "{told:?}");
    });
}

#[test]
fn a_feed_of_a_prefix_passes_over_the_rest() {
    let db = fresh();
    let other = PartitionId(7);
    for i in 0..300 {
        db.put(format!("a{i}"), b"v").unwrap();
        db.put(llmdb::Key::new(other, format!("a{i}")), b"v").unwrap();
    }
    db.put("b1", b"wanted").unwrap();
    let mut feed = db.feed("b").unwrap().only(P, "b");
    assert_eq!(feed.next().unwrap().unwrap().key, b"b1");
    feed.ack().unwrap();
    put_many(&db, 100);
    assert_eq!(feed.next().unwrap(), None);
    feed.ack().unwrap();
    assert_eq!(feed.acknowledged().tx, db.newest_tx(), "what is left out is passed");
    let in_other: Vec<_> = std::iter::from_fn({
        let mut watch = db.watch(WatchFrom::Oldest).only(other, "");
        move || watch.next().unwrap()
    })
    .collect();
    assert_eq!(in_other.len(), 300);
    assert!(in_other.iter().all(|change| change.partition == other));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let db = fresh();
    put_many(&db, 2);
    assert!(matches!(db.feed(""), Err(Error::EmptyName)));
    assert!(matches!(db.feed(&"n".repeat(5000)), Err(Error::KeyTooLong { .. })));
    let to_come = Cursor { tx: TxTime(3), op: 0 };
    let refused = db.feed_from("early", WatchFrom::After(to_come));
    assert!(matches!(refused, Err(Error::BadCursor)), "{refused:?}");
    let mut feed = db.feed_from("late", WatchFrom::After(Cursor { tx: TxTime(1), op: 0 })).unwrap();
    assert!(matches!(feed.ack_to(to_come), Err(Error::BadCursor)));
    assert_eq!(feed.next().unwrap().unwrap().tx, TxTime(2));
    feed.ack().unwrap();
    feed.ack_to(Cursor { tx: TxTime(1), op: 0 }).unwrap();
    assert_eq!(db.feed("late").unwrap().acknowledged().tx, TxTime(2), "it never goes back");
    assert!(db.drop_feed("late").unwrap());
    assert!(!db.drop_feed("late").unwrap());
    db.put("k", b"v").unwrap();
    feed.next().unwrap().unwrap();
    let gone = feed.ack();
    assert!(matches!(&gone, Err(Error::FeedNotFound { name }) if name == "late"), "{gone:?}");
    assert_eq!(db.feed("late").unwrap().acknowledged(), Cursor::START);
}

#[test]
fn of_two_handles_the_furthest_acknowledgement_counts() {
    let db = fresh();
    put_many(&db, 10);
    let (mut a, mut b) = (db.feed("x").unwrap(), db.feed("x").unwrap());
    for _ in 0..7 {
        a.next().unwrap();
    }
    b.next().unwrap();
    a.ack().unwrap();
    b.ack().unwrap();
    assert_eq!(db.feed("x").unwrap().acknowledged().tx, TxTime(7));
}

/// One step of a consumer's life.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Read(usize),
    Ack,
    Checkpoint,
    Reopen,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..6).prop_map(Step::Write),
        4 => (1usize..8).prop_map(Step::Read),
        3 => Just(Step::Ack),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(Step::Crash),
    ]
}

fn crash(disk: &MemVfs, seed: u64) -> MemVfs {
    let mut random = seed | 1;
    disk.crash(&mut |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.is_multiple_of(2)
    })
}

/// A consumer that crashes between reading and acknowledging sees every change that survived, in
/// order and at least once; what it acknowledged survived, and does not come again.
fn live(durability: Durability, steps: &[Step]) {
    let mut disk = MemVfs::new();
    let open = |disk: &MemVfs| options(disk).durability(durability).open(PATH).unwrap();
    let mut db = open(&disk);
    let mut feed = db.feed("consumer").unwrap();
    let (mut next, mut written) = (Cursor::START, 0);
    for &step in steps {
        match step {
            Step::Write(count) => {
                for i in 0..count {
                    written += 1;
                    db.write(|tx| (0..=i % 3).try_for_each(|n| tx.put(format!("k{n}"), b"v")))
                        .unwrap();
                }
            }
            Step::Read(count) => {
                let behind: Vec<_> =
                    everything(&db).into_iter().filter(|cursor| *cursor > next).collect();
                for expected in behind.into_iter().take(count) {
                    let change = feed.next().unwrap().expect("there is more");
                    assert_eq!(change.cursor(), expected, "in order, none skipped");
                    next = expected;
                }
            }
            Step::Ack => {
                feed.ack().unwrap();
                assert_eq!(feed.acknowledged(), next);
            }
            Step::Checkpoint => db.checkpoint().unwrap(),
            Step::Reopen | Step::Crash(_) => {
                let acknowledged = feed.acknowledged();
                if let Step::Crash(seed) = step {
                    disk = crash(&disk, seed);
                }
                drop(feed);
                drop(db);
                db = open(&disk);
                feed = db.feed("consumer").unwrap();
                next = feed.acknowledged();
                if durability == Durability::Sync {
                    assert_eq!(next, acknowledged, "acknowledging is as durable as a commit");
                    assert_eq!(db.newest_tx().0, written);
                }
                assert!(next <= acknowledged);
                let lost = next > Cursor::START && next.tx > db.newest_tx();
                assert!(!lost, "what was acknowledged is there");
                written = db.newest_tx().0;
            }
        }
    }
    assert_clean(&db);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_crash_between_reading_and_acknowledging_skips_nothing(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        live(Durability::Sync, &steps);
        live(Durability::Async, &steps);
    }
}

#[test]
fn an_acknowledgement_that_fails_has_not_happened() {
    for n in 1.. {
        let disk = MemVfs::new();
        let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
        put_many(&db, 3);
        let mut feed = db.feed("consumer").unwrap();
        feed.next().unwrap();
        disk.fail_after(n, FaultKind::NoSpace);
        let acked = feed.ack();
        disk.clear_faults();
        let handle = feed.acknowledged();
        drop(feed);
        drop(db);
        let db = open(&disk.crash_losing_all());
        let kept = db.feed("consumer").unwrap().acknowledged();
        match acked {
            Ok(()) => {
                assert_eq!(kept.tx, TxTime(1));
                return;
            }
            Err(error) => {
                assert!(!matches!(error, Error::Corrupt { .. }), "{error}");
                assert_eq!((handle, kept), (Cursor::START, Cursor::START), "call {n}: {error}");
            }
        }
    }
}
