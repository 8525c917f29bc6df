//! A device that lies: each call of a workload, in turn, says that it was done and was not, or was
//! done elsewhere, or gives what was there before. Whoever reads then is told, with a place, or gets
//! the answers of a state that may be.
//!
//! ```text
//!   workload, one call lies -> crash after each step -> all is read -> two more steps
//!                           -> all is read -> crash -> close -> opened again, all is read
//!   workload -> crash -> one call of the recovery lies -> as above
//! ```
//!
//! What may be: after the end of the log was hit, with nothing after it that says that it was
//! durable, what was committed there may be missing; see `History::oldest`.

use crate::damage::names_a_place;
use crate::explore::Failure;
use crate::failures;
use crate::image::fingerprint;
use crate::random::Random;
use crate::spec::Spec;
use crate::trace::{self, Event, Recorder, Tape};
use crate::world::{Expected, World, abandon, base, guarded, in_world};
use llmdb_vfs::{Call, FaultKind, MemVfs};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What is done once a lie was not noticed.
const MORE: [&str; 2] = ["put", "checkpoint"];
/// Where the meta slots are.
const SLOTS: [u64; 3] = [0, 65_536, 131_072];

/// How a call lies.
#[derive(Clone, Copy, Debug)]
struct Lie {
    call: Call,
    kind: FaultKind,
    for_ever: bool,
}

/// All lies, each told at every call that it can be told at; those for ever from the first on.
fn lies() -> Vec<Lie> {
    let lie = |call, kind| Lie { call, kind, for_ever: false };
    let mut all = Vec::new();
    for call in [Call::Write, Call::Sync, Call::SyncDir, Call::SetLen, Call::Allocate, Call::Punch]
    {
        all.push(lie(call, FaultKind::Lost));
    }
    for by in [512, 4096, 8192] {
        all.push(lie(Call::Write, FaultKind::Misdirected(by)));
        all.push(lie(Call::Write, FaultKind::Misdirected(-by)));
    }
    all.extend(SLOTS.map(|slot| lie(Call::Write, FaultKind::MisdirectedTo(slot))));
    all.push(lie(Call::Read, FaultKind::Stale));
    all.push(Lie { for_ever: true, ..lie(Call::Sync, FaultKind::Lost) });
    all.push(Lie { for_ever: true, ..lie(Call::SyncDir, FaultKind::Lost) });
    all
}

/// What was tried.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs in which a call lied.
    pub runs: u64,
    /// Of them those in which somebody was told, at once or after a crash.
    pub told: u64,
    /// Distinct states after a crash or a close, each judged.
    pub states: u64,
    /// Of them those that lack something acknowledged: the end of the log was hit.
    pub short: u64,
    /// Lies that came to pages which had been found good, and were told by verifying alone.
    pub late: u64,
    /// What is wrong.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Adds what another thread tried.
    pub fn add(&mut self, other: Report) {
        self.runs += other.runs;
        self.told += other.told;
        self.states += other.states;
        self.short += other.short;
        self.late += other.late;
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { runs, told, states, short, late, .. } = self;
        write!(
            f,
            "{runs} lies, {told} of them told, {late} by verifying alone; {states} distinct states \
             after, {short} of them without the end of the log"
        )
    }
}

/// Workloads in which pages and places in the log are used again, so that what was there before is
/// there to be found; then those of [`failures`](crate::failures::workloads).
pub fn workloads() -> Vec<String> {
    let again = [
        "trees-buffered:overwrite,checkpoint,overwrite,checkpoint,overwrite,checkpoint",
        "facts:again,checkpoint,late,checkpoint,again,checkpoint",
        "trees:overwrite,checkpoint,overwrite,checkpoint,overwrite,checkpoint",
        "trees:put,put,put,put",
        "trees-buffered:split,checkpoint,merge,checkpoint,split,checkpoint",
        "trees-buffered:long,checkpoint,long,checkpoint,long,checkpoint",
        "facts-buffered:again,checkpoint,late,checkpoint,again,checkpoint",
        "facts-buffered:put,again,late,put",
    ];
    let again = again.iter().map(|workload| (*workload).to_owned());
    again.chain(failures::workloads()).collect()
}

/// Lets every call of each of `workloads`, as `trees:put,checkpoint`, lie.
///
/// # Errors
/// A workload that is none, or whose database could not be made.
pub fn lie_everywhere(workloads: &[String]) -> Result<Report, String> {
    let mut report = Report::default();
    for workload in workloads {
        let (world, steps) = workload.split_once(':').ok_or("a workload is WORLD:STEP,...")?;
        let steps: Vec<String> = steps.split(',').map(str::to_owned).collect();
        in_world!(world, world => lie_in(world, &steps, &mut report)?)?;
    }
    Ok(report)
}

fn lie_in<W: World>(world: &W, steps: &[String], report: &mut Report) -> Result<(), String> {
    let spec = Spec { world: world.name().into(), steps: steps.to_vec(), crashes: Vec::new() };
    let mut judges = Judges { world, spec, report, seen: HashMap::new() };
    let base = base(world)?;
    let (crashed, before_last, states) = left_open(world, &base.disk, &base.state, steps)?;
    let base_states = [base.state];
    let none = Vec::new();
    let starts = [
        Start { disk: &base.disk, states: &base_states, older: &base.disk, steps },
        Start { disk: &crashed, states: &states, older: &base.disk, steps: &none },
        Start { disk: &crashed, states: &states, older: &before_last, steps: &none },
    ];
    for (number, start) in starts.iter().enumerate() {
        for lie in lies() {
            // The last start differs from the one before in what stale reads give.
            if number == 2 && lie.kind != FaultKind::Stale {
                continue;
            }
            for n in 1.. {
                if !judges.lie(start, lie, n) || lie.for_ever {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// The disk that a crash leaves after `steps`, and the one before the last of them; and all states
/// that were issued.
type LeftOpen<M> = (MemVfs, MemVfs, Vec<Expected<M>>);

fn left_open<W: World>(
    world: &W,
    disk: &MemVfs,
    state: &Expected<W::Model>,
    steps: &[String],
) -> Result<LeftOpen<W::Model>, String> {
    let disk = disk.crash(&mut |_| true);
    let tape = Tape::new(disk.clone());
    let mut db = world.open(Arc::new(Recorder(tape.clone())))?;
    let mut model = W::Model::clone(&state.model);
    let mut before_last = disk.clone();
    for step in steps {
        before_last = disk.crash(&mut |_| true);
        db = world.step(db, &mut model, step, &tape)?;
    }
    let crashed = disk.crash(&mut |_| true);
    let mut states = vec![Expected { digest: state.digest, model: state.model.clone() }];
    for event in tape.take() {
        if let Event::Issued(model) = event {
            states.push(Expected::new(world, model));
        }
    }
    abandon(db, &disk);
    Ok((crashed, before_last, states))
}

/// Where a run begins.
struct Start<'s, M> {
    disk: &'s MemVfs,
    /// The states that it was in, the newest last.
    states: &'s [Expected<M>],
    /// What stale reads give.
    older: &'s MemVfs,
    steps: &'s [String],
}

/// Why a run ends early.
enum Stop {
    /// An error, as it should be.
    Told(String),
    /// What must not be.
    Wrong(String),
}

/// What whoever opens a disk and reads all of it gets.
#[derive(Clone, Copy)]
enum Judged {
    Told,
    Found(u64),
}

/// What was promised by when, and when the lie came.
struct History<M> {
    states: Vec<Expected<M>>,
    /// The newest state that was acknowledged, and the one before that.
    acknowledged: usize,
    before: usize,
    lie: Lie,
    /// Calls of its kind before it.
    calls_left: u64,
    told: Option<ToldAt>,
}

/// When a lie was told.
struct ToldAt {
    /// The newest state that had been acknowledged, and the one before that.
    acknowledged: usize,
    before: usize,
    /// How often something was acknowledged since.
    since: u32,
    /// It was the write of a meta page.
    of_meta: bool,
}

impl<M> History<M> {
    fn note<W: World<Model = M>>(&mut self, world: &W, event: &Event<M>) {
        match event {
            Event::Issued(model) => self.states.push(Expected::new(world, model.clone())),
            Event::Acknowledged => {
                self.before = std::mem::replace(&mut self.acknowledged, self.states.len() - 1);
                self.told.iter_mut().for_each(|told| told.since += 1);
            }
            Event::Call(call) if is_call(call, self.lie.call) => {
                self.calls_left = self.calls_left.saturating_sub(1);
                if self.calls_left == 0 && self.told.is_none() {
                    let History { acknowledged, before, .. } = *self;
                    self.told =
                        Some(ToldAt { acknowledged, before, since: 0, of_meta: is_meta(call) });
                }
            }
            Event::Call(_) | Event::Settled(_) | Event::Step => {}
        }
    }

    /// The state that was found at opening is where everything begins. Where names or syncs are lost
    /// for good, those before it may come back.
    fn begin_at(&mut self, state: usize) {
        self.states.truncate(state + 1);
        if !self.lie.for_ever {
            self.states.drain(..state);
        }
        (self.acknowledged, self.before) = (self.states.len() - 1, self.states.len() - 1);
        if let Some(told) = &mut self.told {
            (told.acknowledged, told.before) = (self.acknowledged, self.before);
        }
    }

    /// The oldest state that may be found after a crash.
    ///
    /// It is the newest one that was acknowledged, but where the last group of commits in the log was
    /// hit, or a value that it names: as long as nothing else was logged since, nothing says that
    /// there was more than is left. A write that landed elsewhere in the log may have hit groups
    /// before. A name that was never synced takes all that is in the file with it; and a device that
    /// never syncs promises nothing.
    fn oldest(&self, path: &Path) -> usize {
        let of_log = path.parent().is_some_and(|dir| dir != Path::new("/"));
        let Lie { call, kind, for_ever } = self.lie;
        let elsewhere = matches!(kind, FaultKind::Misdirected(_) | FaultKind::MisdirectedTo(_));
        if for_ever || call == Call::SyncDir {
            return 0;
        }
        match &self.told {
            None if kind == FaultKind::Stale && of_log => 0,
            Some(told) if told.since > 1 => self.acknowledged,
            Some(_) if elsewhere && of_log => 0,
            Some(told) if elsewhere => told.before,
            Some(told) if !told.of_meta => told.acknowledged,
            _ => self.acknowledged,
        }
    }
}

/// Whether a call writes a meta page.
fn is_meta(call: &trace::Call) -> bool {
    matches!(call, trace::Call::Write { offset, bytes, .. } if SLOTS.contains(offset) && bytes.len() == 4096)
}

fn is_call(recorded: &trace::Call, call: Call) -> bool {
    matches!(
        (recorded, call),
        (trace::Call::Write { .. }, Call::Write)
            | (trace::Call::Sync { .. }, Call::Sync)
            | (trace::Call::SyncDir { .. }, Call::SyncDir)
            | (trace::Call::SetLen { .. }, Call::SetLen)
            | (trace::Call::Allocate { .. }, Call::Allocate)
            | (trace::Call::Punch { .. }, Call::Punch)
    )
}

/// Runs of one workload.
struct Judges<'w, W: World> {
    world: &'w W,
    spec: Spec,
    report: &'w mut Report,
    /// What was found in each state after a crash.
    seen: HashMap<u128, Judged>,
}

impl<W: World> Judges<'_, W> {
    /// One run; whether there was a call to lie at.
    fn lie(&mut self, start: &Start<'_, W::Model>, lie: Lie, n: u64) -> bool {
        let disk = start.disk.crash(&mut |_| true);
        match lie {
            Lie { kind: FaultKind::Stale, .. } => disk.stale_nth(n, start.older),
            Lie { for_ever: true, call, kind } => disk.fail_from_nth(call, n, kind),
            Lie { call, kind, .. } => disk.fail_nth(call, n, kind),
        }
        let copy = |state: &Expected<W::Model>| Expected {
            digest: state.digest,
            model: state.model.clone(),
        };
        let mut history = History {
            states: start.states.iter().map(copy).collect(),
            acknowledged: start.states.len() - 1,
            before: start.states.len().saturating_sub(2),
            lie,
            calls_left: n,
            told: None,
        };
        let tape = Tape::new(disk.clone());
        let mut told = false;
        let mut run = guarded(|| Ok(self.run(&disk, &tape, start, &mut history, &mut told)))
            .unwrap_or_else(|panic| Err(Stop::Wrong(panic)));
        disk.clear_faults();
        if let Err(Stop::Told(why)) = run {
            let lied = disk.failed_calls() > 0;
            told = true;
            tape.take().iter().for_each(|event| history.note(self.world, event));
            run = match lied && names_a_place(&why) {
                true => self.crashes(&disk, &history, n, &mut told),
                false if lied => Err(Stop::Wrong(format!("the error names no place: {why}"))),
                false => Err(Stop::Wrong(format!("without a lie: {why}"))),
            };
        }
        let lied = disk.failed_calls() > 0;
        if !lied && run.is_ok() {
            return false;
        }
        let of_meta = history.told.as_ref().is_some_and(|told| told.of_meta);
        if told && of_meta && matches!(lie.kind, FaultKind::Lost) && run.is_ok() {
            run = Err(Stop::Wrong("a lost meta page is not made good by the one before".into()));
        }
        self.report.runs += 1;
        self.report.told += u64::from(told);
        if let Err(Stop::Wrong(why) | Stop::Told(why)) = run {
            let at = disk.last_failed().unwrap_or_default();
            let from = if start.steps.is_empty() { "recovering, " } else { "" };
            let why = format!("{from}call {n}, {lie:?} of {}: {why}", at.display());
            self.report.failures.push(Failure { spec: self.spec.clone(), why });
        }
        lied
    }

    /// The workload and what comes after it, as far as nobody is told.
    fn run(
        &mut self,
        disk: &MemVfs,
        tape: &Arc<Tape<W::Model>>,
        start: &Start<'_, W::Model>,
        history: &mut History<W::Model>,
        told: &mut bool,
    ) -> Result<(), Stop> {
        let world = self.world;
        let mut db = world.open(Arc::new(Recorder(tape.clone()))).map_err(Stop::Told)?;
        tape.take().iter().for_each(|event| history.note(world, event));
        let found = world.found(&db).map_err(Stop::Told)?;
        let at = disk.last_failed().unwrap_or_default();
        let oldest = history.oldest(&at);
        let state = history.states[oldest..].iter().rposition(|state| state.digest == found);
        let Some(state) = state.map(|state| state + oldest) else {
            return Err(Stop::Wrong("opened, other answers are given".into()));
        };
        self.report.short += u64::from(state < history.acknowledged);
        history.begin_at(state);
        let mut model = W::Model::clone(&history.states[history.acknowledged].model);
        for (i, step) in start.steps.iter().map(String::as_str).chain(MORE).enumerate() {
            db = world.step(db, &mut model, step, tape).map_err(Stop::Told)?;
            tape.take().iter().for_each(|event| history.note(world, event));
            if i + 1 >= start.steps.len() {
                if world.found(&db).map_err(Stop::Told)? != world.expected(&model) {
                    return Err(self.not_looked_at_again(&db, step));
                }
                if !history.lie.for_ever {
                    disk.clear_faults();
                }
            }
            if disk.failed_calls() > 0 {
                self.crashes(disk, history, i as u64, told)?;
            }
        }
        disk.clear_faults();
        world.close(db).map_err(Stop::Told)?;
        tape.take().iter().for_each(|event| history.note(world, event));
        self.check(&disk.crash(&mut |_| true), history, history.states.len() - 1, told)
    }

    /// Other answers are given. Through a map a page that was found good is not looked at again, but
    /// by who verifies all; read from the file, it must not happen.
    fn not_looked_at_again(&mut self, db: &W::Db, step: &str) -> Stop {
        match self.world.verify(db) {
            Err(why) if self.world.is_mapped() => {
                self.report.late += 1;
                Stop::Told(why)
            }
            _ => Stop::Wrong(format!("after {step}, other answers are given")),
        }
    }

    /// Crashes in several ways, and judges what is left.
    fn crashes(
        &mut self,
        disk: &MemVfs,
        history: &History<W::Model>,
        seed: u64,
        told: &mut bool,
    ) -> Result<(), Stop> {
        let oldest = history.oldest(&disk.last_failed().unwrap_or_default());
        for kind in 0..4 {
            let mut random = Random(seed << 8 | kind);
            let crashed = match kind {
                0 => disk.crash_losing_all(),
                1 => disk.crash(&mut |_| true),
                _ => disk.crash(&mut |_| random.next() & 1 == 1),
            };
            let wrong = |stop| match stop {
                Stop::Wrong(why) => Stop::Wrong(format!("then, after crash {kind}: {why}")),
                told => told,
            };
            self.check(&crashed, history, oldest, told).map_err(wrong)?;
        }
        Ok(())
    }

    /// Opens what is left and reads all of it.
    fn check(
        &mut self,
        disk: &MemVfs,
        history: &History<W::Model>,
        oldest: usize,
        told: &mut bool,
    ) -> Result<(), Stop> {
        let state = fingerprint(disk);
        let judged = match self.seen.get(&state) {
            Some(judged) => *judged,
            None => {
                self.report.states += 1;
                judge(self.world, disk).map_err(Stop::Wrong)?
            }
        };
        let is_new = self.seen.insert(state, judged).is_none();
        match judged {
            Judged::Told => *told = true,
            Judged::Found(found) => {
                let states = history.states[oldest..].iter();
                let Some(at) = states.clone().rposition(|state| state.digest == found) else {
                    let older = history.states.iter().rposition(|state| state.digest == found);
                    let newest = history.states.len() - 1;
                    return Err(Stop::Wrong(format!(
                        "a state that may not be: {older:?} where {oldest} to {newest} may be"
                    )));
                };
                self.report.short += u64::from(is_new && at + oldest < history.acknowledged);
            }
        }
        Ok(())
    }
}

/// Opens a disk, reads and verifies all of it. What must not be is an error.
fn judge<W: World>(world: &W, disk: &MemVfs) -> Result<Judged, String> {
    let mut found = None;
    let judged = guarded(|| {
        let db = world.open(Arc::new(disk.clone()))?;
        let read = world.found(&db);
        let verified = world.verify(&db);
        abandon(db, disk);
        found = Some(read?);
        verified
    });
    match (judged, found) {
        // What is only found by looking at every page is told too, and does not excuse the answers.
        (_, Some(found)) => Ok(Judged::Found(found)),
        (Err(why), _) if !why.starts_with("panic") && names_a_place(&why) => Ok(Judged::Told),
        (Err(why), _) => Err(format!("the error names no place: {why}")),
        (Ok(()), None) => unreachable!("what is right was read"),
    }
}
