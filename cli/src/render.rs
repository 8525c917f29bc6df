//! Answers in the forms that people and other programs take.
//!
//! | mode | a row is | times | values |
//! |---|---|---|---|
//! | `table` | for people, see `show` | RFC 3339 | JSON, cut on a screen |
//! | `json` | an object of one array | microseconds, infinity is `null` | JSON |
//! | `ndjson` | an object, a line | the same | JSON |
//! | `csv` | a record under a header (RFC 4180, lines end in LF) | RFC 3339, `inf` | strings bare, all else JSON |
//! | `markdown` | a row of a table | RFC 3339, `inf` | strings bare, all else JSON |
//!
//! The last four have the rows, members and names of the batch protocol, so that what is added
//! there comes in every form.

use crate::exec::answer::{Answer, write_answer};
use crate::show::{self, show};
use crate::table::{Screen, printable};
use clap::ValueEnum;
use llmdb::{TxTime, ValidTime};
use serde_json::{Map, Value as Json};

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Aligned columns, for people
    #[default]
    Table,
    /// One array of objects
    Json,
    /// One object a line
    Ndjson,
    /// Comma-separated values, with a header
    Csv,
    /// A table of Markdown
    Markdown,
}

/// An answer as text.
#[derive(Debug)]
pub struct Rendered {
    /// For standard output.
    pub text: String,
    /// Where a limit cut it short: how to ask for what follows.
    pub next: Option<String>,
}

/// Members that hold a list of rows, each in answers of one kind.
const LISTS: [&str; 7] =
    ["rows", "segments", "rectangles", "changes", "feeds", "checkpoints", "erasures"];

/// Writes an answer in a form.
pub fn render(answer: Answer, mode: Mode, screen: Screen) -> Rendered {
    if mode == Mode::Table {
        return Rendered { text: show(answer, screen), next: None };
    }
    let Rows { rows, next } = rows_of(answer);
    let text = text_of(rows, mode, screen);
    Rendered { text, next }
}

/// Writes objects in a form other than a table for people.
pub fn objects(rows: impl IntoIterator<Item = Json>, mode: Mode, screen: Screen) -> String {
    let rows = rows.into_iter().filter_map(|row| match row {
        Json::Object(row) => Some(row),
        _ => None,
    });
    text_of(rows.collect(), mode, screen)
}

fn text_of(rows: Vec<Map<String, Json>>, mode: Mode, screen: Screen) -> String {
    match mode {
        Mode::Json => json(&rows),
        Mode::Ndjson | Mode::Table => rows.iter().map(|row| line(row) + "\n").collect(),
        Mode::Csv => csv(&flat(rows), screen),
        Mode::Markdown => markdown(&flat(rows)),
    }
}

struct Rows {
    rows: Vec<Map<String, Json>>,
    next: Option<String>,
}

/// The rows of an answer, as the batch protocol writes them.
fn rows_of(answer: Answer) -> Rows {
    let mut line = Vec::new();
    write_answer(&mut line, None, Ok(answer));
    let mut answer: Map<String, Json> =
        serde_json::from_slice(&line).expect("answers are objects of JSON");
    let next = match answer.remove("next") {
        Some(Json::String(next)) => Some(next),
        _ => None,
    };
    answer.shift_remove("ok");
    let list = LISTS.iter().find_map(|list| match answer.get_mut(*list) {
        Some(Json::Array(rows)) => Some(std::mem::take(rows)),
        _ => None,
    });
    if let Some(list) = list {
        let rows = list.into_iter().filter_map(|row| match row {
            Json::Object(row) => Some(row),
            _ => None,
        });
        return Rows { rows: rows.collect(), next };
    }
    let found = answer.shift_remove("found") != Some(Json::Bool(false));
    // An answer that is one object of a name, like statistics, is that object.
    let mut members = answer.iter_mut();
    if let (Some((_, Json::Object(only))), None) = (members.next(), members.next()) {
        return Rows { rows: vec![std::mem::take(only)], next };
    }
    let rows = if found && !answer.is_empty() { vec![answer] } else { Vec::new() };
    Rows { rows, next }
}

fn json(rows: &[Map<String, Json>]) -> String {
    if rows.is_empty() {
        return "[]\n".to_owned();
    }
    let lines: Vec<String> = rows.iter().map(line).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn line(row: &Map<String, Json>) -> String {
    let text = serde_json::to_string(row).expect("members are named by strings");
    show::escape_controls(&text)
}

/// Columns in the order in which rows have them, and cells of text.
struct Grid {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// One object that holds others is listed by name; else a member is a column.
fn flat(rows: Vec<Map<String, Json>>) -> Grid {
    if let [row] = rows.as_slice()
        && !row.contains_key("value")
        && row.values().any(Json::is_object)
    {
        let mut named = Vec::new();
        show::flatten(&mut named, "", &Json::Object(row.clone()));
        let columns = ["name", "value"].map(str::to_owned).to_vec();
        return Grid { columns, rows: named.into_iter().map(Vec::from).collect() };
    }
    let mut columns: Vec<String> = Vec::new();
    for name in rows.iter().flat_map(Map::keys) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    let cell = |row: &Map<String, Json>, name: &String| match row.get(name) {
        None => String::new(),
        Some(json) => cell(name, json),
    };
    let rows = rows.iter().map(|row| columns.iter().map(|name| cell(row, name)).collect());
    let rows = rows.collect();
    Grid { columns, rows }
}

/// A member as text: times are readable, strings bare.
fn cell(name: &str, json: &Json) -> String {
    match (name, json) {
        ("valid_from" | "valid_to" | "tx_from" | "tx_to", Json::Null) => "inf".to_owned(),
        ("valid_from" | "valid_to", Json::Number(number)) => {
            number.as_i64().map_or_else(|| number.to_string(), |at| show::valid_time(ValidTime(at)))
        }
        ("tx" | "tx_from" | "tx_to" | "a_tx" | "b_tx", Json::Number(number)) => {
            number.as_i64().map_or_else(|| number.to_string(), |at| show::tx_time(TxTime(at)))
        }
        (_, Json::Null) => String::new(),
        (_, Json::String(text)) => text.clone(),
        (_, other) => show::escape_controls(&other.to_string()),
    }
}

fn csv(grid: &Grid, screen: Screen) -> String {
    let field = |text: &String| {
        // A file takes the text as it is; a terminal would obey some of it.
        let text = if screen.width.is_some() { printable(text) } else { text.clone() };
        let bare = text.trim() == text && !text.contains(['"', ',', '\n', '\r']);
        if bare { text } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    let record =
        |fields: &Vec<String>| fields.iter().map(field).collect::<Vec<_>>().join(",") + "\n";
    if grid.columns.is_empty() {
        return String::new();
    }
    std::iter::once(&grid.columns).chain(&grid.rows).map(record).collect()
}

fn markdown(grid: &Grid) -> String {
    let field = |text: &String| printable(text).replace('|', "\\|");
    let record = |fields: &Vec<String>| {
        format!("| {} |\n", fields.iter().map(field).collect::<Vec<_>>().join(" | "))
    };
    if grid.columns.is_empty() {
        return String::new();
    }
    let rule = "|---".repeat(grid.columns.len()) + "|\n";
    let rows = grid.rows.iter().map(record);
    [record(&grid.columns), rule].into_iter().chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::fields::KeyForm;
    use llmdb::{Fact, Row};
    use serde_json::json;

    const FILE: Screen = Screen { width: None };

    fn rows() -> Answer {
        let row = |key: &str, value: Json, to: i64| Row {
            key: key.into(),
            fact: Fact {
                value: value.into(),
                valid_from: ValidTime(0),
                valid_to: ValidTime(to),
                tx: TxTime(1_000_000),
            },
        };
        let all = vec![
            row("a", json!("x, \"y\"\nz|"), i64::MAX),
            row("b", json!({"n": 1.50, "m": "\u{9b}"}), 2_000_000),
        ];
        Answer::Rows(all, KeyForm::Text)
    }

    fn text(answer: Answer, mode: Mode) -> String {
        render(answer, mode, FILE).text
    }

    #[test]
    fn json_and_ndjson_have_the_rows_of_the_protocol() {
        let array: Json = serde_json::from_str(&text(rows(), Mode::Json)).unwrap();
        assert_eq!(array[0]["key"], "a");
        assert_eq!(array[0]["valid_to"], Json::Null);
        assert_eq!(array[1]["valid_to"], 2_000_000);
        let lines = text(rows(), Mode::Ndjson);
        let lines: Vec<Json> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(Json::Array(lines), array);
        assert_eq!(text(Answer::Rows(Vec::new(), KeyForm::Text), Mode::Json), "[]\n");
        assert_eq!(text(Answer::Fact(None), Mode::Ndjson), "");
    }

    #[test]
    fn csv_quotes_what_would_break_a_record() {
        let csv = text(rows(), Mode::Csv);
        let expected = "key,value,valid_from,valid_to,tx\n\
            a,\"x, \"\"y\"\"\nz|\",1970-01-01T00:00:00Z,inf,1970-01-01T00:00:01Z\n\
            b,\"{\"\"n\"\":1.5,\"\"m\"\":\"\"\\u009b\"\"}\",1970-01-01T00:00:00Z,\
            1970-01-01T00:00:02Z,1970-01-01T00:00:01Z\n";
        assert_eq!(csv, expected);
        // On a screen nothing is obeyed, not even the end of a line.
        let shown = render(rows(), Mode::Csv, Screen { width: Some(80) }).text;
        assert_eq!(shown.lines().count(), 3, "{shown}");
    }

    #[test]
    fn markdown_keeps_to_its_columns() {
        let table = text(rows(), Mode::Markdown);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "| key | value | valid_from | valid_to | tx |");
        assert_eq!(lines[1], "|---|---|---|---|---|");
        assert!(lines[2].starts_with("| a | x, \"y\"\\nz\\| | 1970"), "{table}");
        assert_eq!(lines.len(), 4, "{table}");
    }
}
