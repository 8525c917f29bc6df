//! Requests as commands.

use crate::shell::{out, place, run, text};
use serde_json::{Value as Json, json};

fn json_of(arguments: &[&str]) -> Json {
    serde_json::from_str(&out(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn a_fact_is_put_corrected_and_asked_for() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "city", "Paris", "--valid-from", "2024-01-01"]);
    let note = r#"{"why":"moved"}"#;
    let put = json_of(&["put", db, "city", r#"{"n":1}"#, "--valid", "2024-06-01", "--note", note]);
    assert_eq!(put["ok"], true);
    let may = json_of(&["get", db, "city", "--valid", "2024-05-01"]);
    assert_eq!(may["value"], "Paris");
    assert_eq!(may["valid_from"], 1_704_067_200_000_000_i64);
    let known = (put["tx"].as_i64().unwrap() - 1).to_string();
    let then = json_of(&["get", db, "city", "--valid", "2024-07-01", "--tx", &known]);
    assert_eq!(then["value"], "Paris");
    let shown = out(&["timeline", db, "city"]);
    assert!(shown.contains("2024-06-01T00:00:00Z   inf"), "{shown}");
    let shown = out(&["history", db, "city"]);
    assert!(shown.contains("# why: moved"), "{shown}");
    let diff = json_of(&["diff", db, "ci", "--a-tx", &known]);
    let row = &diff["rows"][0];
    assert_eq!((&row["a"], &row["b"]), (&json!("Paris"), &json!({"n": 1})));
    let changes = json_of(&["changes", db, "-n", "1"]);
    assert_eq!(changes["changes"][0]["value"], "Paris");
    let next = changes["next"].as_str().unwrap();
    assert_eq!(json_of(&["changes", db, "--next", next])["next"], Json::Null);
    assert_eq!(json_of(&["scan", db, "c"])["rows"][0]["key"], "city");
    assert_eq!(json_of(&["verify", db])["problems"], json!([]));
    assert!(json_of(&["stats", db])["stats"]["file_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_fact_lasts_for_as_long_as_it_is_told() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "lock", "ada", "--for", "1h30m"]);
    let held = json_of(&["get", db, "lock"]);
    let (from, to) = (held["valid_from"].as_i64().unwrap(), held["valid_to"].as_i64().unwrap());
    assert_eq!(to - from, 90 * 60 * 1_000_000);
    assert_eq!(run(&["get", db, "lock", "--valid", &to.to_string()]).status.code(), Some(1));
    assert_eq!(run(&["put", db, "lock", "ada", "--for", "soon"]).status.code(), Some(2));
    assert_eq!(run(&["put", db, "lock", "ada", "--for", "0"]).status.code(), Some(10));
    assert_eq!(
        run(&["put", db, "k", "v", "--for", "1s", "--valid-to", "9"]).status.code(),
        Some(2)
    );
}

#[test]
fn answers_come_in_every_form() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "a|b", "x,y", "--valid-from", "2024-01-01"]);
    out(&["put", db, "c", r#"{"n":1}"#, "--valid-from", "0", "--valid-to", "2000000"]);
    let scan = |mode: &str| out(&["scan", db, "--valid", "1970-01-01", "-o", mode]);
    let row: Json = serde_json::from_str(&scan("ndjson")).unwrap();
    assert_eq!((&row["key"], &row["value"]), (&json!("c"), &json!({"n": 1})));
    assert_eq!(serde_json::from_str::<Json>(&scan("json")).unwrap(), json!([row]));
    assert!(scan("csv").starts_with("key,value,valid_from,valid_to,tx\nc,\"{\"\"n\"\":1}\","));
    assert!(scan("markdown").contains("| c | {\"n\":1} | 1970-01-01T00:00:00Z |"));
    assert!(scan("table").contains("1970-01-01T00:00:02Z"));
    assert!(out(&["stats", db, "-o", "csv"]).starts_with("file_bytes,page_bytes,"));
    let first = run(&["changes", db, "-n", "1", "-o", "ndjson"]);
    assert!(String::from_utf8_lossy(&first.stderr).starts_with("more: --next "), "{first:?}");
    assert_eq!(run(&["scan", db, "--json", "-o", "csv"]).status.code(), Some(2));
}

#[test]
fn absences_are_commands_too() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "k", "1", "--valid-from", "0"]);
    out(&["end", db, "k", "--valid-from", "10"]);
    assert_eq!(run(&["get", db, "k"]).status.code(), Some(1));
    assert_eq!(json_of(&["get", db, "k", "--valid", "9"])["value"], 1);
    out(&["delete", db, "k", "--valid-from", "2", "--valid-to", "4"]);
    let timeline = json_of(&["timeline", db, "k"]);
    let spans: Vec<_> = timeline["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["valid_from"].as_i64().unwrap(), s["valid_to"].as_i64().unwrap()))
        .collect();
    assert_eq!(spans, [(0, 2), (4, 10)]);
}

#[test]
fn keys_and_partitions_are_named_on_the_command_line() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "/wA=", "1", "--b64", "--partition", "memory", "--valid-from", "-7"]);
    let scan = json_of(&["scan", db, "-p", "memory"]);
    assert_eq!(scan["rows"][0]["key_b64"], "/wA=");
    assert_eq!(scan["rows"][0]["valid_from"], -7);
    assert_eq!(run(&["scan", db, "-p", "nowhere"]).status.code(), Some(12));
    assert_eq!(json_of(&["scan", db])["rows"], json!([]));
}

#[test]
fn reading_makes_no_database() {
    let (_dir, db) = place();
    for command in ["scan", "stats", "verify", "changes", "export"] {
        let output = run(&[command, text(&db)]);
        assert_eq!(output.status.code(), Some(12), "{command}");
        assert!(output.stdout.is_empty(), "{command}");
    }
    assert!(!db.exists());
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_failure() {
    let (_dir, db) = place();
    let (llmdb, db) = (env!("CARGO_BIN_EXE_llmdb"), text(&db));
    let script = format!(
        "head -c 1000000 /dev/zero | tr '\\0' v | {llmdb} put {db} k - && {llmdb} scan {db} | head -c 1"
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn nothing_that_a_terminal_obeys_is_shown() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "\u{1b}[2Jkey", "\u{1b}[31m\u{9b}1m", "--note", "\u{1b}]0;x\u{7}"]);
    for command in ["scan", "changes", "diff"] {
        let mut arguments = vec![command, db];
        if command == "diff" {
            arguments.extend(["--a-tx", "0"]);
        }
        let shown = out(&arguments);
        assert!(shown.contains("[2Jkey"), "{shown}");
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }
}

#[test]
fn a_file_becomes_a_value_and_a_value_a_file() {
    let (dir, db) = place();
    let db = text(&db);
    let bytes: Vec<u8> = (0..1_500_000u32).map(|i| (i.wrapping_mul(77_777) >> 16) as u8).collect();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    std::fs::write(&from, &bytes).unwrap();
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let put = json_of(&["put", db, "talk", "--file", from, "--valid-from", "2024-01-01"]);
    assert!(put["tx"].is_i64());
    out(&["put", db, "talk", "short", "--valid-from", "2024-06-01"]);
    assert_eq!(out(&["get", db, "talk", "--valid", "2024-02-01", "--out", to]), "");
    assert_eq!(std::fs::read(to).unwrap(), bytes);
    let printed = run(&["get", db, "talk", "--valid", "2024-02-01", "--out", "-"]);
    assert_eq!((printed.status.code(), printed.stdout == bytes), (Some(0), true));
    assert_eq!(run(&["get", db, "nothing", "--out", to]).status.code(), Some(1));
    assert_eq!(std::fs::read(to).unwrap(), bytes, "it is still there");
    // JSON as it is stored.
    out(&["get", db, "talk", "--out", to]);
    assert_eq!(std::fs::read_to_string(to).unwrap(), "\"short\"");
    assert_ne!(run(&["put", db, "talk", "--file", "/nowhere/at/all"]).status.code(), Some(0));
    assert_eq!(run(&["put", db, "talk", "v", "--file", from]).status.code(), Some(2));
    assert_eq!(run(&["put", db, "talk"]).status.code(), Some(2));
    out(&["verify", db]);
}
