//! Memory runs out at every allocation of a workload: each take from the budget is refused, once, and
//! from then on until the workload is over. A step that is told so can be followed by others on the
//! same handle.

use crate::explore::Failure;
use crate::image::fingerprint;
use crate::random::Random;
use crate::spec::Spec;
use crate::trace::{Recorder, Tape};
use crate::world::{Allowed, Base, Expected, World, base, guarded, in_world, judge};
use llmdb_storage::Refusals;
use llmdb_vfs::MemVfs;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// What is done once there is memory again.
const MORE: [&str; 2] = ["put", "checkpoint"];

/// What was tried.
#[derive(Debug, Default)]
pub struct Report {
    /// Takes from budgets, each refused.
    pub takes: u64,
    /// Runs: each take was refused once, and with all after it.
    pub runs: u64,
    /// Of them those in which somebody was told; the others did without.
    pub told: u64,
    /// Distinct states after a crash, each judged.
    pub states: u64,
    /// What is wrong.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Adds what another thread tried.
    pub fn add(&mut self, other: Report) {
        self.takes += other.takes;
        self.runs += other.runs;
        self.told += other.told;
        self.states += other.states;
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { takes, runs, told, states, .. } = self;
        write!(
            f,
            "{takes} takes of memory, refused in {runs} runs, {told} of them told; {states} \
             distinct states after"
        )
    }
}

/// Refuses every take of memory in each of `workloads`, as `trees:put,checkpoint`.
///
/// # Errors
/// A workload that is none, or whose database could not be made.
pub fn refuse_everywhere(workloads: &[String]) -> Result<Report, String> {
    let mut report = Report::default();
    for workload in workloads {
        let (world, steps) = workload.split_once(':').ok_or("a workload is WORLD:STEP,...")?;
        let steps: Vec<String> = steps.split(',').map(str::to_owned).collect();
        in_world!(world, world => refuse_in(world, &steps, &mut report)?)?;
    }
    Ok(report)
}

fn refuse_in<W: World>(world: &W, steps: &[String], report: &mut Report) -> Result<(), String> {
    let base = base(world)?;
    let mut seen = HashMap::new();
    for for_ever in [false, true] {
        for n in 1.. {
            let refusals = Refusals::default();
            let mut run =
                Run { world, refusals: &refusals, seen: &mut seen, told: None, told_at: None };
            let found = guarded(|| {
                refusals.attend(|| {
                    match for_ever {
                        false => refusals.refuse_nth(n),
                        true => refusals.refuse_from(n),
                    }
                    run.run(&base, steps, n)
                })
            });
            let told = run.told;
            let happened = refusals.refused() > 0;
            let why = match (found, &told) {
                (Err(why), _) => Some(why),
                (Ok(()), Some(why)) if !happened => Some(format!("without a refusal: {why}")),
                (Ok(()), Some(why)) if !is_of_memory(why) => {
                    Some(format!("the error does not name memory: {why}"))
                }
                (Ok(()), _) => None,
            };
            if !happened && why.is_none() {
                break;
            }
            report.runs += 1;
            report.takes += u64::from(!for_ever);
            report.told += u64::from(told.is_some());
            if let Some(why) = why {
                let (world, steps) = (world.name().into(), steps.to_vec());
                let spec = Spec { world, steps, crashes: Vec::new() };
                let how = if for_ever { "from take" } else { "take" };
                let told = told.map(|told| format!(" (told: {told})")).unwrap_or_default();
                report.failures.push(Failure { spec, why: format!("{how} {n}: {why}{told}") });
                break;
            }
        }
    }
    report.states += seen.len() as u64;
    Ok(())
}

/// As P42 has it: what does not fit says that the page cache is full, or is held.
fn is_of_memory(why: &str) -> bool {
    why.contains("the page cache is full") || why.contains("of the page cache are held")
}

/// A workload in which memory is refused.
struct Run<'r, W> {
    world: &'r W,
    refusals: &'r Refusals,
    /// What was found in each state after a crash.
    seen: &'r mut HashMap<u128, u64>,
    told: Option<String>,
    /// The step that was told.
    told_at: Option<usize>,
}

impl<W: World> Run<'_, W> {
    fn run(&mut self, base: &Base<W::Model>, steps: &[String], seed: u64) -> Result<(), String> {
        let world = self.world;
        let disk = base.disk.crash(&mut |_| true);
        let tape = Tape::new(disk.clone());
        let mut model = W::Model::clone(&base.state.model);
        let mut db = None;
        if let Err(why) = self.steps(&mut db, &mut model, steps, &tape) {
            self.told = Some(why);
        }
        self.refusals.end();
        let db = match db {
            Some(db) => db,
            None => world.open(Arc::new(Recorder(tape.clone())))?,
        };
        let state = Expected { digest: base.state.digest, model: base.state.model.clone() };
        let mut allowed = Allowed(vec![state]);
        tape.take().iter().for_each(|event| allowed.note(world, event));
        let found = world.found(&db)?;
        if self.told.is_none() && found != world.expected(&model) {
            return Err("nobody was told, and other answers are given".into());
        }
        let state = allowed.find(found).ok_or("once there is memory, a state that may not be")?;
        model = W::Model::clone(&state.model);
        self.crashes(&disk, &allowed, seed)?;
        // What was refused is tried again.
        if let Some(step) = self.told_at.and_then(|step| steps.get(step)) {
            let done = world.act(&db, &mut model, step, &tape);
            done.map_err(|why| format!("once there is memory, {step} again: {why}"))?;
            tape.take().iter().for_each(|event| allowed.note(world, event));
            self.crashes(&disk, &allowed, seed)?;
        }
        self.go_on(db, model, &disk, &tape)
    }

    /// The workload, and reading what it left, until somebody is told.
    fn steps(
        &mut self,
        db: &mut Option<W::Db>,
        model: &mut W::Model,
        steps: &[String],
        tape: &Arc<Tape<W::Model>>,
    ) -> Result<(), String> {
        let world = self.world;
        let open = || world.open(Arc::new(Recorder(tape.clone())));
        *db = Some(open()?);
        for (i, step) in steps.iter().enumerate() {
            self.told_at = Some(i);
            let is_open = db.as_ref().expect("it is opened again");
            if !world.act(is_open, model, step, tape)? {
                world.close(db.take().expect("it was there"))?;
                tape.acknowledge();
                *db = Some(open()?);
            }
        }
        self.told_at = None;
        world.found(db.as_ref().expect("it is open")).map(drop)
    }

    /// Crashes in several ways, and judges what is left.
    fn crashes(
        &mut self,
        disk: &MemVfs,
        allowed: &Allowed<W::Model>,
        seed: u64,
    ) -> Result<(), String> {
        for kind in 0..3 {
            let mut random = Random(seed << 8 | kind);
            let crashed = match kind {
                0 => disk.crash_losing_all(),
                1 => disk.crash(&mut |_| true),
                _ => disk.crash(&mut |_| random.next() & 1 == 1),
            };
            let state = fingerprint(&crashed);
            let found = match self.seen.get(&state) {
                Some(found) => *found,
                None => judge(self.world, &crashed)
                    .map_err(|why| format!("then, after crash {kind}: {why}"))?,
            };
            self.seen.insert(state, found);
            if allowed.find(found).is_none() {
                return Err(format!("then, after crash {kind}: a state that may not be"));
            }
        }
        Ok(())
    }

    /// There is memory again: the handle does what it is told, and no page was lost on the way.
    fn go_on(
        &self,
        db: W::Db,
        mut model: W::Model,
        disk: &MemVfs,
        tape: &Arc<Tape<W::Model>>,
    ) -> Result<(), String> {
        let world = self.world;
        let as_expected = |db: &W::Db, model: &W::Model, when: &str| {
            world.verify(db).map_err(|why| format!("{when}: {why}"))?;
            match world.found(db)? == world.expected(model) {
                true => Ok(()),
                false => Err(format!("{when}, other answers are given")),
            }
        };
        as_expected(&db, &model, "once there is memory")?;
        for step in MORE {
            let done = world.act(&db, &mut model, step, tape);
            done.map_err(|why| format!("once there is memory, {step}: {why}"))?;
        }
        as_expected(&db, &model, "after more steps")?;
        world.close(db).map_err(|why| format!("closing: {why}"))?;
        let db = world.open(Arc::new(disk.clone()))?;
        as_expected(&db, &model, "opened again")?;
        world.close(db)
    }
}
