//! Commands from a file, a pipe, or the command line.

use super::{Failure, Flow, Shell, grammar};
use crate::args;
use crate::error::{Error, Result};
use crate::exec::Event;
use crate::exec::lines::{LINE_BYTES_MAX, Line};
use crate::stop::Stop;
use llmdb::Db;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::Receiver;

/// Files that may read one another.
const DEPTH_MAX: usize = 16;

/// What is known of a script so far.
#[derive(Debug, Default)]
struct Script {
    /// The exit code of the first failure; 0 for none.
    code: u8,
    /// A command whose end has not been read, and the number of its first line.
    begun: String,
    begun_at: u64,
    /// The number of the last line read.
    at: u64,
}

/// Runs the commands of the command line.
///
/// # Errors
/// Those of the streams.
pub fn run_commands(db: &Db, args: &args::Shell, stop: &Stop) -> Result<ExitCode> {
    let mut shell = Shell::new(db, args, stop);
    let mut script = Script::default();
    let mut run = || {
        for command in &args.commands {
            stop.check()?;
            if script.line(&mut shell, command)? == Flow::Quit {
                break;
            }
        }
        script.finish(&mut shell)
    };
    let ran = run();
    shell.forget_erased();
    ran
}

/// Runs the commands on standard input.
///
/// # Errors
/// Those of the streams.
pub fn run_stdin(
    db: &Db,
    args: &args::Shell,
    stop: &Stop,
    events: &Receiver<Event>,
) -> Result<ExitCode> {
    let mut shell = Shell::new(db, args, stop);
    let ran = run_events(&mut shell, stop, events);
    shell.forget_erased();
    ran
}

fn run_events(shell: &mut Shell<'_>, stop: &Stop, events: &Receiver<Event>) -> Result<ExitCode> {
    let mut script = Script::default();
    while let Ok(event) = events.recv() {
        stop.check()?;
        match event {
            Event::Lines(lines) => {
                for line in lines {
                    stop.check()?;
                    if script.bytes(shell, line)? == Flow::Quit {
                        return script.finish(shell);
                    }
                }
            }
            Event::Stop => {}
            Event::End(Ok(())) => return script.finish(shell),
            Event::End(Err(cause)) => {
                return Err(Error::Read { path: PathBuf::from("stdin"), cause });
            }
        }
    }
    script.finish(shell)
}

impl Script {
    fn bytes(&mut self, shell: &mut Shell<'_>, line: Line) -> Result<Flow> {
        let text = match line {
            Line::TooLong => None,
            Line::Bytes(bytes) => String::from_utf8(bytes).ok(),
        };
        match text {
            Some(text) => self.line(shell, text.trim_end_matches('\r')),
            None => {
                self.at += 1;
                let bytes_max = LINE_BYTES_MAX;
                let message = format!("the line is not UTF-8, or longer than {bytes_max} bytes");
                eprintln!("line {}: error: {message}", self.at);
                Ok(self.failed(shell, Error::LineTooLong { bytes_max }.exit_code()))
            }
        }
    }

    /// Takes a line; runs the command that it is the end of.
    fn line(&mut self, shell: &mut Shell<'_>, line: &str) -> Result<Flow> {
        self.at += 1;
        if self.begun.is_empty() {
            self.begun_at = self.at;
        } else {
            self.begun.push('\n');
        }
        self.begun.push_str(line);
        match grammar::parse(&self.begun, &shell.defaults()) {
            Err(syntax) if syntax.is_unfinished() && self.begun.len() <= LINE_BYTES_MAX => {
                Ok(Flow::Next)
            }
            _ => self.run(shell),
        }
    }

    fn run(&mut self, shell: &mut Shell<'_>) -> Result<Flow> {
        let line = std::mem::take(&mut self.begun);
        let failure = match shell.line(&line) {
            Ok(flow) => return Ok(flow),
            // A signal ends a script, and so does whoever no longer reads.
            Err(Failure::Error(error)) if ends(&error) => return Err(error),
            Err(failure) => failure,
        };
        let text = shell.describe(&line, &failure);
        if !text.is_empty() {
            eprint!("line {}: {text}", self.begun_at);
        }
        Ok(self.failed(shell, failure.exit_code()))
    }

    fn failed(&mut self, shell: &Shell<'_>, code: u8) -> Flow {
        if self.code == 0 {
            self.code = code;
        }
        if shell.settings.bail { Flow::Quit } else { Flow::Next }
    }

    /// What was begun and never ended is an error.
    fn finish(&mut self, shell: &mut Shell<'_>) -> Result<ExitCode> {
        if !self.begun.is_empty() {
            self.run(shell)?;
        }
        Ok(ExitCode::from(self.code))
    }
}

fn ends(error: &Error) -> bool {
    match error {
        Error::Interrupted { .. } => true,
        Error::Write { path, .. } => path == Path::new("stdout"),
        _ => false,
    }
}

impl Shell<'_> {
    /// Runs the commands of a file; the first failure is that of all.
    pub(super) fn read_file(&mut self, path: &Path) -> std::result::Result<Flow, Failure> {
        let path = path.to_owned();
        if self.depth >= DEPTH_MAX {
            let cause = io::Error::other("files read one another without end");
            return Err(Error::Read { path, cause }.into());
        }
        let text = std::fs::read_to_string(&path).map_err(|cause| Error::Read { path, cause })?;
        self.depth += 1;
        let mut script = Script::default();
        let mut flow = Flow::Next;
        for line in text.lines() {
            flow = script.line(self, line)?;
            if flow == Flow::Quit {
                break;
            }
        }
        if !script.begun.is_empty() {
            script.run(self)?;
        }
        self.depth -= 1;
        if script.code == 0 { Ok(flow) } else { Err(Failure::Told(script.code)) }
    }
}
