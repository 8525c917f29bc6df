//! Transcripts of the batch protocol.

use crate::shell::{Exec, place};
use serde_json::json;

#[test]
fn answers_are_exactly_as_the_contract_says() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let mut transcript = |request: &str, answer: &str| {
        exec.send(format!("{request}\n").as_bytes());
        let got = exec.answer().to_string();
        assert_eq!(got, answer, "{request}");
    };
    transcript(
        r#"{"op":"put","key":"user:1","value":{"n":1},"valid_from":10,"id":[1,"a"]}"#,
        r#"{"ok":true,"id":[1,"a"],"tx":1}"#,
    );
    transcript(
        r#"{"op":"put","key":"user:1","value":"x","valid_from":20,"valid_to":30,"note":{"by":"m"}}"#,
        r#"{"ok":true,"tx":2}"#,
    );
    transcript(
        r#"{"op":"get","key":"user:1","valid":15}"#,
        r#"{"ok":true,"found":true,"value":{"n":1},"valid_from":10,"valid_to":20,"tx":1}"#,
    );
    transcript(
        r#"{"op":"get","key":"user:2","id":null}"#,
        r#"{"ok":true,"id":null,"found":false}"#,
    );
    transcript(
        r#"{"op":"timeline","key":"user:1","tx":1}"#,
        r#"{"ok":true,"segments":[{"valid_from":10,"valid_to":null,"tx":1,"value":{"n":1}}]}"#,
    );
    transcript(
        r#"{"op":"history","key":"user:1"}"#,
        concat!(
            r#"{"ok":true,"rectangles":["#,
            r#"{"valid_from":10,"valid_to":null,"tx_from":1,"tx_to":2,"tx":1,"value":{"n":1}},"#,
            r#"{"valid_from":10,"valid_to":20,"tx_from":2,"tx_to":null,"tx":1,"value":{"n":1}},"#,
            r#"{"valid_from":20,"valid_to":30,"tx_from":2,"tx_to":null,"tx":2,"value":"x","#,
            r#""note":{"by":"m"}},"#,
            r#"{"valid_from":30,"valid_to":null,"tx_from":2,"tx_to":null,"tx":1,"value":{"n":1}}]}"#,
        ),
    );
    transcript(
        r#"{"op":"scan","prefix":"user:","valid":25}"#,
        concat!(
            r#"{"ok":true,"rows":["#,
            r#"{"key":"user:1","value":"x","valid_from":20,"valid_to":30,"tx":2}]}"#,
        ),
    );
    transcript(
        r#"{"op":"diff","prefix":"","a":{"valid":25,"tx":1},"b":{"valid":25}}"#,
        r#"{"ok":true,"rows":[{"key":"user:1","a":{"n":1},"b":"x","a_tx":1,"b_tx":2}]}"#,
    );
    transcript(
        r#"{"op":"changes","tx_from":1,"limit":1}"#,
        concat!(
            r#"{"ok":true,"changes":[{"key":"user:1","op":"put","value":{"n":1},"#,
            r#""valid_from":10,"valid_to":null,"tx":1}],"next":"1:0"}"#,
        ),
    );
    transcript(r#"{"op":"checkpoint"}"#, r#"{"ok":true}"#);
    transcript(r#"{"op":"compact"}"#, r#"{"ok":true}"#);
    transcript(r#"{"op":"end","key":"user:1","valid_from":40}"#, r#"{"ok":true,"tx":3}"#);
    transcript(
        r#"{"op":"changes","next":"1:0"}"#,
        concat!(
            r#"{"ok":true,"changes":[{"key":"user:1","op":"put","value":"x","#,
            r#""valid_from":20,"valid_to":30,"tx":2,"note":{"by":"m"}},"#,
            r#"{"key":"user:1","op":"end","value":null,"valid_from":40,"valid_to":null,"tx":3}],"#,
            r#""next":null}"#,
        ),
    );
}

#[test]
fn where_a_write_begins_and_ends_is_said_by_its_fields() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let cases = [
        (json!({}), 1, json!(null)),
        (json!({"valid_from": 1000}), 1000, json!(null)),
        (json!({"valid_from": 1000, "valid_to": null}), 1000, json!(null)),
        (json!({"valid_from": 1000, "valid_to": 2000}), 1000, json!(2000)),
        (json!({"valid_to": 2000}), 5, json!(2000)),
        (json!({"valid_to": null}), 6, json!(null)),
    ];
    for (n, (times, from, to)) in cases.into_iter().enumerate() {
        let (tx, key) = (n as i64 + 1, format!("k{n}"));
        let mut put = json!({"op": "put", "key": key, "value": n});
        put.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        exec.write(tx, put);
        let timeline = exec.ok(json!({"op": "timeline", "key": key}));
        let segment = &timeline["segments"][0];
        assert_eq!((&segment["valid_from"], &segment["valid_to"]), (&json!(from), &to), "{times}");
    }
    // A boundary to come ends an open write and not an exact one.
    for (n, (times, to)) in [
        (json!({"valid_from": 100}), json!(500)),
        (json!({"valid_from": 100, "valid_to": null}), json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("b{n}");
        exec.ok(json!({"op": "put", "key": key, "value": "later", "valid_from": 500}));
        let mut put = json!({"op": "put", "key": key, "value": "now"});
        put.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        exec.ok(put);
        let timeline = exec.ok(json!({"op": "timeline", "key": key}));
        assert_eq!(timeline["segments"][0]["valid_to"], to, "{times}");
    }
}

#[test]
fn a_fact_with_a_ttl_ends_by_itself() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": "base"}));
    exec.write(2, json!({"op": "put", "key": "k", "value": "brief", "ttl": 3}));
    let timeline = exec.ok(json!({"op": "timeline", "key": "k"}));
    let spans: Vec<_> = timeline["segments"].as_array().unwrap().iter().collect();
    let span = |s: &serde_json::Value| json!([s["value"], s["valid_from"], s["valid_to"]]);
    let spans: Vec<_> = spans.into_iter().map(span).collect();
    assert_eq!(json!(spans), json!([["base", 1, 2], ["brief", 2, 5], ["base", 5, null]]));
    for (ttl, code) in [
        (json!(0), "bad_ttl"),
        (json!(-1), "bad_ttl"),
        (json!(i64::MAX), "time_out_of_range"),
        (json!(1.5), "bad_request"),
        (json!("90m"), "bad_request"),
    ] {
        let put = json!({"op": "put", "key": "k", "value": 1, "ttl": ttl});
        assert_eq!(exec.code(put), code, "{ttl}");
    }
    for field in ["valid_from", "valid_to"] {
        let mut put = json!({"op": "put", "key": "k", "value": 1, "ttl": 5});
        put[field] = json!(100);
        assert_eq!(exec.code(put), "bad_request", "{field}");
    }
    assert_eq!(exec.code(json!({"op": "end", "key": "k", "ttl": 5})), "bad_request");
}

#[test]
fn absences_begin_and_end_as_they_say() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let cases = [
        (json!({"op": "end"}), json!([[0, 3], [100, 200], [200, null]])),
        (json!({"op": "end", "valid_from": 50}), json!([[0, 50], [100, 200], [200, null]])),
        (json!({"op": "delete"}), json!([[0, 3]])),
        (json!({"op": "delete", "valid_from": 150}), json!([[0, 100], [100, 150]])),
        (json!({"op": "delete", "valid_to": 150}), json!([[0, 3], [150, 200], [200, null]])),
        (
            json!({"op": "delete", "valid_from": 50, "valid_to": 150}),
            json!([[0, 50], [150, 200], [200, null]]),
        ),
    ];
    for (n, (mut absence, expected)) in cases.into_iter().enumerate() {
        let (_dir, db) = place();
        let mut exec = Exec::start(&db);
        exec.write(1, json!({"op": "put", "key": "k", "value": 1, "valid_from": 0}));
        exec.ok(json!({"op": "begin"}));
        for from in [100, 200] {
            exec.ok(json!({"op": "put", "key": "k", "value": from, "valid_from": from}));
        }
        exec.ok(json!({"op": "commit"}));
        absence["key"] = "k".into();
        exec.write(3, absence.clone());
        let timeline = exec.ok(json!({"op": "timeline", "key": "k"}));
        let spans: Vec<_> = timeline["segments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| json!([s["valid_from"], s["valid_to"]]))
            .collect();
        assert_eq!(json!(spans), expected, "case {n}: {absence}");
    }
    assert_eq!(exec.code(json!({"op": "end", "key": "k", "valid_to": 5})), "bad_request");
}

#[test]
fn numbers_come_back_digit_by_digit() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    for number in [
        "9007199254740993",
        "-9223372036854775808",
        "18446744073709551615",
        "123456789012345678901234567890",
        "0.1",
        "1.10",
        "2.2250738585072011e-308",
        "1e+400",
        "-0.0",
    ] {
        let value = format!(r#"{{"z":{number},"a":[{number}]}}"#);
        exec.send(format!("{{\"op\":\"put\",\"key\":\"n\",\"value\":{value}}}\n").as_bytes());
        assert_eq!(exec.answer()["ok"], true);
        exec.send(b"{\"op\":\"get\",\"key\":\"n\"}\n");
        let answer = exec.answer().to_string();
        assert!(answer.contains(&format!("\"value\":{value}")), "{answer}");
    }
}

/// The limit that the contract states: behind other members the key is one like any other.
#[test]
fn an_object_that_begins_as_the_parser_spells_numbers_is_a_number() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let mut kept = |value: &str| {
        exec.send(format!("{{\"op\":\"put\",\"key\":\"n\",\"value\":{value}}}\n").as_bytes());
        let put = exec.answer();
        exec.send(b"{\"op\":\"get\",\"key\":\"n\"}\n");
        (put["ok"].clone(), exec.answer().to_string())
    };
    let (ok, first) = kept(r#"{"$serde_json::private::Number":"12"}"#);
    assert!(ok == true && first.contains("\"value\":12,"), "{first}");
    let behind = r#"{"a":1,"$serde_json::private::Number":"12"}"#;
    let (ok, second) = kept(behind);
    assert!(ok == true && second.contains(behind), "{second}");
    let (ok, _) = kept(r#"{"$serde_json::private::Number":"twelve"}"#);
    assert_eq!(ok, false);
}

#[test]
fn keys_are_any_bytes() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "a\u{0}b", "value": 1, "valid_from": 0}));
    exec.write(2, json!({"op": "put", "key": "ö名", "value": 2, "valid_from": 0}));
    exec.write(3, json!({"op": "put", "key_b64": "/wA=", "value": 3, "valid_from": 0}));
    exec.write(4, json!({"op": "put", "key_b64": "YQ==", "value": 4, "valid_from": 0}));
    let keys = |answer: serde_json::Value, name: &str| -> Vec<Option<String>> {
        let rows = answer["rows"].as_array().unwrap().clone();
        rows.iter().map(|row| row[name].as_str().map(str::to_owned)).collect()
    };
    let scan = exec.ok(json!({"op": "scan"}));
    let expected =
        [Some("a"), Some("a\u{0}b"), Some("ö名"), None].map(|key| key.map(str::to_owned));
    assert_eq!(keys(scan.clone(), "key"), expected);
    assert_eq!(scan["rows"][3]["key_b64"], "/wA=");
    let scan = exec.ok(json!({"op": "scan", "prefix_b64": "YQ=="}));
    let expected = [Some("YQ==".to_owned()), Some("YQBi".to_owned())];
    assert_eq!(keys(scan, "key_b64"), expected);
    assert_eq!(exec.ok(json!({"op": "get", "key_b64": "/wA="}))["value"], 3);
    assert_eq!(exec.ok(json!({"op": "get", "key": "a"}))["value"], 4);
}

#[test]
fn times_are_integers_or_text_in_and_integers_out() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let put = json!({
        "op": "put", "key": "k", "value": 1,
        "valid_from": "1970-01-01T00:00:01Z", "valid_to": "1970-01-01T01:00:02.5+01:00"
    });
    exec.write(1, put);
    let answer = exec.ok(json!({"op": "get", "key": "k", "valid": 1_000_000}));
    assert_eq!(
        (&answer["valid_from"], &answer["valid_to"]),
        (&json!(1_000_000), &json!(2_500_000))
    );
    let before = json!({"op": "get", "key": "k", "valid": "1970-01-01T00:00:00.999999Z"});
    assert_eq!(exec.ok(before)["found"], false);
    exec.write(2, json!({"op": "put", "key": "old", "value": 1, "valid_from": -5}));
    assert_eq!(exec.ok(json!({"op": "get", "key": "old", "valid": -5}))["valid_from"], -5);
    let known = json!({"op": "get", "key": "old", "valid": -5, "tx": null});
    assert_eq!(exec.ok(known)["found"], true, "null is infinity: all that is known");
}

#[test]
fn a_scan_goes_on_behind_a_key() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    for n in 0..25 {
        exec.ok(json!({"op": "put", "key": format!("k{n:02}"), "value": n, "valid_from": 0}));
    }
    let mut keys = Vec::new();
    let mut request = json!({"op": "scan", "prefix": "k", "limit": 10});
    loop {
        let answer = exec.ok(request.clone());
        let rows = answer["rows"].as_array().unwrap();
        let Some(last) = rows.last() else { break };
        request["after"] = last["key"].clone();
        keys.extend(rows.iter().map(|row| row["key"].as_str().unwrap().to_owned()));
        assert!(keys.len() <= 25, "it turns in a circle: {keys:?}");
    }
    let expected: Vec<String> = (0..25).map(|n| format!("k{n:02}")).collect();
    assert_eq!(keys, expected);
}

#[test]
fn the_feed_of_changes_goes_on_where_it_was_cut() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.ok(json!({"op": "begin"}));
    for n in 0..7 {
        exec.ok(json!({"op": "put", "key": format!("k{n}"), "value": n, "partition": n % 2}));
    }
    exec.ok(json!({"op": "commit", "note": "all at once"}));
    let all = exec.ok(json!({"op": "changes", "tx_from": 0}))["changes"].clone();
    assert_eq!(all.as_array().unwrap().len(), 7);
    for field in ["next", "tx_from"] {
        let mut cut = Vec::new();
        let mut request = json!({"op": "changes", "tx_from": 0, "limit": 3});
        loop {
            let answer = exec.ok(request.clone());
            cut.extend(answer["changes"].as_array().unwrap().clone());
            if answer["next"].is_null() {
                break;
            }
            request = json!({"op": "changes", "limit": 3});
            request[field] = answer["next"].clone();
        }
        assert_eq!(json!(cut), all, "by {field}");
    }
    let odd = exec.ok(json!({"op": "changes", "tx_from": 0, "partition": 1, "limit": 2}));
    let keys: Vec<_> = odd["changes"].as_array().unwrap().iter().map(|c| &c["key"]).collect();
    assert_eq!(keys, ["k1", "k3"]);
    let rest = exec.ok(json!({"op": "changes", "next": odd["next"], "partition": 1, "limit": 2}));
    assert_eq!(rest["changes"][0]["key"], "k5");
    assert_eq!(rest["changes"][0]["partition"], 1);
    assert_eq!(rest["changes"][0]["note"], "all at once");
    assert_eq!(rest["next"], json!(null));
}

#[test]
fn a_feed_with_a_name_goes_on_behind_what_was_acknowledged() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let nothing = exec.ok(json!({"op": "feed", "name": "f"}));
    assert_eq!(nothing, json!({"ok": true, "changes": [], "ack": null, "next": null}));
    for n in 1..=5 {
        exec.write(n, json!({"op": "put", "key": format!("k{n}"), "value": n}));
    }
    let keys = |answer: &serde_json::Value| -> Vec<String> {
        let changes = answer["changes"].as_array().unwrap();
        changes.iter().map(|change| change["key"].as_str().unwrap().to_owned()).collect()
    };
    let first = exec.ok(json!({"op": "feed", "name": "f", "limit": 2}));
    assert_eq!((keys(&first), &first["ack"]), (vec!["k1".into(), "k2".into()], &first["next"]));
    let on = exec.ok(json!({"op": "feed", "name": "f", "after": first["next"], "limit": 9}));
    assert_eq!(
        (keys(&on), &on["next"]),
        (["k3", "k4", "k5"].map(String::from).into(), &json!(null))
    );
    exec.ok(json!({"op": "ack", "name": "f", "cursor": first["ack"]}));
    assert!(exec.end().success());
    let mut exec = Exec::start(&db);
    assert_eq!(keys(&exec.ok(json!({"op": "feed", "name": "f"}))), ["k3", "k4", "k5"]);
    let only = exec.ok(json!({"op": "feed", "name": "f", "prefix": "k4"}));
    assert_eq!((keys(&only), &only["ack"]), (vec!["k4".into()], &json!("5:0")));
    let newest = exec.ok(json!({"op": "feed", "name": "g", "from": "newest"}));
    assert_eq!(newest["changes"], json!([]));
    assert_eq!(exec.code(json!({"op": "ack", "name": "f", "cursor": "6:0"})), "bad_cursor");
    assert_eq!(exec.code(json!({"op": "ack", "name": "f", "cursor": "x"})), "bad_cursor");
    assert_eq!(exec.code(json!({"op": "ack", "name": "h", "cursor": "1:0"})), "no_feed");
    assert_eq!(exec.code(json!({"op": "feed", "name": ""})), "empty_name");
    assert_eq!(exec.code(json!({"op": "feed", "name": "f", "limit": 0})), "bad_request");
    let feeds = exec.ok(json!({"op": "feeds"}));
    let expected = json!([{"name": "f", "acknowledged": "2:0"}, {"name": "g", "acknowledged": "5:4294967295"}]);
    assert_eq!(feeds["feeds"], expected);
    exec.ok(json!({"op": "drop_feed", "name": "g"}));
    assert_eq!(exec.code(json!({"op": "drop_feed", "name": "g"})), "no_feed");
    exec.write(6, json!({"op": "put", "key": "k", "value": "acknowledging took no time"}));
}

#[test]
fn values_of_every_kind_go_in_and_are_told_apart() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let cases = [
        (json!({"value": {"n": 1}}), json!({"n": 1}), json!(null)),
        (json!({"value_b64": "AP8="}), json!({"$base64": "AP8="}), json!("raw")),
        (json!({"value_msgpack_b64": "gaFhAQ=="}), json!({"a": 1}), json!("messagepack")),
        (
            json!({"value_protobuf": {"name": "a.B", "b64": "CAE="}}),
            json!({"$protobuf": "CAE=", "name": "a.B"}),
            json!("protobuf"),
        ),
        (json!({"value_protobuf": {"b64": ""}}), json!({"$protobuf": ""}), json!("protobuf")),
    ];
    for (n, (value, shown, kind)) in cases.iter().enumerate() {
        let mut put = json!({"op": "put", "key": "k", "valid_from": n});
        put.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        exec.ok(put);
        let answer = exec.ok(json!({"op": "get", "key": "k", "valid": n}));
        assert_eq!((&answer["value"], &answer["kind"]), (shown, kind));
    }
    for op in ["history", "timeline"] {
        let answer = exec.ok(json!({"op": op, "key": "k"}));
        let list = answer.as_object().unwrap().values().find_map(|list| list.as_array()).unwrap();
        for kind in ["raw", "messagepack", "protobuf"] {
            assert!(list.iter().any(|entry| entry["kind"] == kind), "{op}: {kind}");
        }
    }
    let put = |value: serde_json::Value| {
        let mut put = json!({"op": "put", "key": "k"});
        put.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        put
    };
    let broken = json!({"value_protobuf": {"b64": "CA=="}});
    assert_eq!(exec.code(put(broken)), "bad_value");
    assert_eq!(exec.code(put(json!({"value": 1, "value_b64": ""}))), "bad_request");
    assert_eq!(exec.code(put(json!({"value_protobuf": {"b64": "", "type": "x"}}))), "bad_request");
    assert_eq!(exec.code(put(json!({}))), "bad_request");
}

#[test]
fn partitions_keep_keys_apart_by_number_and_by_name() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": "zero"}));
    exec.write(2, json!({"op": "put", "key": "k", "value": "seven", "partition": 7}));
    // Its name is recorded by transaction 3.
    exec.write(4, json!({"op": "put", "key": "k", "value": "named", "partition": "memory"}));
    for (partition, value) in [(json!(0), "zero"), (json!(7), "seven"), (json!("memory"), "named")]
    {
        let answer = exec.ok(json!({"op": "get", "key": "k", "partition": partition}));
        assert_eq!(answer["value"], value);
        let scan = exec.ok(json!({"op": "scan", "partition": partition}));
        assert_eq!(scan["rows"].as_array().unwrap().len(), 1);
    }
    let unknown = json!({"op": "get", "key": "k", "partition": "memroy"});
    assert_eq!(exec.code(unknown), "no_partition");
}

#[test]
fn recorded_absences_are_told_from_null() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": null, "valid_from": 0}));
    exec.write(2, json!({"op": "delete", "key": "k", "valid_from": 0}));
    let history = exec.ok(json!({"op": "history", "key": "k"}));
    assert_eq!(history["rectangles"][0].get("absent"), None);
    assert_eq!(history["rectangles"][1]["absent"], true);
    let diff = exec.ok(json!({"op": "diff", "a": {"tx": 1}, "b": {}}));
    let row = json!({"key": "k", "a": null, "b": null, "a_tx": 1, "b_tx": null});
    assert_eq!(diff["rows"], json!([row]));
}

#[test]
fn blank_lines_get_no_answer_and_the_last_line_needs_no_end() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.send(b"\n  \t\r\n{\"op\":\"get\",\"key\":\"k\",\"id\":1}\r\n\n");
    assert_eq!(exec.answer()["id"], 1);
    exec.send(b"{\"op\":\"get\",\"key\":\"k\",\"id\":2}");
    let (mut child, stdin, mut stdout) = exec.into_parts();
    drop(stdin);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
    assert_eq!(rest, "{\"ok\":true,\"id\":2,\"found\":false}\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn stats_and_verify_answer() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": 1}));
    let stats = exec.ok(json!({"op": "stats"}));
    assert_eq!(stats["stats"]["newest_tx"], 1);
    let verified = exec.ok(json!({"op": "verify"}));
    assert_eq!(verified["problems"], json!([]));
    assert!(verified["entries"].as_u64().unwrap() > 0);
}
