//! Small databases with every kind of page in them, damaged in every place: bytes changed, pages
//! zeroed, doubled, swapped, replaced by whatever they were before, frames of the log as well, files
//! cut. Whoever reads one then is told where, or reads what was there; never anything else.
//!
//! - `subject`: the databases; `layout` and `log`: what each byte of them is for, by the documented
//!   format alone
//! - `inflict`: what is done to them; `bench`: a disk on which that is fast
//! - `judge`: what is right; `watch`: what is being tried, for whoever waits

mod bench;
mod inflict;
mod judge;
mod layout;
mod log;
mod subject;
mod watch;

pub use judge::Outcome;
pub(crate) use judge::names_a_place;
pub use layout::Use;
pub use watch::last_words;

use bench::Bench;
use inflict::{Damage, LARGE, Sample};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use subject::{Part, Recipe, Subject, in_world_of};
use watch::Watch;

/// One in so many of the databases whose damage is told is repaired; of large ones fewer.
const REPAIR_ONE_IN: u64 = 20;
const REPAIR_LARGE_ONE_IN: u64 = 1000;
/// After so many failures there is enough to look at.
const FAILURES_MAX: usize = 8;

/// How much of all damage is tried.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One in so many of each kind, by a seed; 0 and 1 for all.
    pub one_in: u64,
    /// Whether every bit of a byte is changed; else one, and all.
    pub bits: bool,
    /// What decides which.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// The one database that is damaged; all unless told otherwise.
    pub subject: Option<String>,
    /// The one case that is tried of it.
    pub only: Option<u64>,
    /// A directory where threads write down what they are at.
    pub notes: Option<PathBuf>,
}

/// What is wrong.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// Which case: `--subject NAME --only N` tries it again.
    pub case: String,
    /// What is wrong.
    pub why: String,
}

/// What was tried of one database.
#[derive(Debug, Default)]
pub struct Report {
    /// Its name.
    pub subject: String,
    /// What became of it, by the kind of damage and by what was hit.
    pub outcomes: BTreeMap<(&'static str, Use, Outcome), u64>,
    /// How many were repaired.
    pub repaired: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// What is wrong.
    pub failures: Vec<Wrong>,
}

impl Report {
    /// How many came to this.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.iter().filter(|((.., of), _)| *of == outcome).map(|(_, n)| n).sum()
    }

    /// How many databases were damaged.
    pub fn tried(&self) -> u64 {
        self.outcomes.values().sum::<u64>() + self.failures.len() as u64
    }

    fn add(&mut self, other: Report) {
        for (key, n) in other.outcomes {
            *self.outcomes.entry(key).or_default() += n;
        }
        self.repaired += other.repaired;
        self.bytes += other.bytes;
        self.took += other.took;
        self.failures.extend(other.failures);
    }

    /// What became of each kind of damage to each kind of place, a line each.
    pub fn table(&self) -> String {
        let mut rows: BTreeMap<(&str, Use), [u64; 6]> = BTreeMap::new();
        for ((damage, hits, outcome), n) in &self.outcomes {
            let place = Outcome::ALL.iter().position(|of| of == outcome).expect("one of all");
            rows.entry((damage, *hits)).or_default()[place] += n;
        }
        let row = |((damage, hits), n): ((&str, Use), [u64; 6])| {
            let n = n.map(|n| format!("{n:>9}")).concat();
            format!("{damage:<13}{:<32}{n}\n", format!("{hits:?}"))
        };
        let heads = Outcome::ALL.map(|of| format!("{:>9}", format!("{of:?}"))).concat();
        let head = format!("{:45}{heads}\n", "");
        head + &rows.into_iter().map(row).collect::<String>()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [refused, told, verified, spared, unused, shortened] =
            Outcome::ALL.map(|outcome| self.count(outcome));
        write!(
            f,
            "{}: {} damaged databases in {:.1} s: {refused} are refused, of {told} reading says where, \
             of {verified} verification; as ever are {unused} where the place is not in use and \
             {spared} where another meta slot is; {shortened} have lost the end of their log; {} \
             repaired",
            self.subject,
            self.tried(),
            self.took.as_secs_f64(),
            self.repaired,
        )
    }
}

/// The databases that there are, by name.
pub fn subjects() -> Vec<&'static str> {
    subject::recipes().iter().map(|recipe| recipe.name).collect()
}

/// Damages databases, and tells of each as it is done; answers for all together.
///
/// # Errors
/// A database could not be made, or a kind of page is in none.
pub fn sweep(plan: &Plan, tell: &mut dyn FnMut(&Report)) -> Result<Report, String> {
    let chosen = |recipe: &Recipe| plan.subject.as_ref().is_none_or(|name| name == recipe.name);
    let recipes: Vec<Recipe> = subject::recipes().into_iter().filter(chosen).collect();
    let make = |recipe: &Recipe| {
        Subject::make(recipe).map_err(|why| format!("{} cannot be made: {why}", recipe.name))
    };
    let subjects = recipes.iter().map(make).collect::<Result<Vec<_>, _>>()?;
    let missing = subject::missing(&subjects);
    if plan.subject.is_none() && !missing.is_empty() {
        return Err(format!("no database has anything of {missing:?}"));
    }
    let mut all = Report { subject: "all".to_owned(), ..Report::default() };
    for subject in &subjects {
        let report = in_world_of!(subject.recipe, world => swept(world, subject, plan))?;
        tell(&report);
        all.add(report);
    }
    Ok(all)
}

/// Damages one database, by all threads.
fn swept<W: crate::world::World>(
    world: &W,
    subject: &Subject,
    plan: &Plan,
) -> Result<Report, String> {
    let began = Instant::now();
    let threads = plan.threads.max(1);
    let watches = (0..threads)
        .map(|thread| Watch::new(plan.notes.as_deref(), thread))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = subject.parts.iter().map(|part| part.bytes.len() as u64).sum();
    let name = subject.recipe.name.to_owned();
    let all = Mutex::new(Report { subject: name, bytes, ..Report::default() });
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = watches
            .iter()
            .enumerate()
            .map(|(thread, watch)| {
                let worker = Worker { world, subject, plan, watch, over: &over };
                let all = &all;
                scope.spawn(move || {
                    let report = worker.work((thread as u64, threads as u64));
                    all.lock().expect("nobody panics with it").add(report);
                })
            })
            .collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(2));
            watches.iter().for_each(Watch::give_up_on_hangs);
        }
    });
    let all = all.into_inner().expect("nobody panics with it");
    Ok(Report { took: began.elapsed(), ..all })
}

struct Worker<'s, W> {
    world: &'s W,
    subject: &'s Subject,
    plan: &'s Plan,
    watch: &'s Watch,
    over: &'s AtomicBool,
}

impl<W: crate::world::World> Worker<'_, W> {
    /// Tries its share of all cases: this one of so many.
    fn work(&self, (share, of): (u64, u64)) -> Report {
        let mut report = Report::default();
        let mut bench = Bench::of(&self.subject.disk);
        let plan = self.plan;
        let sample = Sample { every_bit: plan.bits, one_in: plan.one_in.max(1), seed: plan.seed };
        let mut case = 0;
        for part in &self.subject.parts {
            inflict::each(part, &sample, &mut |damage| {
                case += 1;
                let is_mine = match plan.only {
                    Some(only) => case == only && share == 0,
                    None => case % of == share,
                };
                if is_mine && !self.over.load(Ordering::Relaxed) {
                    self.case(case, part, &damage, &mut bench, &mut report);
                }
            });
        }
        self.watch.end();
        report
    }

    fn case(
        &self,
        case: u64,
        part: &Part,
        damage: &Damage,
        bench: &mut Bench,
        report: &mut Report,
    ) {
        let (name, hits) = (damage.name(), damage.hits(part));
        let path = part.path.display();
        let case_text = || {
            let subject = self.subject.recipe.name;
            format!("--subject {subject} --only {case}: {damage:?} of {path}, {hits:?}")
        };
        self.watch.begin(case_text());
        let Some(judged) = judge::judge(self.world, self.subject, bench, (part, damage)) else {
            return;
        };
        let judged = judged.and_then(|outcome| {
            let is_told = matches!(outcome, Outcome::Refused | Outcome::Told | Outcome::Verified);
            let is_large = part.bytes.len() > LARGE;
            let one_in = if is_large { REPAIR_LARGE_ONE_IN } else { REPAIR_ONE_IN };
            if is_told && (case.is_multiple_of(one_in) || self.plan.only.is_some()) {
                report.repaired += 1;
                judge::repair(self.world, self.subject, part, &damage.patch(part))?;
            }
            Ok(outcome)
        });
        match judged {
            Ok(outcome) => *report.outcomes.entry((name, hits, outcome)).or_default() += 1,
            Err(why) => {
                if report.failures.len() >= FAILURES_MAX {
                    self.over.store(true, Ordering::Relaxed);
                }
                report.failures.push(Wrong { case: case_text(), why });
            }
        }
    }
}
