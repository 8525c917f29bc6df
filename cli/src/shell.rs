//! `llmdb shell`: commands of people, one after another, on one open database.
//!
//! ```text
//! terminal -> [Editor: reedline] --\
//! file, pipe -> [Script] ----------+--> [grammar] --> [Session] --> [render, show, draw] --> stdout
//! -c COMMAND ----------------------/        \-> [dot commands: settings, drawings]
//! ```
//!
//! On a terminal an error is shown and the next line is asked for. Otherwise errors go to standard
//! error with the number of their line, the rest is run, unless with `--bail`, and the exit code is
//! that of the first command that failed: a script that went wrong never looks as if it had not.

mod commands;
mod complete;
mod dot;
mod editor;
mod grammar;
mod help;
pub mod past;
mod script;
mod settings;
mod syntax;
mod tables;
mod token;

use crate::args;
use crate::error::{Error, Result};
use crate::exec::answer::{Answer, write_answer};
use crate::exec::request::{Op, Request};
use crate::exec::session::Session;
use crate::exec::{read_events, respond};
use crate::render::{Mode, Rendered, render};
use crate::show::row_count;
use crate::stop::Stop;
use crate::table::printable;
use crate::width;
use grammar::{Defaults, Line};
use llmdb::Db;
use serde_json::Value as Json;
use settings::Settings;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use syntax::Syntax;

/// Runs `llmdb shell`.
///
/// # Errors
/// Those of opening and closing, and of the streams; not of commands.
pub fn run(args: &args::Shell) -> Result<ExitCode> {
    let is_new = !args.open.db.exists();
    // Signals are caught before it opens, so that one in the middle of that is not lost.
    if !args.commands.is_empty() {
        let stop = Stop::on_signals(|| {})?;
        with_db(args, |db| script::run_commands(db, args, &stop))
    } else if io::stdin().is_terminal() && io::stderr().is_terminal() && editor::is_possible() {
        let wake = Arc::new(AtomicBool::new(false));
        let woken = wake.clone();
        let stop = Stop::on_signals_of_terminal(move || woken.store(true, Ordering::Relaxed))?;
        with_db(args, |db| editor::run(db, args, is_new, &stop, wake))
    } else {
        let (stop, events) = read_events(io::stdin())?;
        with_db(args, |db| script::run_stdin(db, args, &stop, &events))
    }
}

fn with_db(args: &args::Shell, run: impl FnOnce(&Db) -> Result<ExitCode>) -> Result<ExitCode> {
    let db = args.open.with(args.open.options().durability(args.durability.durability()))?;
    let ran = run(&db);
    let closed = db.close().map_err(Error::from);
    let code = ran?;
    closed?;
    Ok(code)
}

/// Keys that may be erased before the history is filtered: each time takes a pass over it.
const ERASED_MAX: usize = 1000;

/// Takes the lines with keys that were erased out of the file that keeps lines; what there is to
/// say of it.
pub fn forget_in_history(keys: &[Vec<u8>]) -> Option<String> {
    let path = past::file()?;
    match past::forget(&path, keys) {
        Ok(0) => None,
        Ok(1) => Some("1 line of the shell's history is removed".to_owned()),
        Ok(count) => Some(format!("{count} lines of the shell's history are removed")),
        Err(error) => {
            let path = path.display();
            Some(format!("the shell's history may still hold what was erased: {path}: {error}"))
        }
    }
}

/// What becomes of the shell after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// It takes the next.
    Next,
    /// It ends.
    Quit,
}

/// Why a line failed.
#[derive(Debug)]
enum Failure {
    /// It cannot be read.
    Syntax(Syntax),
    /// It cannot be done.
    Error(Error),
    /// It was answered, and the answer says that it failed.
    Told(u8),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Syntax(_) => crate::error::exit_code_of(llmdb::ErrorClass::Validation),
            Self::Error(error) => error.exit_code(),
            Self::Told(code) => *code,
        }
    }
}

impl From<Syntax> for Failure {
    fn from(syntax: Syntax) -> Self {
        Self::Syntax(syntax)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<llmdb::Error> for Failure {
    fn from(error: llmdb::Error) -> Self {
        Self::Error(error.into())
    }
}

/// A database, and how the shell is set.
struct Shell<'db> {
    db: &'db Db,
    session: Session<'db>,
    stop: Stop,
    settings: Settings,
    /// For the open transaction, or the next write.
    note: Option<Json>,
    /// The lines that were run, for `.history`.
    lines: Vec<String>,
    /// Keys that were erased, whose lines the history may still have.
    erased: Vec<Vec<u8>>,
    /// How many files are being read, each by the one before.
    depth: usize,
}

impl<'db> Shell<'db> {
    fn new(db: &'db Db, args: &args::Shell, stop: &Stop) -> Self {
        Self {
            db,
            session: Session::new(db).stopped_by(stop).remembering_erased(),
            stop: stop.clone(),
            settings: Settings::new(args.mode, args.bail),
            note: None,
            lines: Vec::new(),
            erased: Vec::new(),
            depth: 0,
        }
    }

    fn defaults(&self) -> Defaults {
        Defaults {
            partition: self.settings.partition.clone(),
            at: self.settings.at.clone(),
            // One more is asked for, to know whether there is more.
            limit: self.settings.limit.map(|limit| limit.saturating_add(1)),
            now: self.db.read().now().valid,
        }
    }

    /// Runs one line, and writes what it answers.
    fn line(&mut self, line: &str) -> std::result::Result<Flow, Failure> {
        let start = Instant::now();
        let done = match grammar::parse(line, &self.defaults())? {
            Line::Empty => return Ok(Flow::Next),
            Line::Protocol => self.protocol(line),
            Line::Note(note) => {
                self.note = Some(note);
                Ok(Flow::Next)
            }
            Line::Op(op) => self.op(op).map(|()| Flow::Next),
            Line::Dot(command, words) => self.dot(command, &words),
        };
        self.erased.extend(self.session.take_erased());
        if self.erased.len() >= ERASED_MAX {
            self.forget_erased();
        }
        if self.settings.timer {
            let millis = start.elapsed().as_secs_f64() * 1000.0;
            self.settings.print(&format!("time: {millis:.3} ms\n"))?;
        }
        done
    }

    /// Takes the lines with keys that were erased out of what `.history` lists, and out of the file
    /// that keeps lines.
    fn forget_erased(&mut self) {
        let keys = std::mem::take(&mut self.erased);
        if keys.is_empty() {
            return;
        }
        self.lines.retain(|line| !past::mentions(line.as_bytes(), line, &keys));
        if let Some(told) = forget_in_history(&keys) {
            eprintln!("{}", printable(&told));
        }
    }

    /// A request of the batch protocol is answered as there.
    fn protocol(&mut self, line: &str) -> std::result::Result<Flow, Failure> {
        // Between its members it may have ends of lines here, not there.
        let line = line.trim().replace(['\n', '\r'], " ");
        let (id, answer) = respond(&mut self.session, line.as_bytes());
        let failed = match &answer {
            Ok(Answer::Verified(report)) if !report.is_clean() => {
                Some(Error::Problems { count: report.problems.len() }.exit_code())
            }
            Ok(_) => None,
            Err(error) => Some(error.exit_code()),
        };
        let mut out = Vec::new();
        write_answer(&mut out, id.as_ref(), answer);
        self.settings.print(&String::from_utf8_lossy(&out))?;
        failed.map_or(Ok(Flow::Next), |code| Err(Failure::Told(code)))
    }

    fn op(&mut self, op: Op) -> std::result::Result<(), Failure> {
        let op = self.with_note(op);
        let limit = match &op {
            Op::Scan(scan) => scan.limit,
            Op::Changes(changes) => changes.limit,
            _ => None,
        };
        // A limit that is the default asks for one row more than is shown.
        let limit = limit.filter(|&limit| Some(limit) == self.defaults().limit);
        let prefix = scan_prefix(&op);
        let answer = self.session.execute(Request { txn: None, op })?;
        let (answer, more) = self.cut(answer, limit, &prefix);
        let failed = match &answer {
            Answer::Verified(report) if !report.is_clean() => {
                Some(Error::Problems { count: report.problems.len() })
            }
            _ => None,
        };
        self.show(answer)?;
        if let Some(more) = more {
            self.settings.say(&more)?;
        }
        failed.map_or(Ok(()), |error| Err(Failure::Error(error)))
    }

    /// The note that was said before goes with what takes one and has none of its own.
    fn with_note(&mut self, mut op: Op) -> Op {
        match &mut op {
            Op::Write(write) if !self.session.is_open() && write.note.is_none() => {
                write.note = self.note.take();
            }
            Op::Commit(note) if note.is_none() => *note = self.note.take(),
            Op::Rollback => self.note = None,
            _ => {}
        }
        op
    }

    /// What is beyond the limit is cut off; then the second says how to ask for it.
    fn cut(&self, answer: Answer, limit: Option<usize>, prefix: &str) -> (Answer, Option<String>) {
        match (answer, limit) {
            (Answer::Rows(mut rows, form), Some(limit)) if rows.len() == limit => {
                rows.pop();
                let after = rows.last().map(|row| shell_word(&row.key)).unwrap_or_default();
                let more = format!("there is more: scan {prefix} after {after}, or .limit\n");
                (Answer::Rows(rows, form), Some(more))
            }
            (Answer::Changes(changes, Some(next)), _) => {
                let more = format!("there is more: changes next {next}\n");
                (Answer::Changes(changes, None), Some(more))
            }
            (answer, _) => (answer, None),
        }
    }

    fn show(&mut self, answer: Answer) -> Result<()> {
        let screen = self.settings.screen();
        let (count, nothing) = (row_count(&answer), matches!(answer, Answer::Fact(None)));
        let done = matches!(answer, Answer::Done | Answer::Committed(None));
        if self.settings.mode == Mode::Table && (count == Some(0) || nothing) {
            return self.settings.print("nothing\n");
        }
        let Rendered { text, next } = render(answer, self.settings.mode, screen);
        self.settings.print(&text)?;
        if let Some(next) = next {
            self.settings.say(&format!("there is more: changes next {next}\n"))?;
        }
        match count {
            Some(1) => self.settings.say("1 row\n"),
            Some(count) => self.settings.say(&format!("{count} rows\n")),
            None if done => self.settings.say("ok\n"),
            None => Ok(()),
        }
    }

    /// The text of a failure, of the line that it belongs to.
    fn describe(&self, line: &str, failure: &Failure) -> String {
        match failure {
            Failure::Syntax(syntax) => {
                let shown = syntax.show(line, self.settings.error_width());
                width::wrap_lines(&shown, self.settings.error_columns())
            }
            Failure::Error(Error::Interrupted { .. }) => "cancelled\n".to_owned(),
            Failure::Error(error) => {
                let advice = match error.code() {
                    "not_in_transaction" if self.settings.at != Default::default() => {
                        "`.asof` alone stands at now again\n"
                    }
                    "no_partition" => "`.tables` lists them\n",
                    "conflict" => {
                        "another transaction wrote what this one rests on: run it again\n"
                    }
                    _ => "",
                };
                let text = format!("error: {}\n{advice}", printable(&error.to_string()));
                width::wrap_lines(&text, self.settings.error_columns())
            }
            Failure::Told(_) => String::new(),
        }
    }
}

/// The prefix of a scan, as it is typed.
fn scan_prefix(op: &Op) -> String {
    match op {
        Op::Scan(scan) if !scan.range.bytes.is_empty() => shell_word(&scan.range.bytes),
        _ => "''".to_owned(),
    }
}

/// A key as it is typed: bare where that is read as the same, quoted, or in base64.
fn shell_word(key: &[u8]) -> String {
    use base64::Engine;
    let Ok(text) = std::str::from_utf8(key) else {
        return format!("b64:{}", base64::engine::general_purpose::STANDARD.encode(key));
    };
    let first = text.chars().next().unwrap_or('"');
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    let bare = text.chars().all(plain)
        && !['"', '\'', '{', '[', '\\'].contains(&first)
        && !text.starts_with("b64:")
        && !text.ends_with('\\')
        && !commands::all().any(|command| command.clause(text).is_some());
    if bare {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) || text.contains('\'') {
        return crate::show::escape_controls(&Json::from(text).to_string());
    }
    format!("'{text}'")
}

/// The words of a line, for tests of other lines.
#[cfg(test)]
pub fn words(line: &str) -> Vec<String> {
    let tokens = token::tokens(line).expect("a line of words");
    tokens.into_iter().map(|token| token.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_they_are_typed() {
        for key in [
            "user:1", "a b", "don't go", "'x", "{", "b64:x", "from", "a\u{1}'", "\\", "名前", "a\\",
        ] {
            let word = shell_word(key.as_bytes());
            let tokens = token::tokens(&format!("get {word} at 5")).unwrap();
            assert_eq!(grammar::key(&tokens[1]).unwrap(), key.as_bytes(), "{word}");
            assert_eq!(tokens.len(), 4, "{word}");
        }
        assert_eq!(shell_word(b"\xff\0"), "b64:/wA=");
        assert_eq!(shell_word(b"user:1"), "user:1");
    }
}
