//! `llmdb-sim`: crashes by the thousand. Prints what was tried, and a line for each state that must
//! not be; `replay` comes to such a state again.

#![forbid(unsafe_code)]

use llmdb_sim::enumerate::{Plan, enumerate, replay};
use std::process::ExitCode;

const USAGE: &str = "\
usage: llmdb-sim enumerate [--states N] [--seed N] [--threads N]
       llmdb-sim replay SPEC

enumerate   crashes workloads of up to three steps at every point, in every way, until N distinct
            states were judged (20000 unless told otherwise)
replay      judges the one state that SPEC names, as enumerate printed it";

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
            for failure in &report.failures {
                println!("FAILED {}\n  {}", failure.spec, failure.why);
            }
            Ok(report.failures.is_empty())
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

fn plan(options: &[&str]) -> Result<Plan, String> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut plan = Plan { states: 20_000, seed: 1, threads };
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
