//! Erasing, by requests and by commands.

use crate::shell::{Exec, llmdb, out, place, run, text};
use serde_json::Value as Json;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

#[test]
fn erasing_answers_as_the_contract_says() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let mut ask = |request: &str| -> Json {
        exec.send(format!("{request}\n").as_bytes());
        exec.answer()
    };
    ask(r#"{"op":"put","key":"user:7","value":"Ada"}"#);
    ask(r#"{"op":"put","key":"user:8","value":"Bob"}"#);
    let erased = ask(r#"{"op":"erase","key":"user:7"}"#);
    assert_eq!((&erased["ok"], &erased["tx"]), (&true.into(), &3.into()), "{erased}");
    assert_eq!(erased["state"], "pending");
    assert_eq!(erased["held_by"], serde_json::json!(["files"]));
    let ticket = erased["ticket"].as_str().unwrap();
    assert_eq!(ask(r#"{"op":"get","key":"user:7"}"#)["found"], false);
    assert_eq!(ask(r#"{"op":"history","key":"user:7"}"#)["rectangles"], serde_json::json!([]));
    let ask_for = format!(r#"{{"op":"erasure","ticket":"{ticket}"}}"#);
    assert_eq!(ask(&ask_for)["state"], "pending");
    assert_eq!(ask(r#"{"op":"finish_erasures"}"#).to_string(), r#"{"ok":true,"state":"complete"}"#);
    assert_eq!(ask(&ask_for).to_string(), r#"{"ok":true,"state":"complete"}"#);
    let all = ask(r#"{"op":"erasures"}"#);
    let expected = format!(r#"[{{"tx":3,"ticket":"{ticket}","count":1,"state":"complete"}}]"#);
    assert_eq!(all["erasures"].to_string(), expected);
    assert_eq!(ask(r#"{"op":"erase","key":"user:8","finish":true}"#)["state"], "complete");
    assert_eq!(ask(r#"{"op":"erase","key":"user:8","finish":1}"#)["code"], "bad_request");
    assert_eq!(ask(r#"{"op":"erasure","ticket":"x"}"#)["code"], "bad_request");
    let unknown = format!(r#"{{"op":"erasure","ticket":"1:{}"}}"#, "0".repeat(32));
    assert_eq!(ask(&unknown)["code"], "unknown_erasure");
    assert_eq!(ask(r#"{"op":"verify"}"#)["ok"], true);
}

#[test]
fn erasing_is_a_command() {
    let (_dir, db) = place();
    let db = text(&db);
    out(&["put", db, "user:7", "QxjMARKERvwz"]);
    let later = out(&["erase", db, "user:7", "--later"]);
    assert!(later.contains("pending: still held by files"), "{later}");
    assert!(out(&["erasures", db]).contains("pending"));
    assert!(out(&["erasures", db, "--finish"]).contains("complete"));
    let bytes = std::fs::read(db).unwrap();
    assert!(!bytes.windows(12).any(|window| window == b"QxjMARKERvwz"));
    assert!(out(&["erase", db, "user:7"]).contains("complete"));
    assert_eq!(run(&["get", db, "user:7"]).status.code(), Some(1));
}

/// Runs a command that finds `history` where shells keep their lines.
fn with_history(history: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = llmdb();
    command.args(arguments).env("LLMDB_HISTORY", history);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

const LINES: &str =
    "put user:7 QxjMARKERvwz\nget a\nget 'user:7' at 5\nput x \"see \\u0075ser:7\"\nscan user:\n";
const KEPT: &str = "get a\nscan user:\n";

#[test]
fn erasing_takes_the_key_out_of_the_history_of_the_shell() {
    let erase_command = |db: &str| (vec!["erase".into(), db.into(), "user:7".into()], "");
    let erase_line = |db: &str| (vec!["shell".to_owned(), db.to_owned()], "erase user:7\n");
    let erase_later =
        |db: &str| (vec!["shell".to_owned(), db.to_owned()], "erase user:7 finish off\nput z 1\n");
    let erase_request = |db: &str| {
        let line = "{\"op\":\"erase\",\"key\":\"user:7\"}\n";
        (vec!["shell".to_owned(), db.to_owned()], line)
    };
    let erase_argument = |db: &str| {
        let arguments = ["shell", db, "-c", "erase user:7", "-c", "get a"];
        (arguments.map(str::to_owned).to_vec(), "")
    };
    type Way<'a> = &'a dyn Fn(&str) -> (Vec<String>, &'static str);
    let ways: [Way<'_>; 5] =
        [&erase_command, &erase_line, &erase_later, &erase_request, &erase_argument];
    for (number, way) in ways.iter().enumerate() {
        let (dir, db) = place();
        let history = dir.path().join("history");
        std::fs::write(&history, LINES).unwrap();
        out(&["put", text(&db), "user:7", "QxjMARKERvwz"]);
        let (arguments, input) = way(text(&db));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = with_history(&history, &arguments, input);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(told, "3 lines of the shell's history are removed\n", "{number}");
        let bytes = std::fs::read(&history).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), KEPT, "{number}");
        for gone in [&b"QxjMARKERvwz"[..], b"user:7", b"ser:7"] {
            assert!(!bytes.windows(gone.len()).any(|window| window == gone), "{number}");
        }
    }
}

#[test]
fn what_erases_nothing_leaves_the_history_alone() {
    let (dir, db) = place();
    let history = dir.path().join("history");
    std::fs::write(&history, LINES).unwrap();
    let db = text(&db);
    out(&["put", db, "user:7", "1"]);
    let output = with_history(&history, &["shell", db], "get user:7\ndelete user:7\nerasures\n");
    assert!(output.stderr.is_empty(), "{output:?}");
    let mut exec = with_history(&history, &["exec", db], "{\"op\":\"erase\",\"key\":\"user:7\"}\n");
    assert!(String::from_utf8_lossy(&exec.stdout).contains("ticket"), "{exec:?}");
    exec.stdout.clear();
    assert_eq!(std::fs::read_to_string(&history).unwrap(), LINES, "programs are not the shell");
}

#[cfg(unix)]
#[test]
fn a_history_that_cannot_be_filtered_is_named() {
    let (dir, db) = place();
    let history = dir.path().join("history");
    std::fs::write(&history, LINES).unwrap();
    let mut permissions = history.metadata().unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&history, permissions).unwrap();
    if std::fs::File::options().write(true).open(&history).is_ok() {
        // Whoever may write everything is not kept from this either.
        return;
    }
    out(&["put", text(&db), "user:7", "1"]);
    let output = with_history(&history, &["erase", text(&db), "user:7"], "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("may still hold what was erased") && told.contains(text(&history)),
        "{told}"
    );
}
