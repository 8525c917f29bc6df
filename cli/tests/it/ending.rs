//! How a batch ends: a signal or the end of input closes the database cleanly.

use crate::shell::{Exec, place};
use serde_json::json;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

fn signal(exec: &Exec, name: &str) {
    let pid = exec.child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// The exit code of a run that must end by itself; one that hangs is killed, and fails.
fn exit_code(child: &mut Child) -> Option<i32> {
    for _ in 0..600 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("the run did not end");
}

/// A clean close leaves one file.
fn assert_alone(db: &Path) {
    let names: Vec<_> = std::fs::read_dir(db.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-lock"))
        .collect();
    assert_eq!(names, ["test.llmdb"]);
}

#[test]
fn a_signal_ends_the_run_by_a_clean_close() {
    for name in ["TERM", "INT"] {
        let (_dir, db) = place();
        let mut exec = Exec::start(&db);
        exec.write(1, json!({"op": "put", "key": "k", "value": "kept"}));
        exec.ok(json!({"op": "begin"}));
        exec.ok(json!({"op": "put", "key": "k", "value": "open"}));
        signal(&exec, name);
        // Input is still open: it is the signal that ends the run.
        let (mut child, stdin, _stdout) = exec.into_parts();
        assert_eq!(exit_code(&mut child), Some(0), "SIG{name}");
        drop(stdin);
        assert_alone(&db);
        let mut exec = Exec::start(&db);
        assert_eq!(exec.ok(json!({"op": "get", "key": "k"}))["value"], "kept");
        assert_eq!(exec.end().code(), Some(0));
    }
}

#[test]
fn the_end_of_input_rolls_back_what_is_open() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": "kept"}));
    exec.ok(json!({"op": "begin", "txn": "a"}));
    exec.ok(json!({"op": "put", "key": "k", "value": "open", "txn": "a"}));
    assert_eq!(exec.end().code(), Some(0));
    assert_alone(&db);
    let mut exec = Exec::start(&db);
    assert_eq!(exec.ok(json!({"op": "get", "key": "k"}))["value"], "kept");
    exec.write(2, json!({"op": "put", "key": "k", "value": "next"}));
}

#[test]
fn whoever_stops_reading_ends_the_run_and_keeps_what_was_answered() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": "kept"}));
    let (mut child, mut stdin, stdout) = exec.into_parts();
    drop(stdout);
    let lines = "{\"op\":\"get\",\"key\":\"k\"}\n".repeat(10);
    // The run may have ended before the last of them.
    drop(std::io::Write::write_all(&mut stdin, lines.as_bytes()));
    assert_eq!(exit_code(&mut child), Some(22));
    assert_alone(&db);
}
