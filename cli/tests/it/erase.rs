//! Erasing, by requests and by commands.

use crate::shell::{Exec, out, place, run, text};
use serde_json::Value as Json;

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
