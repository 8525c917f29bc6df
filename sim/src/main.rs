//! `llmdb-sim`: crashes by the thousand. Prints what was tried, and a line for each state that must
//! not be; `replay` comes to such a state again.

#![forbid(unsafe_code)]

use llmdb_sim::damage::{self, sweep};
use llmdb_sim::enumerate::{Plan, enumerate, replay};
use llmdb_sim::explore::Failure;
use llmdb_sim::failures::{self, fail_everywhere};
use llmdb_sim::kill;
use llmdb_sim::lies::{self, lie_everywhere};
use llmdb_sim::planted::{Harness, Hunt, Measure, measure};
use llmdb_sim::refusals::{self, refuse_everywhere};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

const USAGE: &str = "\
usage: llmdb-sim enumerate [--states N] [--seed N] [--threads N]
       llmdb-sim replay SPEC
       llmdb-sim fail [--first N | WORKLOAD...]
       llmdb-sim lie [--first N | WORKLOAD...]
       llmdb-sim damage [--one-in N] [--seed N] [--bits 1] [--threads N] [--table 1]
                        [--subject NAME [--only N]]
       llmdb-sim kill [--rounds N] [--seed N] [--program PATH]
       llmdb-sim planted [--bug NAME] [--states N] [--seed N] [--all 1] [--gate 1]

enumerate   crashes workloads of up to three steps at every point, in every way, until N distinct
            states were judged (20000 unless told otherwise)
replay      judges the one state that SPEC names, as enumerate printed it
fail        fails every call of workloads, and refuses every take of memory: once, and from then on; of
            the first N, of all, or of those named, as trees:put,checkpoint
lie         lets every call of workloads lie: a write, a sync or a cut that is lost, a write that lands
            elsewhere, a read of what was there before; of the first N, of all, or of those named
damage      changes bytes, pages and frames of small databases: all, or about one in N of each kind
            that the seed names; of a byte every bit, or one and all. --only tries one case, as it was
            printed with the same options
planted     plants a bug, or each in turn, and tells which harness catches it; needs a build with
            RUSTFLAGS=\"--cfg planted\"
kill        kills the `llmdb` command N times (100 unless told otherwise) while it writes, and looks at
            what it left; the one beside this command, unless told otherwise";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[&str]) -> Result<bool, String> {
    match arguments {
        ["enumerate", options @ ..] => {
            // A panic is a finding, told with its spec, and not by the way.
            std::panic::set_hook(Box::new(|_| ()));
            let plan = plan(options)?;
            println!("seed {}, {} threads", plan.seed, plan.threads);
            let report = enumerate(&plan)?;
            println!("{report}");
            let enough = report.tally.distinct() >= plan.states;
            if !enough && report.failures.is_empty() {
                println!("FAILED: there are not so many states");
            }
            Ok(tell(&report.failures) && enough)
        }
        ["fail", options @ ..] => {
            std::panic::set_hook(Box::new(|_| ()));
            let workloads = some_of(failures::workloads(), options)?;
            let mut report = failures::Report::default();
            for part in in_threads(&workloads, &fail_everywhere) {
                report.add(part?);
            }
            println!("{report}");
            let mut refused = refusals::Report::default();
            for part in in_threads(&workloads, &refuse_everywhere) {
                refused.add(part?);
            }
            println!("{refused}");
            Ok(tell(&report.failures) & tell(&refused.failures))
        }
        ["lie", options @ ..] => {
            std::panic::set_hook(Box::new(|_| ()));
            let workloads = some_of(lies::workloads(), options)?;
            let mut report = lies::Report::default();
            for part in in_threads(&workloads, &lie_everywhere) {
                report.add(part?);
            }
            println!("{report}");
            Ok(tell(&report.failures))
        }
        ["damage", options @ ..] => damage(options),
        ["kill", options @ ..] => {
            let plan = kill_plan(options)?;
            println!("seed {}, in {}", plan.seed, plan.database.display());
            let report = kill::kill(&plan)?;
            println!("{report}");
            // What went wrong stays to be looked at.
            plan.database
                .parent()
                .map_or(Ok(()), std::fs::remove_dir_all)
                .map_err(|e| e.to_string())?;
            Ok(true)
        }
        ["planted", options @ ..] => {
            let table = measure(&measure_plan(options)?, &|row| println!("{row}"))?;
            println!("{table}");
            Ok(table.is_right())
        }
        // One hunt of `planted`, in a process of its own.
        ["hunt", harness, states, seed] => {
            std::panic::set_hook(Box::new(|_| ()));
            let harness = Harness::named(harness).ok_or(USAGE)?;
            let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
            println!("{}", harness.hunt(&Hunt { states: number(states)?, seed: number(seed)? }));
            Ok(true)
        }
        ["replay", spec] => match replay(&spec.parse()?)? {
            Ok(()) => {
                println!("nothing is wrong");
                Ok(true)
            }
            Err(why) => {
                println!("FAILED {spec}\n  {why}");
                Ok(false)
            }
        },
        _ => Err(USAGE.to_owned()),
    }
}

/// Prints what is wrong; whether nothing is.
fn tell(failures: &[Failure]) -> bool {
    for failure in failures {
        println!("FAILED {}\n  {}", failure.spec, failure.why);
    }
    failures.is_empty()
}

/// All workloads, the first N, or those that are named.
fn some_of(all: Vec<String>, options: &[&str]) -> Result<Vec<String>, String> {
    match options {
        [] => Ok(all),
        ["--first", n] => {
            let first = n.parse().map_err(|_| format!("{n:?} is no number"))?;
            Ok(all.into_iter().take(first).collect())
        }
        named => Ok(named.iter().map(|name| (*name).to_owned()).collect()),
    }
}

/// What `work` says of each workload, one at a time in each thread.
fn in_threads<R: Send>(workloads: &[String], work: &(impl Fn(&[String]) -> R + Sync)) -> Vec<R> {
    // Relaxed: each number is given out once, and nothing else depends on it.
    let next = AtomicUsize::new(0);
    let one_after_the_other = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = numbers.map_while(|number| workloads.get(number..=number));
        mine.map(work).collect::<Vec<R>>()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads()).map(|_| scope.spawn(one_after_the_other)).collect();
        all.into_iter().flat_map(|thread| thread.join().expect("panics are caught")).collect()
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// In a process of its own, so that a signal is a finding like any other.
fn damage(options: &[&str]) -> Result<bool, String> {
    let plan = damage_plan(options)?;
    if plan.notes.is_some() {
        // A panic of a thread that judges is a finding, told with its case; one here is a fault of ours.
        std::panic::set_hook(Box::new(|panic| {
            if std::thread::current().name() == Some("main") {
                eprintln!("{panic}");
            }
        }));
        let table = options.chunks(2).any(|option| option[0] == "--table");
        let all = sweep(&plan, &mut |report| {
            println!("{report}");
            for wrong in &report.failures {
                println!("FAILED {}\n  {}", wrong.case, wrong.why);
            }
        })?;
        println!("{all}");
        if table {
            print!("{}", all.table());
        }
        return Ok(all.failures.is_empty());
    }
    println!("seed {}, {} threads", plan.seed, plan.threads);
    let text = |error: std::io::Error| error.to_string();
    let notes = std::env::temp_dir().join(format!("llmdb-sim-damage-{}", std::process::id()));
    std::fs::create_dir_all(&notes).map_err(text)?;
    let program = std::env::current_exe().map_err(text)?;
    let mut child = std::process::Command::new(program);
    let status = child.arg("damage").args(options).arg("--notes").arg(&notes).status();
    let status = status.map_err(text)?;
    if !matches!(status.code(), Some(0..=2)) {
        println!("FAILED {status}, while one of these was tried:");
        damage::last_words(&notes).iter().for_each(|case| println!("  {case}"));
    }
    std::fs::remove_dir_all(&notes).map_err(text)?;
    Ok(status.success())
}

fn damage_plan(options: &[&str]) -> Result<damage::Plan, String> {
    let mut plan =
        damage::Plan { one_in: 1, seed: 1, threads: threads(), ..damage::Plan::default() };
    for option in options.chunks(2) {
        let [name, value] = option else { return Err(USAGE.to_owned()) };
        let number = || value.parse::<u64>().map_err(|_| format!("{value:?} is no number"));
        match *name {
            "--one-in" => plan.one_in = number()?.max(1),
            "--seed" => plan.seed = number()?,
            "--bits" => plan.bits = number()? > 0,
            "--threads" => plan.threads = number()?.clamp(1, 256) as usize,
            "--table" => drop(number()?),
            "--only" => plan.only = Some(number()?),
            "--notes" => plan.notes = Some(value.into()),
            "--subject" if damage::subjects().contains(value) => {
                plan.subject = Some((*value).to_owned());
            }
            "--subject" => {
                let there = damage::subjects().join(", ");
                return Err(format!("{value:?} is none of {there}"));
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(plan)
}

fn measure_plan(options: &[&str]) -> Result<Measure, String> {
    let hunt = Hunt { states: 20_000, seed: 1 };
    let mut plan = Measure { hunt, all: false, bug: None, gate: false, threads: threads() };
    for option in options.chunks(2) {
        let [name, value] = option else { return Err(USAGE.to_owned()) };
        let number = || value.parse::<u64>().map_err(|_| format!("{value:?} is no number"));
        match *name {
            "--bug" => plan.bug = Some((*value).to_owned()),
            "--states" => plan.hunt.states = number()?,
            "--seed" => plan.hunt.seed = number()?,
            "--all" => plan.all = number()? > 0,
            "--gate" => plan.gate = number()? > 0,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(plan)
}

fn kill_plan(options: &[&str]) -> Result<kill::Plan, String> {
    let beside = std::env::current_exe().map_err(|error| error.to_string())?;
    let dir = std::env::temp_dir().join(format!("llmdb-sim-{}", std::process::id()));
    let mut plan = kill::Plan {
        program: beside.with_file_name("llmdb"),
        database: dir.join("killed.llmdb"),
        durability: "sync",
        rounds: 100,
        seed: 1,
    };
    for option in options.chunks(2) {
        let [name, value] = option else { return Err(USAGE.to_owned()) };
        let number = || value.parse::<u64>().map_err(|_| format!("{value:?} is no number"));
        match *name {
            "--rounds" => plan.rounds = number()?,
            "--seed" => plan.seed = number()?,
            "--program" => plan.program = value.into(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    Ok(plan)
}

fn plan(options: &[&str]) -> Result<Plan, String> {
    let mut plan = Plan { threads: threads(), ..Plan::default() };
    for option in options.chunks(2) {
        let number = || {
            let value = option.get(1).ok_or_else(|| format!("{} takes a number", option[0]))?;
            value.parse::<u64>().map_err(|_| format!("{value:?} is no number"))
        };
        match option[0] {
            "--states" => plan.states = number()?,
            "--seed" => plan.seed = number()?,
            "--threads" => plan.threads = number()?.clamp(1, 256) as usize,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(plan)
}
