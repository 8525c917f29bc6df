//! Power failures while threads write and checkpoints run: what was acknowledged before is there,
//! what was not begun is not, and everything is in order.

use crate::support::{P, PATH, assert_clean, options};
use llmdb::vfs::MemVfs;
use llmdb::{Db, Error, TxTime};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const WRITERS: usize = 3;

/// How far each writer is. Sequentially consistent: the test compares them across threads.
#[derive(Default)]
struct Progress {
    begun: [AtomicU64; WRITERS],
    acknowledged: [AtomicU64; WRITERS],
}

impl Progress {
    fn read(of: &[AtomicU64; WRITERS]) -> Vec<u64> {
        of.iter().map(|count| count.load(Ordering::SeqCst)).collect()
    }
}

fn value(writer: usize, i: u64) -> Vec<u8> {
    let len = if i.is_multiple_of(9) { 9_000 } else { 30 + (i as usize * 37) % 600 };
    format!("{writer}/{i}/").into_bytes().into_iter().cycle().take(len).collect()
}

/// Writes 1, 2, 3..., each in two keys of one transaction.
fn write(db: &Db, writer: usize, progress: &Progress, stop: &AtomicBool) {
    for i in 1.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        progress.begun[writer].store(i, Ordering::SeqCst);
        let write = || {
            db.write(|tx| {
                tx.note(i.into())?;
                tx.put(format!("last/{writer}"), i.to_string().as_bytes())?;
                tx.put(format!("all/{writer}/{:03}", i % 200), value(writer, i))
            })
        };
        // There is little memory: a refusal for want of it is to be tried again.
        while let Err(error) = write() {
            assert!(matches!(error, Error::CacheFull), "{error}");
        }
        progress.acknowledged[writer].store(i, Ordering::SeqCst);
    }
}

/// What a survivor holds of each writer: all of its writes up to some number.
fn check(db: &Db, acknowledged: &[u64], begun: &[u64]) {
    assert_clean(db);
    let mut total = 0;
    for writer in 0..WRITERS {
        let last = db.get_as::<String>(format!("last/{writer}")).unwrap();
        let last: u64 = last.map_or(0, |last| last.parse().unwrap());
        assert!(acknowledged[writer] <= last, "{} acknowledged, {last} kept", acknowledged[writer]);
        assert!(last <= begun[writer], "{} begun, {last} kept", begun[writer]);
        total += last;
        let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
        newest.extend((1..=last).map(|i| (i % 200, i)));
        let rows = db.scan(P, format!("all/{writer}/")).unwrap().map(|row| row.unwrap().fact);
        let found: Vec<Vec<u8>> = rows.map(|fact| fact.value.to().unwrap()).collect();
        assert!(found.into_iter().eq(newest.values().map(|&i| value(writer, i))));
    }
    assert_eq!(db.newest_tx(), TxTime(total as i64), "no transaction is half there");
}

#[test]
fn a_crash_at_any_moment_keeps_what_was_acknowledged() {
    for seed in 1..=12u64 {
        let mut disk = MemVfs::new();
        let mut random = seed;
        // Each survivor is written to and crashes again.
        let db = options(&disk).memory_bytes(1 << 20).open(PATH).unwrap();
        let (progress, stop) = (Progress::default(), AtomicBool::new(false));
        let mut crashes = Vec::new();
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (db, progress, stop) = (&db, &progress, &stop);
                scope.spawn(move || write(db, writer, progress, stop));
            }
            for _ in 0..4 {
                thread::sleep(Duration::from_millis(12));
                let acknowledged = Progress::read(&progress.acknowledged);
                let crashed = disk.crash(&mut |_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random & 3 != 0
                });
                crashes.push((crashed, acknowledged, Progress::read(&progress.begun)));
            }
            stop.store(true, Ordering::SeqCst);
        });
        for (crashed, acknowledged, begun) in crashes {
            let db = options(&crashed).memory_bytes(1 << 20).open(PATH).unwrap();
            check(&db, &acknowledged, &begun);
            db.checkpoint().unwrap();
            // The survivor fails in its turn, with nothing lost in between.
            let again = options(&crashed.crash_losing_all()).open(PATH).unwrap();
            check(&again, &acknowledged, &begun);
        }
        let done = Progress::read(&progress.acknowledged);
        check_settled(&db, &done);
        db.close().unwrap();
        disk = disk.crash_losing_all();
        check(&options(&disk).open(PATH).unwrap(), &done, &done);
    }
}

/// With no checkpoint under way.
fn check_settled(db: &Db, done: &[u64]) {
    db.checkpoint().unwrap();
    check(db, done, done);
}
