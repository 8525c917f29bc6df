//! Answers for people.

use crate::exec::answer::{Answer, cursor_text, json_of};
use crate::table::{Screen, printable, printable_key};
use llmdb::{
    Change, DiffRow, Erasure, Fact, FeedInfo, NamedCheckpoint, Rectangle, RetireReport, Row,
    TxTime, ValidTime, Value, VerifyReport,
};
use serde::Serialize;
use serde_json::Value as Json;
use std::fmt::Write;

/// Lines of a screen that a row may take: of many alike...
const LINES_SHORT: usize = 2;
/// ...and of those where all counts.
const LINES_LONG: usize = 8;

/// Characters of a value that such a row shows on a screen, so that its note is seen too.
const VALUE_CHARS: usize = 110;

/// The text of an answer, with the end of its last line.
pub fn show(answer: Answer, screen: Screen) -> String {
    match answer {
        Answer::Done | Answer::Committed(None) => String::new(),
        Answer::Committed(Some(tx)) => format!("tx {}\n", tx_time(tx)),
        // Of programs alone: what they are answered is in JSON.
        Answer::Streamed { .. } | Answer::Piece(_) | Answer::Fact(None) => String::new(),
        Answer::Fact(Some(fact)) => show_fact(fact, screen),
        Answer::Segments(facts) => show_segments(facts, screen),
        Answer::Rectangles(rectangles) => show_rectangles(rectangles, screen),
        Answer::Rows(rows, _) => show_rows(rows, screen),
        Answer::Changes(changes, next) => {
            let mut text = show_changes(changes, screen);
            if let Some(next) = next {
                let _ = writeln!(text, "more: --next {next}");
            }
            text
        }
        Answer::Feed { changes, reached, .. } => {
            let mut text = show_changes(changes, screen);
            if let Some(reached) = cursor_text(reached) {
                let _ = writeln!(text, "acknowledge: {reached}");
            }
            text
        }
        Answer::Feeds(feeds) => {
            let none = || "nothing".to_owned();
            let row = |feed: FeedInfo| {
                [printable(&feed.name), cursor_text(feed.acknowledged).unwrap_or_else(none)]
            };
            screen.table(LINES_SHORT, ["feed", "acknowledged"], feeds.into_iter().map(row))
        }
        Answer::Diff(rows, _) => show_diff(rows, screen),
        Answer::Checkpoints(checkpoints) => {
            let row = |named: NamedCheckpoint| [tx_time(named.tx), named.name];
            screen.table(LINES_SHORT, ["known", "name"], checkpoints.into_iter().map(row))
        }
        Answer::Erasure(ticket, state) => screen.wrap(&crate::exec::erasures::show(ticket, &state)),
        Answer::Erasures(erasures) => {
            // A ticket is longer than any column of a table: broken in two it is of no use.
            let line = |erasure: Erasure| {
                let state = if erasure.complete { "complete" } else { "pending" };
                format!("{}  {state}\n  {}\n", tx_time(erasure.ticket.tx), erasure.ticket)
            };
            erasures.into_iter().map(line).collect()
        }
        Answer::Retention(policy, kept) => crate::exec::retention::show(&policy, &kept),
        Answer::Retired(report) => {
            let RetireReport { partitions, removed, .. } = report;
            format!("{removed} entries given up; {partitions} partitions know less than before\n")
        }
        Answer::Report(report) => show_report(&report, screen),
        Answer::Stats(stats) => show_figures(&*stats, screen),
        Answer::Metrics(metrics) => show_figures(&*metrics, screen),
        Answer::Verified(report) => show_verified(&report),
    }
}

/// How many rows an answer has; `None` for one that is no list.
pub fn row_count(answer: &Answer) -> Option<usize> {
    match answer {
        Answer::Segments(facts) => Some(facts.len()),
        Answer::Rectangles(rectangles) => Some(rectangles.len()),
        Answer::Rows(rows, _) => Some(rows.len()),
        Answer::Changes(changes, _) | Answer::Feed { changes, .. } => Some(changes.len()),
        Answer::Feeds(feeds) => Some(feeds.len()),
        Answer::Checkpoints(checkpoints) => Some(checkpoints.len()),
        Answer::Erasures(erasures) => Some(erasures.len()),
        Answer::Diff(rows, _) => Some(rows.len()),
        _ => None,
    }
}

fn show_fact(fact: Fact, screen: Screen) -> String {
    let (from, to, tx) = (fact.valid_from, fact.valid_to, fact.tx);
    let value = pretty(json_of(fact.value));
    let (valid, known) = (span(from, to), tx_time(tx));
    let whole = format!("  valid  {valid}\n  known  since {known}\n");
    let columns = whole.lines().map(str::len).max().unwrap_or_default();
    if screen.width.is_none_or(|width| columns <= usize::from(width)) {
        return format!("{value}\n{whole}");
    }
    let (from, to) = (valid_time(from), valid_time(to));
    format!("{value}\n  valid  {from}\n      .. {to}\n  known since\n         {known}\n")
}

fn show_segments(facts: Vec<Fact>, screen: Screen) -> String {
    let row = |fact: Fact| {
        [valid_time(fact.valid_from), valid_time(fact.valid_to), value_text(fact.value)]
    };
    screen.table(LINES_SHORT, ["from", "to", "value"], facts.into_iter().map(row))
}

fn show_rectangles(rectangles: Vec<Rectangle>, screen: Screen) -> String {
    let row = |rectangle: Rectangle| {
        let (valid, believed, to) = match screen.is_narrow() {
            true => ("valid\n ", "believed\n ", " "),
            false => ("valid    ", "believed ", "         "),
        };
        let when = format!(
            "{valid}{}\n{to}{}\n{believed}{}\n{to}{}",
            valid_time(rectangle.valid_from),
            valid_time(rectangle.valid_to),
            tx_time(rectangle.tx_from),
            tx_time(rectangle.tx_to),
        );
        let value = rectangle.value.map(|value| screen.cut(value_text(value), VALUE_CHARS));
        let mut what = value.unwrap_or_else(|| "(absent)".to_owned());
        push_note(&mut what, rectangle.note.as_ref());
        [when, what]
    };
    screen.table(LINES_LONG, ["when", "what"], rectangles.into_iter().map(row))
}

fn show_rows(rows: Vec<Row>, screen: Screen) -> String {
    let row = |Row { key, fact }: Row| {
        let when = format!("{}\n{}", valid_time(fact.valid_from), valid_time(fact.valid_to));
        let when = if fact.valid_to == ValidTime::INFINITY && screen.width.is_none() {
            when.replace('\n', " .. ")
        } else if fact.valid_to == ValidTime::INFINITY {
            valid_time(fact.valid_from)
        } else {
            when
        };
        [printable_key(&key), when, value_text(fact.value)]
    };
    screen.table(LINES_SHORT, ["key", "valid", "value"], rows.into_iter().map(row))
}

fn show_changes(changes: Vec<Change>, screen: Screen) -> String {
    let row = |change: Change| {
        let (tx, valid, to) = match screen.is_narrow() {
            true => ("tx\n ", "valid\n ", " "),
            false => ("tx    ", "valid ", "      "),
        };
        let when = format!(
            "{tx}{}\n{valid}{}\n{to}{}",
            tx_time(change.tx),
            valid_time(change.valid_from),
            valid_time(change.valid_to),
        );
        let mut what = format!("{} {}", change.op.as_str(), printable_key(&change.key));
        if change.partition.0 != 0 {
            let _ = write!(what, " (partition {})", change.partition.0);
        }
        if let Some(value) = change.value {
            what.push('\n');
            what.push_str(&screen.cut(value_text(value), VALUE_CHARS));
        }
        push_note(&mut what, change.note.as_ref());
        [when, what]
    };
    screen.table(LINES_LONG, ["when", "what"], changes.into_iter().map(row))
}

fn show_diff(rows: Vec<DiffRow>, screen: Screen) -> String {
    let side = |fact: Option<Fact>| fact.map_or_else(|| "-".to_owned(), |f| value_text(f.value));
    let row = |row: DiffRow| [printable_key(&row.key), side(row.a), side(row.b)];
    screen.table(LINES_SHORT, ["key", "a", "b"], rows.into_iter().map(row))
}

fn show_figures(figures: &impl Serialize, screen: Screen) -> String {
    show_report(&serde_json::to_value(figures).unwrap_or_default(), screen)
}

fn show_report(report: &Json, screen: Screen) -> String {
    let mut rows = Vec::new();
    let mut report = report.clone();
    // A list of things with names: each under its own.
    if let Some(Json::Array(trees)) = report.get_mut("trees").map(Json::take) {
        let named = trees.into_iter().filter_map(|mut tree| {
            let name = tree.as_object_mut()?.remove("name")?.as_str()?.to_owned();
            Some((name, tree))
        });
        report["trees"] = Json::Object(named.collect());
    }
    flatten(&mut rows, "", &report);
    screen.table(LINES_SHORT, ["what", "how much"], rows)
}

/// The members of an object and of those in it, by name.
pub fn flatten(rows: &mut Vec<[String; 2]>, name: &str, json: &Json) {
    let Json::Object(members) = json else {
        rows.push([name.to_owned(), json_text(json)]);
        return;
    };
    for (member, json) in members {
        let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
        flatten(rows, &name, json);
    }
}

fn show_verified(report: &VerifyReport) -> String {
    if report.is_clean() {
        let VerifyReport { pages, trees, entries, .. } = report;
        return format!("clean: {entries} entries in {trees} trees, {pages} pages\n");
    }
    let lines = report.problems.iter().map(|problem| printable(problem) + "\n");
    lines.collect()
}

fn push_note(what: &mut String, note: Option<&Json>) {
    if let Some(note) = note {
        let _ = write!(what, "\n# {}", note_text(note));
    }
}

/// JSON in few words: `who: ada, why: moved`.
pub fn note_text(note: &Json) -> String {
    let Json::Object(members) = note else { return json_text(note) };
    let member =
        |(name, json): (&String, &Json)| format!("{}: {}", printable(name), json_text(json));
    members.iter().map(member).collect::<Vec<_>>().join(", ")
}

/// JSON in one line; a string as it is.
fn json_text(json: &Json) -> String {
    match json {
        Json::String(text) => printable(text),
        other => escape_controls(&other.to_string()),
    }
}

/// A value in one line of JSON.
fn value_text(value: Value) -> String {
    escape_controls(&json_of(value).to_string())
}

/// A value in as many lines of JSON as it takes.
fn pretty(json: Json) -> String {
    let text = serde_json::to_string_pretty(&json).unwrap_or_else(|_| json.to_string());
    text.lines().map(escape_controls).collect::<Vec<_>>().join("\n")
}

/// JSON escapes the controls of ASCII itself; the others are left to do.
pub fn escape_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// A stretch of valid time.
pub fn span(from: ValidTime, to: ValidTime) -> String {
    format!("{} .. {}", valid_time(from), valid_time(to))
}

/// RFC 3339, or `inf`.
pub fn valid_time(time: ValidTime) -> String {
    if time == ValidTime::INFINITY { "inf".to_owned() } else { time.to_string() }
}

/// RFC 3339, or `inf`.
pub fn tx_time(time: TxTime) -> String {
    if time == TxTime::INFINITY { "inf".to_owned() } else { time.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SCREEN: Screen = Screen { width: Some(80) };

    fn fact(value: Json, from: i64, to: i64) -> Fact {
        let (valid_from, valid_to) = (ValidTime(from), ValidTime(to));
        Fact { value: value.into(), valid_from, valid_to, tx: TxTime(1) }
    }

    #[test]
    fn infinity_is_short() {
        assert_eq!(span(ValidTime(0), ValidTime::INFINITY), "1970-01-01T00:00:00Z .. inf");
        assert_eq!(tx_time(TxTime::INFINITY), "inf");
    }

    #[test]
    fn a_history_fits_80_columns() {
        let rectangle = Rectangle {
            valid_from: ValidTime(1_700_000_000_123_456),
            valid_to: ValidTime(1_800_000_000_123_456),
            tx_from: TxTime(1_700_000_000_123_456),
            tx_to: TxTime::INFINITY,
            value: Some(json!({"role": "lead", "why": "a longer story than one line"}).into()),
            tx: TxTime(7),
            note: Some(json!({"author": "Ada", "subject": "the agent heard \u{1b}[2J wrong"})),
        };
        let text = show(Answer::Rectangles(vec![rectangle]), SCREEN);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("2023-11-14T22:13:20.123456Z"), "{text}");
        assert!(text.contains("# author: Ada"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_long_value_does_not_hide_its_note() {
        let rectangle = |value: String| Rectangle {
            valid_from: ValidTime(0),
            valid_to: ValidTime::INFINITY,
            tx_from: TxTime(1),
            tx_to: TxTime::INFINITY,
            value: Some(Json::from(value).into()),
            tx: TxTime(1),
            note: Some(json!("why")),
        };
        let answer = || Answer::Rectangles(vec![rectangle("v".repeat(5_000))]);
        assert!(show(answer(), SCREEN).contains("# why"));
        let whole = show(answer(), Screen { width: None });
        assert!(whole.contains(&"v".repeat(5_000)), "a file takes all of it");
    }

    #[test]
    fn a_timeline_is_a_line_each() {
        let facts = vec![fact(json!("a"), 0, 1_000_000), fact(json!(2), 1_000_000, i64::MAX)];
        let text = show(Answer::Segments(facts), SCREEN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[3].contains("1970-01-01T00:00:01Z") && lines[3].contains("inf"), "{text}");
    }
}
