//! `llmdb exec`: requests in, answers out, one a line.
//!
//! ```text
//! stdin -> [reader thread: Lines] -> batches -> [Session] -> answers -> stdout
//! SIGINT, SIGTERM -> [signal thread: Stop] ----------^
//! ```
//!
//! A thread of its own reads, so that a signal is noticed while input is awaited. At most two
//! batches of lines are read ahead.

pub mod answer;
pub mod erasures;
pub mod feeds;
pub mod fields;
pub mod lines;
pub mod open;
pub mod request;
pub mod retention;
pub mod session;
pub mod streams;
pub mod tx;
pub mod upkeep;
pub mod values;

use crate::error::{Error, Result};
use crate::stop::Stop;
use answer::{Answer, write_answer};
use fields::Fields;
pub use lines::Line;
use lines::{LINE_BYTES_MAX, Lines};
use llmdb::Db;
use request::Request;
use serde_json::Value as Json;
use session::Session;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// What reaches the session.
#[derive(Debug)]
pub enum Event {
    /// Lines to answer.
    Lines(Vec<Line>),
    /// Input has ended, or failed.
    End(io::Result<()>),
    /// A signal came.
    Stop,
}

/// Batches of lines that may wait.
const BATCHES_MAX: usize = 2;

/// Opens a database, and answers the requests on standard input until it ends or a signal comes;
/// rolls back what is open then, and closes.
///
/// # Errors
/// Those of opening and closing; [`Error::Read`], [`Error::Write`]: of the streams, not of requests.
pub fn run(open: impl FnOnce() -> Result<Db>) -> Result<()> {
    // First, so that a signal while a database is recovered ends by a clean close, too.
    let (stop, events) = read_events(io::stdin())?;
    let db = open()?;
    let ran = answer_all(&db, &events, &stop, &mut io::stdout().lock());
    let closed = db.close().map_err(Error::from);
    ran.and(closed)
}

/// Lines as they come, and signals, from threads of their own.
///
/// # Errors
/// [`Error::Signals`]
pub fn read_events(input: impl Read + Send + 'static) -> Result<(Stop, Receiver<Event>)> {
    let (sender, receiver) = sync_channel(BATCHES_MAX);
    let wake = sender.clone();
    // A full queue wakes the session as well, and it looks at the flag before each line.
    let stop = Stop::on_signals(move || drop(wake.try_send(Event::Stop)))?;
    // Not joined: it may wait for input that never comes.
    thread::spawn(move || read_lines(input, &sender));
    Ok((stop, receiver))
}

fn read_lines(input: impl Read, sender: &SyncSender<Event>) {
    let mut lines = Lines::new(input);
    loop {
        let event = match lines.next_batch() {
            Ok(batch) if batch.is_empty() => Event::End(Ok(())),
            Ok(batch) => Event::Lines(batch),
            Err(cause) => Event::End(Err(cause)),
        };
        let last = matches!(event, Event::End(_));
        // A session that is gone has no use for more.
        if sender.send(event).is_err() || last {
            return;
        }
    }
}

fn answer_all(
    db: &Db,
    events: &Receiver<Event>,
    stop: &Stop,
    output: &mut impl Write,
) -> Result<()> {
    let mut session = Session::new(db);
    let mut out = Vec::new();
    while let Ok(event) = events.recv() {
        if stop.came() {
            return Ok(());
        }
        let lines = match event {
            Event::Lines(lines) => lines,
            Event::Stop => return Ok(()),
            Event::End(ended) => {
                return ended.map_err(|cause| Error::Read { path: PathBuf::from("stdin"), cause });
            }
        };
        for line in lines {
            if stop.came() {
                return Ok(());
            }
            out.clear();
            answer_line(&mut session, &line, &mut out);
            let written = output.write_all(&out).and_then(|()| output.flush());
            written.map_err(|cause| Error::Write { path: PathBuf::from("stdout"), cause })?;
        }
    }
    Ok(())
}

/// Writes the answer to one line to the end of `out`; none to a blank one.
fn answer_line(session: &mut Session<'_>, line: &Line, out: &mut Vec<u8>) {
    let line = match line {
        Line::Bytes(line) if line.trim_ascii().is_empty() => return,
        Line::Bytes(line) => line,
        Line::TooLong => {
            let error = Error::LineTooLong { bytes_max: LINE_BYTES_MAX };
            return write_answer(out, None, Err(error));
        }
    };
    let (id, answer) = respond(session, line);
    write_answer(out, id.as_ref(), answer);
}

/// What a line is answered, and its `id`.
pub fn respond(session: &mut Session<'_>, line: &[u8]) -> (Option<Json>, Result<Answer>) {
    match Fields::parse(line) {
        Ok(mut fields) => {
            let id = fields.json("id");
            let answer = Request::parse(fields).map_err(Error::from);
            (id, answer.and_then(|request| session.execute(request)))
        }
        Err(error) => (None, Err(error.into())),
    }
}

/// The one line that says why a database cannot be opened.
pub fn refusal(error: Error) -> Vec<u8> {
    let mut out = Vec::new();
    write_answer(&mut out, None::<&Json>, Err(error));
    out
}
