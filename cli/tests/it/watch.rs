//! `llmdb watch`, `llmdb bench` and `llmdb completions`.

use crate::shell::{llmdb, out, place, run, text};
use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn changes_are_listed_as_they_are_committed() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "before", "1", "--clock", "logical"]);
    let mut command = llmdb();
    command.args(["watch", db, "--clock", "logical", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut cursor = String::new();
    for n in 2..5 {
        writeln!(input, "{{\"op\":\"put\",\"key\":\"k{n}\",\"value\":{n}}}").unwrap();
        input.flush().unwrap();
        // Input is still open: it is listed when it is committed, not at the end.
        let line: Json = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((line["tx"].as_i64(), line["value"].as_i64()), (Some(n), Some(n)));
        if n == 2 {
            cursor = line["cursor"].as_str().unwrap().to_owned();
        }
    }
    writeln!(input, "{{\"op\":\"put\"}}").unwrap();
    drop(input);
    assert!(lines.next().is_none());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad_request"));
    // A second process has to wait for the first, and goes on where that was.
    let list = |from: &str| out(&["watch", db, "--json", "--from", from]).lines().count();
    assert_eq!((list("oldest"), list(&cursor), list("newest")), (4, 2, 0));
    assert_eq!(out(&["watch", db, "k3", "--json", "--from", "oldest"]).lines().count(), 1);
    assert!(out(&["watch", db, "--from", "oldest"]).contains("put before"));
    assert_eq!(run(&["watch", db, "--from", "yesterday"]).status.code(), Some(10));
}

#[test]
fn a_database_that_is_watched_is_busy() {
    let (_dir, db) = place();
    let db = text(&db);
    let mut command = llmdb();
    command.args(["watch", db, "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{{\"op\":\"put\",\"key\":\"k\",\"value\":1}}").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(run(&["get", db, "k"]).status.code(), Some(14));
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(out(&["get", db, "k"]).starts_with('1'));
}

#[test]
fn a_bench_tells_its_settings_and_cleans_up() {
    let (dir, _) = place();
    let place = text(dir.path());
    let settings = ["--keys", "300", "--value-bytes", "64", "--dir", place];
    let text = out(&[&["bench"], settings.as_slice()].concat());
    assert!(text.contains("300 keys of 64 bytes") && text.contains("async commits"), "{text}");
    let json = out(&[&["bench", "--json"], settings.as_slice()].concat());
    let json: Json = serde_json::from_str(&json).unwrap();
    let names: Vec<_> = json["figures"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert_eq!(names.len(), 6, "{json}");
    for figure in json["figures"].as_array().unwrap() {
        assert!(figure["per_s"].as_f64().unwrap() > 0.0, "{figure}");
        assert!(figure["calls"].as_u64().unwrap() > 0, "{figure}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(run(&["bench", "--keys", "0"]).status.code(), Some(2));
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = out(&["completions", shell]);
        assert!(script.contains("llmdb") && script.contains("timeline"), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
}
