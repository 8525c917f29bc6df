//! Retention and named checkpoints, by requests and by commands.

use crate::shell::{Exec, out, place, run, text};
use serde_json::Value as Json;

#[test]
fn retention_answers_are_exactly_as_the_contract_says() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let mut transcript = |request: &str, answer: &str| {
        exec.send(format!("{request}\n").as_bytes());
        assert_eq!(exec.answer().to_string(), answer, "{request}");
    };
    for tx in 1..=9 {
        let request = format!(r#"{{"op":"put","key":"k","value":{tx},"valid_from":0}}"#);
        transcript(&request, &format!(r#"{{"ok":true,"tx":{tx}}}"#));
    }
    transcript(r#"{"op":"name_checkpoint","name":"three","tx":3}"#, r#"{"ok":true,"tx":3}"#);
    transcript(
        r#"{"op":"set_retention","all":2,"then":[{"last_of":6,"for":"1h"},{"last_of":"year"}]}"#,
        r#"{"ok":true,"tx":11}"#,
    );
    transcript(
        r#"{"op":"retention"}"#,
        concat!(
            r#"{"ok":true,"all":2,"then":[{"last_of":6,"for":3600000000},"#,
            r#"{"last_of":"year","for":null}],"kept":[{"tx_from":null,"tx_to":null}]}"#,
        ),
    );
    transcript(r#"{"op":"retire"}"#, r#"{"ok":true,"partitions":1,"removed":12,"steps":2}"#);
    transcript(
        r#"{"op":"retention"}"#,
        concat!(
            r#"{"ok":true,"all":2,"then":[{"last_of":6,"for":3600000000},"#,
            r#"{"last_of":"year","for":null}],"kept":[{"tx_from":null,"tx_to":1},"#,
            r#"{"tx_from":3,"tx_to":4},{"tx_from":5,"tx_to":6},{"tx_from":9,"tx_to":null}]}"#,
        ),
    );
    transcript(
        r#"{"op":"get","key":"k","tx":"@three"}"#,
        r#"{"ok":true,"found":true,"value":3,"valid_from":0,"valid_to":null,"tx":3}"#,
    );
    transcript(
        r#"{"op":"get","key":"k","tx":4}"#,
        concat!(
            r#"{"ok":false,"code":"history_retired","message":"partition 0 no longer knows what "#,
            r#"was believed at 1970-01-01T00:00:00.000004Z; the nearest that it knows are "#,
            r#"1970-01-01T00:00:00.000003Z and 1970-01-01T00:00:00.000005Z","#,
            r#""nearest":{"before":3,"after":5}}"#,
        ),
    );
    transcript(
        r#"{"op":"diff","prefix":"","a":{"tx":"@three"},"b":{}}"#,
        r#"{"ok":true,"rows":[{"key":"k","a":3,"b":9,"a_tx":3,"b_tx":9}]}"#,
    );
    transcript(r#"{"op":"checkpoints"}"#, r#"{"ok":true,"checkpoints":[{"name":"three","tx":3}]}"#);
    transcript(r#"{"op":"drop_checkpoint","name":"three"}"#, r#"{"ok":true,"tx":3}"#);
    transcript(
        r#"{"op":"timeline","key":"k","tx":"@three"}"#,
        r#"{"ok":false,"code":"unknown_checkpoint","message":"there is no checkpoint `three`"}"#,
    );
    exec.send(b"{\"op\":\"changes\",\"tx_from\":1}\n");
    let refused = exec.answer();
    assert_eq!(refused["code"], "history_retired");
    assert_eq!(refused["nearest"]["after"], 9);
    exec.send(b"{\"op\":\"verify\"}\n");
    assert_eq!(exec.answer()["ok"], true);
    for bad in [
        r#"{"op":"set_retention"}"#,
        r#"{"op":"set_retention","all":"soon"}"#,
        r#"{"op":"set_retention","all":null,"then":[{"last_of":"day"}]}"#,
        r#"{"op":"set_retention","all":1,"then":[{"last_of":"day","x":1}]}"#,
        r#"{"op":"set_retention","all":1,"then":[{"last_of":"age"}]}"#,
        r#"{"op":"name_checkpoint"}"#,
    ] {
        exec.send(format!("{bad}\n").as_bytes());
        assert_eq!(exec.answer()["code"], "bad_request", "{bad}");
    }
}

#[test]
fn checkpoints_and_retention_are_commands() {
    let (_dir, db) = place();
    let db = text(&db);
    for value in ["draft", "better", "best"] {
        out(&["put", db, "plan", value, "--valid-from", "2024-01-01"]);
        if value == "draft" {
            out(&["checkpoint", "name", db, "first"]);
        }
    }
    assert!(out(&["checkpoint", "list", db]).contains("first"));
    let set = ["retention", "set", db, "--all", "0", "--last-of", "week:52w"];
    out(&set);
    assert!(out(&["retention", "run", db]).contains("entries given up"));
    let shown = out(&["retention", "show", db]);
    assert!(shown.contains("then the last of each week, for 52w"), "{shown}");
    assert!(out(&["get", db, "plan", "--tx", "@first"]).contains("draft"));
    let history: Json = serde_json::from_str(&out(&["history", db, "plan", "--json"])).unwrap();
    assert!(!history.to_string().contains("better"), "{history}");
    assert_eq!(run(&["get", db, "plan", "--tx", "@nobody"]).status.code(), Some(12));
    assert_eq!(run(&["changes", db]).status.code(), Some(17), "not all of it is there");
    let exported = out(&["export", db, "--history"]);
    assert!(exported.contains("draft") && exported.contains("best"), "{exported}");
    assert!(out(&["export", db]).contains("best"));
    out(&["checkpoint", "drop", db, "first"]);
    out(&["retention", "run", db]);
    assert!(!out(&["export", db, "--history"]).contains("draft"));
    assert!(out(&["verify", db]).contains("clean"));
}
