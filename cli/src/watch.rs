//! `llmdb watch`: what is written, as it is committed.
//!
//! ```text
//! stdin -> [reader thread] -> requests -> [Session] --commit--> [Db] --watch--> [lister thread] -> stdout
//!                                            \-> answers that are errors -> stderr
//! ```
//!
//! The lister ends when the input has ended and all that was committed is listed.

use crate::args;
use crate::commands::partition;
use crate::error::{Error, Result};
use crate::exec::answer::{Answer, write_answer, write_change};
use crate::exec::lines::Line;
use crate::exec::session::Session;
use crate::exec::{Event, read_events, respond};
use crate::show::show;
use crate::stop::Stop;
use crate::table::Screen;
use crate::write::partition_to_write;
use llmdb::{Change, Cursor, Db, Watch, WatchFrom};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

/// How soon the lister notices that the input has ended.
const PATIENCE: Duration = Duration::from_millis(100);
/// Changes that are listed between two looks.
const BATCH: usize = 256;

/// Runs `llmdb watch`.
///
/// # Errors
/// Those of the database and of the streams; [`Error::Interrupted`].
pub fn run(args: &args::Watch) -> Result<ExitCode> {
    let (stop, events) = read_events(io::stdin())?;
    let db = args.open.with(args.open.options().durability(args.durability.durability()))?;
    let watched = watch(&db, args, &stop, &events);
    let closed = db.close().map_err(Error::from);
    watched?;
    closed?;
    Ok(ExitCode::SUCCESS)
}

fn watch(db: &Db, args: &args::Watch, stop: &Stop, events: &Receiver<Event>) -> Result<()> {
    let from = match args.from.as_str() {
        "oldest" => WatchFrom::Oldest,
        "newest" => WatchFrom::Newest,
        cursor => WatchFrom::After(cursor.parse::<Cursor>()?),
    };
    let mut watch = db.watch(from);
    if args.partition.is_some() || !args.prefix.is_empty() {
        let name = args.partition.as_deref().unwrap_or("0");
        watch = watch.only(partition_to_write(db, &partition(name))?, &args.prefix);
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let lister = scope.spawn(|| list(&mut watch, args.json, stop, &ended));
        let answered = answer(db, stop, events, &lister);
        // Pairs with the Acquire of the lister: it sees what was committed before.
        ended.store(true, Ordering::Release);
        let listed = lister.join().expect("listing does not panic");
        listed.and(answered)
    })
}

fn list(watch: &mut Watch, json: bool, stop: &Stop, ended: &AtomicBool) -> Result<()> {
    let mut out = io::stdout().lock();
    loop {
        // Looked at before the changes: what comes after the end is none of this.
        let last = ended.load(Ordering::Acquire) || stop.came();
        let patience = if last { Duration::ZERO } else { PATIENCE };
        let changes = watch.next_batch(BATCH, patience)?;
        if changes.is_empty() && last {
            return Ok(());
        }
        if changes.is_empty() {
            continue;
        }
        let text = lines(changes, json);
        let written = out.write_all(&text).and_then(|()| out.flush());
        written.map_err(|cause| Error::Write { path: PathBuf::from("stdout"), cause })?;
    }
}

fn lines(changes: Vec<Change>, json: bool) -> Vec<u8> {
    if !json {
        return show(Answer::Changes(changes, None), Screen::stdout()).into_bytes();
    }
    let mut out = Vec::new();
    changes.into_iter().for_each(|change| write_change(&mut out, change));
    out
}

/// Runs requests until there are no more; those that fail say so on standard error.
fn answer<T>(
    db: &Db,
    stop: &Stop,
    events: &Receiver<Event>,
    lister: &thread::ScopedJoinHandle<'_, T>,
) -> Result<()> {
    let mut session = Session::new(db).stopped_by(stop);
    while let Ok(event) = events.recv() {
        stop.check()?;
        let lines = match event {
            Event::Lines(lines) => lines,
            Event::Stop => continue,
            Event::End(ended) => {
                return ended.map_err(|cause| Error::Read { path: PathBuf::from("stdin"), cause });
            }
        };
        for line in lines {
            stop.check()?;
            // Nobody listens: what is written now would be listed nowhere.
            if lister.is_finished() {
                return Ok(());
            }
            request(&mut session, &line);
        }
    }
    Ok(())
}

fn request(session: &mut Session<'_>, line: &Line) {
    let (id, answer) = match line {
        Line::Bytes(line) if line.trim_ascii().is_empty() => return,
        Line::Bytes(line) => respond(session, line),
        Line::TooLong => {
            let bytes_max = crate::exec::lines::LINE_BYTES_MAX;
            (None, Err(Error::LineTooLong { bytes_max }))
        }
    };
    if answer.is_err() {
        let mut out = Vec::new();
        write_answer(&mut out, id.as_ref(), answer);
        eprint!("{}", String::from_utf8_lossy(&out));
    }
}
