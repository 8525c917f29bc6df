//! Backups of a database in use, whole and incremental, and what comes back from them.

use crate::support::{PATH, assert_clean, open, options, v};
use llmdb::vfs::{FaultKind, MemVfs, OpenMode, Vfs};
use llmdb::{Change, Db, Error, Restore, TxTime};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A small generator, seeded: the same run every time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % n
    }
}

fn write_some(db: &Db, random: &mut Random, count: u64) {
    for _ in 0..count {
        let key = format!("k{:03}", random.below(300));
        match random.below(8) {
            0 => drop(db.delete(key.as_str()).unwrap()),
            1 => drop(db.put_at(key.as_str(), b"late", v(random.below(50) as i64)).unwrap()),
            2 => drop(db.put(key.as_str(), vec![7; 3000 + random.below(90_000) as usize]).unwrap()),
            _ => drop(db.put(key.as_str(), vec![b'x'; random.below(400) as usize]).unwrap()),
        }
    }
}

fn restore(disk: &MemVfs, base: &str, increments: &[String], dest: &str) -> llmdb::Result<()> {
    let mut restore = Restore::from(base).vfs(Arc::new(disk.clone()));
    for increment in increments {
        restore = restore.increment(increment);
    }
    restore.to(dest).map(drop)
}

/// The digest of the database at `path`, which is in order on all levels.
fn digest(disk: &MemVfs, path: &str) -> String {
    let db = options(disk).read_only(true).open(path).unwrap();
    assert_clean(&db);
    db.digest().unwrap()
}

fn changes(db: &Db) -> Vec<Change> {
    db.changes(TxTime::MIN, None, None).unwrap().changes
}

#[test]
fn a_backup_holds_what_was_committed_and_goes_on_while_pages_are_reused() {
    let disk = MemVfs::new();
    let db = open(&disk);
    let mut random = Random(1);
    write_some(&db, &mut random, 400);
    let before = db.digest().unwrap();
    let mut steps = 0;
    // What is written and checkpointed while it copies takes every page that is not held.
    let report = db
        .backup_with(None, Path::new("/b"), &mut |progress| {
            assert!(progress.done <= progress.total);
            steps += 1;
            write_some(&db, &mut random, 40);
            db.checkpoint().unwrap();
        })
        .unwrap();
    assert!(steps > 3 && report.newest_tx == 400, "{steps} {report:?}");
    assert_eq!(digest(&disk, "/b"), before);
    assert_ne!(db.digest().unwrap(), before);
    assert_clean(&db);
    // What was held is let go of: the file does not grow for ever.
    let backup = open_at(&disk, "/b");
    backup.put("k", b"a database like any other").unwrap();
    backup.close().unwrap();
}

fn open_at(disk: &MemVfs, path: &str) -> Db {
    options(disk).open(path).unwrap()
}

#[test]
fn a_backup_among_writers_is_a_prefix_of_what_they_wrote() {
    let disk = MemVfs::new();
    let db = open(&disk);
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (db, stop, acknowledged) = (&db, &stop, &acknowledged);
            scope.spawn(move || {
                let mut random = Random(thread);
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("{thread}/{}", random.below(100));
                    let tx = db.put(key.as_str(), vec![1; random.below(6000) as usize]).unwrap();
                    acknowledged.fetch_max(tx.0 as u64, Ordering::SeqCst);
                }
            });
        }
        let mut base = None;
        for i in 0..4 {
            let before = acknowledged.load(Ordering::SeqCst) as i64;
            let name = format!("/b{i}");
            let report = match &base {
                None => db.backup(&name).unwrap(),
                Some(base) => db.backup_incremental(base, &name).unwrap(),
            };
            assert!(report.newest_tx >= before, "{report:?} {before}");
            base = Some(name);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let all = changes(&db);
    for i in 0..4 {
        let increments: Vec<String> = (1..=i).map(|i| format!("/b{i}")).collect();
        let dest = format!("/r{i}");
        restore(&disk, "/b0", &increments, &dest).unwrap();
        let restored = open_at(&disk, &dest);
        let found = changes(&restored);
        assert_eq!(found, all[..found.len()], "{i}");
        assert_clean(&restored);
    }
}

#[test]
fn any_chain_of_increments_restores_each_state() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let mut disk = MemVfs::new();
        let mut db = open(&disk);
        let mut states: Vec<String> = Vec::new();
        let mut sizes = Vec::new();
        write_some(&db, &mut random, 300);
        for i in 0..6 {
            let name = format!("/b{i}");
            let report = match i {
                0 => db.backup(&name).unwrap(),
                _ => db.backup_incremental(format!("/b{}", i - 1), &name).unwrap(),
            };
            sizes.push(report.pages);
            states.push(db.digest().unwrap());
            let count = random.below(60);
            write_some(&db, &mut random, count);
            match random.below(4) {
                0 => db.checkpoint().unwrap(),
                1 => {
                    db.close().unwrap();
                    db = open(&disk);
                }
                2 => {
                    // The old handle goes on with the old disk, to no effect.
                    let mut coin = Random(random.below(1 << 30));
                    disk = disk.crash(&mut |_| coin.below(2) == 0);
                    db = open(&disk);
                }
                _ => {}
            }
        }
        for (i, state) in states.iter().enumerate() {
            let increments: Vec<String> = (1..=i).map(|i| format!("/b{i}")).collect();
            let dest = format!("/r{i}");
            restore(&disk, "/b0", &increments, &dest).unwrap();
            assert_eq!(digest(&disk, &dest), *state, "seed {seed}, state {i}");
        }
        assert!(sizes[1..].iter().all(|pages| *pages < sizes[0]), "{sizes:?}");
        // What was restored goes its own way, and is backed up in turn.
        let again = open_at(&disk, "/r5");
        write_some(&again, &mut random, 30);
        let refused = again.backup_incremental("/b5", "/never");
        assert!(matches!(refused, Err(Error::WrongBase { .. })), "{refused:?}");
        again.backup("/whole").unwrap();
        assert_eq!(digest(&disk, "/whole"), again.digest().unwrap());
    }
}

#[test]
fn an_increment_of_nothing_is_empty_and_one_of_little_is_small() {
    let disk = MemVfs::new();
    let db = open(&disk);
    write_some(&db, &mut Random(3), 2000);
    let whole = db.backup("/b0").unwrap();
    let none = db.backup_incremental("/b0", "/b1").unwrap();
    assert_eq!(none.pages, 0, "{none:?}");
    db.put("k001", b"changed").unwrap();
    let little = db.backup_incremental("/b1", "/b2").unwrap();
    assert!(little.pages < 40 && whole.pages > 1000, "{little:?} of {whole:?}");
    restore(&disk, "/b0", &["/b1".into(), "/b2".into()], "/r").unwrap();
    assert_eq!(digest(&disk, "/r"), db.digest().unwrap());
}

#[test]
fn what_does_not_fit_is_refused() {
    let disk = MemVfs::new();
    let db = open(&disk);
    let mut random = Random(5);
    write_some(&db, &mut random, 100);
    db.backup("/b0").unwrap();
    for i in 1..4 {
        write_some(&db, &mut random, 20);
        db.backup_incremental(format!("/b{}", i - 1), format!("/b{i}")).unwrap();
    }
    write_some(&db, &mut random, 20);
    db.backup_incremental("/b0", "/side").unwrap();
    let other = open_at(&disk, "/other");
    other.put("k", b"v").unwrap();
    other.backup("/o0").unwrap();
    other.put("k", b"w").unwrap();
    other.backup_incremental("/o0", "/o1").unwrap();

    let wrong_base = |base: &str, increments: &[&str]| {
        let increments: Vec<String> = increments.iter().map(|path| (*path).to_owned()).collect();
        let refused = restore(&disk, base, &increments, "/r");
        assert!(matches!(refused, Err(Error::WrongBase { .. })), "{increments:?}: {refused:?}");
        assert_eq!(disk.kind(Path::new("/r")).unwrap(), None);
    };
    wrong_base("/b0", &["/b2"]);
    wrong_base("/b0", &["/b2", "/b1"]);
    wrong_base("/b0", &["/b1", "/b3"]);
    wrong_base("/b0", &["/b1", "/side"]);
    wrong_base("/b0", &["/b1", "/b1"]);
    wrong_base("/b0", &["/o1"]);
    wrong_base("/o0", &["/b1"]);
    for base in ["/b1", PATH] {
        let refused = restore(&disk, base, &[], "/r");
        let busy = matches!(refused, Err(Error::Busy { .. }));
        assert!(busy || matches!(refused, Err(Error::NotABackup { .. })), "{refused:?}");
    }
    for dest in ["/b3", PATH] {
        let refused = restore(&disk, "/b0", &[], dest);
        let busy = matches!(refused, Err(Error::Busy { .. }));
        assert!(busy || matches!(refused, Err(Error::AlreadyExists { .. })), "{refused:?}");
    }
    assert!(matches!(db.backup("/b0"), Err(Error::AlreadyExists { .. })));
    let refused = db.backup_incremental("/o1", "/x");
    assert!(matches!(refused, Err(Error::WrongBase { .. })), "{refused:?}");
    let refused = db.backup_incremental("/other", "/x");
    assert!(matches!(refused, Err(Error::NotABackup { .. })), "{refused:?}");
    // A backup that was written to is the base of nothing any more.
    let written = open_at(&disk, "/b0");
    written.put("k", b"v").unwrap();
    written.close().unwrap();
    let refused = db.backup_incremental("/b0", "/x");
    assert!(matches!(refused, Err(Error::NotABackup { .. })), "{refused:?}");
}

#[test]
fn a_damaged_backup_is_never_restored() {
    let disk = MemVfs::new();
    let db = open(&disk);
    let mut random = Random(6);
    write_some(&db, &mut random, 150);
    db.backup("/b0").unwrap();
    write_some(&db, &mut random, 10);
    db.backup_incremental("/b0", "/b1").unwrap();
    let right = db.digest().unwrap();
    for name in ["/b0", "/b1"] {
        let file = disk.open(Path::new(name), OpenMode::ReadWrite).unwrap();
        let len = file.len().unwrap();
        for _ in 0..120 {
            let at = random.below(len);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[IoSlice::new(&[byte[0] ^ 0x40])], at).unwrap();
            match restore(&disk, "/b0", &["/b1".into()], "/r") {
                // A byte of a page that is free, or that the increment brings anew.
                Ok(()) => {
                    assert_eq!(digest(&disk, "/r"), right, "{name} at {at}");
                    disk.remove_file(Path::new("/r")).unwrap();
                }
                Err(_) => assert_eq!(disk.kind(Path::new("/r")).unwrap(), None),
            }
            file.write_all_at(&[IoSlice::new(&byte)], at).unwrap();
        }
    }
    let file = disk.open(Path::new("/b1"), OpenMode::ReadWrite).unwrap();
    file.set_len(file.len().unwrap() - 1).unwrap();
    let refused = restore(&disk, "/b0", &["/b1".into()], "/r");
    assert!(matches!(refused, Err(Error::NotABackup { .. })), "{refused:?}");
}

/// A copy of a database that has rotted is no backup.
#[test]
fn damage_is_noticed_while_it_is_copied() {
    let disk = MemVfs::new();
    let db = open(&disk);
    write_some(&db, &mut Random(9), 200);
    db.checkpoint().unwrap();
    let file = disk.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    let mut noticed = 0;
    for page in 33..80 {
        let mut bytes = [0; 64];
        file.read_exact_at(&mut bytes, page * 4096 + 500).unwrap();
        file.write_all_at(&[IoSlice::new(&[0x55; 64])], page * 4096 + 500).unwrap();
        if db.backup("/b").is_err() {
            noticed += 1;
            assert_eq!(disk.kind(Path::new("/b")).unwrap(), None);
        } else {
            disk.remove_file(Path::new("/b")).unwrap();
        }
        file.write_all_at(&[IoSlice::new(&bytes)], page * 4096 + 500).unwrap();
    }
    assert!(noticed > 20, "{noticed}");
    db.backup("/b").unwrap();
}

/// Each call fails once, and then the power: what is at the destination is all or nothing.
#[test]
fn a_failure_at_any_call_leaves_a_whole_copy_or_none() {
    let mut random = Random(11);
    let prepared = MemVfs::new();
    let db = open(&prepared);
    write_some(&db, &mut random, 60);
    db.backup("/b0").unwrap();
    let first = db.digest().unwrap();
    write_some(&db, &mut random, 10);
    db.backup_incremental("/b0", "/b1").unwrap();
    let right = db.digest().unwrap();
    db.close().unwrap();
    type Work = fn(&MemVfs) -> llmdb::Result<()>;
    let works: [(Work, &str, &String); 3] = [
        (|disk| restore(disk, "/b0", &["/b1".into()], "/r"), "/r", &right),
        (|disk| options(disk).open(PATH)?.backup("/r").map(drop), "/r", &right),
        (|disk| restore(disk, "/b0", &[], "/r"), "/r", &first),
    ];
    for (work, dest, right) in works {
        let mut n = 0;
        loop {
            n += 1;
            let disk = prepared.crash(&mut |_| true);
            let kind = if n % 2 == 0 { FaultKind::Io } else { FaultKind::NoSpace };
            disk.fail_after(n, kind);
            let done = work(&disk);
            disk.clear_faults();
            for survivors in 0..3 {
                let after = disk.crash(&mut |_| match survivors {
                    0 => false,
                    1 => true,
                    _ => random.below(2) == 0,
                });
                let there = after.kind(Path::new(dest)).unwrap().is_some();
                assert!(there || done.is_err(), "call {n}: what was acknowledged is there");
                if there {
                    assert_eq!(digest(&after, dest), *right, "call {n}");
                }
            }
            if done.is_ok() {
                assert!(n > 20, "{n} calls");
                break;
            }
        }
    }
}

#[test]
fn a_compacted_file_has_the_same_content_in_fewer_pages() {
    let disk = MemVfs::new();
    let db = open(&disk);
    let mut random = Random(21);
    for _ in 0..30 {
        write_some(&db, &mut random, 60);
        db.checkpoint().unwrap();
    }
    let before = db.tree_stats().unwrap();
    db.compact_into("/c").unwrap();
    assert!(matches!(db.compact_into("/c"), Err(Error::AlreadyExists { .. })));
    assert_eq!(digest(&disk, "/c"), db.digest().unwrap());
    let compact = open_at(&disk, "/c");
    let after = compact.tree_stats().unwrap();
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.name, before.entries), (&after.name, after.entries));
        assert!(after.leaf_pages <= before.leaf_pages, "{before:?} {after:?}");
        assert!(after.leaf_pages < 5 || after.fill_percent > 80, "{after:?}");
    }
    assert!(compact.stats().unwrap().file_bytes < db.stats().unwrap().file_bytes);
    // It goes on as the original does, and what was a base of that is none of this.
    assert!(compact.put("k", b"v").unwrap() > db.newest_tx());
    db.backup("/b0").unwrap();
    assert!(matches!(compact.backup_incremental("/b0", "/x"), Err(Error::WrongBase { .. })));
    assert_clean(&compact);
}

#[test]
fn verifying_goes_on_while_commits_and_checkpoints_do() {
    let disk = MemVfs::new();
    let db = open(&disk);
    let mut random = Random(22);
    write_some(&db, &mut random, 500);
    for _ in 0..3 {
        let (mut steps, mut last) = (0, 0);
        let report = db
            .verify_with(&mut |progress| {
                steps += 1;
                assert!(progress.done >= last && progress.done <= progress.total);
                last = progress.done;
                write_some(&db, &mut random, 30);
                db.checkpoint().unwrap();
            })
            .unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert!(steps > 2, "{steps}");
    }
    assert_clean(&db);
}
