//! A log from its creation to its removal, without accidents.

use std::path::Path;
use std::sync::Arc;

use llmdb_vfs::{MemVfs, OsVfs, Vfs};
use llmdb_wal::{Error, Log, LogConfig, Lsn, Recovery};

use crate::{SMALL, UUID, append, arc, dir, disk, done, new_log, open, payload, read, replay};

#[test]
fn commits_come_back_in_order_and_whole() {
    let disk = disk();
    let log = new_log(&disk);
    let lens = [0, 1, 7, 8, 9, 511, 512, 513, 3000, 4096, 10_000, 50_000, 3, 0];
    let mut all = Vec::new();
    for (seq, len) in (10..).zip(lens) {
        let end = append(&log, seq, len);
        assert_eq!(end, log.end());
        all.push(done(seq, len, end));
    }
    assert_eq!(log.durable(), Lsn::ZERO);
    assert_eq!(log.sync(log.end()).unwrap(), log.end());
    assert_eq!(log.durable(), log.end());
    let (commits, outcome) = read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap();
    assert!(commits == all);
    assert_eq!(outcome.end, log.end());
    assert_eq!(outcome.torn, None);
}

#[test]
fn the_slices_of_a_payload_are_joined() {
    let disk = disk();
    let log = new_log(&disk);
    let slices: Vec<Vec<u8>> = (0..300).map(|i| payload(i, (i % 90) as usize)).collect();
    let refs: Vec<&[u8]> = slices.iter().map(Vec::as_slice).collect();
    let whole = slices.concat();
    log.reserve(whole.len()).unwrap();
    let end = log.append(1, &refs).unwrap();
    log.sync(end).unwrap();
    let (commits, _) = read(&disk, 1, Lsn::ZERO).unwrap();
    assert!(commits[0].payload == whole);
}

#[test]
fn a_replay_can_begin_at_any_commit() {
    let disk = disk();
    let log = new_log(&disk);
    let all: Vec<_> = (1..40).map(|seq| done(seq, 700, append(&log, seq, 700))).collect();
    log.sync(log.end()).unwrap();
    for (i, commit) in all.iter().enumerate() {
        let (commits, outcome) = read(&disk, 1, commit.end).unwrap();
        assert!(commits == all[i + 1..]);
        assert!(outcome.proven >= commit.end);
    }
}

#[test]
fn a_log_begins_where_it_is_told() {
    let disk = disk();
    let start = Lsn::new(0x1000_0000_0000);
    let log = Log::create(arc(&disk), dir(), SMALL, 9, start).unwrap();
    let end = append(&log, 1, 100);
    assert_eq!(end.since(start), 64 + 104);
    log.sync(end).unwrap();
    assert_eq!(read(&disk, 9, start).unwrap().0, [done(1, 100, end)]);
    let before = open(&disk, 9, Lsn::new(start.get() - 8));
    assert!(matches!(before, Err(Error::MissingSegment { .. })), "{before:?}");
    let beyond = open(&disk, 9, Lsn::new(start.get() + (1 << 20)));
    assert!(matches!(beyond, Err(Error::MissingSegment { .. })), "{beyond:?}");
}

#[test]
fn a_huge_commit_crosses_many_segments_and_frames() {
    let disk = MemVfs::new();
    let config = LogConfig::new(UUID);
    let log = Log::create(arc(&disk), dir(), config, 1, Lsn::ZERO).unwrap();
    let len = 9_000_001;
    append(&log, 1, 10);
    append(&log, 2, len);
    append(&log, 3, 10);
    assert!(log.stats().segments >= 4, "{:?}", log.stats());
    log.sync(log.end()).unwrap();
    let (commits, _) = read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap();
    assert_eq!(commits.len(), 3);
    assert!(commits[1].payload == payload(2, len));
}

#[test]
fn appending_without_room_is_refused_and_changes_nothing() {
    let disk = disk();
    let log = new_log(&disk);
    let end = append(&log, 1, 100);
    let refused = log.append(2, &[&[0; 100_000]]);
    assert!(matches!(refused, Err(Error::Unreserved { wanted: 100_000 })), "{refused:?}");
    assert_eq!(log.end(), end);
    append(&log, 2, 100_000);
    log.sync(log.end()).unwrap();
    assert_eq!(read(&disk, 1, Lsn::ZERO).unwrap().0.len(), 2);
}

#[test]
fn writing_out_is_not_syncing() {
    let disk = disk();
    let log = new_log(&disk);
    append(&log, 1, 100);
    assert_eq!(log.buffered_bytes(), 64 + 104);
    log.write_out().unwrap();
    assert_eq!(log.buffered_bytes(), 0);
    assert_eq!(log.durable(), Lsn::ZERO);
    assert_eq!(read(&disk, 1, Lsn::ZERO).unwrap().0.len(), 1, "a crash of the process alone");
    assert_eq!(read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap().0.len(), 0);
    let (end, syncs) = (log.end(), log.stats().syncs);
    assert_eq!(log.sync(end).unwrap(), end);
    assert_eq!(log.sync(end).unwrap(), end);
    assert_eq!(log.stats().syncs, syncs + 1, "what is durable is not synced again");
}

#[test]
fn a_removed_log_leaves_nothing() {
    let disk = disk();
    let log = new_log(&disk);
    append(&log, 1, 50_000);
    log.sync(log.end()).unwrap();
    append(&log, 2, 50_000);
    log.reserve(100_000).unwrap();
    log.remove().unwrap();
    for disk in [disk.crash_losing_all(), disk] {
        assert_eq!(disk.read_dir(Path::new("/")).unwrap(), [""; 0]);
        let gone = open(&disk, 1, Lsn::ZERO);
        assert!(matches!(gone, Err(Error::MissingLog { .. })), "{gone:?}");
        new_log(&disk);
    }
}

#[test]
fn a_log_is_not_created_over_another() {
    let disk = disk();
    drop(new_log(&disk));
    let again = Log::create(arc(&disk), dir(), SMALL, 1, Lsn::ZERO);
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    Log::discard(&disk, dir()).unwrap();
    Log::discard(&disk, dir()).unwrap();
    assert_eq!(disk.kind(dir()).unwrap(), None);
    drop(new_log(&disk));
}

#[test]
fn stats_count() {
    let disk = disk();
    let log = new_log(&disk);
    let first = log.stats();
    assert_eq!((first.segments, first.spares, first.file_bytes), (1, 0, 4096));
    append(&log, 1, 6000);
    let stats = log.stats();
    assert_eq!((stats.segments, stats.commits), (2, 1));
    assert_eq!(stats.file_bytes, 4096 + 8192);
    assert_eq!(stats.bytes_appended, stats.buffered_bytes);
    log.sync(log.end()).unwrap();
    let stats = log.stats();
    assert_eq!((stats.bytes_written, stats.buffered_bytes), (stats.bytes_appended, 0));
    assert_eq!(stats.syncs, 1);
}

#[test]
fn segments_double_up_to_the_largest() {
    let disk = disk();
    let log = new_log(&disk);
    for seq in 0..60 {
        append(&log, seq, 1000);
    }
    log.sync(log.end()).unwrap();
    let lens: Vec<usize> =
        (0..4).map(|n| crate::file_bytes(&disk, &crate::segment_path(&disk, n)).len()).collect();
    assert_eq!(lens, [4096, 8192, 16 << 10, 16 << 10]);
}

#[test]
fn the_same_on_the_operating_system() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("db-wal");
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::new());
    let log = Log::create(Arc::clone(&vfs), &dir, SMALL, 1, Lsn::ZERO).unwrap();
    let mut all = Vec::new();
    for seq in 0..100 {
        let len = (seq * 97 % 3000) as usize;
        all.push(done(seq, len, append(&log, seq, len)));
        log.sync(log.end()).unwrap();
        if seq == 50 {
            log.recycle(all[25].end).unwrap();
        }
    }
    drop(log);
    let mut recovery = Recovery::open(Arc::clone(&vfs), &dir, SMALL, 1, all[30].end).unwrap();
    assert!(replay(&mut recovery).unwrap().0 == all[31..]);
    let log = recovery.resume(2).unwrap();
    let end = append(&log, 100, 500);
    log.sync(end).unwrap();
    all.push(done(100, 500, end));
    drop(log);
    let mut recovery = Recovery::open(Arc::clone(&vfs), &dir, SMALL, 2, all[30].end).unwrap();
    assert!(replay(&mut recovery).unwrap().0 == all[31..]);
    recovery.resume(3).unwrap().remove().unwrap();
    assert!(!dir.exists());
}
