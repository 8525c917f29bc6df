//! Commits appended piece by piece: whole, given up, and read back in little memory.

use crate::{disk, new_log, open, payload};
use llmdb_wal::{Log, Lsn, Recovery, Replayed};
use std::convert::Infallible;

fn append(log: &Log, seq: u64, bytes: &[u8], buffered_max: usize) -> Lsn {
    log.reserve_pieces(bytes.len()).unwrap();
    let mut appending = log.append_pieces(seq, buffered_max);
    for chunk in bytes.chunks(1 + bytes.len() / 7) {
        appending.add(chunk).unwrap();
    }
    appending.finish().unwrap()
}

fn read(recovery: &mut Recovery, whole_max: usize) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    let outcome = recovery.replay_bounded(whole_max, |replayed| {
        all.push(match replayed {
            Replayed::Whole(commit) => {
                // What lies in one frame is in memory anyway.
                assert!(commit.payload.len() <= whole_max.max(64 << 10));
                (commit.seq, commit.payload.to_vec())
            }
            Replayed::Large(mut large) => {
                let mut bytes = Vec::new();
                while let Some(piece) = large.next_piece().unwrap() {
                    assert!(piece.len() <= 1 << 20);
                    bytes.extend_from_slice(piece);
                }
                (large.seq, bytes)
            }
        });
        Ok::<(), Infallible>(())
    });
    outcome.unwrap();
    all
}

#[test]
fn a_commit_in_pieces_is_read_back_in_any_memory() {
    let disk = disk();
    let log = new_log(&disk);
    let mut expected = Vec::new();
    for (seq, len) in [(1, 10), (2, 3_000_000), (3, 0), (4, 65_536), (5, 400_000), (6, 1)] {
        expected.push((seq, payload(seq, len)));
        append(&log, seq, &expected.last().unwrap().1, 100_000);
        assert!(log.buffered_bytes() <= 100_000 + (130 << 10));
    }
    log.sync(log.end()).unwrap();
    for whole_max in [0, 1000, 100_000, 1 << 30] {
        let crashed = disk.crash_losing_all();
        let mut recovery = open(&crashed, 1, Lsn::ZERO).unwrap();
        assert!(read(&mut recovery, whole_max) == expected, "{whole_max}");
        // And again after the recovery went on.
        let log = recovery.resume(2).unwrap();
        append(&log, 7, &payload(7, 200_000), 0);
        log.sync(log.end()).unwrap();
        let mut again = open(&crashed.crash_losing_all(), 2, Lsn::ZERO).unwrap();
        let all = read(&mut again, whole_max);
        assert_eq!(all.len(), 7);
        assert!(all[..6] == expected && all[6].1 == payload(7, 200_000));
    }
}

#[test]
fn a_commit_that_is_given_up_is_in_no_replay() {
    for written_out in [0, usize::MAX] {
        let disk = disk();
        let log = new_log(&disk);
        append(&log, 1, b"one", 0);
        for _ in 0..3 {
            log.reserve_pieces(500_000).unwrap();
            let mut given_up = log.append_pieces(2, written_out);
            given_up.add(&payload(9, 300_000)).unwrap();
        }
        let end = append(&log, 2, b"two", 0);
        log.sync(end).unwrap();
        log.reserve_pieces(500_000).unwrap();
        log.append_pieces(3, written_out).add(&payload(9, 300_000)).unwrap();
        log.sync(log.end()).unwrap();
        let crashed = disk.crash_losing_all();
        let mut recovery = open(&crashed, 1, Lsn::ZERO).unwrap();
        let expected = [(1, b"one".to_vec()), (2, b"two".to_vec())];
        assert!(read(&mut recovery, 1000) == expected);
        let log = recovery.resume(2).unwrap();
        append(&log, 3, b"three", 0);
        log.sync(log.end()).unwrap();
        let all = read(&mut open(&crashed.crash_losing_all(), 2, Lsn::ZERO).unwrap(), 1000);
        assert_eq!(all.len(), 3);
    }
}
