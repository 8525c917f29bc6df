//! Every call of a workload fails: once, or from then on for ever; in each way that it can.

use crate::explore::Failure;
use crate::facts::Facts;
use crate::image::fingerprint;
use crate::random::Random;
use crate::spec::Spec;
use crate::trace::{Recorder, Tape};
use crate::trees::Trees;
use crate::world::{Allowed, World, base, guarded, in_world, judge};
use llmdb::PageSource;
use llmdb_vfs::{AfterFailedSync, Call, FaultKind, MemVfs, Vfs};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault {
    kind: FaultKind,
    call: Option<Call>,
    for_ever: bool,
    reads: AfterFailedSync,
}

/// All ways that are tried, each at every call that it can happen to.
fn faults() -> Vec<Fault> {
    let fault = |kind, call, for_ever| Fault { kind, call, for_ever, reads: Default::default() };
    let mut all = Vec::new();
    for for_ever in [false, true] {
        all.push(fault(FaultKind::Io, None, for_ever));
        all.push(fault(FaultKind::NoSpace, None, for_ever));
        // Nothing written, a part of a frame's header, a sector.
        for bytes in [0, 7, 512] {
            all.push(fault(FaultKind::Short(bytes), Some(Call::Write), for_ever));
        }
        let sync = fault(FaultKind::Io, Some(Call::Sync), for_ever);
        all.push(Fault { reads: AfterFailedSync::Before, ..sync });
    }
    all
}

/// What was tried.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs in which something failed.
    pub runs: u64,
    /// Of them those that said so; the others did without.
    pub told: u64,
    /// Distinct states after a crash, each judged.
    pub states: u64,
    /// What is wrong.
    pub failures: Vec<Failure>,
    /// What was found in the states of one workload.
    seen: HashMap<u128, u64>,
}

impl Report {
    /// Adds what another thread tried.
    pub fn add(&mut self, other: Report) {
        self.runs += other.runs;
        self.told += other.told;
        self.states += other.states;
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { runs, told, states, .. } = self;
        write!(f, "{runs} runs with failures, {told} of them told; {states} distinct states after")
    }
}

/// So many of the first workloads are a few of all kinds, enough for a gate.
pub const GATE: usize = 8;

/// Each step of both worlds, with a checkpoint after it, by both page sources; before them those of
/// the [gate](GATE).
pub fn workloads() -> Vec<String> {
    let first: [&str; GATE] = [
        "trees:long,checkpoint",
        "trees-buffered:split,shrink",
        "facts:many,retain",
        "facts:erase,finish",
        "trees:unlogged,put",
        "trees:grow,reopen",
        "trees-buffered:drop,checkpoint",
        "trees:grow,shorten,shrink",
    ];
    let mut all: Vec<String> = first.iter().map(|workload| (*workload).to_owned()).collect();
    let trees = Trees::new(PageSource::Mmap);
    let facts = Facts::new(PageSource::Mmap);
    for source in ["", "-buffered"] {
        all.extend(trees.steps().iter().map(|step| format!("trees{source}:{step},checkpoint")));
        all.extend(facts.steps().iter().map(|step| format!("facts{source}:{step},checkpoint")));
    }
    all
}

/// Fails every call of each of `workloads`, as `trees:put,checkpoint`.
///
/// # Errors
/// A workload that is none, or whose database could not be made.
pub fn fail_everywhere(workloads: &[String]) -> Result<Report, String> {
    let mut report = Report::default();
    for workload in workloads {
        let (world, steps) = workload.split_once(':').ok_or("a workload is WORLD:STEP,...")?;
        let steps: Vec<String> = steps.split(',').map(str::to_owned).collect();
        report.seen.clear();
        in_world!(world, world => fail_in(world, &steps, &mut report)?)?;
    }
    Ok(report)
}

fn fail_in<W: World>(world: &W, steps: &[String], report: &mut Report) -> Result<(), String> {
    let base = base(world)?;
    for fault in faults() {
        for n in 1.. {
            let disk = base.disk.crash(&mut |_| true);
            let plan = |disk: &MemVfs| {
                disk.set_after_failed_sync(fault.reads);
                match (fault.call, fault.for_ever) {
                    (None, false) => disk.fail_after(n, fault.kind),
                    (None, true) => disk.fail_from(n, fault.kind),
                    (Some(call), false) => disk.fail_nth(call, n, fault.kind),
                    (Some(call), true) => disk.fail_from_nth(call, n, fault.kind),
                }
            };
            let allowed = Allowed(vec![base.state.clone()]);
            let found = run(world, disk.clone(), allowed, (steps, n), &plan);
            let happened = disk.failed_calls() > 0;
            let why = match found {
                Err(why) => Some(why),
                Ok(Run { told: Some(why), .. }) if !happened => Some(why),
                Ok(run) => {
                    report.told += u64::from(run.told.is_some());
                    run.left.iter().find_map(|left| left.judge(world, report))
                }
            };
            if !happened && why.is_none() {
                break;
            }
            report.runs += 1;
            if let Some(why) = why {
                let spec =
                    Spec { world: world.name().into(), steps: steps.to_vec(), crashes: Vec::new() };
                report.failures.push(Failure { spec, why: format!("call {n}, {fault:?}: {why}") });
                break;
            }
        }
    }
    Ok(())
}

/// A run that something may have stopped.
struct Run<M> {
    /// What crashes left after each step that was done in spite of a failure, and at the end.
    left: Vec<Left<M>>,
    /// The error that opening or a step gave.
    told: Option<String>,
}

/// What crashes at one moment left.
struct Left<M> {
    disks: Vec<MemVfs>,
    /// The states that they may be in.
    allowed: Allowed<M>,
}

/// Runs a workload until opening or a step says that it failed. What is wrong by then is an error: a
/// panic, or a wrong answer after steps that said that they were done.
fn run<W: World>(
    world: &W,
    disk: MemVfs,
    mut allowed: Allowed<W::Model>,
    (steps, seed): (&[String], u64),
    plan: &dyn Fn(&MemVfs),
) -> Result<Run<W::Model>, String> {
    let tape = Tape::new(disk.clone());
    let mut model = W::Model::clone(&allowed.0[0].model);
    let mut left = Vec::new();
    let mut crash = |allowed: &mut Allowed<W::Model>| {
        tape.take().iter().for_each(|event| allowed.note(world, event));
        left.push(Left { disks: crashes(&disk, seed), allowed: allowed.clone() });
    };
    plan(&disk);
    let told = guarded(|| {
        let mut all = || {
            let mut db = world.open(Arc::new(Recorder(tape.clone())) as Arc<dyn Vfs>)?;
            for step in steps {
                db = world.step(db, &mut model, step, &tape)?;
                if disk.failed_calls() > 0 {
                    crash(&mut allowed);
                }
            }
            Ok(db)
        };
        let db = match all() {
            Err(told) => return Ok(Some(told)),
            Ok(db) => db,
        };
        disk.clear_faults();
        if world.found(&db)? != world.expected(&model) {
            return Err("no step failed, and other answers are given".into());
        }
        // Nothing that was taken back is left.
        world.verify(&db)?;
        // What could not be done before may be done now.
        drop(db);
        Ok(None)
    })?;
    crash(&mut allowed);
    Ok(Run { left, told })
}

/// What several crashes leave of a disk.
fn crashes(disk: &MemVfs, seed: u64) -> Vec<MemVfs> {
    let crash = |kind| {
        let mut random = Random(seed << 8 | kind);
        match kind {
            0 => disk.crash_losing_all(),
            1 => disk.crash(&mut |_| true),
            _ => disk.crash(&mut |_| random.next() & 1 == 1),
        }
    };
    (0..4).map(crash).collect()
}

impl<M> Left<M> {
    fn judge<W: World<Model = M>>(&self, world: &W, report: &mut Report) -> Option<String> {
        for (kind, crashed) in self.disks.iter().enumerate() {
            let state = fingerprint(crashed);
            let found = match report.seen.get(&state) {
                Some(found) => *found,
                None => {
                    report.states += 1;
                    match judge(world, crashed) {
                        Err(why) => return Some(format!("then, after crash {kind}: {why}")),
                        Ok(found) => found,
                    }
                }
            };
            report.seen.insert(state, found);
            if self.allowed.find(found).is_none() {
                return Some(format!("then, after crash {kind}: a state that may not be"));
            }
        }
        None
    }
}
