//! The archive: with a backup, it brings back the database as it was at any time since.

use crate::support::{PATH, assert_clean, options};
use llmdb::vfs::{FaultKind, MemVfs, OpenMode, Vfs};
use llmdb::{Db, Durability, Error, Restore, TxTime};
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIR: &str = "/archive";

fn open(disk: &MemVfs) -> llmdb::Result<Db> {
    options(disk).archive_dir(DIR).auto_checkpoint(false).open(PATH)
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % n
    }
}

/// What the database was after each transaction.
type States = BTreeMap<i64, String>;

fn write_some(db: &Db, random: &mut Random, count: u64, states: &mut States) {
    for _ in 0..count {
        let key = format!("k{}", random.below(40));
        let tx = match random.below(6) {
            0 => db.delete(key.as_str()).unwrap(),
            1 => db.put(key.as_str(), vec![1; 5000 + random.below(60_000) as usize]).unwrap(),
            _ => db.put(key.as_str(), vec![2; random.below(300) as usize]).unwrap(),
        };
        states.insert(tx.0, db.digest().unwrap());
    }
}

fn restore(disk: &MemVfs, until: i64) -> llmdb::Result<llmdb::RestoreReport> {
    let _ = disk.remove_file(Path::new("/r"));
    let restore = Restore::from("/b0").archive(DIR).until(TxTime(until));
    restore.vfs(Arc::new(disk.clone())).to("/r")
}

fn digest(disk: &MemVfs) -> String {
    let db = options(disk).read_only(true).open("/r").unwrap();
    assert_clean(&db);
    db.digest().unwrap()
}

fn files(disk: &MemVfs) -> Vec<PathBuf> {
    let names = disk.read_dir(Path::new(DIR)).unwrap();
    names.into_iter().map(|name| Path::new(DIR).join(name)).collect()
}

/// A commit of many budgets, with long values in it, is archived piece by piece and comes back.
#[test]
fn a_commit_that_was_spilled_is_archived_and_restored() {
    let disk = MemVfs::new();
    let db = options(&disk).archive_dir(DIR).memory_bytes(2 << 20).open(PATH).unwrap();
    db.put("first", b"1").unwrap();
    db.backup("/b0").unwrap();
    let mut tx = db.begin().unwrap();
    for i in 0..20_000u32 {
        let len = if i % 4000 == 0 { 50_000 } else { 300 };
        let key = format!("key {:08x}", i.wrapping_mul(0x9e37_79b1));
        tx.put(key.as_str(), vec![i as u8; len]).unwrap();
    }
    let large = tx.commit().unwrap().unwrap();
    db.put("last", b"1").unwrap();
    let digest = db.digest().unwrap();
    db.close().unwrap();
    restore(&disk, i64::MAX).unwrap();
    assert_eq!(self::digest(&disk), digest);
    restore(&disk, large.0 - 1).unwrap();
    let before = options(&disk).read_only(true).open("/r").unwrap();
    assert!(before.get("first").unwrap().is_some() && before.get("last").unwrap().is_none());
    assert_eq!(before.read().keys().unwrap().len(), 1);
}

/// A life with checkpoints, reopenings and crashes; ends with a clean close.
fn life(seed: u64) -> (MemVfs, States) {
    let mut random = Random(seed);
    let mut disk = MemVfs::new();
    let mut db = open(&disk).unwrap();
    let mut states = States::new();
    write_some(&db, &mut random, 10, &mut states);
    db.backup("/b0").unwrap();
    for _ in 0..8 {
        let count = random.below(8);
        write_some(&db, &mut random, count, &mut states);
        match random.below(4) {
            0 => {
                db.close().unwrap();
                db = open(&disk).unwrap();
            }
            1 => {
                let mut coin = Random(random.below(1 << 30));
                disk = disk.crash(&mut |_| coin.below(2) == 0);
                db = open(&disk).unwrap();
            }
            _ => db.checkpoint().unwrap(),
        }
    }
    db.close().unwrap();
    (disk, states)
}

#[test]
fn every_moment_since_the_backup_comes_back() {
    for seed in 0..6 {
        let (disk, states) = life(seed);
        let last = *states.keys().last().unwrap();
        for (tx, state) in states.range(10..) {
            let report = restore(&disk, *tx).unwrap();
            assert_eq!(report.newest_tx, *tx, "seed {seed}");
            assert_eq!(report.archive_ended, *tx == last, "seed {seed}, {tx}");
            assert_eq!(digest(&disk), *state, "seed {seed}, tx {tx}");
        }
        assert!(restore(&disk, i64::MAX).unwrap().archive_ended);
        let refused = restore(&disk, 9);
        assert!(matches!(refused, Err(Error::BackupTooNew { .. })), "{refused:?}");
        // What was restored goes its own way, into the same archive, and both come back.
        restore(&disk, last).unwrap();
        let other = options(&disk).archive_dir(DIR).open("/r").unwrap();
        other.put("k1", b"another way").unwrap();
        other.close().unwrap();
        restore(&disk, last).unwrap();
        assert_eq!(digest(&disk), states[&last]);
    }
}

#[test]
fn a_gap_is_refused_and_so_is_damage() {
    let (disk, states) = life(3);
    let last = *states.keys().last().unwrap();
    let all = files(&disk);
    assert!(all.len() > 2, "{all:?}");
    for missing in &all[..all.len() - 1] {
        let disk = disk.crash(&mut |_| true);
        disk.remove_file(missing).unwrap();
        match restore(&disk, last) {
            Err(Error::ArchiveGap { .. }) => {}
            // The backup holds all of it.
            Ok(_) => assert_eq!(digest(&disk), states[&last]),
            other => panic!("{other:?}"),
        }
    }
    let mut random = Random(1);
    for path in &all {
        let file = disk.open(path, OpenMode::ReadWrite).unwrap();
        for _ in 0..60 {
            let at = random.below(file.len().unwrap());
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[IoSlice::new(&[byte[0] ^ 4])], at).unwrap();
            match restore(&disk, last) {
                Ok(_) => assert_eq!(digest(&disk), states[&last]),
                Err(Error::Corrupt { .. } | Error::ArchiveGap { .. }) => {}
                other => panic!("{path:?} at {at}: {other:?}"),
            }
            file.write_all_at(&[IoSlice::new(&byte)], at).unwrap();
        }
    }
}

#[test]
fn what_was_written_without_the_archive_is_a_gap() {
    let (disk, _) = life(4);
    let db = options(&disk).open(PATH).unwrap();
    db.put("k", b"not archived").unwrap();
    db.close().unwrap();
    let db = open(&disk).unwrap();
    let tx = db.put("k", b"archived").unwrap();
    db.close().unwrap();
    let refused = restore(&disk, tx.0);
    assert!(matches!(refused, Err(Error::ArchiveGap { .. })), "{refused:?}");
}

/// Whatever call fails, and whatever survives the power failure after it: what was acknowledged is
/// in the log or in the archive, and the next clean close has all of it archived.
#[test]
fn a_failure_at_any_call_loses_nothing_that_the_archive_should_have() {
    let prepared = MemVfs::new();
    let mut random = Random(9);
    let mut before = States::new();
    let db = open(&prepared).unwrap();
    write_some(&db, &mut random, 5, &mut before);
    db.backup("/b0").unwrap();
    db.close().unwrap();
    let mut n = 0;
    loop {
        n += 1;
        let disk = prepared.crash(&mut |_| true);
        let kind = if n % 2 == 0 { FaultKind::Io } else { FaultKind::NoSpace };
        disk.fail_after(n, kind);
        let work = || -> llmdb::Result<()> {
            let db = open(&disk)?;
            for i in 0..6 {
                db.put("k", vec![i; 3000])?;
                if i % 2 == 1 {
                    db.checkpoint()?;
                }
            }
            db.close()
        };
        let done = work();
        disk.clear_faults();
        for survivors in 0..3 {
            let after = disk.crash(&mut |_| match survivors {
                0 => false,
                1 => true,
                _ => random.below(2) == 0,
            });
            let db = open(&after).unwrap();
            let (newest, state) = (db.newest_tx(), db.digest().unwrap());
            db.checkpoint().unwrap();
            db.close().unwrap();
            let report = restore(&after, i64::MAX).unwrap();
            assert_eq!(report.newest_tx, newest.0, "call {n}, survivors {survivors}");
            assert_eq!(digest(&after), state, "call {n}, survivors {survivors}");
        }
        if done.is_ok() {
            assert!(n > 60, "{n} calls");
            break;
        }
    }
}

/// A commit that asks for no log is logged where there is an archive: else it would miss it, and a
/// restore would end before it without a word.
#[test]
fn commits_without_a_log_are_archived() {
    let disk = MemVfs::new();
    let db = open(&disk).unwrap();
    db.put("k", b"1").unwrap();
    db.backup(Path::new("/b0")).unwrap();
    let mut states = States::new();
    for i in 0..20_u8 {
        let mut tx = db.begin().unwrap();
        tx.durability(if i % 5 == 4 { Durability::Sync } else { Durability::Checkpoint });
        tx.put(format!("k{i}"), vec![i; [10, 50_000][usize::from(i % 2)]]).unwrap();
        let tx = tx.commit().unwrap().unwrap();
        states.insert(tx.0, db.digest().unwrap());
        if i % 7 == 6 {
            db.checkpoint().unwrap();
        }
    }
    db.close().unwrap();
    for (&tx, state) in &states {
        let report = restore(&disk, tx).unwrap();
        assert_eq!((report.newest_tx, digest(&disk)), (tx, state.clone()));
    }
    let last = *states.last_key_value().unwrap().0;
    assert!(restore(&disk, last + 1).unwrap().archive_ended);
}
