//! Clocks that run, leap and fall behind.

use crate::support::{PATH, v};
use llmdb::vfs::{Clock as _, ManualClock, MemVfs, WallClock};
use llmdb::{Clock, Db, Error, ErrorClass, Options, TxTime};
use std::sync::Arc;
use std::time::Duration;

const DAY_US: i64 = 86_400_000_000;

fn options(disk: &MemVfs, clock: &Arc<ManualClock>) -> Options {
    Options::new().vfs(Arc::new(disk.clone())).clock_source(clock.clone())
}

fn manual() -> (MemVfs, Arc<ManualClock>, Db) {
    let (disk, clock) = (MemVfs::new(), Arc::new(ManualClock::new(1000)));
    let db = options(&disk, &clock).open(PATH).unwrap();
    (disk, clock, db)
}

#[test]
fn a_transaction_is_numbered_by_its_time() {
    let (_, clock, db) = manual();
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(1000));
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(1001), "the clock stands still");
    clock.set(5000);
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(5000));
    clock.set(2000);
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(5001), "the clock fell behind");
    let starts: Vec<_> =
        db.timeline("k", None).unwrap().iter().map(|fact| fact.valid_from.0).collect();
    assert_eq!(starts, [1000, 1001, 5000, 5001]);
}

#[test]
fn the_wall_clock_is_the_default() {
    let db = Options::new().vfs(Arc::new(MemVfs::new())).open(PATH).unwrap();
    let before = WallClock.now_us();
    let tx = db.put("k", b"v").unwrap();
    assert!(before <= tx.0 && tx.0 <= WallClock.now_us());
}

#[test]
fn time_reaches_a_future_fact_without_a_write() {
    let (_, clock, db) = manual();
    db.put("k", b"now").unwrap();
    db.put_at("k", b"later", v(4000)).unwrap();
    db.put_range("brief", b"brief", v(1500), v(2000)).unwrap();
    let value = |db: &Db, key: &str| db.get_as::<String>(key).unwrap().unwrap_or_default();
    assert_eq!((value(&db, "k"), value(&db, "brief")), ("now".into(), "".into()));
    let held = db.read();
    clock.set(1700);
    assert_eq!((value(&db, "k"), value(&db, "brief")), ("now".into(), "brief".into()));
    assert!(held.get("brief").unwrap().is_none(), "a snapshot's now stands still");
    clock.set(4000);
    assert_eq!((value(&db, "k"), value(&db, "brief")), ("later".into(), "".into()));
    let tx = db.begin().unwrap();
    assert_eq!(tx.now().valid, v(4000));
    assert_eq!(tx.get_as::<String>("k").unwrap().unwrap(), "later");
}

#[test]
fn a_leap_forward_is_refused_unless_overridden() {
    let (disk, clock, db) = manual();
    db.put("k", b"v").unwrap();
    clock.advance(400 * DAY_US);
    let error = db.put("k", b"v").unwrap_err();
    assert_eq!((error.code(), error.class()), ("clock_step", ErrorClass::Temporal));
    let Error::ClockStepped { found, .. } = error else { panic!("{error}") };
    assert_eq!(found, TxTime(1000 + 400 * DAY_US));
    assert_eq!(db.newest_tx(), TxTime(1000));
    clock.set(9000);
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(9000), "the clock was set right");
    drop(db);
    let db = options(&disk, &clock).clock_step_max(None).open(PATH).unwrap();
    clock.advance(400 * DAY_US);
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(9000 + 400 * DAY_US));
}

#[test]
fn a_file_from_the_future_is_refused_unless_overridden() {
    let (disk, clock, db) = manual();
    clock.advance(6 * DAY_US);
    let last = db.put("k", b"v").unwrap();
    db.close().unwrap();
    clock.set(1000);
    let within = options(&disk, &clock).open(PATH).unwrap();
    assert_eq!(within.put("k", b"v").unwrap(), TxTime(last.0 + 1));
    within.close().unwrap();
    let strict = options(&disk, &clock).clock_step_max(Some(Duration::from_secs(3600)));
    let error = strict.open(PATH).unwrap_err();
    assert_eq!((error.code(), error.class()), ("last_tx_ahead", ErrorClass::Temporal));
    let Error::LastTxAhead { last: named, now, .. } = error else { panic!("{error}") };
    assert_eq!((named.0, now.0), (last.0 + 1, 1000));
    let db = options(&disk, &clock).clock_step_max(None).open(PATH).unwrap();
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(last.0 + 2));
    drop(db);
    // The logical clock counts on from any time.
    let db = Options::new().vfs(Arc::new(disk)).clock(Clock::Logical).open(PATH).unwrap();
    assert_eq!(db.put("k", b"v").unwrap(), TxTime(last.0 + 3));
}

#[test]
fn where_time_ends_no_transaction_fits() {
    let (_, clock, db) = manual();
    drop(db);
    let disk = MemVfs::new();
    clock.set(i64::MAX - 1);
    let db = options(&disk, &clock).open(PATH).unwrap();
    assert_eq!(db.put_at("k", b"v", v(0)).unwrap(), TxTime(i64::MAX - 1));
    let error = db.put_at("k", b"v", v(0)).unwrap_err();
    assert_eq!((error.code(), error.class()), ("tx_exhausted", ErrorClass::Temporal));
    assert_eq!(db.begin().unwrap_err().code(), "tx_exhausted");
    assert_eq!(db.get_versions("k").unwrap().len(), 1);
}
