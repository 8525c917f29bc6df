//! Bugs on purpose, one alive at a time: which harness catches it, after how many cases.
//!
//! Each hunt is a process of its own, for a bug may end it. What a hunt says, or that it ends in
//! another way than by saying something, is a catch; a bug that no harness catches is a hole in them.

use crate::damage;
use crate::enumerate::{Plan, enumerate};
use crate::explore::Failure;
use crate::failures::{GATE, fail_everywhere, workloads};
use crate::lies::lie_everywhere;
use llmdb_vfs::planted::{self, BUGS, Bug, VARIABLE};
use std::fmt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What looks for bugs. In the order in which they are sent after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harness {
    /// Crashes of short workloads, by the thousand.
    Enumerate,
    /// Every call of a few workloads fails.
    Fail,
    /// Damage of small databases.
    Damage,
    /// Every call of a few workloads lies.
    Lie,
}

/// Which harness is sent first after a bug that is another one's business than `enumerate`'s.
const FIRST: [(&str, Harness); 8] = [
    ("damage_taken_for_torn_end", Harness::Damage),
    ("frame_position_ignored", Harness::Damage),
    ("page_checksum_ignored", Harness::Damage),
    ("page_stamp_ignored", Harness::Damage),
    ("value_checksum_ignored", Harness::Damage),
    ("failed_sync_repeated", Harness::Fail),
    ("meta_failure_forgotten", Harness::Fail),
    ("meta_not_synced", Harness::Lie),
];
/// Bugs that take longer than a gate has, or that are not caught yet: see `docs/planted.md`.
const RARE: &[&str] = &[
    "frames_claim_too_much",
    "spares_reused_too_early",
    "extents_freed_at_once",
    "checkpoint_before_the_log",
    "undone_pages_leak",
    "recovered_values_not_synced",
    "log_given_up_too_early",
    "log_given_up_before_the_meta",
    "file_cut_too_early",
    "merged_page_leaks",
    "abandoned_values_leak",
    "spread_loses_an_entry",
    "pins_ignored",
    "deltas_lose_their_base",
    "unlogged_commits_not_settled",
    "unlogged_commits_in_one_meta",
];
/// A hunt that takes longer never ends.
const HUNT_MAX: Duration = Duration::from_secs(600);
/// One damage in so many is done.
const DAMAGE_ONE_IN: u64 = 1000;
/// Workloads whose calls lie.
const WORKLOADS_OF_LIES: usize = 2;

impl Harness {
    /// All of them.
    pub const ALL: [Harness; 4] =
        [Harness::Enumerate, Harness::Fail, Harness::Damage, Harness::Lie];

    fn name(self) -> &'static str {
        match self {
            Harness::Enumerate => "enumerate",
            Harness::Fail => "fail",
            Harness::Damage => "damage",
            Harness::Lie => "lie",
        }
    }

    /// The harness of that name.
    pub fn named(name: &str) -> Option<Harness> {
        Harness::ALL.into_iter().find(|harness| harness.name() == name)
    }

    /// Looks for what is wrong, on one thread, until something is.
    pub fn hunt(self, hunt: &Hunt) -> Outcome {
        let outcome = match self {
            Harness::Enumerate => enumerate(&Plan {
                states: hunt.states,
                seed: hunt.seed,
                threads: 1,
                failures_max: 1,
                minimises: false,
            })
            .map(|report| (report.tally.distinct(), report.failures.first().map(told))),
            Harness::Fail => until_caught(workloads().into_iter().take(GATE), |workload| {
                let report = fail_everywhere(&[workload])?;
                Ok((report.runs, report.failures.first().map(told)))
            }),
            Harness::Damage => until_caught(damage::subjects().into_iter(), |subject| {
                let plan = damage::Plan {
                    one_in: DAMAGE_ONE_IN,
                    bits: false,
                    seed: hunt.seed,
                    threads: 1,
                    subject: Some(subject.to_owned()),
                    only: None,
                    notes: None,
                };
                let report = damage::sweep(&plan, &mut |_| ())?;
                let first = report.failures.first();
                Ok((report.tried(), first.map(|wrong| format!("{}: {}", wrong.case, wrong.why))))
            }),
            Harness::Lie => {
                until_caught(workloads().into_iter().take(WORKLOADS_OF_LIES), |workload| {
                    let report = lie_everywhere(&[workload])?;
                    Ok((report.runs, report.failures.first().map(told)))
                })
            }
        };
        match outcome {
            Ok((cases, why)) => Outcome { cases, why, reached: planted::reached() },
            Err(why) => Outcome { cases: 0, why: Some(why), reached: planted::reached() },
        }
    }
}

impl fmt::Display for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn told(failure: &Failure) -> String {
    format!("{}: {}", failure.spec, failure.why)
}

/// Tries one after the other until something is wrong, and says what; adds up the cases.
fn until_caught<T>(
    all: impl Iterator<Item = T>,
    mut tried: impl FnMut(T) -> Result<(u64, Option<String>), String>,
) -> Result<(u64, Option<String>), String> {
    let mut cases = 0;
    for each in all {
        let (more, why) = tried(each)?;
        cases += more;
        if why.is_some() {
            return Ok((cases, why));
        }
    }
    Ok((cases, None))
}

/// What a hunt tries.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// How many states are crashed at most.
    pub states: u64,
    /// What decides where not all is tried.
    pub seed: u64,
}

/// How a hunt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was tried, the last of it included.
    pub cases: u64,
    /// What is wrong, if anything is.
    pub why: Option<String>,
    /// How often the bug's place was come to.
    pub reached: u64,
}

/// The lines between the processes.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { cases, why, reached } = self;
        let what = if why.is_some() { "caught" } else { "missed" };
        let why = why.as_deref().unwrap_or_default().replace('\n', " ");
        write!(f, "{what} {cases} {reached} {why}")
    }
}

impl Outcome {
    fn parse(line: &str) -> Option<Outcome> {
        let mut fields = line.splitn(4, ' ');
        let caught = match fields.next()? {
            "caught" => true,
            "missed" => false,
            _ => return None,
        };
        let cases = fields.next()?.parse().ok()?;
        let reached = fields.next()?.parse().ok()?;
        let why = caught.then(|| fields.next().unwrap_or_default().to_owned());
        Some(Outcome { cases, why, reached })
    }
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Each hunt.
    pub hunt: Hunt,
    /// Every harness is sent after every bug; else those after the first that catches it are not.
    pub all: bool,
    /// The one bug of this name, or all.
    pub bug: Option<String>,
    /// Those that a gate has time for, and no others.
    pub gate: bool,
    /// Hunts at a time.
    pub threads: usize,
}

/// What every harness made of one bug.
#[derive(Clone, Debug)]
pub struct Row {
    /// `None`: nothing is wrong, and nothing is to be found.
    pub bug: Option<Bug>,
    /// Those that were sent.
    pub outcomes: Vec<(Harness, Outcome)>,
}

/// What all made of all.
#[derive(Debug, Default)]
pub struct Table {
    /// In the order of the list.
    pub rows: Vec<Row>,
    /// How long it took.
    pub took: Duration,
}

impl Row {
    /// Whether it is as it should be.
    pub fn is_right(&self) -> bool {
        let caught = self.outcomes.iter().any(|(_, outcome)| outcome.why.is_some());
        let reached = self.outcomes.iter().any(|(_, outcome)| outcome.reached > 0);
        (caught, reached) == (self.bug.is_some(), self.bug.is_some())
    }
}

impl Table {
    /// Whether every bug was caught, and nothing else.
    pub fn is_right(&self) -> bool {
        self.rows.iter().all(Row::is_right)
    }
}

/// A row of a table in Markdown.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bug {
            Some(Bug { layer, name, what }) => write!(f, "| {layer} | `{name}` | {what} |")?,
            None => write!(f, "| | | nothing is wrong |")?,
        }
        for (i, (harness, outcome)) in self.outcomes.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let what = if outcome.why.is_some() { "caught after" } else { "nothing in" };
            write!(f, "{comma} {harness}: {what} {}", outcome.cases)?;
        }
        write!(f, " |")?;
        if !self.is_right() {
            let reached: u64 = self.outcomes.iter().map(|(_, outcome)| outcome.reached).sum();
            let why = self.outcomes.iter().find_map(|(_, outcome)| outcome.why.as_deref());
            write!(f, " WRONG, come to {reached} times {}", why.unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bugs = self.rows.iter().filter(|row| row.bug.is_some());
        let caught = bugs.clone().filter(|row| row.is_right()).count();
        write!(f, "{caught} of {} bugs caught in {:.0} s", bugs.count(), self.took.as_secs_f64())
    }
}

/// Hunts every bug; `show` is given each row as it is done.
///
/// # Errors
/// A build without bugs; a bug that is none; a process that could not be started.
pub fn measure(measure: &Measure, show: &(dyn Fn(&Row) + Sync)) -> Result<Table, String> {
    if !planted::is_built_in() {
        return Err("this build has no bugs: build with RUSTFLAGS=\"--cfg planted\"".to_owned());
    }
    let wanted = measure.bug.as_deref();
    let mut bugs: Vec<Option<Bug>> = BUGS.iter().copied().map(Some).collect();
    bugs.retain(|bug| wanted.is_none_or(|name| bug.is_some_and(|bug| bug.name == name)));
    bugs.retain(|bug| !measure.gate || bug.is_some_and(|bug| !RARE.contains(&bug.name)));
    if bugs.is_empty() {
        return Err(format!("{:?} is no planted bug", wanted.unwrap_or_default()));
    }
    // That nothing is found where nothing is wrong is what makes a catch one.
    bugs.insert(0, None);
    let began = Instant::now();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), String> {
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some(&bug) = bugs.get(number)
        {
            let row = hunt_one(bug, measure)?;
            show(&row);
            rows.lock().expect("nobody panics with it").push((number, row));
        }
        Ok(())
    };
    std::thread::scope(|threads| {
        let workers: Vec<_> = (0..measure.threads).map(|_| threads.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("it does not panic"))
    })?;
    let mut rows = rows.into_inner().expect("nobody panics with it");
    rows.sort_by_key(|(number, _)| *number);
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Table { rows, took: began.elapsed() })
}

fn hunt_one(bug: Option<Bug>, measure: &Measure) -> Result<Row, String> {
    let mut outcomes = Vec::new();
    let first = FIRST.iter().find(|(name, _)| bug.is_some_and(|bug| bug.name == *name));
    let mut order = Harness::ALL;
    if let Some((_, first)) = first {
        order.sort_by_key(|harness| harness != first);
    }
    for harness in order {
        let outcome = in_a_process(bug, harness, &measure.hunt)?;
        let caught = outcome.why.is_some();
        outcomes.push((harness, outcome));
        if caught && !measure.all {
            break;
        }
    }
    Ok(Row { bug, outcomes })
}

fn in_a_process(bug: Option<Bug>, harness: Harness, hunt: &Hunt) -> Result<Outcome, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command
        .args(["hunt", harness.name(), &hunt.states.to_string(), &hunt.seed.to_string()])
        .env_remove(VARIABLE)
        .stdin(Stdio::null());
    if let Some(bug) = bug {
        command.env(VARIABLE, bug.name);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let began = Instant::now();
    let mut hangs = false;
    // What it says is little: no pipe is ever full.
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if !hangs && began.elapsed() > HUNT_MAX {
            hangs = true;
            child.kill().map_err(|error| error.to_string())?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if let Some(outcome) = said.lines().last().and_then(Outcome::parse) {
        return Ok(outcome);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| line.starts_with("after "));
    let cases = last.and_then(|line| line.split(' ').nth(1)?.parse().ok());
    // A state that never ends, a hunt that never does, a signal. Anything else is no catch.
    match (last, output.status.code()) {
        (None, Some(_)) => Err(format!("the hunt ended by {}: {said}", output.status)),
        _ => {
            let what = if hangs { "it never ends" } else { last.unwrap_or_default() };
            let why = format!("{}: {what}", output.status);
            Ok(Outcome { cases: cases.unwrap_or_default(), why: Some(why), reached: 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_back_from_its_line() {
        for why in [None, Some("trees:put@3:keep=1: panic: it broke".to_owned())] {
            let outcome = Outcome { cases: 17, why, reached: 3 };
            assert_eq!(Outcome::parse(&outcome.to_string()), Some(outcome));
        }
        for bad in ["", "caught", "caught x 1", "lost 1 2"] {
            assert_eq!(Outcome::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_build_without_bugs_measures_nothing() {
        let hunt = Hunt { states: 1, seed: 1 };
        let measure_all = Measure { hunt, all: false, bug: None, gate: false, threads: 1 };
        if !planted::is_built_in() {
            assert!(measure(&measure_all, &|_| ()).is_err());
        }
    }
}
