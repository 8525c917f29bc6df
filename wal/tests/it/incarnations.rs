//! Recoveries, interrupted ones and out-of-date ones.

use llmdb_vfs::{FaultKind, MemVfs, Vfs};
use llmdb_wal::{Error, Lsn};

use crate::{Done, append, dir, disk, done, new_log, open, read, replay};

fn some_log(disk: &MemVfs, commits: u64, synced: u64) -> Vec<Done> {
    let log = new_log(disk);
    let mut all = Vec::new();
    for seq in 1..=commits {
        let end = append(&log, seq, 400);
        all.push(done(seq, 400, end));
        if seq == synced {
            log.sync(end).unwrap();
        }
    }
    log.write_out().unwrap();
    all
}

#[test]
fn a_recovered_log_goes_on() {
    let mut disk = disk();
    let mut all = some_log(&disk, 5, 3);
    for incarnation in 1..12 {
        disk = disk.crash(&mut |_| true);
        let mut recovery = open(&disk, incarnation, Lsn::ZERO).unwrap();
        assert!(replay(&mut recovery).unwrap().0 == all, "incarnation {incarnation}");
        let log = recovery.resume(incarnation + 1).unwrap();
        assert_eq!((log.end(), log.durable()), (log.end(), log.end()));
        assert_eq!(log.incarnation(), incarnation + 1);
        for _ in 0..incarnation % 4 * 3 {
            let seq = all.len() as u64 + 1;
            all.push(done(seq, 900, append(&log, seq, 900)));
        }
        log.sync(log.end()).unwrap();
    }
    assert!(read(&disk.crash_losing_all(), 12, Lsn::ZERO).unwrap().0 == all);
}

#[test]
fn resuming_changes_nothing_for_the_incarnation_before() {
    let disk = disk();
    let all = some_log(&disk, 40, 17);
    let names = disk.read_dir(dir()).unwrap();
    let log = open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap();
    let after = disk.read_dir(dir()).unwrap();
    assert!(names.iter().all(|name| after.contains(name)));
    assert_eq!(after.len(), names.len() + 1);
    assert!(read(&disk, 1, Lsn::ZERO).unwrap().0 == all, "not recorded");
    assert!(read(&disk, 2, Lsn::ZERO).unwrap().0 == all, "recorded");
    // Tried again, because it was not recorded.
    drop(log);
    let log = open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap();
    assert_eq!(disk.read_dir(dir()).unwrap(), after);
    // Recorded now; what it replaced goes with the first recycling.
    append(&log, 41, 10);
    log.sync(log.end()).unwrap();
    log.recycle(Lsn::ZERO).unwrap();
    assert!(disk.read_dir(dir()).unwrap().len() < after.len());
    assert_eq!(read(&disk.crash_losing_all(), 2, Lsn::ZERO).unwrap().0.len(), 41);
}

#[test]
fn only_what_is_not_proven_is_copied() {
    for (commits, synced) in [(40, 39), (40, 17), (40, 1), (40, 40)] {
        let disk = disk();
        let all = some_log(&disk, commits, synced);
        let mut recovery = open(&disk, 1, Lsn::ZERO).unwrap();
        let (_, outcome) = replay(&mut recovery).unwrap();
        // A frame after the sync proves it. Without one nothing is known.
        let proven = if synced == 40 { Lsn::ZERO } else { all[synced as usize - 1].end };
        assert_eq!(outcome.proven, proven);
        drop(recovery.resume(2).unwrap());
        let name = format!("{:016x}-00000002.log", proven.get());
        assert!(disk.read_dir(dir()).unwrap().contains(&name.into()));
    }
}

#[test]
fn an_unclosed_commit_is_cut() {
    let disk = disk();
    let log = new_log(&disk);
    let first = append(&log, 1, 100);
    append(&log, 2, 40_000);
    log.write_out().unwrap();
    // All segments but the last: the commit frame is gone.
    let names = disk.read_dir(dir()).unwrap();
    disk.remove_file(&dir().join(names.last().unwrap())).unwrap();
    let (commits, outcome) = read(&disk, 1, Lsn::ZERO).unwrap();
    assert_eq!(commits, [done(1, 100, first)]);
    assert_eq!(outcome.end, first);
    assert!(outcome.torn.unwrap().at > first);
    let log = open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap();
    assert_eq!(log.end(), first);
    let end = append(&log, 2, 50);
    log.sync(end).unwrap();
    let (commits, outcome) = read(&disk.crash_losing_all(), 2, Lsn::ZERO).unwrap();
    assert_eq!(commits, [done(1, 100, first), done(2, 50, end)]);
    assert_eq!(outcome.torn, None);
}

#[test]
fn an_out_of_date_incarnation_is_refused_once_a_later_one_was_used() {
    let disk = disk();
    let all = some_log(&disk, 20, 10);
    let log = open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap();
    assert!(open(&disk, 1, Lsn::ZERO).is_ok(), "nothing was appended");
    append(&log, 21, 10);
    log.sync(log.end()).unwrap();
    let stale = open(&disk, 1, Lsn::ZERO);
    assert!(matches!(stale, Err(Error::StaleIncarnation { given: 1, found: 2, .. })), "{stale:?}");
    assert_eq!(read(&disk, 2, Lsn::ZERO).unwrap().0.len(), all.len() + 1);
    let unknown = open(&disk, 3, Lsn::ZERO);
    assert!(matches!(unknown, Err(Error::MissingSegment { incarnation: 3, .. })), "{unknown:?}");
}

#[test]
fn damage_before_a_recovery_is_seen_after_it() {
    let disk = disk();
    let all = some_log(&disk, 20, 10);
    drop(open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap());
    // Nothing was appended since: the new segment itself proves what it began with.
    let path = crate::segment_path(&disk, 0);
    crate::overwrite(&disk, &path, b"?", 64 + all[3].end.get() + 70);
    assert!(crate::is_corrupt(&read(&disk, 2, Lsn::ZERO)));
    assert_eq!(read(&disk, 2, all[4].end).unwrap().0.len(), 15);
}

#[test]
fn an_empty_segment_of_a_recovery_proves_what_was_before_it() {
    let disk = disk();
    let log = new_log(&disk);
    let first = append(&log, 1, 100);
    log.sync(first).unwrap();
    append(&log, 2, 40_000);
    log.write_out().unwrap();
    // The frames of the second commit prove the first, and the last of them is lost: the recovery
    // has nothing to copy.
    let names = disk.read_dir(dir()).unwrap();
    disk.remove_file(&dir().join(names.last().unwrap())).unwrap();
    let log = open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap();
    assert_eq!(log.end(), first);
    assert_eq!(read(&disk, 2, Lsn::ZERO).unwrap().1.proven, first);
    crate::overwrite(&disk, &crate::segment_path(&disk, 0), b"?", 64 + 70);
    assert!(crate::is_corrupt(&read(&disk, 2, Lsn::ZERO)));
}

#[test]
fn a_recovery_needs_space_only_for_what_it_copies() {
    let disk = disk();
    let all = some_log(&disk, 40, 20);
    disk.set_free_bytes(Some(100));
    let full = open(&disk, 1, Lsn::ZERO).unwrap().resume(2);
    assert!(matches!(full, Err(Error::NoSpace { .. })), "{full:?}");
    disk.set_free_bytes(None);
    disk.fail_after(1, FaultKind::Io);
    assert!(open(&disk, 1, Lsn::ZERO).is_err());
    let log = open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap();
    assert_eq!(log.end(), all[39].end);
}
