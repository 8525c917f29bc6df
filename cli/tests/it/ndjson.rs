//! Facts out and in again as lines of JSON.

use crate::shell::{Exec, llmdb, out, place, run, text};
use llmdb::{Clock, Db, Options};
use serde_json::json;
use std::fs;
use std::path::Path;

fn open(db: &Path) -> Db {
    Options::new().clock(Clock::Logical).create(false).open(db).unwrap()
}

/// A database with every kind of write.
fn fill(db: &Path) {
    let mut exec = Exec::start(db);
    exec.ok(json!({"op": "put", "key": "a", "value": {"n": 1.10}, "valid_from": 10}));
    exec.ok(json!({"op": "put", "key": "a", "value": null, "valid_from": 20, "note": {"by": "m"}}));
    exec.ok(json!({"op": "begin"}));
    exec.ok(json!({"op": "put", "key_b64": "/wA=", "value": [1], "valid_from": 5, "valid_to": 9}));
    exec.ok(json!({"op": "put", "key": "b", "value": "x"}));
    exec.ok(json!({"op": "put", "key": "a", "value": "range", "valid_from": 12, "valid_to": 15}));
    exec.ok(json!({"op": "commit", "note": "three at once"}));
    exec.ok(json!({"op": "delete", "key": "a", "valid_from": 13, "valid_to": 14}));
    exec.ok(json!({"op": "put", "key": "a", "value": 9, "valid_from": 0, "partition": 7}));
    assert_eq!(exec.end().code(), Some(0));
}

#[test]
fn a_whole_history_comes_back_the_same() {
    let (dir, db) = place();
    fill(&db);
    let lines = dir.path().join("all.ndjson");
    fs::write(&lines, out(&["export", text(&db), "--history"])).unwrap();
    let copy = dir.path().join("copy.llmdb");
    out(&["import", "ndjson", text(&copy), text(&lines), "--clock", "logical"]);
    assert_eq!(open(&copy).digest().unwrap(), open(&db).digest().unwrap());
}

#[test]
fn what_is_believed_now_comes_back_the_same() {
    let (dir, db) = place();
    fill(&db);
    open(&db).put("raw", b"\x00\xff").unwrap();
    open(&db).put("packed", llmdb::Value::of(&(1, "x")).unwrap()).unwrap();
    let exported = out(&["export", text(&db)]);
    let lines = dir.path().join("now.ndjson");
    fs::write(&lines, &exported).unwrap();
    let copy = dir.path().join("copy.llmdb");
    out(&["import", "ndjson", text(&copy), text(&lines), "--batch", "2"]);
    assert_eq!(out(&["export", text(&copy)]), exported);
    let raw = open(&db).get("raw").unwrap().unwrap().value;
    assert_eq!(open(&copy).get("raw").unwrap().unwrap().value, raw);
}

#[test]
fn a_bad_line_is_named_and_its_batch_left_out() {
    let (dir, db) = place();
    let lines = dir.path().join("bad.ndjson");
    let good = |n: u32| format!("{{\"key\":\"k{n}\",\"value\":{n}}}\n");
    let text_of = good(1) + &good(2) + "\n" + &good(3) + "{\"key\":\"k4\"}\n" + &good(5);
    fs::write(&lines, text_of).unwrap();
    let output = run(&["import", "ndjson", text(&db), text(&lines), "--batch", "2"]);
    assert_eq!(output.status.code(), Some(10));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("line 5: the field `value` is missing"), "{stderr}");
    let keys: Vec<_> =
        open(&db).scan(llmdb::PartitionId(0), "").unwrap().map(|row| row.unwrap().key).collect();
    assert_eq!(keys, [b"k1", b"k2"]);
}

#[test]
fn an_import_goes_on_behind_what_it_recorded() {
    let (dir, db) = place();
    let lines = dir.path().join("some.ndjson");
    let line = |n: u32| format!("{{\"key\":\"k\",\"value\":{n},\"valid_from\":{n}}}\n");
    let good: String = (1..=10).map(line).collect();
    let import = |db: &Path| {
        run(&[
            "import",
            "ndjson",
            text(db),
            text(&lines),
            "--batch",
            "3",
            "--resume",
            "x",
            "--clock",
            "logical",
        ])
    };
    fs::write(&lines, (1..=7).map(line).collect::<String>() + "broken\n").unwrap();
    assert_eq!(import(&db).status.code(), Some(10));
    fs::write(&lines, &good).unwrap();
    let again = import(&db);
    assert!(again.status.success());
    assert_eq!(String::from_utf8(again.stdout).unwrap(), "4 lines imported\n");
    let whole = dir.path().join("whole.llmdb");
    assert!(import(&whole).status.success());
    assert_eq!(open(&db).digest().unwrap(), open(&whole).digest().unwrap());
    let nothing = import(&whole);
    assert_eq!(String::from_utf8(nothing.stdout).unwrap(), "0 lines imported\n");
}

#[test]
fn standard_input_is_a_file_too() {
    let (_dir, db) = place();
    let mut child = llmdb()
        .args(["import", "ndjson", text(&db), "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"{\"key\":\"k\",\"value\":1,\"partition\":\"p\"}")
        .unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(out(&["scan", text(&db), "-p", "p"]).contains('k'));
}
