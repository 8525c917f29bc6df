//! `llmdb tour`: the product shown on real history.
//!
//! Every command is parsed and executed as if it had been typed, and shown with what it really
//! answered. The structure is the same on every repository.

mod history;
mod measure;
mod stage;
mod story;

use crate::args;
use crate::error::Result;
use crate::scratch::Scratch;
use crate::stop::Stop;
use history::Subject;
use llmdb::{Db, TxTime};
use measure::Figures;
use stage::Stage;
use std::env;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use story::{ADA, BELIEFS, CITY, CORRECTION, DAY};

/// What the database of the tour is called in commands.
const DB: &str = "tour.llmdb";

/// Runs `llmdb tour`.
///
/// # Errors
/// What went wrong: of the file system, or of a repository that was named and is none.
pub fn run(args: &args::Tour) -> Result<ExitCode> {
    let stop = Stop::on_signals(|| {})?;
    let scratch = Scratch::new("tour", None)?;
    let stdout = io::stdout();
    let styled = stdout.is_terminal() && env::var_os("NO_COLOR").is_none();
    let mut stage = Stage::new(BufWriter::new(stdout.lock()), styled);
    let db = Db::open(scratch.path().join(DB))?;
    stage.title("LLMDB: what is true, what was true, and what was believed when")?;
    let subject = Subject::bring_in(&mut stage, &db, args.repository.as_deref(), &stop)?;
    show_facts(&mut stage, &db, &subject)?;
    stop.check()?;
    show_beliefs(&mut stage, &db)?;
    stop.check()?;
    show_verify(&mut stage, &db)?;
    show_figures(&mut stage, scratch.path())?;
    db.close()?;
    show_next(&mut stage)?;
    stage.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Valid time: now, then, and the whole line.
fn show_facts<W: Write>(stage: &mut Stage<W>, db: &Db, subject: &Subject) -> Result<()> {
    stage.chapter("What is true now", "A plain key-value store would know this much.")?;
    stage.run(db, &["llmdb", "scan", DB, &subject.prefix, "-n", "4"])?;
    stage.run(db, &["llmdb", "get", DB, &subject.key])?;
    let words = "The same key at a past time. Any time will do; nothing was prepared for it.";
    stage.chapter("What was true then", words)?;
    stage.run(db, &["llmdb", "get", DB, &subject.key, "--valid", &subject.then])?;
    let words = "What the key had from when to when. Facts that come in late fit in where they \
                 belong, and end where something else is known to begin.";
    stage.chapter("The timeline of one fact", words)?;
    stage.run(db, &["llmdb", "timeline", DB, &subject.key])?;
    Ok(())
}

/// Transaction time: a belief, its correction, and both of them afterwards.
fn show_beliefs<W: Write>(stage: &mut Stage<W>, db: &Db) -> Result<()> {
    let words = "An agent writes down what it knows of a user, since when it holds, and why it \
                 thinks so.";
    stage.chapter("A belief", words)?;
    let mut believed = None;
    for line in BELIEFS {
        believed = tell(stage, db, line)?;
    }
    let believed = believed.expect("beliefs are writes").to_string();
    let words = "Later it hears that it has been wrong for a while. The correction holds from \
                 March on; nothing is overwritten.";
    stage.chapter("A correction", words)?;
    tell(stage, db, CORRECTION)?;
    let words = "Where did Ada live on April 1st? By what we know now, and by what we believed \
                 before the correction: whoever audits a decision needs the second.";
    stage.chapter("What was believed then", words)?;
    stage.run(db, &["llmdb", "get", DB, CITY, "--valid", DAY])?;
    stage.run(db, &["llmdb", "get", DB, CITY, "--valid", DAY, "--tx", &believed])?;
    let words = "Every belief that there ever was about a key: over which stretch of time, from \
                 when to when it was believed, by whom and why.";
    stage.chapter("Its history", words)?;
    stage.run(db, &["llmdb", "history", DB, CITY])?;
    let words = "All that the correction changed about April 1st, of everything known of Ada.";
    stage.chapter("The difference between two beliefs", words)?;
    let diff = ["llmdb", "diff", DB, ADA, "--a-valid", DAY, "--a-tx", &believed];
    stage.run(db, &[&diff[..], &["--b-valid", DAY]].concat())?;
    Ok(())
}

fn tell<W: Write>(stage: &mut Stage<W>, db: &Db, line: story::Line) -> Result<Option<TxTime>> {
    let story::Line { key, value, valid_from, note } = line;
    let words = ["llmdb", "put", DB, key, value, "--valid-from", valid_from, "--note", note];
    stage.run(db, &words)
}

fn show_verify<W: Write>(stage: &mut Stage<W>, db: &Db) -> Result<()> {
    let words = "Every page against its checksum, every entry against the events it came from.";
    stage.chapter("Trust, and verify", words)?;
    stage.run(db, &["llmdb", "verify", DB])?;
    Ok(())
}

fn show_figures<W: Write>(stage: &mut Stage<W>, scratch: &Path) -> Result<()> {
    let keys = thousands(measure::FACTS as f64);
    let words = format!(
        "In a database of their own, in the temporary directory: {keys} keys, each with a value \
         and the one before."
    );
    stage.chapter("Sizes and speeds, measured just now", &words)?;
    stage.flush()?;
    let figures = Figures::measure(&scratch.join("speed.llmdb"))?;
    let shared = format!("{} writers sharing syncs", measure::WRITERS);
    let per_s = |rate: f64| format!("{:>11} /s", thousands(rate));
    let rows = [
        ("reads of what is true now", per_s(figures.reads_per_s), "one thread"),
        ("reads of a past belief", per_s(figures.past_reads_per_s), "one thread"),
        ("facts written, 1,000 a transaction", per_s(figures.facts_per_s), "one thread"),
        ("durable commits", per_s(figures.commits_per_s), "one writer, a sync each"),
        ("durable commits", per_s(figures.shared_commits_per_s), shared.as_str()),
    ];
    stage.blank()?;
    for (what, rate, how) in rows {
        stage.row(&format!("{what:<35} {rate}   {how}"))?;
    }
    let bytes = thousands(figures.bytes_per_version);
    let of = format!("a value of {} B, its key", figures.value_bytes);
    stage.row(&format!("{:<35} {bytes:>11} B    {of}", "on disk, a version of a fact"))?;
    if cfg!(debug_assertions) {
        stage.blank()?;
        stage.words("This is a build for debugging; `cargo run --release` is the fast one.")?;
    }
    Ok(())
}

fn show_next<W: Write>(stage: &mut Stage<W>) -> Result<()> {
    let words = "The database of the tour is gone with it. Yours might begin like this:";
    stage.chapter("What to try next", words)?;
    stage.blank()?;
    for row in [
        "llmdb put agent.llmdb user:1 '{\"plan\":\"free\"}' --valid-from 2024-01-01",
        "llmdb import git code.llmdb .           your own repository, to keep",
        "llmdb export code.llmdb --history       all of it, as lines of JSON",
        "llmdb exec agent.llmdb                  from any language: docs/protocol.md",
        "llmdb --help                            everything else",
    ] {
        stage.row(row)?;
    }
    Ok(())
}

/// A rate to three digits or all of them, with its thousands apart.
fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let texts = [0.0, 999.4, 1_000.0, 1_234_567.0].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
