//! `backup`, `compact`, `restore`, `repair`: copies of databases, and back.

mod repair;

use crate::args::{Backup, Compact, Output, Repair, Restore, Upkeep};
use crate::commands::print;
use crate::error::{Error, Result, exit_code_of};
use crate::exec::answer::{Answer, write_answer};
use crate::render::{Mode, Rendered, render};
use crate::table::Screen;
use indicatif::{ProgressBar, ProgressStyle};
use llmdb::{Db, ErrorClass, Progress};
use serde::Serialize;
use std::process::ExitCode;

/// Runs one of them.
///
/// # Errors
/// What went wrong.
pub fn run(upkeep: &Upkeep) -> Result<ExitCode> {
    match upkeep {
        Upkeep::Backup(args) => backup(args),
        Upkeep::Compact(args) => compact(args),
        Upkeep::Restore(args) => restore(args),
        Upkeep::Repair(args) => repair(args),
    }
}

fn backup(args: &Backup) -> Result<ExitCode> {
    let db = args.open.existing()?;
    let bar = bar("pages copied");
    let base = args.base.as_deref();
    let made = db.backup_with(base, &args.dest, &mut |progress| step(&bar, progress));
    bar.finish_and_clear();
    let made = made?;
    db.close()?;
    report(args.output, &made)
}

fn compact(args: &Compact) -> Result<ExitCode> {
    let db = args.open.existing()?;
    let Some(dest) = &args.dest else { return compact_online(args, db) };
    let bar = bar("entries copied");
    let made = db.compact_into_with(dest, &mut |progress| step(&bar, progress));
    bar.finish_and_clear();
    let made = made?;
    db.close()?;
    report(args.output, &made)
}

/// What `compact --online` did.
#[derive(Serialize)]
struct Cut {
    bytes_before: u64,
    bytes_after: u64,
}

fn compact_online(args: &Compact, db: Db) -> Result<ExitCode> {
    let bytes_before = db.stats()?.file_bytes;
    db.shrink()?;
    let cut = Cut { bytes_before, bytes_after: db.stats()?.file_bytes };
    db.close()?;
    report(args.output, &cut)
}

fn restore(args: &Restore) -> Result<ExitCode> {
    let (dest, from) = args.files.split_last().expect("two at least");
    let (base, increments) = from.split_first().expect("two at least");
    let mut restore = llmdb::Restore::from(base);
    for increment in increments {
        restore = restore.increment(increment);
    }
    if let Some(archive) = &args.archive {
        restore = restore.archive(archive);
    }
    if let Some(until) = args.to {
        restore = restore.until(until);
    }
    let bar = bar("pages copied");
    let made = restore.to_with(dest, &mut |progress| step(&bar, progress));
    bar.finish_and_clear();
    report(args.output, &made?)
}

fn repair(args: &Repair) -> Result<ExitCode> {
    let repair = llmdb::Repair::of(&args.src);
    let found = match &args.into {
        Some(dest) => repair.to(dest)?,
        None => repair.dry_run()?,
    };
    let told = match args.output.json || args.output.mode != Mode::Table {
        true => report(args.output, &found)?,
        false => print(repair::describe(&found, args).as_bytes()).map(|()| ExitCode::SUCCESS)?,
    };
    Ok(match found.complete || args.into.is_some() {
        true => told,
        false => ExitCode::from(exit_code_of(ErrorClass::Corrupt)),
    })
}

/// A bar on standard error, if that is a terminal.
fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(what);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta})");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn step(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

/// Says what was done.
fn report<R: Serialize>(output: Output, report: &R) -> Result<ExitCode> {
    let answer = Answer::report(report);
    if output.json {
        let mut line = Vec::new();
        write_answer(&mut line, None, Ok::<_, Error>(answer));
        print(&line)?;
    } else {
        let Rendered { text, .. } = render(answer, output.mode, Screen::stdout());
        print(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
