//! A disk that runs full or fails.

use llmdb_vfs::{Call, FaultKind, MemVfs, Vfs};
use llmdb_wal::{Error, Log, Lsn, ReplayError};

use crate::{SMALL, append, arc, dir, disk, done, new_log, open, payload, read};

#[test]
fn a_full_disk_is_noticed_by_reserve_and_can_be_waited_out() {
    let disk = disk();
    let log = new_log(&disk);
    let first = append(&log, 1, 100);
    for free in [0, 1, 4096, 8191, 20_000] {
        disk.set_free_bytes(Some(free));
        let before = log.stats();
        let full = log.reserve(60_000);
        assert!(matches!(full, Err(Error::NoSpace { .. })), "{free}: {full:?}");
        assert_eq!(log.end(), first);
        assert_eq!(log.stats().segments, before.segments);
        let files = disk.read_dir(dir()).unwrap().len();
        assert_eq!(files, log.stats().segments + log.stats().spares, "no half-made file is left");
        assert!(!log.is_poisoned());
        // What fits is still taken.
        assert_eq!(log.sync(log.end()).unwrap(), first);
    }
    disk.set_free_bytes(None);
    let end = append(&log, 2, 60_000);
    log.sync(end).unwrap();
    let (commits, _) = read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap();
    assert!(commits == [done(1, 100, first), done(2, 60_000, end)]);
}

#[test]
fn what_was_reserved_needs_no_space() {
    let disk = disk();
    let log = new_log(&disk);
    log.reserve(60_000).unwrap();
    disk.set_free_bytes(Some(0));
    let end = log.append(1, &[&payload(1, 60_000)]).unwrap();
    log.sync(end).unwrap();
    assert_eq!(read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap().0, [done(1, 60_000, end)]);
}

#[test]
fn a_failed_reserve_poisons_nothing_whatever_failed() {
    for n in 1.. {
        let disk = disk();
        let log = new_log(&disk);
        disk.fail_after(n, FaultKind::Io);
        let failed = log.reserve(5000);
        if failed.is_ok() {
            assert!(n > 3, "a file is made in several calls");
            break;
        }
        disk.clear_faults();
        assert!(!log.is_poisoned());
        let end = append(&log, 1, 5000);
        log.sync(end).unwrap();
        assert_eq!(read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap().0.len(), 1);
    }
}

fn assert_poisoned(log: &Log, acknowledged: Lsn) {
    assert!(log.is_poisoned());
    let first = log.reserve(1).unwrap_err().to_string();
    for again in [
        log.append(9, &[b"x"]).map(drop),
        log.sync(log.end()).map(drop),
        log.write_out(),
        log.reserve(1),
        log.recycle(acknowledged),
    ] {
        let Err(Error::Poisoned { .. }) = &again else { panic!("{again:?}") };
        assert_eq!(again.unwrap_err().to_string(), first, "the first cause");
    }
    assert_eq!(log.sync(acknowledged).unwrap(), acknowledged, "what is durable stays so");
    assert_eq!(log.durable(), acknowledged);
}

#[test]
fn a_failed_sync_poisons_for_good() {
    let disk = disk();
    let log = new_log(&disk);
    let acknowledged = append(&log, 1, 100);
    log.sync(acknowledged).unwrap();
    let end = append(&log, 2, 100);
    disk.fail_nth(Call::Sync, 1, FaultKind::Io);
    assert!(matches!(log.sync(end), Err(Error::Poisoned { .. })));
    // The file system would now say that all is well.
    assert_poisoned(&log, acknowledged);
    let removed = log.remove();
    assert!(matches!(removed, Err(Error::Poisoned { .. })), "{removed:?}");
    let (commits, _) = read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap();
    assert_eq!(commits, [done(1, 100, acknowledged)]);
}

#[test]
fn a_failed_write_poisons_for_good() {
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        let disk = disk();
        let log = new_log(&disk);
        let acknowledged = append(&log, 1, 100);
        log.sync(acknowledged).unwrap();
        append(&log, 2, 100);
        disk.fail_nth(Call::Write, 1, kind);
        assert!(matches!(log.write_out(), Err(Error::Poisoned { .. })));
        assert_poisoned(&log, acknowledged);
    }
}

#[test]
fn any_failing_call_leaves_what_was_acknowledged() {
    // The whole life of a log; call `n` fails.
    let run = |disk: &MemVfs| -> (Vec<crate::Done>, Lsn, Lsn) {
        let (mut all, mut acknowledged, mut from) = (Vec::new(), Lsn::ZERO, Lsn::ZERO);
        let Ok(log) = Log::create(arc(disk), dir(), SMALL, 1, Lsn::ZERO) else {
            return (all, acknowledged, from);
        };
        for seq in 1..30 {
            let len = (seq * 331 % 2500) as usize;
            // A commit that finds no room is given up; the next one may have more luck.
            if log.reserve(len).is_err() {
                continue;
            }
            let Ok(end) = log.append(seq, &[&payload(seq, len)]) else { break };
            all.push(done(seq, len, end));
            if seq % 3 == 0 && log.sync(end).is_ok() {
                acknowledged = end;
            }
            if seq % 10 == 0 {
                from = acknowledged;
                let _ = log.recycle(from);
            }
        }
        (all, acknowledged, from)
    };
    let clean = disk();
    run(&clean);
    let calls = clean.calls();
    assert!(calls > 50);
    for n in 1..=calls {
        let disk = disk();
        disk.fail_after(n, FaultKind::Io);
        let (all, acknowledged, from) = run(&disk);
        disk.clear_faults();
        for disk in [disk.crash_losing_all(), disk.crash(&mut |_| true), disk] {
            let (commits, outcome) = match read(&disk, 1, from) {
                Ok(read) => read,
                // Only where creation itself failed.
                Err(Error::MissingLog { .. } | Error::MissingSegment { .. }) => {
                    assert!(all.is_empty(), "call {n}");
                    continue;
                }
                Err(e) => panic!("call {n}: {e}"),
            };
            let skip = all.iter().take_while(|done| done.end <= from).count();
            assert!(commits == all[skip..][..commits.len()], "call {n}");
            assert!(outcome.end >= acknowledged, "call {n}");
        }
    }
}

#[test]
fn a_failing_read_is_never_the_end() {
    let disk = disk();
    let log = new_log(&disk);
    for seq in 1..60 {
        append(&log, seq, 700);
    }
    log.sync(log.end()).unwrap();
    let before = disk.calls();
    read(&disk, 1, Lsn::ZERO).unwrap();
    for n in 1..=disk.calls() - before {
        disk.fail_after(n, FaultKind::Io);
        let failed = read(&disk, 1, Lsn::ZERO);
        assert!(matches!(failed, Err(Error::Io(_))), "call {n}: {failed:?}");
    }
}

#[test]
fn a_refused_commit_stops_the_replay() {
    let disk = disk();
    let log = new_log(&disk);
    for seq in 1..=3 {
        append(&log, seq, 10);
    }
    log.sync(log.end()).unwrap();
    let mut seen = 0;
    let stopped = open(&disk, 1, Lsn::ZERO).unwrap().replay(|commit| {
        seen = commit.seq;
        if commit.seq == 2 { Err("enough") } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(ReplayError::Apply("enough"))), "{stopped:?}");
    assert_eq!(seen, 2);
}

#[test]
fn a_recovery_that_fails_can_be_tried_again() {
    let disk = disk();
    let log = new_log(&disk);
    let all: Vec<_> = (1..30).map(|seq| done(seq, 700, append(&log, seq, 700))).collect();
    log.write_out().unwrap();
    for n in 1.. {
        disk.fail_after(n, if n % 2 == 0 { FaultKind::Io } else { FaultKind::NoSpace });
        let resumed = open(&disk, 1, Lsn::ZERO).and_then(|recovery| recovery.resume(2));
        disk.clear_faults();
        for disk in [disk.crash(&mut |_| true), disk.clone()] {
            assert!(read(&disk, 1, Lsn::ZERO).unwrap().0 == all, "call {n}");
        }
        if let Ok(log) = resumed {
            assert_eq!(log.end(), all.last().unwrap().end);
            break;
        }
    }
    assert!(read(&disk, 2, Lsn::ZERO).unwrap().0 == all);
}
