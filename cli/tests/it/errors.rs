//! What is refused, by which code, and that the run goes on.

use crate::shell::{Exec, code, llmdb, place, run, text};
use serde_json::{Value as Json, json};
use std::fs;

#[test]
fn each_mistake_has_its_code() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let long = "x".repeat(5_000);
    let cases = [
        (json!({"op": "put", "key": "k"}), "bad_request"),
        (json!({"op": "put", "value": 1}), "bad_request"),
        (json!({"op": "put", "key": 1, "value": 1}), "bad_request"),
        (json!({"op": "put", "key": "k", "key_b64": "aw==", "value": 1}), "bad_request"),
        (json!({"op": "put", "key_b64": "?", "value": 1}), "bad_request"),
        (json!({"op": "put", "key": "k", "value": 1, "valid": 1}), "bad_request"),
        (json!({"op": "get", "key": "k", "valid": 1.5}), "bad_request"),
        (json!({"op": "get", "key": "k", "valid": true}), "bad_request"),
        (json!({"op": "get", "key": "k", "valid": "soon"}), "bad_time"),
        (json!({"op": "get", "key": "k", "tx": "1970-01-01T00:00:00.0000001Z"}), "time_too_fine"),
        (json!({"op": "get", "key": "k", "tx": "9223372036854775808"}), "time_out_of_range"),
        (json!({"op": "get", "key": "k", "tx": 9_223_372_036_854_775_808_u64}), "bad_request"),
        (json!({"op": "get", "key": "k", "partition": -1}), "bad_request"),
        (json!({"op": "get", "key": "k", "partition": 4_294_967_296_u64}), "bad_request"),
        (json!({"op": "get", "key": "k", "partition": null}), "bad_request"),
        (json!({"op": "get", "key": "k", "txn": 7}), "bad_request"),
        (json!({"op": "get", "key": "k", "note": 7}), "bad_request"),
        (json!({"op": "scan", "limit": -1}), "bad_request"),
        (json!({"op": "scan", "limit": "10"}), "bad_request"),
        (json!({"op": "changes"}), "bad_request"),
        (json!({"op": "changes", "tx_from": 0, "next": "1:0"}), "bad_request"),
        (json!({"op": "changes", "tx_from": 0, "limit": 0}), "bad_request"),
        (json!({"op": "changes", "next": "nowhere"}), "bad_cursor"),
        (json!({"op": "diff", "prefix": ""}), "bad_request"),
        (json!({"op": "diff", "a": {}, "b": 1}), "bad_request"),
        (json!({"op": "diff", "a": {}, "b": {"when": 1}}), "bad_request"),
        (json!({"op": "checkpoint", "txn": "a"}), "bad_request"),
        (json!({"op": "rollback", "note": 1}), "no_transaction"),
        (json!({"op": "fly"}), "bad_request"),
        (json!({"op": 7}), "bad_request"),
        (json!({}), "bad_request"),
        (json!({"op": "query", "lql": "SELECT 1"}), "unsupported"),
        (json!({"op": "commit"}), "no_transaction"),
        (json!({"op": "rollback"}), "no_transaction"),
        (json!({"op": "put", "key": "k", "value": 1, "txn": "none"}), "no_transaction"),
        (json!({"op": "put", "key": "", "value": 1}), "empty_key"),
        (json!({"op": "get", "key": ""}), "empty_key"),
        (json!({"op": "put", "key": long, "value": 1}), "key_too_long"),
        (json!({"op": "put", "key": "k", "value": 1, "valid_from": null}), "empty_interval"),
        (json!({"op": "put", "key": "k", "value": 1, "valid_to": -5}), "empty_interval"),
        (
            json!({"op": "put", "key": "k", "value": 1, "partition": 4_294_967_295_u32}),
            "reserved_partition",
        ),
        (json!({"op": "put", "key": "k", "value": 1, "partition": ""}), "empty_name"),
    ];
    for (request, expected) in cases {
        // `rollback` takes no note, and says so before it looks for a transaction.
        let expected = if request["note"] == 1 { "bad_request" } else { expected };
        assert_eq!(exec.code(request.clone()), expected, "{request}");
    }
    exec.ok(json!({"op": "begin", "txn": "t"}));
    assert_eq!(exec.code(json!({"op": "begin", "txn": "t"})), "transaction_open");
    exec.write(1, json!({"op": "put", "key": "k", "value": 1}));
    assert_eq!(exec.end().code(), Some(0), "failed lines are no failed run");
}

#[test]
fn an_error_says_which_request_it_belongs_to() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let answer = exec.ask(json!({"op": "fly", "id": {"n": 1}}));
    assert_eq!(answer["id"], json!({"n": 1}));
    let answer = exec.ask(json!({"op": "get", "key": "k", "kez": 1}));
    assert!(answer["message"].as_str().unwrap().contains("`kez`"), "{answer}");
}

#[test]
fn lines_that_are_no_json_are_answered() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    for line in [
        b"hello".as_slice(),
        b"[1]",
        b"\"put\"",
        b"{\"op\":\"get\",\"key\":\"k\"",
        b"{\"op\":\"get\",\"key\":\"k\"} {}",
        b"{\"op\":\"get\",\"key\":\"\xff\"}",
        b"{\"op\":\"get\",\"key\":\"\\ud800\"}",
        b"\xef\xbb\xbf{\"op\":\"get\",\"key\":\"k\"}",
        &[b'['; 100_000],
    ] {
        exec.send(&[line, b"\n"].concat());
        let answer = exec.answer();
        assert_eq!(code(&"line", &answer), "bad_request", "{answer}");
    }
    assert_eq!(exec.ok(json!({"op": "get", "key": "k"}))["found"], false);
}

#[test]
fn a_line_beyond_the_limit_is_refused_and_not_kept() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..80 {
        exec.send(&chunk);
    }
    exec.send(b"\n{\"op\":\"get\",\"key\":\"k\",\"id\":7}\n");
    assert_eq!(code(&"line", &exec.answer()), "line_too_long");
    assert_eq!(exec.answer()["id"], 7);
    #[cfg(target_os = "linux")]
    {
        let status = fs::read_to_string(format!("/proc/{}/status", exec.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let resident_kb: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(resident_kb < 80 << 10, "{resident_kb} kB are resident");
    }
}

#[test]
fn a_large_line_within_the_limit_is_taken() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let value = "v".repeat(8 << 20);
    exec.write(1, json!({"op": "put", "key": "k", "value": value, "valid_from": 0}));
    assert_eq!(exec.ok(json!({"op": "get", "key": "k"}))["value"], value);
}

/// The one answer of a run that could not open its database, and its exit code.
fn refused(db: &str) -> (Json, i32) {
    let output = llmdb().args(["exec", db]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(output.stderr.is_empty());
    (serde_json::from_str(&stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn a_database_that_does_not_open_is_one_error_and_the_exit_code_of_its_class() {
    let (dir, db) = place();
    let (answer, exit) = refused(text(&dir.path().join("no/such/dir.llmdb")));
    assert_eq!((code(&"open", &answer).as_str(), exit), ("not_found", 12));
    fs::write(&db, "This is a letter, and no database. ".repeat(1_000)).unwrap();
    let (answer, exit) = refused(text(&db));
    assert_eq!((code(&"open", &answer).as_str(), exit), ("not_a_database", 18));
    let (answer, exit) = refused(text(dir.path()));
    assert_eq!(exit, if answer["code"] == "not_a_database" { 18 } else { 22 }, "{answer}");
}

#[test]
fn a_second_process_is_told_who_has_the_database() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": 1}));
    let (answer, exit) = refused(text(&db));
    assert_eq!((code(&"open", &answer).as_str(), exit), ("busy", 14));
    let pid = exec.child.id().to_string();
    assert!(answer["message"].as_str().unwrap().contains(&pid), "{answer}");
    let output = run(&["get", text(&db), "k"]);
    assert_eq!(output.status.code(), Some(14));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&pid));
    assert_eq!(exec.end().code(), Some(0));
    assert_eq!(run(&["get", text(&db), "k"]).status.code(), Some(0));
}

#[test]
fn damage_is_found_and_named() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    for n in 0..500 {
        exec.ok(json!({"op": "put", "key": format!("k{n}"), "value": "v".repeat(50)}));
    }
    assert_eq!(exec.end().code(), Some(0));
    let mut bytes = fs::read(&db).unwrap();
    let page = bytes.windows(8).position(|window| window == b"vvvvvvvv").unwrap();
    bytes[page] ^= 1;
    fs::write(&db, bytes).unwrap();
    let mut exec = Exec::start(&db);
    let answer = exec.ask(json!({"op": "verify"}));
    assert_eq!(code(&"verify", &answer), "corrupt");
    assert!(!answer["problems"].as_array().unwrap().is_empty(), "{answer}");
    assert_eq!(exec.end().code(), Some(0));
    assert_eq!(run(&["verify", text(&db)]).status.code(), Some(18));
}

#[test]
fn a_bad_command_line_is_exit_code_2() {
    assert_eq!(run(&["exec"]).status.code(), Some(2));
    assert_eq!(run(&["exec", "x.llmdb", "--clock", "sundial"]).status.code(), Some(2));
    assert_eq!(run(&["get", "x.llmdb", "k", "--valid", "soon"]).status.code(), Some(2));
}
