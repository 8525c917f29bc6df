//! From the command line to requests, and from answers to text.

use crate::args::{self, Command, Keys, Open, Output};
use crate::error::{Error, Result};
use crate::exec::answer::{Answer, write_answer};
use crate::exec::fields::KeyForm;
use crate::exec::request::{
    ChangesFrom, ChangesOf, DiffOf, Op, Partition, Point, Prefix, Request, ScanOf, Target, What,
    Write,
};
use crate::exec::retention::policy;
use crate::exec::session::Session;
use crate::exec::tx::Tx;
use crate::exec::upkeep::UpkeepOp;
use crate::exec::{self, fields::BadRequest};
use crate::progress;
use crate::render::{Rendered, render};
use crate::stop::Stop;
use crate::table::{Screen, printable};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::CommandFactory;
use llmdb::{Db, PartitionId, TxTime};
use serde_json::Value as Json;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit code of a question whose answer is that there is nothing.
pub const EXIT_NOTHING: u8 = 1;

/// Runs a command, says what went wrong, and how it ended.
pub fn run(command: Command) -> ExitCode {
    let done = match &command {
        Command::Exec(exec) => return run_exec(exec),
        Command::Shell(shell) => crate::shell::run(shell),
        Command::Import(import) => crate::import::run(import),
        Command::Export(export) => crate::export::run(export),
        Command::Tour(tour) => crate::tour::run(tour),
        Command::Watch(watch) => crate::watch::run(watch),
        Command::Bench(bench) => crate::bench::run(bench),
        Command::Completions(completions) => run_completions(completions),
        Command::Man(man) => crate::man::run(man),
        Command::Upkeep(upkeep) => crate::upkeep::run(upkeep),
        question => run_question(question),
    };
    done.unwrap_or_else(|error| {
        if error.is_closed_output() {
            return ExitCode::SUCCESS;
        }
        eprintln!("llmdb: {error}");
        ExitCode::from(error.exit_code())
    })
}

/// A command that is one request.
#[derive(Debug)]
pub struct Question<'a> {
    /// Of which database.
    pub open: &'a Open,
    /// How it is answered.
    pub output: Output,
    /// What is asked.
    pub op: Op,
}

/// The request that a command is; `None` for those that are more than one.
///
/// # Errors
/// What is wrong with it.
pub fn question(command: &Command) -> Result<Option<Question<'_>>> {
    let (open, output, op) = match command {
        Command::Get(args) => (&args.open, args.output, get_request(args)?),
        Command::Put(args) => (&args.open, args.output, put_request(args)?),
        Command::End(args) => (&args.open, args.output, end_request(args)?),
        Command::Delete(args) => (&args.open, args.output, delete_request(args)?),
        Command::Scan(args) => (&args.open, args.output, scan_request(args)?),
        Command::Timeline(args) => (&args.open, args.output, timeline_request(args)?),
        Command::History(args) => (&args.open, args.output, history_request(args)?),
        Command::Diff(args) => (&args.open, args.output, diff_request(args)?),
        Command::Changes(args) => (&args.open, args.output, changes_request(args)?),
        Command::Checkpoint(command) => return checkpoint_question(command).map(Some),
        Command::Retention(command) => return retention_question(command).map(Some),
        Command::Erase(args) => {
            let target = target(&args.key, &args.keys)?;
            (&args.open, args.output, Op::Erase(target, !args.later))
        }
        Command::Erasures(args) => {
            let op = if args.finish { Op::FinishErasures } else { Op::Erasures };
            (&args.open, args.output, op)
        }
        Command::Verify(args) => (&args.open, args.output, Op::Verify),
        Command::Stats(args) if args.deep => {
            (&args.open, args.output, Op::Upkeep(UpkeepOp::TreeStats))
        }
        Command::Stats(args) => (&args.open, args.output, Op::Stats),
        Command::Shell(_)
        | Command::Exec(_)
        | Command::Import(_)
        | Command::Export(_)
        | Command::Tour(_)
        | Command::Watch(_)
        | Command::Bench(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Upkeep(_) => return Ok(None),
    };
    Ok(Some(Question { open, output, op }))
}

fn checkpoint_question(command: &args::Checkpoint) -> Result<Question<'_>> {
    let (open, output, op) = match command {
        args::Checkpoint::Name(args) => {
            (&args.open, args.output, Op::NameCheckpoint(args.name.clone(), args.tx.clone()))
        }
        args::Checkpoint::List(args) => (&args.open, args.output, Op::Checkpoints),
        args::Checkpoint::Drop(args) => {
            (&args.open, args.output, Op::DropCheckpoint(args.name.clone()))
        }
    };
    Ok(Question { open, output, op })
}

fn retention_question(command: &args::Retention) -> Result<Question<'_>> {
    let (open, output, op) = match command {
        args::Retention::Show(args) => {
            (&args.open, args.output, Op::Retention(partition(&args.partition)))
        }
        args::Retention::Set(args) => {
            let policy = policy(args.all.map(|span| span.0), args.last_of.iter().copied());
            let op = Op::SetRetention(partition(&args.partition), Box::new(policy));
            (&args.open, args.output, op)
        }
        args::Retention::Run(args) => {
            (&args.open, args.output, Op::Retire(args.partition.as_deref().map(partition)))
        }
    };
    Ok(Question { open, output, op })
}

fn run_question(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Put(args) if let Some(file) = &args.file => return crate::files::put(args, file),
        Command::Get(args) if let Some(out) = &args.out => return crate::files::get(args, out),
        _ => {}
    }
    let Question { open, output, op } = question(command)?.expect("other commands run elsewhere");
    let stop = Stop::on_signals(|| {})?;
    // Only a write makes a database that is missing.
    let db = if matches!(op, Op::Write(_)) { open.or_create()? } else { open.existing()? };
    let code = stop.check().and_then(|()| execute(&db, output, op, &stop));
    let closed = db.close().map_err(Error::from);
    let code = code?;
    closed?;
    Ok(code)
}

fn run_completions(args: &args::Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = args::Cli::command();
    clap_complete::generate(args.shell, &mut command, "llmdb", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Unlike other commands it says on standard output what went wrong: whoever reads answers, reads
/// them there.
fn run_exec(args: &args::Exec) -> ExitCode {
    match exec::run(|| args.open.with(args.options())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            // Where standard output is what failed, nobody is left to be told.
            drop(io::stdout().write_all(&exec::refusal(error)));
            ExitCode::from(code)
        }
    }
}

fn execute(db: &Db, output: Output, op: Op, stop: &Stop) -> Result<ExitCode> {
    let bar = matches!(op, Op::Verify).then(|| progress::waiting("verifying"));
    let erased = match &op {
        Op::Erase(target, _) => Some(target.key.clone()),
        _ => None,
    };
    let answer = Session::new(db).stopped_by(stop).execute(Request { txn: None, op });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let answer = answer?;
    let code = match &answer {
        Answer::Fact(None) => ExitCode::from(EXIT_NOTHING),
        Answer::Verified(report) if !report.is_clean() => {
            ExitCode::from(Error::Problems { count: report.problems.len() }.exit_code())
        }
        _ => ExitCode::SUCCESS,
    };
    if let Some(told) = erased.and_then(|key| crate::shell::forget_in_history(&[key])) {
        eprintln!("{}", printable(&told));
    }
    show_answer(answer, output)?;
    Ok(code)
}

/// Writes an answer to standard output, as it was asked for.
///
/// # Errors
/// [`Error::Write`]
pub fn show_answer(answer: Answer, output: Output) -> Result<()> {
    if output.json {
        let mut line = Vec::new();
        write_answer(&mut line, None, Ok(answer));
        return print(&line);
    }
    let Rendered { text, next } = render(answer, output.mode, Screen::stdout());
    print(text.as_bytes())?;
    if let Some(next) = next {
        eprintln!("more: --next {next}");
    }
    Ok(())
}

/// Writes to standard output.
///
/// # Errors
/// [`Error::Write`]
pub fn print(text: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    written.map_err(|cause| Error::Write { path: PathBuf::from("stdout"), cause })
}

fn get_request(args: &args::Get) -> Result<Op> {
    Ok(Op::Get(target(&args.key, &args.keys)?, point(&args.at)))
}

fn put_request(args: &args::Put) -> Result<Op> {
    let value = match args.value.as_deref() {
        // Where `--file` takes the place of the value, this is not asked.
        Some("-") | None => stdin_text()?,
        Some(value) => value.to_owned(),
    };
    let value = if args.text { Json::String(value) } else { json_or_text(value) };
    Ok(Op::Write(Write {
        target: target(&args.key, &args.keys)?,
        what: What::Value(value.into()),
        valid_from: args.valid_from,
        valid_to: args.valid_to,
        ttl: args.ttl,
        note: args.note.clone().map(json_or_text),
    }))
}

fn end_request(args: &args::End) -> Result<Op> {
    Ok(Op::Write(Write {
        target: target(&args.key, &args.keys)?,
        what: What::End,
        valid_from: args.valid_from,
        valid_to: None,
        ttl: None,
        note: args.note.clone().map(json_or_text),
    }))
}

fn delete_request(args: &args::Delete) -> Result<Op> {
    Ok(Op::Write(Write {
        target: target(&args.key, &args.keys)?,
        what: What::Deletion,
        valid_from: args.valid_from,
        valid_to: args.valid_to,
        ttl: None,
        note: args.note.clone().map(json_or_text),
    }))
}

fn scan_request(args: &args::Scan) -> Result<Op> {
    let after = args.after.as_ref().map(|after| bytes(after, &args.keys)).transpose()?;
    let range = prefix(&args.prefix, &args.keys)?;
    Ok(Op::Scan(ScanOf { range, at: point(&args.at), after, limit: args.limit }))
}

fn timeline_request(args: &args::Timeline) -> Result<Op> {
    Ok(Op::Timeline(target(&args.key, &args.keys)?, args.tx.clone()))
}

fn history_request(args: &args::History) -> Result<Op> {
    Ok(Op::History(target(&args.key, &args.keys)?))
}

fn diff_request(args: &args::Diff) -> Result<Op> {
    let a = Point { valid: args.a_valid, tx: args.a_tx.clone() };
    let b = Point { valid: args.b_valid, tx: args.b_tx.clone() };
    Ok(Op::Diff(DiffOf { range: prefix(&args.prefix, &args.keys)?, a, b }))
}

fn changes_request(args: &args::Changes) -> Result<Op> {
    let from = match (&args.next, &args.tx_from) {
        (Some(next), _) => ChangesFrom::Next(next.clone()),
        (None, from) => ChangesFrom::Tx(from.clone().unwrap_or(Tx::At(TxTime::MIN))),
    };
    let partition = args.partition.as_deref().map(partition);
    Ok(Op::Changes(ChangesOf { from, to: args.tx_to.clone(), partition, limit: args.limit }))
}

fn target(key: &str, keys: &Keys) -> Result<Target> {
    Ok(Target { partition: partition(&keys.partition), key: bytes(key, keys)? })
}

fn prefix(prefix: &str, keys: &Keys) -> Result<Prefix> {
    let form = if keys.b64 { KeyForm::Base64 } else { KeyForm::Text };
    Ok(Prefix { partition: partition(&keys.partition), bytes: bytes(prefix, keys)?, form })
}

/// The bytes of a key on the command line.
///
/// # Errors
/// Of base64 that is none.
pub fn bytes(key: &str, keys: &Keys) -> Result<Vec<u8>> {
    if !keys.b64 {
        return Ok(key.as_bytes().to_vec());
    }
    let decoded = STANDARD.decode(key);
    Ok(decoded.map_err(|cause| BadRequest::BadBase64 { field: "key", cause })?)
}

/// A partition as the command line names it: what is no number is a name.
pub fn partition(text: &str) -> Partition {
    match text.parse() {
        Ok(id) => Partition::Id(PartitionId(id)),
        Err(_) => Partition::Name(text.to_owned()),
    }
}

/// A point of both times on the command line.
pub fn point(at: &args::At) -> Point {
    Point { valid: at.valid, tx: at.tx.clone() }
}

/// Text that is JSON as that, any other as a string.
pub fn json_or_text(text: String) -> Json {
    serde_json::from_str(&text).unwrap_or(Json::String(text))
}

fn stdin_text() -> Result<String> {
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text);
    read.map_err(|cause| Error::Read { path: PathBuf::from("stdin"), cause })?;
    Ok(text)
}
