//! What bit others: a panic in the caller's code that leaves pages, locks or a place taken. Whatever
//! panics, the same handle goes on, and nothing is missing or left.

use crate::support::{P, PATH, assert_clean, options};
use llmdb::vfs::{Clock, MemVfs};
use llmdb::{Db, Options, Progress, Restore, ValueKind, WatchFrom};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A source that panics after some bytes.
struct Panicking(usize);

impl Read for Panicking {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        assert!(self.0 > 0, "as it was meant to");
        let len = buf.len().min(self.0);
        self.0 -= len;
        Ok(len)
    }
}

/// A clock that panics when it is asked for the last time of its time.
#[derive(Debug)]
struct Ticking {
    now: AtomicI64,
    panics_in: AtomicI64,
}

impl Clock for Ticking {
    fn now_us(&self) -> i64 {
        let left = self.panics_in.fetch_sub(1, Ordering::SeqCst);
        assert!(left != 1, "as it was meant to");
        self.now.fetch_add(1, Ordering::SeqCst)
    }
}

fn meant_to() -> ! {
    panic!("as it was meant to")
}

type Deed = (&'static str, fn(&Db));

/// What panics in the middle of something.
const DEEDS: [Deed; 14] = [
    ("a transaction", |db| {
        let _ = db.write(|tx| -> llmdb::Result<()> {
            tx.put("a", vec![1; 500])?;
            tx.lock_for_update("b")?;
            let _ = tx.savepoint();
            meant_to()
        });
    }),
    ("a transaction that has spilled", |db| {
        let _ = db.write(|tx| -> llmdb::Result<()> {
            (0..400).try_for_each(|i| tx.put(format!("s{i}"), vec![i as u8; 900]))?;
            assert!(tx.scan(P, "s")?.count() == 400);
            meant_to()
        });
    }),
    ("a transaction with long values", |db| {
        let mut tx = db.begin().unwrap();
        tx.put("long", vec![1; 300_000]).unwrap();
        tx.put_from("from", &[2; 200_000][..], None).unwrap();
        meant_to()
    }),
    ("a value that is being written", |db| {
        let mut tx = db.begin().unwrap();
        let mut writer = tx.value_writer("w", None).unwrap();
        writer.push(&[3; 200_000]).unwrap();
        meant_to()
    }),
    ("a value that belongs to nobody", |db| {
        let mut value = db.long_value(ValueKind::Json, None).unwrap();
        value.push(b"[\"").unwrap();
        value.push(&[b'x'; 200_000]).unwrap();
        meant_to()
    }),
    ("a source", |db| drop(db.put_from("source", Panicking(200_000), Some(400_000)))),
    ("a source of a transaction", |db| {
        let mut tx = db.begin().unwrap();
        tx.put("before", b"v").unwrap();
        let _ = tx.put_from("source", Panicking(200_000), None);
    }),
    ("who reads a value", |db| {
        let tx = db.begin().unwrap();
        let _ = tx.with_value_reader("kept:long", None, |_| -> llmdb::Result<()> { meant_to() });
    }),
    ("who reads rows", |db| {
        let read = db.read();
        let mut rows = read.scan(P, "kept").unwrap();
        assert!(rows.next().unwrap().is_ok());
        meant_to()
    }),
    ("who holds a snapshot in a thread", |db| {
        std::thread::scope(|scope| {
            let held = scope.spawn(|| {
                let _read = db.read();
                let _view = db.as_of_transaction(llmdb::TxTime(1));
                meant_to()
            });
            assert!(held.join().is_err());
        });
        meant_to()
    }),
    ("who follows a feed", |db| {
        let mut watch = db.watch(WatchFrom::Oldest);
        watch.next().unwrap().unwrap();
        meant_to()
    }),
    ("who is told of a backup", |db| {
        drop(db.backup_with(None, Path::new("/backup"), &mut |_: Progress| meant_to()));
    }),
    ("who is told of a verification", |db| {
        drop(db.verify_with(&mut |_: Progress| meant_to()));
    }),
    ("who is told of a copy", |db| {
        drop(db.compact_into_with(Path::new("/copy"), &mut |_: Progress| meant_to()));
    }),
];

/// One transaction at a time: one that is left over is noticed.
fn open(disk: &MemVfs) -> Db {
    let options: Options = options(disk).auto_checkpoint(false).tx_memory_bytes(1);
    let options = options.max_active_transactions(Some(1)).lock_wait_max(Duration::ZERO);
    options.snapshot_age_max(None).open(PATH).unwrap()
}

fn goes_on(what: &str, db: &Db, round: u32) {
    for key in ["a", "b", "s7", "w", "source"] {
        assert!(db.get(key).unwrap().is_none(), "{what}: half of it is there");
    }
    db.write(|tx| {
        tx.lock_for_update("a")?;
        tx.lock_for_update("b")?;
        tx.put("kept:round", round.to_le_bytes().to_vec())
    })
    .unwrap_or_else(|error| panic!("{what}: {error}"));
    let stats = db.stats().unwrap();
    assert_eq!((stats.transactions, stats.states), (0, 1), "{what}");
    db.checkpoint().unwrap();
}

#[test]
fn whatever_panics_leaves_the_database_as_it_was() {
    let disk = MemVfs::new();
    let db = open(&disk);
    for i in 0..700 {
        db.put(format!("kept:{i:03}"), vec![i as u8; 300]).unwrap();
    }
    db.put("kept:long", vec![5; 200_000]).unwrap();
    db.put("kept:round", 0u32.to_le_bytes().to_vec()).unwrap();
    db.checkpoint().unwrap();
    for (what, deed) in DEEDS {
        let mut free = Vec::new();
        for round in 0..6 {
            assert!(catch_unwind(AssertUnwindSafe(|| deed(&db))).is_err(), "{what}: no panic");
            goes_on(what, &db, round);
            goes_on(what, &db, round);
            let stats = db.stats().unwrap();
            free.push((stats.pages_pending, stats.file_bytes));
        }
        assert_clean(&db);
        // Nothing is held back, and the file does not grow by each of them.
        assert_eq!(free[3].1, free[5].1, "{what}: {free:?}");
        assert!(free[5].0 <= free[1].0 + 8, "{what}: {free:?}");
    }
    let digest = db.digest().unwrap();
    let crashed = disk.crash_losing_all();
    db.close().unwrap();
    for disk in [crashed, disk] {
        let db = open(&disk);
        assert_eq!(db.digest().unwrap(), digest);
        assert_clean(&db);
    }
}

/// The caller's clock is asked in the middle of a commit, under the lock that orders commits.
#[test]
fn a_clock_that_panics_within_a_commit_stops_nobody() {
    let disk = MemVfs::new();
    let clock = Arc::new(Ticking { now: AtomicI64::new(1_000), panics_in: AtomicI64::new(0) });
    let options = options(&disk).clock_source(clock.clone()).clock_step_max(None);
    let db = options.auto_checkpoint(false).tx_memory_bytes(1).open(PATH).unwrap();
    let mut panicked = 0;
    for n in 1..8 {
        for what in 0..3 {
            clock.panics_in.store(n, Ordering::SeqCst);
            let done = catch_unwind(AssertUnwindSafe(|| match what {
                0 => db.put("short", vec![n as u8; 10]).map(drop).unwrap(),
                1 => db.put("long", vec![n as u8; 90_000]).map(drop).unwrap(),
                _ => drop(
                    db.write(|tx| (0..99).try_for_each(|i| tx.put(format!("s{i}"), vec![0; 900])))
                        .unwrap(),
                ),
            }));
            clock.panics_in.store(0, Ordering::SeqCst);
            panicked += u32::from(done.is_err());
            let tx = db.put("after", n.to_le_bytes().to_vec()).unwrap();
            assert_eq!(db.get("after").unwrap().unwrap().tx, tx);
            let recovered = crate::support::options(&disk.crash_losing_all()).open(PATH);
            drop(recovered.map(|db| assert_clean(&db)));
        }
    }
    assert!(panicked >= 3, "{panicked}");
    assert_clean(&db);
    let digest = db.digest().unwrap();
    db.close().unwrap();
    let options = crate::support::options(&disk).clock_source(clock).clock_step_max(None);
    assert_eq!(options.open(PATH).unwrap().digest().unwrap(), digest);
}

/// A restore whose progress is told to somebody who panics leaves nothing that would be taken for
/// a database.
#[test]
fn a_restore_that_panics_leaves_nothing() {
    let disk = MemVfs::new();
    let db = open(&disk);
    (0..700).for_each(|i| assert!(db.put(format!("{i}"), vec![1; 300]).is_ok()));
    db.backup("/backup").unwrap();
    let restore = || Restore::from("/backup").vfs(Arc::new(disk.clone()));
    let told = catch_unwind(AssertUnwindSafe(|| {
        restore().to_with(Path::new("/restored"), &mut |_: Progress| meant_to())
    }));
    assert!(told.is_err());
    let reopened = Options::new().vfs(Arc::new(disk.clone())).create(false).open("/restored");
    assert!(reopened.is_err(), "half a restore is taken for a database");
    restore().to("/restored").unwrap();
}
