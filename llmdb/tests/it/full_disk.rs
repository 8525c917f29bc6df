//! A disk that runs full, or fails, at any point: the error is typed, nothing that was acknowledged
//! is lost, nothing that was refused appears, and with space it works again.

use crate::support::{PATH, assert_clean, open, options, text};
use llmdb::vfs::{Call, FaultKind, MemVfs};
use llmdb::{Db, Error, ErrorClass, Result};

/// The value of the `i`th write: short, in a leaf of its own, or in extents.
fn value(i: usize) -> Vec<u8> {
    let len = [20, 700, 3000, 50_000][i % 4];
    format!("{i:05}").into_bytes().repeat(len / 5)
}

/// What a database should hold: the writes that were acknowledged, each with its number.
#[derive(Default)]
struct Acknowledged(Vec<usize>);

impl Acknowledged {
    fn check(&self, db: &Db) {
        for &i in &self.0 {
            let fact = db.get(format!("k{i}")).unwrap();
            assert_eq!(fact.as_ref().map(text), Some(String::from_utf8(value(i)).unwrap()));
        }
        let rows = db.scan(crate::support::P, "k").unwrap().count();
        assert_eq!(rows, self.0.len(), "what was refused is not there");
        assert_clean(db);
    }
}

fn put(db: &Db, i: usize, acknowledged: &mut Acknowledged) -> Result<()> {
    db.put(format!("k{i}"), value(i))?;
    acknowledged.0.push(i);
    Ok(())
}

/// Opening, writing, checkpoints, closing, and all once more; stops at the first error.
fn run(disk: &MemVfs, acknowledged: &mut Acknowledged) -> Result<()> {
    for round in 0..2 {
        let db = options(disk).auto_checkpoint(false).open(PATH)?;
        for i in 0..12 {
            put(&db, round * 100 + i, acknowledged)?;
            if i % 5 == 4 {
                db.checkpoint()?;
            }
        }
        db.close()?;
    }
    Ok(())
}

#[test]
fn a_disk_that_runs_full_at_any_point_loses_nothing() {
    let mut errors = 0;
    let mut free = 0;
    loop {
        let disk = MemVfs::new();
        disk.set_free_bytes(Some(free));
        let mut acknowledged = Acknowledged::default();
        let done = run(&disk, &mut acknowledged);
        if let Err(error) = &done {
            assert!(matches!(error, Error::NoSpace { .. }), "{free} bytes free: {error}");
            assert_eq!(error.class(), ErrorClass::ResourceExhausted);
            errors += 1;
        }
        // As it is on the medium, before anybody frees space; and as it is with space.
        let medium = disk.crash_losing_all();
        acknowledged.check(&open(&medium));
        disk.set_free_bytes(None);
        let db = open(&disk);
        acknowledged.check(&db);
        put(&db, 999, &mut acknowledged).unwrap();
        db.close().unwrap();
        acknowledged.check(&open(&disk));
        if done.is_ok() {
            break;
        }
        free += 24_001;
    }
    assert!(errors > 20, "{errors} places to run full at");
}

#[test]
fn with_space_the_same_handle_works_again() {
    for free in (0..700_000).step_by(17_011) {
        let disk = MemVfs::new();
        let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
        let mut acknowledged = Acknowledged::default();
        put(&db, 0, &mut acknowledged).unwrap();
        disk.set_free_bytes(Some(free));
        let mut next = 1;
        let full = loop {
            let done = put(&db, next, &mut acknowledged);
            next += 1;
            let done = done.and_then(|()| if next % 4 == 0 { db.checkpoint() } else { Ok(()) });
            if next > 4000 {
                panic!("{free} bytes never run out");
            }
            if let Err(error) = done {
                break error;
            }
        };
        assert!(matches!(full, Error::NoSpace { .. }), "{free} bytes free: {full}");
        acknowledged.check(&db);
        // Still full: reading goes on, writing says so or finds room that is left.
        for _ in 0..3 {
            if let Err(error) = put(&db, next, &mut acknowledged) {
                assert!(matches!(error, Error::NoSpace { .. }), "{free} bytes free: {error}");
            }
            next += 1;
        }
        acknowledged.check(&db);
        disk.set_free_bytes(None);
        put(&db, next, &mut acknowledged).unwrap();
        db.checkpoint().unwrap();
        acknowledged.check(&db);
        acknowledged.check(&open(&disk.crash_losing_all()));
        db.close().unwrap();
        acknowledged.check(&open(&disk));
    }
}

/// Each call of the file system fails once, in each way that it can.
#[test]
fn any_call_that_fails_gives_a_typed_error_and_loses_nothing() {
    let calls = {
        let disk = MemVfs::new();
        run(&disk, &mut Acknowledged::default()).unwrap();
        disk.calls()
    };
    let mut failed = 0;
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        for n in 1..=calls {
            let disk = MemVfs::new();
            disk.fail_after(n, kind);
            let mut acknowledged = Acknowledged::default();
            let done = run(&disk, &mut acknowledged);
            disk.clear_faults();
            let mut uncertain = false;
            if let Err(error) = done {
                let class = error.class();
                let typed = [ErrorClass::Io, ErrorClass::ResourceExhausted, ErrorClass::Poisoned];
                assert!(typed.contains(&class), "call {n} {kind:?}: {class:?} {error}");
                uncertain = class == ErrorClass::Poisoned;
                failed += 1;
            }
            let check = |db: &Db| match uncertain {
                true => check_at_least(db, &acknowledged),
                false => acknowledged.check(db),
            };
            check(&open(&disk.crash_losing_all()));
            let db = open(&disk);
            check(&db);
            db.put("again", b"v").unwrap();
        }
    }
    assert!(failed > calls, "{failed} failures of {calls} calls");
}

/// What was acknowledged, and perhaps the write after it: that of a writer that was stopped.
fn check_at_least(db: &Db, acknowledged: &Acknowledged) {
    let mut there = Acknowledged(acknowledged.0.clone());
    let last = acknowledged.0.last().map_or(0, |last| last + 1);
    for next in [last, 100] {
        if !there.0.contains(&next) && db.get(format!("k{next}")).unwrap().is_some() {
            there.0.push(next);
        }
    }
    there.check(db);
}

#[test]
fn after_a_failed_sync_reading_goes_on_and_writing_says_why() {
    let disk = MemVfs::new();
    let db = open(&disk);
    db.put("before", b"v").unwrap();
    disk.fail_nth(Call::Sync, 1, FaultKind::Io);
    let error = db.put("during", b"v").unwrap_err();
    assert_eq!(error.code(), "poisoned", "it may be found after the next open: {error}");
    let error = db.put("after", b"v").unwrap_err();
    assert_eq!((error.code(), error.class()), ("poisoned", ErrorClass::Poisoned));
    assert!(error.to_string().contains("injected"), "the first failure is named: {error}");
    assert_eq!(db.begin().unwrap_err().code(), "poisoned");
    assert!(db.get("before").unwrap().is_some());
    assert!(db.get("during").unwrap().is_none());
    drop(db);
    let db = open(&disk);
    assert!(db.get("before").unwrap().is_some());
    db.put("after", b"v").unwrap();
    assert_clean(&db);
}
