//! Power failures at every point of a log's life.

use std::sync::{Arc, Mutex};

use llmdb_vfs::{MemVfs, Vfs};
use llmdb_wal::{Error, Log, Lsn, Recovery};
use proptest::prelude::*;

use crate::watched::Watched;
use crate::{Done, SMALL, append, dir, disk, done, new_log, open, payload, read, replay};

/// What the caller of a log remembers elsewhere, durably, and what it knows of its commits.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Both recorded durably, as a meta page would.
    incarnation: u32,
    from: Lsn,
    all: Vec<Done>,
    acknowledged: Lsn,
}

impl Model {
    fn new() -> Model {
        Model { incarnation: 1, ..Model::default() }
    }

    /// The commits that a replay gives back if nothing is lost.
    fn expected(&self) -> &[Done] {
        &self.all[self.all.iter().take_while(|done| done.end <= self.from).count()..]
    }

    /// A replay gives a prefix with all that was acknowledged.
    fn check(&self, disk: &MemVfs, what: &str) -> Recovery {
        let mut recovery = open(disk, self.incarnation, self.from)
            .unwrap_or_else(|e| panic!("{what}: {e}; {:?}", disk.read_dir(dir())));
        let (commits, outcome) = replay(&mut recovery).unwrap_or_else(|e| panic!("{what}: {e}"));
        let expected = self.expected();
        assert!(commits.len() <= expected.len(), "{what}");
        assert!(commits == expected[..commits.len()], "{what}");
        assert!(outcome.end >= self.acknowledged, "{what}: {outcome:?}");
        recovery
    }

    /// Forgets what a crash has lost.
    fn cut(&mut self, end: Lsn) {
        self.all.retain(|done| done.end <= end);
    }
}

/// A generator of choices that needs no crate: the same seed, the same choices.
fn coin(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }
}

/// The disk after a crash: with nothing, everything, or any part of what was not synced.
fn crashes(disk: &MemVfs, seed: u64) -> Vec<MemVfs> {
    let (mut half, mut few, mut most) = (coin(seed), coin(seed + 1), coin(seed + 2));
    vec![
        disk.crash_losing_all(),
        disk.crash(&mut |_| true),
        disk.crash(&mut |_| half().is_multiple_of(2)),
        disk.crash(&mut |_| few().is_multiple_of(16)),
        disk.crash(&mut |_| !most().is_multiple_of(16)),
    ]
}

/// Recovers in earnest, goes on, and crashes once more.
fn check_and_go_on(disk: MemVfs, mut model: Model, what: &str) {
    let recovery = model.check(&disk, what);
    let log = recovery.resume(model.incarnation + 1).unwrap();
    model.cut(log.end());
    model.incarnation += 1;
    model.acknowledged = log.end();
    for _ in 0..3 {
        let seq = 1 << 32 | model.all.len() as u64;
        let end = append(&log, seq, 900);
        model.all.push(done(seq, 900, end));
    }
    log.sync(log.end()).unwrap();
    model.acknowledged = log.end();
    model.check(&disk.crash_losing_all(), what);
}

#[test]
fn a_crash_before_any_call_loses_nothing_acknowledged() {
    let disk = disk();
    let model = Arc::new(Mutex::new(Model::new()));
    let points = Arc::new(Mutex::new(0_u64));
    let vfs = Watched::over(&disk, {
        let (disk, model, points) = (disk.clone(), Arc::clone(&model), Arc::clone(&points));
        move |call| {
            let mut points = points.lock().unwrap();
            *points += 1;
            let model = model.lock().unwrap().clone();
            if model.all.is_empty() {
                return;
            }
            for (which, crashed) in crashes(&disk, *points).into_iter().enumerate() {
                let what = format!("before call {points} ({call}), crash {which}");
                check_and_go_on(crashed, model.clone(), &what);
            }
        }
    });
    let log = Log::create(vfs, dir(), SMALL, 1, Lsn::ZERO).unwrap();
    for seq in 1..60_u64 {
        let len = (seq * 389 % 3000) as usize;
        log.reserve(len).unwrap();
        let end = {
            // Before it is appended nobody can find it.
            let mut model = model.lock().unwrap();
            let end = log.append(seq, &[&payload(seq, len)]).unwrap();
            model.all.push(done(seq, len, end));
            end
        };
        if seq % 4 == 0 {
            log.write_out().unwrap();
        }
        if seq % 5 == 0 {
            let durable = log.sync(end).unwrap();
            model.lock().unwrap().acknowledged = durable;
        }
        if seq % 13 == 0 {
            let keep = log.durable();
            model.lock().unwrap().from = keep;
            log.recycle(keep).unwrap();
        }
    }
    assert!(*points.lock().unwrap() > 100);
}

#[test]
fn a_crash_while_a_log_is_created_leaves_none_or_an_empty_one() {
    let disk = disk();
    let vfs = Watched::over(&disk, {
        let disk = disk.clone();
        move |call| {
            for crashed in crashes(&disk, 7) {
                match read(&crashed, 1, Lsn::ZERO) {
                    Ok((commits, _)) => assert!(commits.is_empty()),
                    Err(Error::MissingLog { .. } | Error::MissingSegment { .. }) => {
                        drop(new_log(&crashed));
                    }
                    Err(e) => panic!("before {call}: {e}"),
                }
            }
        }
    });
    drop(Log::create(vfs, dir(), SMALL, 1, Lsn::ZERO).unwrap());
    assert!(read(&disk.crash_losing_all(), 1, Lsn::ZERO).unwrap().0.is_empty());
}

#[test]
fn a_crash_while_a_log_is_removed_leaves_what_discard_removes() {
    let disk = disk();
    let vfs = Watched::over(&disk, {
        let disk = disk.clone();
        move |call| {
            if !call.starts_with("remove") && call != "sync_dir" {
                return;
            }
            for crashed in crashes(&disk, 7) {
                Log::discard(&crashed, dir()).unwrap();
                assert_eq!(crashed.kind(dir()).unwrap(), None);
                assert_eq!(crashed.crash_losing_all().kind(dir()).unwrap(), None);
                drop(new_log(&crashed));
            }
        }
    });
    let log = Log::create(vfs, dir(), SMALL, 1, Lsn::ZERO).unwrap();
    for seq in 1..30 {
        append(&log, seq, 1000);
    }
    log.sync(log.end()).unwrap();
    log.remove().unwrap();
}

/// A log whose last part is written and not synced, after a crash that kept that part.
fn log_with_a_tail(synced: u64, written: u64) -> (MemVfs, Model) {
    let disk = disk();
    let log = new_log(&disk);
    let mut model = Model::new();
    for seq in 1..=synced + written {
        let len = (seq * 211 % 1500) as usize;
        let end = append(&log, seq, len);
        model.all.push(done(seq, len, end));
        if seq == synced {
            log.sync(end).unwrap();
            model.acknowledged = end;
        }
    }
    log.write_out().unwrap();
    (disk, model)
}

#[test]
fn a_crash_while_recovering_leaves_the_log_as_it_was() {
    // The process was killed, not the power: what it wrote is there, but not durable.
    for (synced, written) in [(0, 12), (12, 0), (1, 1), (10, 30), (30, 10)] {
        let (disk, model) = log_with_a_tail(synced, written);
        let vfs = Watched::over(&disk, {
            let (disk, model) = (disk.clone(), model.clone());
            move |call| {
                for (which, crashed) in crashes(&disk, 11).into_iter().enumerate() {
                    let what = format!("{synced}+{written}, before {call}, crash {which}");
                    check_and_go_on(crashed, model.clone(), &what);
                }
            }
        });
        let recovery = Recovery::open(vfs, dir(), SMALL, 1, Lsn::ZERO).unwrap();
        let log = recovery.resume(2).unwrap();
        assert_eq!(log.end(), model.all.last().unwrap().end);
        for (which, crashed) in crashes(&disk, 13).into_iter().enumerate() {
            // Not recorded: the recovery is lost, the log is not.
            let what = format!("{synced}+{written}, not recorded, crash {which}");
            let twin = crashed.crash_losing_all();
            check_and_go_on(crashed, model.clone(), &what);
            // Recorded: all that was read counts as acknowledged, for it has been served since.
            let what = format!("{synced}+{written}, recorded, crash {which}");
            let recorded = Model { incarnation: 2, acknowledged: log.end(), ..model.clone() };
            check_and_go_on(twin, recorded, &what);
        }
    }
}

#[test]
fn what_was_served_after_a_recovery_survives_the_next_power_failure() {
    // A killed process leaves commits in the page cache. They are read, served, and then the power
    // fails: they must still be there.
    let (disk, mut model) = log_with_a_tail(3, 9);
    let log = open(&disk, 1, Lsn::ZERO).unwrap().resume(2).unwrap();
    model.acknowledged = log.end();
    model.incarnation = 2;
    let disk = disk.crash_losing_all();
    model.check(&disk, "after the power failure");
}

#[derive(Clone, Debug)]
enum Op {
    Append {
        len: usize,
    },
    WriteOut,
    Sync,
    /// Checkpoint at what is durable, and recycle below the checkpoint before.
    Checkpoint,
    Crash {
        seed: u64,
        recorded: bool,
    },
    Kill {
        recorded: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => prop_oneof![6 => 0..600_usize, 2 => 600..5000_usize, 1 => 5000..40_000_usize]
            .prop_map(|len| Op::Append { len }),
        2 => Just(Op::WriteOut),
        3 => Just(Op::Sync),
        1 => Just(Op::Checkpoint),
        1 => (any::<u64>(), any::<bool>())
            .prop_map(|(seed, recorded)| Op::Crash { seed, recorded }),
        1 => any::<bool>().prop_map(|recorded| Op::Kill { recorded }),
    ]
}

/// Recovers on `disk`; if the outcome is not recorded, crashes and recovers again.
fn recover(disk: &mut MemVfs, model: &mut Model, recorded: bool, seed: u64) -> Log {
    let mut log = model.check(disk, "recovery").resume(model.incarnation + 1).unwrap();
    if !recorded {
        drop(log);
        let mut choice = coin(seed);
        *disk = disk.crash(&mut |_| choice().is_multiple_of(2));
        log = model.check(disk, "second recovery").resume(model.incarnation + 1).unwrap();
    }
    model.incarnation += 1;
    model.cut(log.end());
    model.acknowledged = log.end();
    log
}

proptest! {
    #[test]
    fn any_life_with_any_crashes_keeps_what_was_acknowledged(
        ops in prop::collection::vec(op(), 1..80),
        last in any::<u64>(),
    ) {
        let mut disk = disk();
        let mut log = new_log(&disk);
        let mut model = Model::new();
        let mut seq = 0;
        for op in ops {
            match op {
                Op::Append { len } => {
                    seq += 1;
                    let end = append(&log, seq, len);
                    model.all.push(done(seq, len, end));
                }
                Op::WriteOut => log.write_out().unwrap(),
                Op::Sync => model.acknowledged = log.sync(log.end()).unwrap(),
                Op::Checkpoint => {
                    let before = model.from;
                    model.from = log.durable();
                    log.recycle(before).unwrap();
                }
                Op::Crash { seed, recorded } => {
                    let mut choice = coin(seed);
                    disk = disk.crash(&mut |_| choice().is_multiple_of(2));
                    log = recover(&mut disk, &mut model, recorded, seed);
                }
                Op::Kill { recorded } => {
                    log = recover(&mut disk, &mut model, recorded, last);
                }
            }
        }
        let acknowledged = model.acknowledged;
        prop_assert_eq!(log.durable() >= acknowledged, true);
        for (which, crashed) in crashes(&disk, last).into_iter().enumerate() {
            check_and_go_on(crashed, model.clone(), &format!("at last, crash {which}"));
        }
    }
}
