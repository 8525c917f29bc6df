//! Repairing damaged databases: what is not hit is kept with all its history, what is lost is said.

use crate::support::{P, PATH, assert_clean, options, v};
use llmdb::vfs::{Call, FaultKind, MemVfs, OpenMode, UnsyncedOp, Vfs};
use llmdb::{
    Clock, Compression, Db, ErrorClass, Key, Options, PartitionId, Period, Rectangle, Repair,
    RepairReport, Retention, TreeOptions, TxTime,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const SCRATCH: &str = "/scratch";
const DEST: &str = "/repaired";
const PAGE: usize = crate::PAGE_SIZE;
const OTHER: PartitionId = PartitionId(7);

/// Files by name.
type Files = BTreeMap<String, Vec<u8>>;

/// All of a database, by key, and the changes that say which was which.
#[derive(Debug, PartialEq)]
struct Contents {
    histories: BTreeMap<(PartitionId, Vec<u8>), Vec<Rectangle>>,
    digest: String,
    newest_tx: i64,
    writes: u64,
}

impl Contents {
    fn of(db: &Db) -> Self {
        let read = db.read();
        let mut histories = BTreeMap::new();
        let changes = read.changes(TxTime::MIN, None, None).unwrap().changes;
        let (writes, newest_tx) = (changes.len() as u64, db.newest_tx().0);
        for change in changes {
            let (partition, key) = (change.partition, change.key);
            let mut history = read.history(Key::new(partition, key.clone())).unwrap();
            // Notes are kept by transaction, not by key.
            history.iter_mut().for_each(|rectangle| rectangle.note = None);
            histories.insert((partition, key), history);
        }
        Contents { histories, digest: db.digest().unwrap(), newest_tx, writes }
    }
}

/// Writes of every kind; with values of all sizes, notes, partitions, a retired past and a feed.
fn written(db: &Db, count: i64) {
    for i in 0..count {
        let key = Key::new(if i % 11 == 10 { OTHER } else { P }, format!("key/{:02}", i * 7 % 23));
        let size =
            [3, 40, 200, 700, 1500, 9000, 40_000][if i % 20 == 0 { 6 } else { i as usize % 6 }];
        let value = (0..size).map(|byte| (byte / 50) as u8 ^ i as u8).collect::<Vec<u8>>();
        match i % 9 {
            3 => drop(db.end(key).unwrap()),
            4 => drop(db.put_at(key, value, v(i / 2)).unwrap()),
            5 => drop(
                db.with_note("a correction".into()).put_range(key, value, v(i), v(i + 30)).unwrap(),
            ),
            7 => drop(db.delete(key).unwrap()),
            8 => {
                db.write(|tx| {
                    tx.put(key.clone(), b"one of two")?;
                    tx.put_range(key.clone(), b"covers it", v(i / 3), v(i + 500))?;
                    tx.put("shared", b"in every such transaction")
                })
                .unwrap();
            }
            _ => drop(db.put(key, value).unwrap()),
        }
        if i % 40 == 39 {
            db.checkpoint().unwrap();
        }
    }
    drop(db.feed("reader").unwrap());
}

fn file(disk: &MemVfs, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The files of the database, as they are now.
fn files(disk: &MemVfs) -> Files {
    let mut files = Files::from([(PATH.to_owned(), file(disk, Path::new(PATH)))]);
    let log = format!("{PATH}-wal");
    if disk.kind(Path::new(&log)).unwrap().is_some() {
        for name in disk.read_dir(Path::new(&log)).unwrap() {
            let path = format!("{log}/{}", name.to_str().unwrap());
            files.insert(path.clone(), file(disk, Path::new(&path)));
        }
    }
    files
}

fn disk_with(files: &Files) -> MemVfs {
    let disk = MemVfs::new();
    for (path, bytes) in files {
        let path = Path::new(path);
        if path.parent() != Some(Path::new("/"))
            && disk.kind(path.parent().unwrap()).unwrap().is_none()
        {
            disk.create_dir(path.parent().unwrap()).unwrap();
        }
        let file = disk.open(path, OpenMode::CreateNew).unwrap();
        file.write_all_at(&[IoSlice::new(bytes)], 0).unwrap();
    }
    disk
}

fn repair(disk: &MemVfs) -> Repair {
    Repair::of(PATH).vfs(Arc::new(disk.clone())).scratch(SCRATCH)
}

/// A database that was closed, and what was in it.
fn closed() -> &'static (Files, Contents) {
    static CLOSED: OnceLock<(Files, Contents)> = OnceLock::new();
    CLOSED.get_or_init(|| {
        let disk = MemVfs::new();
        let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
        written(&db, 150);
        let contents = Contents::of(&db);
        db.close().unwrap();
        (files(&disk), contents)
    })
}

/// The same, in use: the last writes are in the log alone.
fn in_use() -> &'static (Files, Contents) {
    static IN_USE: OnceLock<(Files, Contents)> = OnceLock::new();
    IN_USE.get_or_init(|| {
        let disk = MemVfs::new();
        let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
        written(&db, 135);
        (files(&disk), Contents::of(&db))
    })
}

/// Repairs what is in `files`: nothing of it is changed, the result is in order, and every key is as
/// it was of which the report does not say that it may be lost.
fn check(files: &Files, right: &Contents, what: &str) -> Option<(RepairReport, String, usize)> {
    let disk = disk_with(files);
    let made = repair(&disk).to(DEST);
    assert_eq!(self::files(&disk), *files, "{what}: the source is not written to");
    assert!(disk.kind(Path::new("/scratch-new")).unwrap().is_none(), "{what}");
    let report = match made {
        Ok(report) => report,
        Err(error) => {
            let classes = [ErrorClass::Corrupt, ErrorClass::Version];
            assert!(classes.contains(&error.class()), "{what}: {error}");
            assert!(disk.kind(Path::new(DEST)).unwrap().is_none(), "{what}");
            return None;
        }
    };
    let db = options(&disk).open(DEST).unwrap();
    assert_clean(&db);
    let found = Contents::of(&db);
    let mut kept = 0;
    let used = ["whole", "torn"].contains(&report.log.state);
    // The end of a log: whether it was ever acknowledged nobody can tell.
    let ended = used && report.newest_tx < right.newest_tx;
    for ((partition, key), history) in &right.histories {
        if !ended && !report.may_concern(*partition, key) {
            let found = found.histories.get(&(*partition, key.clone()));
            let key = key.escape_ascii();
            assert!(found == Some(history), "{what}: {key} changed, of which {report:?}");
            kept += 1;
        }
    }
    let indexed = report.trees.iter().find(|tree| tree.name == "temporal.changes");
    let known = report.meta_readable && report.log.state != "damaged" && !ended;
    if known && indexed.is_some_and(|tree| tree.lost.is_empty()) {
        let writes = report.events + report.events_lost;
        assert_eq!(writes, right.writes, "{what}: all are kept, or known to be lost: {report:?}");
    }
    if report.complete && !ended {
        assert_eq!(found.digest, right.digest, "{what}");
    }
    assert!(!db.put("later", b"is written").unwrap().0.is_negative(), "{what}");
    Some((report, found.digest, kept))
}

#[test]
fn an_undamaged_database_is_repaired_to_the_same() {
    for (files, right) in [closed(), in_use()] {
        let disk = disk_with(files);
        let dry = repair(&disk).dry_run().unwrap();
        let (report, digest, _) = check(files, right, "whole").unwrap();
        assert_eq!(dry, report, "a dry run says what is done");
        assert!(report.complete, "{report:#?}");
        assert_eq!(digest, right.digest);
    }
    assert_eq!(repair(&disk_with(&closed().0)).dry_run().unwrap().log.state, "not_needed");
    let log = repair(&disk_with(&in_use().0)).dry_run().unwrap().log;
    assert!(log.state == "whole" && log.commits > 10, "{log:?}");
}

#[test]
fn feeds_retention_and_erasures_are_kept() {
    let disk = MemVfs::new();
    let db = options(&disk).open(PATH).unwrap();
    written(&db, 90);
    let policy = Retention::all_for(Duration::from_micros(20));
    let policy = policy.then_last_of(Period::Span(Duration::from_micros(10)));
    db.set_retention(P, &policy).unwrap();
    db.retire(Some(P)).unwrap();
    db.erase("key/03").unwrap();
    let (digest, erasures) = (db.digest().unwrap(), db.erasures().unwrap());
    let feeds = db.feeds().unwrap();
    let retired = db.as_of_transaction(TxTime(3)).get("shared").unwrap_err().to_string();
    db.close().unwrap();
    assert!(repair(&disk).to(DEST).unwrap().complete);
    let again = options(&disk).open(DEST).unwrap();
    assert_clean(&again);
    assert_eq!(again.digest().unwrap(), digest);
    assert_eq!(again.erasures().unwrap(), erasures);
    assert_eq!(again.feeds().unwrap(), feeds);
    let refused = again.as_of_transaction(TxTime(3)).get("shared").unwrap_err();
    assert_eq!(refused.to_string(), retired);
    assert!(again.newest_tx() >= erasures[0].ticket.tx);
}

#[test]
fn an_unfinished_erasure_is_told_and_a_finished_one_leaves_nothing_to_find() {
    for finished in [false, true] {
        let disk = MemVfs::new();
        let db = options(&disk).auto_checkpoint(false).open(PATH).unwrap();
        let marker = vec![b'#'; 900];
        for i in 0..20 {
            db.put(format!("{i:02}"), marker.clone()).unwrap();
        }
        db.checkpoint().unwrap();
        db.erase("07").unwrap();
        if finished {
            db.finish_erasures().unwrap();
        }
        // Once more than the slots that are retained: what is found is in free pages.
        db.checkpoint().unwrap();
        db.checkpoint().unwrap();
        let mut files = files(&disk);
        drop(db);
        let bytes = files.get_mut(PATH).unwrap();
        (0..3).for_each(|slot| bytes[slot * 65536..][..512].fill(0));
        let disk = disk_with(&files);
        let report = repair(&disk).to(DEST).unwrap();
        assert!(report.searched);
        assert_eq!(report.erasures_unfinished, u64::from(!finished));
        let found = options(&disk).open(DEST).unwrap().get("07").unwrap();
        assert!(found.is_none() || !finished, "finished: {finished}");
    }
}

/// Each page that is lost in turn: what a partition gave up, and that something was erased, is known or
/// said to be lost.
#[test]
fn lost_records_of_retention_and_erasures_are_told() {
    let disk = MemVfs::new();
    let db = options(&disk).open(PATH).unwrap();
    for value in [b"1", b"2", b"3"] {
        db.put_at("p", value, v(0)).unwrap();
    }
    db.erase("secret").unwrap();
    db.set_retention(P, &Retention::all_for(Duration::from_micros(1))).unwrap();
    db.retire(None).unwrap();
    db.close().unwrap();
    let whole = files(&disk);
    let (mut retention, mut erasures) = (0, 0);
    for page in 1..whole[PATH].len() / PAGE {
        let mut files = whole.clone();
        files.get_mut(PATH).unwrap()[page * PAGE + 70] ^= 0x10;
        let disk = disk_with(&files);
        let Ok(report) = repair(&disk).to(DEST) else { continue };
        let again = options(&disk).open(DEST).unwrap();
        let refused = again.as_of_transaction(TxTime(1)).get("p").is_err();
        assert!(refused || report.retention_in_doubt, "page {page}");
        assert!(again.erasures().unwrap().len() == 1 || report.erasures_in_doubt, "page {page}");
        assert!(!report.complete || !report.retention_in_doubt && !report.erasures_in_doubt);
        retention += usize::from(report.retention_in_doubt);
        erasures += usize::from(report.erasures_in_doubt);
    }
    assert!(retention > 0 && erasures > 0, "{retention}, {erasures}");
}

#[test]
fn how_values_are_stored_is_kept() {
    let how = TreeOptions { pages: Some(Compression::Lz4), values: Some(Compression::Zstd) };
    for closed in [false, true] {
        let disk = MemVfs::new();
        let plain = || Options::new().vfs(Arc::new(disk.clone())).clock(Clock::Logical);
        let db = plain().page_size(8192).compression(how).open(PATH).unwrap();
        for i in 0..50 {
            db.put(format!("k{i}"), vec![b'x'; 500]).unwrap();
        }
        let disk = match closed {
            true => db.close().map(|()| disk.clone()).unwrap(),
            // What was chosen is in the log alone.
            false => disk_with(&files(&disk)),
        };
        assert!(repair(&disk).to(DEST).unwrap().complete);
        let again = Options::new().vfs(Arc::new(disk)).clock(Clock::Logical).open(DEST).unwrap();
        assert_eq!(again.compression(), how, "closed: {closed}");
    }
}

#[test]
fn of_any_page_that_is_lost_the_others_are_kept() {
    let (files, right) = closed();
    let pages = files[PATH].len() / PAGE;
    let (mut whole, mut kept, mut all, mut lost, mut again) = (0, 0, 0, 0, 0);
    for page in 0..pages {
        let good = &files[PATH][page * PAGE..(page + 1) * PAGE];
        if good.iter().all(|byte| *byte == 0) {
            continue;
        }
        let zeroed = page % 3 > 0;
        let mut files = files.clone();
        let bytes = files.get_mut(PATH).unwrap();
        match zeroed {
            true => bytes[page * PAGE..(page + 1) * PAGE].fill(0),
            false => bytes[page * PAGE + PAGE - 1 - page % 40] ^= 0x20,
        }
        let what = format!("page {page} of {pages}");
        let (report, _, clear) = check(&files, right, &what).expect("a page is not all");
        whole += usize::from(report.complete);
        kept += clear;
        lost += report.events_lost;
        again += report.events_from_changes;
        all += right.histories.len();
    }
    assert!(whole > 3, "pages of no use, of bitmaps and of older metas are not missed");
    assert!(lost > 10 && again > 5, "{lost}, {again}: absences come back from the index");
    assert!(kept > all / 2, "{kept} of {all} keys: what is reported is about what was hit");
}

#[test]
fn without_any_meta_page_everything_is_found_by_searching() {
    let (files, right) = closed();
    let mut files = files.clone();
    let bytes = files.get_mut(PATH).unwrap();
    for slot in 0..3 {
        bytes[slot * 65536..][..512].fill(0);
    }
    let (report, digest, _) = check(&files, right, "no meta").unwrap();
    assert!(!report.complete && !report.meta_readable && report.searched);
    assert_eq!(digest, right.digest);
    for page_size in [8192, 65536] {
        let disk = MemVfs::new();
        let db = options(&disk).page_size(page_size).open(PATH).unwrap();
        written(&db, 40);
        let right = Contents::of(&db);
        db.close().unwrap();
        let mut files = self::files(&disk);
        let bytes = files.get_mut(PATH).unwrap();
        (0..3).for_each(|slot| bytes[slot * 65536..][..512].fill(0));
        let (_, digest, _) = check(&files, &right, "larger pages").unwrap();
        assert_eq!(digest, right.digest);
    }
}

#[test]
fn a_damaged_log_is_used_as_far_as_it_goes() {
    let (files, right) = in_use();
    let segment = files.keys().rfind(|name| name.ends_with(".log")).unwrap().clone();
    let used = files[&segment].iter().rposition(|byte| *byte != 0).unwrap();
    let (mut commits, mut damaged) = (Vec::new(), 0);
    for part in 0..10 {
        let mut files = files.clone();
        files.get_mut(&segment).unwrap()[used - 40 - (used / 2) * part / 10] ^= 1;
        let (report, ..) = check(&files, right, "log").unwrap();
        assert_eq!(report.log.state == "damaged", report.log.why.is_some());
        assert!(report.log.state != "damaged" || !report.complete);
        // The last commit alone is not proven by any other.
        let last = report.newest_tx >= right.newest_tx - 1;
        assert!(last || report.log.state == "damaged", "part {part}: {report:?}");
        damaged += usize::from(report.log.state == "damaged");
        commits.push(report.log.commits);
    }
    assert!(damaged > 5, "{damaged}");
    commits.sort();
    commits.dedup();
    assert!(commits.len() > 4, "{commits:?}");
    let mut without = files.clone();
    without.retain(|name, _| name == PATH);
    let (report, ..) = check(&without, right, "no log").unwrap();
    assert!(report.log.state == "damaged" && !report.complete);
}

#[test]
fn what_is_in_use_or_no_database_or_there_already_is_refused() {
    let disk = MemVfs::new();
    let db = options(&disk).open(PATH).unwrap();
    db.put("k", b"v").unwrap();
    assert_eq!(repair(&disk).dry_run().unwrap_err().code(), "busy");
    drop(db);
    assert_eq!(repair(&disk).to(PATH).unwrap_err().code(), "already_exists");
    let other = disk_with(&Files::from([(PATH.to_owned(), vec![0x55; 200_000])]));
    assert_eq!(repair(&other).dry_run().unwrap_err().code(), "not_a_database");
    assert_eq!(repair(&MemVfs::new()).dry_run().unwrap_err().code(), "not_found");
}

#[test]
fn what_the_device_does_not_read_is_damage_and_no_failure() {
    let (files, right) = closed();
    let disk = disk_with(files);
    let mut complete = 0;
    for n in 1..40 {
        disk.fail_nth(Call::Read, n, FaultKind::Io);
        let report = repair(&disk).dry_run();
        disk.clear_faults();
        // Later ones are those of the scratch file.
        let Ok(report) = report else { continue };
        let kept = report.events + report.events_lost;
        assert_eq!(kept, right.writes, "read {n}: {report:?}");
        complete += usize::from(report.complete);
        assert!(n > 3 || report.complete, "read {n}: another meta page will do");
    }
    assert!((3..39).contains(&complete), "{complete}");
}

#[test]
fn a_repair_that_fails_leaves_all_or_nothing() {
    let disk = MemVfs::new();
    let db = options(&disk).open(PATH).unwrap();
    written(&db, 12);
    let digest = db.digest().unwrap();
    db.close().unwrap();
    let files = files(&disk);
    let (mut n, mut failed) = (1, 0);
    loop {
        let disk = disk_with(&files);
        disk.fail_after(n, if n % 2 == 0 { FaultKind::Io } else { FaultKind::NoSpace });
        let calls = disk.calls();
        let made = repair(&disk).to(DEST);
        let over = disk.calls() - calls < n;
        disk.clear_faults();
        assert_eq!(self::files(&disk), files, "call {n}");
        let there = disk.kind(Path::new(DEST)).unwrap().is_some();
        assert!(there || made.is_err(), "call {n}");
        if there {
            let again = options(&disk).open(DEST).unwrap();
            assert_clean(&again);
            // What could not be read is lost, and said to be.
            if made.as_ref().map_or(true, |report| report.complete) {
                assert_eq!(again.digest().unwrap(), digest, "call {n}");
            }
        }
        failed += u64::from(made.is_err());
        if over {
            break;
        }
        n += 1;
    }
    assert!(failed > 20, "{failed} of {n}");
}

/// Its frames reached the disk, the pages of a value that it names did not, and nothing says that it
/// was durable: whoever recovers cuts it off, and so does a repair.
#[test]
fn of_a_large_commit_that_was_not_durable_there_is_all_or_nothing() {
    let (mut torn, mut failed) = (0, 0);
    for n in 1.. {
        let disk = MemVfs::new();
        let db = options(&disk).auto_checkpoint(false).memory_bytes(64 << 20).open(PATH).unwrap();
        let before = db.put("before", b"v").unwrap();
        let mut tx = db.begin().unwrap();
        for i in 0..600 {
            tx.put(format!("k{i:03}"), vec![i as u8; 30_000]).unwrap();
        }
        tx.put("long", vec![b'l'; 100_000]).unwrap();
        disk.fail_nth(Call::Sync, n, FaultKind::Io);
        let committed = tx.commit();
        let crashed = disk.crash(
            &mut |op| !matches!(op, UnsyncedOp::Write { path, .. } if path == Path::new(PATH)),
        );
        let report = repair(&crashed).to(DEST).unwrap();
        let again = options(&crashed).open(DEST).unwrap();
        assert_clean(&again);
        let found = again.scan(P, "k").unwrap().count();
        let long = again.get("long").unwrap().is_some();
        assert!(
            found == 600 && long || found == 0 && !long,
            "sync {n}: {found}, {long}: {report:?}"
        );
        assert!(found == 0 || report.newest_tx > before.0);
        assert!(again.get("before").unwrap().is_some());
        torn += usize::from(report.log.state == "torn");
        failed += usize::from(committed.is_err());
        if committed.is_ok() {
            break;
        }
    }
    assert!(torn > 0 && failed > 0, "{torn}, {failed}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever becomes of bytes: no panic, no wrong history of a key that is not reported.
    #[test]
    fn damage_anywhere_is_survived(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1u8.., 0usize..3), 1..9),
        used in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (files, right) = if used { in_use() } else { closed() };
        let mut files = files.clone();
        for (name, at, flip, len) in hits {
            let name = name.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
            let bytes = files.get_mut(&name).unwrap();
            let at = at.index(bytes.len());
            let end = (at + [1, 100, 9000][len]).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= flip);
        }
        if let Some(cut) = cut {
            let bytes = files.get_mut(PATH).unwrap();
            bytes.truncate(bytes.len() / 2 + cut.index(bytes.len() / 2));
        }
        check(&files, right, "damage");
    }
}
