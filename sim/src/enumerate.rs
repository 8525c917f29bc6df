//! Every workload of up to three steps, every point at which it may crash, every choice of what
//! survives: in that order, up to a number of states. And some longer workloads, in which pages and
//! files of the log are used again.

use crate::explore::{Explorer, Failure, Seen, Tally};
use crate::facts::Facts;
use crate::minimise::minimise;
use crate::random::Random;
use crate::spec::Spec;
use crate::trees::Trees;
use crate::world::{World, in_world};
use llmdb::PageSource;
use std::fmt;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Steps of the longest workload.
const STEPS_MAX: usize = 3;
/// At least so many states are tried of a workload that is tried at all.
const QUOTA_MIN: usize = 24;
/// What part of all states workloads of at most 1, 2 and 3 steps have when they have had theirs, and
/// long ones.
const SHARES: [f64; STEPS_MAX + 2] = [0.02, 0.35, 0.6, 0.8, 1.0];
/// Steps of a long workload, and states that are tried of each. One step in so many is a checkpoint.
const LONG_STEPS: usize = 8;
const LONG_QUOTA: usize = 100;
const LONG_CHECKPOINT_EVERY: usize = 3;
/// A long workload is made of few kinds of steps, so that each comes again.
const LONG_KINDS: usize = 3;
/// Long workloads are drawn anew at most so often.
const ROUNDS_MAX: usize = 1000;
/// A state that takes longer never ends.
const HANG_AFTER: Duration = Duration::from_secs(30);

/// What to try.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// About how many distinct states, all together.
    pub states: u64,
    /// What decides where not all is tried.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// After so many failures there is enough to look at.
    pub failures_max: usize,
    /// What fails is made as small as it can be.
    pub minimises: bool,
}

impl Default for Plan {
    /// As many states as a gate has time for.
    fn default() -> Self {
        Plan { states: 20_000, seed: 1, threads: 2, failures_max: 4, minimises: true }
    }
}

/// What was tried, and what is wrong.
#[derive(Debug, Default)]
pub struct Report {
    /// How much.
    pub tally: Tally,
    /// What is wrong, as small as it could be made.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        write!(
            f,
            "{} distinct states of {} workloads in {:.1} s: {} after one crash, {} after two; \
             {} repeats; {} recoveries went on and were closed",
            tally.distinct(),
            tally.workloads.load(Ordering::Relaxed),
            self.took.as_secs_f64(),
            tally.first.load(Ordering::Relaxed),
            tally.second.load(Ordering::Relaxed),
            tally.repeats.load(Ordering::Relaxed),
            tally.went_on.load(Ordering::Relaxed),
        )
    }
}

/// A workload to be tried.
#[derive(Clone, Debug)]
struct Job {
    world: &'static str,
    steps: Vec<&'static str>,
}

/// Tries what was planned, and makes what fails as small as it can.
///
/// # Errors
/// The database that workloads begin with could not be made.
pub fn enumerate(plan: &Plan) -> Result<Report, String> {
    let began = Instant::now();
    let (seen, tally) = (Seen::default(), Tally::default());
    let watches: Vec<Mutex<Option<(Instant, Spec)>>> =
        (0..plan.threads).map(|_| Mutex::default()).collect();
    let failures = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    // The last level is long workloads, others each time, until all is done: bounded by the rounds.
    let rounds = (0..SHARES.len()).chain(std::iter::repeat_n(SHARES.len() - 1, ROUNDS_MAX));
    for (round, level) in rounds.enumerate() {
        let share = SHARES[level];
        if over.load(Ordering::Relaxed) || tally.distinct() >= plan.states {
            break;
        }
        let target = (plan.states as f64 * share) as u64;
        let left = target.saturating_sub(tally.distinct()) as usize;
        let jobs = match level {
            0..=STEPS_MAX => jobs(level, plan.seed),
            _ => long_jobs(left.div_ceil(LONG_QUOTA).max(1), plan.seed ^ (round as u64) << 48),
        };
        let quota = (left / jobs.len()).max(QUOTA_MIN);
        let next = AtomicUsize::new(0);
        let run = Run { plan, jobs: &jobs, next: &next, target, quota, over: &over };
        std::thread::scope(|threads| {
            let workers: Vec<_> = watches
                .iter()
                .map(|watch| {
                    let (seen, tally, failures) = (&seen, &tally, &failures);
                    threads.spawn(move || run.work(seen, tally, watch, failures))
                })
                .collect();
            while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                std::thread::sleep(Duration::from_millis(20));
                watches.iter().for_each(|watch| give_up_on_hangs(watch, tally.distinct()));
            }
            workers.into_iter().try_for_each(|worker| worker.join().expect("workers catch panics"))
        })?;
    }
    let mut failures: Vec<Failure> = failures.into_inner().expect("nobody panics with it");
    if plan.minimises {
        failures = failures.into_iter().map(smallest).collect::<Result<_, String>>()?;
    }
    Ok(Report { tally, failures, took: began.elapsed() })
}

/// Comes to one state again. `Ok(Err(..))`: what is wrong with it.
///
/// # Errors
/// There is no such world, or its database could not be made.
pub fn replay(spec: &Spec) -> Result<Result<(), String>, String> {
    in_world!(spec.world.as_str(), world => {
        let (seen, tally) = (Seen::default(), Tally::default());
        Explorer::new(world, &seen, &tally, &|_| ())?.replay(spec)
    })
}

fn smallest(failure: Failure) -> Result<Failure, String> {
    let name = failure.spec.world.clone();
    in_world!(name.as_str(), world => minimise(world, failure))
}

/// All workloads of so many steps, in an order that the seed decides. Every fourth reads through the
/// page cache.
fn jobs(level: usize, seed: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (steps, worlds) in [
        (Trees::new(PageSource::Mmap).steps(), ["trees", "trees-buffered"]),
        (Facts::new(PageSource::Mmap).steps(), ["facts", "facts-buffered"]),
    ] {
        for mut number in 0..steps.len().pow(level as u32) {
            let world = worlds[usize::from(number % 4 == 3)];
            let mut chosen = Vec::new();
            for _ in 0..level {
                chosen.push(steps[number % steps.len()]);
                number /= steps.len();
            }
            jobs.push(Job { world, steps: chosen });
        }
    }
    Random(seed).shuffle(&mut jobs);
    jobs
}

/// So many long workloads, drawn by the seed.
fn long_jobs(count: usize, seed: u64) -> Vec<Job> {
    let mut random = Random(seed);
    let trees = (Trees::new(PageSource::Mmap).steps(), ["trees", "trees-buffered"]);
    let facts = (Facts::new(PageSource::Mmap).steps(), ["facts", "facts-buffered"]);
    let mut draw = || {
        let (steps, worlds) = [trees, facts][random.below(2)];
        let world = worlds[random.below(2)];
        let kinds: Vec<&str> = (0..LONG_KINDS).map(|_| steps[random.below(steps.len())]).collect();
        let step = |random: &mut Random| match random.below(LONG_CHECKPOINT_EVERY) {
            0 => "checkpoint",
            _ => kinds[random.below(kinds.len())],
        };
        Job { world, steps: (0..LONG_STEPS).map(|_| step(&mut random)).collect() }
    };
    (0..count).map(|_| draw()).collect()
}

/// Workloads of one length, shared by all threads.
#[derive(Clone, Copy)]
struct Run<'r> {
    plan: &'r Plan,
    jobs: &'r [Job],
    next: &'r AtomicUsize,
    target: u64,
    quota: usize,
    over: &'r AtomicBool,
}

impl Run<'_> {
    fn work(
        self,
        seen: &Seen,
        tally: &Tally,
        watch: &Mutex<Option<(Instant, Spec)>>,
        failures: &Mutex<Vec<Failure>>,
    ) -> Result<(), String> {
        let note = |spec: &Spec| *lock(watch) = Some((Instant::now(), spec.clone()));
        let mmap = (Trees::new(PageSource::Mmap), Facts::new(PageSource::Mmap));
        let buffered = (Trees::new(PageSource::Buffered), Facts::new(PageSource::Buffered));
        let trees = Explorer::new(&mmap.0, seen, tally, &note)?;
        let facts = Explorer::new(&mmap.1, seen, tally, &note)?;
        let trees_buffered = Explorer::new(&buffered.0, seen, tally, &note)?;
        let facts_buffered = Explorer::new(&buffered.1, seen, tally, &note)?;
        while tally.distinct() < self.target && !self.over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(number) else { break };
            let steps: Vec<String> = job.steps.iter().map(|step| (*step).to_owned()).collect();
            let seed = self.plan.seed ^ (number as u64) << 20;
            let tried = match job.world {
                "trees" => trees.explore(&steps, self.quota, seed),
                "trees-buffered" => trees_buffered.explore(&steps, self.quota, seed),
                "facts" => facts.explore(&steps, self.quota, seed),
                _ => facts_buffered.explore(&steps, self.quota, seed),
            };
            if let Err(failure) = tried {
                eprintln!("after {} states: {}: {}", tally.distinct(), failure.spec, failure.why);
                let mut failures = lock(failures);
                failures.push(failure);
                if failures.len() >= self.plan.failures_max {
                    self.over.store(true, Ordering::Relaxed);
                }
            }
        }
        *lock(watch) = None;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

fn give_up_on_hangs(watch: &Mutex<Option<(Instant, Spec)>>, states: u64) {
    let watch = lock(watch);
    if let Some((since, spec)) = &*watch
        && since.elapsed() > HANG_AFTER
    {
        // Whoever asked may be gone.
        let why = format!("after {states} states: {spec}: it takes more than {HANG_AFTER:?}");
        let _ = writeln!(std::io::stderr(), "{why}");
        std::process::exit(1);
    }
}
