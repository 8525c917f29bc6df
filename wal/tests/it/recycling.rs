//! Segments that are used again, and what they held before.

use llmdb_vfs::Vfs;
use llmdb_wal::{Error, Lsn};

use crate::{append, dir, disk, done, file_bytes, new_log, open, overwrite, read, segment_path};

fn spares(disk: &llmdb_vfs::MemVfs) -> usize {
    let names = disk.read_dir(dir()).unwrap();
    names.iter().filter(|name| name.to_str().unwrap().ends_with(".spare")).count()
}

#[test]
fn a_log_that_is_recycled_stays_small_and_writes_no_new_files() {
    let disk = disk();
    let log = new_log(&disk);
    let mut from = Lsn::ZERO;
    let mut all = Vec::new();
    let mut settled = 0;
    for seq in 0..2000 {
        let end = append(&log, seq, 300);
        all.push(done(seq, 300, end));
        if seq % 20 == 0 {
            log.sync(end).unwrap();
            from = all[all.len().saturating_sub(30)].end;
            log.recycle(from).unwrap();
            let names = disk.read_dir(dir()).unwrap().len();
            assert!(names <= 5, "{names} files");
            assert!(spares(&disk) <= 2);
            assert_eq!(log.stats().segments + log.stats().spares, names);
        }
        if seq == 1000 {
            settled = log.stats().file_bytes;
        }
    }
    assert_eq!(log.stats().file_bytes, settled);
    log.sync(log.end()).unwrap();
    let (commits, _) = read(&disk.crash_losing_all(), 1, from).unwrap();
    let skip = all.iter().take_while(|done| done.end <= from).count();
    assert!(commits == all[skip..]);
    assert!(matches!(open(&disk, 1, Lsn::ZERO), Err(Error::MissingSegment { .. })));
}

#[test]
fn nothing_from_keep_from_on_is_given_up() {
    let disk = disk();
    let log = new_log(&disk);
    let all: Vec<_> = (0..60).map(|seq| done(seq, 500, append(&log, seq, 500))).collect();
    log.sync(log.end()).unwrap();
    for commit in &all {
        log.recycle(commit.end).unwrap();
        let (commits, _) = read(&disk.crash_losing_all(), 1, commit.end).unwrap();
        assert!(commits == all[all.len() - commits.len()..]);
        assert_eq!(commits.last(), all.last().filter(|last| *last != commit));
    }
}

#[test]
fn what_a_recycled_file_held_before_is_never_read() {
    let disk = disk();
    let log = new_log(&disk);
    // All frames alike: every one of the old is where one of the new could be.
    let mut end = Lsn::ZERO;
    for seq in 0..400 {
        end = append(&log, seq, 448);
        log.sync(end).unwrap();
        if seq % 10 == 0 {
            log.recycle(end).unwrap();
        }
        let (commits, outcome) = read(&disk.crash_losing_all(), 1, end).unwrap();
        assert!(commits.is_empty(), "after {seq}: {commits:?}");
        assert_eq!((outcome.end, outcome.torn), (end, None), "stale frames prove nothing");
    }
    assert!(end.get() > 100_000);
}

#[test]
fn a_frame_of_an_older_incarnation_is_not_read_where_it_would_fit() {
    // Incarnation 1 holds commits 1 to 6; incarnation 2 begins after 3. The frames of 4 to 6 are
    // put at their own positions into the segment of incarnation 2, as a file would have them that
    // was used again from the same position on.
    let disk = disk();
    let log = new_log(&disk);
    let all: Vec<_> = (1..=6).map(|seq| done(seq, 100, append(&log, seq, 100))).collect();
    log.sync(log.end()).unwrap();
    let old = file_bytes(&disk, &segment_path(&disk, 0));
    let boundary = all[2].end;
    let cut = 64 + boundary.get();
    overwrite(&disk, &segment_path(&disk, 0), &vec![0; old.len() - cut as usize], cut);
    let log = open(&disk, 1, boundary).unwrap().resume(2).unwrap();
    assert_eq!(log.end(), boundary);
    let new = segment_path(&disk, 1);
    overwrite(&disk, &new, &old[cut as usize..4096 - 64], 64);
    let (commits, outcome) = read(&disk, 2, Lsn::ZERO).unwrap();
    assert!(commits == all[..3]);
    assert_eq!(outcome.torn, None);
    // One commit of incarnation 2; then the old ones are contiguous again.
    let end = append(&log, 4, 100);
    log.sync(end).unwrap();
    assert_eq!(end, all[3].end);
    let (commits, outcome) = read(&disk, 2, Lsn::ZERO).unwrap();
    assert!(commits == all[..4]);
    assert_eq!((outcome.end, outcome.torn), (end, None));
}

#[test]
fn recycling_that_fails_is_done_next_time() {
    use llmdb_vfs::FaultKind;
    for n in 1.. {
        let disk = disk();
        let log = new_log(&disk);
        let all: Vec<_> = (0..60).map(|seq| done(seq, 500, append(&log, seq, 500))).collect();
        log.sync(log.end()).unwrap();
        let from = all[50].end;
        disk.fail_after(n, FaultKind::Io);
        let failed = log.recycle(from);
        disk.clear_faults();
        for disk in [disk.crash_losing_all(), disk.crash(&mut |_| true)] {
            assert!(read(&disk, 1, from).unwrap().0 == all[51..], "call {n}");
        }
        assert!(!log.is_poisoned());
        log.recycle(from).unwrap();
        assert!(disk.read_dir(dir()).unwrap().len() <= 4);
        // The spares are good.
        let mut more = all.clone();
        more.extend((60..120).map(|seq| done(seq, 500, append(&log, seq, 500))));
        log.sync(log.end()).unwrap();
        assert!(read(&disk.crash_losing_all(), 1, from).unwrap().0 == more[51..], "call {n}");
        if failed.is_ok() {
            assert!(n > 3);
            break;
        }
    }
}
