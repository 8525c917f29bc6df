//! What a repair found and lost, for people. Programs get all of it: `--json`.

use crate::args::Repair;
use crate::table::{Screen, printable};
use llmdb::{RepairReport, TxTime, UserKey, UserKeys};

/// Longer lists are cut.
const LISTED_MAX: usize = 10;

/// The report as lines of text.
pub(super) fn describe(report: &RepairReport, args: &Repair) -> String {
    let verdict = match (report.complete, &args.into) {
        (true, _) => "Nothing is lost.",
        (false, None) => "The database is damaged; what is left of it can be kept.",
        (false, Some(_)) => "The database was damaged; what is left of it was kept.",
    };
    let mut rows = vec![["pages".to_owned(), pages(report)], ["log".to_owned(), log(report)]];
    let mut row = |what: &str, text: String| rows.push([what.to_owned(), text]);
    let notes = count(report.notes, "note");
    let newest = match report.newest_tx {
        0 => String::new(),
        tx => format!(", the last of {}", TxTime(tx)),
    };
    let (keys, events) = (count(report.keys, "key"), count(report.events, "write"));
    row("kept", format!("{keys}, {events}{newest}; {notes}"));
    if report.events_lost > 0 {
        let lost = report.lost.iter();
        let mut lost = lost.map(|lost| key_of(lost.partition, &lost.key)).collect::<Vec<_>>();
        lost.sort();
        let of = listed(lost, "key");
        row("lost", format!("{} whose values are gone:\n{of}", count(report.events_lost, "write")));
    }
    if report.notes_lost > 0 {
        row("lost", format!("{} with all that they were of", count(report.notes_lost, "note")));
    }
    if !report.in_doubt.is_empty() {
        let ranges = report.in_doubt.iter().map(range).collect();
        row("in doubt", format!("more may be missing of the keys\n{}", listed(ranges, "range")));
    }
    if report.unreadable > 0 {
        row("in doubt", format!("{} that make no sense", count(report.unreadable, "record")));
    }
    if report.kinds_guessed > 0 {
        let absences = count(report.kinds_guessed, "absence");
        row("in doubt", format!("{absences} that may have been an `end` and count as a `delete`"));
    }
    if report.retention_in_doubt {
        row("in doubt", "what partitions had given up of their past: it answers again".to_owned());
    }
    if report.erasures_in_doubt {
        row("erase again", "records of erasures are gone: erased keys may be back".to_owned());
    }
    for partition in &report.retention_lost {
        row("in doubt", format!("what partition {partition} had given up of its past"));
    }
    if report.searched && report.erasures_unfinished > 0 {
        let erasures = count(report.erasures_unfinished, "erasure");
        row("erase again", format!("{erasures} had not been finished: those keys may be back"));
    }
    let src = args.src.display();
    let next = match &args.into {
        Some(dest) => format!("In {}; {src} is as it was.\n", dest.display()),
        None => format!("Nothing was written. To keep this: llmdb repair {src} --into NEW\n"),
    };
    let table = Screen::stdout().table(LISTED_MAX + 2, ["", verdict], rows);
    format!("{table}\n{next}")
}

fn pages(report: &RepairReport) -> String {
    let mut text = format!("{} good, {} damaged", report.pages, report.pages_bad);
    if !report.meta_readable {
        text += "; no meta page can be read";
    }
    if report.searched {
        text += "; the file was searched for what was missing, which may bring back what had been \
                 deleted";
    }
    text
}

fn log(report: &RepairReport) -> String {
    let log = &report.log;
    match log.state {
        "not_needed" => "not needed: the database was closed".to_owned(),
        "torn" => format!("{}; it ends while it was being written", count(log.commits, "commit")),
        "damaged" => {
            let why = log.why.as_deref().unwrap_or_default();
            format!("damaged after {}: {}", count(log.commits, "commit"), printable(why))
        }
        _ => count(log.commits, "commit"),
    }
}

fn range(keys: &UserKeys) -> String {
    let key = |key: &UserKey| key_of(key.partition, &key.key);
    match (&keys.from, &keys.to) {
        (None, None) => "all".to_owned(),
        (None, Some(to)) => format!("up to {}", key(to)),
        (Some(from), None) => format!("from {}", key(from)),
        (Some(from), Some(to)) => format!("from {} to {}", key(from), key(to)),
    }
}

fn key_of(partition: u32, key: &[u8]) -> String {
    match partition {
        0 => key.escape_ascii().to_string(),
        partition => format!("{} (partition {partition})", key.escape_ascii()),
    }
}

/// A line for each, of which there may be many.
fn listed(mut all: Vec<String>, what: &str) -> String {
    all.dedup();
    let more = all.len().saturating_sub(LISTED_MAX);
    all.truncate(LISTED_MAX);
    let mut text = all.join("\n");
    if more > 0 {
        text += &format!("\nand {} more: see --json", count(more as u64, what));
    }
    text
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
