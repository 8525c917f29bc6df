//! Long values of the batch protocol: written and read a piece at a time.

use crate::shell::{Exec, out, place, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn chunk(bytes: &[u8]) -> Json {
    json!({"op": "put_chunk", "b64": STANDARD.encode(bytes)})
}

/// Reads a value in pieces of `length`, all at the time of the first.
fn read(exec: &mut Exec, get: &Json, length: u64) -> Vec<u8> {
    let mut all = Vec::new();
    let mut get = get.clone();
    get["op"] = "get".into();
    loop {
        (get["offset"], get["length"]) = (all.len().into(), length.into());
        let answer = exec.ok(get.clone());
        let piece = STANDARD.decode(answer["b64"].as_str().unwrap()).unwrap();
        assert!(piece.len() as u64 <= length, "{answer}");
        assert_eq!(answer["offset"], all.len());
        all.extend(piece);
        if all.len() as u64 >= answer["len"].as_u64().unwrap() {
            return all;
        }
        if get.get("txn").is_none() {
            (get["valid"], get["tx"]) = (answer["valid_from"].clone(), answer["tx"].clone());
        }
    }
}

#[test]
fn a_value_goes_in_and_out_in_pieces() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let value = bytes(1_000_003);
    exec.ok(json!({"op": "put_begin", "key": "film", "valid_from": 5, "valid_to": null, "len": value.len(), "note": "cut 2"}));
    let mut sent = 0;
    for piece in value.chunks(70_001) {
        sent += piece.len();
        assert_eq!(exec.ok(chunk(piece)), json!({"ok": true, "len": sent}));
    }
    assert_eq!(exec.ok(json!({"op": "get", "key": "film", "valid": 5}))["found"], false, "not yet");
    assert_eq!(exec.ok(json!({"op": "put_end"})), json!({"ok": true, "tx": 1, "len": value.len()}));
    let head = exec.ok(json!({"op": "get", "key": "film", "valid": 7, "length": 0}));
    let expected = json!({"ok": true, "found": true, "kind": "raw", "b64": "", "offset": 0,
        "len": value.len(), "valid_from": 5, "valid_to": null, "tx": 1});
    assert_eq!(head, expected);
    assert_eq!(read(&mut exec, &json!({"key": "film", "valid": 7}), 99_999), value);
    let behind = exec.ok(json!({"op": "get", "key": "film", "valid": 7, "offset": 2_000_000}));
    assert_eq!((&behind["b64"], &behind["len"]), (&json!(""), &json!(value.len())));
    assert_eq!(
        exec.ok(json!({"op": "get", "key": "none", "offset": 0})),
        json!({"ok": true, "found": false})
    );
    assert_eq!(exec.ok(json!({"op": "history", "key": "film"}))["rectangles"][0]["note"], "cut 2");
    // A value that changes between two pieces is still read as it was.
    let first = exec.ok(json!({"op": "get", "key": "film", "valid": 7, "length": 10}));
    exec.write(
        2,
        json!({"op": "put", "key": "film", "value": "gone", "valid_from": 5, "valid_to": null}),
    );
    let (valid, tx) = (&first["valid_from"], &first["tx"]);
    let pinned = json!({"key": "film", "valid": valid, "tx": tx});
    assert_eq!(read(&mut exec, &pinned, 1 << 20), value);
    // Short ones, and those of other kinds, are read the same way.
    assert_eq!(read(&mut exec, &json!({"key": "film", "valid": 7}), 3), b"\"gone\"");
    assert_eq!(exec.end().code(), Some(0));
    assert!(out(&["verify", text(&db)]).starts_with("clean"));
}

#[test]
fn documents_are_judged_as_they_come() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let begin = |kind: &str| json!({"op": "put_begin", "key": "k", "kind": kind});
    let long = "word ".repeat(30_000);
    let document = json!({"a": [1.50, "é"], "long": long});
    exec.ok(begin("json"));
    let sent = document.to_string();
    for piece in sent.as_bytes().chunks(50_000) {
        exec.ok(chunk(piece));
    }
    exec.ok(json!({"op": "put_chunk", "text": " \n"}));
    exec.ok(json!({"op": "put_end"}));
    let got = exec.ok(json!({"op": "get", "key": "k"}));
    assert_eq!((&got["value"], got.get("kind")), (&document, None));
    exec.ok(begin("messagepack"));
    exec.ok(chunk(&[0x92, 1]));
    exec.ok(chunk(&[2]));
    exec.ok(json!({"op": "put_end"}));
    let got = exec.ok(json!({"op": "get", "key": "k"}));
    assert_eq!((&got["value"], &got["kind"]), (&json!([1, 2]), &json!("messagepack")));
    // The chunk that is wrong says so, and ends the stream.
    for (kind, wrong) in [("json", "{\"a\":1}}"), ("json", "[\u{1}]"), ("messagepack", "aa")] {
        exec.ok(begin(kind));
        let text = json!({"op": "put_chunk", "text": wrong});
        assert_eq!(exec.code(text.clone()), "bad_value", "{wrong}");
        assert_eq!(exec.code(text), "no_stream");
        assert_eq!(exec.code(json!({"op": "put_end"})), "no_stream");
    }
    // What is cut short is found at the end.
    for (kind, cut) in [("json", &b"{\"a\":"[..]), ("json", b""), ("messagepack", &[0x92, 1])] {
        exec.ok(begin(kind));
        exec.ok(chunk(cut));
        assert_eq!(exec.code(json!({"op": "put_end"})), "bad_value", "{cut:?}");
        assert_eq!(exec.code(json!({"op": "put_end"})), "no_stream");
    }
    assert_eq!(exec.ok(json!({"op": "get", "key": "k"}))["tx"], 2, "nothing of it was written");
}

#[test]
fn what_comes_in_a_wrong_order_is_refused() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    for op in ["put_end", "put_abort"] {
        assert_eq!(exec.code(json!({"op": op})), "no_stream");
    }
    assert_eq!(exec.code(chunk(b"x")), "no_stream");
    let begin = json!({"op": "put_begin", "key": "k"});
    exec.ok(begin.clone());
    assert_eq!(exec.code(begin.clone()), "stream_open");
    // A request that cannot be read is none of the stream.
    for bad in [
        json!({"op": "put_chunk", "b64": "?"}),
        json!({"op": "put_chunk"}),
        json!({"op": "put_chunk", "b64": "", "text": ""}),
        json!({"op": "put_chunk", "b64": "eA==", "txn": "a"}),
        json!({"op": "put_end", "key": "k"}),
        json!({"op": "get", "key": "k", "offset": -1}),
        json!({"op": "get", "key": "k", "length": "1"}),
    ] {
        assert_eq!(exec.code(bad.clone()), "bad_request", "{bad}");
    }
    assert_eq!(exec.ok(chunk(b"x"))["len"], 1);
    exec.ok(json!({"op": "put_abort"}));
    assert_eq!(exec.code(chunk(b"x")), "no_stream");
    // What can be refused before the value is sent, is; then no stream is open.
    for (request, expected) in [
        (json!({"op": "put_begin", "key": ""}), "empty_key"),
        (json!({"op": "put_begin", "key": "x".repeat(5_000)}), "key_too_long"),
        (json!({"op": "put_begin", "key": "k", "valid_from": 5, "valid_to": 5}), "empty_interval"),
        (json!({"op": "put_begin", "key": "k", "ttl": 0}), "bad_ttl"),
        (json!({"op": "put_begin", "key": "k", "ttl": 1, "valid_from": 1}), "bad_request"),
        (json!({"op": "put_begin", "key": "k", "kind": "protobuf"}), "bad_request"),
        (json!({"op": "put_begin", "key": "k", "value": 1}), "bad_request"),
        (json!({"op": "put_begin", "key": "k", "txn": "none"}), "no_transaction"),
        (json!({"op": "put_begin", "key": "k", "partition": ""}), "empty_name"),
    ] {
        assert_eq!(exec.code(request.clone()), expected, "{request}");
        assert_eq!(exec.code(json!({"op": "put_end"})), "no_stream", "{request}");
    }
    for n in 0..64 {
        exec.ok(json!({"op": "put_begin", "key": "k", "stream": n.to_string()}));
    }
    assert_eq!(exec.code(begin.clone()), "too_many_streams");
    exec.ok(json!({"op": "put_end", "stream": "7"}));
    exec.ok(begin);
    assert_eq!(exec.ok(json!({"op": "get", "key": "k", "length": 1}))["len"], 0, "an empty value");
}

#[test]
fn a_stream_belongs_to_the_transaction_that_it_names() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let value = bytes(200_000);
    let begin = json!({"op": "put_begin", "key": "k", "txn": "a", "stream": "s"});
    let send = |exec: &mut Exec| {
        let mut chunk = chunk(&value);
        chunk["stream"] = "s".into();
        exec.ok(chunk);
    };
    exec.ok(json!({"op": "begin", "txn": "a"}));
    exec.ok(begin.clone());
    send(&mut exec);
    assert_eq!(exec.code(json!({"op": "commit", "txn": "a"})), "stream_open", "and it stays open");
    assert_eq!(
        exec.ok(json!({"op": "put_end", "stream": "s"})),
        json!({"ok": true, "len": 200_000})
    );
    assert_eq!(read(&mut exec, &json!({"key": "k", "txn": "a"}), 50_000), value, "its own");
    assert_eq!(exec.ok(json!({"op": "get", "key": "k", "length": 1}))["found"], false, "of others");
    exec.write(1, json!({"op": "commit", "txn": "a"}));
    assert_eq!(read(&mut exec, &json!({"key": "k"}), 1 << 20), value);
    // Rolled back, it takes its streams with it.
    exec.ok(json!({"op": "begin", "txn": "a"}));
    exec.ok(begin);
    send(&mut exec);
    exec.ok(json!({"op": "rollback", "txn": "a"}));
    assert_eq!(exec.code(json!({"op": "put_end", "stream": "s"})), "no_stream");
    // The one without a name, and a stream that was begun before it.
    exec.ok(json!({"op": "put_begin", "key": "own"}));
    exec.ok(json!({"op": "begin"}));
    exec.ok(json!({"op": "put_begin", "key": "with", "stream": "t"}));
    exec.ok(json!({"op": "put_end", "stream": "t"}));
    assert_eq!(exec.ok(json!({"op": "put_end"}))["tx"], 2, "a transaction of its own");
    exec.write(3, json!({"op": "commit"}));
}

#[test]
fn streams_that_are_left_open_leave_nothing() {
    let (_dir, db) = place();
    let used = |exec: &mut Exec| {
        exec.ok(json!({"op": "checkpoint"}));
        let stats = exec.ok(json!({"op": "stats"}))["stats"].clone();
        stats["pages_used"].as_u64().unwrap()
    };
    let mut exec = Exec::start(&db);
    exec.write(1, json!({"op": "put", "key": "k", "value": "kept"}));
    let before = used(&mut exec);
    for stream in ["a", "b", "c"] {
        exec.ok(json!({"op": "put_begin", "key": "k", "stream": stream, "len": 1 << 20}));
        let mut chunk = chunk(&bytes(500_000));
        chunk["stream"] = stream.into();
        exec.ok(chunk.clone());
        exec.ok(chunk);
    }
    exec.ok(json!({"op": "put_abort", "stream": "a"}));
    assert_eq!(exec.end().code(), Some(0), "the end of input ends them");
    let mut exec = Exec::start(&db);
    assert_eq!(exec.ok(json!({"op": "get", "key": "k"}))["value"], "kept");
    assert_eq!(used(&mut exec), before);
    exec.ok(json!({"op": "verify"}));
    exec.ok(json!({"op": "put_begin", "key": "k"}));
    exec.ok(chunk(&bytes(500_000)));
    // Not even a crash keeps anything of one.
    exec.child.kill().unwrap();
    exec.child.wait().unwrap();
    let mut exec = Exec::start(&db);
    assert_eq!(exec.ok(json!({"op": "get", "key": "k"}))["value"], "kept");
    assert_eq!(used(&mut exec), before);
    exec.ok(json!({"op": "verify"}));
}

#[cfg(target_os = "linux")]
#[test]
fn a_value_of_any_length_takes_little_memory() {
    let (_dir, db) = place();
    let mut exec = Exec::start(&db);
    let piece = chunk(&bytes(1 << 20));
    exec.ok(json!({"op": "put_begin", "key": "k"}));
    for _ in 0..100 {
        exec.ok(piece.clone());
    }
    exec.ok(json!({"op": "put_end"}));
    for at in 0..100 {
        exec.ok(json!({"op": "get", "key": "k", "offset": at << 20, "length": 1 << 20}));
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", exec.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kb: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kb < 64 << 10, "{kb} kB of its own, for a value of 100 MB");
}
