//! Threads that append, write and sync at the same time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llmdb_wal::{Log, Lsn};

use crate::watched::Watched;
use crate::{SMALL, append, dir, disk, done, new_log, read};

#[test]
fn appending_goes_on_while_a_sync_is_in_flight() {
    let disk = disk();
    let armed = Arc::new(AtomicBool::new(false));
    let (reached, at_the_sync) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (reached, released) = (Mutex::new(reached), Mutex::new(released));
    let stuck = Arc::new(AtomicBool::new(false));
    let vfs = Watched::over(&disk, {
        let (armed, stuck) = (Arc::clone(&armed), Arc::clone(&stuck));
        move |call| {
            if call == "sync_data" && armed.swap(false, Ordering::SeqCst) {
                reached.lock().unwrap().send(()).unwrap();
                // A watchdog: appending that waits for the sync would wait for ever.
                let let_go = released.lock().unwrap().recv_timeout(Duration::from_secs(20));
                stuck.store(let_go.is_err(), Ordering::SeqCst);
            }
        }
    });
    let log = Log::create(vfs, dir(), SMALL, 1, Lsn::ZERO).unwrap();
    let first = append(&log, 1, 100);
    armed.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        // Dropped if this panics, so that the other thread ends too.
        let release = release;
        let syncing = scope.spawn(|| log.sync(first).unwrap());
        at_the_sync.recv().unwrap();
        // The sync is in flight. Enough to need more files too.
        for seq in 2..30 {
            append(&log, seq, 1000);
        }
        assert_eq!(log.durable(), Lsn::ZERO);
        release.send(()).unwrap();
        assert!(!stuck.load(Ordering::SeqCst), "appending waited for the sync");
        assert_eq!(syncing.join().unwrap(), first, "what came later was not written yet");
    });
    assert_eq!(log.durable(), first);
    log.sync(log.end()).unwrap();
    assert_eq!(read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap().0.len(), 29);
}

#[test]
fn many_committers_are_acknowledged_only_when_durable() {
    let disk = disk();
    let log = new_log(&disk);
    let next = AtomicU64::new(1);
    let sequencer = Mutex::new(Vec::new());
    let checkpoint = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let (log, next, sequencer, disk, checkpoint) =
                (&log, &next, &sequencer, &disk, &checkpoint);
            scope.spawn(move || {
                for round in 0..100_u64 {
                    let len = ((worker * 31 + round * 17) % 900) as usize;
                    let (end, index) = {
                        let mut all = sequencer.lock().unwrap();
                        let seq = next.fetch_add(1, Ordering::SeqCst);
                        let end = append(log, seq, len);
                        all.push(done(seq, len, end));
                        (end, all.len())
                    };
                    let durable = log.sync(end).unwrap();
                    assert!(durable >= end && log.durable() >= durable);
                    if round % 25 == 7 {
                        // Before the crash, which shows a later moment.
                        let from = Lsn::new(checkpoint.load(Ordering::SeqCst));
                        let commits = match read(&disk.crash_losing_all(), 1, from) {
                            Ok((commits, _)) => commits,
                            // Somebody has recycled meanwhile.
                            Err(llmdb_wal::Error::MissingSegment { .. }) => continue,
                            Err(e) => panic!("{e}"),
                        };
                        let all = sequencer.lock().unwrap();
                        let skip = all.iter().take_while(|done| done.end <= from).count();
                        assert!(skip + commits.len() >= index);
                        assert!(commits == all[skip..][..commits.len()]);
                    }
                    if round == 50 && worker == 0 {
                        checkpoint.store(end.get(), Ordering::SeqCst);
                        log.recycle(end).unwrap();
                    }
                }
            });
        }
    });
    let stats = log.stats();
    assert_eq!(stats.commits, 400);
    assert!(stats.syncs <= 400);
    assert_eq!(log.durable(), log.end());
}
