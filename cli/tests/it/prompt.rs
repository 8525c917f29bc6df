//! `llmdb shell` on a pipe: no prompt, no colour, errors with their lines, an exit code.

use crate::shell::{llmdb, out, place, text};
use serde_json::{Value as Json, json};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

/// Feeds lines to a shell.
fn shell(db: &Path, arguments: &[&str], lines: &str) -> Output {
    let mut command = llmdb();
    command.arg("shell").arg(db).args(["--clock", "logical"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A shell that has quit reads no more.
    drop(child.stdin.take().unwrap().write_all(lines.as_bytes()));
    child.wait_with_output().unwrap()
}

/// What a shell answers to lines that must succeed.
fn told(db: &Path, lines: &str) -> String {
    let output = shell(db, &[], lines);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && error.is_empty(), "{lines}\n{error}");
    String::from_utf8(output.stdout).unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_session_of_commands_is_answered_line_by_line() {
    let (_dir, db) = place();
    let told = told(
        &db,
        "put user:1 {\"plan\": \"free\"} from 10\n\
         put user:1 {\"plan\":\n  \"pro\"} from 20 note 'billing said so'\n\
         # a remark\n\
         get user:1 at 15\n\
         get user:1 at 5\n\
         scan user: at 25\n\
         .mode ndjson\n\
         history user:1\n",
    );
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[..2], ["tx 1970-01-01T00:00:00.000001Z", "tx 1970-01-01T00:00:00.000002Z"]);
    assert_eq!(lines[2..5], ["{", "  \"plan\": \"free\"", "}"]);
    assert!(told.contains("\nnothing\n"), "{told}");
    assert!(told.contains(" user:1   1970-01-01T00:00:00.00002Z .. inf   {\"plan\":\"pro\"}\n"));
    let last: Json = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last["note"], "billing said so");
    assert!(!told.contains('\u{1b}'), "{told}");
}

#[test]
fn the_same_input_gives_the_same_output() {
    let lines = "put a 1\nput b 2 to 9000\nscan\n.timeline a\n.beliefs b\nchanges limit 1\n\
                 .tables\n.help\n.show\nstats\n";
    let run = || {
        let (_dir, db) = place();
        told(&db, lines)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_timeline_is_drawn_with_its_absences() {
    let (_dir, db) = place();
    let told = told(
        &db,
        "put k free from 2024-01-01\nput k pro from 2024-06-01\nend k from 2024-09-01\n\
         put k team from 2025-01-01\n.width 72\n.timeline k\n.beliefs k\n",
    );
    let drawing: Vec<&str> = told.lines().skip(4).collect();
    assert!(drawing[0].starts_with("├ a free ──"), "{told}");
    assert!(drawing[0].contains("┼ b pro ──") && drawing[0].contains("┤···"), "{told}");
    assert!(drawing[0].ends_with('▶'), "{told}");
    assert!(drawing[1].starts_with("2024-01-01") && drawing[1].contains("2024-09-01"), "{told}");
    assert!(told.contains("4 │├ a free ──") && told.contains("1 │├ a free ──"), "{told}");
    for line in told.lines() {
        assert!(line.chars().count() <= 72, "{line}");
    }
}

#[test]
fn reads_stand_where_as_of_says() {
    let (_dir, db) = place();
    let told = told(
        &db,
        ".mode ndjson\nput k a from 10\nput k b from 20\nput k c from 10\n\
         .asof 15\nget k\n.asof 15 1\nget k\nget k at 25\nget k tx now\n.asof\nget k at 25\n",
    );
    let values: Vec<Json> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let values: Vec<&Json> = values.iter().filter_map(|row| row.get("value")).collect();
    assert_eq!(values, [&json!("c"), &json!("a"), &json!("a"), &json!("c"), &json!("b")]);
}

#[test]
fn a_transaction_is_all_or_nothing_and_takes_the_note() {
    let (_dir, db) = place();
    let told = told(
        &db,
        ".mode ndjson\nbegin\nput a 1\nput b 2\nnote 'both'\nget a\ncommit\n\
         begin snapshot\nput a 3\nrollback\nnote {\"who\":\"ada\"}\nput c 1\nput d 1\nchanges\n\
         begin\nput never 1\n",
    );
    let rows: Vec<Json> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let noted: Vec<_> = rows
        .iter()
        .filter(|row| row["op"] == "put")
        .map(|row| (row["key"].as_str().unwrap(), row["note"].clone()))
        .collect();
    let (both, ada) = (json!("both"), json!({"who": "ada"}));
    assert_eq!(noted, [("a", both.clone()), ("b", both), ("c", ada), ("d", Json::Null)]);
    assert_eq!(out(&["scan", text(&db), "never", "-o", "ndjson"]), "");
}

#[test]
fn a_savepoint_takes_back_a_part() {
    let (_dir, db) = place();
    let told = told(
        &db,
        "begin\nput a 1\nsavepoint here\nput b 2\nrollback to here\nput c 3\nrelease here\n\
         commit\n.mode csv\nscan\n",
    );
    let keys: Vec<&str> = told.lines().skip(2).map(|row| row.split_once(',').unwrap().0).collect();
    assert_eq!(keys, ["a", "c"]);
}

#[test]
fn a_lock_needs_a_transaction_and_keeps_writers_out() {
    let (_dir, db) = place();
    let told = told(
        &db,
        "put k 1\nbegin read committed\nlock k\nput k 2\ncommit\n.mode ndjson\nget k\n\
         begin read uncommitted\nrollback\n",
    );
    assert!(told.contains("\"value\":2"), "{told}");
    let alone = shell(&db, &[], "lock k\n");
    assert_eq!(alone.status.code(), Some(10));
    assert!(error(&alone).contains("no transaction is open"), "{}", error(&alone));
    let held = shell(
        &db,
        &[],
        "{\"op\":\"begin\",\"txn\":\"a\"}\n{\"op\":\"lock_for_update\",\"key\":\"k\",\"txn\":\"a\"}\nput k 3\n",
    );
    assert!(error(&held).contains("line 3: error: "), "{}", error(&held));
    assert_eq!(held.status.code(), Some(14), "{}", error(&held));
}

#[test]
fn a_feed_is_read_acknowledged_and_dropped_in_words() {
    let (_dir, db) = place();
    let rows = |lines: &str| -> Vec<Json> {
        let text = told(&db, &format!(".mode ndjson\n{lines}"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    rows("put user:1 a\nput user:2 b\nput other c\n");
    let first = rows("feed billing limit 2\n");
    let keys: Vec<&Json> = first.iter().map(|row| &row["key"]).collect();
    assert_eq!(keys, ["user:1", "user:2"]);
    let cursor = first[0]["cursor"].as_str().expect("each row says where it is").to_owned();
    rows(&format!("ack billing {cursor}\n"));
    let keys: Vec<Json> = rows("feed billing\n").iter().map(|row| row["key"].clone()).collect();
    assert_eq!(keys, ["user:2", "other"], "what is acknowledged does not come again");
    let keys: Vec<Json> =
        rows("feed mine prefix user:\n").iter().map(|r| r["key"].clone()).collect();
    assert_eq!(keys, ["user:1", "user:2"]);
    assert!(rows("feed late from newest\n").is_empty());
    let feeds = rows("feeds\n");
    let names: Vec<&str> = feeds.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["billing", "late", "mine"]);
    assert_eq!(feeds[0]["acknowledged"], json!(cursor));
    rows("drop feed billing\n");
    let gone = shell(&db, &[], "ack billing 1:0\n");
    assert_eq!(gone.status.code(), Some(12), "{}", error(&gone));
    assert!(told(&db, "feed mine limit 1\n").contains("acknowledge: "), "for people, too");
}

#[test]
fn checkpoints_retention_and_copies_are_said_in_words() {
    let (dir, db) = place();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let told_all = told(
        &db,
        &format!(
            ".mode ndjson\nput k 1\nput k 2\ncheckpoint\ncheckpoint before tx 1\ncheckpoint now\n\
             get k tx @before\ncheckpoints\ndrop checkpoint now\ncheckpoints\n\
             retention\nretain 1us then day\nretention\nretire\nbackup {}\nput k 3\n\
             backup {} base {}\nshrink\nstats deep\nretain inf\nretention\n",
            path("whole"),
            path("more"),
            path("whole"),
        ),
    );
    let rows: Vec<Json> = told_all.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let values: Vec<&Json> = rows.iter().filter_map(|row| row.get("value")).collect();
    assert_eq!(values, [&json!(1)], "known at the checkpoint");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["before", "now", "before"]);
    let policies: Vec<_> = rows.iter().filter(|row| row.get("kept").is_some()).collect();
    let all: Vec<&Json> = policies.iter().map(|row| &row["all"]).collect();
    assert_eq!(all, [&Json::Null, &json!(1), &Json::Null]);
    assert_eq!(policies[1]["then"][0]["last_of"], "day");
    assert!(rows.iter().any(|row| row.get("removed").is_some()), "{told_all}");
    assert!(rows.iter().any(|row| row["trees"][0]["name"].is_string()), "{told_all}");
    let restored = path("restored.llmdb");
    out(&["restore", &path("whole"), &path("more"), &restored]);
    assert_eq!(
        out(&["get", &restored, "k", "-o", "csv"]).lines().nth(1).unwrap().split(',').next(),
        Some("3")
    );
}

#[test]
fn partitions_and_strange_keys_are_typed_and_shown() {
    let (_dir, db) = place();
    let told = told(
        &db,
        "put 'a b' 1 in memory\nput b64:/wA= 2 in memory\n.partition memory\nput \"x\\u001b\" 3\n\
         .mode ndjson\nscan\nget 'a b'\n.partition\nscan\n.tables\nchanges in memory limit 1\n",
    );
    let rows: Vec<Json> = told.lines().skip(3).map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows[0]["key"], "a b");
    assert_eq!(rows[1]["key"], "x\u{1b}");
    assert_eq!(rows[2]["key_b64"], "/wA=");
    assert_eq!(rows[3]["value"], 1);
    assert_eq!(rows[4]["keys"], 0);
    assert_eq!((&rows[5]["partition"], &rows[5]["keys"]), (&json!("memory"), &json!(3)));
    assert_eq!(rows[6]["key"], "a b");
    assert!(!told.contains('\u{1b}'));
}

#[test]
fn errors_name_their_line_and_the_rest_is_run() {
    let (_dir, db) = place();
    let output = shell(&db, &[], "put a 1\n\ngte a\nput\nget a\nput b {\n\"x\": 1,,\n}\n");
    assert_eq!(output.status.code(), Some(10));
    let error = error(&output);
    assert!(
        error.contains("line 3: error: there is no command `gte`\n  gte a\n  ^^^\n"),
        "{error}"
    );
    assert!(error.contains("did you mean `get`?"), "{error}");
    assert!(error.contains("line 4: error: `put` needs a KEY"), "{error}");
    assert!(error.contains("line 6: error: this is no JSON"), "{error}");
    assert!(error.contains("  \"x\": 1,,\n         ^\n"), "{error}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("known  since"));
}

#[test]
fn the_first_failure_is_the_exit_code() {
    let (_dir, db) = place();
    assert_eq!(shell(&db, &[], "scan in nowhere\ngte\n").status.code(), Some(12));
    assert_eq!(shell(&db, &[], "{\"op\":\"commit\"}\n").status.code(), Some(10));
    assert_eq!(shell(&db, &[], "{\"op\":\"scan\",\"partition\":\"x\"}\n").status.code(), Some(12));
    assert_eq!(shell(&db, &[], "put 'open\n").status.code(), Some(10));
    assert_eq!(shell(&db, &[], "put k \\\n").status.code(), Some(10));
    assert_eq!(shell(&db, &[], "get nothing\n").status.code(), Some(0));
    let bailed = shell(&db, &["--bail"], "gte\nput never 1\n");
    assert_eq!(bailed.status.code(), Some(10));
    assert_eq!(shell(&db, &[], ".bail on\ngte\nput never 1\n").status.code(), Some(10));
    assert_eq!(told(&db, ".mode csv\nscan never\n"), "");
    assert_eq!(told(&db, "put a 1\n.quit\ngte\n").lines().count(), 1);
}

#[test]
fn lines_of_the_protocol_are_answered_as_there() {
    let (_dir, db) = place();
    let told = told(
        &db,
        "{\"op\":\"put\",\"key\":\"k\",\n \"value\":1,\"valid_from\":5,\"id\":7}\n\
         {\"op\":\"begin\",\"txn\":\"t\"}\n{\"op\":\"rollback\",\"txn\":\"t\"}\n",
    );
    assert_eq!(told, "{\"ok\":true,\"id\":7,\"tx\":1}\n{\"ok\":true}\n{\"ok\":true}\n");
}

#[test]
fn files_are_read_and_written() {
    let (dir, db) = place();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("in.txt"), "put a 1\nput b 2\n").unwrap();
    std::fs::write(path("bad.txt"), "put c 3\nfrobnicate\nput d 4\n").unwrap();
    std::fs::write(path("loop.txt"), format!(".read {}\n", path("loop.txt").display())).unwrap();
    let read = |name: &str| format!(".read {}\n", path(name).display());
    let to = format!(".output {}\n", path("out.csv").display());
    let lines = format!("{}.mode csv\n{to}scan\n.output\nget a\n", read("in.txt"));
    let told_here = told(&db, &lines);
    assert!(told_here.ends_with("1,1970-01-01T00:00:00.000001Z,inf,1970-01-01T00:00:00.000001Z\n"));
    let written = std::fs::read_to_string(path("out.csv")).unwrap();
    assert_eq!(written.lines().count(), 3, "{written}");
    let again = shell(&db, &[], &to);
    assert_eq!(again.status.code(), Some(22), "what is there is not written over");
    assert_eq!(std::fs::read_to_string(path("out.csv")).unwrap(), written);
    let bad = shell(&db, &[], &read("bad.txt"));
    assert_eq!(bad.status.code(), Some(10));
    assert!(error(&bad).starts_with("line 2: error: there is no command"), "{}", error(&bad));
    assert!(told(&db, "get d\n").starts_with('4'));
    let endless = shell(&db, &[], &read("loop.txt"));
    assert_eq!(endless.status.code(), Some(22));
    assert!(error(&endless).contains("without end"), "{}", error(&endless));
    assert_eq!(shell(&db, &[], ".read /nowhere/at/all\n").status.code(), Some(22));
}

#[test]
fn commands_come_from_the_command_line_too() {
    let (_dir, db) = place();
    let db = text(&db);
    let told = out(&["shell", db, "-c", "put k 1", "-c", ".mode markdown", "-c", "get k"]);
    assert!(told.contains("| value | valid_from | valid_to | tx |"), "{told}");
    let failed = crate::shell::run(&["shell", db, "-c", "get", "-c", "get k", "--mode", "csv"]);
    assert_eq!(failed.status.code(), Some(10));
    assert!(String::from_utf8_lossy(&failed.stdout).starts_with("value,"));
}

#[test]
fn help_is_there_for_everything_it_names() {
    let (_dir, db) = place();
    let overview = told(&db, ".help\n");
    let names: Vec<&str> = overview
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 30, "{overview}");
    for name in names {
        assert!(told(&db, &format!(".help {name}\n")).starts_with(name), "{name}");
    }
    let output = shell(&db, &[], ".help tmies\n");
    assert!(error(&output).contains("did you mean `times`?"), "{}", error(&output));
}

#[test]
fn what_is_no_text_is_refused_and_the_rest_is_run() {
    let (_dir, db) = place();
    let mut command = llmdb();
    command.arg("shell").arg(&db).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"put \xff 1\nput a 1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(10));
    assert!(error(&output).starts_with("line 1: error: the line is not UTF-8"), "{output:?}");
    assert!(!output.stdout.is_empty());
}
